"""The answer for one image, as the service gives it, or in place of one that did not come."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from demure.client import fields
from demure.client.errors import ClientError, UnexpectedAnswer
from demure.errors import by_code
from demure.policy import Outcome

_RETRYABLE = {"not_reached", "rate_limited", "too_slow"}  # beside those of demure.errors


@dataclass(frozen=True)
class Media:
    """What the file is; width and height in pixels, upright. Of `frames`, `sampled` were judged."""

    type: str | None
    width: int
    height: int
    frames: int
    sampled: int
    worst_frame: int


@dataclass(frozen=True)
class Ticket:
    """The place in the queue that an image has: its review's id, and `open` or `escalated`."""

    id: str
    state: str


@dataclass(frozen=True)
class Fault:
    """Why an image could not be judged: a code of docs/api.md or of a ClientError, and words that are safe to show."""

    code: str
    message: str

    @property
    def retryable(self) -> bool:
        """Whether the same image may be judged later. Of a status that a host answered, nobody knows: no."""
        known = by_code().get(self.code)
        return self.code in _RETRYABLE if known is None else known.retryable


@dataclass(frozen=True)
class Answer:
    """What the service says of one image. Treat `unknown` as "a person must look", never as safe.

    `scores` and `witnesses` are None where none could be made. `raw` is the whole item as it came, with fields that this
    version does not know.
    """

    decision: Outcome
    reason: str
    score: float | None = None  # to sort by, in [0, 1]
    scores: Mapping[str, float] | None = None
    witnesses: Mapping[str, float] | None = None
    id: str | None = None
    sha256: str | None = None
    media: Media | None = None
    remembered: bool = False  # a person decided it
    review: Ticket | None = None
    error: Fault | None = None
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def is_adult(self) -> bool:
        return self.decision is Outcome.ADULT

    @property
    def is_safe(self) -> bool:
        return self.decision is Outcome.SAFE

    @property
    def is_unknown(self) -> bool:
        return self.decision is Outcome.UNKNOWN

    @classmethod
    def from_dict(cls, item: Mapping[str, Any]) -> Answer:
        """From an element of the service's `items`, or `Screening.as_dict()`. Raises UnexpectedAnswer, which names the field."""
        try:
            return cls._read(item)
        except fields.WrongField as error:
            raise UnexpectedAnswer(f"the answer's {error}; is the service of another version?") from error

    @classmethod
    def undecided(cls, error: ClientError, id: str | None = None) -> Answer:
        """`unknown` for an image whose answer did not come: to be held, or to be asked again."""
        fault = {"code": error.code, "message": error.message}
        return cls.from_dict({"id": id, "decision": str(Outcome.UNKNOWN), "reason": error.code, "error": fault})

    @classmethod
    def _read(cls, item: Mapping[str, Any]) -> Answer:
        fields.needed_text(item, "decision")
        return cls(
            decision=fields.outcome(item, "decision") or Outcome.UNKNOWN,
            reason=fields.needed_text(item, "reason"),
            score=fields.number(item, "score"),
            scores=fields.numbers(item, "scores"),
            witnesses=fields.numbers(item, "witnesses"),
            id=fields.text(item, "id"),
            sha256=fields.text(item, "sha256"),
            media=_media(fields.inner(item, "media")),
            remembered=fields.flag(item, "remembered"),
            review=_ticket(fields.inner(item, "review")),
            error=_fault(fields.inner(item, "error")),
            raw=item,
        )


def _media(facts: dict[str, Any] | None) -> Media | None:
    if facts is None:
        return None
    sizes = {name: fields.whole(facts, name) for name in ("width", "height", "frames", "sampled", "worst_frame")}
    return Media(fields.text(facts, "type"), **sizes)


def _ticket(facts: dict[str, Any] | None) -> Ticket | None:
    return None if facts is None else Ticket(fields.needed_text(facts, "id"), fields.needed_text(facts, "state"))


def _fault(facts: dict[str, Any] | None) -> Fault | None:
    return None if facts is None else Fault(fields.needed_text(facts, "code"), fields.text(facts, "message") or "")
