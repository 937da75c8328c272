"""What a policy's bounds were chosen to keep, and from what: the [promise] of its file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from demure.errors import DemureError
from demure.evaluation.drift import BINS

MOST_IMAGES = 10**9


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

    @property
    def terms(self) -> str:
        """In words: what and how surely."""
        shares = (("missed", self.max_missed), ("false alarms", self.max_false_alarm))
        told = " and ".join(f"{name} <= {share:g}" for name, share in shares if share is not None)
        return f"{told}, with a confidence of {self.confidence:g}, judged by {self.model}"

    def void_with(self, policy: str, model: str) -> str:
        """Why it promises nothing where this model judges by that policy; "" where it holds."""
        if self.model == model:
            return ""
        return f"{policy} was calibrated with {self.model}; with {model} it promises nothing"


_OPTIONAL = ("max_missed", "max_false_alarm")


def read_promise(table: Mapping[str, Any], error: Callable[[str, str], DemureError]) -> Promise:
    """From TOML; `error(key, expected)` makes what is raised."""
    names = [field.name for field in fields(Promise)]
    for key in table.keys() - {*names}:
        raise error(f"promise.{key}", f"unknown key; expected one of {', '.join(names)}")
    values: dict[str, Any] = {}
    for name in names:
        fits, expected = _FORMS[name]
        value = table.get(name)
        if not fits(value) and not (value is None and name in _OPTIONAL):
            raise error(f"promise.{name}", f"expected {expected}, found {str(value)[:40]!r}")
        values[name] = tuple(value) if isinstance(value, list) else value
    return Promise(**values)


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value)


def _is_share(value: object) -> bool:
    return type(value) in (int, float) and 0 <= value <= 1  # type: ignore[operator]


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value <= MOST_IMAGES


def _is_histogram(value: object) -> bool:
    return isinstance(value, list) and len(value) == BINS and all(map(_is_count, value))


_TEXT, _SHARE, _COUNT = (_is_text, "text in quotes"), (_is_share, "a number from 0 to 1"), (_is_count, "a whole number")
_HISTOGRAM = (_is_histogram, f"a list of {BINS} whole numbers")
_FORMS: Mapping[str, tuple[Callable[[object], bool], str]] = {
    **dict.fromkeys(("version", "model", "data"), _TEXT),
    **dict.fromkeys(("max_missed", "max_false_alarm", "confidence", "base_rate", "left"), _SHARE),
    **dict.fromkeys(("adult", "safe"), _COUNT),
    **dict.fromkeys(("adult_scores", "safe_scores"), _HISTOGRAM),
}
