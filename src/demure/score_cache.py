"""Scores that were computed before, by the image's bytes, the model and all else that they hang on. A file that may be deleted.

It keeps hashes and numbers: no name of a file and no picture. It would rather be asked again than be wrong: each entry has a
checksum, and what was made in another way is another entry.
"""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import Self

from demure.errors import StorageUnavailable
from demure.inputs import PREPROCESSING, Recipe
from demure.models import ModelSpec

FILE_NAME = "scores.sqlite3"  # in the data folder

_LAYOUT = 0x64736331  # raise it with any change to the table or to what an entry's bytes mean
_TABLE = (
    "CREATE TABLE IF NOT EXISTS scores (sha256 BLOB, model TEXT, version BLOB, entry BLOB NOT NULL, checksum BLOB NOT NULL, "
    "PRIMARY KEY (sha256, model, version)) WITHOUT ROWID"
)
_COMMIT_IMAGES, _COMMIT_S = 100, 1.0  # whichever comes first; what came since is lost with the process
_BUSY_S = 30.0  # others commit for milliseconds
_LIBRARIES = ("Pillow", "pi-heif", "onnxruntime")
_FULL = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR}
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT, sqlite3.SQLITE_ERROR}

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Entry:
    """What one model says of one image."""

    width: int  # of the image, in pixels
    height: int
    rows: tuple[Mapping[str, float], ...]  # a frame may be judged in several pictures; at least one
    pdq: bytes | None = None  # of a single still picture in which there is enough to see


Key = tuple[bytes, str, bytes]  # SHA-256 of the image, the model's name, its version


def made_by() -> tuple[object, ...]:
    """Our own way from bytes to scores, and the libraries': new versions may decode or multiply a little differently."""
    return PREPROCESSING, *((name, version(name)) for name in _LIBRARIES)


def score_version(spec: ModelSpec, recipe: Recipe, by: tuple[object, ...] | None = None) -> bytes:
    """32 bytes that change with all that a score hangs on: weights, steps, names, how it is decoded and by what.

    The recipe may be for several models, and should be asked for all that are decoded together: at what size a JPEG is decoded
    hangs on all of them.
    """
    limits = replace(recipe.limits, timeout_s=0, max_bytes=0)  # these say whether there is an answer, and not which
    parts = (
        (spec.sha256, spec.input_name, spec.output_name, spec.labels, spec.witness_label, spec.steps),
        sorted(spec.categories.items()),
        (str(recipe.fidelity), recipe.at_least, limits),
        by or made_by(),
    )
    return hashlib.sha256(repr(parts).encode()).digest()


class ScoreCache:
    """One file. Thread-safe, and several processes may have it open. Close it, or use it as a context manager.

    A full disk ends the writing with one warning; it never ends the work.
    """

    def __init__(self, path: Path, now_s: Callable[[], float] = time.monotonic) -> None:
        """Makes the file where there is none. Raises StorageUnavailable for one that is damaged, another's, or not writable."""
        self._path = path
        self._now_s = now_s
        self._lock = threading.Lock()
        self._pending: dict[Key, Entry] = {}
        self._images = 0  # that are pending
        self._committed_s = now_s()
        self._writes = True
        self._connection = self._open()

    def get(self, sha256: bytes, versions: Mapping[str, bytes]) -> dict[str, Entry]:
        """What is known of the image: by the model's name, where it is of that version. Raises StorageUnavailable."""
        with self._lock:
            pending = {model: self._pending.get((sha256, model, made_by)) for model, made_by in versions.items()}
            try:
                rows = self._connection.execute(
                    "SELECT model, version, entry, checksum FROM scores WHERE sha256 = ?", (sha256,)
                ).fetchall()
            except sqlite3.Error as error:
                if not _is_full(error):
                    raise self._unusable(error) from error
                self._stop_writing(error)
                rows = []
        found = {model: entry for model, entry in pending.items() if entry is not None}
        for model, made_by, content, checksum in rows:
            if versions.get(model) == made_by:
                if type(content) is not bytes or _checksum((sha256, model, made_by), content) != checksum:
                    raise self._unusable("an entry is not what was written")
                found[model] = _entry(content)
        return found

    def put(self, sha256: bytes, entries: Mapping[str, Entry], versions: Mapping[str, bytes]) -> None:
        """Keep what the models say of an image; it is on the disk within a second of work or a hundred images.

        Raises StorageUnavailable where the file turns out to be damaged.
        """
        with self._lock:
            self._pending |= {(sha256, model, versions[model]): entry for model, entry in entries.items()}
            self._images += 1
            if self._images >= _COMMIT_IMAGES or self._now_s() - self._committed_s >= _COMMIT_S:
                self._commit()

    def flush(self) -> None:
        with self._lock:
            self._commit()

    def close(self) -> None:
        with self._lock, closing(self._connection):
            self._commit()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _tb: TracebackType | None
    ) -> None:
        self.close()

    def _open(self) -> sqlite3.Connection:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            return _prepared(self._path)
        except (OSError, sqlite3.Error) as error:
            if not _is_full(error):
                raise self._unusable(error) from error
            self._stop_writing(error)
            return _prepared(":memory:")

    def _commit(self) -> None:
        pending, self._pending, self._images, self._committed_s = self._pending, {}, 0, self._now_s()
        if not pending or not self._writes:
            return
        rows = [(*key, content := _content(entry), _checksum(key, content)) for key, entry in pending.items()]
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.executemany("INSERT OR REPLACE INTO scores VALUES (?, ?, ?, ?, ?)", rows)
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            if _code(error) in _DAMAGED:
                raise self._unusable(error) from error
            self._stop_writing(error)

    def _stop_writing(self, error: Exception) -> None:
        if self._writes:
            _log.warning("%s: %s; going on, but further scores are not kept for a next time", self._path, error)
        self._writes = False

    def _unusable(self, why: object) -> StorageUnavailable:
        return StorageUnavailable(
            f"{self._path}: cannot be used ({why}); it only spares computing scores again: delete it, with the files "
            f"{self._path.name}-wal and -shm, or make its folder writable"
        )


def _prepared(path: Path | str) -> sqlite3.Connection:
    connection = sqlite3.connect(path, _BUSY_S, isolation_level=None, check_same_thread=False)
    try:
        _make_table(connection)
        _write_ahead(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _make_table(connection: sqlite3.Connection) -> None:
    connection.execute("BEGIN IMMEDIATE")  # of several processes that find no file one makes it
    ((tables,),) = connection.execute("SELECT count(*) FROM sqlite_master")
    ((layout,),) = connection.execute("PRAGMA user_version")
    if tables and layout != _LAYOUT:
        raise sqlite3.DatabaseError("it is not a cache of scores, or not of this version of demure")
    connection.execute(_TABLE)
    connection.execute(f"PRAGMA user_version = {_LAYOUT}")
    connection.execute("COMMIT")


def _write_ahead(connection: sqlite3.Connection) -> None:
    """Readers and the writer do not wait for one another then, and a process that is killed leaves a whole file."""
    connection.execute("PRAGMA synchronous = NORMAL")  # a failing machine may take the last commits, and no more
    end = time.monotonic() + _BUSY_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:  # here SQLite does not wait for other processes by itself
            if _code(error) != sqlite3.SQLITE_BUSY or time.monotonic() > end:
                raise
            time.sleep(0.01)
        else:
            return


def _is_full(error: Exception) -> bool:
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    return isinstance(error, sqlite3.Error) and _code(error) in _FULL


def _code(error: sqlite3.Error) -> int:
    """SQLite's primary result code; the extended one has more above it."""
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF


def _content(entry: Entry) -> bytes:
    rows = [dict(row) for row in entry.rows]
    pdq = None if entry.pdq is None else entry.pdq.hex()
    return json.dumps([entry.width, entry.height, rows, pdq], separators=(",", ":")).encode()


def _entry(content: bytes) -> Entry:
    width, height, rows, pdq = json.loads(content)
    return Entry(width, height, tuple(rows), None if pdq is None else bytes.fromhex(pdq))


def _checksum(key: Key, content: bytes) -> bytes:
    """SQLite has none of its own: a bit that fell over in a number would be another number."""
    return hashlib.sha256(b"\0".join((key[0], key[1].encode(), key[2], content))).digest()[:8]
