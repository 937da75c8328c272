"""Curves and their intervals: against examples, against sums over all pairs, and against worlds whose truth is known."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from fractions import Fraction
from statistics import NormalDist

import numpy as np
import pytest

from demure.evaluation.curves import Curve, curve, recall

NORMAL = NormalDist()


def curve_of(adult, safe, confidence: float = 0.95) -> Curve:
    labels = np.arange(len(adult) + len(safe)) < len(adult)
    return curve("x", np.array([*adult, *safe], float), labels, confidence)


def tied_scores(seed: int, adult: int = 40, safe: int = 70) -> tuple[list[float], list[float]]:
    """Few levels, so that most are ties."""
    generator = np.random.default_rng(seed)
    return (generator.binomial(12, 0.6, adult) / 12).tolist(), (generator.binomial(12, 0.4, safe) / 12).tolist()


def logit(share: float) -> float:
    return math.log(share / (1 - share))


# --- The curves -------------------------------------------------------------------------------------------------------


def test_the_example_of_scikit_learn():
    """Of roc_auc_score and average_precision_score: labels 0, 0, 1, 1 and scores .1, .4, .35, .8 give .75 and .83."""
    found = curve_of([0.35, 0.8], [0.1, 0.4])
    assert found.auc.value == 0.75
    assert found.average_precision.value == pytest.approx(1 / 2 * 1 + 1 / 2 * 2 / 3)
    assert found.roc == ((0, 0), (0, 0.5), (0.5, 0.5), (0.5, 1), (1, 1))
    assert found.precision_recall == ((0, 1), (0.5, 1), (0.5, 0.5), (1, 2 / 3), (1, 0.5))


def test_what_is_tied_is_one_point():
    found = curve_of([0.5, 0.5, 0.9], [0.5, 0.1])
    assert found.roc == ((0, 0), (0, 1 / 3), (0.5, 1), (1, 1))
    assert found.precision_recall == ((0, 1), (1 / 3, 1), (1, 0.75), (1, 0.6))
    assert curve_of([0.5], [0.9]).precision_recall == ((0, 0), (0, 0), (1, 0.5))


def points_of(adult, safe) -> tuple[np.ndarray, np.ndarray]:
    """Of both curves, one for each score: (k, 2) each."""
    thresholds = np.sort([*adult, *safe])[::-1]
    found, false = (len(s) - np.searchsorted(np.sort(s), thresholds) for s in (adult, safe))
    roc, precision_recall = (false / len(safe), found / len(adult)), (found / len(adult), found / (found + false))
    return np.transpose(roc), np.transpose(precision_recall)


def normal_scores(images: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(7)
    return generator.normal(1.5, 1, images // 4), generator.normal(0, 1, images - images // 4)


def test_a_short_curve_has_all_its_points():
    found, (roc, precision_recall) = curve_of(*normal_scores(400)), points_of(*normal_scores(400))
    assert found.roc == ((0, 0), *map(tuple, roc.tolist()))
    assert found.precision_recall[1:] == (*map(tuple, precision_recall.tolist()),)


def test_a_long_curve_is_thinned_to_points_of_its_own_and_none_is_far_from_them():
    found = curve_of(*normal_scores(10_000))
    for name, every in zip(("roc", "precision_recall"), points_of(*normal_scores(10_000)), strict=True):
        kept = np.array(getattr(found, name))
        assert len(kept) <= 502
        assert kept[0, 0] == 0
        assert kept[-1].tolist() == every[-1].tolist()
        assert {*map(tuple, kept[1:].tolist())} <= {*map(tuple, every.tolist())}
        away = np.abs(every[:, None] - kept[None]).sum(2).min(1)
        assert away.max() < 0.01


@pytest.mark.parametrize(("adult", "safe"), [([], [0.1, 0.2]), ([0.1], []), ([], [])])
def test_with_one_class_alone_there_is_no_curve(adult, safe):
    found = curve_of(adult, safe)
    assert (found.roc, found.precision_recall, found.auc, found.average_precision) == ((), (), None, None)
    assert [r.found for r in found.recalls] == [None, None]
    assert [r.threshold is None for r in found.recalls] == [not safe] * 2


# --- AUC --------------------------------------------------------------------------------------------------------------


def placements(adult: list[float], safe: list[float]) -> np.ndarray:
    """1 where an adult image is above a safe one, 1/2 where they are tied: the kernel, pair by pair."""
    return np.array([[(a > s) + (a == s) / 2 for s in safe] for a in adult])


@pytest.mark.parametrize("seed", range(5))
def test_the_auc_is_the_share_of_pairs_and_its_variance_that_of_the_definition(seed):
    adult, safe = tied_scores(seed)
    pairs = placements(adult, safe)
    found = curve_of(adult, safe).auc
    assert found.value == pytest.approx(pairs.mean(), abs=1e-15)
    variance = pairs.mean(1).var(ddof=1) / len(adult) + pairs.mean(0).var(ddof=1) / len(safe)
    reach = 1.959964 * math.sqrt(variance) / (found.value * (1 - found.value))
    assert logit(found.high) == pytest.approx(logit(found.value) + reach, rel=1e-6)


def test_a_published_variance():
    """github.com/srijitseal/pauc, README: AUC .708, and .378 at 1.96 standard deviations by DeLong below it."""
    labels = [0, 0, 1, 1, 0, 1, 0, 0, 1, 1, 0, 1]
    scores = [0.1, 0.35, 0.24, 0.8, 0.2, 0.85, 0.13, 0.85, 0.74, 0.58, 0.71, 0.25]
    found = curve("x", np.array(scores), np.array(labels, bool), 0.95).auc
    deviations = (logit(found.high) - logit(found.value)) * found.value * (1 - found.value)
    assert (round(found.value, 3), round(found.value - deviations, 3)) == (0.708, 0.378)


def test_the_lower_end_is_where_newcombes_variance_reaches():
    """One mistake among 30 * 30 pairs: there DeLong's variance is far too small. V by Q1 and Q2 of Hanley and McNeil."""
    adult, safe = [*range(101, 130), 50.5], [*range(21, 50), 51]
    found = curve_of(adult, safe).auc
    low, others = found.low, 30 - 1
    q1, q2 = low / (2 - low), 2 * low**2 / (1 + low)
    variance = (low * (1 - low) + others * (q1 - low**2) + others * (q2 - low**2)) / (30 * 30)
    assert found.value == 899 / 900
    assert found.value - low == pytest.approx(1.959964 * math.sqrt(variance), rel=1e-5)


def test_where_delongs_interval_reaches_lower_it_counts():
    """All spread in the safe ones, far more of it than exponential scores have."""
    adult, safe = [*range(100, 120)], [*range(200, 210), *range(10)]
    found = curve_of(adult, safe).auc
    reach = 1.959964 * math.sqrt(placements(adult, safe).mean(0).var(ddof=1) / 20) / 0.25
    assert (found.value, logit(found.low)) == (0.5, pytest.approx(-reach, rel=1e-6))


# what, adult, safe, value, low, high. Pairs that share no image: n of them all won prove 0.025 ** (1 / n).
SILENT = [
    ("all are right", range(10, 30), range(10), 1, 0.025 ** (1 / 10), 1),
    ("all are wrong", range(10), range(10, 30), 0, 0, 1 - 0.025 ** (1 / 10)),
    ("all are tied", [1] * 10, [1] * 20, 0.5, 0, 1),
    ("one each", [1], [0], 1, 0.025, 1),
    ("one adult, always lower", [0], range(1, 9), 0, 0, 0.975),
]


@pytest.mark.parametrize(("adult", "safe", "value", "low", "high"), [r[1:] for r in SILENT], ids=[r[0] for r in SILENT])
def test_where_the_variance_says_nothing_the_bounds_are_those_of_pairs(adult, safe, value, low, high):
    found = curve_of([*adult], [*safe]).auc
    assert (found.value, found.low, found.high) == (value, pytest.approx(low), pytest.approx(high))


@pytest.mark.parametrize("others", [[1, 2, 3, 4], [0, 1, 2, 3]])
def test_one_image_of_a_class_proves_hardly_anything(others):
    for found in (curve_of([2.5], others), curve_of(others, [2.5])):
        assert found.auc.low <= found.auc.value <= found.auc.high
        assert found.auc.high - found.auc.low >= 0.97


def test_who_meets_whom_does_not_depend_on_the_order_in_which_images_come():
    safe = [*range(100)]
    assert curve_of([49.5], safe) == curve_of([49.5], safe[::-1])


def test_who_meets_whom_is_drawn():
    """The one adult image is above half of the safe ones: in some sets it wins its pair, in others not."""
    found = [curve_of([images / 2 - 0.5], range(images)).auc for images in range(10, 40)]
    assert {round(interval.high, 9) for interval in found} == {0.975, 1}


def test_an_unlikely_pair_does_not_leave_the_estimate_outside():
    """Above all safe images but one: among so many sets, in some it meets just that one. And so on the other side."""
    for images in (*range(41, 300), 799, 800):
        for place in (images - 1.5, 0.5):
            found = curve_of([place], range(images)).auc
            assert found.low <= found.value <= found.high


# --- Average precision ------------------------------------------------------------------------------------------------


def average_precision(adult, safe, of_adult, of_safe) -> float:
    """By definition, images weighted: the mean of the precision at the score of each adult image."""
    total = 0.0
    for score, weight in zip(adult, of_adult, strict=True):
        found = sum(w for s, w in zip(adult, of_adult, strict=True) if s >= score)
        false = sum(w for s, w in zip(safe, of_safe, strict=True) if s >= score)
        total += weight * found / (found + false)
    return total / sum(of_adult)


def slopes(adult, safe, of: int) -> Iterator[float]:
    """Of the average precision by the share of each image of one class (0 adult, 1 safe), that class's whole kept."""
    step = 1e-5
    for image in range(len((adult, safe)[of])):
        ends = []
        for sign in (1, -1):
            weights = [np.ones(len(adult)), np.ones(len(safe))]
            weights[of] *= 1 - sign * step
            weights[of][image] += sign * step * len(weights[of])
            ends.append(average_precision(adult, safe, *weights))
        yield (ends[0] - ends[1]) / (2 * step)


@pytest.mark.parametrize("seed", range(3))
def test_the_average_precision_is_that_of_the_definition_and_its_variance_that_of_its_slopes(seed):
    adult, safe = tied_scores(seed, 15, 25)
    found = curve_of(adult, safe).average_precision
    assert found.value == pytest.approx(average_precision(adult, safe, [1] * 15, [1] * 25), abs=1e-14)
    variance = sum(np.var([*slopes(adult, safe, of)], ddof=1) / count for of, count in ((0, 15), (1, 25)))
    reach = 1.959964 * math.sqrt(variance) / (found.value * (1 - found.value))
    assert logit(found.high) == pytest.approx(logit(found.value) + reach, rel=1e-5)


@pytest.mark.parametrize(("adults", "safes"), [(1, 1), (5, 40), (300, 20)])
def test_a_perfect_order_has_a_lower_end_that_grows_with_the_images(adults, safes):
    """Summed in small steps: at worst as many safe images come first as the highest of n may let pass, up to an error of
    0.0125, then as many adult ones as all of m prove, then all other safe ones."""
    found = curve_of([2.0] * adults, [1.0] * safes).average_precision
    passing, above = 1 - 0.0125 ** (1 / safes), 0.0125 ** (1 / adults)
    recalls = (np.arange(200_000) + 0.5) / 200_000
    before = np.where(recalls < above, passing, 1.0) * safes / adults
    assert (found.value, found.high) == (1, 1)
    assert found.low == pytest.approx(np.mean(recalls / (recalls + before)), abs=2e-5)


@pytest.mark.parametrize(
    ("adult", "safe"), [([1] * 10, [1] * 30), ([*range(10)], [*range(10, 40)]), ([2.5], [*range(30)])]
)
def test_where_the_spread_says_nothing_the_average_precision_may_be_what_the_mix_allows(adult, safe):
    """The least is where all safe images come first: at a recall of u, u adult ones among u + k."""
    found = curve_of(adult, safe).average_precision
    recalls, k = (np.arange(100_000) + 0.5) / 100_000, len(safe) / len(adult)
    assert found.low == pytest.approx(np.mean(recalls / (recalls + k)), abs=1e-5)
    assert found.low <= found.value < found.high == 1


# --- Recall at a share of false alarms --------------------------------------------------------------------------------


def tails(of: int) -> list[Fraction]:
    """P(Binomial(of, 1/100) <= count) for each count."""
    ways = itertools.accumulate(math.comb(of, count) * 99 ** (of - count) for count in range(of + 1))
    return [Fraction(way, 100**of) for way in ways]


def tail(count: int, of: int, share: float) -> float:
    return math.fsum(math.comb(of, k) * share**k * (1 - share) ** (of - k) for k in range(count + 1))


def test_the_threshold_lets_no_more_pass_than_asked_for():
    """One of a hundred: the second highest, which one is above. Three of the four adult ones are above it too."""
    found = curve_of([50, 98.5, 99.5, 200], range(100)).recalls[0]
    assert (found.false_alarm, found.threshold, found.found) == (0.01, 98, None)


def test_what_is_tied_with_the_threshold_does_not_pass():
    safe = np.array([0.0] * 490 + [0.5] * 10)
    found = recall(np.array([0.4, 0.5, 0.5, 0.6]), safe, 0.01, 0.95)
    assert (found.threshold, found.found.value) == (0.5, 0.25)


def test_a_share_that_is_a_little_less_in_binary_counts_in_full():
    """0.29 * 100 is 28.999999999999996: 29 may pass, of 0 to 99, which the score of 70 leaves above."""
    assert recall(np.array([]), np.arange(100.0), 0.29, 0.95).threshold == 70


@pytest.mark.parametrize(("false_alarm", "takes"), [(0.01, 437), (0.001, 4380)])
def test_too_few_safe_images_say_nothing_and_it_is_told_how_many_would(false_alarm, takes):
    """None of n at 1 - (1 - share) ** n: as rare as a quarter of 5 % from this n on."""
    assert (
        (1 - Fraction(str(false_alarm))) ** takes
        <= Fraction("0.0125")
        < (1 - Fraction(str(false_alarm))) ** (takes - 1)
    )
    adult = np.arange(10.0)
    for images in (takes - 1, takes):
        found = recall(adult, np.arange(float(images)), false_alarm, 0.95)
        assert (found.takes_safe, found.found is None) == (takes, images < takes)


@pytest.mark.parametrize("images", [437, 500, 1000])
def test_the_interval_counts_the_doubt_about_the_threshold(images):
    """By exact sums: no order statistic nearer than these is on its side of the true threshold often enough."""
    at_most, error = tails(images), Fraction("0.0125")
    strict = max(count for count in range(images) if at_most[count] <= error)
    lenient = min(count for count in range(1, images) if 1 - at_most[count - 1] <= error) - 1
    assert strict < images // 100 < lenient
    adult = np.arange(images - 60.0, images + 40.0) + 0.5
    found = recall(adult, np.arange(float(images)), 0.01, 0.95).found
    above_strict, above_lenient = 40 + strict + 1, 40 + lenient + 1
    assert found.value == (40 + images // 100 + 1) / 100
    # Clopper and Pearson: the tail at the bound is the error.
    assert 1 - tail(above_strict - 1, 100, found.low) == pytest.approx(0.0125, rel=1e-9)
    assert tail(above_lenient, 100, found.high) == pytest.approx(0.0125, rel=1e-9)


# --- Worlds whose truth is known --------------------------------------------------------------------------------------
# Adult scores are normal about `apart`, safe ones about 0. Then the AUC is Phi(apart / sqrt 2).


def true_average_precision(apart: float, safe_per_adult: float) -> float:
    """The integral of the precision over the recall."""
    recalls = (np.arange(4000) + 0.5) / 4000
    false_alarms = np.array([1 - NORMAL.cdf(NORMAL.inv_cdf(1 - share) + apart) for share in recalls])
    return float(np.mean(recalls / (recalls + safe_per_adult * false_alarms)))


# adult, safe, apart; the first is a usual set, the others have few of one class and an AUC of 0.98, where DeLong's interval
# misses in 15 of 100 and more
WORLDS = [(60, 500, 1.5), (20, 1000, 3.0), (1000, 20, 3.0)]


@pytest.mark.parametrize(("adults", "safes", "apart"), WORLDS)
def test_intervals_hold_the_truth_as_often_as_they_say(adults, safes, apart):
    """300 sets: with a coverage of 0.95 fewer than 273 would hold it in 1 of 1,000. The jackknife is an approximation."""
    truths = {
        "auc": NORMAL.cdf(apart / math.sqrt(2)),
        "average_precision": true_average_precision(apart, safes / adults),
        "recall": 1 - NORMAL.cdf(NORMAL.inv_cdf(0.99) - apart),
    }
    held = dict.fromkeys(truths, 0)
    generator = np.random.default_rng(11)
    for _ in range(300):
        found = curve_of(generator.normal(apart, 1, adults), generator.normal(0, 1, safes))
        intervals = {"auc": found.auc, "average_precision": found.average_precision, "recall": found.recalls[0].found}
        for name, interval in intervals.items():
            held[name] += interval is None or interval.low <= truths[name] <= interval.high
    assert min(held.values()) >= 273, held
    assert safes < 437 or held["recall"] >= 285


def test_the_interval_of_a_perfect_order_holds_the_truth_too():
    """An order of 30 adult and 30 safe images that are 4 apart is perfect more often than not; the truth never is."""
    truth = true_average_precision(4.0, 1.0)
    generator = np.random.default_rng(12)
    found = [curve_of(generator.normal(4, 1, 30), generator.normal(0, 1, 30)).average_precision for _ in range(200)]
    assert sum(interval.value == 1 for interval in found) > 50
    assert sum(interval.low <= truth <= interval.high for interval in found) >= 185
