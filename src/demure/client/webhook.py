"""Whether a request to the site's endpoint came from the service, and what it tells.

Standard Webhooks 1.0.0 (github.com/standard-webhooks/standard-webhooks, spec/standard-webhooks.md).
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from standardwebhooks import Webhook, WebhookVerificationError

from demure.client import fields
from demure.client.errors import InvalidWebhook
from demure.policy import Outcome

_PREFIX = "whsec_"
_LEAST_BYTES = 24  # "Signature scheme": 192 bits
_NAMES = ("webhook-id", "webhook-timestamp", "webhook-signature")

Headers = Mapping[str, Any] | Iterable[tuple[Any, Any]]


@dataclass(frozen=True)
class Sender:
    """One of those who sent the image, by your own names."""

    id: str | None
    subject: str | None
    metadata: Mapping[str, Any] | None


@dataclass(frozen=True)
class Event:
    """What happened to a review. `type` may be one that this version does not know, with all that it says in `data`.

    The same event can come twice: `message_id` is the same each time. Events can overtake each other: `id` counts up as they
    happened.
    """

    message_id: str
    id: int
    type: str
    timestamp: datetime  # with its zone
    review: str | None = None
    kind: str | None = None  # unknown, check, report or appeal
    sha256: str | None = None
    decision: Outcome | None = None  # the machine's
    verdict: Outcome | None = None  # the person's
    withdrawn: Outcome | None = None  # the verdict that was taken back
    overturned: bool = False
    by: str | None = None
    note: str | None = None
    submissions: tuple[Sender, ...] = ()  # the first hundred
    submissions_total: int | None = None  # how many there were; None where the event does not say it
    data: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


def verify_webhook(body: bytes, headers: Headers, secret: str | Iterable[str]) -> Event:
    """The event, if the service signed it by the secret, or one of several, within the last five minutes.

    `body` is the request's bytes as they came, not parsed and made anew. `headers` is what the framework gives, or a WSGI
    environment; `secret` may be the text of DEMURE_WEBHOOK_SECRETS. Raises InvalidWebhook: answer 400, and believe nothing of it.
    """
    if not isinstance(body, bytes):
        raise TypeError(f"body: found {type(body).__name__}; expected the request's bytes as they came (request.body)")
    webhooks = [_webhook(text) for text in _secrets(secret)]
    if not webhooks:
        raise ValueError("secret: expected at least one")
    found = _found(headers)
    _check(webhooks, body, found)
    try:
        return _read(json.loads(body), found["webhook-id"])
    except (ValueError, AttributeError) as error:
        raise InvalidWebhook(f"it is signed, but no event that is known here: {error}") from error


def _check(webhooks: list[Webhook], body: bytes, headers: dict[str, str]) -> None:
    """Raises InvalidWebhook unless one of them believes it."""
    reason: Exception | None = None
    for webhook in webhooks:
        try:
            webhook.verify(body, headers, json_parse=False)
        except (WebhookVerificationError, ValueError) as error:  # ValueError: a signature or a body that is no text
            reason = error
        else:
            return
    raise InvalidWebhook(f"not verified: {reason}; it is no event of the service, or the secret is another") from reason


def _secrets(secret: str | Iterable[str]) -> list[str]:
    return secret.replace(",", " ").split() if isinstance(secret, str) else [text.strip() for text in secret]


def _webhook(secret: str) -> Webhook:
    encoded = secret.removeprefix(_PREFIX)
    try:
        size = len(base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True))
    except ValueError:
        size = 0
    if encoded == secret or size < _LEAST_BYTES:
        raise ValueError(f"secret: expected {_PREFIX} and the base64 of {_LEAST_BYTES} bytes or more")  # never shown
    return Webhook(secret)


def _found(headers: Headers) -> dict[str, str]:
    """Those of the scheme, whatever case and type a framework gives names and values. WSGI says HTTP_WEBHOOK_ID."""
    pairs = headers.items() if isinstance(headers, Mapping) or hasattr(headers, "items") else headers
    found: dict[str, str] = {}
    for name, value in pairs:
        plain = _text(name).lower()
        if plain.startswith("http_"):
            plain = plain.removeprefix("http_").replace("_", "-")
        if plain in _NAMES:
            found[plain] = _text(value)
    return found


def _text(value: object) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def _read(event: dict[str, Any], message_id: str) -> Event:
    data = fields.inner(event, "data") or {}
    return Event(
        message_id=message_id,
        id=fields.whole(event, "id"),
        type=fields.needed_text(event, "type"),
        timestamp=datetime.fromisoformat(fields.needed_text(event, "timestamp")),
        review=fields.text(data, "review"),
        kind=fields.text(data, "kind"),
        sha256=fields.text(data, "sha256"),
        decision=fields.outcome(data, "decision"),
        verdict=fields.outcome(data, "verdict"),
        withdrawn=fields.outcome(data, "withdrawn"),
        overturned=fields.flag(data, "overturned"),
        by=fields.text(data, "by"),
        note=fields.text(data, "note"),
        submissions=tuple(_sender(sender) for sender in fields.inners(data, "submissions")),
        submissions_total=_total(data),
        data=data,
    )


def _total(data: dict[str, Any]) -> int | None:
    """None from a service that is older, and of a review that expired: there nobody is told of."""
    return None if data.get("submissions_total") is None else fields.whole(data, "submissions_total")


def _sender(sender: dict[str, Any]) -> Sender:
    return Sender(fields.text(sender, "id"), fields.text(sender, "subject"), fields.inner(sender, "metadata"))
