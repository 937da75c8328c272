"""One file with all that is kept, as of one moment: written from either database, and read into either.

So it is also the way from SQLite to PostgreSQL and back.
"""

from __future__ import annotations

import errno
import os
import sqlite3
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import (
    URL,
    Connection,
    ExceptionContext,
    NullPool,
    create_engine,
    delete,
    event,
    func,
    insert,
    inspect,
    select,
    text,
)
from sqlalchemy.exc import DataError

from demure.errors import Conflict, InvalidSetting, SourceNotFound, StorageFull
from demure.store import audit
from demure.store.database import HEAD, MIGRATIONS, Database, revision, upgrade
from demure.store.schema import audit_head, counters, metadata, reviews

_BATCH = 100  # rows; a preview is some tens of kilobytes


@dataclass(frozen=True)
class Written:
    size_bytes: int
    rows: int  # of all tables
    reviews: int


def backup(database: Database, path: Path) -> Written:
    """Write a new file, readable by its owner alone, while others go on reading and writing.

    Raises Conflict if it is there already, StorageFull, and InvalidSetting where it cannot be written.
    """
    with new_file(path) as draft:
        copied = database.read(lambda source: _write(source, draft))
        return Written(draft.stat().st_size, sum(copied.values()), copied[reviews.name])


def restore(database: Database, path: Path, *, replace: bool) -> None:
    """Read a backup into a database, all of it or nothing. What is there goes if `replace` says so.

    Raises SourceNotFound; InvalidSetting for what is no backup, is damaged or of a newer version; Conflict for a database
    that is not empty. No service may be running on it: what one has in its memory would be of another state.
    """
    now_ms = database.now_ms()

    def work(source: Connection, target: Connection) -> None:
        _lock(target)
        before = audit.head(target)
        if not (replace or _is_empty(target)):
            raise Conflict(
                "the database is not empty; with --replace what is there goes, and the backup takes its place"
            )
        _copy(source, target)
        _set_sequences(target)
        audit.append(target, now_ms, "shell", "store.restored", "store", replaced=str(before))

    with _opened(path) as source:
        try:
            database.write(lambda target: work(source, target))
        except DataError as error:
            raise InvalidSetting(
                f"{path}: holds a text or a number that the database it is read into cannot hold"
            ) from error


@contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """A draft to write, which becomes the file when all went well, and is gone when not.

    Raises Conflict if there is such a file, StorageFull, and InvalidSetting where it cannot be written.
    """
    _refuse(path)
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".new", dir=path.parent)  # mode 0600
        draft = Path(name)
        try:
            yield draft
            os.fsync(handle)
            _refuse(path)  # Not locked: of two that finish together one may take the other's place.
            draft.rename(path)
        finally:
            os.close(handle)
            draft.unlink(missing_ok=True)
        _sync_folder(path.parent)
    except OSError as error:
        kind = StorageFull if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) else InvalidSetting
        raise kind(f"{path}: cannot be written ({error.strerror})") from error


def _refuse(path: Path) -> None:
    if path.exists():
        raise Conflict(f"{path}: is there already; choose another name, or move it away")


def _sync_folder(path: Path) -> None:
    """So that the file's name is on the disk as well."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _write(source: Connection, draft: Path) -> Mapping[str, int]:
    if revision(source) != HEAD:
        raise InvalidSetting("the database was brought up to date by another version of demure; use that one")
    with _connected(draft, "rw") as target:
        # Who fails leaves no file at all: nothing is to be rolled back.
        target.exec_driver_sql("PRAGMA journal_mode = OFF")
        target.exec_driver_sql("PRAGMA synchronous = OFF")
        upgrade(target)
        copied = _copy(source, target)
        target.commit()
    return copied


def _copy(source: Connection, target: Connection) -> Mapping[str, int]:
    """Every row of every table, in place of what is there. Returns how many, by the table's name."""
    copied = dict.fromkeys(metadata.tables, 0)
    for table in metadata.sorted_tables:
        target.execute(delete(table))
        rows = source.execute(select(table), execution_options={"yield_per": _BATCH})
        for part in rows.mappings().partitions():
            target.execute(insert(table), [dict(row) for row in part])
            copied[table.name] += len(part)
    return copied


@contextmanager
def _opened(path: Path) -> Iterator[Connection]:
    """A backup as it would have been written today. The file itself stays as it is."""
    if not path.is_file():
        raise SourceNotFound(f"{path}: there is no such file")
    with _connected(path, "ro") as source:
        found = _revision_of(source, path)
        if found == HEAD:
            yield source
            return
        if found not in _known_revisions():
            raise InvalidSetting(
                f"{path}: was written by a newer version of demure (its revision is {found}); install that one"
            )
        with tempfile.TemporaryDirectory(prefix="demure-") as folder:
            copy = Path(folder) / "backup.db"
            source.exec_driver_sql("VACUUM INTO ?", (str(copy),))
            with _connected(copy, "rw") as upgraded:
                upgrade(upgraded)
                upgraded.commit()
                yield upgraded


def _revision_of(source: Connection, path: Path) -> str:
    if (damage := source.exec_driver_sql("PRAGMA quick_check(1)").scalar()) != "ok":
        raise InvalidSetting(f"{path}: is damaged ({damage})")
    found = revision(source) if inspect(source).has_table(audit_head.name) else None
    if found is None:
        raise InvalidSetting(f"{path}: is no backup of demure")
    return found


def _known_revisions() -> set[str]:
    from alembic.script import ScriptDirectory

    return {script.revision for script in ScriptDirectory(str(MIGRATIONS)).walk_revisions()}


@contextmanager
def _connected(path: Path, mode: str) -> Iterator[Connection]:
    """A SQLite file that is there already, as it is: none of the settings of a database in use."""
    url = f"{path.resolve().as_uri()}?mode={mode}"
    engine = create_engine(
        URL.create("sqlite"), poolclass=NullPool, creator=lambda: sqlite3.connect(url, uri=True), hide_parameters=True
    )
    wrong = "is damaged, or no backup of demure" if mode == "ro" else "cannot be written"

    # So that nobody takes it for an error of the database itself.
    @event.listens_for(engine, "handle_error")
    def _translate(context: ExceptionContext) -> None:
        error = context.original_exception
        is_full = getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
        raise (StorageFull if is_full else InvalidSetting)(f"{path}: {wrong} ({error})") from error

    with engine.connect() as connection:
        yield connection


def _lock(target: Connection) -> None:
    """Nobody else writes until the transaction ends. In SQLite nobody else can."""
    if target.dialect.name == "postgresql":
        names = ", ".join(target.dialect.identifier_preparer.format_table(table) for table in metadata.sorted_tables)
        target.execute(text(f"LOCK TABLE {names} IN EXCLUSIVE MODE"))


def _is_empty(target: Connection) -> bool:
    """Whether there is nothing but what a migration writes."""
    used = [
        select(counters.c.name).where(counters.c.value > 0),
        select(audit_head.c.id).where(audit_head.c.seq > 0),
        *(select(table) for table in metadata.sorted_tables if table not in (counters, audit_head)),
    ]
    return all(target.execute(rows.limit(1)).first() is None for rows in used)


def _set_sequences(target: Connection) -> None:
    """PostgreSQL counts rows beside the table; SQLite looks at the last one."""
    if target.dialect.name != "postgresql":
        return
    for table in metadata.sorted_tables:
        if (column := table.autoincrement_column) is not None:
            sequence, last = func.pg_get_serial_sequence(table.name, column.name), func.max(column)
            target.execute(select(func.setval(sequence, func.coalesce(last, 1), last.is_not(None))))
