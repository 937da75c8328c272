"""A wall clock that jumps is not believed before a day has passed. Both clocks are moved by hand."""

from __future__ import annotations

import time

import pytest
from databases import Clock

from demure.steady import Steady, uptime_s

HOUR, DAY = 3600, 86_400
SWEEP_S = 300  # between two questions


class Machine:
    """Its wall clock, and how long it has been up."""

    def __init__(self) -> None:
        self.wall, self.up_s = Clock(), 1000.0
        self.steady = Steady(self.wall, lambda: self.up_s)

    def pass_s(self, seconds: float) -> None:
        """With a question every five minutes. What passes is whole questions long."""
        for _ in range(int(seconds // SWEEP_S)):
            self.wall.pass_s(SWEEP_S)
            self.up_s += SWEEP_S
            self.last_s = self.steady.jump_s()


@pytest.fixture
def machine() -> Machine:
    return Machine()


def test_a_clock_that_goes_on_is_believed(machine):
    for _ in range(3):
        machine.pass_s(10 * DAY)
        assert machine.last_s == 0


@pytest.mark.parametrize(("jump_s", "told_s"), [(HOUR, 0), (HOUR + 1, HOUR + 1), (-HOUR, 0), (-HOUR - 1, -HOUR - 1)])
def test_a_jump_is_more_than_an_hour(machine, jump_s, told_s):
    machine.wall.pass_s(jump_s)
    assert machine.steady.jump_s() == told_s


@pytest.mark.parametrize("age_s", [0, 30 * DAY], ids=["at-the-start", "after-a-month"])
@pytest.mark.parametrize("jump_s", [400 * DAY, -400 * DAY, 2 * HOUR])
def test_a_jump_is_believed_when_the_clock_has_gone_on_for_a_day(machine, age_s, jump_s):
    machine.pass_s(age_s)
    machine.wall.pass_s(jump_s)
    assert machine.steady.jump_s() == jump_s
    machine.pass_s(DAY - SWEEP_S)
    assert machine.last_s == jump_s
    machine.pass_s(SWEEP_S)
    assert machine.last_s == 0
    machine.wall.pass_s(-jump_s)
    assert machine.steady.jump_s() == -jump_s  # it is the clock to hold others against now


def test_a_clock_that_is_set_right_again_is_believed_at_once(machine):
    machine.pass_s(DAY)
    machine.wall.pass_s(400 * DAY)
    machine.pass_s(HOUR)
    assert machine.last_s == 400 * DAY
    machine.wall.pass_s(-400 * DAY)
    assert machine.steady.jump_s() == 0


def test_a_clock_that_keeps_jumping_is_not_believed(machine):
    for _ in range(10):
        machine.wall.pass_s(5 * HOUR)
        machine.pass_s(DAY - HOUR)
        assert machine.last_s > HOUR


def test_a_clock_that_drifts_is_followed(machine):
    """Ten minutes a day."""
    for _ in range(30):
        machine.wall.pass_s(600)
        machine.pass_s(DAY)
        assert machine.last_s == 0


def test_the_clock_that_nobody_sets_goes_on():
    before, by_python = uptime_s(), time.monotonic()
    time.sleep(0.02)
    assert uptime_s() - before >= 0.02
    assert uptime_s() >= by_python  # the time asleep is in it as well
