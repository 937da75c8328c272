"""Nested rules of one section of a policy, from one that nothing meets to one that nearly everything meets. Pure.

A rule is a limit for each bound. Along one path all limits loosen together, so that what a rule lets in every later rule lets in
too: to test them in turn, and stop at the first that fails, needs no correction for how many there are. A path's direction says
which bound is the stricter one.

Limits are counted by what they cost: the share of wanted images that they keep out. So scores of any scale can be compared.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from demure.policy import Bound

Floats = NDArray[np.float64]

_DIGITS = 9  # of a limit, at most; scores are rounded to 7
_LEAST = 1e-7  # a bound that always holds is refused by policies
_NEVER = -1.0  # the cost at which a value beyond every limit would get in
# For each number of bounds how far, in powers of 2, the cost of one may be from that of another.
_STRIDES: Mapping[int, Sequence[float]] = {1: (0,), 2: range(-4, 5), 3: range(-2, 3), 4: (-2, 0, 2)}
_FEW = (-1.5, 1.5)


@dataclass(frozen=True)
class Axis:
    """One bound, and the limits that it may have: (m,) each, the strictest first."""

    bound: Bound
    limits: Floats  # as a policy has them
    costs: Floats  # share of the wanted rows that the limit keeps out, falling

    @classmethod
    def of(cls, bound: Bound, wanted: Floats, largest: float) -> Axis:
        """Of the values of wanted rows, (r,), and the largest value there can be. One limit between any two of them."""
        sign = _sign(bound)
        values, counts = np.unique(sign * wanted, return_counts=True)
        loosest = largest - _LEAST if sign > 0 else -_LEAST
        possible = values <= loosest
        costs = 1.0 - np.cumsum(counts)[possible] / len(wanted)
        above = np.append(values, np.inf)[1:][possible]
        limits = np.minimum(_shortest(values[possible], above), loosest)
        return cls(bound, sign * limits, np.maximum(0.0, costs))

    def cost(self, values: Floats) -> Floats:
        """The cost of the strictest limit that lets each value in; -1 where none does."""
        sign = _sign(self.bound)
        place = np.searchsorted(sign * self.limits, sign * values, side="left")
        return np.append(self.costs, _NEVER)[place]

    def limit(self, more_than: float) -> float | None:
        """The loosest limit that costs more than so much; None where none does."""
        dear = int(np.count_nonzero(self.costs > more_than))
        return float(self.limits[dear - 1]) if dear else None


@dataclass(frozen=True)
class Path:
    """Nested rules over some axes: `weights` is what each limit costs for each unit of strictness, in (0, 1]."""

    axes: tuple[Axis, ...]
    weights: tuple[float, ...]

    def entries(self, costs: Floats) -> Floats:
        """The strictness from which on down rows are let in, (r,), given their costs on each axis, (axes, r); -1 for never."""
        entries: Floats = np.minimum.reduce([c / weight for c, weight in zip(costs, self.weights, strict=True)])
        return np.maximum(entries, _NEVER)

    def rule(self, stricter_than: float) -> tuple[Bound, ...] | None:
        """The loosest rule that is stricter than so much; None where it lets nothing in."""
        bounds = []
        for axis, weight in zip(self.axes, self.weights, strict=True):
            limit = axis.limit(stricter_than * weight)
            if limit is None:
                return None
            bounds.append(Bound(axis.bound.name, axis.bound.relation, limit))
        return tuple(bounds)


def paths(axes: tuple[Axis, ...]) -> tuple[Path, ...]:
    """One for each direction worth trying; the first is as strict on every axis."""
    strides = _STRIDES.get(len(axes), _FEW)
    powers = {tuple(step - max(steps) for step in steps) for steps in itertools.product(strides, repeat=len(axes))}
    even = (0.0,) * len(axes)
    return tuple(Path(axes, tuple(2.0**p for p in steps)) for steps in [even, *sorted(powers - {even})])


def _sign(bound: Bound) -> float:
    """Times this, a smaller value is one that the bound rather lets in."""
    return 1.0 if bound.relation == "at_most" else -1.0


def _shortest(low: Floats, high: Floats) -> Floats:
    """For each pair the number with the fewest decimals in [low, high)."""
    found, left = low.copy(), np.ones(len(low), np.bool_)
    for digits in range(1, _DIGITS + 1):
        rounded = np.ceil(low * 10.0**digits) / 10.0**digits
        fits = left & (rounded >= low) & (rounded < high)
        found[fits] = rounded[fits]
        left &= ~fits
    return found
