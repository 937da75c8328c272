"""What the service signs is believed and read, whatever hands the request over; nothing else is believed."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from email.message import Message as MailHeaders
from typing import Any

import flask
import pytest
from standardwebhooks import Webhook
from starlette.datastructures import Headers as StarletteHeaders
from werkzeug.test import EnvironBuilder

from demure.client import InvalidWebhook, Outcome, Sender, verify_webhook
from demure.events import Event
from demure.webhooks import signed_headers, to_message

NEW, OLD, STRANGE = ("whsec_" + base64.b64encode(letter * 32).decode() for letter in (b"n", b"o", b"s"))
DATA = {
    "review": "6e0f",
    "kind": "check",
    "sha256": "14e9",
    "decision": "safe",
    "verdict": "adult",
    "withdrawn": None,
    "overturned": True,
    "by": "user:anna",
    "note": "ü",
    "submissions": [
        {"id": "post-7", "subject": "user-3", "metadata": {"board": "cats"}},
        {"id": None, "subject": None, "metadata": None},
    ],
    "submissions_total": 2,
    "colour": "new",
}
EVENT = Event(57, "review.settled", 1_790_000_000_123, DATA)
AT = datetime(2026, 9, 21, 14, 13, 20, 123_000, UTC)


def signed(event: Event = EVENT, *secrets: str, ago_s: float = 0) -> tuple[bytes, dict[str, str]]:
    """As the service sends it, so long ago."""
    message = to_message(event)
    return message.body, signed_headers(message, secrets or (NEW,), int((time.time() - ago_s) * 1000))


def signed_text(text: str) -> tuple[bytes, dict[str, str]]:
    """Whatever it is, with the service's secret."""
    now = datetime.now(UTC)
    signature = Webhook(NEW).sign("evt_1", now, text)
    headers = {"webhook-id": "evt_1", "webhook-timestamp": str(int(now.timestamp())), "webhook-signature": signature}
    return text.encode(), headers


def test_an_event_is_read_whole():
    body, headers = signed()
    event = verify_webhook(body, headers, NEW)
    assert (event.id, event.type, event.timestamp) == (57, "review.settled", AT)
    assert event.message_id == headers["webhook-id"]
    assert (event.review, event.kind, event.sha256, event.by, event.note) == ("6e0f", "check", "14e9", "user:anna", "ü")
    assert (event.decision, event.verdict, event.withdrawn) == (Outcome.SAFE, Outcome.ADULT, None)
    assert event.overturned
    assert event.submissions == (Sender("post-7", "user-3", {"board": "cats"}), Sender(None, None, None))
    assert event.submissions_total == 2
    assert event.data["colour"] == "new"


OTHERS = {
    "undone": ("review.undone", {"review": "6e0f", "verdict": None, "withdrawn": "adult", "submissions": []}),
    "escalated": ("review.escalated", {**DATA, "verdict": None}),
    "expired, which says little": ("review.expired", {"review": "6e0f", "sha256": "14e9"}),
    "one of the future": ("review.assigned", {"review": "6e0f", "to": "anna"}),
    "one of the future about no review": ("policy.changed", {"policy": "strict"}),
}


@pytest.mark.parametrize(("type", "data"), OTHERS.values(), ids=OTHERS)
def test_other_types_are_read_as_far_as_they_go(type: str, data: dict[str, Any]):
    body, headers = signed(Event(58, type, 1_790_000_000_123, data))
    event = verify_webhook(body, headers, NEW)
    assert (event.type, event.review, event.verdict) == (type, data.get("review"), None)
    assert event.withdrawn == (Outcome.ADULT if type == "review.undone" else None)
    assert event.data == data


def test_of_more_than_a_hundred_senders_it_is_known_how_many_there_were():
    senders = [{"id": f"post-{number}", "subject": None, "metadata": None} for number in range(100)]
    data = {**DATA, "submissions": senders, "submissions_total": 4821}
    event = verify_webhook(*signed(Event(58, "review.settled", 1_790_000_000_123, data)), NEW)
    assert (len(event.submissions), event.submissions_total) == (100, 4821)


def test_an_older_service_does_not_say_how_many_sent_it():
    data = {name: value for name, value in DATA.items() if name != "submissions_total"}
    event = verify_webhook(*signed(Event(58, "review.settled", 1_790_000_000_123, data)), NEW)
    assert (len(event.submissions), event.submissions_total) == (2, None)


# Secrets.

BELIEVED = {
    "the one": (NEW, (NEW,)),
    "with the line's end": (f" {NEW}\n", (NEW,)),
    "with the line's end, in a list": ([f" {NEW}\n"], (NEW,)),
    "one of two that we know": ([OLD, NEW], (NEW,)),
    "one of two, as the service's own setting": (f"{OLD},{NEW}", (NEW,)),
    "one of two that signed": (OLD, (NEW, OLD)),
}


@pytest.mark.parametrize(("ours", "theirs"), BELIEVED.values(), ids=BELIEVED)
def test_one_secret_in_common_is_enough(ours: str | list[str], theirs: tuple[str, ...]):
    body, headers = signed(EVENT, *theirs)
    assert verify_webhook(body, headers, ours).id == 57


BAD_SECRETS = {
    "none": "",
    "no list": [],
    "without its beginning": NEW.removeprefix("whsec_"),
    "no base64": "whsec_****",
    "too short": "whsec_" + base64.b64encode(bytes(23)).decode(),
    "nothing after its beginning": "whsec_",
    "one of them": [NEW, "secret"],
}


@pytest.mark.parametrize("secret", BAD_SECRETS.values(), ids=BAD_SECRETS)
def test_a_secret_that_is_none_is_a_mistake_of_the_caller_and_not_shown(secret: str | list[str]):
    body, headers = signed()
    with pytest.raises(ValueError, match="^secret: expected") as caught:
        verify_webhook(body, headers, secret)
    assert NEW.removeprefix("whsec_") not in str(caught.value)


# What frameworks hand over.


def mail_headers(headers: dict[str, str]) -> MailHeaders:
    """As http.server has them."""
    message = MailHeaders()
    for name, value in headers.items():
        message[name] = value
    return message


HANDED_OVER: dict[str, Callable[[dict[str, str]], Any]] = {
    "a dict": dict,
    "in capitals": lambda headers: {name.upper(): value for name, value in headers.items()},
    "Werkzeug and Flask": lambda headers: flask.Request(EnvironBuilder(headers=headers).get_environ()).headers,
    "WSGI, as Django's META": lambda headers: EnvironBuilder(headers=headers).get_environ(),
    "Starlette and FastAPI": StarletteHeaders,
    "ASGI": lambda headers: [(name.lower().encode(), value.encode()) for name, value in headers.items()],
    "http.server": mail_headers,
}


@pytest.mark.parametrize("handed", HANDED_OVER.values(), ids=HANDED_OVER)
def test_headers_are_found_in_whatever_holds_them(handed: Callable[[dict[str, str]], Any]):
    body, headers = signed()
    assert verify_webhook(body, handed(headers), NEW).message_id == headers["webhook-id"]


def test_a_header_whose_name_only_looks_like_one_is_none():
    body, headers = signed()
    with pytest.raises(InvalidWebhook):
        verify_webhook(body, {name.replace("-", "_"): value for name, value in headers.items()}, NEW)


@pytest.mark.parametrize("body", ["{}", {"id": 57}, None, bytearray(b"{}")])
def test_a_body_that_is_not_the_bytes_as_they_came_is_a_mistake_of_the_caller(body: Any):
    with pytest.raises(TypeError, match="the request's bytes as they came"):
        verify_webhook(body, signed()[1], NEW)


# What is not believed. Each row changes the body, the headers, or both.

Change = Callable[[bytes, dict[str, str]], tuple[bytes, dict[str, str]]]


def with_header(name: str, value: str | None) -> Change:
    return lambda body, headers: (body, {k: v for k, v in {**headers, name: value}.items() if v is not None})


FORGED: dict[str, Change] = {
    "another body": lambda body, headers: (body.replace(b'"adult"', b'"safe"'), headers),
    "the same JSON, made anew": lambda body, headers: (json.dumps(json.loads(body)).encode(), headers),
    "another id": with_header("webhook-id", "evt_2"),
    "another time": lambda body, headers: (
        body,
        {**headers, "webhook-timestamp": str(int(headers["webhook-timestamp"]) + 1)},
    ),
    "no id": with_header("webhook-id", None),
    "no time": with_header("webhook-timestamp", None),
    "no signature": with_header("webhook-signature", None),
    "no header at all": lambda body, _: (body, {}),
    "a time that is none": with_header("webhook-timestamp", "today"),
    "a time that is no number": with_header("webhook-timestamp", "nan"),
    "an endless time": with_header("webhook-timestamp", "inf"),
    "a signature without a version": with_header("webhook-signature", "AAAA"),
    "a signature that is no base64": with_header("webhook-signature", "v1,A"),
    "a signature in other letters": with_header("webhook-signature", "v1,ü"),
    "a signature of nothing": with_header("webhook-signature", "v1,"),
    "a version of the future": lambda body, headers: (
        body,
        {**headers, "webhook-signature": headers["webhook-signature"].replace("v1,", "v2,")},
    ),
    "a body that is no text": lambda body, headers: (b"\xff" + body, headers),
    "no body": lambda _, headers: (b"", headers),
}


@pytest.mark.parametrize("change", FORGED.values(), ids=FORGED)
def test_what_the_service_did_not_sign_is_not_believed(change: Change):
    with pytest.raises(InvalidWebhook, match="not verified") as caught:
        verify_webhook(*change(*signed()), NEW)
    assert (caught.value.code, caught.value.retryable) == ("invalid_webhook", False)


def test_what_a_stranger_signed_is_not_believed():
    body, headers = signed(EVENT, STRANGE)
    for ours in (NEW, [NEW, OLD]):
        with pytest.raises(InvalidWebhook):
            verify_webhook(body, headers, ours)


@pytest.mark.parametrize("ago_s", [400, -400])
def test_an_event_of_another_time_is_not_believed_again(ago_s: int):
    """Five minutes either way; who hands over a request takes some seconds of them."""
    body, headers = signed(ago_s=ago_s)
    with pytest.raises(InvalidWebhook, match="too (old|new)"):
        verify_webhook(body, headers, NEW)
    body, headers = signed(ago_s=ago_s / 2)
    assert verify_webhook(body, headers, NEW).id == 57


STRANGE_EVENTS = {
    "no JSON": "hello",
    "no object": "[]",
    "no id": '{"type": "a", "timestamp": "2026-09-21T14:13:20Z", "data": {}}',
    "an id in words": '{"id": "57", "type": "a", "timestamp": "2026-09-21T14:13:20Z"}',
    "no type": '{"id": 57, "timestamp": "2026-09-21T14:13:20Z"}',
    "no time": '{"id": 57, "type": "a"}',
    "a time that is none": '{"id": 57, "type": "a", "timestamp": "today"}',
    "data that are a list": '{"id": 57, "type": "a", "timestamp": "2026-09-21T14:13:20Z", "data": [1]}',
    "a verdict of the future": '{"id": 57, "type": "a", "timestamp": "2026-09-21T14:13:20Z", "data": {"verdict": "perhaps"}}',
    "a number of senders in words": '{"id": 57, "type": "a", "timestamp": "2026-09-21T14:13:20Z", "data": {"submissions_total": "2"}}',
    "senders that are none": '{"id": 57, "type": "a", "timestamp": "2026-09-21T14:13:20Z", "data": {"submissions": ["a"]}}',
}


@pytest.mark.parametrize("text", STRANGE_EVENTS.values(), ids=STRANGE_EVENTS)
def test_what_is_signed_and_not_understood_is_an_error_that_says_where(text: str):
    with pytest.raises(InvalidWebhook, match="it is signed, but"):
        verify_webhook(*signed_text(text), NEW)
