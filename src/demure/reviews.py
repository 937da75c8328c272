"""What may happen to an item in the queue, and what it is called. Pure: who stores it and who asks is not known here.

open ──settle──▶ settled ──undo──▶ open          a verdict, and a few minutes to take it back
  ├──claim, skip──▶ open                         a lease that ends by itself; an item passed on to somebody else
  ├──escalate──▶ escalated ──release──▶ open     hidden and frozen until an admin says otherwise
  └──expire──▶ expired                           nobody judged it while there was a picture to show
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from demure.checks import Draw
from demure.errors import Conflict, NotPermitted


class Kind(StrEnum):
    """Why an image is in the queue."""

    UNKNOWN = "unknown"  # the machine could not tell
    CHECK = "check"  # the machine could, and by lot a person looks as well: not to be told from an unknown before the verdict
    REPORT = "report"  # somebody complains of it
    APPEAL = "appeal"  # its sender complains of the decision


LONGEST_LEASE_S = 86_400  # that anybody may ask for
DISPUTES = (Kind.REPORT, Kind.APPEAL)  # of a decision that was made


class State(StrEnum):
    OPEN = "open"
    SETTLED = "settled"
    ESCALATED = "escalated"
    EXPIRED = "expired"


class Move(StrEnum):
    CLAIM = "claim"
    SKIP = "skip"
    SETTLE = "settle"
    UNDO = "undo"
    ESCALATE = "escalate"
    RELEASE = "release"
    EXPIRE = "expire"


class Verdict(StrEnum):
    """What a person chose."""

    ADULT = "adult"
    SAFE = "safe"


class Order(StrEnum):
    """Which comes next; appeals always come first."""

    OLDEST = "oldest"
    RISK = "risk"
    PRIORITY = "priority"  # the caller's number, the highest first


_MOVES: Mapping[tuple[State, Move], State] = {
    (State.OPEN, Move.CLAIM): State.OPEN,
    (State.OPEN, Move.SKIP): State.OPEN,
    (State.OPEN, Move.SETTLE): State.SETTLED,
    (State.OPEN, Move.ESCALATE): State.ESCALATED,
    (State.OPEN, Move.EXPIRE): State.EXPIRED,
    (State.SETTLED, Move.UNDO): State.OPEN,
    (State.ESCALATED, Move.RELEASE): State.OPEN,
}


@dataclass(frozen=True)
class Actor:
    """Who does something: `user:anna`, `key:forum`, or `key:forum/anna` where a site tells which of its people it was."""

    name: str
    is_admin: bool = False

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Judgement:
    """What the machine thought of an image: as in its answer."""

    decision: str
    reason: str
    score: float | None
    scores: Mapping[str, float] | None
    witnesses: Mapping[str, float] | None
    media: Mapping[str, Any] | None
    model: str
    policy: str
    policy_version: str


@dataclass(frozen=True)
class Submission:
    """Who sent an image, by the site's own names; `details` is the metadata that came with it."""

    caller_id: str = ""
    subject: str = ""  # whose image it is
    details: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Opening:
    """What makes an item of an image."""

    sha256: bytes
    judgement: Judgement
    submission: Submission
    kind: Kind = Kind.UNKNOWN
    priority: float = 0.0
    note: str | None = None
    pdq: bytes | None = None
    pictures: int | None = None  # that were judged of it; None of one too small for the models
    draw: Draw | None = None  # by which it comes before people; None where somebody asks for that
    # For a spot check: its place by risk among the scores of items that the machine could not decide.
    place: Callable[[Sequence[float]], float] | None = None


@dataclass(frozen=True)
class Review:
    """One item. `version` counts up with every move: who names an older one has not seen the last."""

    id: str
    sha256: str  # hex
    kind: Kind
    state: State
    version: int
    priority: float
    opened_ms: int
    note: str | None
    claimed_by: str | None
    claimed_until_ms: int | None
    judgement: Judgement
    pdq: str | None  # hex; where near copies can be found by it
    # What a person thought.
    verdict: Verdict | None
    verdict_by: str | None
    verdict_ms: int | None
    verdict_note: str | None

    @property
    def overturns(self) -> bool:
        """Whether the verdict is another than what the machine had decided. An `unknown` decided nothing."""
        decided = self.judgement.decision
        return self.verdict is not None and decided in (*Verdict,) and decided != self.verdict

    @property
    def told_kind(self) -> Kind:
        """What may be told of its kind: that it is a spot check only when it has a verdict."""
        return Kind.UNKNOWN if self.kind is Kind.CHECK and self.state is not State.SETTLED else self.kind

    def holder(self, now_ms: int) -> str | None:
        """Who has it, while the lease lasts. One that ends later than any can was given by a clock that has been set back."""
        left_ms = (self.claimed_until_ms or 0) - now_ms
        return self.claimed_by if 0 < left_ms <= LONGEST_LEASE_S * 1000 else None


def after(review: Review, move: Move, actor: Actor, version: int | None, now_ms: int) -> State:
    """The state that a move leads to.

    Raises Conflict for a version that is not the last, an item that somebody else holds, or a move that this state does not
    allow; NotPermitted for what only an admin may.
    """
    if version is not None and version != review.version:
        raise Conflict(f"version {version} of this review is not the last, which is {review.version}; look at it again")
    state = _MOVES.get((review.state, move))
    if state is None:
        raise Conflict(f"this review is {review.state}: it cannot be asked to {move}")
    holder = review.holder(now_ms)
    if review.state is State.OPEN and move is not Move.EXPIRE and holder not in (None, str(actor)):
        raise Conflict("somebody else holds this review; take another, or wait until the lease ends")
    if move is Move.RELEASE and not actor.is_admin:
        raise NotPermitted("only an admin may release what was escalated")
    if move is Move.UNDO and review.verdict_by != str(actor) and not actor.is_admin:
        raise NotPermitted("a verdict is taken back by who gave it, or by an admin")
    return state
