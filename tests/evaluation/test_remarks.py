"""What a set cannot say, at both sides of each limit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from demure.evaluation.labelled import Gathering, LabelledSet
from demure.evaluation.remarks import remarks
from demure.policy_file import find_policy
from demure.scores import Category

MODEL, WITNESS = "five", "open_nsfw"
BALANCED, ORIGINAL = (find_policy(name, {WITNESS}) for name in ("balanced", "original"))
FIVE = {str(category): 0.2 for category in Category}


def labelled_set(
    adult: int = 600,
    safe: int = 600,
    *,
    groups: list[str] | None = None,
    without: frozenset[str] = frozenset(),
    **gathered,
) -> LabelledSet:
    images = adult + safe
    columns = {MODEL: FIVE, WITNESS: {WITNESS: 0.5}}
    return LabelledSet(
        is_adult=np.arange(images) < adult,
        first_row=np.arange(images),
        scores={m: {name: np.full(images, v) for name, v in columns[m].items()} for m in columns if m not in without},
        is_small=np.zeros(images, bool),
        ids=[str(image) for image in range(images)],
        sha256s=[None] * images,
        groups=groups,
        gathering=replace(Gathering(near_copies=0), **gathered),
    )


def made(labelled: LabelledSet, *, base_rate: float | None = 0.1, confidence: float = 0.95) -> list[str]:
    return remarks(labelled, labelled.models, [BALANCED, ORIGINAL], base_rate, confidence)


def test_of_a_large_even_set_nothing_need_be_said():
    assert made(labelled_set()) == []


FEW_ADULT = "Even with none missed of {images}, the share of missed ones may still be as large as {share} %; to prove 0.5 % takes 598."

# what, adult images, the share that none of them proves: 1 - 0.05 ** (1 / n), rounded up
SIZES = [
    ("enough", 598, "", None),
    ("one less", 597, "597 adult images", "0.51"),
    ("a fifth", 120, "120 adult images", "2.5"),
    ("thirty-two", 32, "32 adult images", "9"),
    ("one", 1, "1 adult image", "95"),
]


@pytest.mark.parametrize(("adult", "images", "share"), [row[1:] for row in SIZES], ids=[row[0] for row in SIZES])
def test_with_few_adult_images_it_is_told_what_they_prove(adult, images, share):
    assert made(labelled_set(adult)) == ([FEW_ADULT.format(images=images, share=share)] if share else [])


@pytest.mark.parametrize(("safe", "said"), [(598, False), (597, True)])
def test_so_it_is_with_few_safe_images(safe, said):
    found = made(labelled_set(safe=safe))
    assert len(found) == said
    assert not said or found[0].startswith("Even with none falsely flagged of 597 safe images")


def test_more_confidence_takes_more_images():
    """log(0.01) / log(0.995) = 918.7."""
    assert made(labelled_set(919, 919), confidence=0.99) == []
    assert len(made(labelled_set(918, 918), confidence=0.99)) == 2


def test_what_a_set_without_one_class_cannot_say():
    assert made(labelled_set(adult=0), base_rate=None) == [
        "There are no adult images: how many are missed, this set cannot say."
    ]
    assert made(labelled_set(safe=0), base_rate=None) == [
        "There are no safe images: how many are falsely flagged, this set cannot say."
    ]


def test_small_groups_are_named():
    groups = ["forum"] * 100 + ["chat"] * 99 + ["avatar"] + ["shop"] * 1000
    assert made(labelled_set(groups=groups)) == ["Groups of fewer than 100 images say little: avatar (1), chat (99)."]


def test_of_many_names_five_are_told():
    assert made(labelled_set(contradictions=tuple("abcde")))[0].endswith("a, b, c, d, e.")
    groups = [f"g{image:04}" for image in range(1200)]
    assert made(labelled_set(groups=groups))[0].endswith("g0003 (1), g0004 (1), and 1,195 more.")


NEAR = [
    ("two in a hundred", 24, []),
    ("one more", 25, ["Near copies among the 1,200 images: 25. The intervals are too narrow."]),
    ("not known", None, ["Nobody looked for near copies. If there are many, the intervals are too narrow."]),
]


@pytest.mark.parametrize(("copies", "said"), [row[1:] for row in NEAR], ids=[row[0] for row in NEAR])
def test_near_copies_are_told_of_when_they_are_many(copies, said):
    assert made(labelled_set(near_copies=copies)) == said


GATHERED = [
    ({"contradictions": ("a.jpg",)}, "Under both labels, and used as neither: 1 image, a.jpg."),
    (
        {"contradictions": tuple("abcdefg")},
        "Under both labels, and used as neither: 7 images, a, b, c, d, e, and 2 more.",
    ),
    (
        {"failures": {"undecodable": 3, "too_large": 1}},
        "4 images could not be judged and are in no figure here: too_large (1), undecodable (3).",
    ),
    ({"thinned": 1234}, "1,234 labels left out, so that every decision has the same chance to be among the rest."),
    (
        {"unjudged": 120},
        "120 images that people were to judge on these days they did not: if those are of another kind, these figures are off.",
    ),
    ({"unfinished": 45}, "45 labels left out: on their day too much was not judged."),
]


@pytest.mark.parametrize(("gathered", "said"), GATHERED)
def test_what_was_left_out_is_told(gathered, said):
    assert made(labelled_set(**gathered)) == [said]


def test_duplicates_change_nothing_and_are_not_spoken_of():
    assert made(labelled_set(duplicates=500)) == []


def test_a_policy_whose_scores_are_missing_is_named():
    assert made(labelled_set(without=frozenset({WITNESS}))) == [
        "balanced is not measured with five: there are no scores of open_nsfw."
    ]


def test_without_a_five_class_model_no_policy_can_be_measured():
    assert made(labelled_set(without=frozenset({MODEL}))) == [
        "There are no scores of a five-class model: no policy can be measured."
    ]


def test_without_a_base_rate_the_mix_is_told():
    """600 of 1,800."""
    assert made(labelled_set(600, 1200), base_rate=None) == [
        "33.3 % of these images are adult: average precision, and the share that is left to people, are those of this mix."
    ]
