"""Whether the wall clock can be believed, before something is deleted by it. It is held against a clock that nobody sets.

A jump is not believed at once, for what is deleted does not come back. It is believed after a day without another: a clock that
was wrong until NTP had set it, or a machine that was asleep, is right afterwards, and what has had its time must go.
"""

from __future__ import annotations

import time
from collections.abc import Callable

MAX_JUMP_S = 3600.0
BELIEVED_S = 86_400.0

# Goes on while the machine is suspended: so does CLOCK_MONOTONIC, but under Linux.
_UNSET_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def uptime_s() -> float:
    return time.clock_gettime(_UNSET_CLOCK)


class Steady:
    """Takes the wall clock for right as it finds it."""

    def __init__(self, now_ms: Callable[[], int], elapsed_s: Callable[[], float] = uptime_s) -> None:
        self._now_ms, self._elapsed_s = now_ms, elapsed_s
        self._believed_s = self._seen_s = self._offset_s()
        self._since_s = elapsed_s()

    def jump_s(self) -> float:
        """How far the wall clock has jumped, ahead or (below 0) back; 0 where it has not, or that is a day ago. To be asked
        often: a jump is known by the question before it."""
        offset_s = self._offset_s()
        if abs(offset_s - self._seen_s) > MAX_JUMP_S:
            self._seen_s, self._since_s = offset_s, self._elapsed_s()
        if self._elapsed_s() - self._since_s >= BELIEVED_S:
            self._believed_s = self._seen_s = offset_s  # and so a clock that drifts is followed
        jump_s = offset_s - self._believed_s
        return jump_s if abs(jump_s) > MAX_JUMP_S else 0.0

    def _offset_s(self) -> float:
        return self._now_ms() / 1000 - self._elapsed_s()
