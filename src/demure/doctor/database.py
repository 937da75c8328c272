"""The database itself: whether it can be asked, is up to date, whole, and takes what is written.

Nothing is written, not even what SQLite writes for a reader: a file that nobody has open is read as one that does not change,
and one that is open by the index that its writers keep.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, Engine, NullPool, create_engine, inspect, text
from sqlalchemy.exc import DBAPIError, NoSuchModuleError

from demure.doctor.contents import Contents, read_contents
from demure.doctor.finding import Finding, in_bytes, note, ok, problem
from demure.doctor.place import CHECK, Target, Unreadable
from demure.store.database import HEAD, MIGRATIONS, revision

_PATIENCE_S = 2.0  # for the look at a whole SQLite file
_STEPS = 100_000  # of SQLite's machine, from one look at the clock to the next
_DIAL_S = 5
_WAL = b"\x02\x02"  # bytes 18 and 19 of a file that keeps a write-ahead log (sqlite.org/fileformat.html, 1.3)
_MOST_APART_S = 5.0  # our clock, and a server's


@dataclass(frozen=True)
class Condition:
    """What the database says of itself. A field that does not apply says that all is well."""

    revision: str | None  # the last migration
    size_bytes: int
    contents: Contents | None  # None where the tables are not those of this version
    is_known: bool = True  # that migration
    has_tables: bool = True
    version: str = ""  # of PostgreSQL
    damage: str = ""  # of a SQLite file, in SQLite's words
    looked_through: bool = True
    keeps_log: bool = True  # a SQLite file: ahead of what is written
    takes_writes: bool = True
    is_private: bool = True  # the connection: by TLS, or on this machine
    apart_s: float = 0.0  # its clock is ahead of ours


def read_condition(
    target: Target, now_s: Callable[[], float] = time.time, patience_s: float = _PATIENCE_S
) -> Condition:
    """Raises Unreadable."""
    return _read_server(target, now_s) if target.path is None else read_file(target, target.path, patience_s)


def is_open(path: Path) -> bool:
    """Whether somebody has the file open, or had it when they were killed."""
    return Path(f"{path}-wal").exists()


def read_file(
    target: Target, path: Path, patience_s: float = _PATIENCE_S, is_open: Callable[[Path], bool] = is_open
) -> Condition:
    """A service may begin or end meanwhile: then what was read may be half of a change, and is read once more."""
    before = is_open(path)
    try:
        found = _read_file_once(target, path, is_open=before, patience_s=patience_s)
    except Unreadable:
        if before is is_open(path):
            raise
    else:
        if before is is_open(path):
            return found
    return _read_file_once(target, path, is_open=not before, patience_s=patience_s)


def _read_file_once(target: Target, path: Path, *, is_open: bool, patience_s: float) -> Condition:
    if is_open and not Path(f"{path}-shm").exists():
        raise Unreadable(
            f"{path}-wal is there and {path.name}-shm is not, as in a folder that was copied: SQLite cannot look without writing",
            "nothing, if it was copied whole: the next start makes what is missing; ask again after it",
        )
    how = "mode=ro&readonly_shm=1" if is_open else "mode=ro&immutable=1"
    url = f"{path.resolve().as_uri()}?{how}"
    engine = create_engine("sqlite://", poolclass=NullPool, creator=lambda: sqlite3.connect(url, uri=True))
    with _errors(target):
        with path.open("rb") as file:
            head = file.read(20)
        if not head:
            return Condition(None, 0, Contents(), has_tables=False)
        with engine.connect() as connection:
            found, is_known, has_tables = _revision(connection)
            damage = _damage(connection, patience_s)
            return Condition(
                revision=found,
                size_bytes=sum(file.stat().st_size for file in (path, Path(f"{path}-wal")) if file.exists()),
                contents=read_contents(connection) if found == HEAD else None,
                is_known=is_known,
                has_tables=has_tables,
                damage=damage or "",
                looked_through=damage is not None,
                keeps_log=head[18:20] == _WAL,
            )


def _damage(connection: Connection, patience_s: float) -> str | None:
    """What SQLite finds wrong first, "" for nothing; None if it took too long."""
    end = time.monotonic() + patience_s
    raw = connection.connection.driver_connection
    assert isinstance(raw, sqlite3.Connection)  # noqa: S101  the engine was made for it
    raw.set_progress_handler(lambda: time.monotonic() > end, _STEPS)
    try:
        said = str(connection.exec_driver_sql("PRAGMA quick_check(1)").scalar())
    except DBAPIError as error:
        interrupted = getattr(error.orig, "sqlite_errorcode", None) == sqlite3.SQLITE_INTERRUPT
        return None if interrupted else str(error.orig)
    finally:
        raw.set_progress_handler(None, 0)
    return "" if said == "ok" else said


_EXTRA = "install demure with its extra postgres; in a clone: pip install '.[postgres]'"


def _read_server(target: Target, now_s: Callable[[], float]) -> Condition:
    with _errors(target), _engine(target).connect() as connection:
        return _ask_server(connection, now_s)


def _engine(target: Target) -> Engine:
    """For one question: no pool, and no prepared statements (demure.store.database says why)."""
    arguments = {"connect_timeout": _DIAL_S, "prepare_threshold": None}
    try:
        engine = create_engine(target.url, poolclass=NullPool, connect_args=arguments, hide_parameters=True)
    except (ImportError, NoSuchModuleError):
        raise Unreadable("PostgreSQL needs a driver that is not installed", _EXTRA) from None
    return engine.execution_options(postgresql_readonly=True)


_QUESTIONS = text("""
    SELECT pg_database_size(current_database()) AS size,
           pg_is_in_recovery() AS is_copy,
           current_setting('server_version') AS version,
           coalesce(inet_server_addr() <<= '127.0.0.0/8' OR inet_server_addr() = '::1', true)
               OR coalesce((SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()), false) AS is_private,
           extract(epoch FROM clock_timestamp()) AS now_s
""")
_MAY_CREATE = text("SELECT has_schema_privilege(current_schema(), 'CREATE')")
_MAY_WRITE = text("""
    SELECT has_table_privilege('audit', 'INSERT')
       AND has_table_privilege('audit', 'UPDATE')
       AND has_table_privilege('audit', 'DELETE')
""")


def _ask_server(connection: Connection, now_s: Callable[[], float]) -> Condition:
    connection.execute(text("SET LOCAL statement_timeout = '5s'"))
    before = now_s()
    told = connection.execute(_QUESTIONS).one()
    apart_s = float(told.now_s) - (before + now_s()) / 2
    found, is_known, has_tables = _revision(connection)
    is_ours = has_tables and inspect(connection).has_table("audit")
    may = connection.execute(_MAY_WRITE if is_ours else _MAY_CREATE).scalar()
    return Condition(
        revision=found,
        size_bytes=told.size,
        contents=Contents() if found is None else read_contents(connection) if found == HEAD else None,
        is_known=is_known,
        has_tables=has_tables,
        version=told.version,
        takes_writes=bool(may) and not told.is_copy,
        is_private=told.is_private,
        apart_s=apart_s,
    )


def _revision(connection: Connection) -> tuple[str | None, bool, bool]:
    """The last migration, whether this version knows it, and whether there is any table."""
    from alembic.script import ScriptDirectory

    found = revision(connection)
    known = {script.revision for script in ScriptDirectory(str(MIGRATIONS)).walk_revisions()}
    return found, found is None or found in known, bool(inspect(connection).get_table_names())


@contextmanager
def _errors(target: Target) -> Iterator[None]:
    try:
        yield
    except (DBAPIError, OSError) as error:
        said = " ".join(str(getattr(error, "orig", error)).split())
        if target.url.password:
            said = said.replace(str(target.url.password), "***")
        raise Unreadable(f"{target.where}: {said}", _FILE_ADVICE if target.path else _SERVER_ADVICE) from None


_FILE_ADVICE = "where the file is damaged, or no database, keep a copy and restore a backup (demure restore)"
_SERVER_ADVICE = (
    "see that the server runs, can be reached from here, and lets the URL's user read and write that database"
)


def check_condition(found: Condition, where: str) -> Iterator[Finding]:
    version = f" {found.version}," if found.version else ""
    yield _on_revision(found, f"{where},{version} {in_bytes(found.size_bytes)}")
    yield from _on_file(found)
    yield from _on_server(found)


def _on_revision(found: Condition, told: str) -> Finding:
    if found.revision == HEAD:
        return ok(CHECK, f"{told}: up to date (revision {HEAD})")
    if not found.is_known:
        return problem(
            CHECK,
            f"{told}: written by a newer version of demure (revision {found.revision}; this one knows {HEAD})",
            "install that version, or restore a backup that this one wrote",
        )
    if found.revision is not None:
        return note(
            CHECK,
            f"{told}: of an older version (revision {found.revision}; this one has {HEAD})",
            "take a backup with the version that wrote it; the next start brings it up to date",
        )
    if found.has_tables:
        return note(
            CHECK, f"{told}: holds tables, and none of demure's", "is it the right one? The first start adds its own"
        )
    return ok(CHECK, f"{told}: empty; the first start makes its tables")


def _on_file(found: Condition) -> Iterator[Finding]:
    if found.damage:
        yield problem(
            CHECK,
            f"the file is damaged: {found.damage}",
            "stop the service, keep a copy, and restore a backup (demure restore)",
        )
    if not found.looked_through:
        yield note(
            CHECK,
            f"whether the file is whole was not seen in {_PATIENCE_S:g} s",
            "when the service is at rest: sqlite3 demure.db 'PRAGMA quick_check'",
        )
    if found.has_tables and not found.keeps_log:
        yield note(
            CHECK,
            "the file keeps no write-ahead log",
            "the next start makes it keep one; if this is said again, its disk cannot: see disk",
        )


def _on_server(found: Condition) -> Iterator[Finding]:
    if not found.takes_writes:
        yield problem(
            CHECK,
            "the server takes no writes from this user: it is a copy, or the user lacks a right",
            "name the primary server; GRANT INSERT, UPDATE, DELETE on the tables, and CREATE on the schema",
        )
    if not found.is_private:
        yield note(
            CHECK,
            "the connection to the server is not encrypted",
            "add ?sslmode=verify-full to DEMURE_DATABASE_URL, or keep it on a network of your own",
        )
    if abs(found.apart_s) > _MOST_APART_S:
        side = "ahead of" if found.apart_s > 0 else "behind"
        yield problem(
            CHECK,
            f"the server's clock is {abs(found.apart_s):,.0f} s {side} this machine's",
            "keep both right, by chrony: of several services each goes by its own",
        )
