"""One connection's worth of either database: how it is opened, migrated, and written to. Knows no table but the version's.

SQLite waits for its one writer and PostgreSQL for a row; in both a transaction here sees what it reads until it ends, and what
was acknowledged is on the disk.
"""

from __future__ import annotations

import errno
import sqlite3
import time
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, Row, Table, create_engine, event, inspect, text
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import QueuePool

from demure.errors import InvalidSetting, StorageFull, StorageUnavailable

T = TypeVar("T")

HEAD = "0003"  # the last migration
MIGRATIONS = Path(__file__).parent / "migrations"
_LOCK = 0x64656D757265  # of PostgreSQL, while migrating; any number that nobody else takes
_BUSY_MS = 10_000
_EMPTYING_MS = 50  # for which writers wait at most while readers keep SQLite's log from being emptied
_TRIES = 5  # PostgreSQL ends one of two transactions that wait for each other
_AGAIN = ("40001", "40P01")  # serialization_failure, deadlock_detected
_DISK_FULL = "53100"
# A server that is gone without a word is noticed within half a minute (libpq's names; seconds, and milliseconds the last).
_NOTICED = {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3, "tcp_user_timeout": 25_000}
_QUIET: dict[str, Any] = {"hide_parameters": True}  # errors are logged: no note, name or hash goes there


class Database:
    """Thread-safe. Raises InvalidSetting for a URL that cannot be, StorageFull and StorageUnavailable from everything else."""

    def __init__(self, url: str, now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000) -> None:
        self.now_ms = now_ms
        self.engine = _open(url)
        self.is_sqlite = self.engine.dialect.name == "sqlite"
        self.path = Path(self.engine.url.database) if self.is_sqlite and self.engine.url.database else None
        self.is_lasting = not self.is_sqlite or self.path is not None

    def migrate(self) -> None:
        """Bring the tables up to date. Of several processes that start at once, one does it and the others wait."""
        with _translated(), self._begin(write=True) as connection:
            if not self.is_sqlite:  # there BEGIN IMMEDIATE is the lock
                connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
            if revision(connection) != HEAD:
                upgrade(connection)

    def write(self, work: Callable[[Connection], T], *, durable: bool = True) -> T:
        """Run it in one transaction, which is on the disk when this returns.

        `durable=False` may lose it when the machine fails, never when the process does. `work` may be run several times.
        """
        with _translated():
            for _ in range(_TRIES - 1):
                try:
                    return self._write(work, durable=durable)
                except DBAPIError as error:
                    if getattr(error.orig, "sqlstate", None) not in _AGAIN:
                        raise
            return self._write(work, durable=durable)

    def read(self, work: Callable[[Connection], T]) -> T:
        """Run it over one state of the database."""
        with _translated(), self._begin(write=False) as connection:
            return work(connection)

    def empty_log(self) -> bool:
        """Let nothing that was deleted stand in SQLite's log beside the database, where pages stay until others take their place.

        Outside of a transaction. False where somebody still reads from the log, or the disk is full: for the next sweep to try
        again. PostgreSQL keeps its own log.
        """
        if self.path is None:
            return True
        try:
            # mode=rw: none is made where there is none.
            file = f"{self.path.absolute().as_uri()}?mode=rw"
            with closing(sqlite3.connect(file, _EMPTYING_MS / 1000, isolation_level=None, uri=True)) as connection:
                (busy, *_) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        except sqlite3.Error:
            return False
        return not busy

    def answers(self) -> bool:
        """Whether it can be asked now."""
        try:
            return self.read(lambda c: c.execute(text("SELECT 1")).scalar()) == 1
        except (StorageUnavailable, StorageFull):
            return False

    def close(self) -> None:
        self.engine.dispose()

    def _write(self, work: Callable[[Connection], T], *, durable: bool) -> T:
        with self._begin(write=True, durable=durable) as connection:
            if not (durable or self.is_sqlite):
                connection.execute(text("SET LOCAL synchronous_commit TO off"))
            return work(connection)

    @contextmanager
    def _begin(self, *, write: bool, durable: bool = True) -> Iterator[Connection]:
        options: dict[str, Any] = {"write": write, "durable": durable}
        if not (write or self.is_sqlite):
            options["isolation_level"] = "REPEATABLE READ"
        with self.engine.connect().execution_options(**options) as connection, connection.begin():
            yield connection


def upsert(
    table: Table,
    connection: Connection,
    values: Mapping[str, Any] | Sequence[Mapping[str, Any]],
    keys: Sequence[str],
    keep: Container[str] = (),
) -> None:
    """Insert rows, or give those with the same `keys` their values, except those to `keep`. All rows name the same columns."""
    rows = [values] if isinstance(values, Mapping) else list(values)
    statement = insert_into(table, connection.dialect.name)
    new = {name: statement.excluded[name] for name in rows[0] if name not in keys and name not in keep}
    connection.execute(statement.on_conflict_do_update(index_elements=list(keys), set_=new), rows)


def insert_new(table: Table, connection: Connection, values: Mapping[str, Any]) -> Row[Any] | None:
    """Insert a row and return it; None where another has what must be unique."""
    statement = insert_into(table, connection.dialect.name).values(values).on_conflict_do_nothing().returning(table)
    return connection.execute(statement).one_or_none()


def insert_into(table: Table, dialect: str) -> Any:
    """An INSERT that knows ON CONFLICT."""
    return (sqlite_insert if dialect == "sqlite" else postgresql_insert)(table)


def revision(connection: Connection) -> str | None:
    """The last migration that this database has seen."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def upgrade(connection: Connection, to: str = "head") -> None:
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, to)
    except CommandError as error:
        raise InvalidSetting(
            f"DEMURE_DATABASE_URL: this database was written by a newer version of demure ({error}); install that one"
        ) from error


def _open(url: str) -> Engine:
    try:
        parsed = make_url(url)
        if parsed.drivername in ("postgres", "postgresql"):
            parsed = parsed.set(drivername="postgresql+psycopg")
        match parsed.drivername:
            case "sqlite":
                return _open_sqlite(parsed)
            case "postgresql+psycopg":
                # No prepared statements: a pool of connections between us and the server would mix them up.
                arguments = {"prepare_threshold": None, "connect_timeout": 10, **_NOTICED}
                return create_engine(parsed, pool_pre_ping=True, pool_size=8, connect_args=arguments, **_QUIET)
    except ImportError as error:
        raise InvalidSetting(
            "DEMURE_DATABASE_URL: PostgreSQL needs its driver: pip install -r requirements/postgres.txt, in the clone"
        ) from error
    except (ArgumentError, NoSuchModuleError, ValueError):  # the last for a port that is no number
        pass  # the URL may hold a password: it is not shown
    raise InvalidSetting(
        "DEMURE_DATABASE_URL: expected sqlite:///path, sqlite:// (nothing is kept) or postgresql://user:password@host/name"
    )


def _open_sqlite(url: Any) -> Engine:
    if url.database and url.database != ":memory:":
        path = Path(url.database).expanduser()
        _make_private(path)
        engine = create_engine(url.set(database=str(path)), **_QUIET)
    else:  # in memory, and so one connection that all take turns with
        arguments = {"check_same_thread": False}
        engine = create_engine(
            "sqlite://", poolclass=QueuePool, pool_size=1, max_overflow=0, connect_args=arguments, **_QUIET
        )
    event.listen(engine, "connect", _set_up_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _make_private(path: Path) -> None:
    """Its owner's alone, pictures are in it; SQLite gives the files beside it the same rights."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.touch(0o600)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageFull(f"{path}: cannot be made: the disk is full") from error
        raise InvalidSetting(
            f"{path}: cannot be written ({error.strerror}); DEMURE_DATA_DIR names the folder, or set DEMURE_DATABASE_URL"
        ) from error


def _set_up_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None  # the driver begins no transactions of its own
    connection.execute(f"PRAGMA busy_timeout = {_BUSY_MS}")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA secure_delete = ON")  # what was deleted is overwritten; of the log, see empty_log


def _begin_sqlite(connection: Connection) -> None:
    options = connection.get_execution_options()
    connection.exec_driver_sql(f"PRAGMA synchronous = {'FULL' if options.get('durable', True) else 'NORMAL'}")
    # A transaction that reads first and then writes would fail where another wrote in between.
    connection.exec_driver_sql("BEGIN IMMEDIATE" if options.get("write") else "BEGIN")


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except SQLAlchemyError as error:
        cause = getattr(error, "orig", None)
        if (
            getattr(cause, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
            or getattr(cause, "sqlstate", "") == _DISK_FULL
        ):
            raise StorageFull("the database's disk is full; nothing that was there is lost") from error
        # The last is the pool's: all connections are taken.
        if (isinstance(error, DBAPIError) and not _is_ours(error)) or isinstance(error, PoolTimeout):
            raise StorageUnavailable("the database does not answer; try again later") from error
        raise


def _is_ours(error: DBAPIError) -> bool:
    """Whether a statement was wrong rather than the database out of reach."""
    from sqlalchemy.exc import DataError, IntegrityError, ProgrammingError

    return isinstance(error, DataError | IntegrityError | ProgrammingError)
