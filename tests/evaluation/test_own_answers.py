"""Our own answers as a labelled list: what a scan or the service told of images, with a person's label beside it."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from demure.bulk.output import write_rows
from demure.errors import InvalidLabels
from demure.evaluation.labelled import LabelledSet
from demure.evaluation.labels import read_labels

MODEL = "five"
SCORES = {"drawings": 0.1, "hentai": 0.2, "neutral": 0.3, "porn": 0.25, "sexy": 0.15}
FORMATS = ["csv", "jsonl"]


def answer(name: str, *, sampled: int = 1, side: int = 100, frames: int | None = None, **more: Any) -> dict[str, Any]:
    """As the service tells of an image that the models judged."""
    media = {
        "type": "image/gif",
        "width": side,
        "height": 100,
        "frames": frames or sampled,
        "sampled": sampled,
        "worst_frame": 0,
    }
    said = {
        "id": name,
        "sha256": None,
        "decision": "safe",
        "reason": "r",
        "score": 0.4,
        "remembered": False,
        "timings_ms": {},
    }
    return {**said, "scores": SCORES, "witnesses": {"open_nsfw": 0.4}, "media": media, **more}


def unjudged(name: str, **more: Any) -> dict[str, Any]:
    return answer(name, **{"score": None, "scores": None, "witnesses": None, "media": None, **more})


def labelled(folder: Path, form: str, answers: list[dict[str, Any]]) -> Path:
    """What a scan writes of these, and a column with a person's label; every one is called safe."""
    written, path = folder / f"scan.{form}", folder / f"labels.{form}"
    write_rows(written, answers, names=["open_nsfw"])
    lines = written.read_text().splitlines()
    if form == "csv":
        path.write_text("\n".join([f"label,{lines[0]}", *(f"safe,{line}" for line in lines[1:])]))
    else:
        path.write_text("\n".join(json.dumps({"label": "safe", **json.loads(line)}) for line in lines))
    return path


def read(path: Path) -> LabelledSet:
    found = read_labels(path, model=MODEL)
    assert isinstance(found, LabelledSet)
    return found


# what, an answer, whether it is used, whether it is too small, the failure that is counted
ANSWERS = [
    ("a still picture", answer("x"), True, False, None),
    ("an animation of which one frame was judged", answer("x", frames=9), True, False, None),
    ("an animation", answer("x", sampled=2), False, False, "several_pictures"),
    ("an animation too small for the models", answer("x", sampled=4, side=16), True, True, None),
    ("one pixel too narrow", answer("x", side=31), True, True, None),
    ("just wide enough", answer("x", side=32), True, False, None),
    ("an error", unjudged("x", error={"code": "undecodable", "message": "m"}), False, False, "undecodable"),
    ("a person's verdict", unjudged("x", reason="person", remembered=True), False, False, "remembered"),
    ("a copy of what a person judged", answer("x", reason="near_copy", remembered=True), True, False, None),
]


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize(("told", "used", "small", "failure"), [a[1:] for a in ANSWERS], ids=[a[0] for a in ANSWERS])
@pytest.mark.parametrize("first", [True, False], ids=["first", "last"])
def test_a_scan_says_the_same_in_each_format(tmp_path, form, told, used, small, failure, first):
    still = answer("still")
    found = read(labelled(tmp_path, form, [told, still] if first else [still, told]))
    assert sorted(found.ids) == (["still", "x"] if used else ["still"])
    assert found.gathering.failures == ({failure: 1} if failure else {})
    assert {name: bool(is_small) for name, is_small in zip(found.ids, found.is_small, strict=True)}.get(
        "x", small
    ) is small


@pytest.mark.parametrize("form", FORMATS)
def test_a_line_without_scores_that_says_not_why_ends_the_reading(tmp_path, form):
    with pytest.raises(InvalidLabels, match="expected a number from 0 to 1"):
        read(labelled(tmp_path, form, [answer("still"), unjudged("x")]))


def test_a_spreadsheet_may_have_made_numbers_of_counts(tmp_path):
    """Where a cell of a column is empty, some programs write 1.0 for 1, and True for true."""
    path = labelled(tmp_path, "csv", [answer("film", sampled=3), answer("still"), unjudged("x", remembered=True)])
    rows = list(csv.reader(path.read_text().splitlines()))
    counts = [rows[0].index(name) for name in ("width", "height", "frames", "sampled")]
    for row in rows[1:]:
        row[:] = [f"{cell}.0" if n in counts and cell else cell.replace("true", "True") for n, cell in enumerate(row)]
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    found = read(path)
    assert ([*found.ids], found.gathering.failures) == (["still"], {"several_pictures": 1, "remembered": 1})


@pytest.mark.parametrize("cell", ["two", "-1", "1.5", "nan", "9" * 5000])
def test_a_count_that_is_none_ends_the_reading(tmp_path, cell):
    path = tmp_path / "labels.csv"
    path.write_text(f"label,open_nsfw,sampled\nsafe,0.5,{cell}\n")
    with pytest.raises(InvalidLabels, match="line 2: sampled: expected a whole number, found"):
        read(path)


@pytest.mark.parametrize("form", FORMATS)
def test_whose_the_scores_are_taken_to_be_is_told_where_the_list_does_not_say(tmp_path, form):
    assert read(labelled(tmp_path, form, [answer("x")])).gathering.scores_of == MODEL


@pytest.mark.parametrize(("models", "told"), [((MODEL, MODEL), None), ((MODEL, ""), MODEL)])
def test_a_list_that_says_it_in_every_line_needs_no_guess(tmp_path, models, told):
    path = tmp_path / "labels.jsonl"
    path.write_text("\n".join(json.dumps({"label": "safe", "model": m, "scores": SCORES}) for m in models))
    assert read(path).gathering.scores_of == told


def test_a_witness_alone_is_nobody_elses(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text("label,open_nsfw\nsafe,0.5\n")
    assert read(path).gathering.scores_of is None
