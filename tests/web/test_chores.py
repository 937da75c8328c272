"""What the service sweeps while it runs, and that it does not by a clock that jumped."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpcore2
import pytest
from review_desk import ANNA, House, house_of
from structlog.testing import capture_logs

from demure.reviews import State, Verdict
from demure.telemetry import Metrics
from demure.web.chores import Chores

DAY_S = 86_400


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with house_of(tmp_path) as house:
        yield house


class Service:
    """Its chores, and how long the machine has been up."""

    def __init__(self, house: House) -> None:
        self.house, self.up_s = house, 0.0
        tls = httpcore2.default_ssl_context()
        self.chores = Chores(house.desk, Metrics(), tls, {}, elapsed_s=lambda: self.up_s)

    def pass_s(self, seconds: float) -> None:
        self.house.clock.pass_s(seconds)
        self.up_s += seconds

    def sweep(self) -> list[dict[str, object]]:
        with capture_logs() as logged:
            self.chores.sweep()
        return logged


def test_what_has_had_its_time_is_swept_and_the_log_says_how_much(house):
    service = Service(house)
    review = house.put("a")
    for _ in range(8):
        service.pass_s(DAY_S)
        logged = service.sweep()
    assert house.reviews.get(review.id).state is State.EXPIRED
    assert [line["event"] for line in logged] == ["swept"]


def test_a_clock_that_jumps_ahead_deletes_nothing(house):
    service = Service(house)
    waiting, judged = house.put("a"), house.put("b")
    house.reviews.settle(judged.id, ANNA, Verdict.ADULT, None)
    house.clock.pass_s(400 * DAY_S)
    (line,) = service.sweep()
    assert (line["event"], line["log_level"], line["hours"]) == ("not swept: the clock jumped", "error", 400 * 24)
    house.clock.pass_s(-400 * DAY_S)
    assert [line["event"] for line in service.sweep()] == ["swept"]
    assert house.reviews.get(waiting.id).state is State.OPEN
    assert house.reviews.get(judged.id).verdict is Verdict.ADULT


def test_a_clock_that_was_wrong_at_the_start_sweeps_a_day_after_it_was_set(house):
    """As on a board without a battery: it is behind until the network is there."""
    service = Service(house)
    review = house.put("a")
    house.clock.pass_s(30 * DAY_S)
    assert [line["log_level"] for line in service.sweep()] == ["error"]
    service.pass_s(DAY_S)
    assert [line["event"] for line in service.sweep()] == ["swept"]
    assert house.reviews.get(review.id).state is State.EXPIRED
