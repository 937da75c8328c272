"""What is written is what is read; and what may be wrong with a promise."""

from __future__ import annotations

import tomllib
from dataclasses import replace

import pytest

from demure.errors import InvalidPolicy
from demure.evaluation.drift import BINS
from demure.policy import Bound, Policy
from demure.policy_file import SHIPPED, find_policy, parse_policy, policy_text
from demure.promise import Promise

WITNESSES = {"open_nsfw"}


def promised(policy: Policy) -> Policy:
    promise = Promise(
        version=policy.version,
        model="mobilenet_v2_140",
        max_missed=0.005,
        max_false_alarm=None,
        confidence=0.95,
        adult=600,
        safe=1400,
        data="ab" * 32,
        base_rate=0.3,
        left=0.0812,
        adult_scores=(0,) * (BINS - 1) + (600,),
        safe_scores=(1400,) + (0,) * (BINS - 1),
    )
    return replace(policy, promise=promise)


@pytest.mark.parametrize("name", SHIPPED)
def test_a_policy_survives_being_written(name: str):
    policy = find_policy(name, WITNESSES)
    assert parse_policy(policy_text(policy), "x.toml", WITNESSES) == policy


ODD = [
    ("two bounds on one score", {"safe": (Bound("sexy", "at_least", 0.1), Bound("sexy", "at_most", 0.3))}),
    ("a section that never holds", {"adult": ()}),
    ("every digit", {"safe": (Bound("porn", "at_most", 0.1 + 0.2), Bound("sexy", "at_most", 1e-7))}),
    ("odd characters", {"name": 'a "b" \\ \n\t\x7f \u2028 ü 🙂', "description": "# no comment\x00"}),
    ("a sum with an odd name", {"sums": {'a "b".c': {"porn": 0.1}}, "safe": (Bound('a "b".c', "at_most", 0.05),)}),
]


@pytest.mark.parametrize("changes", [odd[1] for odd in ODD], ids=[odd[0] for odd in ODD])
def test_odd_ones_do_too(changes: dict):
    plain = Policy("plain", "", {}, (Bound("porn", "at_least", 0.9),), (), frozenset())
    policy = replace(plain, **changes)
    assert parse_policy(policy_text(policy), "x.toml", WITNESSES) == policy


def test_a_promise_is_written_beside_its_conditions():
    policy = promised(find_policy("balanced", WITNESSES))
    text = policy_text(policy)
    assert parse_policy(text, "x.toml", WITNESSES) == policy
    assert "for images like those that this was made from" in text
    assert "max_false_alarm" not in tomllib.loads(text)["promise"]


def test_a_promise_does_not_change_what_is_decided():
    balanced = find_policy("balanced", WITNESSES)
    assert promised(balanced).version == balanced.version


WRONG = [
    ("a changed bound", ("at_most = 0.25", "at_most = 0.26"), "promise: the bounds are not those"),
    (
        "a share in percent",
        ("confidence = 0.95", "confidence = 95"),
        "promise.confidence: expected a number from 0 to 1",
    ),
    ("no share", ("max_missed = 0.005", "max_missed = true"), "promise.max_missed: expected a number"),
    ("not a number", ("left = 0.0812", "left = nan"), "promise.left: expected a number from 0 to 1"),
    ("a negative count", ("adult = 600", "adult = -1"), "promise.adult: expected a whole number"),
    ("a missing key", ('model = "mobilenet_v2_140"\n', ""), "promise.model: expected text in quotes, found 'None'"),
    ("an unknown key", ("confidence =", "certainty = 1\nconfidence ="), "promise.certainty: unknown key"),
    ("a short histogram", ("adult_scores = [0, ", "adult_scores = ["), "promise.adult_scores: expected a list of"),
    ("a histogram of text", ("safe_scores = [1400", 'safe_scores = ["a"'), "promise.safe_scores: expected a list of"),
    ("no table", ("[promise]", "promise = 1\n[other]"), "other"),
]


@pytest.mark.parametrize(("change", "message"), [w[1:] for w in WRONG], ids=[w[0] for w in WRONG])
def test_a_promise_that_cannot_be_is_refused(change: tuple[str, str], message: str):
    text = policy_text(promised(find_policy("balanced", WITNESSES)))
    assert change[0] in text
    with pytest.raises(InvalidPolicy, match=message):
        parse_policy(text.replace(*change, 1), "x.toml", WITNESSES)
