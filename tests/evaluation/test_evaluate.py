"""What an evaluation tells: tables by hand, another mix by hand, mistakes in order, and the shape of the JSON."""

from __future__ import annotations

import json
import math
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

from demure.errors import InvalidLabels
from demure.evaluation.evaluate import MOST_GROUPS, Evaluation, PolicyResult, as_dict, evaluate
from demure.evaluation.labelled import Gathering, LabelledSet
from demure.policy import Outcome
from demure.policy_file import SHIPPED, find_policy
from demure.reviews import Verdict
from demure.scores import Category

MODEL, WITNESS = "five", "open_nsfw"
BALANCED, STRICT, PERMISSIVE, ORIGINAL = POLICIES = [find_policy(name, {WITNESS}) for name in SHIPPED]


def labelled_set(images: list[tuple[bool, list[tuple[float, float]]]], **more) -> LabelledSet:
    """Each image: is it adult, and the porn and open_nsfw of each of its rows; what porn leaves is neutral."""
    rows = [row for _, its_rows in images for row in its_rows]
    porn, witness = (np.array([row[i] for row in rows]) for i in (0, 1))
    zero = np.zeros(len(rows))
    five = {"drawings": zero, "hentai": zero, "neutral": 1 - porn, "porn": porn, "sexy": zero}
    ends = np.cumsum([0, *(len(its_rows) for _, its_rows in images)])
    return LabelledSet(
        **{
            "is_adult": np.array([is_adult for is_adult, _ in images], bool),
            "first_row": ends[:-1],
            "scores": {MODEL: five, WITNESS: {WITNESS: witness}},
            "is_small": np.zeros(len(images), bool),
            "ids": [f"{image}.jpg" for image in range(len(images))],
            "sha256s": [f"{image:064x}" for image in range(len(images))],
            "gathering": Gathering(near_copies=0),
            **more,
        }
    )


# Under `balanced`: porn and open_nsfw at 0.85 and 0.80 are adult, at 0.25 and 0.20 safe.
IS_ADULT, IS_UNKNOWN, IS_SAFE = [(0.9, 0.9)], [(0.9, 0.1)], [(0.1, 0.1)]


def mixed(counts: dict[tuple[bool, str], int], **more) -> LabelledSet:
    rows = {"adult": IS_ADULT, "unknown": IS_UNKNOWN, "safe": IS_SAFE}
    return labelled_set([(is_adult, rows[d]) for (is_adult, d), n in counts.items() for _ in range(n)], **more)


COUNTS = {
    (True, "adult"): 40,
    (True, "unknown"): 8,
    (True, "safe"): 2,
    (False, "adult"): 1,
    (False, "unknown"): 19,
    (False, "safe"): 180,
}


def only(evaluation: Evaluation) -> PolicyResult:
    (result,) = evaluation.policies
    return result


def tail(count: int, of: int, share: float) -> float:
    """P(Binomial(of, share) <= count)."""
    return math.fsum(math.comb(of, k) * share**k * (1 - share) ** (of - k) for k in range(count + 1))


# --- Tables and rates -------------------------------------------------------------------------------------------------


def test_images_are_counted_by_decision_and_label():
    result = only(evaluate(mixed(COUNTS), [BALANCED]))
    assert result.table == {
        Outcome.SAFE: {Verdict.ADULT: 2, Verdict.SAFE: 180},
        Outcome.UNKNOWN: {Verdict.ADULT: 8, Verdict.SAFE: 19},
        Outcome.ADULT: {Verdict.ADULT: 40, Verdict.SAFE: 1},
    }
    assert (result.policy, result.version, result.model) == ("balanced", BALANCED.version, MODEL)


@pytest.mark.parametrize("confidence", [0.8, 0.95])
def test_rates_are_of_their_own_class_and_their_intervals_exact(confidence):
    rates = only(evaluate(mixed(COUNTS), [BALANCED], confidence=confidence)).rates
    assert (rates.adult, rates.safe) == (50, 200)
    for rate, count, of in ((rates.missed, 2, 50), (rates.false_alarm, 1, 200), (rates.left, 27, 250)):
        assert (rate.count, rate.of) == (count, of)
        assert tail(count, of, rate.high) == pytest.approx((1 - confidence) / 2)
        assert 1 - tail(count - 1, of, rate.low) == pytest.approx((1 - confidence) / 2)


def test_each_group_has_rates_of_its_own():
    images = [(True, IS_SAFE), (True, IS_ADULT), (False, IS_ADULT), (False, IS_UNKNOWN), (False, IS_SAFE)]
    groups = ["chat", "forum", "forum", "forum", "chat"]
    result = only(evaluate(labelled_set(images, groups=groups), [BALANCED]))
    assert [*result.groups] == ["chat", "forum"]
    chat, forum = result.groups["chat"], result.groups["forum"]
    assert (chat.adult, chat.safe, chat.missed.count, chat.false_alarm.count, chat.left.count) == (1, 1, 1, 0, 0)
    assert (forum.adult, forum.safe, forum.missed.count, forum.false_alarm.count, forum.left.count) == (1, 2, 0, 1, 1)
    assert (forum.missed.of, forum.false_alarm.of, forum.left.of) == (1, 2, 3)


def test_too_many_groups_are_refused_and_long_names_cost_no_more_than_they_are_long():
    found = mixed({(False, "safe"): MOST_GROUPS + 1})
    names = [f"{number:05}" for number in range(MOST_GROUPS + 1)]
    with pytest.raises(InvalidLabels, match=r"1,001 groups; the limit is 1,000"):
        evaluate(replace(found, groups=names), [BALANCED])
    one_long = ["x" * 100_000, *["y"] * MOST_GROUPS]
    tracemalloc.start()
    evaluate(replace(found, groups=one_long), [BALANCED])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 50 * 2**20  # as an array of text it would be 400 MB


def test_without_groups_there_are_none():
    assert only(evaluate(mixed(COUNTS), [BALANCED])).groups == {}


def test_every_model_meets_every_policy():
    labelled = mixed(COUNTS)
    labelled = mixed(COUNTS, scores={**labelled.scores, "second": labelled.scores[MODEL]})
    pairs = [(r.model, r.policy) for r in evaluate(labelled, [STRICT, ORIGINAL]).policies]
    assert pairs == [(MODEL, "strict"), (MODEL, "original"), ("second", "strict"), ("second", "original")]
    assert {r.model for r in evaluate(labelled, [STRICT], models=["second"]).policies} == {"second"}


def test_a_policy_whose_scores_are_missing_is_left_out_and_named():
    labelled = mixed(COUNTS)
    found = evaluate(mixed(COUNTS, scores={MODEL: labelled.scores[MODEL]}), [BALANCED, ORIGINAL])
    assert [result.policy for result in found.policies] == ["original"]
    assert [curve.name for curve in found.curves] == [MODEL]
    assert "balanced is not measured with five: there are no scores of open_nsfw." in found.remarks


@pytest.mark.parametrize("models", [["nope"], [WITNESS], [MODEL, "nope"]])
def test_a_model_that_is_not_there_is_refused(models):
    with pytest.raises(InvalidLabels, match=f"no scores of {models[-1]} for the five categories"):
        evaluate(mixed(COUNTS), [BALANCED], models=models)


# --- Mistakes ---------------------------------------------------------------------------------------------------------


def test_the_surest_of_what_is_wrong_comes_first():
    """How far the score is from where it should be, 1 or 0; of equals the first. What is unknown is no mistake."""
    images = [
        (True, [(0.20, 0.10)]),  # safe, 0.80 away
        (False, [(0.90, 0.85)]),  # adult, 0.90 away
        (True, [(0.02, 0.05)]),  # safe, 0.95 away
        (False, [(0.99, 0.90)]),  # adult, 0.99 away
        (True, [(0.90, 0.10)]),  # unknown
        (True, [(0.95, 0.95)]),  # right
        (False, [(0.01, 0.01)]),  # right
        (False, [(0.95, 0.85)]),  # adult, 0.95 away
    ]
    result = only(evaluate(labelled_set(images), [BALANCED]))
    assert [m.id for m in result.mistakes] == ["3.jpg", "2.jpg", "7.jpg", "1.jpg", "0.jpg"]
    assert result.mistakes_in_all == 5
    first, second = result.mistakes[:2]
    assert (first.verdict, first.decision, first.score) == (Verdict.SAFE, Outcome.ADULT, 0.99)
    assert (second.verdict, second.decision, second.score) == (Verdict.ADULT, Outcome.SAFE, 0.05)
    assert first.sha256 == f"{3:064x}"


@pytest.mark.parametrize(("most", "told"), [(0, 0), (1, 1), (3, 3), (4, 3)])
def test_no_more_mistakes_are_told_than_asked_for(most, told):
    result = only(evaluate(mixed(COUNTS), [BALANCED], most_mistakes=most))
    assert (len(result.mistakes), result.mistakes_in_all) == (told, 3)


def test_mistakes_that_are_equally_sure_stand_in_the_order_of_the_set():
    """0.9 where 0 is right, and 0.1 where 1 is."""
    result = only(evaluate(mixed({(False, "adult"): 200, (True, "safe"): 200}), [BALANCED], most_mistakes=400))
    assert [m.id for m in result.mistakes] == [f"{image}.jpg" for image in range(400)]


def test_a_mistake_shows_the_row_that_was_decided_on():
    """The gravest, though another has a higher score; of two alike the higher."""
    images = [(False, [(0.99, 0.10), (0.86, 0.81), (0.90, 0.80), (0.0, 0.0)]), (True, [(0.01, 0.0), (0.2, 0.0)])]
    adult, safe = only(evaluate(labelled_set(images), [BALANCED])).mistakes
    expected = {"drawings": 0, "hentai": 0, "neutral": pytest.approx(0.1), "porn": 0.9, "sexy": 0, WITNESS: 0.8}
    assert (adult.score, adult.scores) == (0.9, expected)
    assert (safe.score, safe.scores["porn"]) == (0.2, 0.2)


def test_a_policy_without_a_witness_shows_none():
    result = only(evaluate(labelled_set([(False, IS_ADULT)]), [ORIGINAL]))
    assert [*result.mistakes[0].scores] == ["drawings", "hentai", "neutral", "porn", "sexy"]


def test_an_image_that_is_too_small_is_never_a_mistake():
    images = [(False, IS_ADULT), (True, IS_SAFE)]
    result = only(evaluate(labelled_set(images, is_small=np.array([True, False])), [BALANCED]))
    assert [m.id for m in result.mistakes] == ["1.jpg"]


# --- Another mix ------------------------------------------------------------------------------------------------------


def test_another_mix_follows_by_bayes():
    """At 10 % adult, of 1,000 images: 100 adult, of which 80 flagged, 16 left, 4 passed; 900 safe, of which 4.5 flagged,
    85.5 left, 810 passed."""
    at = only(evaluate(mixed(COUNTS), [BALANCED], base_rate=0.1)).at_base_rate
    assert at.base_rate == 0.1
    assert at.flags_right.value == pytest.approx(80 / 84.5)
    assert at.passes_wrong.value == pytest.approx(4 / 814)
    assert at.left.value == pytest.approx(101.5 / 1000)


def bounds(count: int, of: int, error: float) -> tuple[float, float]:
    """Clopper and Pearson by bisection, `error` at each end."""
    found = []
    for is_low in (True, False):
        below, above = 0.0, 1.0
        for _ in range(60):
            share = (below + above) / 2
            is_too_small = 1 - tail(count - 1, of, share) < error if is_low else tail(count, of, share) > error
            below, above = (share, above) if is_too_small else (below, share)
        found.append(below)
    return found[0], found[1]


def test_the_interval_at_another_mix_holds_for_the_worst_of_both_shares():
    """Each of the two may be wrong with 2.5 %, half of it at each end."""
    at = only(evaluate(mixed(COUNTS), [BALANCED], base_rate=0.1)).at_base_rate
    adult, safe = bounds(40, 50, 0.0125), bounds(1, 200, 0.0125)
    assert at.flags_right.low == pytest.approx(0.1 * adult[0] / (0.1 * adult[0] + 0.9 * safe[1]))
    assert at.flags_right.high == pytest.approx(0.1 * adult[1] / (0.1 * adult[1] + 0.9 * safe[0]))
    adult, safe = bounds(2, 50, 0.0125), bounds(180, 200, 0.0125)
    assert at.passes_wrong.low == pytest.approx(0.1 * adult[0] / (0.1 * adult[0] + 0.9 * safe[1]))
    assert at.passes_wrong.high == pytest.approx(0.1 * adult[1] / (0.1 * adult[1] + 0.9 * safe[0]))
    adult, safe = bounds(8, 50, 0.0125), bounds(19, 200, 0.0125)
    assert at.left.low == pytest.approx(0.1 * adult[0] + 0.9 * safe[0])
    assert at.left.high == pytest.approx(0.1 * adult[1] + 0.9 * safe[1])


def test_the_intervals_at_another_mix_hold_the_truth():
    """Truth: of adult images 70 % flagged, 10 % passed; of safe ones 3 % flagged, 80 % passed; 20 % adult.
    At a coverage of 0.95 fewer than 89 of 100 come in 1 of 100 runs."""
    truth = {"flags_right": 14 / 16.4, "passes_wrong": 2 / 66, "left": 0.2 * 0.2 + 0.8 * 0.17}
    held, generator = dict.fromkeys(truth, 0), np.random.default_rng(5)
    for _ in range(100):
        drawn = {True: generator.multinomial(60, [0.7, 0.2, 0.1]), False: generator.multinomial(90, [0.03, 0.17, 0.8])}
        counts = {(c, d): n for c, of in drawn.items() for d, n in zip(("adult", "unknown", "safe"), of, strict=True)}
        at = only(evaluate(mixed(counts), [BALANCED], models=[MODEL], base_rate=0.2, most_mistakes=0)).at_base_rate
        for name, value in truth.items():
            interval = getattr(at, name)
            held[name] += interval.low <= value <= interval.high
    assert min(held.values()) >= 89, held


def test_of_what_is_never_decided_no_share_is_known():
    at = only(evaluate(labelled_set([(True, IS_UNKNOWN), (False, IS_SAFE)]), [BALANCED], base_rate=0.5)).at_base_rate
    assert (at.flags_right, at.passes_wrong.value, at.left.value) == (None, 0, 0.5)
    assert at.passes_wrong.high > 0.4


@pytest.mark.parametrize("images", [[], [(True, IS_ADULT)], [(False, IS_SAFE)]])
def test_with_one_class_alone_another_mix_is_not_known(images):
    assert only(evaluate(labelled_set(images), [BALANCED], base_rate=0.1)).at_base_rate is None


def test_without_a_base_rate_nothing_is_said_of_one():
    assert only(evaluate(mixed(COUNTS), [BALANCED])).at_base_rate is None


@pytest.mark.parametrize(("base_rate", "right", "wrong"), [(0.0, 0, 0), (1.0, 1, 1)])
def test_where_all_images_are_of_one_class_so_is_what_is_decided(base_rate, right, wrong):
    at = only(evaluate(mixed(COUNTS), [BALANCED], base_rate=base_rate)).at_base_rate
    assert (at.flags_right.value, at.passes_wrong.value) == (right, wrong)


def test_where_only_adult_images_come_and_none_is_passed_there_is_no_share_of_them():
    labelled = labelled_set([(True, IS_ADULT), (False, IS_SAFE)])
    at = only(evaluate(labelled, [BALANCED], base_rate=1.0)).at_base_rate
    assert (at.flags_right.value, at.passes_wrong) == (1, None)


@pytest.mark.parametrize("base_rate", [-0.01, 1.01, 2, math.nan])
def test_a_base_rate_is_a_share(base_rate):
    with pytest.raises(ValueError, match="base rate"):
        evaluate(mixed(COUNTS), [BALANCED], base_rate=base_rate)


# --- Curves -----------------------------------------------------------------------------------------------------------


def test_there_is_a_curve_for_each_model_each_witness_and_each_model_with_its_first_witness():
    labelled = mixed(COUNTS)
    labelled = mixed(COUNTS, scores={**labelled.scores, "second": labelled.scores[MODEL]})
    names = [curve.name for curve in evaluate(labelled, [ORIGINAL, STRICT, BALANCED]).curves]
    assert names == [MODEL, "second", WITNESS, "five + open_nsfw", "second + open_nsfw"]
    assert [c.name for c in evaluate(labelled, [ORIGINAL]).curves] == [MODEL, "second", WITNESS]
    assert [c.name for c in evaluate(labelled, [], models=["second"]).curves] == ["second", WITNESS]


def test_a_curve_is_of_the_worst_row_of_each_image_and_of_the_number_of_its_name():
    """The adult image stands at 0.6 by porn, 0.45 by open_nsfw and 0.6 by the larger of both; each safe one says whether it
    is below that."""
    images = [
        (True, [(0.6, 0.3), (0.1, 0.45)]),
        (False, [(0.2, 0.3), (0.7, 0.1)]),  # no, yes, no
        (False, [(0.7, 0.1)]),  # no, yes, no
        (False, [(0.65, 0.55)]),  # no, no, no
        (False, [(0.1, 0.4)]),  # yes, yes, yes
        (False, [(0.1, 0.58)]),  # yes, no, yes
        (False, [(0.1, 0.95)]),  # yes, no, no
        (False, [(0.1, 0.5)]),  # yes, no, yes
        (False, [(0.2, 0.5)]),  # yes, no, yes
    ]
    found = {curve.name: curve.auc.value for curve in evaluate(labelled_set(images), [BALANCED]).curves}
    assert found == {MODEL: 5 / 8, WITNESS: 3 / 8, "five + open_nsfw": 4 / 8}


# --- The whole --------------------------------------------------------------------------------------------------------


def test_an_evaluation_tells_what_it_is_made_of():
    gathering = Gathering(duplicates=3, near_copies=0)
    found = evaluate(mixed(COUNTS, gathering=gathering), [BALANCED], confidence=0.9)
    assert (found.adult, found.safe, found.confidence, found.gathering) == (50, 200, 0.9, gathering)
    assert found.remarks[0].startswith("Even with none missed of 50 adult images")


def test_of_no_images_an_evaluation_says_that_there_are_none():
    found = evaluate(labelled_set([]), POLICIES)
    assert (found.adult, found.safe, len(found.policies)) == (0, 0, 4)
    assert {curve.auc for curve in found.curves} == {None}
    assert found.remarks[:2] == (
        "There are no adult images: how many are missed, this set cannot say.",
        "There are no safe images: how many are falsely flagged, this set cannot say.",
    )
    assert only(evaluate(labelled_set([]), [BALANCED])).rates.left.share is None


def test_as_json_the_names_are_stable():
    gathering = Gathering(near_copies=0, failures={"undecodable": 1}, contradictions=("x.jpg",))
    labelled = mixed(COUNTS, groups=["chat"] * 250, gathering=gathering)
    told = as_dict(evaluate(labelled, [BALANCED], base_rate=0.1))
    assert json.loads(json.dumps(told, allow_nan=False)) == told
    assert [*told] == ["adult", "safe", "confidence", "curves", "policies", "gathering", "remarks"]
    assert [*told["curves"][0]] == ["name", "roc", "precision_recall", "auc", "average_precision", "recalls"]
    assert told["curves"][0]["roc"][0] == [0, 0]
    assert [*told["curves"][0]["auc"]] == ["value", "low", "high"]
    assert [*told["curves"][0]["recalls"][0]] == ["false_alarm", "threshold", "found", "takes_safe"]
    (result,) = told["policies"]
    assert [*result] == [
        *[
            "policy",
            "called",
            "version",
            "model",
            "table",
            "rates",
            "at_base_rate",
            "groups",
            "mistakes",
            "mistakes_in_all",
        ]
    ]
    assert result["table"]["safe"] == {"adult": 2, "safe": 180}
    assert [*result["rates"]] == ["adult", "safe", "missed", "false_alarm", "left"]
    assert [*result["rates"]["missed"]] == ["count", "of", "low", "high", "share"]
    assert result["rates"]["missed"]["share"] == 2 / 50
    assert {type(key) for key in (*result["table"], *result["table"]["safe"])} == {str}
    assert [*result["at_base_rate"]] == ["base_rate", "flags_right", "passes_wrong", "left"]
    assert [*result["groups"]] == ["chat"]
    assert [*result["mistakes"][0]] == ["id", "sha256", "verdict", "decision", "score", "scores"]
    assert (result["mistakes"][0]["verdict"], type(result["mistakes"][0]["verdict"])) == ("adult", str)
    assert [*told["gathering"]] == [
        *["duplicates", "contradictions", "near_copies", "failures", "thinned", "unjudged", "unfinished", "scores_of"]
    ]
    assert told["gathering"]["failures"] == {"undecodable": 1}


def test_a_hundred_thousand_images_take_seconds():
    """Two models, eight results, five curves. What takes the square of their number does not come to its end here."""
    generator = np.random.default_rng(9)
    is_adult = generator.random(100_000) < 0.1
    five = {
        m: dict(zip(map(str, Category), generator.dirichlet([0.3] * 5, 100_000).T, strict=True))
        for m in (MODEL, "second")
    }
    labelled = LabelledSet(
        is_adult=is_adult,
        first_row=np.arange(100_000),
        scores={**five, WITNESS: {WITNESS: generator.random(100_000)}},
        is_small=np.zeros(100_000, bool),
        ids=[str(image) for image in range(100_000)],
        sha256s=[None] * 100_000,
    )
    found = evaluate(labelled, POLICIES, base_rate=0.02)
    assert (len(found.curves), len(found.policies)) == (5, 8)
    assert found.curves[0].auc.value == pytest.approx(0.5, abs=0.02)
