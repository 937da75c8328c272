"""How often is the machine wrong on what really comes? Pure.

Of what it decided a known share, drawn by chance, was judged by people, and of what it could not decide all. These are strata:
within one, the share of adult images has exact bounds (Clopper and Pearson); the rates are ratios of sums over strata, which rise
or fall with each of those shares, so that they are bounded by putting each at its worse end, with the error divided among
them (Bonferroni). Nothing is assumed of how scores or images are distributed, only that chance chose.

Images are drawn without being put back. The binomial bounds are then on the wide side: Uhlmann, "Vergleich der
hypergeometrischen mit der Binomial-Verteilung", Metrika 10 (1966), 145-158.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from demure.evaluation.binomial import CONFIDENCE, lower, upper
from demure.policy import Outcome

Day = tuple[str, int]  # of the version of a policy; since 1970, UTC

ENOUGH = 0.9  # of those that were chosen, judged: fewer, and who is left out may be another kind


@dataclass(frozen=True)
class Stratum:
    """Images that were decided alike, and had the same chance to be put before a person."""

    decision: Outcome
    chance: float  # in [0, 1]; at 0 nobody is judged, and nothing is known
    images: int  # decided
    chosen: int  # of them, by that chance
    judged: int  # of those, so far
    adult: int  # of those


@dataclass(frozen=True)
class Count:
    """Of what chance put before people, how much they judged."""

    chosen: int
    judged: int

    @classmethod
    def of(cls, strata: Iterable[Stratum]) -> Count:
        pairs = [(s.chosen, s.judged) for s in strata]
        return cls(sum(chosen for chosen, _ in pairs), sum(judged for _, judged in pairs))

    @property
    def is_short(self) -> bool:
        return self.judged < ENOUGH * self.chosen


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
    """The rates among exactly these images; `left` is a count, and so without an interval.

    It takes chosen images that nobody judged for ones like those that were.
    """
    strata = [s for s in strata if s.images]
    uncertain = sum(s.judged < s.images for s in strata)
    adult = [_share(s, (1 - confidence) / 2 / max(1, uncertain)) for s in strata]
    safe = [Estimate(None if a.value is None else 1 - a.value, 1 - a.high, 1 - a.low) for a in adult]
    images = sum(s.images for s in strata)
    left = sum(s.images for s in strata if s.decision is Outcome.UNKNOWN) / images if images else None
    return LiveRates(
        images,
        sum(s.chosen for s in strata),
        sum(s.judged for s in strata),
        _ratio(strata, adult, Outcome.SAFE),
        _ratio(strata, safe, Outcome.ADULT),
        Estimate(left, left or 0.0, 1.0 if left is None else left),
    )


def _share(stratum: Stratum, error: float) -> Estimate:
    """Of the stratum's images, those that are adult; `error` on each side."""
    judged, adult = stratum.judged, stratum.adult
    if not judged:
        return Estimate(None, 0.0, 1.0)
    share = adult / judged
    if judged >= stratum.images:  # all of them: nothing is left to chance
        return Estimate(share, share, share)
    return Estimate(share, lower(adult, judged, error), upper(adult, judged, error))


def _best(stratum: Stratum, strata: Sequence[Stratum], shares: Sequence[Estimate]) -> float | None:
    """The share in a stratum; of one in which nobody is judged, that of the others that were decided alike."""
    mine = shares[strata.index(stratum)].value
    if mine is not None:
        return mine
    alike = [
        (s.images, e.value)
        for s, e in zip(strata, shares, strict=True)
        if s.decision is stratum.decision and e.value is not None
    ]
    images = sum(n for n, _ in alike)
    return sum(n * value for n, value in alike) / images if images else None


def _ratio(strata: Sequence[Stratum], shares: Sequence[Estimate], wrong: Outcome) -> Estimate:
    """Of all images of one kind, which make these shares of the strata, those that were decided so."""

    def ratio(decided: Sequence[float], others: Sequence[float]) -> float | None:
        amounts = [
            (s, s.images * (d if s.decision is wrong else o)) for s, d, o in zip(strata, decided, others, strict=True)
        ]
        part, total = sum(a for s, a in amounts if s.decision is wrong), sum(a for _, a in amounts)
        return part / total if total else None

    lows, highs = [e.low for e in shares], [e.high for e in shares]
    values = [_best(stratum, strata, shares) for stratum in strata]
    known = [value for value in values if value is not None]
    value = ratio(known, known) if len(known) == len(values) else None
    low, high = ratio(lows, highs), ratio(highs, lows)
    return Estimate(value, 0.0 if low is None else low, 1.0 if high is None else high)
