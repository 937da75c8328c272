"""How well does one number tell adult from safe? ROC, precision and recall, each with the interval it deserves. Pure.

It knows scores and labels, no model and no policy. The intervals suppose that images are independent of each other.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from demure.evaluation.binomial import at_most, fewest_images, lower, most_errors, upper

FALSE_ALARMS = (0.01, 0.001)  # for which the recall is told
_MOST_POINTS = 500  # of a curve
_SEED = 20  # any will do: it makes the answer the same each time

Points = tuple[tuple[float, float], ...]
Floats = NDArray[np.float64]
Counts = NDArray[np.int64]


@dataclass(frozen=True)
class Interval:
    """An estimate in [0, 1], and where the true value lies with the confidence asked for."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Recall:
    """The share of adult images that lie above the threshold at which a given share of safe ones does."""

    false_alarm: float  # that share, as asked for
    threshold: float | None  # None where there are no safe images
    found: Interval | None  # None where there are too few images to say
    takes_safe: int  # images, before anything can be said


@dataclass(frozen=True)
class Curve:
    """One number as a way to tell adult from safe: a model's, or the one that answers are sorted by."""

    name: str
    roc: Points  # (false alarm, recall), from (0, 0) to (1, 1); empty where one of the classes is
    precision_recall: Points  # (recall, precision), from recall 0 to 1, alike; at this set's mix
    auc: Interval | None  # None where one of the classes is empty
    average_precision: Interval | None
    recalls: tuple[Recall, ...]


def curve(name: str, scores: Floats, is_adult: NDArray[np.bool_], confidence: float) -> Curve:
    """`scores` and `is_adult` (n,); the higher a score, the more adult. Takes O(n log n)."""
    adult, safe = np.sort(scores[is_adult]), np.sort(scores[~is_adult])
    recalls = tuple(recall(adult, safe, share, confidence) for share in FALSE_ALARMS)
    if not len(adult) or not len(safe):
        return Curve(name, (), (), None, None, recalls)
    steps = _steps(scores, is_adult)
    return Curve(
        name=name,
        roc=_thinned(*_roc(steps)),
        precision_recall=_thinned(*_precision_recall(steps)),
        auc=_auc(steps, adult, safe, confidence),
        average_precision=_average_precision(steps, confidence),
        recalls=recalls,
    )


# --- Images by score --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Steps:
    """The k distinct scores, the highest first: how many adult and safe images have each. No class is empty."""

    adult: Counts  # (k,)
    safe: Counts  # (k,)

    @cached_property
    def found(self) -> Counts:
        """Adult images with this score or a higher one, (k,)."""
        return np.cumsum(self.adult)

    @cached_property
    def false(self) -> Counts:
        """Safe images with this score or a higher one, (k,)."""
        return np.cumsum(self.safe)

    @property
    def adults(self) -> int:
        return int(self.found[-1])

    @property
    def safes(self) -> int:
        return int(self.false[-1])

    @property
    def doubled_wins(self) -> int:
        """Twice the pairs of an adult and a safe image in which the adult one is higher, a tie being half such a pair."""
        return int(self.adult @ self.doubled_below)

    @property
    def doubled_below(self) -> Counts:
        """Twice the safe images below this score, and once those at it, (k,)."""
        return 2 * (self.safes - self.false) + self.safe

    @property
    def doubled_above(self) -> Counts:
        """Twice the adult images above this score, and once those at it, (k,)."""
        return 2 * self.found - self.adult

    @property
    def all_pairs_won(self) -> bool:
        return self.doubled_wins == 2 * self.adults * self.safes


def _steps(scores: Floats, is_adult: NDArray[np.bool_]) -> _Steps:
    distinct, step = np.unique(-scores, return_inverse=True)
    adult, safe = (np.bincount(step[of], minlength=len(distinct)) for of in (is_adult, ~is_adult))
    return _Steps(adult, safe)


def _roc(steps: _Steps) -> tuple[Floats, Floats]:
    """(k + 1,) each: the shares of safe and of adult images at or above each score, from 0 to 1."""
    start = np.zeros(1)
    return np.append(start, steps.false / steps.safes), np.append(start, steps.found / steps.adults)


def _precision_recall(steps: _Steps) -> tuple[Floats, Floats]:
    """(k + 1,) each. The first precision stands for recall 0 too, where there is none."""
    precision = steps.found / (steps.found + steps.false)
    return np.append(np.zeros(1), steps.found / steps.adults), np.append(precision[:1], precision)


def _thinned(x: Floats, y: Floats) -> Points:
    """Points that are spread evenly along the curve (by |dx| + |dy|), the first and the last among them."""
    if len(x) > _MOST_POINTS:
        length = np.append(np.zeros(1), np.cumsum(np.abs(np.diff(x)) + np.abs(np.diff(y))))
        chosen = np.searchsorted(length, np.linspace(0, length[-1], _MOST_POINTS))
        kept = np.unique(np.concatenate(([0], chosen, [len(x) - 1])))
        x, y = x[kept], y[kept]
    return tuple(zip(x.tolist(), y.tolist(), strict=True))


# --- The area under the ROC curve -------------------------------------------------------------------------------------


def _auc(steps: _Steps, adult: Floats, safe: Floats, confidence: float) -> Interval:
    """The probability that an adult image is higher than a safe one, a tie counting as half.

    The variance is that of DeLong, DeLong and Clarke-Pearson (Biometrics 44 (1988), 837-845), from one sort as Sun and Xu
    reckon it (IEEE Signal Processing Letters 21 (2014), 1389-1393); the interval is normal on the logit scale (Pepe, The
    statistical evaluation of medical tests, 2003, 5.2), so that it stays in (0, 1). Its lower end is too high where few
    images of a class are nearly all on the right side (`_least_plausible`). Where the variance says nothing (see
    `_says_nothing`) the interval is the exact one of `_pairs`.
    """
    value = _area(steps)
    if _says_nothing(steps):
        low, high = _pairs(adult, safe, confidence)
        return Interval(value, min(low, value), max(high, value))
    return _on_logit_scale(value, _delong(steps), confidence, _stretch(steps, confidence))


def _area(steps: _Steps) -> float:
    return steps.doubled_wins / (2 * steps.adults * steps.safes)


def _stretch(steps: _Steps, confidence: float) -> float:
    """How many times farther down, on the logit scale, the AUC may lie than DeLong's variance says; at least 1."""
    value = _area(steps)
    reach = _quantile(confidence) * math.sqrt(_delong(steps)) / (value * (1 - value))
    return max(1.0, (_logit(value) - _logit(_least_plausible(steps, confidence))) / reach)


def _least_plausible(steps: _Steps, confidence: float) -> float:
    """The smallest AUC that this one is not too far above, by the spread that the smaller one would have.

    The fifth method of Newcombe (Statistics in Medicine 25 (2006), 559-573), which he recommends. At 20 adult and
    2,000 safe images and an AUC of 0.98 the true value lies below DeLong's interval in 15 of 100 sets, and not below this.
    """
    value, quantile = _area(steps), _quantile(confidence)
    low, high = 0.0, value
    while low < (middle := (low + high) / 2) < high:
        if value - middle > quantile * math.sqrt(_newcombe(middle, steps.adults, steps.safes)):
            low = middle
        else:
            high = middle
    return high


def _newcombe(auc: float, adults: int, safes: int) -> float:
    """The variance of the AUC that such an AUC has by exponential scores (Hanley and McNeil 1982), as Newcombe evens it."""
    others = (adults + safes) / 2 - 1
    return auc * (1 - auc) * (1 + others * ((1 - auc) / (2 - auc) + auc / (1 + auc))) / (adults * safes)


def _delong(steps: _Steps) -> float:
    of_adult = _variance(steps.doubled_below / (2 * steps.safes), steps.adult)
    of_safe = _variance(steps.doubled_above / (2 * steps.adults), steps.safe)
    return of_adult / steps.adults + of_safe / steps.safes


def _says_nothing(steps: _Steps) -> bool:
    """Whether the spread in this set tells nothing of the spread between sets: one image, or all pairs alike."""
    is_one = min(steps.adults, steps.safes) < 2
    are_alike = steps.doubled_wins in (0, 2 * steps.adults * steps.safes) or len(steps.adult) == 1
    return is_one or are_alike


def _pairs(adult: Floats, safe: Floats, confidence: float) -> tuple[float, float]:
    """Bounds for the AUC from as many pairs as share no image, by Clopper and Pearson.

    A pair is won with a probability of at most the AUC, and won or tied with at least that. Who meets whom is drawn.
    """
    generator = np.random.default_rng(_SEED)
    pairs = min(len(adult), len(safe))
    ours, theirs = (generator.permutation(scores)[:pairs] for scores in (adult, safe))
    error = (1 - confidence) / 2
    won, not_lost = int(np.sum(ours > theirs)), int(np.sum(ours >= theirs))
    return lower(won, pairs, error), upper(not_lost, pairs, error)


# --- Average precision ------------------------------------------------------------------------------------------------


def _average_precision(steps: _Steps, confidence: float) -> Interval:
    """The mean, over adult images, of the precision at their score: the sum of (step in recall) * precision, which is
    scikit-learn's `average_precision_score`. What is estimated is that of endless images at this set's mix.

    The variance is the infinitesimal jackknife's (Efron, The jackknife, the bootstrap and other resampling plans, 1982, 6):
    what a bootstrap that draws adult and safe images apart tends to, with no drawing. The interval is normal on the logit
    scale (as Boyd, Eng and Page advise, ECML PKDD 2013, 451-466). It is stretched downwards as that of the AUC is, which
    leans on the same few images: that is our own, and kept for what it does in simulations (tests).

    Where all adult images are above all safe ones the interval is the exact one of `_least_when_perfect`; where the
    variance says nothing otherwise, all that this mix allows.
    """
    value = float(steps.adult @ (steps.found / (steps.found + steps.false))) / steps.adults
    if steps.all_pairs_won:
        return Interval(1.0, _least_when_perfect(steps.adults, steps.safes, 1 - confidence), 1.0)
    if _says_nothing(steps):
        return Interval(value, _least_average_precision(0.0, 1.0, steps.safes / steps.adults), 1.0)
    return _on_logit_scale(value, _jackknife(steps), confidence, _stretch(steps, confidence))


def _jackknife(steps: _Steps) -> float:
    """From the derivative of the average precision by the weight of each image, an image's own precision included."""
    flagged = steps.found + steps.false
    lifted = _from_below(steps.adult * steps.false / flagged**2)
    lowered = _from_below(steps.adult * steps.found / flagged**2) * (steps.safes / steps.adults)
    of_adult = _variance(steps.found / flagged + lifted, steps.adult)
    return of_adult / steps.adults + _variance(lowered, steps.safe) / steps.safes


def _from_below(steps: Floats) -> Floats:
    """Sums over this score and all lower ones: an image counts in the precision at its own score and below."""
    return np.cumsum(steps[::-1])[::-1]


def _least_when_perfect(adults: int, safes: int, error: float) -> float:
    """The average precision that is proved, up to a probability of error / 2, by all adult images being above all safe ones.

    The highest safe score is a threshold that few safe images pass; how few is known from the safe ones, and how many adult
    ones do pass it from the adult ones, with a quarter of the error each: so the other side of the interval has its half.
    """
    false_alarm = upper(0, safes, error / 4)
    found = lower(adults, adults, error / 4)
    return _least_average_precision(found, false_alarm, safes / adults)


def _least_average_precision(found: float, false_alarm: float, safe_per_adult: float) -> float:
    """The least that can be where a threshold has this recall and this share of safe images above it.

    At worst those safe images come first of all, then the adult ones that are found, then all other safe ones: the integral
    of u / (u + k) over the recall u, with k as many safe images for an adult one as have come.
    """
    return _integral(0.0, found, false_alarm * safe_per_adult) + _integral(found, 1.0, safe_per_adult)


def _integral(start: float, end: float, k: float) -> float:
    """Of u / (u + k) from start to end; k > 0."""
    return (end - start) - k * math.log((end + k) / (start + k))


# --- Recall at a share of false alarms --------------------------------------------------------------------------------


def recall(adult: Floats, safe: Floats, false_alarm: float, confidence: float) -> Recall:
    """`adult` (m,) and `safe` (n,) are scores, rising.

    The threshold is the lowest score that no more than `false_alarm` of these safe images are above. The true one, of all
    safe images, lies between two order statistics of these, whatever the distribution (David and Nagaraja, Order
    statistics, 2003, 7.1); the recall at each has Clopper and Pearson's bound. Of the four each may be wrong with a quarter
    of the error, so that together they keep the confidence (Bonferroni).
    """
    error = (1 - confidence) / 4
    takes_safe = fewest_images(false_alarm, error)
    if not len(safe):
        return Recall(false_alarm, None, None, takes_safe)
    threshold = _highest(safe, math.floor(false_alarm * len(safe) + 1e-9))  # 0.29 * 100 is less than 29
    if not len(adult) or len(safe) < takes_safe:
        return Recall(false_alarm, threshold, None, takes_safe)
    strict = _highest(safe, most_errors(len(safe), false_alarm, error))
    lenient = _highest(safe, _fewest_too_many(len(safe), false_alarm, error) - 1)
    found = Interval(
        value=_above(adult, threshold) / len(adult),
        low=lower(_above(adult, strict), len(adult), error),
        high=upper(_above(adult, lenient), len(adult), error),
    )
    return Recall(false_alarm, threshold, found, takes_safe)


def _highest(rising: Floats, above: int) -> float:
    """The score that has `above` others before it, counted from the highest."""
    return float(rising[len(rising) - 1 - above])


def _above(rising: Floats, threshold: float) -> int:
    return len(rising) - int(np.searchsorted(rising, threshold, side="right"))


def _fewest_too_many(of: int, share: float, error: float) -> int:
    """The smallest count that would be reached with a probability of at most `error`; `of` at the most.

    With enough images for a bound on the other side, and a share below a half, `of` itself is such a count.
    """
    low, high = 0, of
    while low < high:
        middle = (low + high) // 2
        if 1.0 - at_most(middle - 1, of, share) <= error:
            high = middle
        else:
            low = middle + 1
    return low


# --- Normal intervals -------------------------------------------------------------------------------------------------


def _variance(values: Floats, counts: Counts) -> float:
    """Of a sample in which values[i] stands counts[i] times, in all at least twice."""
    of = counts.sum()
    mean = counts @ values / of
    return float(counts @ (values - mean) ** 2 / (of - 1))


def _on_logit_scale(value: float, variance: float, confidence: float, stretch: float) -> Interval:
    """For 0 < value < 1. The error of the logit is that of the value times the derivative; downwards, `stretch` times that."""
    centre = _logit(value)
    reach = _quantile(confidence) * math.sqrt(variance) / (value * (1 - value))
    return Interval(value, _logistic(centre - stretch * reach), _logistic(centre + reach))


def _quantile(confidence: float) -> float:
    """How many standard deviations about the mean hold that share of a normal distribution: 1.96 for 0.95."""
    return NormalDist().inv_cdf((1 + confidence) / 2)


def _logit(share: float) -> float:
    return math.log(share / (1 - share))


def _logistic(x: float) -> float:
    return (1 + math.tanh(x / 2)) / 2  # has no overflow
