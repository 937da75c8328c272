"""Live rates: by hand, and in a stream whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest

from demure.evaluation.binomial import at_most, lower, upper
from demure.evaluation.live import Estimate, Stratum, live_rates
from demure.policy import Outcome

SAFE, UNKNOWN, ADULT = Outcome.SAFE, Outcome.UNKNOWN, Outcome.ADULT


def test_rates_are_those_of_the_strata_put_together():
    """Adult: 4 of 400 in 90,000 safe make 900, 500 of 1,000 unknown, 9 of 10 in 1,000 adult make 900. Missed: 900 of 2,300.

    Safe: 89,100, 500 and 100. False alarms: 100 of 89,700.
    """
    found = live_rates(
        [
            Stratum(SAFE, 0.01, 90_000, 410, 400, 4),
            Stratum(UNKNOWN, 1.0, 1_000, 1_000, 1_000, 500),
            Stratum(ADULT, 0.01, 1_000, 10, 10, 9),
        ]
    )
    assert (found.images, found.chosen, found.judged) == (92_000, 1_420, 1_410)
    assert found.missed.value == pytest.approx(900 / 2_300)
    assert found.false_alarm.value == pytest.approx(100 / 89_700)
    assert found.left.value == pytest.approx(1_000 / 92_000)


def test_bounds_put_each_share_at_its_worse_end_and_divide_the_error():
    """Three shares are uncertain: a sixth of 5 % for each end of each. Unknown ones are half judged."""
    found = live_rates(
        [
            Stratum(SAFE, 0.01, 50_000, 500, 500, 3),
            Stratum(UNKNOWN, 1.0, 2_000, 2_000, 1_000, 600),
            Stratum(ADULT, 0.05, 1_000, 50, 50, 45),
        ]
    )
    error = 0.05 / 6
    safe, unknown, adult = ((lower(c, n, error), upper(c, n, error)) for c, n in ((3, 500), (600, 1_000), (45, 50)))
    most, least = 50_000 * safe[1], 50_000 * safe[0]
    assert found.missed.high == pytest.approx(most / (most + 2_000 * unknown[0] + 1_000 * adult[0]))
    assert found.missed.low == pytest.approx(least / (least + 2_000 * unknown[1] + 1_000 * adult[1]))


def test_a_few_images_of_another_share_do_not_take_the_estimate_away():
    """40 of 109,000, of which nobody was drawn: they are taken for like the other safe ones."""
    strata = [Stratum(SAFE, 0.01, 100_000, 1_000, 1_000, 10), Stratum(UNKNOWN, 1.0, 9_000, 9_000, 9_000, 4_000)]
    few = live_rates([*strata, Stratum(SAFE, 0.02, 40, 0, 0, 0)])
    assert few.missed.value == pytest.approx(100_040 * 0.01 / (100_040 * 0.01 + 4_000))
    assert few.missed.high > live_rates(strata).missed.high


def test_a_share_that_was_changed_makes_two_strata():
    """2 of 20 in 1,000, and 1 of 10 in 100: 110 adult ones, all decided safe, beside 40 unknown ones."""
    strata = [
        Stratum(SAFE, 0.02, 1_000, 20, 20, 2),
        Stratum(SAFE, 0.1, 100, 10, 10, 1),
        Stratum(UNKNOWN, 1.0, 50, 50, 50, 40),
    ]
    assert live_rates(strata).missed.value == pytest.approx(110 / 150)


def test_where_all_was_judged_nothing_is_left_to_chance():
    found = live_rates(
        [
            Stratum(SAFE, 1.0, 900, 900, 900, 3),
            Stratum(UNKNOWN, 1.0, 60, 60, 60, 20),
            Stratum(ADULT, 1.0, 40, 40, 40, 37),
        ]
    )
    for estimate, truth in ((found.missed, 3 / 60), (found.false_alarm, 3 / 940)):
        assert (estimate.value, estimate.low, estimate.high) == pytest.approx((truth,) * 3)


NOTHING_KNOWN = [
    ("no images", []),
    ("none judged", [Stratum(SAFE, 0.01, 100, 1, 0, 0), Stratum(UNKNOWN, 1.0, 5, 5, 0, 0)]),
    ("one stratum not judged", [Stratum(SAFE, 0.01, 100, 1, 0, 0), Stratum(UNKNOWN, 1.0, 5, 5, 5, 5)]),
]


@pytest.mark.parametrize("strata", [n[1] for n in NOTHING_KNOWN], ids=[n[0] for n in NOTHING_KNOWN])
def test_what_is_not_known_has_no_value_and_may_be_anything(strata: list[Stratum]):
    missed = live_rates(strata).missed
    assert missed.value is None
    assert missed.high == 1.0 or (missed.low, missed.high) == (0.0, pytest.approx(100 / 105))


def test_where_nothing_was_decided_so_nothing_was_wrong():
    found = live_rates([Stratum(SAFE, 0.5, 10, 5, 5, 0), Stratum(UNKNOWN, 1.0, 10, 10, 10, 2)])
    assert found.false_alarm == Estimate(0.0, 0.0, 0.0)


# --- A stream of 100,000 images ----------------------------------------------------------------------------------------

IMAGES, STREAMS, CONFIDENCE = 100_000, 400, 0.9
# Of what is adult, 4 % are decided safe and 16 % unknown; of what is safe, 0.3 % adult and 3 % unknown.
ADULT_IMAGES, OF_ADULT, OF_SAFE = 0.05, (0.04, 0.16, 0.80), (0.967, 0.03, 0.003)
SHARES = {SAFE: 0.02, UNKNOWN: 1.0, ADULT: 0.1}


@pytest.fixture(scope="module")
def streams() -> list[tuple[float, float, list[Stratum]]]:
    """The true rates of each stream, and what is known of it: labels of the chosen and the unknown alone."""
    return [stream(np.random.default_rng((11, number))) for number in range(STREAMS)]


def stream(random: np.random.Generator) -> tuple[float, float, list[Stratum]]:
    is_adult = random.random(IMAGES) < ADULT_IMAGES
    at = random.random(IMAGES)
    first, second = np.where(is_adult, OF_ADULT[0], OF_SAFE[0]), np.where(is_adult, sum(OF_ADULT[:2]), sum(OF_SAFE[:2]))
    decided = (at >= first).astype(int) + (at >= second)
    is_chosen = random.random(IMAGES) < np.array([SHARES[outcome] for outcome in (SAFE, UNKNOWN, ADULT)])[decided]
    strata = [
        Stratum(
            outcome,
            SHARES[outcome],
            *map(int, (mine.sum(), *[(mine & is_chosen).sum()] * 2, (mine & is_chosen & is_adult).sum())),
        )
        for place, outcome in enumerate((SAFE, UNKNOWN, ADULT))
        for mine in [decided == place]
    ]
    return float((decided[is_adult] == 0).mean()), float((decided[~is_adult] == 2).mean()), strata


@pytest.mark.parametrize("rate", ["missed", "false_alarm"])
def test_the_estimate_is_unbiased(streams, rate: str):
    """Within four standard errors of the mean."""
    place = ("missed", "false_alarm").index(rate)
    errors = np.array([getattr(live_rates(strata), rate).value - truth[place] for *truth, strata in streams])
    assert abs(errors.mean()) < 4 * errors.std() / np.sqrt(STREAMS)
    assert errors.std() > 0


@pytest.mark.parametrize("rate", ["missed", "false_alarm"])
def test_the_interval_covers_the_truth_as_often_as_it_says(streams, rate: str):
    place = ("missed", "false_alarm").index(rate)
    found = [(getattr(live_rates(strata, CONFIDENCE), rate), truth[place]) for *truth, strata in streams]
    outside = sum(not estimate.low <= truth <= estimate.high for estimate, truth in found)
    assert 1 - at_most(outside - 1, STREAMS, 1 - CONFIDENCE) > 0.001
    assert all(0 <= estimate.low < estimate.high < 1 for estimate, _ in found)


def test_verdicts_on_unknown_alone_would_say_something_else(streams):
    """What the spot checks are for: of adult images with a verdict none was decided safe, if only the unknown have one."""
    without = [s for s in streams[0][2] if s.decision is UNKNOWN]
    assert live_rates(without).missed.value == 0.0
    assert streams[0][0] > 0.03
