"""A labelled set decides as policy.decide does, row by row, and takes the gravest."""

from __future__ import annotations

import numpy as np
import pytest

from demure.errors import InvalidLabels
from demure.evaluation.labelled import LabelledSet
from demure.policy import Outcome, Policy, decide, sort_score
from demure.policy_file import SHIPPED, find_policy, parse_policy
from demure.scores import Category

MODEL, WITNESS = "five", "open_nsfw"
POLICIES = {name: find_policy(name, {WITNESS}) for name in SHIPPED}
POLICIES["both"] = parse_policy(
    'name="both"\n[adult]\nporn={at_least=0.2}\n[safe]\nporn={at_most=0.6}\nopen_nsfw={at_most=0.5}', "both", {WITNESS}
)
POLICIES["unused"] = parse_policy(
    'name="unused"\n[sums]\nrisk={sexy=1}\n[safe]\nporn={at_most=0.5}', "unused", {WITNESS}
)
POLICIES["never"] = parse_policy('name="never"\n[safe]\nneutral={at_least=0.5, at_most=0.9}', "never", {WITNESS})


def random_set(seed: int, images: int = 400) -> LabelledSet:
    """One to three rows an image. Scores stand on a grid of 1/20, on which all shipped bounds lie, so that many are at one."""
    generator = np.random.default_rng(seed)
    counts = generator.integers(1, 4, images)
    rows = int(counts.sum())
    parts = generator.multinomial(20, generator.dirichlet([0.5] * len(Category), rows)) / 20
    return LabelledSet(
        is_adult=generator.random(images) < 0.5,
        first_row=np.cumsum(counts) - counts,
        scores={
            MODEL: {str(category): parts[:, index] for index, category in enumerate(Category)},
            WITNESS: {WITNESS: generator.integers(0, 21, rows) / 20},
        },
        is_small=generator.random(images) < 0.1,
        ids=[str(image) for image in range(images)],
        sha256s=[None] * images,
    )


def rows_of(labelled: LabelledSet, image: int) -> range:
    ends = [*labelled.first_row[1:], len(labelled.scores[MODEL]["porn"])]
    return range(labelled.first_row[image], ends[image])


def values_of(labelled: LabelledSet, row: int) -> dict[str, float]:
    return {name: float(column[row]) for columns in labelled.scores.values() for name, column in columns.items()}


def gravest(labelled: LabelledSet, image: int, policy: Policy) -> tuple[int, float, int]:
    """Its gravity, its score and its row, as the pipeline chooses them."""
    judged = []
    for row in rows_of(labelled, image):
        values = values_of(labelled, row)
        outcome = Outcome.UNKNOWN if labelled.is_small[image] else decide(values, policy).outcome
        judged.append((outcome.gravity, sort_score(values, policy), row))
    return max(judged, key=lambda row: row[:2])


@pytest.mark.parametrize("name", POLICIES)
def test_a_set_is_decided_as_its_rows_are_one_by_one(name):
    labelled, policy = random_set(1), POLICIES[name]
    expected = [gravest(labelled, image, policy)[0] for image in range(len(labelled))]
    assert labelled.decisions(MODEL, policy).tolist() == expected
    assert len({*expected}) >= 2


@pytest.mark.parametrize("name", POLICIES)
def test_the_row_that_is_told_is_the_gravest_then_the_one_with_the_highest_score_then_the_first(name):
    labelled, policy = random_set(2), POLICIES[name]
    expected = [gravest(labelled, image, policy)[2] for image in range(len(labelled))]
    assert labelled.deciding_rows(MODEL, policy).tolist() == expected


@pytest.mark.parametrize("name", POLICIES)
def test_the_number_to_sort_by_is_that_of_the_row_where_it_is_largest(name):
    labelled, policy = random_set(3), POLICIES[name]
    expected = [
        max(sort_score(values_of(labelled, row), policy) for row in rows_of(labelled, image))
        for image in range(len(labelled))
    ]
    assert labelled.score(MODEL, policy).tolist() == expected


def test_the_number_to_sort_by_never_passes_one():
    heavy = parse_policy('name="x"\n[sums]\nrisk={porn=5}\n[adult]\nrisk={at_least=1}', "x", {WITNESS})
    assert random_set(4).score(MODEL, heavy).max() == 1.0


def test_risk_is_porn_and_hentai_and_half_of_sexy_in_the_worst_row():
    labelled = random_set(5)
    for image, found in enumerate(labelled.risk(MODEL)):
        rows = [values_of(labelled, row) for row in rows_of(labelled, image)]
        assert found == pytest.approx(max(v["porn"] + v["hentai"] + v["sexy"] / 2 for v in rows), abs=1e-7)


def test_numbers_that_differ_by_the_order_of_a_sum_alone_are_one():
    """0.1 + 0.2 is not 0.3 in binary."""
    columns = {
        "porn": [0.1, 0.3],
        "hentai": [0.2, 0.0],
        "sexy": [0.0, 0.0],
        "neutral": [0.7, 0.7],
        "drawings": [0.0, 0.0],
    }
    labelled = small_set({MODEL: columns}, 2)
    assert len({*labelled.risk(MODEL).tolist()}) == 1
    assert len({*labelled.score(MODEL, POLICIES["original"]).tolist()}) == 1


def small_set(scores: dict[str, dict[str, list[float]]], images: int) -> LabelledSet:
    return LabelledSet(
        is_adult=np.arange(images) % 2 == 0,
        first_row=np.arange(images),
        scores={m: {name: np.array(column) for name, column in columns.items()} for m, columns in scores.items()},
        is_small=np.zeros(images, bool),
        ids=[str(image) for image in range(images)],
        sha256s=[None] * images,
    )


def test_a_model_of_five_classes_and_a_witness_are_told_apart():
    labelled = random_set(6)
    assert (labelled.models, labelled.witnesses) == ((MODEL,), (WITNESS,))
    assert len(labelled) == 400


FIVE = {str(category): [0.2] for category in Category}
PORN_ALONE = {"porn": [0.2], "hentai": [0.1]}

# what, scores, policy, what is lacking
LACKING = [
    ("nothing", {MODEL: FIVE, WITNESS: {WITNESS: [0.5]}}, "balanced", []),
    ("no witness is asked", {MODEL: FIVE}, "original", []),
    ("a witness", {MODEL: FIVE}, "balanced", [WITNESS]),
    ("the model", {WITNESS: {WITNESS: [0.5]}}, "balanced", [MODEL]),
    ("both", {"other": FIVE}, "balanced", [MODEL, WITNESS]),
    ("parts of a sum and a score", {MODEL: PORN_ALONE}, "original", ["neutral", "sexy"]),
    ("a part of a sum", {MODEL: PORN_ALONE, WITNESS: {WITNESS: [0.5]}}, "balanced", ["sexy"]),
    ("a part of a sum that no bound is for", {MODEL: PORN_ALONE}, "unused", []),
]


@pytest.mark.parametrize(("scores", "policy", "missing"), [row[1:] for row in LACKING], ids=[row[0] for row in LACKING])
def test_a_policy_is_refused_where_scores_are_lacking_and_they_are_named(scores, policy, missing):
    labelled = small_set(scores, 1)
    assert labelled.lacking(MODEL, POLICIES[policy]) == missing
    if not missing:
        assert labelled.decisions(MODEL, POLICIES[policy]).shape == (1,)
        return
    with pytest.raises(InvalidLabels, match=f"no scores of {', '.join(missing)}, which {policy} asks for"):
        labelled.decisions(MODEL, POLICIES[policy])


def test_without_a_risk_the_witness_alone_is_sorted_by():
    """As policy.sort_score has it."""
    labelled = small_set({MODEL: PORN_ALONE, WITNESS: {WITNESS: [0.05]}}, 1)
    policy = parse_policy('name="x"\n[adult]\nporn={at_least=0.5}\nopen_nsfw={at_least=0.5}', "x", {WITNESS})
    values = {"porn": 0.2, "hentai": 0.1, WITNESS: 0.05}
    assert labelled.score(MODEL, policy).tolist() == [sort_score(values, policy)] == [0.05]


@pytest.mark.parametrize(("model", "missing"), [(MODEL, "sexy"), ("other", "hentai, porn, sexy")])
def test_risk_is_refused_where_a_category_is_missing(model, missing):
    with pytest.raises(InvalidLabels, match=f"no scores of {model} for {missing}"):
        small_set({MODEL: PORN_ALONE}, 1).risk(model)


@pytest.mark.parametrize("name", POLICIES)
def test_of_no_images_nothing_is_decided(name):
    labelled = small_set({MODEL: {c: [] for c in FIVE}, WITNESS: {WITNESS: []}}, 0)
    assert len(labelled.decisions(MODEL, POLICIES[name])) == 0
    assert len(labelled.deciding_rows(MODEL, POLICIES[name])) == 0
    assert len(labelled.score(MODEL, POLICIES[name])) == len(labelled.risk(MODEL)) == 0
