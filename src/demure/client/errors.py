"""Why there is no answer. What is wrong with one image is no error: its Answer is `unknown` and tells.

ClientError
├── Unavailable              no answer of the service came
│   ├── NotReached           not_reached        no connection, a broken one, or a proxy that spoke in its place
│   └── TooSlow              too_slow           the client's own time ran out
├── Refused                  the code of docs/api.md: the service answered, and said no
├── UnexpectedAnswer         unexpected_answer  what answered is not this service, or not a version that is understood
└── InvalidWebhook           invalid_webhook    a request that the service did not sign, or not just now

A tree of its own beside demure.errors: those are what the service says, and each of them has an HTTP status.
"""

from __future__ import annotations


class ClientError(Exception):
    """Base of all. `retryable` says whether the same call may succeed later without a change."""

    code: str
    retryable = False

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class Unavailable(ClientError):
    """Nobody knows whether the image was judged: ask again, a repetition changes nothing."""

    retryable = True


class NotReached(Unavailable):
    code = "not_reached"


class TooSlow(Unavailable):
    """`timeout_s` of the client ran out, with all its attempts and waits."""

    code = "too_slow"


class Refused(ClientError):
    """The service's own no. `request_id` finds the line in its log."""

    def __init__(self, message: str, *, code: str, status: int, retryable: bool, request_id: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.status = status
        self.retryable = retryable
        self.request_id = request_id

    def __str__(self) -> str:
        return f"{self.status} {self.code}: {self.message}"


class UnexpectedAnswer(ClientError):
    code = "unexpected_answer"


class InvalidWebhook(ClientError):
    code = "invalid_webhook"
