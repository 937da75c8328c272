"""How often is the machine wrong on what really comes? From decisions of which a known share, by chance, was judged by people. Pure.

What was `unknown` is judged in any case; of the other decisions each had the same known chance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from demure.binomial import CONFIDENCE
from demure.policy import Outcome


@dataclass(frozen=True)
class Stratum:
    """Images that were decided alike, and had the same chance to be put before a person."""

    decision: Outcome
    chance: float  # in (0, 1]
    images: int  # decided
    chosen: int  # of them, by that chance
    judged: int  # of those, so far
    adult: int  # of those


@dataclass(frozen=True)
class Estimate:
    """A share in [0, 1], and the interval in which the true one lies with the confidence asked for."""

    value: float | None  # None where nothing is known yet
    low: float
    high: float


@dataclass(frozen=True)
class LiveRates:
    """Of the images that people can come to see: all that were sent for review."""

    images: int
    chosen: int
    judged: int
    missed: Estimate  # of the adult ones, decided safe
    false_alarm: Estimate  # of the safe ones, decided adult
    left: Estimate  # of all, decided unknown


def live_rates(strata: Sequence[Stratum], confidence: float = CONFIDENCE) -> LiveRates:
    raise NotImplementedError
