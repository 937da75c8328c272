"""What a scan has done so far: a SQLite file beside its output. Killed at any moment, it says what is done and what is not.

Sources are written down in shards as they are listed; a shard's rows come in one transaction. The output is written from here
when all is done, so it is there whole or not at all.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import sqlite3
import threading
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any, Self

from demure.bulk.job import Row
from demure.errors import Conflict, InvalidSetting, StorageFull, StorageUnavailable

_LAYOUT = 0x64736C31  # raise it with any change to the tables
_TABLES = """
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE seen (source BLOB PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE shards (
    number INTEGER PRIMARY KEY, sources BLOB NOT NULL, images INTEGER NOT NULL, counts TEXT, rows BLOB
);
CREATE INDEX waiting ON shards (number) WHERE rows IS NULL;
CREATE TABLE answers (sha256 BLOB PRIMARY KEY, row BLOB NOT NULL) WITHOUT ROWID;
"""
_FULL = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR}


@dataclass(frozen=True)
class Shard:
    number: int
    sources: tuple[str, ...]


@dataclass(frozen=True)
class Status:
    listed: int  # images, so far
    all_listed: bool
    done: int  # images
    counts: Mapping[str, int]  # of those, by decision, and `failed`
    written: bool  # the output
    unread: int  # folders of which images are missing, for they could not be read


class Ledger:
    """Thread-safe. One process at a time has it open to write. Raises StorageFull and StorageUnavailable."""

    def __init__(self, path: Path, question: Mapping[str, Any], *, anew: bool = False) -> None:
        """`question` is what is asked of all sources; a ledger with another is refused, or begun `anew`.

        Raises Conflict, where another process is at work or the question is another one, and InvalidSetting where the file
        cannot be written or is no ledger.
        """
        self._path = path
        self._lock = threading.Lock()
        self._taken = -1
        with ExitStack() as opened:
            opened.enter_context(_locked(path))
            if anew:
                _remove(path)
            with self._translated():
                connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
                self._connection = opened.enter_context(closing(connection))
                self._connection.execute("PRAGMA journal_mode = WAL")
                self._connection.execute("PRAGMA synchronous = NORMAL")  # outlives a kill; a power cut may cost a shard
                self._prepare(question)
                self._status = _status(self._connection)  # kept up in memory: to count millions of shards takes seconds
            self._opened = opened.pop_all()

    def add(self, sources: Iterable[str], shard_images: int, stop: threading.Event) -> None:
        """Write down sources that are not known yet, in shards; then that these were all. One that comes twice counts once."""
        waiting: list[str] = []
        digests: set[bytes] = set()
        for source in sources:
            if stop.is_set():
                return
            digest = _digest(source)
            if digest in digests or self._is_seen(digest):
                continue
            waiting.append(source)
            digests.add(digest)
            if len(waiting) == shard_images:
                self._add(waiting, digests)
                waiting, digests = [], set()
        self._add(waiting, digests, last=True)

    def take(self) -> Shard | None:
        """The next shard that nobody has taken since this was opened; None where there is none at the moment."""
        wanted = "SELECT number, sources FROM shards WHERE rows IS NULL AND number > ? ORDER BY number LIMIT 1"
        with self._lock, self._translated():
            row = self._connection.execute(wanted, (self._taken,)).fetchone()
            if row is None:
                return None
            self._taken = row[0]
            return Shard(row[0], tuple(_unpacked(row[1])))

    def finish(
        self, shard: Shard, rows: Sequence[Row], counts: Mapping[str, int], answers: Mapping[bytes, Row]
    ) -> None:
        """A shard's rows, those that are wanted, and what was learned of new bytes: all or nothing."""
        packed = [(digest, _packed(row)) for digest, row in answers.items()]
        done = (_packed(rows), json.dumps(counts), shard.number)
        with self._writing() as connection:
            connection.execute("UPDATE shards SET rows = ?, counts = ? WHERE number = ?", done)
            connection.executemany("INSERT OR REPLACE INTO answers VALUES (?, ?)", packed)
        with self._lock:
            before = self._status
            total = Counter(before.counts) + Counter(counts)
            self._status = replace(before, done=before.done + len(shard.sources), counts=total)

    def answer(self, digest: bytes) -> Row | None:
        """The row of the same bytes, under another source."""
        with self._lock, self._translated():
            row = self._connection.execute("SELECT row FROM answers WHERE sha256 = ?", (digest,)).fetchone()
        return None if row is None else dict(_unpacked(row[0]))

    def rows(self) -> Iterator[Row]:
        """All rows, shard after shard."""
        last = -1
        wanted = "SELECT number, rows FROM shards WHERE number > ? AND rows IS NOT NULL ORDER BY number LIMIT 1"
        while True:
            with self._lock, self._translated():
                found = self._connection.execute(wanted, (last,)).fetchone()
            if found is None:
                return
            last = found[0]
            yield from _unpacked(found[1])

    def status(self) -> Status:
        with self._lock:
            return self._status

    def note_unread(self, folders: int) -> None:
        """For the runs to come too: by then, all may be listed and nothing be looked for any more."""
        self._note("unread", folders)
        with self._lock:
            self._status = replace(self._status, unread=folders)

    def note_written(self) -> None:
        self._note("written", 1)
        with self._lock:
            self._status = replace(self._status, written=True)

    def close(self) -> None:
        with self._lock:
            self._opened.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _prepare(self, question: Mapping[str, Any]) -> None:
        connection, asked = self._connection, json.dumps(question, sort_keys=True)
        layout = _layout(connection)
        if layout == 0 and not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            connection.execute("BEGIN IMMEDIATE")
            for statement in filter(str.strip, _TABLES.split(";")):
                connection.execute(statement)
            connection.execute("INSERT INTO facts VALUES ('question', ?)", (asked,))
            connection.execute(f"PRAGMA user_version = {_LAYOUT}")
            connection.execute("COMMIT")
            return
        if layout != _LAYOUT:
            raise InvalidSetting(f"{self._path}: is no ledger of this version; --anew begins a new one")
        before = connection.execute("SELECT value FROM facts WHERE name = 'question'").fetchone()[0]
        if before != asked:
            changed = sorted(name for name, value in json.loads(before).items() if question.get(name) != value)
            raise Conflict(
                f"{self._path}: this scan was begun with another {' and '.join(changed) or 'question'}; "
                "ask as before to go on, or add --anew to begin again"
            )

    def _add(self, sources: Sequence[str], digests: Iterable[bytes], *, last: bool = False) -> None:
        with self._writing() as connection:
            if sources:
                new = (_packed(list(sources)), len(sources))
                connection.execute("INSERT INTO shards (sources, images) VALUES (?, ?)", new)
                connection.executemany("INSERT INTO seen VALUES (?)", [(digest,) for digest in digests])
                connection.execute("DELETE FROM facts WHERE name = 'written'")
            if last:
                connection.execute("INSERT OR REPLACE INTO facts VALUES ('listed', '1')")
        with self._lock:
            before = self._status
            listed, written = before.listed + len(sources), before.written and not sources
            self._status = replace(before, listed=listed, all_listed=before.all_listed or last, written=written)

    def _note(self, name: str, value: int) -> None:
        with self._writing() as connection:
            connection.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, str(value)))

    def knows(self, source: str) -> bool:
        return self._is_seen(_digest(source))

    def _is_seen(self, digest: bytes) -> bool:
        with self._lock, self._translated():
            found = self._connection.execute("SELECT 1 FROM seen WHERE source = ?", (digest,)).fetchone()
        return found is not None

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._lock, self._translated():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF
            if code in _FULL:
                raise StorageFull(
                    f"{self._path}: the disk is full or takes no more; make room and run the same command again"
                ) from error
            raise StorageUnavailable(f"{self._path}: cannot be used ({error}); --anew begins a new one") from error


def read_status(path: Path) -> Status | None:
    """Of a scan that may be under way; None where there is no ledger. Raises StorageUnavailable."""
    if not path.exists():
        return None
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as connection:
            # One that was killed before it had tables has begun nothing.
            return _status(connection) if _layout(connection) else None
    except sqlite3.Error as error:
        raise StorageUnavailable(f"{path}: cannot be read ({error})") from error


def _layout(connection: sqlite3.Connection) -> int:
    """0 of a file that is new."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _status(connection: sqlite3.Connection) -> Status:
    listed, done = connection.execute(
        "SELECT coalesce(sum(images), 0), coalesce(sum(images) FILTER (WHERE rows IS NOT NULL), 0) FROM shards"
    ).fetchone()
    counts: Counter[str] = Counter()
    for (text,) in connection.execute("SELECT counts FROM shards WHERE counts IS NOT NULL"):
        counts.update(json.loads(text))
    facts = dict(connection.execute("SELECT name, value FROM facts"))
    return Status(listed, "listed" in facts, done, counts, "written" in facts, int(facts.get("unread", 0)))


def _locked(path: Path) -> IO[str]:
    """Held while this process lives, however it ends."""
    try:
        file = path.with_name(path.name + ".lock").open("w")
    except OSError as error:
        raise InvalidSetting(f"{path}: cannot be written ({error.strerror})") from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        if isinstance(error, BlockingIOError):
            raise Conflict(f"{path}: another scan is at work on this output") from error
        raise InvalidSetting(f"{path}: cannot be locked ({error.strerror}); is the disk of this machine?") from error
    return file


def _remove(path: Path) -> None:
    try:
        for ending in ("-wal", "-shm", ""):
            path.with_name(path.name + ending).unlink(missing_ok=True)
    except OSError as error:
        raise InvalidSetting(f"{path}: cannot be removed ({error.strerror})") from error


def _digest(source: str) -> bytes:
    return hashlib.blake2b(source.encode("utf-8", "surrogateescape"), digest_size=16).digest()


def _packed(value: Any) -> bytes:
    return zlib.compress(json.dumps(value).encode(), 1)


def _unpacked(packed: bytes) -> Any:
    return json.loads(zlib.decompress(packed))
