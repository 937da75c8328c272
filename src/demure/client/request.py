"""Images and wishes to the body of a request to /v1/moderate, and what comes back to answers. Pure."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from demure.client.answer import Answer
from demure.client.errors import ClientError, NotReached, Refused, UnexpectedAnswer

PATH = "/v1/moderate"
# What the service may answer otherwise later (demure.errors: retryable); proxies mean the same by them (RFC 9110, 15.5 and 15.6).
_RETRYABLE = {429, 502, 503, 504, 507}
_PASSING = {429, 502, 503, 504}  # and what is over so soon that waiting for it makes sense: a full disk is not


@dataclass(frozen=True)
class Item:
    """One image: its bytes or its URL, and what is said of it alone."""

    source: bytes | str = field(repr=False)
    id: str | None = None
    subject: str | None = None
    metadata: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Wishes:
    """What is asked for all images alike."""

    policy: str | None = None
    context: str | None = None
    review: bool = False


@dataclass(frozen=True)
class Request:
    """A POST. `target` is the path with its query."""

    target: str
    content_type: str
    body: bytes = field(repr=False)


@dataclass(frozen=True)
class Reply:
    """Header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)


def to_request(items: Sequence[Item], wishes: Wishes) -> Request:
    """The bytes alone where that is enough: base64 is a third more, and the service holds it three times.

    Not where a subject is named: queries stand in the logs of proxies, and a person's name should not.
    """
    if len(items) == 1 and isinstance(items[0].source, bytes) and not (items[0].subject or items[0].metadata):
        return _plain(items[0].source, items[0].id, wishes)
    return _json(items, wishes)


def is_passing(reply: Reply) -> bool:
    """Whether the same is worth asking again within seconds."""
    return reply.status in _PASSING


def error_of(reply: Reply) -> ClientError | None:
    """None for the answer that was asked for."""
    if reply.status == 200:
        return None
    problem = _parsed(reply.body)
    if isinstance(problem, dict) and isinstance(code := problem.get("code"), str):
        detail, request_id = str(problem.get("detail", "")), reply.headers.get("x-request-id")
        retryable = reply.status in _RETRYABLE
        return Refused(detail, code=code, status=reply.status, retryable=retryable, request_id=request_id)
    if reply.status == 413:
        # Proxies have limits of their own (nginx: 1 MB unless client_max_body_size says more).
        too_large = "the request's body is larger than a proxy before the service takes; raise its limit"
        return Refused(too_large, code="too_large", status=413, retryable=False)
    if reply.status in _RETRYABLE:
        return NotReached(f"the answer is {reply.status}, and not the service's own: a proxy cannot reach it")
    if 300 <= reply.status < 400:
        place = reply.headers.get("location", "").partition("?")[0][:200]
        return UnexpectedAnswer(
            f"the answer is a redirect to {place!r}, which is not followed: the key would go along; "
            "if that is the service, give its URL to the client"
        )
    return UnexpectedAnswer(f"the answer is {reply.status} and not the service's own; is this its URL?")


def read_answers(reply: Reply, count: int) -> list[Answer]:
    """One for each image that was sent. Raises UnexpectedAnswer."""
    answer = _parsed(reply.body)
    items = answer.get("items") if isinstance(answer, dict) else None
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise UnexpectedAnswer("the answer has no list of items; is this the URL of the service?")
    if len(items) != count:
        raise UnexpectedAnswer(f"the answer has {len(items)} items, and {count} images were sent")
    return [Answer.from_dict(item) for item in items]


def _plain(image: bytes, id: str | None, wishes: Wishes) -> Request:
    review = "true" if wishes.review else None
    given = _without_none({"policy": wishes.policy, "context": wishes.context, "id": id, "review": review})
    query = urlencode(given, errors="replace")  # a file's name may hold what is no text
    return Request(f"{PATH}?{query}" if query else PATH, "application/octet-stream", image)


def _json(items: Sequence[Item], wishes: Wishes) -> Request:
    asked = _without_none({"policy": wishes.policy, "review": wishes.review or None})
    asked["items"] = [_item(item, wishes.context) for item in items]
    text = json.dumps(asked, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return Request(PATH, "application/json", text.encode(errors="replace"))


def _item(item: Item, context: str | None) -> dict[str, Any]:
    source = {"url": item.source} if isinstance(item.source, str) else {"base64": b64encode(item.source).decode()}
    told = {"id": item.id, "context": context, "subject": item.subject, "metadata": item.metadata}
    return {**source, **_without_none(told)}


def _without_none(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _parsed(body: bytes) -> Any:
    """None for what is no JSON."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None
