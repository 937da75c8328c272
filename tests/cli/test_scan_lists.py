"""`demure scan` of lists and of standard input: what it does when they say something else the next time, or name what is no file."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from pictures import encode, plain
from tiny_models import RULES
from typer.testing import CliRunner, Result

from demure.cli import app
from demure.errors import Conflict


@pytest.fixture(autouse=True)
def folder(models_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where one stands: three green pictures."""
    (tmp_path / "colours.toml").write_text(RULES)
    values = {"DATA_DIR": tmp_path / "data", "MODELS_DIR": models_dir, "POLICIES_DIR": tmp_path}
    for name, value in {**values, "MODEL": "colour", "POLICY": "colours"}.items():
        monkeypatch.setenv(f"DEMURE_{name}", str(value))
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    for name in "abc":
        Path(f"{name}.png").write_bytes(encode(plain([0, 255, 0], 40 + ord(name)), "PNG"))
    return folder


def scan(*arguments: str, stdin: str | None = None) -> Result:
    return CliRunner().invoke(app, ["scan", *arguments], input=stdin)


def in_time(*arguments: str) -> str:
    """What a process says that is killed if it waits for ever."""
    command = [sys.executable, "-m", "demure", *arguments]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=120, check=True).stdout


def decisions(path: str) -> dict[str, str]:
    return {
        row["id"]: row.get("error", {}).get("code", row["decision"])
        for row in map(json.loads, Path(path).read_text().splitlines())
    }


@pytest.mark.parametrize("ending", ["txt", "csv", "jsonl"])
def test_a_list_that_says_something_else_is_another_question(ending: str):
    head, line = {"txt": ("", "{}\n"), "csv": ("path\n", "{}\n"), "jsonl": ("", '{{"path": "{}"}}\n')}[ending]
    path = Path(f"list.{ending}")
    path.write_text(head + line.format("a.png"))
    assert scan(str(path), "-o", "out.jsonl").exit_code == 0
    assert scan(str(path), "-o", "out.jsonl").exit_code == 0  # it is as it was
    with path.open("a") as file:
        file.write(line.format("b.png"))
    again = scan(str(path), "-o", "out.jsonl")
    assert isinstance(again.exception, Conflict)
    assert f"another content of list.{ending}; ask as before" in str(again.exception)
    assert decisions("out.jsonl") == {"a.png": "safe"}


def test_standard_input_with_new_names_is_refused_once_all_were_listed():
    assert scan("-", "-o", "out.jsonl", stdin="a.png\nb.png\n").exit_code == 0
    more = scan("-", "-o", "out.jsonl", stdin="a.png\nb.png\nc.png\n")
    assert isinstance(more.exception, Conflict)
    assert "standard input names 1 images that this scan" in str(more.exception)
    assert decisions("out.jsonl") == {"a.png": "safe", "b.png": "safe"}


@pytest.mark.parametrize("again", ["a.png\nb.png\n", "b.png\n", ""])
def test_a_scan_that_was_done_says_so_and_looks_for_nothing(again: str):
    scan("-", "-o", "out.jsonl", stdin="a.png\nb.png\n")
    done = scan("-", "-o", "out.jsonl", stdin=again)
    assert done.exit_code == 0
    assert done.stderr.endswith("written to out.jsonl before; nothing was looked for anew (--anew)\n")


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir], ids=["pipe", "folder"])
def test_what_a_list_names_and_is_no_file_is_a_row_with_its_code(make):
    """To open a pipe that nobody writes to would take for ever."""
    make("p.png")
    Path("list.txt").write_text("a.png\np.png\n")
    in_time("scan", "list.txt", "-o", "out.jsonl")
    assert decisions("out.jsonl") == {"a.png": "safe", "p.png": "not_found"}


def test_a_label_on_a_pipe_is_told_as_one_that_is_not_there():
    os.mkfifo("p.png")
    Path("labels.csv").write_text("path,label\na.png,safe\nb.png,adult\np.png,safe\n")
    assert '"not_found": 1' in in_time("evaluate", "labels.csv", "--json")


def test_a_ledger_that_was_killed_before_it_had_tables_says_that_nothing_was_begun():
    sqlite3.connect("out.jsonl.ledger").close()
    Path("out.jsonl.ledger").touch()
    status = scan("-o", "out.jsonl", "--status")
    assert (status.exit_code, status.stdout) == (0, "no scan was begun for this output\n")
