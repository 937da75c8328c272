"""What the scores mean: decide(scores, policy) -> Decision. Pure: it knows names and numbers, no image and no model.

A policy is data: weighted sums, and bounds that must all hold for `adult` or for `safe`. Whatever meets neither, or both,
is `unknown`. A bound on a value that is not there does not hold, so nothing is safe for want of a score.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from demure.promise import Promise
from demure.scores import RISK, weighted_sum

DEFAULT = "balanced"


class Outcome(StrEnum):
    """What the machine chose, from the mildest to the gravest."""

    SAFE = "safe"
    UNKNOWN = "unknown"
    ADULT = "adult"

    @property
    def gravity(self) -> int:
        return list(Outcome).index(self)


@dataclass(frozen=True)
class Bound:
    """One condition: the value called `name` is at least, or at most, `limit`."""

    name: str
    relation: str  # "at_least" or "at_most"
    limit: float

    def holds(self, values: Mapping[str, float]) -> bool:
        if self.name not in values:
            return False
        value = values[self.name]
        return value >= self.limit if self.relation == "at_least" else value <= self.limit

    def __str__(self) -> str:
        return f"{self.name} {'>=' if self.relation == 'at_least' else '<='} {self.limit:g}"


@dataclass(frozen=True)
class Policy:
    """Named bounds. `version` is a hash of the content: two policies with one version decide alike."""

    name: str
    description: str
    sums: Mapping[str, Mapping[str, float]]
    adult: tuple[Bound, ...]
    safe: tuple[Bound, ...]
    witnesses: frozenset[str]  # the models, besides the five-class one, whose score it names
    promise: Promise | None = None  # what the bounds were chosen to keep

    @property
    def version(self) -> str:
        content = [self.sums, *([(b.name, b.relation, b.limit) for b in bounds] for bounds in (self.adult, self.safe))]
        canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:12]

    @property
    def named(self) -> frozenset[str]:
        """All that its bounds and sums name: scores and sums."""
        return frozenset(b.name for b in (*self.adult, *self.safe)) | {
            n for weights in self.sums.values() for n in weights
        }

    def rule(self, outcome: Outcome) -> str:
        """The bounds of `adult` or `safe` in words, as a reason gives them."""
        bounds = self.adult if outcome is Outcome.ADULT else self.safe
        return " and ".join(map(str, bounds)) or "never"


@dataclass(frozen=True)
class Decision:
    """What the machine chose, and why: the rule that fired, or what went wrong."""

    outcome: Outcome
    reason: str
    policy: str
    policy_version: str


def decide(values: Mapping[str, float], policy: Policy) -> Decision:
    """Judge one row of values, categories and witnesses alike, each in [0, 1].

    The reasons for `unknown` are `models_disagree`, where one model alone would say adult and another safe, and
    `uncertain` for all else.
    """
    values = {**values, **policy_sums(values, policy)}
    is_adult, is_safe = (_all_hold(bounds, values) for bounds in (policy.adult, policy.safe))
    if is_adult and not is_safe:
        outcome, reason = Outcome.ADULT, policy.rule(Outcome.ADULT)
    elif is_safe and not is_adult:
        outcome, reason = Outcome.SAFE, policy.rule(Outcome.SAFE)
    else:
        outcome, reason = Outcome.UNKNOWN, "models_disagree" if _models_disagree(values, policy) else "uncertain"
    return Decision(outcome, reason, policy.name, policy.version)


def undecided(reason: str, policy: Policy) -> Decision:
    """The decision where something other than the scores settled it: a size, or an error's code."""
    return Decision(Outcome.UNKNOWN, reason, policy.name, policy.version)


def sort_score(values: Mapping[str, float], policy: Policy) -> float:
    """One number to sort by, in [0, 1]: the larger of the policy's `risk` and the witnesses' scores."""
    risk = weighted_sum(policy.sums.get("risk", RISK), values)
    candidates = [values[w] for w in policy.witnesses if w in values]
    return min(1.0, round(max([*candidates, risk or 0.0]), 7))


def policy_sums(values: Mapping[str, float], policy: Policy) -> dict[str, float]:
    """The policy's sums that can be made of these values."""
    sums = {name: weighted_sum(weights, values) for name, weights in policy.sums.items()}
    return {name: value for name, value in sums.items() if value is not None}


def _all_hold(bounds: tuple[Bound, ...], values: Mapping[str, float]) -> bool:
    return bool(bounds) and all(bound.holds(values) for bound in bounds)


def _models_disagree(values: Mapping[str, float], policy: Policy) -> bool:
    """Each model is asked alone, by the bounds that are its own."""
    leanings = set()
    for speaker in {_speaker(bound, policy) for bound in (*policy.adult, *policy.safe)}:
        own_adult, own_safe = (
            tuple(b for b in bounds if _speaker(b, policy) == speaker) for bounds in (policy.adult, policy.safe)
        )
        is_adult, is_safe = _all_hold(own_adult, values), _all_hold(own_safe, values)
        if is_adult != is_safe:
            leanings.add(Outcome.ADULT if is_adult else Outcome.SAFE)
    return len(leanings) == 2


def _speaker(bound: Bound, policy: Policy) -> str:
    return bound.name if bound.name in policy.witnesses else "categories"
