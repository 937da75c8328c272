"""Labels and scores to bounds that keep a promise. Pure.

The promise: with the stated confidence, of all adult images no more than a given share is decided safe, and of all safe images no
more than a given share adult. It holds whatever the distribution of scores, for any number of labels, and whatever was searched:

* Each side is Learn then Test (Angelopoulos, Bates, Candès, Jordan, Lei, "Learn then Test: Calibrating predictive algorithms to
  achieve risk control", arXiv:2110.01052, 2021) with fixed-sequence testing. Some of the images that can be wronged choose a
  path of nested rules. On the others those rules are tested in turn, from the strictest, each by the exact binomial test, and the
  last that passes is taken. The path was fixed before these were looked at, so each test may spend the whole error.
* Missed images are counted among adult ones alone, and false alarms among safe ones alone. So where a path runs may be learned
  from all images of the other kind, for nothing.
* The two sides share the error (Bonferroni): one half each, unless one has too few labels for its half.

Geifman and El-Yaniv ("Selective classification for deep neural networks", NeurIPS 2017) bound the same kind of risk by a union
over the steps of a search; a fixed sequence has nothing to unite.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from demure.errors import InvalidPolicy, TooFewLabels
from demure.evaluation.binomial import CONFIDENCE, fewest_images, most_errors, none_of
from demure.evaluation.drift import BINS, EDGES
from demure.evaluation.labelled import LabelledSet
from demure.evaluation.nested import Axis, Floats, Path, paths
from demure.policy import Bound, Outcome, Policy
from demure.promise import Promise
from demure.reviews import Verdict

_LEARN = 0.1  # of the images that can be wronged, at least: what chooses the path
_BUDGETS = (1, 2, 4)  # times the promised share: a path is judged at several, as errors are few and chance is large

Indices = NDArray[np.intp]
Entries = Callable[[Path], Floats]  # the strictness from which on down each image is let in, (n,)


@dataclass(frozen=True)
class Target:
    """The errors that are accepted, each in (0, 1); None where nothing is promised."""

    max_missed: float | None
    max_false_alarm: float | None
    confidence: float = CONFIDENCE


@dataclass(frozen=True)
class Side:
    """One side's rules, and the loosest of them that may be used: every stricter one on its path keeps the promise too."""

    path: Path
    entry: Floats  # (n,): the strictness from which on down each image is let in
    strictness: float  # the rule is stricter than this
    learned: int  # images that chose the path
    tested: int  # images that the rules were tested on
    errors: int  # of those, that the loosest rule wrongs

    @property
    def bounds(self) -> tuple[Bound, ...]:
        """None where no rule passed: the section never holds."""
        return self.path.rule(stricter_than=self.strictness) or ()

    @property
    def lets_in(self) -> NDArray[np.bool_]:
        return self.entry > self.strictness


@dataclass(frozen=True)
class Calibration:
    """`policy` carries its promise. A side that was not asked for is as it was."""

    policy: Policy
    missed: Side | None
    false_alarm: Side | None


def calibrate(
    labelled: LabelledSet,
    model: str,
    shape: Policy,
    target: Target,
    *,
    base_rate: float | None = None,
    name: str = "calibrated",
) -> Calibration:
    """The bounds of `shape`, chosen anew: among those that keep the promise, those that leave least to people.

    `base_rate` is the share of adult images at the site, by which `left` is reckoned; without it, that of the labels. Images
    that are too small are left out: they are always `unknown`.

    Raises TooFewLabels, with how many more it takes; InvalidLabels for scores that are not there; InvalidPolicy for a shape
    without a section that is asked for.
    """
    adult, safe = (int(np.count_nonzero(kind & ~labelled.is_small)) for kind in (labelled.is_adult, ~labelled.is_adult))
    missed_error, false_alarm_error = split_error(adult, safe, target)
    pool = _Pool.of(labelled, model, shape)
    random = np.random.default_rng(int(pool.digest[:16], 16))
    missed = pool.side(Verdict.SAFE, target.max_missed, missed_error, random)
    false_alarm = pool.side(Verdict.ADULT, target.max_false_alarm, false_alarm_error, random)
    rate = adult / (adult + safe) if base_rate is None else base_rate
    if missed and false_alarm:
        missed, false_alarm = _apart(missed, false_alarm, np.where(pool.is_adult, rate / adult, (1 - rate) / safe))
    policy = replace(
        shape,
        name=name,
        description=f"The shape of {shape.name}; bounds chosen from {adult:,} adult and {safe:,} safe images.",
        safe=shape.safe if missed is None else missed.bounds,
        adult=shape.adult if false_alarm is None else false_alarm.bounds,
        promise=None,
    )
    policy = replace(
        policy, witnesses=policy.named & shape.witnesses
    )  # one may have stood in a section that is empty now
    promise = Promise(
        version=policy.version,
        model=model,
        max_missed=target.max_missed,
        max_false_alarm=target.max_false_alarm,
        confidence=target.confidence,
        adult=adult,
        safe=safe,
        data=pool.digest,
        base_rate=round(rate, 6),
        left=round(_left(labelled, model, policy, rate), 4),
        adult_scores=_bins(labelled, model, policy, labelled.is_adult),
        safe_scores=_bins(labelled, model, policy, ~labelled.is_adult),
    )
    return Calibration(replace(policy, promise=promise), missed, false_alarm)


def split_error(adult: int, safe: int, target: Target) -> tuple[float, float]:
    """The error that each side may spend, of 1 - confidence: (missed, false alarm).

    It hangs on how many labels there are and not on what they say, so it may be chosen. Raises TooFewLabels.
    """
    error, half = 1 - target.confidence, (1 - target.confidence) / 2
    promised = (target.max_missed, target.max_false_alarm)
    if not adult or not safe or promised == (None, None):
        raise TooFewLabels(f"{adult:,} adult and {safe:,} safe images: it takes some of each, and something to promise")
    # What proves it with not one error. A side that nothing is promised of needs nothing.
    needs = [0.0 if share is None else none_of(n, share) for share, n in zip(promised, (adult, safe), strict=True)]
    may_spend = [error - need if need <= half else half for need in reversed(needs)]
    lacking = [
        f"{fewest_images(share, most) - n:,} more {verdict} images"
        for verdict, share, n, need, most in zip(Verdict, promised, (adult, safe), needs, may_spend, strict=True)
        if share is not None and need > most
    ]
    if lacking:
        raise TooFewLabels(
            f"{adult:,} adult and {safe:,} safe images are too few to prove this, even without a mistake: "
            f"label {' and '.join(lacking)}, or promise less"
        )
    if None in promised:
        return error, error
    if needs[1] > half:
        return error - needs[1], needs[1]
    missed = max(half, needs[0])
    return missed, error - missed


def choose(
    ways: Sequence[Path], entries: Entries, wanted: Indices, learn: Indices, test: Indices, share: float, error: float
) -> Side:
    """The best path, up to the loosest rule on it that surely wrongs no more than the share.

    `wanted`, `learn` and `test` are images: those that the rule should let in, and, of those that it must not, which choose the
    path and which the rules are tested on. Nothing is promised if one is in both.
    """
    path = max(ways, key=lambda way: _worth(entries(way), wanted, learn, share)) if len(learn) else ways[0]
    entry = entries(path)
    tested = np.sort(entry[test])[::-1]
    strictness = tested[most_errors(len(test), share, error)]
    return Side(path, entry, float(strictness), len(learn), len(test), int(np.count_nonzero(tested > strictness)))


def _to_test(wronged: int, share: float, error: float) -> int:
    """How many of the images that can be wronged the rules are tested on; the others choose the path.

    As few as prove the share with as many errors as all but a tenth would: fewer images and no fewer errors are a looser rule.
    """
    most = wronged - int(_LEARN * wronged)
    errors = most_errors(most, share, error)
    if errors < 0:  # then all are needed, or nearly all
        errors = most_errors(wronged, share, error)
    return fewest_images(share, error, errors)


def _worth(entry: Floats, wanted: Indices, learn: Indices, share: float) -> float:
    """How many of the wanted images a path lets in, for about the share of the others."""
    lured = np.sort(entry[learn])[::-1]
    places = [min(round(times * share * len(learn)), len(learn) - 1) for times in _BUDGETS]
    return float(sum(np.count_nonzero(entry[wanted] > lured[place]) for place in places))


def _apart(one: Side, other: Side, weights: Floats) -> tuple[Side, Side]:
    """What both would decide is left to people: so one of them is made stricter, as far as that leaves less to them.

    `weights` are the images' shares of all that comes, (n,).
    """
    fewer, other_fewer = _stricter(one, other, weights), _stricter(other, one, weights)
    if fewer[0] >= other_fewer[0]:
        return replace(one, strictness=fewer[1]), other
    return one, replace(other, strictness=other_fewer[1])


def _stricter(side: Side, other: Side, weights: Floats) -> tuple[float, float]:
    """How much less is left to people at the best strictness, and that."""
    inside = np.flatnonzero(side.lets_in)
    inside = inside[np.argsort(side.entry[inside])]  # in the order in which they are put out again
    gains = np.cumsum(np.where(other.lets_in[inside], weights[inside], -weights[inside]))
    # Those that are let in together are put out together.
    last = np.flatnonzero(np.append(np.diff(side.entry[inside]) > 0, True)[: len(inside)])
    if not len(last) or gains[last].max() <= 0:
        return 0.0, side.strictness
    best = last[np.argmax(gains[last])]
    return float(gains[best]), float(side.entry[inside[best]])


@dataclass(frozen=True)
class _Pool:
    """The images that may be used, in an order that hangs on their labels and scores alone: no other can be tried."""

    shape: Policy
    is_adult: NDArray[np.bool_]  # (n,)
    first_row: NDArray[np.intp]  # (n,)
    values: dict[str, Floats]  # (r,): what the bounds are asked of
    digest: str  # SHA-256, hex, of all that

    @classmethod
    def of(cls, labelled: LabelledSet, model: str, shape: Policy) -> _Pool:
        values = labelled.values(model, shape)
        names = sorted(values)
        rows = len(values[names[0]])
        counts = np.diff(labelled.first_row, append=rows)
        keys = [reduce.reduceat(values[n], labelled.first_row) for n in names for reduce in (np.minimum, np.maximum)]
        order = np.lexsort([counts, *keys, labelled.is_adult])
        order = order[~labelled.is_small[order]]
        first_row = np.cumsum(counts[order]) - counts[order]
        taken = np.repeat(labelled.first_row[order] - first_row, counts[order]) + np.arange(counts[order].sum())
        columns = {name: values[name][taken] for name in names}
        is_adult = labelled.is_adult[order]
        return cls(shape, is_adult, first_row, columns, _digest(names, is_adult, first_row, columns))

    def side(self, verdict: Verdict, share: float | None, error: float, random: np.random.Generator) -> Side | None:
        """The rules of the section that decides so; None where nothing is promised of it."""
        if share is None:
            return None
        is_wanted = self.is_adult == (verdict is Verdict.ADULT)
        ways, entries = self._paths(verdict, is_wanted)
        wronged = random.permutation(np.flatnonzero(~is_wanted))
        learned = len(wronged) - _to_test(len(wronged), share, error) if len(ways) > 1 else 0
        return choose(ways, entries, np.flatnonzero(is_wanted), wronged[:learned], wronged[learned:], share, error)

    def _paths(self, verdict: Verdict, is_wanted: NDArray[np.bool_]) -> tuple[tuple[Path, ...], Entries]:
        bounds = self.shape.adult if verdict is Verdict.ADULT else self.shape.safe
        if not bounds:
            raise InvalidPolicy(f"{self.shape.name}: {verdict}: there are no bounds here whose limits could be chosen")
        columns = [self.values[bound.name] for bound in bounds]
        rows = np.repeat(is_wanted, np.diff(self.first_row, append=len(columns[0])))
        axes = tuple(Axis.of(b, c[rows], self._largest(b)) for b, c in zip(bounds, columns, strict=True))
        costs = np.stack([axis.cost(column) for axis, column in zip(axes, columns, strict=True)])
        # One gravest row decides: an image is safe if all its rows are, and adult if one of them is.
        of_image = np.minimum if verdict is Verdict.SAFE else np.maximum
        return paths(axes), lambda path: of_image.reduceat(path.entries(costs), self.first_row)

    def _largest(self, bound: Bound) -> float:
        return sum(self.shape.sums.get(bound.name, {bound.name: 1.0}).values())


def _digest(
    names: Sequence[str], is_adult: NDArray[np.bool_], first_row: NDArray[np.intp], columns: dict[str, Floats]
) -> str:
    content = hashlib.sha256(",".join(names).encode())
    for array in (is_adult, first_row.astype("<i8"), *(columns[name].astype("<f8") for name in names)):
        content.update(array.tobytes())
    return content.hexdigest()


def _left(labelled: LabelledSet, model: str, policy: Policy, base_rate: float) -> float:
    """The share that is left to people where so large a share is adult."""
    is_left = labelled.decisions(model, policy) == Outcome.UNKNOWN.gravity
    adult, safe = is_left[labelled.is_adult].mean(), is_left[~labelled.is_adult].mean()
    return float(base_rate * adult + (1 - base_rate) * safe)


def _bins(labelled: LabelledSet, model: str, policy: Policy, wanted: NDArray[np.bool_]) -> tuple[int, ...]:
    """Images by bin of their score."""
    bins = np.searchsorted(EDGES, labelled.score(model, policy)[wanted], side="left")
    return tuple(np.bincount(np.minimum(bins, BINS - 1), minlength=BINS).tolist())
