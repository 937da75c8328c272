"""What a policy's bounds were chosen to keep, and from what: the [promise] of its file."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Promise:
    """With this confidence: of all adult images no more than `max_missed` are decided safe, of all safe ones no more than
    `max_false_alarm` adult. It holds for images like those that it was made from, labelled as those were."""

    version: str  # of the policy: with other bounds there is no promise
    model: str
    max_missed: float | None  # None where it was not asked for
    max_false_alarm: float | None
    confidence: float
    adult: int  # images that it was made from
    safe: int
    data: str  # SHA-256, hex, of their labels and scores
    base_rate: float  # the share of adult images for which `left` was reckoned
    left: float  # the share that is expected to be left to people
    adult_scores: tuple[int, ...]  # images by bin of their score (drift.EDGES)
    safe_scores: tuple[int, ...]
