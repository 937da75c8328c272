"""Who has an item: what a reviewer holds at the moment, and who froze what is escalated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, exists, select

from demure.reviews import LONGEST_LEASE_S, Actor, Review, State
from demure.store.schema import audit, reviews


@dataclass(frozen=True)
class Escalation:
    """Who froze an item, and when. The item itself does not say."""

    by: str
    at_ms: int


def is_held(now_ms: int) -> ColumnElement[bool]:
    """Whether an item is somebody's: as Review.holder."""
    until_ms = reviews.c.claimed_until_ms
    return until_ms.is_not(None) & (until_ms > now_ms) & (until_ms <= now_ms + LONGEST_LEASE_S * 1000)


def is_frozen() -> ColumnElement[bool]:
    """Whether an item's image is escalated, in this item or another."""
    other = reviews.alias()
    return exists().where(other.c.sha256 == reviews.c.sha256, other.c.state == State.ESCALATED)


def held_by(connection: Connection, actor: Actor, now_ms: int, at_most: int = 10) -> list[str]:
    """The ids of open items that an actor's lease has not left yet, the one that was claimed first before the others."""
    mine = (reviews.c.state == State.OPEN, reviews.c.claimed_by == str(actor), is_held(now_ms))
    # Those that were claimed in one millisecond, in the order of the queue.
    order = (reviews.c.claimed_until_ms, reviews.c.rank, reviews.c.opened_ms, reviews.c.id)
    return list(connection.execute(select(reviews.c.id).where(*mine).order_by(*order).limit(at_most)).scalars())


def escalations(connection: Connection, frozen: Sequence[Review]) -> dict[str, Escalation]:
    """By id, the last time that each was escalated. What the audit log no longer reaches is not there."""
    if not frozen:
        return {}
    # The log is found by time and not by target; nothing was escalated before it was opened.
    since_ms = min(review.opened_ms for review in frozen)
    targets = {f"review:{review.id}": review.id for review in frozen}
    wanted = select(audit.c.target, audit.c.actor, audit.c.at_ms).where(
        audit.c.at_ms >= since_ms, audit.c.action == "review.escalate", audit.c.target.in_(targets)
    )
    rows = connection.execute(wanted.order_by(audit.c.seq))
    return {targets[row.target]: Escalation(row.actor, row.at_ms) for row in rows}
