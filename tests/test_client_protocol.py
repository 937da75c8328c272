"""How long is waited, what fits into a batch and what is halved: the client's protocol without a client, and a clock moved by hand."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any

import pytest
from asking import SAFE

from demure.client import Answer, NotReached, Refused, TooSlow, Unavailable
from demure.client.protocol import (
    BATCH_BYTES,
    MOST_BODY_BYTES,
    Flow,
    Load,
    Patience,
    Send,
    Wait,
    moderate,
    moderate_many,
)
from demure.client.protocol import retry_after_s as told_s
from demure.client.request import Reply, Wishes

NOW = 1_790_000_000.0  # 2026-09-21T14:13:20Z
NOTHING = {"id": None, "subject": None, "metadata": None}
AWAY = NotReached("away")


def judged(count: int = 1, **more: object) -> Reply:
    return Reply(200, {}, json.dumps({"items": [{**SAFE, **more}] * count}).encode())


def refused(status: int, code: str, **headers: str) -> Reply:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(status, named, json.dumps({"code": code, "detail": "no"}).encode())


@dataclass
class Driven:
    """A flow's steps, taken by a driver whose clock only moves when it waits, or as long as `takes_s` when it sends."""

    says: Callable[[Send], Reply | Unavailable]
    luck: float = 0.5
    takes_s: float = 0.0
    now: float = 100.0
    steps: list[Any] = field(default_factory=list)

    def patience(self, timeout_s: float = 35, retries: int = 2) -> Patience:
        return Patience(timeout_s, retries, lambda: self.now, lambda: NOW, lambda: self.luck)

    def drive(self, flow: Flow[Any]) -> Any:
        result: object = None
        try:
            while True:
                self.steps.append(step := flow.send(result))
                result = self._take(step)
        except StopIteration as done:
            return done.value

    def _take(self, step: object) -> object:
        match step:
            case Load():
                return step.image
            case Send():
                self.now += self.takes_s
                return self.says(step)
            case Wait():
                self.now += step.seconds
        return None

    @property
    def waits(self) -> list[float]:
        return [step.seconds for step in self.steps if isinstance(step, Wait)]

    @property
    def sent(self) -> list[Send]:
        return [step for step in self.steps if isinstance(step, Send)]

    @property
    def batches(self) -> list[int]:
        """How many images each request had."""
        return [len(items_of(step)) for step in self.sent]

    def one(self, image: bytes = b"x", **patience: Any) -> Answer:
        return self.drive(moderate(image, NOTHING, Wishes(), self.patience(**patience)))

    def many(self, images: Iterable[bytes], **patience: Any) -> list[Answer]:
        return self.drive(moderate_many(images, Wishes(), self.patience(**patience)))


def items_of(step: Send) -> list[Any]:
    is_json = step.request.content_type == "application/json"
    return json.loads(step.request.body)["items"] if is_json else [step.request.body]


def always(reply: Reply | Unavailable) -> Callable[[Send], Reply | Unavailable]:
    return lambda _: reply


# Waits.


@pytest.mark.parametrize(("luck", "share"), [(0.0, 0.5), (0.5, 0.75), (1.0, 1.0)])
def test_waits_double_up_to_eight_seconds_and_are_never_the_same(luck: float, share: float):
    driven = Driven(always(AWAY), luck)
    with pytest.raises(NotReached):
        driven.one(timeout_s=1000, retries=8)
    assert driven.waits == pytest.approx([share * s for s in (0.25, 0.5, 1, 2, 4, 8, 8, 8)])


# Retry-After, the answer's Date, and the wait that they ask for; the clock says NOW.
TOLD = {
    "seconds": ("7", None, 7),
    "none": ("0", None, 0),
    "with white space": (" 7 ", None, 7),
    "more than a float takes": ("9" * 400, None, 999_999_999),
    "a date": (formatdate(NOW + 30, usegmt=True), None, 30),
    "a date by the clock of who answers": (formatdate(NOW + 30, usegmt=True), formatdate(NOW + 20, usegmt=True), 10),
    "a date beside a broken one": (formatdate(NOW + 30, usegmt=True), "today", 30),
    "a date that is past": (formatdate(NOW - 30, usegmt=True), None, 0),
    "the older form of dates": ("Monday, 21-Sep-26 14:13:50 GMT", None, 30),
    "nothing": ("", None, None),
    "words": ("soon", None, None),
    "less than nothing": ("-1", None, None),
    "a fraction": ("1.5", None, None),
    "digits of another script": ("٣", None, None),
    "a date that is none": ("Mon, 99 Sep 2026 14:13:50 GMT", None, None),
    "a year that is none": ("Mon, 21 Sep 99999 14:13:50 GMT", None, None),
}


@pytest.mark.parametrize(("told", "date", "expected"), TOLD.values(), ids=TOLD)
def test_retry_after_is_read_in_both_its_forms(told: str, date: str | None, expected: float | None):
    headers = {"retry-after": told, **({} if date is None else {"date": date})}
    assert told_s(headers, NOW) == expected


@pytest.mark.parametrize("status", [429, 503])
def test_what_the_service_asks_for_is_waited_and_a_little_more(status: int):
    driven = Driven(always(refused(status, "overloaded", retry_after="3")), luck=0.5)
    with pytest.raises(Refused):
        driven.one()
    assert driven.waits == pytest.approx([3.125, 3.125])


# The time for all of it.


def test_each_attempt_has_what_is_left_of_the_time():
    driven = Driven(always(refused(503, "overloaded", retry_after="3")), luck=0, takes_s=2)
    with pytest.raises(Refused):
        driven.one(timeout_s=35, retries=3)
    assert [send.timeout_s for send in driven.sent] == [35, 30, 25, 20]


@pytest.mark.parametrize(("told", "attempts"), [("5", 2), ("6", 1)])
def test_no_wait_is_begun_after_which_no_time_would_be_left(told: str, attempts: int):
    driven = Driven(always(refused(503, "overloaded", retry_after=told)), luck=0, takes_s=4)
    with pytest.raises(Refused, match="overloaded"):
        driven.one(timeout_s=10)
    assert len(driven.sent) == attempts
    assert len(driven.waits) == attempts - 1  # and none before the error is told


def test_a_wait_that_lasted_too_long_is_followed_by_no_attempt():
    driven = Driven(always(AWAY))
    patience = driven.patience(timeout_s=10)
    flow = moderate(b"x", NOTHING, Wishes(), patience)
    assert isinstance(flow.send(None), Load)
    assert isinstance(flow.send(b"x"), Send)
    assert isinstance(flow.send(AWAY), Wait)
    driven.now += 11  # the machine slept
    with pytest.raises(NotReached):
        flow.send(None)


def test_where_the_time_ran_out_it_is_not_asked_again():
    driven = Driven(always(TooSlow("late")), takes_s=35)
    with pytest.raises(TooSlow):
        driven.one()
    assert len(driven.sent) == 1


# Batches.


def test_a_batch_has_eight_images_and_is_sent_before_the_next_one_is_read():
    driven = Driven(lambda step: judged(len(items_of(step))))
    assert len(driven.many([b"x"] * 18)) == 18
    assert driven.batches == [8, 8, 2]
    names = [type(step).__name__ for step in driven.steps]
    assert names == ["Load"] * 9 + ["Send"] + ["Load"] * 8 + ["Send"] + ["Load"] + ["Send"]


@pytest.mark.parametrize(("sizes", "batches"), [([6, 2, 1], [2, 1]), ([6, 3, 1], [1, 2]), ([9, 1, 1], [1, 2])])
def test_a_batch_has_eight_mebibytes_or_one_image(sizes: list[int], batches: list[int]):
    driven = Driven(lambda step: judged(len(items_of(step))))
    driven.many([bytes(size * BATCH_BYTES // 8) for size in sizes])
    assert driven.batches == batches


def test_each_batch_has_the_whole_time():
    driven = Driven(lambda step: judged(len(items_of(step))), takes_s=30)
    assert len(driven.many([b"x"] * 24, timeout_s=35)) == 24
    assert [send.timeout_s for send in driven.sent] == [35, 35, 35]


@pytest.mark.parametrize(
    ("most", "batches"), [(3, [8, 4, 2, 2, 4, 2, 2]), (1, [8, 4, 2, 1, 1, 2, 1, 1, 4, 2, 1, 1, 2, 1, 1])]
)
def test_what_is_too_large_together_is_halved(most: int, batches: list[int]):
    def says(step: Send) -> Reply:
        items = items_of(step)
        if len(items) > most:
            return refused(413, "too_large")
        numbers = [item if isinstance(item, bytes) else item["url"] for item in items]
        found = [{**SAFE, "reason": number} for number in numbers]
        return Reply(200, {}, json.dumps({"items": found}).encode())

    driven = Driven(says)
    urls = [f"https://example.org/{number}" for number in range(8)]
    assert [answer.reason for answer in driven.many(urls)] == urls
    assert driven.batches == batches


def test_one_that_is_too_large_alone_fails_no_other():
    driven = Driven(
        lambda step: refused(413, "too_large") if b"big" in step.request.body else judged(len(items_of(step)))
    )
    images = ["https://example.org/a", "https://example.org/big", "https://example.org/c"]
    answers = driven.many(images)
    assert [answer.reason for answer in answers] == [SAFE["reason"], "too_large", SAFE["reason"]]
    assert [answer.is_unknown for answer in answers] == [False, True, False]


def test_halves_share_the_time_of_the_whole():
    driven = Driven(always(refused(413, "too_large")), takes_s=3)
    with pytest.raises(TooSlow, match="no time"):
        driven.many(["https://example.org/"] * 8, timeout_s=10)
    assert [send.timeout_s for send in driven.sent] == [10, 7, 4, 1]


@pytest.mark.parametrize(("size", "sent"), [(MOST_BODY_BYTES, 1), (MOST_BODY_BYTES + 1, 0)])
def test_a_body_that_the_service_would_not_read_to_its_end_is_not_sent(size: int, sent: int):
    driven = Driven(always(judged()))
    answer = driven.one(bytes(size))
    assert len(driven.sent) == sent
    assert answer.is_safe is bool(sent)
    assert answer.reason == (SAFE["reason"] if sent else "too_large")
