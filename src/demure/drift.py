"""Do other images come now than those that bounds were chosen from? Distributions of the score, in bins. Pure."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

# A bin holds the scores above the edge before it, up to its own: most scores lie near 0 or near 1.
EDGES = (
    0.0001,
    0.0003,
    0.001,
    0.003,
    0.01,
    0.02,
    0.05,
    0.1,
    0.2,
    0.3,
    0.4,
    0.5,
    0.6,
    0.7,
    0.8,
    0.9,
    0.95,
    0.98,
    0.99,
    1.0,
)
BINS = len(EDGES)


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
    """Images by bin: those that came, and those that bounds were chosen from. None where there are too few to say."""
    raise NotImplementedError
