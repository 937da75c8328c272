"""Until when an answer is of use. Stages ask between themselves; none is interrupted in the middle."""

from __future__ import annotations

import math
import time

from demure.errors import TimedOut


class Deadline:
    """Passes after some seconds, or when nobody waits any more."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._end = time.monotonic() + seconds

    def cancel(self) -> None:
        """The client has left: the next stage need not begin."""
        self._end = 0.0

    @property
    def remaining_s(self) -> float:
        return max(0.0, self._end - time.monotonic())

    def check(self) -> None:
        """Raises TimedOut once it has passed."""
        if not self.remaining_s:
            raise self.error()

    def error(self) -> TimedOut:
        return TimedOut(f"the answer took longer than {self.seconds:g} s (request_timeout_s); try again later")


NEVER = Deadline(math.inf)
