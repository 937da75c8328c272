"""How sure is a share that was counted? Exact bounds for a binomial proportion, with no approximation and no library.

The bounds are Clopper and Pearson's, "The use of confidence or fiducial limits illustrated in the case of the binomial",
Biometrika 26 (1934), 404-413. The tail of a binomial is the regularised incomplete beta function (NIST DLMF 8.17.5), taken from
its continued fraction (DLMF 8.17.22) by Lentz's method.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

CONFIDENCE = 0.95
_TINY = 1e-300
_STEPS = 200  # of bisection: as far as float64 goes
_TERMS = 100_000  # of the fraction; it takes about the root of the number of images


@dataclass(frozen=True)
class Rate:
    """`count` of `of` images, and the interval, in [0, 1], in which the true share lies with the confidence asked for."""

    count: int
    of: int
    low: float
    high: float

    @property
    def share(self) -> float | None:
        """In [0, 1]; None of nothing."""
        return self.count / self.of if self.of else None


def rate(count: int, of: int, confidence: float = CONFIDENCE) -> Rate:
    """A share with its two-sided interval. Of nothing it may be anything."""
    each_side = (1 - confidence) / 2
    return Rate(count, of, lower(count, of, each_side), upper(count, of, each_side))


def upper(count: int, of: int, error: float) -> float:
    """The largest share under which `count` or fewer of `of` come with a probability of at least `error`."""
    if count >= of:
        return 1.0
    return _crossing(lambda share: at_most(count, of, share) - error)


def lower(count: int, of: int, error: float) -> float:
    """The smallest share under which `count` or more of `of` come with a probability of at least `error`."""
    return 0.0 if count <= 0 else 1.0 - upper(of - count, of, error)


def at_most(count: int, of: int, share: float) -> float:
    """The probability of `count` or fewer of `of`, each with the probability `share`."""
    if count >= of or share <= 0.0:
        return 1.0
    if count < 0 or share >= 1.0:
        return 0.0
    return _incomplete_beta(of - count, count + 1, 1.0 - share, share)


def none_of(of: int, share: float) -> float:
    """The probability of none, each with the probability `share` in [0, 1)."""
    return math.exp(of * math.log1p(-share))


def most_errors(of: int, share: float, error: float) -> int:
    """The largest count that still proves, up to a probability of `error`, a true share of at most `share`; -1 if none does.

    That is the largest with P(Binomial(of, share) <= count) <= error; `share` and `error` in (0, 1).
    """
    if not _proves(0, of, share, error):
        return -1
    low, high = 0, of - 1
    while low < high:
        middle = (low + high + 1) // 2
        if _proves(middle, of, share, error):
            low = middle
        else:
            high = middle - 1
    return low


def fewest_images(share: float, error: float, errors: int = 0) -> int:
    """How many it takes, so many of them wrong, to prove a true share of at most `share`: 598 for 0.005, 0.05 and none.

    `share` and `error` in (0, 1).
    """
    low, high = errors, errors + 1  # so few prove nothing, so many may
    while not _proves(errors, high, share, error):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if _proves(errors, middle, share, error) else (middle, high)
    return high


def _proves(errors: int, of: int, share: float, error: float) -> bool:
    return (at_most(errors, of, share) if errors else none_of(of, share)) <= error


def _crossing(falling: Callable[[float], float]) -> float:
    """Where a falling function of [0, 1] meets 0, from above."""
    low, high = 0.0, 1.0
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        if falling(middle) >= 0:
            low = middle
        else:
            high = middle
    return high


def _incomplete_beta(a: float, b: float, x: float, y: float) -> float:
    """I_x(a, b) for a, b > 0 and 0 < x < 1; y is 1 - x, which a caller may know to more digits than x tells."""
    # The fraction runs quickly on one side of the mean only.
    if x > (a + 1) / (a + b + 2):
        return 1.0 - _incomplete_beta(b, a, y, x)
    front = a * math.log(x) + b * math.log(y) - math.log(a) - _log_beta(a, b)
    return math.exp(front) / _fraction(a, b, x)


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)


def _fraction(a: float, b: float, x: float) -> float:
    """1 + d1/(1 + d2/(1 + …)) of DLMF 8.17.22."""
    c, d = 1.0, 0.0
    value = 1.0
    for term in range(1, _TERMS):
        m, odd = divmod(term, 2)
        if odd:
            step = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        else:
            step = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        d = 1.0 / ((1.0 + step * d) or _TINY)
        c = (1.0 + step / c) or _TINY
        value *= c * d
        if abs(c * d - 1.0) < 1e-15:
            return value
    raise ArithmeticError(f"the incomplete beta function of {a}, {b}, {x} does not converge")
