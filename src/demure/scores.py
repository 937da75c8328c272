"""The words that every stage shares: a category, and the scores that a model gives."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import StrEnum


class Category(StrEnum):
    """What the five-class models tell apart, in the order they give it."""

    DRAWINGS = "drawings"
    HENTAI = "hentai"
    NEUTRAL = "neutral"
    PORN = "porn"
    SEXY = "sexy"


# How a number to sort by is made where no policy says otherwise.
RISK: Mapping[str, float] = {Category.PORN: 1.0, Category.HENTAI: 1.0, Category.SEXY: 0.5}

# float32 carries about seven digits; what is shown is what was decided upon.
_DIGITS = 7


class Scores(Mapping[str, float]):
    """What one model says of one image: names to scores in [0, 1], read as a mapping or as attributes.

    A five-class model gives the five categories, which add up to 1; a witness gives one score under its own name.
    """

    __slots__ = ("_values",)

    def __init__(self, values: Mapping[str, float]) -> None:
        self._values = {str(name): round(float(value), _DIGITS) for name, value in values.items()}

    def __getitem__(self, name: str) -> float:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __getattr__(self, name: str) -> float:
        # No score begins so, and a copy in the making has no `_values` to look into yet.
        if name.startswith("_") or name not in self._values:
            raise AttributeError(name)
        return self._values[name]

    def __repr__(self) -> str:
        return f"Scores({self._values})"

    def as_dict(self) -> dict[str, float]:
        return dict(self._values)


def weighted_sum(weights: Mapping[str, float], values: Mapping[str, float]) -> float | None:
    """The sum of weight * value, or None where a value is missing: what is not known is not 0."""
    if any(name not in values for name in weights):
        return None
    return sum(weight * values[name] for name, weight in weights.items())
