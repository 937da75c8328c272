"""The promise, held against worlds whose truth is known; and how many labels it takes."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import worlds
from worlds import CLEAR, FRAMED, GRAINED, MODEL, ONE_USELESS, TIED, Kind, Sites, World

from demure.calibrate import Target, _Pool, calibrate, choose, split_error
from demure.errors import InvalidLabels, InvalidPolicy, TooFewLabels
from demure.evaluation.binomial import at_most, most_errors
from demure.evaluation.labelled import LabelledSet
from demure.policy import Bound, Outcome, Policy, decide
from demure.policy_file import parse_policy, policy_text
from demure.reviews import Verdict

REPETITIONS = 2000
# world, adult, safe, missed, false alarm
SITES = [
    Sites(CLEAR, 1000, 4000, Target(0.005, 0.005)),
    Sites(ONE_USELESS, 1500, 1500, Target(0.01, 0.01)),
    Sites(GRAINED, 300, 2700, Target(0.05, 0.01)),
    Sites(FRAMED, 700, 700, Target(0.02, 0.02, confidence=0.8)),
    # Of 303 images that are tested on, 4 errors prove it with a probability of 0.0499: as tight as a discrete test can be.
    Sites(TIED, 336, 3000, Target(0.03, None)),
    Sites(TIED, 400, 400, Target(0.03, 0.03)),
]


def name(sites: Sites) -> str:
    return f"{sites.world.name}, {sites.adult} + {sites.safe}"


@pytest.mark.parametrize("sites", SITES, ids=name)
def test_the_promise_is_broken_at_no_more_sites_than_the_confidence_allows(sites: Sites):
    found = worlds.run(sites, REPETITIONS, seed=7)
    assert found.sites == REPETITIONS
    assert is_explained_by_chance(found.broken, found.sites, 1 - sites.target.confidence)
    assert found.left < 0.6  # a policy that leaves all to people would keep any promise


def test_without_the_correction_for_searching_it_is_broken_too_often():
    """All rules are looked at on the same images, and the one that leaves least to people is taken among those that pass."""
    sites, random, broken = SITES[-1], np.random.default_rng(7), 0
    for _ in range(200):
        labelled = sites.world.sample(sites.adult, sites.safe, random)
        adult, safe = (searched(labelled, sites, verdict) for verdict in (Verdict.ADULT, Verdict.SAFE))
        broken += worlds.breaks(sites.world, adult, safe, sites.target)
    assert not is_explained_by_chance(broken, 200, 1 - sites.target.confidence)


def searched(labelled: LabelledSet, sites: Sites, verdict: Verdict) -> tuple[Bound, ...]:
    pool = _Pool.of(labelled, MODEL, sites.world.shape)
    is_wanted = pool.is_adult == (verdict is Verdict.ADULT)
    wanted, wronged = np.flatnonzero(is_wanted), np.flatnonzero(~is_wanted)
    ways, entries = pool._paths(verdict, is_wanted)
    sides = [choose([way], entries, wanted, wronged[:0], wronged, 0.03, 0.025) for way in ways]
    return max(sides, key=lambda side: np.count_nonzero(side.lets_in[wanted])).bounds


def is_explained_by_chance(broken: int, sites: int, error: float) -> bool:
    """Whether so many, or more, come at least once in a thousand simulations where the promise is broken as often as it may."""
    return 1 - at_most(broken - 1, sites, error) > 0.001


# How far from the best rule of the same family, which knows the truth: 4 points at 10,000 labels, 2 at 100,000.
EFFICIENCY = [
    (Sites(CLEAR, 5_000, 5_000, Target(0.005, 0.002)), 10, 0.04),
    (Sites(CLEAR, 2_000, 8_000, Target(0.01, 0.005)), 10, 0.04),
    (Sites(ONE_USELESS, 5_000, 5_000, Target(0.01, 0.005)), 10, 0.04),
    (Sites(ONE_USELESS, 2_000, 8_000, Target(0.01, 0.005)), 10, 0.04),
    (Sites(CLEAR, 20_000, 80_000, Target(0.005, 0.002)), 4, 0.02),
    (Sites(CLEAR, 50_000, 50_000, Target(0.01, 0.005)), 4, 0.02),
    (Sites(ONE_USELESS, 20_000, 80_000, Target(0.005, 0.002)), 4, 0.02),
]


@pytest.mark.parametrize(
    ("sites", "repetitions", "points"), EFFICIENCY, ids=lambda v: name(v) if isinstance(v, Sites) else ""
)
def test_little_more_is_left_to_people_than_an_oracle_would(sites: Sites, repetitions: int, points: float):
    best = sites.world.oracle(sites.target, sites.base_rate)
    assert 0 <= worlds.run(sites, repetitions, seed=7).left - best <= points


# Where labels of one kind are few, every exact test must leave more than that: four points above what one leaves that knows the best rules.
SCARCE = [
    Sites(CLEAR, 500, 9_500, Target(0.01, 0.005)),
    Sites(ONE_USELESS, 500, 9_500, Target(0.01, 0.005)),
    Sites(GRAINED, 2_000, 8_000, Target(0.005, 0.002)),
]


@pytest.mark.parametrize("sites", SCARCE, ids=name)
def test_where_labels_are_scarce_little_more_is_left_than_must_be(sites: Sites):
    least = sites.world.floor(sites.target, sites.adult, sites.safe)
    assert least > sites.world.oracle(sites.target, sites.base_rate) + 0.04
    assert worlds.run(sites, 20, seed=7).left - least <= 0.04


# --- How many labels it takes ------------------------------------------------------------------------------------------


def test_598_adult_images_prove_half_a_percent_where_nothing_else_is_promised():
    """0.995 ** 598 = 0.0499 and 0.995 ** 597 = 0.0502."""
    target = Target(0.005, None)
    assert split_error(598, 1, target) == pytest.approx((0.05, 0.05))
    with pytest.raises(TooFewLabels, match=r"label 1 more adult images, or promise less"):
        split_error(597, 1, target)


def test_with_two_promises_each_has_half_of_the_error():
    """0.995 ** 736 and 0.998 ** 1843 are the first powers below 0.025."""
    assert split_error(736, 1843, Target(0.005, 0.002)) == pytest.approx((0.025, 0.025))
    with pytest.raises(TooFewLabels, match=r"label 1 more adult images and 1 more safe images,"):
        split_error(735, 1842, Target(0.005, 0.002))


@pytest.mark.parametrize(("adult", "safe", "missed_is_larger"), [(600, 50_000, True), (50_000, 1_500, False)])
def test_a_side_with_few_labels_is_lent_error_by_one_with_many(adult: int, safe: int, missed_is_larger: bool):
    missed, false_alarm = split_error(adult, safe, Target(0.005, 0.002))
    assert missed + false_alarm == pytest.approx(0.05)
    assert (missed > false_alarm) == missed_is_larger
    assert most_errors(adult, 0.005, missed) >= 0
    assert most_errors(safe, 0.002, false_alarm) >= 0


def test_what_is_lacking_is_told_as_it_is_after_the_other_side_has_lent():
    """With 50,000 safe images all but nothing of the error is free: 598 adult images are enough, and 500 are there."""
    with pytest.raises(TooFewLabels, match="label 98 more adult images,"):
        split_error(500, 50_000, Target(0.005, 0.002))


@pytest.mark.parametrize(("adult", "learned"), [(500, 132), (400, 32), (368, 0)])
def test_no_more_images_are_tested_on_than_the_errors_need(adult: int, learned: int):
    """0.99 ** 368 = 0.0248 and 0.99 ** 367 = 0.0250: that many without an error prove one per cent, and so do all up to 500."""
    labelled = CLEAR.sample(adult, 2_000, np.random.default_rng(5))
    side = calibrate(labelled, MODEL, CLEAR.shape, Target(0.01, 0.01)).missed
    assert side is not None
    assert (side.tested, side.learned) == (368, learned)


@pytest.mark.parametrize(
    ("adult", "safe", "target"),
    [(0, 1000, Target(0.05, 0.05)), (1000, 0, Target(0.05, None)), (1000, 1000, Target(None, None))],
    ids=["no adult image", "no safe image", "no promise"],
)
def test_nothing_is_chosen_from_nothing(adult: int, safe: int, target: Target):
    with pytest.raises(TooFewLabels, match="it takes some of each"):
        calibrate(CLEAR.sample(adult, safe, np.random.default_rng(1)), MODEL, CLEAR.shape, target)


# --- What is chosen ----------------------------------------------------------------------------------------------------


@pytest.fixture
def labelled() -> LabelledSet:
    return CLEAR.sample(2_000, 4_000, np.random.default_rng(3))


TARGET = Target(0.01, 0.005)


def test_the_policy_says_what_it_promises_and_what_from(labelled: LabelledSet):
    policy = calibrate(labelled, MODEL, CLEAR.shape, TARGET, name="ours").policy
    promise = policy.promise
    assert promise is not None
    assert (policy.name, promise.version, promise.model) == ("ours", policy.version, MODEL)
    assert (promise.max_missed, promise.max_false_alarm, promise.confidence) == (0.01, 0.005, 0.95)
    assert (promise.adult, promise.safe, promise.base_rate) == (2_000, 4_000, 0.333333)
    assert (sum(promise.adult_scores), sum(promise.safe_scores)) == (2_000, 4_000)
    assert len(promise.data) == 64


def test_what_is_left_is_what_the_policy_leaves_on_these_images_at_the_rate_that_is_told(labelled: LabelledSet):
    policy = calibrate(labelled, MODEL, CLEAR.shape, TARGET, base_rate=0.01).policy
    columns = {**labelled.scores[MODEL], **labelled.scores["open_nsfw"]}
    unknown = [
        decide({n: float(c[i]) for n, c in columns.items()}, policy).outcome is Outcome.UNKNOWN for i in range(6_000)
    ]
    expected = 0.01 * np.mean(unknown[:2_000]) + 0.99 * np.mean(unknown[2_000:])
    assert policy.promise is not None
    assert policy.promise.left == pytest.approx(expected, abs=5e-5)  # it has four decimals


def test_the_order_of_the_labels_is_no_way_to_try_again(labelled: LabelledSet):
    """Who may shuffle until the result pleases has searched, and nothing corrects for that."""
    order = np.random.default_rng(5).permutation(len(labelled))
    shuffled = replace(
        labelled,
        is_adult=labelled.is_adult[order],
        scores={m: {n: c[order] for n, c in columns.items()} for m, columns in labelled.scores.items()},
    )
    first, second = (calibrate(some, MODEL, CLEAR.shape, TARGET) for some in (labelled, shuffled))
    assert first.policy == second.policy


def test_another_score_is_other_data(labelled: LabelledSet):
    changed = labelled.scores[MODEL]["porn"].copy()
    changed[17] += 1e-7
    other = replace(labelled, scores={**labelled.scores, MODEL: {"porn": changed}})
    first, second = (calibrate(some, MODEL, CLEAR.shape, TARGET).policy.promise for some in (labelled, other))
    assert first is not None
    assert second is not None
    assert first.data != second.data


def test_a_side_without_a_promise_stays_as_it_was(labelled: LabelledSet):
    found = calibrate(labelled, MODEL, CLEAR.shape, Target(0.01, None))
    assert found.false_alarm is None
    assert found.policy.adult == CLEAR.shape.adult
    assert found.policy.safe != CLEAR.shape.safe


def test_where_no_rule_passes_the_section_never_holds():
    """Both classes look alike: whatever lets in safe images lets in as many adult ones."""
    alike = World("alike", (Kind(1, (0.0, 0.0)),), (Kind(1, (0.0, 0.0)),))
    labelled = alike.sample(400, 400, np.random.default_rng(2))
    all_equal = {"porn": np.full(800, 0.5)}
    policy = calibrate(
        replace(labelled, scores={MODEL: all_equal, "open_nsfw": {"open_nsfw": np.full(800, 0.5)}}),
        MODEL,
        alike.shape,
        Target(0.02, 0.02),
    ).policy
    assert (policy.adult, policy.safe) == ((), ())
    assert policy.promise is not None
    assert policy.promise.left == 1.0


def test_a_witness_that_no_bound_is_left_of_is_not_asked_any_more():
    """In memory as after reading the file: or else its score would be in what drift is looked for by."""
    labelled = CLEAR.sample(1_000, 1_000, np.random.default_rng(2))
    saturated = {"open_nsfw": np.ones(2_000)}
    shape = replace(CLEAR.shape, safe=(Bound("open_nsfw", "at_most", 0.5),), adult=(Bound("porn", "at_least", 0.5),))
    policy = calibrate(
        replace(labelled, scores={**labelled.scores, "open_nsfw": saturated}), MODEL, shape, Target(0.02, 0.02)
    ).policy
    assert policy.safe == ()
    assert policy.witnesses == frozenset()
    assert policy == parse_policy(policy_text(policy), "x", {"open_nsfw"})


def test_images_that_are_too_small_prove_nothing(labelled: LabelledSet):
    """They are decided unknown whatever their scores: to count them would make errors look rarer than they are."""
    small = replace(labelled, is_small=np.arange(6_000) < 1_950)
    with pytest.raises(TooFewLabels, match="50 adult and 4,000 safe images"):
        calibrate(small, MODEL, CLEAR.shape, TARGET)
    some = calibrate(replace(labelled, is_small=np.arange(6_000) < 1_000), MODEL, CLEAR.shape, TARGET).missed
    assert some is not None
    assert some.learned + some.tested == 1_000


def test_of_several_frames_all_must_be_safe_and_one_must_be_adult():
    """Each adult image has a harmless frame beside its own: by first frames alone all of them would be missed."""
    flat = CLEAR.sample(1_000, 1_000, np.random.default_rng(4))
    both = {**flat.scores[MODEL], **flat.scores["open_nsfw"]}
    doubled = {n: np.repeat(c, 2) for n, c in both.items()}
    for column in doubled.values():
        column[0:2_000:2] = 0.001
    framed = replace(
        flat,
        first_row=np.arange(0, 4_000, 2),
        scores={MODEL: {"porn": doubled["porn"]}, "open_nsfw": {"open_nsfw": doubled["open_nsfw"]}},
    )
    target = Target(0.02, 0.02)
    policy, plain = (calibrate(some, MODEL, CLEAR.shape, target).policy for some in (framed, flat))
    missed = worlds_missed = 0
    for policy_, labelled_ in ((policy, framed), (plain, flat)):
        decided = labelled_.decisions(MODEL, policy_)
        missed += int(np.count_nonzero(decided[labelled_.is_adult] == Outcome.SAFE.gravity))
        worlds_missed += int(np.count_nonzero(decided[labelled_.is_adult] == Outcome.ADULT.gravity))
    assert missed <= 2 * 20
    assert worlds_missed > 1_500


def test_what_both_sections_would_decide_is_left_to_as_few_people_as_possible():
    """With promises this loose the two sections would overlap widely, and what meets both is unknown."""
    apart = World("apart", (Kind(1, (4.0, 4.0)),), (Kind(1, (0.0, 0.0)),))
    labelled = apart.sample(2_000, 2_000, np.random.default_rng(6))
    policy = calibrate(labelled, MODEL, apart.shape, Target(0.3, 0.3)).policy
    pool, random = _Pool.of(labelled, MODEL, apart.shape), np.random.default_rng(1)
    adult, safe = (pool.side(verdict, 0.3, 0.025, random) for verdict in (Verdict.ADULT, Verdict.SAFE))
    assert adult is not None
    assert safe is not None
    assert apart.left(policy.adult, policy.safe, 0.5) < 0.7 * apart.left(adult.bounds, safe.bounds, 0.5)


def test_limits_are_short_and_hold_for_a_policy(labelled: LabelledSet):
    policy = calibrate(labelled, MODEL, CLEAR.shape, TARGET).policy
    for bound in (*policy.adult, *policy.safe):
        assert 0 < bound.limit < 1
        assert len(repr(bound.limit)) <= 9


WRONG = [
    ("a model without scores", "other", CLEAR.shape, InvalidLabels, "other"),
    ("no section to choose", MODEL, replace(CLEAR.shape, safe=()), InvalidPolicy, "safe: there are no bounds"),
]


@pytest.mark.parametrize(("model", "shape", "error", "match"), [w[1:] for w in WRONG], ids=[w[0] for w in WRONG])
def test_a_question_that_cannot_be_answered_is_refused(labelled, model: str, shape: Policy, error, match: str):
    with pytest.raises(error, match=match):
        calibrate(labelled, model, shape, TARGET)


def test_the_learning_images_are_not_those_that_are_tested_on(labelled: LabelledSet):
    """Nine errors prove one per cent of nine tenths of 2,000 images, and of 1,705 or more (0.02493; of 1,704 0.02506)."""
    found = calibrate(labelled, MODEL, CLEAR.shape, TARGET).missed
    assert found is not None
    assert (found.learned, found.tested) == (295, 1_705)
    assert found.errors == 9 or math.isclose(found.strictness, 0)


def test_where_labels_are_scarce_all_are_tested_on():
    """736 labels prove it, 735 do not: the path is then the even one."""
    found = calibrate(CLEAR.sample(736, 4_000, np.random.default_rng(8)), MODEL, CLEAR.shape, Target(0.005, 0.005))
    assert found.missed is not None
    assert (found.missed.learned, found.missed.tested) == (0, 736)
    assert set(found.missed.path.weights) == {1.0}
