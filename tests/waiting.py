"""Waits for what should happen, however slow the machine is: a test that waits too short fails where nothing is wrong."""

from __future__ import annotations

import time
from collections.abc import Callable

PATIENCE_S = 120.0


def wait_until(holds: Callable[[], object], what: Callable[[], object] = lambda: "it did not happen") -> None:
    """Returns as soon as it holds. If it does not for two minutes, fails with what `what` says then."""
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline, what()
        time.sleep(0.01)
