"""What is said of a database, of real ones: SQLite at rest, in use, killed and damaged, and PostgreSQL."""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from databases import KINDS, empty_database, migrated, new_database, postgres
from findings import told
from sqlalchemy import column, insert, table, text, update
from sqlalchemy.engine import make_url
from sqlalchemy.exc import OperationalError

from demure.accounts import Role
from demure.doctor.contents import Contents, KeptKey
from demure.doctor.database import Condition, _engine, _errors, check_condition, read_condition, read_file
from demure.doctor.place import Target, Unreadable, target_of
from demure.keys import Scope, make_key
from demure.settings import Settings
from demure.store.database import HEAD, Database
from demure.store.keys import Keys
from demure.store.schema import deliveries
from demure.store.users import Users

WELL = Condition(HEAD, 2 * 1024 * 1024, Contents())
WHERE = "SQLite, /data/demure.db"
TOLD = f"{WHERE}, 2 MiB: up to date (revision {HEAD})"
CONDITIONS = {
    "well": (WELL, []),
    "damaged": (
        replace(WELL, damage="row 3 missing from index"),
        [
            (
                "problem",
                "the file is damaged: row 3 missing from index",
                "stop the service, keep a copy, and restore a backup (demure restore)",
            )
        ],
    ),
    "not-looked-through": (
        replace(WELL, looked_through=False),
        [
            (
                "note",
                "whether the file is whole was not seen in 2 s",
                "when the service is at rest: sqlite3 demure.db 'PRAGMA quick_check'",
            )
        ],
    ),
    "without-a-log": (
        replace(WELL, keeps_log=False),
        [
            (
                "note",
                "the file keeps no write-ahead log",
                "the next start makes it keep one; if this is said again, its disk cannot: see disk",
            )
        ],
    ),
    "no-writes": (
        replace(WELL, takes_writes=False),
        [
            (
                "problem",
                "the server takes no writes from this user: it is a copy, or the user lacks a right",
                "name the primary server; GRANT INSERT, UPDATE, DELETE on the tables, and CREATE on the schema",
            )
        ],
    ),
    "in-the-open": (
        replace(WELL, is_private=False),
        [
            (
                "note",
                "the connection to the server is not encrypted",
                "add ?sslmode=verify-full to DEMURE_DATABASE_URL, or keep it on a network of your own",
            )
        ],
    ),
    "as-late-as-may-be": (replace(WELL, apart_s=-5.0), []),
    "late": (
        replace(WELL, apart_s=-6.2),
        [
            (
                "problem",
                "the server's clock is 6 s behind this machine's",
                "keep both right, by chrony: of several services each goes by its own",
            )
        ],
    ),
    "early": (
        replace(WELL, apart_s=7200.0),
        [
            (
                "problem",
                "the server's clock is 7,200 s ahead of this machine's",
                "keep both right, by chrony: of several services each goes by its own",
            )
        ],
    ),
}
REVISIONS = {
    "older": (
        replace(WELL, revision="0001", contents=None),
        (
            "note",
            f"{WHERE}, 2 MiB: of an older version (revision 0001; this one has {HEAD})",
            "take a backup with the version that wrote it; the next start brings it up to date",
        ),
    ),
    "newer": (
        replace(WELL, revision="9999", is_known=False, contents=None),
        (
            "problem",
            f"{WHERE}, 2 MiB: written by a newer version of demure (revision 9999; this one knows {HEAD})",
            "install that version, or restore a backup that this one wrote",
        ),
    ),
    "anothers": (
        replace(WELL, revision=None, contents=None),
        (
            "note",
            f"{WHERE}, 2 MiB: holds tables, and none of demure's",
            "is it the right one? The first start adds its own",
        ),
    ),
    "empty": (
        replace(WELL, revision=None, has_tables=False, size_bytes=0),
        ("ok", f"{WHERE}, 0 bytes: empty; the first start makes its tables"),
    ),
}


@pytest.mark.parametrize(("found", "more"), CONDITIONS.values(), ids=CONDITIONS)
def test_a_condition_is_told(found: Condition, more: list[tuple[str, ...]]):
    assert told(check_condition(found, WHERE)) == [("ok", TOLD), *more]


@pytest.mark.parametrize(("found", "expected"), REVISIONS.values(), ids=REVISIONS)
def test_a_revision_is_told(found: Condition, expected: tuple[str, ...]):
    assert told(check_condition(found, WHERE)) == [expected]


def test_a_servers_version_is_told():
    (line,) = told(check_condition(replace(WELL, version="18.4"), "PostgreSQL at db, demure"))
    assert line == ("ok", f"PostgreSQL at db, demure, 18.4, 2 MiB: up to date (revision {HEAD})")


# --- Both kinds ---------------------------------------------------------------------------------------------------------


@pytest.fixture(params=KINDS)
def url(request, tmp_path: Path) -> Iterator[str]:
    with new_database(request.param, tmp_path) as made:
        yield made


def target(url: str) -> Target:
    return target_of(Settings(database_url=url))


def test_a_new_database_is_well_and_empty(url: str):
    found = read_condition(target(url))
    assert found.size_bytes > 0
    assert replace(found, size_bytes=WELL.size_bytes, version="", apart_s=0.0) == WELL
    assert abs(found.apart_s) < 5
    assert bool(found.version) is url.startswith("postgresql")


@pytest.mark.parametrize("kind", KINDS)
def test_a_database_without_tables_is_empty(kind: str, tmp_path: Path):
    with empty_database(kind, tmp_path) as url:
        if kind == "sqlite":
            (tmp_path / "demure.db").touch()
        found = read_condition(target(url))
    assert (found.revision, found.has_tables, found.contents, found.takes_writes) == (None, False, Contents(), True)


def test_what_bears_on_who_may_what_is_counted(url: str):
    with migrated(url, lambda: 1_000_000) as database:
        for name, scopes in (("site", ["classify"]), ("ops", ["admin"]), ("gone", ["review"])):
            Keys(database).add(make_key(name, scopes)[0])
        Keys(database).revoke("gone")
        users = Users(database)
        users.set_up(users.invite("anna", Role.ADMIN, "test"), "correct horse battery")
        users.set_up(users.invite("bert", Role.REVIEWER, "test"), "correct horse battery")
        users.set_up(users.invite("carl", Role.REVIEWER, "test"), "correct horse battery")
        users.disable("carl", "test")
        users.invite("dora", Role.ADMIN, "test")  # has not used the link
        letter = {"endpoint": "https://a.example/", "attempts": 10, "next_ms": 0}
        database.write(
            lambda c: c.execute(
                insert(deliveries),
                [{**letter, "event_id": 1, "state": "dead"}, {**letter, "event_id": 2, "state": "delivered"}],
            )
        )
    assert read_condition(target(url)).contents == Contents(
        keys=(
            KeptKey("ops", frozenset({Scope.ADMIN}), 1_000_000),
            KeptKey("site", frozenset({Scope.CLASSIFY}), 1_000_000),
        ),
        had_keys=True,
        admins=1,
        reviewers=1,
        waiting=0,
        dead_letters=1,
    )


@pytest.mark.parametrize(("written", "is_known"), [("0001", True), ("9999", False)])
def test_another_revision_is_told_and_its_tables_are_not_read(url: str, written: str, is_known: bool):
    version = table("alembic_version", column("version_num"))
    with migrated(url, lambda: 0) as database:
        database.write(lambda c: c.execute(update(version).values(version_num=written)))
    found = read_condition(target(url))
    assert (found.revision, found.is_known, found.contents) == (written, is_known, None)


# --- SQLite -------------------------------------------------------------------------------------------------------------


def fingerprint(folder: Path) -> dict[str, tuple[str, int]]:
    return {f.name: (hashlib.sha256(f.read_bytes()).hexdigest(), f.stat().st_mtime_ns) for f in folder.iterdir()}


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    with new_database("sqlite", tmp_path / "data"):
        yield tmp_path / "data"


def of(folder: Path) -> Target:
    return target(f"sqlite:///{folder / 'demure.db'}")


def test_a_file_at_rest_is_left_as_it_is(folder: Path):
    with migrated(of(folder).url.render_as_string(), lambda: 0) as database:
        Keys(database).add(make_key("site", ["classify"])[0])
    before = fingerprint(folder)
    assert [*before] == ["demure.db"]
    assert read_condition(of(folder)).contents.had_keys
    assert fingerprint(folder) == before


IN_USE = """
import sys
from demure.keys import make_key
from demure.store.database import Database
from demure.store.keys import Keys
database = Database("sqlite:///" + sys.argv[1])
Keys(database).add(make_key("site", ["classify"])[0])
print("written", flush=True)
sys.stdin.read()
database.close()
"""


def test_a_file_in_use_is_read_with_what_was_written_last_and_left_as_it_is(folder: Path):
    command = [sys.executable, "-c", IN_USE, str(folder / "demure.db")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as service:
        assert service.stdout.readline() == b"written\n"
        before = fingerprint(folder)
        assert {*before} == {"demure.db", "demure.db-shm", "demure.db-wal"}
        found = read_condition(of(folder))
        assert fingerprint(folder) == before
        service.stdin.close()
    assert found.contents.had_keys
    assert found.size_bytes > (folder / "demure.db").stat().st_size


@pytest.mark.parametrize("seen", [[False, True], [False, False], [True, False]])
def test_a_file_that_is_opened_or_closed_while_it_is_read_is_read_once_more(folder: Path, seen: list[bool]):
    """The key is in the log alone while the file is in use: who reads the file as if it were at rest does not see it."""
    looks = iter(seen)
    if seen[0]:  # it has just been closed: there is no log to be read, and no index
        assert read_file(of(folder), folder / "demure.db", is_open=lambda _: next(looks)).revision == HEAD
        return
    command = [sys.executable, "-c", IN_USE, str(folder / "demure.db")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as service:
        assert service.stdout.readline() == b"written\n"
        found = read_file(of(folder), folder / "demure.db", is_open=lambda _: next(looks))
        service.stdin.close()
    assert found.contents.had_keys is seen[1]


def test_a_file_that_cannot_be_read_and_is_as_it_was_is_not_read_again(folder: Path):
    (folder / "demure.db").write_bytes(b"hello" * 1000)
    looks = iter([False, False])
    with pytest.raises(Unreadable, match="file is not a database"):
        read_file(of(folder), folder / "demure.db", is_open=lambda _: next(looks))


def test_a_writer_at_work_is_not_waited_for(folder: Path):
    with sqlite3.connect(folder / "demure.db", isolation_level=None) as writer:
        writer.execute("PRAGMA journal_mode = WAL")
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("INSERT INTO tombstones VALUES (x'00', 0, 'me')")
        assert read_condition(of(folder)).revision == HEAD
        writer.execute("ROLLBACK")
    writer.close()


KILLED = """
import os, sys
from demure.keys import make_key
from demure.store.database import Database
from demure.store.keys import Keys
Keys(Database("sqlite:///" + sys.argv[1])).add(make_key("site", ["classify"])[0])
os.kill(os.getpid(), 9)
"""


def test_what_a_killed_service_left_is_read_and_left(folder: Path):
    subprocess.run([sys.executable, "-c", KILLED, str(folder / "demure.db")], check=False)
    before = fingerprint(folder)
    assert {*before} == {"demure.db", "demure.db-shm", "demure.db-wal"}
    assert read_condition(of(folder)).contents.had_keys
    assert fingerprint(folder) == before


def test_a_log_that_was_copied_without_its_index_is_left_to_the_next_start(folder: Path):
    subprocess.run([sys.executable, "-c", KILLED, str(folder / "demure.db")], check=False)
    (folder / "demure.db-shm").unlink()
    before = fingerprint(folder)
    with pytest.raises(Unreadable) as refused:
        read_condition(of(folder))
    assert refused.value.found == (
        f"{folder}/demure.db-wal is there and demure.db-shm is not, as in a folder that was copied: SQLite cannot look"
        " without writing"
    )
    assert refused.value.advice.startswith("nothing, if it was copied whole: the next start makes what is missing;")
    assert fingerprint(folder) == before
    with migrated(of(folder).url.render_as_string(), lambda: 0) as database:  # as the next start does
        assert read_condition(of(folder)).contents.had_keys
        assert database.answers()


def test_a_file_that_never_kept_a_log_is_told(folder: Path):
    with sqlite3.connect(folder / "demure.db") as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
    connection.close()
    assert not read_condition(of(folder)).keeps_log


def test_a_damaged_file_is_found(folder: Path):
    """A page of an index is overwritten: what is in it does not agree with its table any more."""
    with sqlite3.connect(folder / "demure.db") as connection:
        root, size = connection.execute(
            "SELECT rootpage, (SELECT page_size FROM pragma_page_size) FROM sqlite_master WHERE name = 'audit'"
        ).fetchone()
    connection.close()
    with (folder / "demure.db").open("r+b") as file:
        file.seek((root - 1) * size)
        file.write(b"\xff" * size)
    found = read_condition(of(folder))
    assert found.damage
    assert found.looked_through


def test_a_file_that_is_no_database_cannot_be_read(folder: Path):
    (folder / "demure.db").write_bytes(b"hello" * 1000)
    with pytest.raises(Unreadable) as refused:
        read_condition(of(folder))
    assert refused.value.found == f"SQLite, {folder / 'demure.db'}: file is not a database"
    assert refused.value.advice == (
        "where the file is damaged, or no database, keep a copy and restore a backup (demure restore)"
    )


def test_a_look_that_takes_too_long_is_ended(folder: Path):
    with sqlite3.connect(folder / "demure.db") as connection:
        connection.execute("CREATE TABLE much (n)")
        count = "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 200000) SELECT n FROM c"
        connection.execute(f"INSERT INTO much {count}")
    connection.close()
    assert not read_condition(of(folder), patience_s=0.0).looked_through
    assert read_condition(of(folder), patience_s=60.0).looked_through


# --- PostgreSQL ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    with new_database("postgresql", tmp_path) as made:
        yield made


def test_a_user_who_may_only_read_is_told(server: str):
    with contextlib.closing(Database(server)) as database:
        execute(database, "CREATE ROLE reader LOGIN", "GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader")
        try:
            found = read_condition(
                target(make_url(server).set(username="reader").render_as_string(hide_password=False))
            )
        finally:
            execute(database, "DROP OWNED BY reader", "DROP ROLE reader")
    assert (found.takes_writes, found.revision) == (False, HEAD)


def execute(database: Database, *statements: str) -> None:
    with database.engine.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


def test_nothing_can_be_written_while_a_server_is_asked(server: str):
    """The transaction is read-only: a server's own word for it."""
    with _engine(target(server)).connect() as connection:
        assert connection.execute(text("SHOW transaction_read_only")).scalar() == "on"


def test_how_far_clocks_are_apart_is_measured(server: str):
    assert read_condition(target(server), lambda: time.time() - 100).apart_s == pytest.approx(100, abs=30)


ADVICE = "see that the server runs, can be reached from here, and lets the URL's user read and write that database"


def test_a_server_that_is_not_there_is_told_without_the_password():
    with pytest.raises(Unreadable) as refused:
        read_condition(target("postgresql://me:hunter2@127.0.0.1:1/demure"))
    assert refused.value.found.startswith("PostgreSQL at 127.0.0.1:1, demure: ")
    assert "Connection refused" in refused.value.found
    assert "hunter2" not in refused.value.found
    assert refused.value.advice == ADVICE


def test_an_error_that_holds_the_password_is_told_without_it():
    there = target("postgresql://me:hunter2@db.example/demure")
    with pytest.raises(Unreadable) as refused, _errors(there):
        raise OperationalError("", None, Exception("hunter2:\n  no such password"))
    assert refused.value.found == "PostgreSQL at db.example, demure: ***: no such password"


def test_a_database_that_is_not_there_is_told(server: str):
    absent = make_url(server).set(database="absent", password="hunter2").render_as_string(hide_password=False)
    with pytest.raises(Unreadable) as refused:
        read_condition(target(absent))
    assert 'database "absent" does not exist' in refused.value.found
    assert postgres()  # which goes on
