"""Options of `demure evaluate` and `calibrate` that would harm a file, be for nothing, or be understood otherwise than meant."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path

import pytest
from pictures import encode
from PIL import Image
from tiny_models import FIVE, RULES, WITNESS, add_model, tiny_graph
from typer.testing import CliRunner, Result

from demure.cli import app
from demure.errors import Conflict, InvalidLabels, InvalidPolicy, InvalidSetting

LABELS = Path(__file__).parents[2] / "examples" / "labels.csv"
PROMISE = ("--max-missed", "0.05", "--max-false-alarm", "0.05")
RULE = 'name = "{name}"\n[adult]\nporn = {{ at_least = {limit} }}\n[safe]\nporn = {{ at_most = 0.1 }}\n'


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Red is adult to the models, green safe. Commands are given in this folder, with relative names."""
    (tmp_path / "models").mkdir()
    for name in ("colour", "second"):
        add_model(tmp_path / "models", name, tiny_graph(5), FIVE)
    add_model(tmp_path / "models", "redness", tiny_graph(2), WITNESS)
    (tmp_path / "colours.toml").write_text(RULES)
    settings = {"DATA_DIR": tmp_path / "data", "MODELS_DIR": tmp_path / "models", "MODEL": "colour"}
    for name, value in {**settings, "POLICY": tmp_path / "colours.toml"}.items():
        monkeypatch.setenv(f"DEMURE_{name}", str(value))
    with chdir(tmp_path):
        yield tmp_path


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def done(*arguments: object) -> Result:
    found = run(*arguments)
    assert found.exit_code == 0, found.output + str(found.exception)
    return found


def refused(error: type[Exception], *arguments: object) -> str:
    found = run(*arguments)
    assert isinstance(found.exception, error), found.output + str(found.exception)
    return str(found.exception)


def picture(path: str, colour: str, side: int = 64) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_bytes(encode(Image.new("RGB", (side, side), colour), "PNG"))


def scored(name: str = "labels.csv", *, more: str = "") -> None:
    Path(name).write_text(
        f"label,drawings,hentai,neutral,porn,sexy,redness\nsafe,0,0,1,0,0,0\nadult,0,0,0,1,0,1\n{more}"
    )


# --- What is written ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("link", [None, os.link, os.symlink], ids=["itself", "another name", "a link"])
def test_the_page_does_not_take_the_place_of_the_labels(link):
    scored()
    if link is not None:
        link("labels.csv", "page.html")
    page = "labels.csv" if link is None else "page.html"
    before = Path("labels.csv").read_bytes()
    assert f"{page}: is what is to be read" in refused(Conflict, "evaluate", "labels.csv", "--html", page)
    assert Path("labels.csv").read_bytes() == before


def test_nor_of_a_policy():
    scored()
    assert "is what is to be read" in refused(
        Conflict, "evaluate", "labels.csv", "--policy", "colours.toml", "--html", "colours.toml"
    )
    assert Path("colours.toml").read_text() == RULES


def test_nor_does_a_policy_take_that_of_the_labels():
    scored()
    os.link("labels.csv", "ours.toml")
    assert "is what is to be read" in refused(
        Conflict, "calibrate", "labels.csv", *PROMISE, "-o", "ours.toml", "--replace"
    )


@pytest.mark.parametrize(
    "command", [("evaluate", "--html", "none/x.html"), ("calibrate", *PROMISE, "-o", "none/x.toml")]
)
def test_that_a_file_cannot_be_written_is_told_before_anything_is_scored(command):
    picture("set/safe/a.png", "lime")
    name, *options = command
    assert "cannot be written (No such file or directory)" in refused(InvalidSetting, name, "set", *options)
    assert not Path("data/scores.sqlite3").exists()


def test_what_was_measured_is_printed_though_the_page_cannot_be_written():
    """An empty file can be made, and none of more than 4,000 bytes."""
    scored()
    done = subprocess.run(
        [sys.executable, "-m", "demure", "evaluate", "labels.csv", "--policy", "colours.toml", "--html", "page.html"],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000)),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, Path("page.html").exists()) == (2, False)
    assert "demure: storage_full: page.html: cannot be written" in done.stderr
    assert "policy\tcolours\tcolour\tmissed\t0\t" in done.stdout


# --- The pictures of mistakes -------------------------------------------------------------------------------------------


@pytest.fixture
def mistaken() -> None:
    """One adult image is missed, for it is green."""
    picture("set/safe/a.png", "lime")
    picture("set/adult/b.png", "lime", 70)
    Path("set/list.csv").write_text("label,path\nsafe,safe/a.png\nadult,adult/b.png\n")


@pytest.mark.parametrize("labels", ["set", "set/list.csv"])
@pytest.mark.parametrize("absolute", [False, True], ids=["relative", "absolute"])
def test_mistakes_are_shown_wherever_the_set_is_named_from(mistaken, labels, absolute):
    named = Path(labels).resolve() if absolute else labels
    found = done("evaluate", named, "--policy", "colours.toml", "--html", "page.html", "--pictures")
    assert Path("page.html").read_text().count("data:image/jpeg") == 1
    assert found.stderr == ""


def test_how_many_could_not_be_shown_is_told(mistaken):
    """A list with scores: of the two mistakes one names a file that is there."""
    header = "label,id,drawings,hentai,neutral,porn,sexy,redness"
    Path("set/scored.csv").write_text(
        f"{header}\nadult,adult/b.png,0,0,1,0,0,0\nadult,gone.png,0,0,1,0,0,0\nsafe,safe/a.png,0,0,1,0,0,0\n"
    )
    found = done("evaluate", "set/scored.csv", "--policy", "colours.toml", "--html", "page.html", "--pictures")
    assert Path("page.html").read_text().count("data:image/jpeg") == 1
    assert "1 of 2 mistakes are shown without their picture" in found.stderr
    assert "such as gone.png" in found.stderr
    assert "policy\tcolours\tcolour\tmissed\t" in found.stdout


# --- Policies of one name -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["plain", "json", "html"])
def test_two_policies_of_one_name_are_both_told_of_and_apart(form):
    scored()
    for folder, limit in (("jan", 0.6), ("feb", 0.7)):
        Path(folder).mkdir()
        Path(folder, "ours.toml").write_text(RULE.format(name="ours", limit=limit))
    options = {"plain": (), "json": ("--json",), "html": ("--html", "page.html")}[form]
    said = done("evaluate", "labels.csv", "--policy", "jan/ours.toml", "--policy", "feb/ours.toml", *options).stdout
    told = json.loads(
        done("evaluate", "labels.csv", "--policy", "jan/ours.toml", "--policy", "feb/ours.toml", "--json").stdout
    )
    titles = [f"ours {result['version']}" for result in told["policies"]]
    assert len({*titles}) == 2
    text = Path("page.html").read_text() if form == "html" else said
    for title in titles:
        assert title in text


def test_a_policy_of_a_shipped_ones_name_does_not_hide_it():
    scored(more="")
    Path("other.toml").write_text(RULE.format(name="original", limit=0.6))
    told = json.loads(done("evaluate", "labels.csv", "--policy", "other.toml", "--policy", "original", "--json").stdout)
    assert [result["policy"] for result in told["policies"]] == ["original", "original"]
    assert len({result["called"] for result in told["policies"]}) == 2


def test_the_same_policy_twice_is_told_of_once():
    scored()
    told = json.loads(
        done("evaluate", "labels.csv", "--policy", "colours.toml", "--policy", "./colours.toml", "--json").stdout
    )
    assert [result["called"] for result in told["policies"]] == ["colours"]


# --- Options that would be for nothing ----------------------------------------------------------------------------------


REFUSED = [
    ("groups of verdicts", ("--reviews", "--group", "section"), InvalidSetting, "--group: verdicts have no columns"),
    ("pictures of verdicts", ("--reviews", "--html", "x.html", "--pictures"), InvalidSetting, "--pictures: no images"),
    ("pictures without a page", ("labels.csv", "--pictures"), InvalidSetting, "--pictures: expected --html"),
    (
        "two models where there are scores",
        ("labels.csv", "--model", "colour", "--model", "second"),
        InvalidLabels,
        "labels.csv: has scores already, which are those of one model",
    ),
    (
        "two models of verdicts",
        ("--reviews", "--model", "colour", "--model", "second"),
        InvalidLabels,
        "the review: has scores already",
    ),
]


@pytest.mark.parametrize(("options", "error", "message"), [r[1:] for r in REFUSED], ids=[r[0] for r in REFUSED])
def test_what_would_be_for_nothing_is_refused(options, error, message):
    scored()
    assert message in refused(error, "evaluate", *options)


def test_two_models_are_asked_where_there_are_no_scores_yet():
    picture("set/safe/a.png", "lime")
    said = done("evaluate", "set", "--model", "colour", "--model", "second", "--model", "colour").stdout
    assert {line.split("\t")[2] for line in said.splitlines() if line.startswith("policy\t")} == {"colour", "second"}


@pytest.mark.parametrize("model", ["colour", "second"])
def test_whose_the_scores_are_taken_to_be_is_told(model):
    scored()
    assert f"read\tscores_of\t{model}\n" in done("evaluate", "labels.csv", "--model", model).stdout
    done("evaluate", "labels.csv", "--model", model, "--html", "page.html")
    assert f"scores taken for those of {model}" in Path("page.html").read_text()


def test_so_it_is_when_bounds_are_chosen():
    said = done("calibrate", LABELS, *PROMISE, "--policy", "original", "--model", "second", "-o", "ours.toml").stdout
    assert "    scores taken for those of second\n" in said


# --- A policy that cannot be what it is taken for -----------------------------------------------------------------------


@pytest.fixture
def promised() -> str:
    """A policy that was calibrated with `colour`."""
    done("calibrate", LABELS, *PROMISE, "--policy", "original", "--model", "colour", "-o", "ours.toml")
    return "ours.toml"


COMMANDS = [("classify", "red.png"), ("scan", "red.png", "-o", "out.csv", "--workers", "1")]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_a_promise_that_another_model_makes_void_is_warned_of_once(promised, command):
    picture("red.png", "red")
    said = done(*command, "--policy", promised, "--model", "second").stderr
    warning = "demure: warning: the policy ours was calibrated with colour; with second it promises nothing\n"
    assert said.count("promises nothing") == said.count(warning) == 1


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_with_its_own_model_there_is_no_warning(promised, command):
    picture("red.png", "red")
    assert "warning" not in done(*command, "--policy", promised, "--model", "colour").stderr


@pytest.mark.parametrize(("model", "count"), [("colour", 0), ("second", 1)])
def test_an_evaluation_says_that_a_promise_is_void(promised, model, count):
    scored()
    said = done("evaluate", "labels.csv", "--policy", promised, "--model", model).stdout
    assert said.count("remark\tours was calibrated with colour; with second it promises nothing.\n") == count


@pytest.mark.parametrize("way", ["setting", "option"])
def test_a_shape_that_has_no_bounds_left_says_what_to_do(monkeypatch, way):
    """As a calibration writes it that found no rule."""
    Path("never.toml").write_text('name = "never"\n[adult]\n[safe]\n')
    options = ("--policy", "never.toml") if way == "option" else ()
    if way == "setting":
        monkeypatch.setenv("DEMURE_POLICY", "never.toml")
    said = refused(InvalidPolicy, "calibrate", LABELS, "--max-false-alarm", "0.05", *options, "-o", "ours.toml")
    assert said == (
        "never: adult: there are no bounds here whose limits could be chosen; name a policy that has some, as --policy balanced"
    )
