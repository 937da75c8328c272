"""Whether the wall clock can be right. What is signed, kept and leased goes by it.

No time server is asked: the kernel says whether something keeps its clock (adjtimex(2)).
"""

from __future__ import annotations

import ctypes
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from demure.doctor.finding import Finding, note, ok, problem

CHECK = "clock"
_LATEST_YEAR = 2100
_STA_UNSYNC = 0x40  # linux/timex.h


@dataclass(frozen=True)
class Clock:
    now: datetime
    installed: datetime  # when this program's files were written: it cannot be earlier now
    is_kept: bool | None  # None where that cannot be known


def look() -> Clock:
    installed = Path(__file__).stat().st_mtime
    return Clock(datetime.fromtimestamp(time.time(), UTC), datetime.fromtimestamp(installed, UTC), _is_kept())


def check_clock(clock: Clock) -> Iterator[Finding]:
    told = f"{clock.now:%Y-%m-%d %H:%M:%S} UTC"
    if clock.now < clock.installed or clock.now.year >= _LATEST_YEAR:
        yield problem(
            CHECK,
            f"{told}, and demure was installed on {clock.installed:%Y-%m-%d}",
            "set the clock, and keep it by chrony",
        )
    elif clock.is_kept is None:
        yield ok(CHECK, f"{told}; whether something keeps it right cannot be known here")
    elif clock.is_kept:
        yield ok(CHECK, f"{told}, kept right by a time server")
    else:
        yield note(
            CHECK,
            f"{told}; the kernel knows of nothing that keeps it right",
            "run chrony or systemd-timesyncd, unless the host keeps it: receivers refuse webhooks that are minutes off",
        )


class _Timex(ctypes.Structure):
    """The head of struct timex (adjtimex(2)); the rest is left room for."""

    _fields_ = (
        ("modes", ctypes.c_int),
        ("offset", ctypes.c_long),
        ("frequency", ctypes.c_long),
        ("max_error", ctypes.c_long),
        ("estimated_error", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_long * 32),
    )


def _is_kept() -> bool | None:
    if sys.platform != "linux":
        return None
    told = _Timex()  # modes 0: nothing is set, and nobody needs a right for it
    try:
        state = ctypes.CDLL(None).adjtimex(ctypes.byref(told))
    except AttributeError:
        return None
    return None if state < 0 else not told.status & _STA_UNSYNC
