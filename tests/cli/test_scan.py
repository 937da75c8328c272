"""`demure scan`, as a user runs it: what is written, what is refused, and what a kill, a full disk or a Ctrl-C costs."""

from __future__ import annotations

import csv
import json
import random
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
import zlib
from collections import Counter
from contextlib import closing
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest
from pictures import encode, plain
from service import LOOPBACK, ImageServer
from tiny_models import FIVE, RULES, WITNESS, add_model, tiny_graph
from typer.testing import CliRunner, Result
from waiting import PATIENCE_S, wait_until

from demure.bulk.ledger import Ledger, read_status
from demure.bulk.local import SHARD_IMAGES
from demure.bulk.output import columns
from demure.cli import app
from demure.desk import open_desk
from demure.errors import Conflict, DemureError, InvalidList, InvalidSetting, SourceNotFound, UnknownModel
from demure.reviews import State
from demure.settings import read_settings

RED, GREEN, BLUE = [255, 0, 0], [0, 255, 0], [0, 0, 255]  # adult, safe and unknown, by RULES


@pytest.fixture(autouse=True)
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Models of a few numbers; the folder of policies."""
    models, policies = tmp_path / "models", tmp_path / "policies"
    models.mkdir()
    policies.mkdir()
    add_model(models, "colour", tiny_graph(5), FIVE)
    other = add_model(models, "other", tiny_graph(5), FIVE)
    other.write_text(other.read_text().replace("divide = 255", "divide = 256"))
    add_model(models, "redness", tiny_graph(2), WITNESS)
    (policies / "colours.toml").write_text(RULES)
    (policies / "lenient.toml").write_text(RULES.replace('"colours"', '"lenient"').replace("0.8", "0.9"))
    values = {"DATA_DIR": tmp_path / "data", "MODELS_DIR": models, "POLICIES_DIR": policies}
    for name, value in {**values, "MODEL": "colour", "POLICY": "colours"}.items():
        monkeypatch.setenv(f"DEMURE_{name}", str(value))
    return policies


@pytest.fixture
def uploads(tmp_path: Path) -> Path:
    """Three red, two green, one blue, a copy of a green one, and two that are no pictures."""
    folder = tmp_path / "uploads"
    (folder / "deep" / "er").mkdir(parents=True)
    for number, colour in enumerate([RED, RED, RED, GREEN, GREEN, BLUE]):
        (folder / f"{number}.png").write_bytes(encode(plain(colour, 64 + number), "PNG"))
    shutil.copy(folder / "3.png", folder / "deep" / "copy of 3.png")
    (folder / "deep" / "er" / "text.jpg").write_text("no picture")
    (folder / "empty.png").touch()
    return folder


DECISIONS = Counter(adult=3, unknown=1, safe=3, failed=2)


def run(*arguments: object, stdin: str | None = None) -> Result:
    return CliRunner().invoke(app, ["scan", *map(str, arguments)], input=stdin)


def scanned(*arguments: object, stdin: str | None = None) -> str:
    """What was said on standard error."""
    done = run(*arguments, stdin=stdin)
    assert (done.exit_code, done.stdout) == (0, ""), done.output + str(done.exception)
    return done.stderr


def rows_of(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def names(path: Path) -> list[str]:
    return sorted(Path(row["id"]).name for row in rows_of(path))


# --- What is written --------------------------------------------------------------------------------------------------


def test_each_file_below_a_folder_has_its_row(uploads: Path, tmp_path: Path):
    said = scanned(uploads, "-o", tmp_path / "out.jsonl")
    rows = rows_of(tmp_path / "out.jsonl")
    assert sorted(row["id"] for row in rows) == sorted(str(path) for path in uploads.rglob("*") if path.is_file())
    assert Counter("failed" if "error" in row else row["decision"] for row in rows) == DECISIONS
    assert said.splitlines()[-1] == (
        f"9 images: 3 adult, 1 unknown, 3 safe, 2 failed; written to {tmp_path / 'out.jsonl'}"
    )


def without_measures(row: dict) -> dict:
    return {name: value for name, value in row.items() if name not in ("id", "timings_ms")}


def test_the_rows_are_those_of_classify(uploads: Path, tmp_path: Path):
    files = [*sorted(str(path) for path in uploads.rglob("*") if path.is_file()), str(uploads / "absent.png")]
    (tmp_path / "list.txt").write_text("".join(f"{file}\n" for file in files))
    scanned(tmp_path / "list.txt", "-o", tmp_path / "out.jsonl")
    classified = CliRunner().invoke(app, ["classify", "--json", *files])
    expected = {row["id"]: without_measures(row) for row in map(json.loads, classified.stdout.splitlines())}
    assert {row["id"]: without_measures(row) for row in rows_of(tmp_path / "out.jsonl")} == expected
    assert {row["reason"] for row in expected.values()} >= {"not_found", "not_an_image"}


def test_csv_and_parquet_have_the_same_rows_flat(uploads: Path, tmp_path: Path):
    for ending in ("jsonl", "csv", "parquet"):
        scanned(uploads, "-o", tmp_path / f"out.{ending}")
    expected = {row["id"]: (row["decision"], row["reason"]) for row in rows_of(tmp_path / "out.jsonl")}
    table = pyarrow.parquet.read_table(tmp_path / "out.parquet")
    with (tmp_path / "out.csv").open(newline="") as file:
        lines = [*csv.DictReader(file)]
    assert [*lines[0]] == table.column_names == [*columns(["redness"])]
    for rows in (lines, table.to_pylist()):
        assert {row["id"]: (row["decision"], row["reason"]) for row in rows} == expected
        assert sum(row["error_code"] == "not_an_image" for row in rows) >= 1


def test_the_same_bytes_are_scored_once(uploads: Path, tmp_path: Path):
    """Their row is the same to the measured hundredth of a millisecond; the ledger has an answer for each of nine but one."""
    scanned(uploads, "-o", tmp_path / "out.jsonl", "--workers", 2)
    one, other = (row for row in rows_of(tmp_path / "out.jsonl") if row["id"].endswith("3.png"))
    assert (one["timings_ms"], one["sha256"]) == (other["timings_ms"], other["sha256"])
    assert len(answers(tmp_path / "out.jsonl.ledger")) >= 7


def answers(ledger: Path) -> list[tuple]:
    with sqlite3.connect(ledger) as connection:
        found = connection.execute("SELECT sha256 FROM answers").fetchall()
    connection.close()
    return found


def test_the_output_and_its_ledger_in_the_scanned_folder_are_not_scanned(
    uploads: Path, monkeypatch: pytest.MonkeyPatch
):
    """However the folder is named. What is only called as they are, elsewhere, is a file like any."""
    (uploads / "deep" / "out.jsonl").write_text("somebody else's")
    (uploads / "out.jsonl.png").write_bytes((uploads / "0.png").read_bytes())
    monkeypatch.chdir(uploads / "deep")
    for source in (uploads, "..", uploads / "deep" / ".."):
        scanned(source, "-o", "../out.jsonl", "--anew")
        assert len(rows_of(uploads / "out.jsonl")) == 9 + 2
        assert names(uploads / "out.jsonl").count("out.jsonl") == 1
        assert "out.jsonl.png" in names(uploads / "out.jsonl")


def test_a_name_with_brackets_is_said_as_it_is(uploads: Path, tmp_path: Path):
    assert "[red]/out.jsonl" in said_in(tmp_path / "[red]", uploads)


def said_in(folder: Path, uploads: Path) -> str:
    folder.mkdir()
    return scanned(uploads, "-o", folder / "out.jsonl")


# --- Options ----------------------------------------------------------------------------------------------------------


def test_include_and_exclude_choose_among_files(uploads: Path, tmp_path: Path):
    scanned(uploads, "-o", tmp_path / "out.jsonl", "--include", "*.png", "--exclude", "deep/**", "--exclude", "e*")
    assert names(tmp_path / "out.jsonl") == [f"{number}.png" for number in range(6)]


def test_a_lists_column_is_named(uploads: Path, tmp_path: Path):
    (uploads / "list.csv").write_text("path,file\nabsent.png,0.png\n")
    scanned(uploads / "list.csv", "-o", tmp_path / "out.jsonl", "--column", "file")
    assert names(tmp_path / "out.jsonl") == ["0.png"]


def test_a_dash_reads_paths_from_standard_input(uploads: Path, tmp_path: Path):
    scanned("-", "-o", tmp_path / "out.jsonl", stdin=f"{uploads}/0.png\n{uploads}/5.png\n")
    assert names(tmp_path / "out.jsonl") == ["0.png", "5.png"]


@pytest.mark.parametrize(
    ("only", "expected"),
    [("adult", {"adult"}), ("adult,unknown", {"adult", "unknown"}), ("safe unknown", {"safe", "unknown"})],
)
def test_only_the_wanted_decisions_are_written_and_all_are_counted(
    uploads: Path, tmp_path: Path, only: str, expected: set[str]
):
    said = scanned(uploads, "-o", tmp_path / "out.jsonl", "--only", only)
    assert {row["decision"] for row in rows_of(tmp_path / "out.jsonl")} == expected
    assert said.splitlines()[-1].startswith("9 images: 3 adult, 1 unknown, 3 safe, 2 failed")


def test_policy_and_model_are_chosen(uploads: Path, tmp_path: Path):
    (tmp_path / "mine.toml").write_text('name = "mine"\n[adult]\nneutral = { at_least = 0.9 }')
    scanned(uploads, "-o", tmp_path / "out.jsonl", "--policy", tmp_path / "mine.toml", "--model", "other")
    found = {Path(row["id"]).name: row["decision"] for row in rows_of(tmp_path / "out.jsonl")}
    assert (found["3.png"], found["0.png"]) == ("adult", "unknown")


@pytest.mark.parametrize(
    ("files", "code"), [(["3.png"], 0), (["3.png", "5.png"], 1), (["0.png"], 1), (["empty.png"], 1)]
)
def test_the_exit_code_tells_on_request_whether_all_are_safe(
    uploads: Path, tmp_path: Path, files: list[str], code: int
):
    sources = [uploads / file for file in files]
    assert run(*sources, "-o", tmp_path / "out.jsonl").exit_code == 0
    for _ in range(2):  # also of a scan that was finished before
        assert run(*sources, "-o", tmp_path / "out.jsonl", "--exit-code").exit_code == code


def test_the_unknown_ones_wait_in_the_services_own_queue(uploads: Path, tmp_path: Path):
    shutil.copy(uploads / "5.png", uploads / "deep" / "copy of 5.png")
    said = scanned(uploads, "-o", tmp_path / "out.csv", "--review")
    assert said.splitlines()[-1] == "what is unknown waits in the review of the service (/review)"
    with closing(open_desk(read_settings())) as desk:
        (item,) = desk.reviews.page([State.OPEN])
        told = [each["id"] for each in desk.reviews.submissions(item)]
    assert sorted(told) == [str(uploads / "5.png"), str(uploads / "deep" / "copy of 5.png")]
    with (tmp_path / "out.csv").open(newline="") as file:
        reviews = {row["id"]: row["review"] for row in csv.DictReader(file)}
    assert {name for name, review in reviews.items() if review == item.id} == set(told)
    assert {review for name, review in reviews.items() if name not in told} == {""}


def test_without_review_nothing_is_kept(uploads: Path, tmp_path: Path):
    assert "waits" not in scanned(uploads, "-o", tmp_path / "out.jsonl")
    assert not list(tmp_path.rglob("demure.db"))


def test_a_queue_that_ends_with_the_scan_is_refused(uploads: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DEMURE_DATABASE_URL", "sqlite://")
    before = set(tmp_path.rglob("*"))
    done = run(uploads, "-o", tmp_path / "out.jsonl", "--review")
    assert isinstance(done.exception, InvalidSetting)
    assert set(tmp_path.rglob("*")) - before <= {tmp_path / "data"}


def test_the_status_is_told_and_nothing_done(uploads: Path, tmp_path: Path):
    out = tmp_path / "out.jsonl"
    assert run("-o", out, "--status").stdout == "no scan was begun for this output\n"
    assert not [*tmp_path.glob("out*")]
    scanned(uploads, "-o", out)
    said = run("-o", out, "--status").stdout
    assert said == "9 of 9 images: 3 adult, 1 unknown, 3 safe, 2 failed; the output is written\n"


def test_a_finished_scan_is_not_done_again_and_a_lost_output_is_written_again(uploads: Path, tmp_path: Path):
    out = tmp_path / "out.jsonl"
    scanned(uploads, "-o", out)
    before = out.read_bytes()
    shutil.rmtree(uploads / "deep")
    assert scanned(uploads, "-o", out).startswith("9 images: ")
    out.unlink()
    scanned(uploads, "-o", out)
    assert out.read_bytes() == before


def test_anew_begins_again_and_the_old_output_stays_until_the_new_is_whole(uploads: Path, tmp_path: Path):
    out = tmp_path / "out.jsonl"
    scanned(uploads, "-o", out)
    before = out.read_bytes()
    assert run(uploads, "-o", out, "--anew", "--policy", "lenient", "--model", "absent").exit_code == 1
    assert out.read_bytes() == before
    (uploads / "0.png").unlink()
    scanned(uploads, "-o", out, "--anew", "--policy", "lenient")
    assert len(rows_of(out)) == 8


# --- What is refused --------------------------------------------------------------------------------------------------

REFUSED = {
    "nothing": ((), InvalidList, "expected folders, globs, URLs or lists to scan"),
    "absent": (("absent",), SourceNotFound, "absent: no such file or folder"),
    "only": (("uploads", "--only", "adult,bad"), InvalidSetting, "--only: expected adult, unknown or safe"),
    "model": (("uploads", "--model", "absent"), UnknownModel, "no model 'absent'"),
    "policy": (("uploads", "--policy", "absent"), DemureError, "no policy 'absent'"),
    "pattern": (("uploads", "--include", ""), InvalidList, "expected a pattern such as"),
}


@pytest.mark.parametrize(("arguments", "error", "message"), REFUSED.values(), ids=REFUSED)
def test_a_wrong_question_is_refused_and_leaves_nothing_behind(
    uploads: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], error: type[DemureError], message: str
):
    monkeypatch.chdir(uploads.parent)
    before = sorted(Path().iterdir())
    done = run(*arguments, "-o", "out.jsonl")
    assert isinstance(done.exception, error)
    assert message in done.exception.message
    assert sorted(Path().iterdir()) == before


@pytest.mark.parametrize("output", ["out.txt", "out", "absent/out.jsonl", "uploads"])
def test_an_output_that_cannot_be_is_refused_at_once(uploads: Path, monkeypatch: pytest.MonkeyPatch, output: str):
    monkeypatch.chdir(uploads.parent)
    assert isinstance(run(uploads, "-o", output).exception, InvalidSetting)
    assert not [*uploads.parent.glob("*.ledger*")]


def test_a_refusal_is_one_line_and_exit_code_2(tmp_path: Path):
    done = process("absent", "-o", "out.jsonl", cwd=tmp_path)
    _, said = done.communicate(timeout=PATIENCE_S)
    assert (done.returncode, said) == (2, "demure: not_found: absent: no such file or folder\n")


def test_a_file_that_no_scan_wrote_is_not_written_over(uploads: Path, tmp_path: Path):
    out = tmp_path / "mine.csv"
    out.write_text("id\nmine\n")
    done = run(uploads, "-o", out)
    assert isinstance(done.exception, Conflict)
    assert "is there already" in done.exception.message
    assert out.read_text() == "id\nmine\n"
    assert not [*tmp_path.glob("mine.csv.*")]
    scanned(uploads, "-o", out, "--anew")
    assert len(out.read_text().splitlines()) == 10


def test_a_list_is_never_written_over_by_what_comes_of_it(uploads: Path, tmp_path: Path):
    out = tmp_path / "mine.csv"
    out.write_text(f"path\n{uploads}/0.png\n")
    done = run(out, "-o", out, "--anew")
    assert isinstance(done.exception, Conflict)
    assert "is what is to be scanned" in done.exception.message
    assert out.read_text() == f"path\n{uploads}/0.png\n"


CHANGED = {
    "sources": ("uploads/deep",),
    "policy": ("uploads", "--policy", "lenient"),
    "model": ("uploads", "--model", "other"),
    "--only": ("uploads", "--only", "adult"),
    "--include": ("uploads", "--include", "*"),
    "--exclude": ("uploads", "--exclude", "*.gif"),
    "--column": ("uploads", "--column", "path"),
    "--review": ("uploads", "--review"),
}


def test_another_question_is_refused_by_name(uploads: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(uploads.parent)
    scanned("uploads", "-o", "out.jsonl")
    before = Path("out.jsonl").read_bytes()
    for name, arguments in CHANGED.items():
        done = run(*arguments, "-o", "out.jsonl")
        assert isinstance(done.exception, Conflict), name
        assert f"begun with another {name}; ask as before to go on, or add --anew" in done.exception.message
    assert Path("out.jsonl").read_bytes() == before


def test_a_policy_of_the_same_name_that_says_other_things_is_another(uploads: Path, tmp_path: Path, settings: Path):
    scanned(uploads, "-o", tmp_path / "out.jsonl")
    (settings / "colours.toml").write_text(RULES.replace("0.8", "0.85"))
    done = run(uploads, "-o", tmp_path / "out.jsonl")
    assert isinstance(done.exception, Conflict)
    assert "another policy" in done.exception.message


def test_relative_paths_from_another_folder_are_another_question(uploads: Path, monkeypatch: pytest.MonkeyPatch):
    """They would be read from there, and not be found."""
    out = uploads.parent / "out.jsonl"
    monkeypatch.chdir(uploads)
    scanned("0.png", uploads / "1.png", "-o", out)
    monkeypatch.chdir(uploads.parent)
    shutil.copy(uploads / "0.png", "0.png")
    done = run("0.png", uploads / "1.png", "-o", out)
    assert isinstance(done.exception, Conflict)
    assert "another working folder" in done.exception.message
    scanned(uploads / "0.png", "-o", out, "--anew")
    monkeypatch.chdir(uploads)
    scanned(uploads / "0.png", "-o", out)


def test_two_scans_of_one_output_at_once_are_refused(uploads: Path, tmp_path: Path):
    with Ledger(tmp_path / "out.jsonl.ledger", {}):
        done = run(uploads, "-o", tmp_path / "out.jsonl", "--anew")
        assert isinstance(done.exception, Conflict)
        assert "another scan is at work on this output" in done.exception.message


def test_a_ledger_that_cannot_be_begun_anew_is_told(uploads: Path, tmp_path: Path):
    (tmp_path / "out.jsonl.ledger").mkdir()
    assert isinstance(run(uploads, "-o", tmp_path / "out.jsonl", "--anew").exception, InvalidSetting)


# --- Folders that could not be read -----------------------------------------------------------------------------------


def test_what_could_not_be_read_is_told_each_time_until_it_is(uploads: Path, tmp_path: Path):
    """A folder too far down, since to root all others are open: 101 below uploads."""
    out, far = tmp_path / "out.jsonl", uploads.joinpath(*["d"] * 101)
    far.mkdir(parents=True)
    (far / "far.png").write_bytes(encode(plain(RED, 90), "PNG"))
    first = run(uploads, "-o", out)
    for done in (first, run(uploads, "-o", out)):
        assert done.exit_code == 1
        assert "9 images: " in done.stderr
        assert "1 folder could not be read: what is in there is missing" in done.stderr
    assert "1 folder could not be read" in run("-o", out, "--status").stdout
    before = rows_of(out)
    shutil.move(far, uploads / "near")
    scanned(uploads, "-o", out)
    after = rows_of(out)
    assert [Path(row["id"]).name for row in after if row not in before] == ["far.png"]
    assert len(after) == 10


def test_what_is_found_later_makes_the_output_unwritten(tmp_path: Path):
    """Else a kill before the new images are judged would leave the old output, and call it whole."""
    path, stop = tmp_path / "ledger", threading.Event()
    with Ledger(path, {}) as ledger:
        ledger.note_unread(1)
        ledger.add(["a"], 32, stop)
        ledger.note_written()
    for sources, written in ((["a"], True), (["a", "b"], False)):
        with Ledger(path, {}) as ledger:
            ledger.add(sources, 32, stop)
            assert (ledger.status().written, ledger.status().unread) == (written, 1)
            assert read_status(path) == ledger.status()


# --- As a process: kills, signals, a full disk ------------------------------------------------------------------------


def process(*arguments: object, cwd: Path, **more) -> subprocess.Popen[str]:
    command = [sys.executable, "-B", "-m", "demure", "scan", *map(str, arguments)]
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, cwd=cwd, text=True, **{**pipes, **more})


COUNT = 600


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """No two with the same bytes: each has a colour of its own."""
    folder = tmp_path_factory.mktemp("many")
    for number in range(COUNT):
        picture = np.full((40, 40, 3), [number % 256, number // 256, 128], np.uint8)
        (folder / f"{number:03}.png").write_bytes(encode(picture, "PNG"))
    return folder


def check_whole(out: Path, many: Path) -> None:
    assert out.read_bytes().endswith(b"\n")
    assert sorted(row["id"] for row in rows_of(out)) == sorted(map(str, many.iterdir()))


def wait_until_begun(scan: subprocess.Popen[str], out: Path, images: int) -> None:
    """Or ended."""
    wait_until(lambda: scan.poll() is not None or done_of(out) >= images)


def done_of(out: Path) -> int:
    try:
        status = read_status(out.with_name(out.name + ".ledger"))
    except DemureError:  # its tables are being made
        status = None
    return -1 if status is None else status.done


def finished_rows(out: Path, folder: Path) -> dict[str, dict]:
    """By id, of a copy: to open a ledger mends what the kill left, which is the next scan's work."""
    folder.mkdir()
    for file in out.parent.glob(out.name + ".ledger*"):
        shutil.copy(file, folder)
    with sqlite3.connect(folder / (out.name + ".ledger")) as connection:
        try:
            packed = connection.execute("SELECT rows FROM shards WHERE rows IS NOT NULL").fetchall()
        except sqlite3.OperationalError:  # killed before there were tables
            packed = []
    connection.close()
    return {row["id"]: row for (rows,) in packed for row in json.loads(zlib.decompress(rows))}


def test_killed_at_random_moments_each_file_has_one_row_and_nothing_finished_is_judged_again(
    many: Path, tmp_path: Path
):
    """A row has the milliseconds that it took: what was judged again would have others."""
    out, moments, kept = tmp_path / "out.jsonl", random.Random(11), dict[str, dict]()
    for number in range(8):
        scan = process(many, "-o", out, "--workers", 2, cwd=tmp_path)
        wait_until_begun(scan, out, len(kept) + number % 2)  # at the earliest moment, or when something more is done
        time.sleep(moments.uniform(0.0, 0.1))
        scan.kill()
        scan.communicate()
        found = finished_rows(out, tmp_path / f"kill-{number}")
        assert kept.items() <= found.items()
        kept = found
        if not out.exists():
            assert len(found) % SHARD_IMAGES in (0, COUNT % SHARD_IMAGES)  # whole shards: 18 of 32, and one of 24
    assert kept
    scan = process(many, "-o", out, "--workers", 2, cwd=tmp_path)
    said = scan.communicate(timeout=PATIENCE_S)[1]
    assert scan.returncode == 0, said
    check_whole(out, many)
    assert kept.items() <= {row["id"]: row for row in rows_of(out)}.items()
    assert f"{COUNT} images: " in said


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_in_order_and_the_same_command_goes_on(many: Path, tmp_path: Path, kind: signal.Signals):
    """The list does not end before the signal: the scan is not done first, however long we take to look."""
    out, files = tmp_path / "out.jsonl", sorted(map(str, many.iterdir()))
    scan = process("-", "-o", out, "--workers", 1, cwd=Path.cwd(), stdin=subprocess.PIPE)
    scan.stdin.write("\n".join(files[:-1]) + "\n")
    scan.stdin.flush()
    wait_until_begun(scan, out, 1)
    scan.send_signal(kind)
    wait_until(lambda: is_default(scan, kind))
    told, said = scan.communicate(files[-1], timeout=PATIENCE_S)
    assert (scan.returncode, told) == (130, "")
    assert said.splitlines()[-1] == "stopped; run the same command again to go on"
    assert "Traceback" not in said
    assert sorted(path.name for path in tmp_path.glob("out*")) == ["out.jsonl.ledger", "out.jsonl.ledger.lock"]
    kept = finished_rows(out, tmp_path / "copy")
    assert 0 < len(kept) < COUNT
    scanned("-", "-o", out, "--workers", 2, stdin="\n".join(files))
    check_whole(out, many)
    assert kept.items() <= {row["id"]: row for row in rows_of(out)}.items()


def test_a_signal_before_the_first_image_is_no_traceback(many: Path, tmp_path: Path):
    """Standard input that says nothing: the listing waits."""
    scan = process("-", "-o", tmp_path / "out.jsonl", "--anew", cwd=tmp_path, stdin=subprocess.PIPE)
    wait_until_begun(scan, tmp_path / "out.jsonl", 0)
    scan.send_signal(signal.SIGINT)
    wait_until(lambda: is_default(scan, signal.SIGINT))
    _, said = scan.communicate("", timeout=PATIENCE_S)  # the end of the input
    assert scan.returncode == 130
    assert said == "stopped; run the same command again, without --anew, to go on\n"


def test_a_second_signal_does_not_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name, value in {**LOOPBACK, "DEMURE_FETCH_TIMEOUT_S": "600"}.items():
        monkeypatch.setenv(name, value)
    with ImageServer() as images, images.holding():
        scan = process(images.url("/slow"), "-o", tmp_path / "out.jsonl", cwd=tmp_path)
        wait_until(lambda: images.asked)
        scan.send_signal(signal.SIGINT)
        wait_until(lambda: is_default(scan, signal.SIGINT))
        assert scan.poll() is None
        scan.send_signal(signal.SIGINT)
        scan.communicate(timeout=PATIENCE_S)
        assert not images.answered
    assert scan.returncode == -signal.SIGINT


def is_default(process: subprocess.Popen[str], kind: signal.Signals) -> bool:
    """Whether it has no handler for it: ours takes itself away when it has run once."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    (caught,) = (int(line.split()[1], 16) for line in status.splitlines() if line.startswith("SigCgt:"))
    return not caught >> (kind - 1) & 1


def test_a_full_disk_is_told_and_the_next_run_completes_it(many: Path, tmp_path: Path):
    """No file may have more than 600 kB: the ledger's log has some 400 when all is listed, and 20 more for each shard."""
    out, most = tmp_path / "out.jsonl", 600_000
    limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))  # noqa: E731
    scan = process(many, "-o", out, "--workers", 2, cwd=tmp_path, preexec_fn=limit)
    _, said = scan.communicate(timeout=PATIENCE_S)
    assert scan.returncode == 2
    assert said.splitlines()[-1].startswith(f"demure: storage_full: {out}.ledger: ")
    assert not out.exists()
    kept = finished_rows(out, tmp_path / "copy")
    assert 0 < len(kept) < COUNT
    scanned(many, "-o", out)
    check_whole(out, many)
    assert kept.items() <= {row["id"]: row for row in rows_of(out)}.items()


def test_what_is_piped_has_lines_on_standard_error_and_nothing_on_standard_output(many: Path, tmp_path: Path):
    scan = process(many, "-o", tmp_path / "out.csv", cwd=tmp_path)
    told, said = scan.communicate(timeout=PATIENCE_S)
    first, *_, last = said.splitlines()
    assert told == ""
    assert " images" in first
    assert first.endswith(("/s", " left"))
    assert last.endswith(f"; written to {tmp_path / 'out.csv'}")
    assert "\x1b" not in said


# --- URLs -------------------------------------------------------------------------------------------------------------


def test_urls_are_fetched_two_at_once_of_a_host_and_what_fails_is_a_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    for name, value in LOOPBACK.items():
        monkeypatch.setenv(name, value)
    with ImageServer() as images:
        urls = [images.url(f"/{n}.png", encode(plain(GREEN, 64 + n), "PNG")) for n in range(20)]
        urls += [images.url("/absent.png"), "http://10.0.0.1/private.png"]
        (tmp_path / "urls.txt").write_text("\n".join(urls))
        with images.holding():
            scan = process(tmp_path / "urls.txt", "-o", tmp_path / "out.jsonl", "--workers", 4, cwd=tmp_path)
            wait_until(lambda: len(images.asked) >= 2)
            time.sleep(0.4)
            assert len(images.asked) == 2
        _, said = scan.communicate(timeout=PATIENCE_S)
        assert scan.returncode == 0, said
        assert len(images.asked) == 21
    found = {row["id"]: row["reason"] for row in rows_of(tmp_path / "out.jsonl")}
    assert [*found] == urls
    assert [found[url] for url in urls[-2:]] == ["upstream_status", "url_not_allowed"]
    assert "20 safe, 2 failed" in said


def test_what_failed_is_scanned_again_as_the_documentation_says(tmp_path: Path, uploads: Path):
    out = tmp_path / "out.jsonl"
    (tmp_path / "list.txt").write_text(f"{uploads}/0.png\n{uploads}/later.png\n")
    scanned(tmp_path / "list.txt", "-o", out)
    failed = [row for row in rows_of(out) if "error" in row]
    (tmp_path / "failed.jsonl").write_text("".join(json.dumps(row) + "\n" for row in failed))
    shutil.copy(uploads / "3.png", uploads / "later.png")
    scanned(tmp_path / "failed.jsonl", "-o", tmp_path / "again.jsonl")
    assert [(row["id"], row["decision"]) for row in rows_of(tmp_path / "again.jsonl")] == [
        (f"{uploads}/later.png", "safe")
    ]
