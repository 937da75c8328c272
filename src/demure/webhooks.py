"""What is sent to the site's endpoints, how it is signed, what its answer means, and when it is sent again. Pure.

Standard Webhooks 1.0.0 (github.com/standard-webhooks/standard-webhooks, spec/standard-webhooks.md).
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime

from standardwebhooks import Webhook

from demure.events import Event
from demure.post import PostLimits

# "Example retry schedule" of the specification, without its first row, which is at once. Seconds from one attempt to the next.
SCHEDULE_S = (5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)
JITTER = 0.1  # of a delay, more or less: who failed together must not come back together
SECRET_BYTES = range(24, 65)  # "Signature scheme": 192 to 512 bits

_PREFIX = "whsec_"
_GONE = 410
_MAX_SECRETS = 2


@dataclass(frozen=True)
class WebhookSettings:
    """Where events go. Two secrets are for the time in which one takes the other's place: both sign."""

    urls: tuple[str, ...] = field(default=(), repr=False)  # one may carry a token
    secrets: tuple[str, ...] = field(default=(), repr=False)
    limits: PostLimits = PostLimits()


@dataclass(frozen=True)
class Message:
    """An event as it is sent: the same id and the same bytes at each attempt."""

    id: str
    body: bytes


@dataclass(frozen=True)
class Failure:
    """Why an attempt failed: a word for the log, a sentence for the operator, and whether there is no use in another."""

    code: str
    message: str
    is_final: bool = False


def to_message(event: Event) -> Message:
    # A database that was begun anew counts from 1 again: the time keeps its ids apart from those that a receiver has seen.
    return Message(f"evt_{event.at_ms}_{event.id}", json.dumps(event.as_dict(), separators=(",", ":")).encode())


def signed_headers(message: Message, secrets: tuple[str, ...], now_ms: int) -> dict[str, str]:
    """The headers of one attempt, with a signature by each secret."""
    now = datetime.fromtimestamp(now_ms // 1000, UTC)
    signatures = [Webhook(secret).sign(message.id, now, message.body.decode()) for secret in secrets]
    return {
        "Content-Type": "application/json",
        "webhook-id": message.id,
        "webhook-timestamp": str(now_ms // 1000),
        "webhook-signature": " ".join(signatures),
    }


def failure_of(status: int) -> Failure | None:
    """None for a 2xx. `410 Gone` says that the receiver wants no more of it, so to ask again would only annoy."""
    if 200 <= status < 300:
        return None
    return Failure(str(status), f"the receiver answered {status}; a 2xx is due", is_final=status == _GONE)


def delay_s(attempts: int, luck: float) -> float | None:
    """How long to wait after so many attempts, the last of which failed; None: no more. `luck` is in [0, 1)."""
    if attempts > len(SCHEDULE_S):
        return None
    return SCHEDULE_S[attempts - 1] * (1 - JITTER + 2 * JITTER * luck)


def check_secrets(secrets: tuple[str, ...]) -> tuple[str, ...]:
    """Raises ValueError, which never shows them."""
    if len(secrets) > _MAX_SECRETS:
        raise ValueError(f"expected one secret, or two while one takes the other's place; found {len(secrets)}")
    if not all(_is_secret(secret) for secret in secrets):
        first, last = SECRET_BYTES[0], SECRET_BYTES[-1]
        raise ValueError(f"expected {_PREFIX} and the base64 of {first} to {last} random bytes, two apart by a comma")
    return secrets


def _is_secret(text: str) -> bool:
    encoded = text.removeprefix(_PREFIX)
    try:
        secret = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except ValueError:
        return False
    return text.startswith(_PREFIX) and len(secret) in SECRET_BYTES
