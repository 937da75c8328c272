"""The shell's commands for what is kept: `demure audit …`, `backup`, `restore`, `sweep`. Thin, as cli.py.

Exit codes: 0 done, 1 the audit log does not hold, 2 (by cli.main) the question was wrong and nothing was done.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from demure.cli.parts import read_settings
from demure.errors import SourceNotFound

if TYPE_CHECKING:
    from demure.audit import Record
    from demure.settings import Settings
    from demure.store.database import Database

memory_app = typer.Typer(no_args_is_help=True, help="Bring along, or take away, what was decided, by hash.")
audit_app = typer.Typer(no_args_is_help=True, help="Verify and export the log of every view and verdict.")

_DOES_NOT_HOLD = 1
_BY = "shell"


@audit_app.command("verify")
def verify_audit(
    head: Annotated[
        str | None, typer.Option(metavar="SEQ:HASH", help="A head that was kept elsewhere: it must be in the log.")
    ] = None,
) -> None:
    """Walk the log's chain of hashes: print its head, or where it breaks and exit with 1.

    Who can write the database can make a whole new chain. It proves something only against a head that was kept elsewhere.
    """
    from demure.audit import Break, parse_head
    from demure.store.audit import verify

    kept = None if head is None else parse_head(head)
    with open_kept() as database:
        found = verify(database, kept)
    if isinstance(found, Break):
        print(found)
        raise typer.Exit(_DOES_NOT_HOLD)
    remark = f"; record {kept.seq} was swept since: keep a newer head" if kept and not found.seen else ""
    print(f"{found.head} holds, from record {found.swept.seq + 1}{remark}")


@audit_app.command("head")
def print_head() -> None:
    """Print the last record's SEQ:HASH. Keep it where who can write the database cannot."""
    from demure.store.audit import head

    with open_kept() as database:
        print(database.read(head))


@audit_app.command("export")
def export_audit(
    file: Annotated[str, typer.Argument(metavar="[FILE|-]", help="A new file; - writes to standard output.")] = "-",
) -> None:
    """Write the log as JSON lines, each with the hash before its own."""
    from demure.store.backup import new_file

    with open_kept() as database:
        if file == "-":
            _export(database, sys.stdout)
        else:
            with new_file(Path(file)) as draft, draft.open("w", encoding="ascii") as lines:
                _export(database, lines)


@memory_app.command("import")
def import_memory(
    file: Annotated[str, typer.Argument(metavar="FILE|-", help="CSV: hash,kind,verdict; kinds are sha256 and pdq.")],
) -> None:
    """Remember a list of verdicts. All of it or, if a line is wrong, nothing."""
    from demure.store.lists import take_in

    with _store() as database, _opened(file) as lines:
        count = take_in(database, lines, _BY)
    print(f"{count} hashes are remembered; a running service knows them from now on.")


@memory_app.command("export")
def export_memory() -> None:
    """Write all that is remembered to standard output, as `demure memory import` reads it."""
    from demure.store.lists import write_out

    with open_kept() as database:
        write_out(database, sys.stdout)


def backup(file: Annotated[Path, typer.Argument(help="A new file, which only you can read.")]) -> None:
    """Write all that is kept into one file, while the service runs, and say what it holds."""
    from demure.store.backup import backup as write

    with open_kept() as database:
        written = write(database, file)
    print(f"{file}: {written.size_bytes:,} bytes; rows: {written.rows:,}, of reviews: {written.reviews:,}")


def restore(
    file: Annotated[Path, typer.Argument(help="What `demure backup` wrote, from SQLite or PostgreSQL.")],
    replace: Annotated[bool, typer.Option("--replace", help="Delete what the database holds now.")] = False,
) -> None:
    """Read a backup into the database of the settings. Stop the service first."""
    from demure.store.backup import restore as read

    with _store() as database:
        read(database, file, replace=replace)


def sweep() -> None:
    """Delete now what was kept long enough. A running service does so by itself."""
    from demure.store.retention import keep_of
    from demure.store.retention import sweep as run

    settings = read_settings()
    with open_kept(settings) as database:
        swept = run(database, keep_of(settings), settings.webhook_urls)
    for table, rows in swept.deleted.items():
        print(f"{table}\t{rows}")
    if swept.expired:
        print(f"expired\t{swept.expired}")
    if swept.broken:
        print(f"the audit log is {swept.broken}; it was not swept", file=sys.stderr)
        raise typer.Exit(_DOES_NOT_HOLD)


@contextmanager
def _opened(file: str) -> Iterator[TextIO]:
    if file == "-":
        yield sys.stdin
        return
    try:
        with Path(file).open(encoding="utf-8", newline="") as lines:
            yield lines
    except OSError as error:
        raise SourceNotFound(f"{file}: {error.strerror}") from error


def open_kept(settings: Settings | None = None) -> closing[Database]:
    """What is there already: who looks for what is kept is not answered out of a new and empty database.

    Raises SourceNotFound where SQLite has no file yet.
    """
    settings = settings or read_settings()
    file = _sqlite_file(settings)
    if file is not None and not _holds_something(file):
        raise SourceNotFound(
            f"there is no database at {file}; DEMURE_DATA_DIR and DEMURE_DATABASE_URL say where it is, as the service has them"
        )
    return _store(settings)


def _sqlite_file(settings: Settings) -> Path | None:
    """None for PostgreSQL, and for a URL that is refused when it is opened."""
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    if not settings.database_url:
        return settings.data_dir.expanduser() / "demure.db"
    try:
        url = make_url(settings.database_url)
    except (ArgumentError, ValueError):
        return None
    if url.drivername != "sqlite":
        return None
    if not url.database or url.database == ":memory:":
        raise SourceNotFound("SQLite in memory is there for the process alone that has it; DEMURE_DATABASE_URL says so")
    return Path(url.database).expanduser()


def _holds_something(file: Path) -> bool:
    """A file that cannot be looked at is left to the error of opening it; one of no bytes was only ever opened."""
    try:
        return file.stat().st_size > 0
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True


def _store(settings: Settings | None = None) -> closing[Database]:
    from demure.store import open_database

    return closing(open_database(settings or read_settings()))


def _export(database: Database, lines: TextIO) -> None:
    from demure.store.audit import records, swept

    database.read(lambda c: lines.writelines(_as_lines(swept(c).hash, records(c))))


def _as_lines(previous: str, records: Iterable[Record]) -> Iterator[str]:
    import json

    for record in records:
        yield json.dumps({**vars(record), "previous": previous}) + "\n"
        previous = record.hash
