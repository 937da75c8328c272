"""`demure evaluate` and `demure calibrate`, as a user runs them."""

from __future__ import annotations

import csv
import json
import tomllib
from contextlib import closing
from pathlib import Path

import pytest
from pictures import encode, gradient
from PIL import Image
from sqlalchemy import insert
from tiny_models import FIVE, RULES, WITNESS, add_model, tiny_graph
from typer.testing import CliRunner, Result

from demure.cli import app
from demure.errors import (
    Conflict,
    DamagedWeights,
    DemureError,
    InvalidLabels,
    InvalidPolicy,
    InvalidSetting,
    TooFewLabels,
)
from demure.evaluation.binomial import at_most
from demure.policy import Outcome
from demure.policy_file import find_policy
from demure.settings import read_settings
from demure.store import open_database
from demure.store.schema import DAY_MS, reviews, tallies

EXAMPLES = Path(__file__).parents[2] / "examples"
LABELS = EXAMPLES / "labels.csv"
PROMISE = ("--max-missed", "0.01", "--max-false-alarm", "0.005")


@pytest.fixture(autouse=True)
def data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DEMURE_DATA_DIR", str(tmp_path / "data"))
    return tmp_path / "data"


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def printed(*arguments: object) -> str:
    done = run(*arguments)
    assert done.exit_code == 0, done.output + str(done.exception)
    return done.stdout


# --- calibrate ---------------------------------------------------------------------------------------------------------


def test_a_calibrated_policy_is_written_and_can_be_used(tmp_path: Path):
    said = printed("calibrate", LABELS, *PROMISE, "-o", tmp_path / "ours.toml")
    policy = find_policy(str(tmp_path / "ours.toml"), {"open_nsfw"})
    assert policy.promise is not None
    assert (policy.name, policy.promise.max_missed, policy.promise.max_false_alarm) == ("ours", 0.01, 0.005)
    assert said.startswith("Chosen from 950 adult and 2,250 safe images, to hold with 95 % confidence.\n")
    assert f"    DEMURE_POLICY={tmp_path / 'ours.toml'} demure serve" in said
    for outcome in (Outcome.ADULT, Outcome.SAFE):
        assert f"{outcome}: {policy.rule(outcome)}" in said


def test_on_its_own_labels_it_errs_no_more_than_it_may(tmp_path: Path):
    """By a reading of the list that is not demure's. The rule was tested on these: more errors than that had not passed."""
    printed("calibrate", LABELS, *PROMISE, "-o", tmp_path / "ours.toml")
    policy = tomllib.loads((tmp_path / "ours.toml").read_text())
    with LABELS.open(newline="") as file:
        rows = [
            {k: v if k in ("label", "section") else float(v) for k, v in row.items()} for row in csv.DictReader(file)
        ]
    is_safe = [
        row["porn"] + row["hentai"] + 0.5 * row["sexy"] <= policy["safe"]["risk"]["at_most"]
        and row["open_nsfw"] <= policy["safe"]["open_nsfw"]["at_most"]
        for row in rows
    ]
    missed = sum(safe and row["label"] == "adult" for safe, row in zip(is_safe, rows, strict=True))
    adult = sum(row["label"] == "adult" for row in rows)
    assert adult == 950
    assert at_most(missed, adult, 0.01) < 0.05
    assert sum(is_safe) > 2_000


def test_the_same_labels_make_the_same_policy(tmp_path: Path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        printed("calibrate", LABELS, *PROMISE, "-o", tmp_path / name / "ours.toml")
    assert (tmp_path / "one" / "ours.toml").read_bytes() == (tmp_path / "two" / "ours.toml").read_bytes()


def test_a_file_that_is_there_is_not_written_over_unless_told(tmp_path: Path):
    output = tmp_path / "ours.toml"
    output.write_text("mine")
    refused = run("calibrate", LABELS, *PROMISE, "-o", output)
    assert isinstance(refused.exception, Conflict)
    assert output.read_text() == "mine"
    printed("calibrate", LABELS, *PROMISE, "-o", output, "--replace")
    assert "[promise]" in output.read_text()


REFUSED = [
    ("too few labels", ("--max-missed", "0.001"), TooFewLabels, "label 2,045 more adult images, or promise less"),
    (
        "percent for a share",
        ("--max-missed", "1"),
        InvalidSetting,
        "--max-missed: expected more than 0 and less than 1",
    ),
    ("no promise", (), InvalidSetting, "expected --max-missed, --max-false-alarm, or both"),
    ("certainty", (*PROMISE, "--confidence", "1"), InvalidSetting, "--confidence: expected"),
    ("a policy's path for a model", (*PROMISE, "--model", "other"), DemureError, "no model 'other'"),
    ("an unknown shape", (*PROMISE, "--policy", "other"), DemureError, "no policy 'other'"),
    ("a witness that has no scores here", (*PROMISE, "--reviews"), InvalidLabels, "expected LABELLED"),
]


@pytest.mark.parametrize(("options", "error", "message"), [r[1:] for r in REFUSED], ids=[r[0] for r in REFUSED])
def test_what_cannot_be_promised_is_refused_and_nothing_written(tmp_path: Path, options, error, message: str):
    done = run("calibrate", LABELS, *options, "-o", tmp_path / "ours.toml")
    assert isinstance(done.exception, error)
    assert message in done.exception.message
    assert not (tmp_path / "ours.toml").exists()


def test_a_policy_has_a_name_that_policies_are_found_by(tmp_path: Path):
    done = run("calibrate", LABELS, *PROMISE, "-o", tmp_path / "ours.txt")
    assert isinstance(done.exception, InvalidSetting)


@pytest.mark.parametrize("name", ["balanced.toml", "a\udcff.toml", "a\nb.toml"])
def test_a_name_that_is_taken_or_cannot_be_read_is_refused(tmp_path: Path, name: str):
    done = run("calibrate", LABELS, *PROMISE, "-o", tmp_path / name)
    assert isinstance(done.exception, InvalidSetting)
    assert "expected a name of your own" in done.exception.message


def test_how_to_use_it_names_the_model_and_quotes_the_path(tmp_path: Path):
    folder = tmp_path / "my policies"
    folder.mkdir()
    said = printed("calibrate", LABELS, *PROMISE, "--model", "inception_v3", "-o", folder / "ours.toml")
    assert said.endswith(f"    DEMURE_MODEL=inception_v3 DEMURE_POLICY='{folder / 'ours.toml'}' demure serve\n")


def test_pictures_need_a_page():
    assert isinstance(run("evaluate", LABELS, "--pictures").exception, InvalidSetting)


def test_a_shape_without_bounds_is_no_shape(tmp_path: Path):
    shape = tmp_path / "shape.toml"
    shape.write_text('name = "one-sided"\n[adult]\nporn = { at_least = 0.9 }\n')
    done = run("calibrate", LABELS, *PROMISE, "--policy", shape, "-o", tmp_path / "ours.toml")
    assert isinstance(done.exception, InvalidPolicy)
    assert "safe: there are no bounds" in done.exception.message


def test_one_promise_leaves_the_other_section_as_it_was(tmp_path: Path):
    said = printed("calibrate", LABELS, "--max-missed", "0.01", "-o", tmp_path / "ours.toml")
    balanced, ours = find_policy("balanced", {"open_nsfw"}), find_policy(str(tmp_path / "ours.toml"), {"open_nsfw"})
    assert ours.adult == balanced.adult
    assert ours.safe != balanced.safe
    assert "as it was; nothing is promised of it" in said


# --- evaluate ----------------------------------------------------------------------------------------------------------


def test_json_tells_all_policies_and_curves():
    found = json.loads(printed("evaluate", LABELS, "--json", "--base-rate", "0.01", "--group", "section"))
    assert (found["adult"], found["safe"]) == (950, 2250)
    assert [result["policy"] for result in found["policies"]] == ["balanced", "strict", "permissive", "original"]
    assert [curve["name"] for curve in found["curves"]] == [
        "mobilenet_v2_140",
        "open_nsfw",
        "mobilenet_v2_140 + open_nsfw",
    ]
    assert {*found["policies"][0]["groups"]} == {"art", "photos"}
    assert found["policies"][0]["at_base_rate"]["base_rate"] == 0.01


def test_chosen_policies_alone_are_measured():
    found = json.loads(printed("evaluate", LABELS, "--json", "--policy", "strict"))
    assert [result["policy"] for result in found["policies"]] == ["strict"]


def test_the_page_is_written(tmp_path: Path):
    printed("evaluate", LABELS, "--html", tmp_path / "report.html")
    assert (tmp_path / "report.html").read_text().startswith("<!doctype html>")


@pytest.fixture
def colours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Red is adult, green safe; one green picture stands among the adult ones. Judged by models of a few numbers."""
    models, policies = tmp_path / "models", tmp_path / "policies"
    models.mkdir()
    policies.mkdir()
    add_model(models, "colour", tiny_graph(5), FIVE)
    add_model(models, "redness", tiny_graph(2), WITNESS)
    (policies / "colours.toml").write_text(RULES)
    settings = {"MODELS_DIR": models, "POLICIES_DIR": policies, "MODEL": "colour", "POLICY": "colours"}
    for name, value in settings.items():
        monkeypatch.setenv(f"DEMURE_{name}", str(value))
    folder = tmp_path / "labelled"
    for label, colour, count in (("adult", "red", 3), ("safe", "lime", 4), ("adult", "lime", 1)):
        (folder / label).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            picture = Image.new("RGB", (64 + number, 64), colour)
            (folder / label / f"{colour}-{label}-{number}.png").write_bytes(encode(picture, "PNG"))
    (folder / "safe" / "lime-safe-9.png").write_bytes((folder / "safe" / "lime-safe-1.png").read_bytes())
    (folder / "safe" / "text.png").write_text("no picture")
    return folder


def evaluated(folder: Path, *options: object) -> dict:
    found = json.loads(printed("evaluate", folder, "--json", "--policy", "colours", *options))
    return {**found, **found["policies"][0]}


def test_a_folder_is_scored_and_judged(colours: Path):
    """Of width 64 there is one green picture under each label, the same bytes: neither is used. One file is there twice."""
    found = evaluated(colours)
    assert (found["adult"], found["safe"]) == (3, 3)
    assert found["table"]["adult"] == {"adult": 3, "safe": 0}
    assert found["table"]["safe"] == {"adult": 0, "safe": 3}
    gathering = found["gathering"]
    assert gathering["duplicates"] == 1
    assert sorted(Path(name).name for name in gathering["contradictions"]) == ["lime-adult-0.png", "lime-safe-0.png"]
    assert gathering["failures"] == {"not_an_image": 1}


def test_scores_are_kept_and_not_made_again(colours: Path, tmp_path: Path):
    """The second time there are no weights that could be asked."""
    first = evaluated(colours)
    (tmp_path / "models" / "colour.onnx").unlink()
    assert evaluated(colours) == first
    anew = run("evaluate", colours, "--policy", "colours", "--no-cache")
    assert isinstance(anew.exception, DamagedWeights)


def test_no_cache_keeps_nothing(colours: Path, data_folder: Path):
    evaluated(colours, "--no-cache")
    assert not (data_folder / "scores.sqlite3").exists()


def test_mistakes_are_shown_only_if_asked(colours: Path, tmp_path: Path):
    (colours / "adult" / "missed.png").write_bytes(encode(Image.new("RGB", (80, 80), "lime"), "PNG"))
    page = tmp_path / "report.html"
    printed("evaluate", colours, "--policy", "colours", "--html", page)
    assert "data:image" not in page.read_text()
    printed("evaluate", colours, "--policy", "colours", "--html", page, "--pictures")
    assert page.read_text().count("data:image/jpeg") == 1


WRONG = [
    ("nothing", (), "expected LABELLED, a folder or a list, or --reviews"),
    ("a file of another kind", (EXAMPLES / "coffee.jpg",), "expected a folder with adult and safe in it"),
    ("a folder without labels", (EXAMPLES,), "adult"),
]


@pytest.mark.parametrize(("arguments", "message"), [w[1:] for w in WRONG], ids=[w[0] for w in WRONG])
def test_what_is_no_labelled_set_is_refused(arguments, message: str):
    done = run("evaluate", *arguments)
    assert isinstance(done.exception, InvalidLabels)
    assert message in done.exception.message


def test_verdicts_on_unknown_images_alone_are_no_labels():
    done = run("evaluate", "--reviews")
    assert isinstance(done.exception, InvalidLabels)
    assert "set DEMURE_SPOT_CHECKS for both decisions" in done.exception.message


def test_verdicts_need_the_scores_of_the_witnesses_that_are_asked_for_and_of_no_other():
    """A site that judges by `original` never asked the second model."""
    key = {
        "day": 20_000,
        "model": "mobilenet_v2_140",
        "policy": "original",
        "policy_version": "1",
        "decision": "unknown",
    }
    scores = {"drawings": 0.0, "hentai": 0.0, "neutral": 0.5, "porn": 0.5, "sexy": 0.0}
    judged = {"reason": "uncertain", "score": 0.5, "scores": scores, "witnesses": {}, "pictures": 1, "verdict": "safe"}
    item = {"id": "a" * 24, "sha256": b"a" * 32, "kind": "unknown", "state": "settled", "version": 2, "rank": 1}
    with closing(open_database(read_settings())) as database:
        counted = insert(tallies).values(**key, chance=1.0, bin=0, images=1, chosen=1).returning(tallies.c.id)
        tally = database.write(lambda c: c.execute(counted).scalar_one())
        row = {**key, **judged, **item, "chance": 1.0, "tally": tally, "opened_ms": 20_000 * DAY_MS, "priority": 0.0}
        del row["day"]
        database.write(lambda c: c.execute(insert(reviews).values(row)))
    found = json.loads(printed("evaluate", "--reviews", "--policy", "original", "--json"))
    assert (found["safe"], found["gathering"]["failures"]) == (1, {})


def test_the_example_is_what_its_tool_makes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    import runpy

    made = runpy.run_path(str(EXAMPLES.parent / "tools" / "make_labels.py"))
    made["main"].__globals__["OUT"] = tmp_path / "labels.csv"
    made["main"]()
    assert (tmp_path / "labels.csv").read_bytes() == LABELS.read_bytes()


def test_a_gradient_is_no_adult_picture(tmp_path: Path):
    """With the real models, as a newcomer would try it."""
    for label in ("adult", "safe"):
        (tmp_path / "set" / label).mkdir(parents=True)
    (tmp_path / "set" / "safe" / "one.png").write_bytes(encode(gradient(300, 200), "PNG"))
    said = printed("evaluate", tmp_path / "set", "--policy", "balanced")
    assert "decided\tbalanced\tmobilenet_v2_140\tadult\tsafe\t0\n" in said
    assert "remark\t" in said
