"""Images of which a person said what they are, with their scores, in columns: what bounds are chosen from and measured on. Pure.

A model may have judged several pictures of one image (frames, grounds); each is a row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from demure.errors import InvalidLabels
from demure.policy import Bound, Outcome, Policy
from demure.scores import RISK, Category

Columns = Mapping[str, NDArray[np.float64]]


@dataclass(frozen=True)
class Gathering:
    """What became of what was given, beside the images that can be used."""

    duplicates: int = 0  # the same bytes again, under the same label
    contradictions: tuple[str, ...] = ()  # ids of what stands under both labels: used as neither
    near_copies: int | None = None  # images that look like one before them; None where that is not known
    failures: Mapping[str, int] = field(default_factory=dict)  # images that could not be judged, by the error's code
    thinned: int = 0  # labels left out so that every decision has the same chance to be among those that are used


@dataclass(frozen=True)
class LabelledSet:
    """n images and, for each model, r rows of scores; r >= n."""

    is_adult: NDArray[np.bool_]  # (n,)
    first_row: NDArray[np.int64]  # (n,), rising: where an image's rows begin
    scores: Mapping[str, Columns]  # by model, then by the score's name: (r,), in [0, 1]
    is_small: NDArray[np.bool_]  # (n,): too small for the models, and `unknown` whatever they say
    ids: Sequence[str]  # (n,): path or URL as given, or a line's number
    sha256s: Sequence[str | None]  # (n,), hex
    groups: Sequence[str] | None = None  # (n,)
    gathering: Gathering = Gathering()

    def __len__(self) -> int:
        return len(self.is_adult)

    @property
    def models(self) -> tuple[str, ...]:
        """The five-class ones."""
        return tuple(name for name, columns in self.scores.items() if Category.PORN in columns)

    @property
    def witnesses(self) -> tuple[str, ...]:
        return tuple(name for name in self.scores if name not in self.models)

    def values(self, model: str, policy: Policy) -> dict[str, NDArray[np.float64]]:
        """What the policy's bounds are asked of, (r,) each: scores and the policy's sums.

        Raises InvalidLabels for a model or a witness whose scores are not there.
        """
        missing = {model, *policy.witnesses} - self.scores.keys()
        if missing:
            raise InvalidLabels(f"there are no scores of {', '.join(sorted(missing))}, which {policy.name} asks for")
        values = dict(self.scores[model])
        for witness in policy.witnesses:
            values.update(self.scores[witness])
        return values | {
            name: _sum(weights, values) for name, weights in policy.sums.items() if {*weights} <= {*values}
        }

    def decisions(self, model: str, policy: Policy) -> NDArray[np.int8]:
        """What the policy decides of each image, (n,), as Outcome.gravity: that of its gravest row."""
        values = self.values(model, policy)
        is_adult, is_safe = (self._all_hold(bounds, values) for bounds in (policy.adult, policy.safe))
        rows = np.full(self._rows, Outcome.UNKNOWN.gravity, np.int8)
        rows[is_adult & ~is_safe] = Outcome.ADULT.gravity
        rows[is_safe & ~is_adult] = Outcome.SAFE.gravity
        decided = np.maximum.reduceat(rows, self.first_row) if len(self) else rows
        return np.where(self.is_small, np.int8(Outcome.UNKNOWN.gravity), decided)

    def score(self, model: str, policy: Policy) -> NDArray[np.float64]:
        """The number that answers are sorted by (policy.sort_score), (n,): that of the row where it is largest."""
        values = self.values(model, policy)
        risk = _sum(policy.sums.get("risk", RISK), values)
        rows = np.maximum.reduce([risk, *(values[witness] for witness in policy.witnesses)])
        return self.worst(np.minimum(1.0, rows))

    def worst(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """The largest of each image's rows: (r,) to (n,)."""
        return np.maximum.reduceat(rows, self.first_row) if len(self) else rows[:0]

    def _all_hold(self, bounds: tuple[Bound, ...], values: Columns) -> NDArray[np.bool_]:
        if not bounds or any(bound.name not in values for bound in bounds):
            return np.zeros(self._rows, np.bool_)
        return np.logical_and.reduce(
            [values[b.name] >= b.limit if b.relation == "at_least" else values[b.name] <= b.limit for b in bounds]
        )

    @property
    def _rows(self) -> int:
        return next((len(column) for columns in self.scores.values() for column in columns.values()), 0)


def _sum(weights: Mapping[str, float], values: Columns) -> NDArray[np.float64]:
    """As scores.weighted_sum adds, term by term, so that both agree to the last bit."""
    total = np.zeros(len(next(iter(values.values()))))
    for name, weight in weights.items():
        total = total + weight * values[name]
    return total
