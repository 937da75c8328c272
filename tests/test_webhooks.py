"""A message is signed so that the scheme's own library believes it, by either secret, and says the same each time."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from demure.events import Event
from demure.webhooks import delay_s, failure_of, signed_headers, to_message

NEW, OLD, STRANGE = ("whsec_" + base64.b64encode(letter * 32).decode() for letter in (b"n", b"o", b"s"))
# 1,790,000,000 s are 20,717 days, 14:13:20. 56 years with 14 leap days are 20,454, to the first of January 2026; the 264th day
# of that year is the 21st of September.
EVENT = Event(7, "review.settled", 1_790_000_000_123, {"review": "r1", "verdict": "adult", "name": "ü\ud800"})


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def test_the_body_is_the_event_as_the_feed_has_it():
    assert json.loads(to_message(EVENT).body) == {
        "id": 7,
        "type": "review.settled",
        "timestamp": "2026-09-21T14:13:20.123Z",
        "data": {"review": "r1", "verdict": "adult", "name": "ü\ud800"},
    }
    assert to_message(EVENT).body.isascii()


def test_a_message_is_the_same_each_time_and_differs_from_all_others():
    assert to_message(EVENT) == to_message(Event(**vars(EVENT)))
    others = [Event(8, EVENT.type, EVENT.at_ms, EVENT.data), Event(7, EVENT.type, EVENT.at_ms + 1, EVENT.data)]
    assert len({to_message(event).id for event in [EVENT, *others]}) == 3
    assert "." not in to_message(EVENT).id  # "Signature scheme": full stops part what is signed


@pytest.mark.parametrize(("secrets", "believers"), [((NEW,), [NEW]), ((NEW, OLD), [NEW, OLD])])
def test_the_schemes_own_library_believes_it_by_each_secret(secrets: tuple[str, ...], believers: list[str]):
    message = to_message(EVENT)
    headers = signed_headers(message, secrets, now_ms())
    for secret in believers:
        assert Webhook(secret).verify(message.body, headers) == EVENT.as_dict()
    with pytest.raises(WebhookVerificationError):
        Webhook(STRANGE).verify(message.body, headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(NEW).verify(message.body.replace(b"adult", b"safe"), headers)
    assert len(headers["webhook-signature"].split(" ")) == len(secrets)


def test_a_signature_is_the_one_that_the_specification_describes():
    message = to_message(EVENT)
    headers = signed_headers(message, (NEW,), 1_790_000_300_999)
    assert headers["webhook-timestamp"] == "1790000300"  # whole seconds
    signed = f"{headers['webhook-id']}.1790000300.".encode() + message.body
    expected = base64.b64encode(hmac.digest(b"n" * 32, signed, hashlib.sha256)).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"


@pytest.mark.parametrize("status", [200, 201, 204, 299])
def test_a_2xx_is_success(status: int):
    assert failure_of(status) is None


@pytest.mark.parametrize("status", [100, 101, 199, 300, 301, 304, 308, 400, 404, 429, 500, 503, 599])
def test_all_else_is_a_failure_that_is_tried_again(status: int):
    failure = failure_of(status)
    assert failure is not None
    assert str(status) in failure.message
    assert not failure.is_final


def test_gone_is_a_failure_for_good():
    failure = failure_of(410)
    assert failure is not None
    assert failure.is_final


# "Deliverability and reliability", the example schedule: what it gives as time since start.
SINCE_START = [
    "00:00:05",
    "00:05:05",
    "00:35:05",
    "02:35:05",
    "07:35:05",
    "17:35:05",
    "31:35:05",
    "51:35:05",
    "75:35:05",
]


def test_the_schedule_is_the_specifications_example():
    total = 0.0
    for attempts, since_start in enumerate(SINCE_START, start=1):
        hours, minutes, seconds = map(int, since_start.split(":"))
        total += delay_s(attempts, luck=0.5) or 0
        assert total == pytest.approx(hours * 3600 + minutes * 60 + seconds)
    assert delay_s(10, luck=0.5) is None
    assert delay_s(11, luck=0.5) is None


def test_no_two_delays_need_be_the_same():
    assert delay_s(2, luck=0) == pytest.approx(300 * 0.9)
    assert delay_s(2, luck=0.999999) == pytest.approx(300 * 1.1, rel=1e-5)
