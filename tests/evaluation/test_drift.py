"""Drift: other images, and not another mix of the same ones."""

from __future__ import annotations

import numpy as np
import pytest

from demure.evaluation.drift import BINS, EDGES, bin_of, drift

Scores = np.ndarray


def bins(scores: Scores) -> list[int]:
    return np.bincount([bin_of(score) for score in scores], minlength=BINS).tolist()


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(3)


def adult(random: np.random.Generator, n: int) -> Scores:
    return random.beta(6, 1, n)


def safe(random: np.random.Generator, n: int) -> Scores:
    return random.beta(0.3, 5, n)


@pytest.mark.parametrize(
    ("score", "expected"),
    [(0.0, 0), (EDGES[0], 0), (0.00011, 1), (0.1, 7), (0.100001, 8), (0.99, BINS - 2), (1.0, BINS - 1)],
)
def test_a_score_on_an_edge_belongs_below_it(score: float, expected: int):
    assert bin_of(score) == expected


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 1.0])
def test_another_mix_of_the_same_images_is_no_drift(random: np.random.Generator, share: float):
    live = np.concatenate([adult(random, int(20_000 * share)), safe(random, 20_000 - int(20_000 * share))])
    found = drift(bins(live), bins(adult(random, 2_000)), bins(safe(random, 4_000)))
    assert found is not None
    assert not found.is_drifting
    assert found.mix == pytest.approx(share, abs=0.03)
    assert found.images == 20_000


def test_other_images_are(random: np.random.Generator):
    found = drift(bins(random.beta(2, 3, 5_000)), bins(adult(random, 2_000)), bins(safe(random, 4_000)))
    assert found is not None
    assert found.is_drifting


def test_the_distance_is_the_largest_difference_of_the_cumulative_shares():
    """Nothing adult looks like this: all of it lies in the middle, where neither kind has anything. Half of each is nearest."""
    live, low, high = ([0] * BINS for _ in range(3))
    live[10], low[0], high[-1] = 1_000, 1_000, 1_000
    found = drift(live, high, low)
    assert found is not None
    assert (found.mix, found.distance) == (0.5, 0.5)


def test_what_chance_explains_is_allowed():
    """sqrt(log(2 * 3 / 0.001) / 2n) for each of the three, weighted by the mix, and 0.05."""
    live, low, high = ([0] * BINS for _ in range(3))
    live[0], low[0], high[-1] = 1_000, 400, 100
    found = drift(live, high, low)
    assert found is not None
    assert found.allowed == pytest.approx(0.05 + (8.6995 / 2_000) ** 0.5 + (8.6995 / 800) ** 0.5, abs=1e-5)


def test_chance_alone_is_hardly_ever_called_drift(random: np.random.Generator):
    known_adult, known_safe = bins(adult(random, 500)), bins(safe(random, 500))
    found = [drift(bins(safe(random, 500)), known_adult, known_safe) for _ in range(100)]
    assert not any(one is None or one.is_drifting for one in found)


@pytest.mark.parametrize("few", [0, 1, 2])
def test_of_too_few_images_nothing_is_said(few: int):
    enough, counts = [5] * BINS, [[5] * BINS for _ in range(3)]
    assert sum(enough) == 100
    assert drift(*counts) is not None
    counts[few][0] -= 1
    assert drift(*counts) is None
