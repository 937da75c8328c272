"""The shell's commands for what is kept, over a database that the settings name."""

from __future__ import annotations

import hashlib
import json
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from databases import KINDS, Clock, migrated, new_database
from sqlalchemy import delete, func, insert, select, update
from typer.testing import CliRunner

from demure.cli.storage import audit_app, backup, memory_app, restore, sweep
from demure.errors import Conflict, InvalidSetting, SourceNotFound
from demure.store.audit import append
from demure.store.audit import sweep as sweep_audit
from demure.store.database import Database
from demure.store.schema import audit, metadata, sessions, tombstones

app = typer.Typer()
app.add_typer(audit_app, name="audit")
app.add_typer(memory_app, name="memory")
for command in (backup, restore, sweep):
    app.command()(command)


@pytest.fixture(params=KINDS)
def database(request, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    with new_database(request.param, tmp_path) as url:
        monkeypatch.setenv("DEMURE_DATABASE_URL", url)
        monkeypatch.setenv("DEMURE_DATA_DIR", str(tmp_path / "data"))
        with migrated(url, Clock()) as database:
            yield database


def run(*arguments: object):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def logged(database, count: int = 3) -> list[str]:
    """Some records, and their hashes."""
    for number in range(count):
        database.write(
            lambda c, n=number: append(c, database.now_ms(), "user:ännä", "review.viewed", f"review:{n}", number=n)
        )
    return database.read(lambda c: c.execute(select(audit.c.hash).order_by(audit.c.seq)).scalars().all())


def test_the_head_is_printed_alone(database):
    hashes = logged(database)
    done = run("audit", "head")
    assert (done.exit_code, done.output) == (0, f"3:{hashes[-1]}\n")


def test_a_log_that_holds_is_one_line_with_its_head(database):
    hashes = logged(database)
    done = run("audit", "verify")
    assert (done.exit_code, done.output) == (0, f"3:{hashes[-1]} holds, from record 1\n")
    again = run("audit", "verify", "--head", f"2:{hashes[1]}")
    assert (again.exit_code, again.output) == (0, done.output)


def test_a_log_that_does_not_hold_exits_with_one_and_says_where(database):
    logged(database)
    database.write(lambda c: c.execute(update(audit).where(audit.c.seq == 2).values(actor="user:bert")))
    done = run("audit", "verify")
    assert (done.exit_code, done.output) == (1, "broken at record 2: it, or the one before it, was changed\n")


def test_a_head_that_is_not_in_the_log_exits_with_one(database):
    logged(database)
    done = run("audit", "verify", "--head", f"2:{'f' * 64}")
    assert (done.exit_code, done.output) == (1, "broken at record 2: it is another than the one whose hash was kept\n")


def test_a_head_that_was_swept_since_is_said_to_be(database):
    hashes = logged(database)
    database.write(lambda c: sweep_audit(c, database.now_ms(), database.now_ms() + 1))
    done = run("audit", "verify", "--head", f"2:{hashes[1]}")
    assert done.exit_code == 0
    assert done.output.endswith(" holds, from record 4; record 2 was swept since: keep a newer head\n")


def test_a_head_of_another_form_is_refused(database):
    assert isinstance(run("audit", "verify", "--head", "2").exception, InvalidSetting)


def test_an_export_can_be_verified_by_who_has_only_the_export(database):
    hashes = logged(database)
    done = run("audit", "export")
    assert (done.exit_code, done.output.isascii()) == (0, True)
    lines = [json.loads(line) for line in done.output.splitlines()]
    previous = "0" * 64
    for line in lines:
        covered = [previous, *(line[name] for name in ("seq", "at_ms", "actor", "action", "target", "details"))]
        previous = hashlib.sha256(json.dumps(covered).encode()).hexdigest()
        assert (line["hash"], line["previous"]) == (previous, covered[0])
    assert [line["hash"] for line in lines] == hashes
    assert (lines[2]["actor"], json.loads(lines[2]["details"])) == ("user:ännä", {"number": 2})


def test_an_export_of_a_swept_log_begins_with_the_hash_of_what_was_swept(database):
    hashes = logged(database)
    database.write(lambda c: sweep_audit(c, database.now_ms(), database.now_ms() + 1))
    (line,) = [json.loads(line) for line in run("audit", "export", "-").output.splitlines()]
    assert (line["previous"], line["action"]) == (hashes[-1], "audit.swept")


def test_an_export_goes_into_a_new_file_that_only_its_owner_can_read(database, tmp_path: Path):
    logged(database)
    file = tmp_path / "log.jsonl"
    assert run("audit", "export", file).exit_code == 0
    assert (file.read_text(), stat.S_IMODE(file.stat().st_mode)) == (run("audit", "export").output, 0o600)
    assert isinstance(run("audit", "export", file).exception, Conflict)


def test_a_backup_is_restored_when_that_is_meant(database, tmp_path: Path):
    file = tmp_path / "store.backup"
    row = {"sha256": b"a", "deleted_ms": 1, "deleted_by": "me"}
    database.write(lambda c: c.execute(insert(tombstones).values(row)))
    assert run("backup", file).exit_code == 0
    assert isinstance(run("restore", file).exception, Conflict)
    database.write(lambda c: c.execute(delete(tombstones)))
    assert run("restore", file).exit_code == 0
    assert run("restore", file, "--replace").exit_code == 0
    assert database.read(lambda c: c.execute(select(func.count()).select_from(tombstones)).scalar()) == 1


def test_a_backup_says_what_it_wrote(database, tmp_path: Path):
    rows = [{"sha256": bytes([number]), "deleted_ms": 1, "deleted_by": "me"} for number in range(3)]
    database.write(lambda c: c.execute(insert(tombstones), rows))
    kept = database.read(
        lambda c: sum(
            c.execute(select(func.count()).select_from(table)).scalar_one() for table in metadata.sorted_tables
        )
    )
    file = tmp_path / "store.backup"
    done = run("backup", file)
    assert kept >= len(rows)
    assert done.output == f"{file}: {file.stat().st_size:,} bytes; rows: {kept:,}, of reviews: 0\n"


READING = {
    "backup": ("backup", "store.backup"),
    "audit-verify": ("audit", "verify"),
    "audit-head": ("audit", "head"),
    "audit-export": ("audit", "export"),
    "memory-export": ("memory", "export"),
    "sweep": ("sweep",),
}


@pytest.mark.parametrize("url", ["", "sqlite:///kept/demure.db"], ids=["data-dir", "url"])
@pytest.mark.parametrize("arguments", READING.values(), ids=READING)
def test_who_reads_is_not_given_a_new_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments, url):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DEMURE_DATA_DIR", "kept")
    monkeypatch.setenv("DEMURE_DATABASE_URL", url)
    done = run(*arguments)
    assert isinstance(done.exception, SourceNotFound)
    assert str(done.exception).startswith("there is no database at kept/demure.db; DEMURE_DATA_DIR and")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_was_only_ever_opened_is_no_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DEMURE_DATA_DIR", str(tmp_path))
    monkeypatch.delenv("DEMURE_DATABASE_URL", raising=False)
    (tmp_path / "demure.db").touch()
    assert isinstance(run("backup", tmp_path / "store.backup").exception, SourceNotFound)
    assert (tmp_path / "demure.db").stat().st_size == 0


def test_a_database_in_memory_has_nothing_to_be_read_by_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DEMURE_DATABASE_URL", "sqlite://")
    assert isinstance(run("backup", tmp_path / "store.backup").exception, SourceNotFound)


def test_a_restore_makes_the_database(database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    assert run("backup", tmp_path / "store.backup").exit_code == 0
    monkeypatch.setenv("DEMURE_DATABASE_URL", f"sqlite:///{tmp_path}/new/demure.db")
    assert run("restore", tmp_path / "store.backup").exit_code == 0
    assert run("audit", "verify").exit_code == 0


def test_a_sweep_says_what_went(database):
    row = {"token": "t", "user": "anna", "csrf": "c", "created_ms": 0, "seen_ms": 0}
    database.write(lambda c: c.execute(insert(sessions).values(row)))
    done = run("sweep")
    assert (done.exit_code, done.output) == (0, "sessions\t1\n")
    assert run("sweep").output == ""


@pytest.mark.parametrize(("days", "left"), [("1", 1), ("36500", 3)])
def test_a_sweep_keeps_what_the_settings_say(database, monkeypatch, days, left):
    monkeypatch.setenv("DEMURE_KEEP_AUDIT_DAYS", days)
    for number in range(3):  # in 2001
        database.write(lambda c, n=number: append(c, 1_000_000_000_000, "user:anna", "review.viewed", f"review:{n}"))
    assert run("sweep").exit_code == 0
    # What is left of a log that was swept is the record of that.
    assert database.read(lambda c: c.execute(select(func.count()).select_from(audit)).scalar()) == left


def test_a_sweep_that_finds_a_broken_log_says_so_and_exits_with_one(database):
    database.write(lambda c: append(c, 1_000_000_000_000, "user:anna", "review.viewed", "review:1"))
    database.write(lambda c: c.execute(update(audit).values(actor="user:bert")))
    done = run("sweep")
    assert done.exit_code == 1
    assert done.stderr == (
        "the audit log is broken at record 1: it, or the one before it, was changed; it was not swept\n"
    )
