"""`demure doctor` as a user runs it: a process, what it prints, its exit code, and what it leaves behind: nothing."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from databases import new_database
from rich.console import Console

from demure.cli.doctor import exit_code, print_lines
from demure.doctor.finding import Finding, note, ok, problem

CHECKS = [
    "settings",
    "versions",
    "machine",
    "clock",
    "weights",
    "decoding",
    "policy",
    "disk",
    "database",
    "keys",
    "access",
    "review",
    "webhooks",
    "network",
]


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("DEMURE_", "PROMETHEUS_"))}
    command = [sys.executable, "-m", "demure", "doctor", *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, env={**kept, **environment}, timeout=120, check=False
    )


def lines(done: subprocess.CompletedProcess[str]) -> list[tuple[str, ...]]:
    return [tuple(line.split("\t")) for line in done.stdout.splitlines()]


def test_a_first_look_finds_no_problem_and_makes_nothing(tmp_path: Path):
    done = run(DEMURE_DATA_DIR=str(tmp_path / "data"))
    assert (done.returncode, done.stderr) == (0, "")
    found = lines(done)
    assert list(dict.fromkeys(check for _, check, *_ in found)) == CHECKS
    assert {state for state, *_ in found} <= {"ok", "note"}
    assert all(len(line) == (3 if line[0] == "ok" else 4) for line in found)
    assert ("ok", "database", f"SQLite, {tmp_path}/data/demure.db: not there yet; the first start makes it") in found
    assert [*tmp_path.iterdir()] == []


def test_json_is_one_list_of_objects_with_the_same(tmp_path: Path):
    done = run("--json", DEMURE_DATA_DIR=str(tmp_path / "data"), DEMURE_DATABASE_URL="sqlite://")
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    assert {tuple(finding) for finding in found} == {("check", "state", "found", "advice")}
    assert {
        "check": "database",
        "state": "note",
        "found": "SQLite in memory: reviews, verdicts and keys are gone when the process ends",
        "advice": "leave DEMURE_DATABASE_URL out, or name a file or a PostgreSQL",
    } in found
    assert "disk" not in {finding["check"] for finding in found}
    assert [*tmp_path.iterdir()] == []


def test_a_problem_exits_with_one(tmp_path: Path):
    folder = tmp_path / "data"
    with new_database("sqlite", folder):
        (folder / "demure.db").chmod(0o644)
        folder.chmod(0o700)
        done = run(DEMURE_DATA_DIR=str(folder))
    assert done.returncode == 1
    (told,) = [line for line in lines(done) if line[0] == "problem"]
    assert told[1] == "database"
    assert told[3] == f"chmod 600 {folder}/demure.db*"


def test_a_broken_setting_exits_with_two_and_the_rest_is_told(tmp_path: Path):
    done = run(DEMURE_DATA_DIR=str(tmp_path / "data"), DEMURE_THREADS="many", DEMURE_MAX_ITEMS="0")
    assert (done.returncode, done.stderr) == (2, "")
    found = lines(done)
    assert [line[2].partition(":")[0] for line in found if line[:2] == ("problem", "settings")] == [
        "DEMURE_THREADS",
        "DEMURE_MAX_ITEMS",
    ]
    assert (
        "note",
        "machine",
        "not looked at: DEMURE_THREADS cannot be read",
        "mend that first, and ask again",
    ) in found
    assert list(dict.fromkeys(check for _, check, *_ in found)) == CHECKS


def test_no_secret_is_printed(tmp_path: Path):
    secret = "whsec_" + "hunter2a" * 4
    for url in (
        "postgresql://me:hunter2a@127.0.0.1:1/demure?application_name=hunter2b",
        "postgresql://me:hunter2a@x:hunter2c/",
    ):
        done = run(
            DEMURE_DATA_DIR=str(tmp_path / "data"),
            DEMURE_DATABASE_URL=url,
            DEMURE_WEBHOOK_URLS="https://hooks.example.org/?token=hunter2d",
            DEMURE_WEBHOOK_SECRETS=secret,
            DEMURE_API_KEYS="hunter2e",
            HTTPS_PROXY="http://me:hunter2f@proxy:3128",
        )
        assert done.returncode == 2
        assert "hunter2" not in done.stdout + done.stderr


def test_what_is_in_a_database_is_told_beside_what_the_settings_say(tmp_path: Path):
    folder = tmp_path / "data"
    with new_database("sqlite", folder):
        done = run(DEMURE_DATA_DIR=str(folder), DEMURE_TRY_PAGE="off", DEMURE_API_KEYS=f"site:classify:{'0' * 64}")
    found = lines(done)
    assert ("ok", "keys", "1 key in DEMURE_API_KEYS; when they were last used is not kept") in found
    assert [line[2].partition(",")[0] for line in found if line[1] == "access"] == ["whoever asks needs a key"]
    assert [line[0] for line in found if line[1] == "review"] == ["note"]
    assert [file.name for file in folder.iterdir()] == ["demure.db"]


def test_a_database_that_cannot_be_read_leaves_what_is_in_it_untold(tmp_path: Path):
    (tmp_path / "demure.db").write_text("no database at all")
    done = run(DEMURE_DATA_DIR=str(tmp_path))
    assert done.returncode == 1
    untold = "not looked at: it is in the database, which cannot be read as it is"
    assert [line[1] for line in lines(done) if line[2:] == (untold, "see database")] == CHECKS[9:13]


FINDINGS = [
    ok("settings", "all as they come"),
    note("clock", "nothing keeps it right", "run chrony"),
    ok("clock", "a second thing"),
    problem("database", "a\tname \x1b[31m with\nlines", "mend it"),
]


@pytest.mark.parametrize(
    ("findings", "code"), [(FINDINGS[:3], 0), (FINDINGS, 1), ([*FINDINGS, problem("settings", "x", "y")], 2)]
)
def test_the_worst_that_was_found_is_the_exit_code(findings: list[Finding], code: int):
    assert exit_code(findings) == code


def shown(width: int, *, terminal: bool) -> str:
    out = io.StringIO()
    console = Console(file=out, width=width, force_terminal=terminal, color_system=None, legacy_windows=False)
    assert print_lines(FINDINGS, console) == FINDINGS
    return out.getvalue()


def test_piped_output_is_one_plain_line_a_finding():
    assert shown(20, terminal=False) == (
        "ok\tsettings\tall as they come\n"
        "note\tclock\tnothing keeps it right\trun chrony\n"
        "ok\tclock\ta second thing\n"
        "problem\tdatabase\ta\\tname \\x1b[31m with\\nlines\tmend it\n"
    )


def test_in_a_terminal_a_check_is_named_once_and_the_sum_is_told():
    assert [line.rstrip() for line in shown(60, terminal=True).splitlines()] == [
        "ok        settings   all as they come",
        "note      clock      nothing keeps it right",
        "                   → run chrony",
        "ok                   a second thing",
        "problem   database   a\\tname \\x1b[31m with\\nlines",
        "                   → mend it",
        "",
        "1 problem, 1 note, 2 ok",
    ]


@pytest.mark.parametrize("width", [40, 80, 120])
def test_lines_fit_the_terminal(width: int):
    assert max(len(line) for line in shown(width, terminal=True).splitlines()) <= width
