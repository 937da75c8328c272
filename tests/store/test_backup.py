"""What is kept goes into one file and comes out of it the same, from either database into either, or not at all."""

from __future__ import annotations

import errno
import json
import os
import sqlite3
import stat
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest
from databases import KINDS, migrated, new_database
from filled import contents, fill, value_for
from sqlalchemy import delete, event, func, insert, select, text

from demure.audit import Head
from demure.errors import Conflict, InvalidSetting, SourceNotFound, StorageFull
from demure.store.audit import append, head, verify
from demure.store.backup import backup, new_file, restore
from demure.store.database import HEAD, Database, revision, upgrade
from demure.store.schema import audit, audit_head, counters, hashes, metadata, previews, submissions, tombstones


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "store.backup"


@pytest.fixture(params=KINDS)
def other(request, tmp_path, clock):
    """A second database, of either kind."""
    folder = tmp_path / "other"
    folder.mkdir()
    with new_database(request.param, folder) as url, migrated(url, clock) as database:
        yield database


def in_use(database, clock) -> None:
    """A row in every table; counters that moved, and a log that holds."""

    def work(c):
        fill(c, metadata)
        c.execute(counters.update().values(value=counters.c.value + 41))
        c.execute(delete(audit))
        for number in range(3):
            append(c, clock(), "user:anna", "review.viewed", "review:1", number=number)

    database.write(work)


def everything(database) -> dict[str, list[dict]]:
    return database.read(lambda c: contents(c, metadata))


def without_the_log(told: dict[str, list[dict]]) -> dict[str, list[dict]]:
    return {name: rows for name, rows in told.items() if name not in ("audit", "audit_head")}


def test_all_that_is_kept_comes_back_in_either_database(database, other, file, clock):
    in_use(database, clock)
    before = everything(database)
    assert all(before.values())
    backup(database, file)
    assert everything(database) == before
    clock.pass_s(5)
    restore(other, file, replace=False)
    after = everything(other)
    assert without_the_log(after) == without_the_log(before)
    # The log goes on with a record of what was done.
    assert after["audit"][:3] == before["audit"]
    (restored,) = after["audit"][3:]
    assert (restored["at_ms"], restored["actor"], restored["action"]) == (clock(), "shell", "store.restored")
    assert json.loads(restored["details"]) == {"replaced": f"0:{'0' * 64}"}
    assert verify(other, database.read(head)).head.seq == 4


def test_what_is_written_after_a_restore_takes_numbers_of_its_own(database, other, file, clock):
    rows = [{"id": n, "sha256": bytes([n]), "caller_id": "", "subject": "", "sent_ms": 0} for n in (3, 7)]
    known = {"id": 9, "kind": "pdq", "hash": b"\1", "verdict": "safe", "decided_by": "a", "decided_ms": 0, "change": 1}
    database.write(lambda c: (c.execute(insert(submissions), rows), c.execute(insert(hashes).values(known))))
    backup(database, file)
    restore(other, file, replace=False)
    new = {"sha256": b"new", "caller_id": "", "subject": "", "sent_ms": 0}
    assert other.write(lambda c: c.execute(insert(submissions).values(new)).inserted_primary_key) == (8,)
    again = {**known, "id": 10, "hash": b"\2"}
    del again["id"]
    assert other.write(lambda c: c.execute(insert(hashes).values(again)).inserted_primary_key) == (10,)


def test_an_empty_database_comes_back_empty_and_counts_from_one(database, other, file):
    backup(database, file)
    restore(other, file, replace=False)
    new = {"sha256": b"new", "caller_id": "", "subject": "", "sent_ms": 0}
    assert other.write(lambda c: c.execute(insert(submissions).values(new)).inserted_primary_key) == (1,)
    assert other.read(lambda c: c.execute(select(audit_head.c.id, audit_head.c.seq)).all()) == [(1, 1)]


def test_many_rows_come_back(database, other, file):
    rows = [
        {
            "review_id": f"{n:04}",
            "number": 0,
            "frame": 0,
            "width": 1,
            "height": 1,
            "type": "image/jpeg",
            "data": os.urandom(2000),
        }
        for n in range(350)
    ]
    database.write(lambda c: c.execute(insert(previews), rows))
    backup(database, file)
    restore(other, file, replace=False)
    stored = other.read(
        lambda c: c.execute(select(previews.c.review_id, previews.c.data).order_by(previews.c.review_id)).all()
    )
    assert [(review, bytes(data)) for review, data in stored] == [(row["review_id"], row["data"]) for row in rows]


def test_a_backup_is_one_file_that_only_its_owner_can_read(database, file, clock):
    in_use(database, clock)
    backup(database, file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path.name for path in file.parent.iterdir() if "backup" in path.name] == [file.name]
    with closing(sqlite3.connect(file)) as plain:
        assert plain.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert plain.execute("PRAGMA journal_mode").fetchone() == ("delete",)  # none of SQLite's files beside it
        assert plain.execute("SELECT version_num FROM alembic_version").fetchall() == [(HEAD,)]
        assert plain.execute("SELECT count(*) FROM audit").fetchone() == (3,)


def test_a_backup_is_of_one_moment(database, file, clock, monkeypatch):
    """Somebody writes between two tables: into one that was copied, and one that was not."""
    names = [table.name for table in metadata.sorted_tables]
    assert names.index("api_keys") < names.index("tombstones")
    seen = []

    def write(connection, cursor, statement, *rest):
        if "FROM counters" in statement and not seen:
            seen.append(statement)
            row = {"sha256": b"late", "deleted_ms": 1, "deleted_by": "late"}
            late = Database(database.engine.url.render_as_string(hide_password=False), clock)
            late.write(lambda c: c.execute(insert(tombstones).values(row)))
            late.close()

    event.listen(database.engine, "before_cursor_execute", write)
    backup(database, file)
    assert seen
    with closing(sqlite3.connect(file)) as plain:
        assert plain.execute("SELECT count(*) FROM tombstones").fetchone() == (0,)
    assert database.read(lambda c: c.execute(select(func.count()).select_from(tombstones)).scalar()) == 1


def test_a_file_that_is_there_is_not_overwritten(database, file):
    file.write_text("dear to somebody")
    with pytest.raises(Conflict, match="is there already"):
        backup(database, file)
    assert file.read_text() == "dear to somebody"


def test_a_file_that_is_there_is_found_before_the_work(file):
    file.write_text("dear to somebody")
    began = []

    def write():
        with new_file(file):
            began.append(file)

    with pytest.raises(Conflict):
        write()
    assert began == []


def test_a_file_that_comes_meanwhile_is_not_overwritten(file):
    def write():
        with new_file(file) as draft:
            draft.write_text("mine")
            file.write_text("theirs")

    with pytest.raises(Conflict):
        write()
    assert (file.read_text(), [*file.parent.iterdir()]) == ("theirs", [file])


@pytest.mark.parametrize(
    ("failure", "told"),
    [(ZeroDivisionError(), ZeroDivisionError), (OSError(errno.ENOSPC, "No space left on device"), StorageFull)],
    ids=["any", "full-disk"],
)
def test_a_draft_that_fails_leaves_nothing(file, failure, told):
    def write():
        with new_file(file) as draft:
            assert stat.S_IMODE(draft.stat().st_mode) == 0o600
            draft.write_text("half")
            raise failure

    with pytest.raises(told):
        write()
    assert [*file.parent.iterdir()] == []


def test_a_file_is_not_seen_under_its_name_before_it_is_whole(file):
    with new_file(file) as draft:
        draft.write_text("half")
        assert not file.exists()
    assert file.read_text() == "half"


def test_a_folder_that_is_not_there_is_told(database, tmp_path):
    with pytest.raises(InvalidSetting, match="cannot be written \\(No such file or directory\\)"):
        backup(database, tmp_path / "absent" / "store.backup")


def test_a_file_that_cannot_grow_is_told_and_leaves_nothing(database, clock, tmp_path):
    in_use(database, clock)
    program = (
        "import sys, resource, signal; from pathlib import Path; from demure.store.backup import backup\n"
        "from demure.store.database import Database\n"
        "from demure.errors import DemureError\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536))\n"
        "try: backup(Database(sys.argv[1]), Path(sys.argv[2]))\n"
        "except DemureError as error: print(error.code, error.message)"
    )
    folder = tmp_path / "full"
    folder.mkdir()
    url = database.engine.url.render_as_string(hide_password=False)
    done = subprocess.run(
        [sys.executable, "-B", "-c", program, url, str(folder / "b")], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("invalid_setting ")
    assert "cannot be written (disk I/O error)" in done.stdout
    assert [*folder.iterdir()] == []


def test_a_database_that_holds_something_is_not_overwritten_unless_that_is_said(database, other, file, clock):
    in_use(database, clock)
    backup(database, file)
    row = {"sha256": b"mine", "deleted_ms": 1, "deleted_by": "me"}
    other.write(lambda c: c.execute(insert(tombstones).values(row)))
    before = everything(other)
    with pytest.raises(Conflict, match="not empty"):
        restore(other, file, replace=False)
    assert everything(other) == before
    restore(other, file, replace=True)
    assert without_the_log(everything(other)) == without_the_log(everything(database))


def test_each_table_makes_a_database_one_that_is_not_empty(database, file):
    backup(database, file)

    def touch(c, table):
        if table is counters:
            c.execute(counters.update().where(counters.c.name == "events").values(value=1))
        elif table is audit_head:
            c.execute(audit_head.update().values(seq=1))
        else:
            row = {column.name: value_for(column) for column in table.columns}
            c.execute(insert(table).values(row))

    def clear(c, table):
        if table is counters:
            c.execute(counters.update().values(value=0))
        elif table is audit_head:
            c.execute(audit_head.update().values(seq=0))
        else:
            c.execute(delete(table))

    for table in metadata.sorted_tables:
        database.write(lambda c, t=table: touch(c, t))
        with pytest.raises(Conflict, match="not empty"):
            restore(database, file, replace=False)
        database.write(lambda c, t=table: clear(c, t))
    restore(database, file, replace=False)


def test_a_restore_over_another_log_says_which_it_took_the_place_of(database, other, file, clock):
    in_use(database, clock)
    backup(database, file)
    in_use(other, clock)
    lost = other.read(head)
    restore(other, file, replace=True)
    last = other.read(lambda c: c.execute(select(audit).order_by(audit.c.seq.desc()).limit(1)).one())
    assert json.loads(last.details) == {"replaced": str(lost)}
    assert isinstance(verify(other).head, Head)


@pytest.mark.parametrize("damage", ["DROP TABLE users", "ALTER TABLE users DROP COLUMN role"])
def test_a_restore_that_fails_leaves_what_was_there(database, other, file, clock, damage):
    in_use(database, clock)
    backup(database, file)
    in_use(other, clock)
    before = everything(other)
    with closing(sqlite3.connect(file)) as plain, plain:
        plain.execute(damage)  # one of the last to be read
    with pytest.raises(InvalidSetting, match="damaged, or no backup"):
        restore(other, file, replace=True)
    assert everything(other) == before


def test_a_backup_of_an_earlier_version_is_brought_up_to_date_on_the_way(database, file, clock):
    with closing(Database(f"sqlite:///{file}", clock)) as early:
        early.write(lambda c: upgrade(c, "0001"))
        row = {"sha256": b"old", "deleted_ms": 1, "deleted_by": "me"}
        early.write(lambda c: c.execute(insert(tombstones).values(row)))
        early.write(lambda c: append(c, 1, "a", "b", "c"))
    with closing(sqlite3.connect(file)) as plain:
        plain.execute("PRAGMA journal_mode = DELETE")
    before = file.read_bytes()
    restore(database, file, replace=False)
    assert file.read_bytes() == before
    assert database.read(revision) == HEAD
    assert bytes(database.read(lambda c: c.execute(select(tombstones.c.sha256)).scalar_one())) == b"old"
    assert verify(database).head.seq == 2


def test_a_backup_of_a_newer_version_is_refused(database, file):
    backup(database, file)
    with closing(sqlite3.connect(file)) as plain, plain:
        plain.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(InvalidSetting, match="backup: was written by a newer version of demure .*9999"):
        restore(database, file, replace=False)


def test_a_database_of_another_version_is_not_backed_up(database, file):
    database.write(lambda c: c.execute(text("UPDATE alembic_version SET version_num = '9999'")))
    with pytest.raises(InvalidSetting, match="another version"):
        backup(database, file)
    assert not file.exists()


def test_a_file_that_is_not_there_is_told(database, file):
    with pytest.raises(SourceNotFound, match="no such file"):
        restore(database, file, replace=False)


def test_a_folder_is_no_backup(database, tmp_path):
    with pytest.raises(SourceNotFound):
        restore(database, tmp_path, replace=False)


@pytest.mark.parametrize("what", ["empty", "text", "other-database", "another-alembic", "cut"])
def test_what_is_no_backup_is_refused(database, file, clock, what):
    in_use(database, clock)
    match what:
        case "empty":
            file.write_bytes(b"")
        case "text":
            file.write_text("hello " * 1000)
        case "other-database":
            with closing(sqlite3.connect(file)) as plain, plain:
                plain.execute("CREATE TABLE cats (name)")
        case "another-alembic":
            with closing(sqlite3.connect(file)) as plain, plain:
                plain.execute("CREATE TABLE alembic_version (version_num)")
                plain.execute("INSERT INTO alembic_version VALUES ('f00d')")
        case "cut":
            backup(database, file)
            os.truncate(file, file.stat().st_size // 2)
    before = everything(database)
    with pytest.raises(InvalidSetting, match="damaged|no backup"):
        restore(database, file, replace=True)
    assert everything(database) == before


def test_a_damaged_page_is_found_before_anything_is_replaced(database, file):
    row = {
        "review_id": "1",
        "number": 0,
        "frame": 0,
        "width": 1,
        "height": 1,
        "type": "image/jpeg",
        "data": b"x" * 100_000,
    }
    database.write(lambda c: c.execute(insert(previews).values(row)))
    backup(database, file)
    with closing(sqlite3.connect(file)) as plain:
        (page,) = plain.execute("SELECT rootpage FROM sqlite_master WHERE name = 'previews'").fetchone()
        (size,) = plain.execute("PRAGMA page_size").fetchone()
    with file.open("r+b") as damaged:
        damaged.seek((page - 1) * size)
        damaged.write(b"\xff" * size)
    with pytest.raises(InvalidSetting, match="damaged"):
        restore(database, file, replace=True)
    assert database.read(lambda c: c.execute(select(func.count()).select_from(previews)).scalar()) == 1


def test_a_page_that_took_the_place_of_another_is_found(database, file):
    """Nothing in it cannot be read, but some rows are there twice and others not at all."""
    rows = [{"sha256": bytes([n]) * 32, "deleted_ms": 0, "deleted_by": f"by {n:03} " * 50} for n in range(100)]
    database.write(lambda c: c.execute(insert(tombstones), rows))
    backup(database, file)
    with closing(sqlite3.connect(file)) as plain:
        (size,) = plain.execute("PRAGMA page_size").fetchone()
    whole = file.read_bytes()
    one, other = (whole.index(f"by {n:03} by {n:03}".encode()) // size * size for n in (10, 90))
    file.write_bytes(whole[:one] + whole[other : other + size] + whole[one + size :])
    with pytest.raises(InvalidSetting, match="damaged"):
        restore(database, file, replace=True)


def test_a_text_that_postgresql_cannot_hold_is_told(database, tmp_path, file, clock):
    row = {"sha256": b"a", "deleted_ms": 1, "deleted_by": "nul \0 nul"}
    with migrated(f"sqlite:///{tmp_path / 'nul.db'}", clock) as source:
        source.write(lambda c: c.execute(insert(tombstones).values(row)))
        backup(source, file)
    if database.is_sqlite:
        restore(database, file, replace=False)
        assert database.read(lambda c: c.execute(select(tombstones.c.deleted_by)).scalar_one()) == "nul \0 nul"
        return
    with pytest.raises(InvalidSetting, match="cannot hold"):
        restore(database, file, replace=False)


def test_a_name_with_characters_of_a_url_is_a_name(database, tmp_path, clock):
    in_use(database, clock)
    folder = tmp_path / "50% of a?b#c ü"
    folder.mkdir()
    file = folder / "d?e#f.db"
    backup(database, file)
    assert [path.name for path in folder.iterdir()] == ["d?e#f.db"]
    with closing(sqlite3.connect(file)) as plain:
        assert plain.execute("SELECT count(*) FROM audit").fetchone() == (3,)
    before = everything(database)
    restore(database, file, replace=True)
    assert without_the_log(everything(database)) == without_the_log(before)


def test_the_file_of_a_service_that_runs_can_be_read_and_stays_as_it_is(other, tmp_path, clock):
    """With what SQLite has beside it, still to be taken in."""
    with migrated(f"sqlite:///{tmp_path / 'live.db'}", clock) as live:
        in_use(live, clock)
        before = {name: (tmp_path / name).read_bytes() for name in ("live.db", "live.db-wal")}
        assert before["live.db-wal"]
        restore(other, tmp_path / "live.db", replace=False)
        assert {name: (tmp_path / name).read_bytes() for name in before} == before
        assert without_the_log(everything(other)) == without_the_log(everything(live))


def test_a_copy_of_such_a_file_stays_as_it_is(database, tmp_path, clock):
    with migrated(f"sqlite:///{tmp_path / 'live.db'}", clock) as live:
        in_use(live, clock)
        for name in ("copy.db", "copy.db-wal"):
            (tmp_path / name).write_bytes((tmp_path / name.replace("copy", "live")).read_bytes())
    before = {name: (tmp_path / name).read_bytes() for name in ("copy.db", "copy.db-wal")}
    restore(database, tmp_path / "copy.db", replace=False)
    assert {name: (tmp_path / name).read_bytes() for name in before} == before
    assert database.read(head).seq == 4


def test_a_backup_is_read_from_where_nothing_can_be_written(database, other, file, clock):
    in_use(database, clock)
    backup(database, file)
    before = file.read_bytes()
    file.chmod(0o400)
    restore(other, file, replace=False)
    assert (file.read_bytes(), [path.name for path in file.parent.glob("store*")]) == (before, [file.name])


def test_nobody_writes_into_a_database_that_is_being_restored(database, file, clock, url):
    """Who comes in between would be half gone: it waits, and is written after."""
    in_use(database, clock)
    backup(database, file)
    late = threading.Thread()
    row = {"sha256": b"late", "deleted_ms": 1, "deleted_by": "late"}
    second = Database(url, clock)

    def write(connection, cursor, statement, *rest):
        nonlocal late
        if statement.startswith("DELETE FROM api_keys") and late.ident is None:
            late = threading.Thread(target=lambda: second.write(lambda c: c.execute(insert(tombstones).values(row))))
            late.start()
            late.join(0.5)
            assert late.is_alive()

    event.listen(database.engine, "before_cursor_execute", write)
    restore(database, file, replace=True)
    late.join(10)
    second.close()
    assert set(database.read(lambda c: c.execute(select(tombstones.c.sha256)).scalars().all())) >= {b"late"}
