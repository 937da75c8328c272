"""Which decisions are put before a person although the machine was sure, to learn how often it is wrong? By lot. Pure.

An image is chosen by a keyed hash of its bytes: again and again the same ones for who has the key, and not to be foreseen by
who sends them. We call such an item a spot check; the person who judges it is not told that it is one.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from dataclasses import dataclass

from demure.policy import Outcome, Policy

SEED_BYTES = 32
_BITS = 53  # what a float64 holds exactly; more would be rounded up to 1 now and then


@dataclass(frozen=True)
class SpotChecks:
    """The share of each decision, in [0, 1], that goes to review as well. What is unknown goes there in any case."""

    adult: float = 0.0
    safe: float = 0.0

    def chance(self, decision: Outcome) -> float:
        return {Outcome.ADULT: self.adult, Outcome.SAFE: self.safe, Outcome.UNKNOWN: 1.0}[decision]


@dataclass(frozen=True)
class Draw:
    """That an image is to come before people by lot."""

    chance: float  # in (0, 1]
    tally: int  # the row that it is counted in


def is_chosen(seed: bytes, sha256: bytes, chance: float) -> bool:
    """Who is chosen at a chance is chosen at every larger one: none at 0, all at 1."""
    return _lot(seed, b"choice", sha256) < chance


def is_kept(seed: bytes, sha256: bytes, chance: float, least: float) -> bool:
    """Of images that were chosen with different chances, those that remain so that each had the same, the least of them."""
    return _lot(seed, b"thinning", sha256) < least / chance


def place(seed: bytes, sha256: bytes, unknown_range: tuple[float, float], unknown_scores: Sequence[float]) -> float:
    """Where a spot check stands in a queue that is sorted by scores, so that its place does not tell its own.

    It stands where one of `unknown_scores` does, those of items that the machine could not decide, by lot; without any,
    anywhere between the ends of `unknown_range`.
    """
    lot = _lot(seed, b"place", sha256)
    if unknown_scores:
        return unknown_scores[int(lot * len(unknown_scores))]
    low, high = unknown_range
    return low + lot * (high - low)


def unknown_range(policy: Policy) -> tuple[float, float]:
    """Between which scores (policy.sort_score) an image may be unknown: from the strictest bound of `safe`, for the larger of
    risk and witness passes that; up to 1, where the models disagree."""
    return min((bound.limit for bound in policy.safe if bound.relation == "at_most"), default=0.0), 1.0


def _lot(seed: bytes, purpose: bytes, sha256: bytes) -> float:
    """In [0, 1), evenly."""
    digest = hmac.digest(seed, purpose + sha256, "sha256")
    return float(int.from_bytes(digest[:8], "big") >> (64 - _BITS)) / 2.0**_BITS
