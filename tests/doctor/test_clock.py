from __future__ import annotations

import sys
from datetime import UTC, datetime

import pytest
from findings import told

from demure.doctor import (
    clock,
)

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)

YESTERDAY = NOW.replace(day=22)
TOLD = "2026-11-23 12:00:00 UTC"
SET = "set the clock, and keep it by chrony"
CLOCKS = {
    "kept": (clock.Clock(NOW, YESTERDAY, is_kept=True), ("ok", f"{TOLD}, kept right by a time server")),
    "not-kept": (
        clock.Clock(NOW, YESTERDAY, is_kept=False),
        (
            "note",
            f"{TOLD}; the kernel knows of nothing that keeps it right",
            "run chrony or systemd-timesyncd, unless the host keeps it: receivers refuse webhooks that are minutes off",
        ),
    ),
    "not-known": (
        clock.Clock(NOW, YESTERDAY, is_kept=None),
        ("ok", f"{TOLD}; whether something keeps it right cannot be known here"),
    ),
    "before-it-was-installed": (
        clock.Clock(YESTERDAY, NOW, is_kept=True),
        ("problem", "2026-11-22 12:00:00 UTC, and demure was installed on 2026-11-23", SET),
    ),
    "far-ahead": (
        clock.Clock(NOW.replace(year=2106), YESTERDAY, is_kept=True),
        ("problem", "2106-11-23 12:00:00 UTC, and demure was installed on 2026-11-22", SET),
    ),
}


@pytest.mark.parametrize(("found", "expected"), CLOCKS.values(), ids=CLOCKS)
def test_clock(found: clock.Clock, expected: tuple[str, ...]):
    assert told(clock.check_clock(found)) == [expected]


def test_the_clock_here_is_after_the_files_were_written_and_the_kernel_answers():
    looked = clock.look()
    assert looked.installed < looked.now
    assert looked.is_kept in (True, False, *([] if sys.platform == "linux" else [None]))
