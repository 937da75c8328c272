"""What people said, as labels: each image with the same chance to be among them, or none at all."""

from __future__ import annotations

import hashlib
import secrets

import numpy as np
import pytest
from sqlalchemy import insert

from demure.checks import is_chosen, is_kept
from demure.errors import InvalidLabels
from demure.evaluation.verdicts import read_verdicts
from demure.policy import Outcome
from demure.reviews import Kind, State, Verdict
from demure.store import checks
from demure.store.database import Database
from demure.store.schema import DAY_MS, reviews, tallies

DAY = 20_000
WITNESSES = {"open_nsfw"}
SCORES = {"drawings": 0.1, "hentai": 0.2, "neutral": 0.3, "porn": 0.25, "sexy": 0.15}


def sha(name: str) -> bytes:
    return hashlib.sha256(name.encode()).digest()


def cell(
    database: Database,
    decision: Outcome,
    chance: float,
    *,
    day: int = DAY,
    version: str = "v1",
    model: str = "m",
    chosen: int = 1,
) -> int:
    """A row of images that were counted, and its id."""
    key = {"day": day, "model": model, "policy": "p", "policy_version": version, "decision": decision, "chance": chance}
    row = insert(tallies).values(**key, bin=0, images=chosen, chosen=chosen).returning(tallies.c.id)
    return database.write(lambda c: c.execute(row).scalar_one())


def label(database: Database, tally: int, decision: Outcome, chance: float, names: list[str], **more: object) -> None:
    """Images that came in that row, went to review, and were called safe."""
    common = {
        "kind": Kind.CHECK, "state": State.SETTLED, "version": 2, "rank": 1, "priority": 0.0, "opened_ms": DAY * DAY_MS,
        "decision": decision, "reason": "r", "score": 0.5, "scores": SCORES, "witnesses": {"open_nsfw": 0.4}, "model": "m",
        "media": {"width": 40, "height": 40}, "policy": "p", "policy_version": "v1", "pictures": 1, "verdict": Verdict.SAFE, "chance": chance, "tally": tally,
    }  # fmt: skip
    rows = [{**common, "id": secrets.token_hex(12), "sha256": sha(name), **more} for name in names]
    database.write(lambda c: c.execute(insert(reviews), rows))


def test_scores_and_verdicts_come_as_they_were(database: Database):
    tally = cell(database, Outcome.UNKNOWN, 1.0)
    label(database, tally, Outcome.UNKNOWN, 1.0, ["a"], verdict=Verdict.ADULT)
    label(database, tally, Outcome.UNKNOWN, 1.0, ["b"], media={"width": 31, "height": 500})
    found = read_verdicts(database, "m", WITNESSES)
    assert sorted(found.sha256s) == sorted([sha("a").hex(), sha("b").hex()])
    of_a = found.sha256s.index(sha("a").hex())
    assert found.is_adult.tolist() == [number == of_a for number in range(2)]
    assert found.is_small.tolist() == [number != of_a for number in range(2)]
    assert {name: column.tolist() for name, column in found.scores["m"].items()} == {
        n: [s] * 2 for n, s in SCORES.items()
    }
    assert found.scores["open_nsfw"]["open_nsfw"].tolist() == [0.4, 0.4]


def test_each_image_has_the_same_chance_whatever_was_decided(database: Database):
    """5,000 unknown ones, all judged, and of 50,000 safe ones a tenth: a tenth of each remains, and which hangs on the lot alone."""
    seed = database.write(checks.seed)
    unknown, safe = [f"unknown {n}" for n in range(5_000)], [f"safe {n}" for n in range(50_000)]
    chosen = [name for name in safe if is_chosen(seed, sha(name), 0.1)]
    label(database, cell(database, Outcome.UNKNOWN, 1.0), Outcome.UNKNOWN, 1.0, unknown)
    label(database, cell(database, Outcome.SAFE, 0.1), Outcome.SAFE, 0.1, chosen)
    found = read_verdicts(database, "m", WITNESSES)
    kept = {*found.sha256s}
    assert {sha(name).hex() for name in chosen} <= kept
    remaining = sum(sha(name).hex() in kept for name in unknown)
    assert remaining == pytest.approx(500, abs=5 * np.sqrt(5_000 * 0.1 * 0.9))
    assert found.gathering.thinned == 5_000 - remaining
    assert len(found) == len(chosen) + remaining


def test_what_is_kept_is_not_drawn_with_the_lot_that_chose():
    """Or else all that was chosen at one in ten would be kept at one in ten."""
    seed = b"s" * 32
    chosen = [name for name in map(str, range(20_000)) if is_chosen(seed, sha(name), 0.1)]
    kept = sum(is_kept(seed, sha(name), 0.1, 0.01) for name in chosen)
    assert kept == pytest.approx(len(chosen) / 10, abs=5 * np.sqrt(len(chosen) * 0.09))


NOT_FAIR = [
    ("nothing was decided", []),
    ("only unknown ones are judged", [(Outcome.UNKNOWN, 1.0), (Outcome.SAFE, 0.0), (Outcome.ADULT, 0.0)]),
    ("adult ones are not checked", [(Outcome.UNKNOWN, 1.0), (Outcome.SAFE, 0.1), (Outcome.ADULT, 0.0)]),
]


@pytest.mark.parametrize("cells", [n[1] for n in NOT_FAIR], ids=[n[0] for n in NOT_FAIR])
def test_without_a_fair_sample_there_are_no_labels(database: Database, cells: list[tuple[Outcome, float]]):
    for decision, chance in cells:
        tally = cell(database, decision, chance)
        if chance:
            label(database, tally, decision, chance, [decision])
    with pytest.raises(InvalidLabels, match="set DEMURE_SPOT_CHECKS for both decisions"):
        read_verdicts(database, "m", WITNESSES)


def test_days_and_policies_that_were_not_checked_are_left_out_alone(database: Database):
    for day, version, chance in ((DAY, "v1", 0.5), (DAY, "v2", 0.0), (DAY - 1, "v1", 0.0)):
        cell(database, Outcome.SAFE, chance, day=day, version=version, chosen=0)
        tally = cell(database, Outcome.UNKNOWN, 1.0, day=day, version=version)
        names = [f"{day} {version} {number}" for number in range(60)]
        label(database, tally, Outcome.UNKNOWN, 1.0, names, policy_version=version)
    fair = {sha(f"{DAY} v1 {number}").hex() for number in range(60)}
    found = {*read_verdicts(database, "m", WITNESSES).sha256s}
    assert found <= fair
    assert 10 < len(found) < 50


def test_a_day_with_a_tiny_share_does_not_thin_all_others(database: Database):
    for day, chance, names in ((DAY, 0.5, 40), (DAY - 1, 0.001, 2)):
        tally = cell(database, Outcome.SAFE, chance, day=day, chosen=names)
        label(database, tally, Outcome.SAFE, chance, [f"{day} {number}" for number in range(names)])
        cell(database, Outcome.UNKNOWN, 1.0, day=day, chosen=0)
    assert len(read_verdicts(database, "m", WITNESSES)) == 40


def test_an_image_of_which_several_pictures_were_judged_is_left_out(database: Database):
    """Of them only the gravest by the old policy is kept: by another bound another may decide."""
    tally = cell(database, Outcome.UNKNOWN, 1.0)
    for name, pictures in (("still", 1), ("film", 12), ("see-through", 2), ("of before", None)):
        label(database, tally, Outcome.UNKNOWN, 1.0, [name], pictures=pictures)
    found = read_verdicts(database, "m", WITNESSES)
    assert (found.sha256s, found.gathering.failures) == ([sha("still").hex()], {"several_pictures": 3})


def test_what_has_not_all_scores_is_told_and_left_out(database: Database):
    tally = cell(database, Outcome.UNKNOWN, 1.0)
    label(database, tally, Outcome.UNKNOWN, 1.0, ["a"], witnesses={})
    label(database, tally, Outcome.UNKNOWN, 1.0, ["b"])
    found = read_verdicts(database, "m", WITNESSES)
    assert (len(found), found.gathering.failures) == (1, {"not_scored": 1})
