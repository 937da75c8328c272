from __future__ import annotations

import math

import pytest

from demure.deadline import NEVER, Deadline
from demure.errors import TimedOut


def test_a_deadline_that_lies_ahead_lets_pass():
    deadline = Deadline(3600)
    deadline.check()
    assert 3000 < deadline.remaining_s <= 3600


@pytest.mark.parametrize("cancelled", [True, False])
def test_one_that_passed_or_was_cancelled_does_not(cancelled: bool):
    deadline = Deadline(60 if cancelled else 0)
    if cancelled:
        deadline.cancel()
    assert deadline.remaining_s == 0
    with pytest.raises(TimedOut, match=r"request_timeout_s"):
        deadline.check()


def test_never_never_passes():
    NEVER.check()
    assert NEVER.remaining_s == math.inf
