"""Worlds of which the truth is known: classes of images as mixtures of kinds, whose scores are independent and normal.

Within a kind the truth about a rule is a product of normal distributions, and so exact: no second sample stands in for it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from demure.calibrate import Target, calibrate, split_error
from demure.evaluation.binomial import fewest_images, most_errors, upper
from demure.evaluation.labelled import LabelledSet
from demure.policy import Bound, Policy

MODEL = "model"
NAMES = ("porn", "hentai", "sexy", "open_nsfw")
_NORMAL = NormalDist()


@dataclass(frozen=True)
class Kind:
    """Images alike: their share of the class, and where their scores lie, on a scale on which they spread by 1."""

    share: float
    means: tuple[float, ...]


@dataclass(frozen=True)
class World:
    """`grain` rounds scores on their scale, so that many are equal; 0 does not. Each image has so many `frames`, all of its kind."""

    name: str
    adult: tuple[Kind, ...]
    safe: tuple[Kind, ...]
    grain: float = 0.0
    frames: int = 1

    @property
    def names(self) -> tuple[str, ...]:
        return (*NAMES[: len(self.adult[0].means) - 1], NAMES[-1])

    @property
    def shape(self) -> Policy:
        """A policy with one bound a score in each section; its limits say nothing."""
        adult, safe = (tuple(Bound(n, relation, 0.5) for n in self.names) for relation in ("at_least", "at_most"))
        return Policy("shape", "", {"risk": {"porn": 1.0}}, adult, safe, frozenset({NAMES[-1]}))

    def sample(self, adult: int, safe: int, random: np.random.Generator) -> LabelledSet:
        rows = np.concatenate([self._rows(self.adult, adult, random), self._rows(self.safe, safe, random)])
        columns = dict(zip(self.names, (1 / (1 + np.exp(-rows))).T, strict=True))
        n = adult + safe
        return LabelledSet(
            is_adult=np.arange(n) < adult,
            first_row=np.arange(n) * self.frames,
            scores={NAMES[-1]: {NAMES[-1]: columns.pop(NAMES[-1])}, MODEL: columns},
            is_small=np.zeros(n, np.bool_),
            ids=range(n),
            sha256s=[None] * n,
        )

    def meets(self, bounds: Sequence[Bound], kinds: Sequence[Kind]) -> float:
        """The true share of a class that meets all the bounds; without bounds nothing does."""
        if not bounds:
            return 0.0
        lows, highs = [-math.inf] * len(self.names), [math.inf] * len(self.names)
        for bound in bounds:
            place, edge = self.names.index(bound.name), self._edge(bound)
            if bound.relation == "at_least":
                lows[place] = max(lows[place], edge)
            else:
                highs[place] = min(highs[place], edge)
        frame = [(kind.share, math.prod(map(_between, kind.means, lows, highs))) for kind in kinds]
        # Safe is what is so in every frame, adult what is so in one.
        is_adult = {bound.relation for bound in bounds} == {"at_least"}
        return sum(w * (1 - (1 - p) ** self.frames if is_adult else p**self.frames) for w, p in frame)

    def left(self, adult: Sequence[Bound], safe: Sequence[Bound], base_rate: float) -> float:
        """The true share left to people. What meets both sections is."""

        def of(kinds: Sequence[Kind]) -> float:
            both = self.meets([*adult, *safe], kinds) if adult and safe else 0.0
            return 1 - self.meets(adult, kinds) - self.meets(safe, kinds) + 2 * both

        return base_rate * of(self.adult) + (1 - base_rate) * of(self.safe)

    def oracle(self, target: Target, base_rate: float) -> float:
        """No rule of two bounds that truly keeps the promise leaves less to people."""
        return self._left_by_the_best([target.max_missed], [target.max_false_alarm], base_rate)

    def floor(self, target: Target, adult: int, safe: int) -> float:
        """What is left, on average, where the best rules for every strictness are known, and labels only prove which may be used.

        Of n images with at most k errors the loosest rule that passes is the one before the error k + 1: the share that it truly
        wrongs is that order statistic's, distributed as Beta(k + 1, n - k). As few images as allow so many errors allow most.
        """
        missed, false_alarm = split_error(adult, safe, target)
        shares = []
        for n, share, error in ((adult, target.max_missed, missed), (safe, target.max_false_alarm, false_alarm)):
            errors = most_errors(n, share, error)
            shares.append(_shares_before_an_error(errors, fewest_images(share, error, errors)))
        return self._left_by_the_best(*shares, adult / (adult + safe))

    def _left_by_the_best(self, missed: Sequence[float], false_alarm: Sequence[float], base_rate: float) -> float:
        """On average over what each side's rule truly wrongs."""
        sides = [
            [self._best("at_most", self.adult, self.safe, share) for share in missed],
            [self._best("at_least", self.safe, self.adult, share) for share in false_alarm],
        ]
        decided = [
            sum(sum(self.meets(rule, kinds) for rule in rules) / len(rules) for rules in sides)
            for kinds in (self.adult, self.safe)
        ]
        return max(0.0, 1 - base_rate * decided[0] - (1 - base_rate) * decided[1])

    def _best(self, relation: str, wronged: Sequence[Kind], wanted: Sequence[Kind], share: float) -> list[Bound]:
        """Of two bounds, each limit of the first with the loosest of the second that it allows; then again, finer, about the best."""

        def best(firsts: NDArray[np.float64]) -> tuple[float, float]:
            rules = ((first, self._loosest(relation, first, wronged, share)) for first in firsts)
            fitting = ((self.meets(self._bounds(relation, *rule), wanted), rule) for rule in rules)
            return max((worth, rule) for worth, rule in fitting if self._fits(relation, rule, wronged, share))[1]

        rough, _ = best(np.arange(-3, 8, 0.1))
        return self._bounds(relation, *best(np.arange(rough - 0.1, rough + 0.1, 0.002)))

    def _loosest(self, relation: str, first: float, wronged: Sequence[Kind], share: float) -> float:
        strict, loose = (-12.0, 12.0) if relation == "at_most" else (12.0, -12.0)
        for _ in range(40):
            middle = (strict + loose) / 2
            strict, loose = (
                (middle, loose) if self._fits(relation, (first, middle), wronged, share) else (strict, middle)
            )
        return strict

    def _fits(self, relation: str, limits: tuple[float, float], wronged: Sequence[Kind], share: float) -> bool:
        return self.meets(self._bounds(relation, *limits), wronged) <= share

    def _bounds(self, relation: str, *limits: float) -> list[Bound]:
        return [Bound(n, relation, 1 / (1 + math.exp(-x))) for n, x in zip(self.names, limits, strict=True)]

    def _rows(self, kinds: Sequence[Kind], n: int, random: np.random.Generator) -> NDArray[np.float64]:
        which = np.repeat(random.choice(len(kinds), n, p=[k.share for k in kinds]), self.frames)
        rows = np.array([k.means for k in kinds])[which] + random.standard_normal((len(which), len(self.names)))
        return np.round(rows / self.grain) * self.grain if self.grain else rows

    def _edge(self, bound: Bound) -> float:
        """On the scale: where a score, before it was rounded, begins to meet the bound or ends to."""
        limit = math.log(bound.limit) - math.log1p(-bound.limit)
        if not self.grain:
            return limit
        steps = limit / self.grain
        return self.grain * (
            math.floor(steps + 1e-6) + 0.5 if bound.relation == "at_most" else math.ceil(steps - 1e-6) - 0.5
        )


def _shares_before_an_error(errors: int, images: int, points: int = 9) -> list[float]:
    """Quantiles of Beta(errors + 1, images - errors), evenly spread."""
    return [upper(errors, images, 1 - (point + 0.5) / points) for point in range(points)]


def _between(mean: float, low: float, high: float) -> float:
    return max(0.0, _NORMAL.cdf(high - mean) - _NORMAL.cdf(low - mean))


CLEAR = World("clear", (Kind(0.9, (4.2, 4.0)), Kind(0.1, (3.0, 3.5))), (Kind(0.95, (0, 0)), Kind(0.05, (1, -0.5))))
ONE_USELESS = World("one useless", (Kind(1, (4, 0)),), (Kind(1, (0, 0)),))
GRAINED = World(
    "grained", (Kind(0.9, (4, 4)), Kind(0.1, (2.5, 3))), (Kind(0.9, (0, 0)), Kind(0.1, (1, 0.5))), grain=0.5
)
FRAMED = World("of three frames", (Kind(1, (4.0, 4.0)),), (Kind(1, (0.0, 0.0)),), frames=3)
TIED = World("near-tied", (Kind(1, (2.2,) * 4),), (Kind(1, (0.0,) * 4),))


@dataclass(frozen=True)
class Sites:
    """Many sites of one world, each with so many labels of its own."""

    world: World
    adult: int
    safe: int
    target: Target

    @property
    def base_rate(self) -> float:
        return self.adult / (self.adult + self.safe)


@dataclass(frozen=True)
class Outcomes:
    sites: int
    broken: int  # where one of the two promises does not hold
    left: float  # to people, on average


def run(sites: Sites, repetitions: int, seed: int) -> Outcomes:
    """Calibrate at so many sites, and hold each policy against the truth."""
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        halves = [*pool.map(_run, [sites] * 2, [repetitions // 2] * 2, [(seed, 0), (seed, 1)])]
    broken, left = sum(half.broken for half in halves), sum(half.left for half in halves) / 2
    return Outcomes(sum(half.sites for half in halves), broken, left)


def _run(sites: Sites, repetitions: int, seed: tuple[int, int]) -> Outcomes:
    random, world = np.random.default_rng(seed), sites.world
    broken, left = 0, 0.0
    for _ in range(repetitions):
        policy = calibrate(world.sample(sites.adult, sites.safe, random), MODEL, world.shape, sites.target).policy
        broken += breaks(world, policy.adult, policy.safe, sites.target)
        left += world.left(policy.adult, policy.safe, sites.base_rate)
    return Outcomes(repetitions, broken, left / repetitions)


def breaks(world: World, adult: Sequence[Bound], safe: Sequence[Bound], target: Target) -> bool:
    missed, false_alarm = world.meets(safe, world.adult), world.meets(adult, world.safe)
    return missed > (target.max_missed or 1) or false_alarm > (target.max_false_alarm or 1)
