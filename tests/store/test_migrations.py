"""From each earlier revision, with data in place, whoever starts at the same time."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from databases import KINDS, empty_database
from filled import contents, fill, reflected, value_for
from sqlalchemy import inspect, select, text
from sqlalchemy.exc import SQLAlchemyError
from waiting import PATIENCE_S

from demure.errors import DemureError, InvalidSetting
from demure.store.database import HEAD, MIGRATIONS, Database, revision, upgrade
from demure.store.schema import audit_head, counters, metadata, reviews

SCRIPTS = ScriptDirectory(str(MIGRATIONS))
REVISIONS = [script.revision for script in reversed([*SCRIPTS.walk_revisions()])]
EARLIER = [number for number in REVISIONS if number != HEAD]


@pytest.fixture(params=KINDS)
def url(request, tmp_path):
    """Of one that has no tables yet."""
    with empty_database(request.param, tmp_path) as url:
        yield url


@pytest.fixture
def empty(url, clock):
    database = Database(url, clock)
    yield database
    database.close()


def is_as_declared(database: Database) -> bool:
    return (
        database.read(lambda c: compare_metadata(MigrationContext.configure(c, opts={"compare_type": True}), metadata))
        == []
    )


def test_the_program_knows_the_last_revision():
    assert SCRIPTS.get_current_head() == HEAD
    assert EARLIER


def test_an_empty_database_is_given_every_table(empty):
    empty.migrate()
    assert empty.read(revision) == HEAD
    assert is_as_declared(empty)


@pytest.mark.parametrize("earlier", EARLIER)
def test_what_an_earlier_version_wrote_is_still_there(empty, earlier):
    empty.write(lambda c: upgrade(c, earlier))
    tables = empty.read(reflected)
    empty.write(lambda c: fill(c, tables))
    before = empty.read(lambda c: contents(c, tables))
    assert all(before.values())  # a row in each
    empty.migrate()
    assert empty.read(revision) == HEAD
    assert empty.read(lambda c: contents(c, tables)) == before
    assert is_as_declared(empty)


def test_what_waits_since_an_earlier_version_keeps_its_place_by_risk(empty):
    empty.write(lambda c: upgrade(c, "0002"))
    empty.write(lambda c: fill(c, reflected(c)))
    empty.migrate()
    found = empty.read(lambda c: c.execute(select(reviews.c.place, reviews.c.chance, reviews.c.tally)).one())
    assert found == (value_for(reviews.c.score), None, None)


def test_a_database_that_is_up_to_date_is_left_alone(database):
    tables = database.read(reflected)
    database.write(lambda c: fill(c, tables))
    before = database.read(lambda c: contents(c, tables))
    database.migrate()
    assert database.read(lambda c: contents(c, tables)) == before


def test_a_new_database_counts_from_nothing(database):
    assert sorted(database.read(lambda c: c.execute(counters.select()).all())) == [("events", 0), ("memory", 0)]
    assert database.read(lambda c: c.execute(audit_head.select()).all()) == [(1, 0, "0" * 64, 0, "0" * 64)]


def test_a_database_of_a_newer_version_is_refused_and_left_alone(database):
    database.write(lambda c: c.execute(text("UPDATE alembic_version SET version_num = '9999'")))
    with pytest.raises(InvalidSetting, match="newer version of demure"):
        database.migrate()
    assert database.read(revision) == "9999"


@pytest.mark.parametrize("earlier", EARLIER)
def test_a_migration_that_fails_leaves_the_earlier_state(empty, earlier):
    empty.write(lambda c: upgrade(c, earlier))
    before = set(empty.read(lambda c: inspect(c).get_table_names()))
    last = [name for name in metadata.tables if name not in before][-1]
    empty.write(lambda c: c.execute(text(f'CREATE TABLE "{last}" (in_the_way INTEGER)')))
    with pytest.raises((DemureError, SQLAlchemyError)):
        empty.migrate()
    assert empty.read(revision) == earlier
    assert set(empty.read(lambda c: inspect(c).get_table_names())) == {*before, last}


def test_processes_that_start_at_once_migrate_once(url, clock):
    program = "import sys; from demure.store.database import Database; d = Database(sys.argv[1]); print(flush=True); input(); d.migrate()"
    started = [
        subprocess.Popen(
            [sys.executable, "-c", program, url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    for process in started:
        process.stdout.readline()  # it stands at the line
    for process in started:
        process.stdin.write("\n")
        process.stdin.flush()
    ends = [process.communicate(timeout=PATIENCE_S) for process in started]
    assert [(process.returncode, errors) for process, (_, errors) in zip(started, ends, strict=True)] == [(0, "")] * 4
    database = Database(url, clock)
    assert database.read(lambda c: c.execute(text("SELECT version_num FROM alembic_version")).scalars().all()) == [HEAD]
    assert is_as_declared(database)
    database.close()


def test_who_comes_while_another_migrates_waits_for_it(empty, url, clock):
    other, began, go_on, ends = Database(url, clock), threading.Event(), threading.Event(), []

    def hold(c):
        if not other.is_sqlite:
            c.execute(text(f"SELECT pg_advisory_xact_lock({0x64656D757265})"))
        began.set()
        go_on.wait(PATIENCE_S)
        upgrade(c)

    first = threading.Thread(target=lambda: other.write(hold))
    first.start()
    assert began.wait(PATIENCE_S)
    second = threading.Thread(target=lambda: ends.append(empty.migrate()))
    second.start()
    second.join(0.5)
    assert ends == []  # it waits
    go_on.set()
    first.join()
    second.join()
    other.close()
    assert (ends, empty.read(revision)) == ([None], HEAD)
