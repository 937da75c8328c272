"""Do other images come now than those that bounds were chosen from? Distributions of the score, in bins. Pure.

How many of them are adult may change, and the promise does not mind. So the live distribution is held against the best mixture of
the two that were there, and what is left is compared with what chance explains: each empirical distribution is off by no
more than sqrt(log(2 / error) / 2n), whatever it looks like (Massart, "The tight constant in the Dvoretzky-Kiefer-Wolfowitz
inequality", Annals of Probability 18, 1990).
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

# A bin holds the scores above the edge before it, up to its own: most scores lie near 0 or near 1.
EDGES = (
    0.0001, 0.0003, 0.001, 0.003, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 1.0
)  # fmt: skip
BINS = len(EDGES)

_FEWEST = 100  # images of each kind; with fewer, chance explains nearly everything
_TOLERATED = 0.05  # beyond chance: no two months are alike
_ERROR = 0.001  # that chance alone makes more than that
_MIXES = 1000  # steps from none adult to all


def bin_of(score: float) -> int:
    """For a score in [0, 1]: from 0 to BINS - 1."""
    return min(bisect_left(EDGES, score), BINS - 1)


@dataclass(frozen=True)
class Drift:
    """`distance`: the largest difference of the two cumulative distributions, after the mix of adult and safe was fitted."""

    images: int  # that were compared
    distance: float  # in [0, 1]
    allowed: float  # what chance, and a little more, explains
    mix: float  # the share of adult images that explains the live scores best

    @property
    def is_drifting(self) -> bool:
        return self.distance > self.allowed


def drift(live: Sequence[int], adult: Sequence[int], safe: Sequence[int]) -> Drift | None:
    """Of images by bin: those that came, and those that bounds were chosen from. None where there are too few to say."""
    counts = (sum(live), sum(adult), sum(safe))
    if min(counts) < _FEWEST:
        return None
    seen, from_adult, from_safe = (
        [c / n for c in accumulate(bins)] for bins, n in zip((live, adult, safe), counts, strict=True)
    )

    def distance(mix: float) -> float:
        return max(abs(mix * a + (1 - mix) * s - x) for x, a, s in zip(seen, from_adult, from_safe, strict=True))

    mix = min((number / _MIXES for number in range(_MIXES + 1)), key=distance)
    by_chance = [math.sqrt(math.log(2 * len(counts) / _ERROR) / (2 * n)) for n in counts]
    allowed = _TOLERATED + by_chance[0] + mix * by_chance[1] + (1 - mix) * by_chance[2]
    return Drift(counts[0], distance(mix), allowed, mix)
