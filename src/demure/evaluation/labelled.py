"""Images of which a person said what they are, with their scores, in columns: what bounds are chosen from and measured on. Pure.

A model may have judged several pictures of one image (frames, grounds); each is a row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from demure.errors import InvalidLabels
from demure.policy import Bound, Outcome, Policy
from demure.scores import RISK, Category

Columns = Mapping[str, NDArray[np.float64]]
Number = TypeVar("Number", np.float64, np.int8)


@dataclass(frozen=True)
class Gathering:
    """What became of what was given, beside the images that can be used."""

    duplicates: int = 0  # the same bytes again, under the same label
    contradictions: tuple[str, ...] = ()  # ids of what stands under both labels: used as neither
    near_copies: int | None = None  # images that look like one before them; None where that is not known
    failures: Mapping[str, int] = field(default_factory=dict)  # images that could not be judged, by the error's code
    thinned: int = 0  # labels left out so that every decision has the same chance to be among those that are used
    unjudged: int = 0  # images that people were to judge on the days that are used, and that have no verdict
    unfinished: int = 0  # labels left out, for on their day too few were judged
    scores_of: str | None = None  # the model that a list's scores are taken to be of, where the list does not say


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

    def lacking(self, model: str, policy: Policy) -> list[str]:
        """The models, or else the scores, that the policy asks for and that are not there."""
        models = {model, *policy.witnesses} - self.scores.keys()
        known = {name for m in (model, *policy.witnesses) for name in self.scores.get(m, ())}
        bounds = (*policy.adult, *policy.safe)
        asked = {part for bound in bounds for part in policy.sums.get(bound.name, (bound.name,))}
        return sorted(models or asked - known)

    def values(self, model: str, policy: Policy) -> dict[str, NDArray[np.float64]]:
        """What the policy's bounds are asked of, (r,) each: scores and the policy's sums.

        Raises InvalidLabels where a score is not there, be it a witness's, or one that a bound is for.
        """
        if missing := self.lacking(model, policy):
            raise InvalidLabels(f"there are no scores of {', '.join(missing)}, which {policy.name} asks for")
        values = dict(self.scores[model])
        for witness in sorted(policy.witnesses):
            values.update(self.scores[witness])
        return values | {
            name: _sum(weights, values) for name, weights in policy.sums.items() if {*weights} <= {*values}
        }

    def decisions(self, model: str, policy: Policy) -> NDArray[np.int8]:
        """What the policy decides of each image, (n,), as Outcome.gravity: that of its gravest row."""
        return self.worst(self.row_decisions(model, policy))

    def row_decisions(self, model: str, policy: Policy) -> NDArray[np.int8]:
        """What the policy decides of each row, (r,), as Outcome.gravity."""
        values = self.values(model, policy)
        is_adult, is_safe = (self._all_hold(bounds, values) for bounds in (policy.adult, policy.safe))
        rows = np.full(self._rows, Outcome.UNKNOWN.gravity, np.int8)
        rows[is_adult & ~is_safe] = Outcome.ADULT.gravity
        rows[is_safe & ~is_adult] = Outcome.SAFE.gravity
        rows[self.is_small[self._image_of_row]] = Outcome.UNKNOWN.gravity
        return rows

    def deciding_rows(self, model: str, policy: Policy) -> NDArray[np.int64]:
        """Which row an image's answer tells, (n,): the gravest, of these the one with the highest score, then the first."""
        gravity, score = self.row_decisions(model, policy), self.row_scores(model, policy)
        order = np.lexsort((-score, -gravity, self._image_of_row))  # by image, then gravity, then score
        return order[self.first_row]

    def score(self, model: str, policy: Policy) -> NDArray[np.float64]:
        """The number that answers are sorted by (policy.sort_score), (n,): that of the row where it is largest."""
        return self.worst(self.row_scores(model, policy))

    def row_scores(self, model: str, policy: Policy) -> NDArray[np.float64]:
        """policy.sort_score of each row, (r,)."""
        values = self.values(model, policy)
        weights = policy.sums.get("risk", RISK)
        risk = _sum(weights, values) if {*weights} <= {*values} else np.zeros(self._rows)
        rows = np.maximum.reduce([risk, *(values[witness] for witness in policy.witnesses)])
        return _shown(rows)

    def risk(self, model: str) -> NDArray[np.float64]:
        """scores.RISK of each image, (n,): that of its worst row. Raises InvalidLabels where a category is missing."""
        columns = self.scores.get(model, {})
        if missing := sorted({*RISK} - {*columns}):
            raise InvalidLabels(f"there are no scores of {model} for {', '.join(missing)}")
        return self.worst(_shown(_sum(RISK, columns)))

    def worst(self, rows: NDArray[Number]) -> NDArray[Number]:
        """The largest of each image's rows: (r,) to (n,)."""
        return np.maximum.reduceat(rows, self.first_row) if len(self) else rows[:0]

    def _all_hold(self, bounds: tuple[Bound, ...], values: Columns) -> NDArray[np.bool_]:
        if not bounds:
            return np.zeros(self._rows, np.bool_)
        hold: NDArray[np.bool_] = np.logical_and.reduce(
            [values[b.name] >= b.limit if b.relation == "at_least" else values[b.name] <= b.limit for b in bounds]
        )
        return hold

    @property
    def _rows(self) -> int:
        return next((len(column) for columns in self.scores.values() for column in columns.values()), 0)

    @property
    def _image_of_row(self) -> NDArray[np.int64]:
        """(r,), rising from 0 to n - 1."""
        return np.repeat(np.arange(len(self)), np.diff(self.first_row, append=self._rows))


def _shown(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """As policy.sort_score: in [0, 1], and of seven digits, so that what is equal but for the order of a sum is a tie."""
    return np.minimum(1.0, np.round(rows, 7))


def _sum(weights: Mapping[str, float], values: Columns) -> NDArray[np.float64]:
    """As scores.weighted_sum adds, term by term, so that both agree to the last bit."""
    total = np.zeros(len(next(iter(values.values()))))
    for name, weight in weights.items():
        total = total + weight * values[name]
    return total
