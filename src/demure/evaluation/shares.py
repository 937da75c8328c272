"""Shares as people read them: in percent, and never rounded to what they are not."""

from __future__ import annotations

import math
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal


def percent(share: float) -> str:
    """As many digits as it takes, so that what is not 0 % or 100 % is not written so."""
    return f"{_hundredths(share)} %"


def given_percent(share: float) -> str:
    """A share that somebody chose, as they wrote it: "95 %", "1.25 %"."""
    return f"{100 * share:.10g} %"


def at_least(share: float) -> str:
    """The lower end of an interval, rounded down to two figures."""
    return _rounded(share, ROUND_FLOOR)


def at_most(share: float) -> str:
    """The upper end, rounded up: a bound that is rounded down is none."""
    return _rounded(share, ROUND_CEILING)


def _hundredths(share: float) -> str:
    edge = min(100 * share, 100 - 100 * share)
    if edge <= 1e-9:  # as far as a share can be told from 0 or 1
        return f"{100 * share:.0f}"
    digits = 1 if edge >= 1 else (1 if edge >= 0.01 else 0) - math.floor(math.log10(edge))
    return f"{100 * share:.{digits}f}"


def _rounded(share: float, rounding: str) -> str:
    """Two figures of the share, or of what it lacks to 100 %."""
    exact = Decimal(repr(round(100 * share, 9)))
    context = Context(prec=2, rounding=rounding)
    if exact > 90:
        away = Context(prec=2, rounding=ROUND_FLOOR if rounding == ROUND_CEILING else ROUND_CEILING)
        return f"{(100 - away.create_decimal(100 - exact)).normalize():f} %"
    return f"{context.create_decimal(exact).normalize():f} %"
