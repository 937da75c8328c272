"""What goes when: previews by the time in their row, all else by age. What was escalated stays, whatever its age.

Rows are looked for first and then deleted a few at a time: writers wait for a few milliseconds, and never for a search.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, Connection, Table, delete, exists, func, select, tuple_, update

from demure.audit import Break
from demure.reviews import State
from demure.store import audit
from demure.store.database import Database
from demure.store.deletion import delete_reviews
from demure.store.events import emit
from demure.store.schema import (
    DAY_MS,
    deliveries,
    events,
    hashes,
    images,
    invitations,
    previews,
    reviews,
    sessions,
    submissions,
    tallies,
)

_WITHDRAWN_DAYS = 1  # of a hash: until every process has learned of it
_SESSION_DAYS = 30  # since it was last used
_BATCH = 100  # rows a transaction
_PAUSE_S = 0.02  # between two, for those who wait to write

if TYPE_CHECKING:
    from demure.settings import Settings

Key = tuple[Any, ...]
Remove = Callable[[Connection, Sequence[Key]], Counter[str]]


@dataclass(frozen=True)
class Keep:
    """For how many days what is kept."""

    previews_days: int = 7
    decisions_days: int = 90  # with who sent the image, and the events
    reviews_days: int = 365
    audit_days: int = 365


def keep_of(settings: Settings) -> Keep:
    return Keep(
        settings.keep_previews_days, settings.keep_decisions_days, settings.keep_reviews_days, settings.keep_audit_days
    )


@dataclass(frozen=True)
class Swept:
    """`broken` is where the audit log does not hold: from there it was left as it is."""

    deleted: Mapping[str, int]  # rows, by table
    expired: int  # reviews
    broken: Break | None


def sweep(database: Database, keep: Keep, endpoints: Sequence[str] = ()) -> Swept:
    """Delete what was kept long enough. Several processes may do so at once. `endpoints` are told of what expired."""
    now_ms = database.now_ms()
    decided_ms, judged_ms = now_ms - keep.decisions_days * DAY_MS, now_ms - keep.reviews_days * DAY_MS
    expire = partial(_expire, now_ms, endpoints)
    hidden = database.read(_escalated)
    plan: list[tuple[Table, ColumnElement[bool], Remove]] = [
        (reviews, _shown_until(now_ms), partial(_remove_previews, now_ms, expire)),
        (reviews, _blind_since(now_ms - keep.previews_days * DAY_MS), expire),
        (reviews, _done_before(judged_ms), _remove_reviews),
        (tallies, tallies.c.day < judged_ms // DAY_MS, _rows(tallies)),
        (images, (images.c.decided_ms < decided_ms) & ~_in_queue(images), _rows(images)),
        (submissions, (submissions.c.sent_ms < decided_ms) & ~_in_queue(submissions), _rows(submissions)),
        (events, _sent_before(decided_ms, [sha256.hex() for _, sha256 in hidden]), _remove_events),
        (hashes, hashes.c.verdict.is_(None) & (hashes.c.decided_ms < now_ms - _WITHDRAWN_DAYS * DAY_MS), _rows(hashes)),
        (sessions, sessions.c.seen_ms < now_ms - _SESSION_DAYS * DAY_MS, _rows(sessions)),
        (invitations, invitations.c.expires_ms < now_ms, _rows(invitations)),
    ]
    counts: Counter[str] = Counter()
    for table, gone, remove in plan:
        counts += _sweep_rows(database, table, gone, remove)
    audited, broken = _sweep_audit(database, now_ms, now_ms - keep.audit_days * DAY_MS)
    counts += Counter(audit=audited)
    database.empty_log()  # also of what was forgotten when somebody was reading
    return Swept(expired=counts.pop("expired", 0), deleted=counts, broken=broken)


def _sweep_rows(database: Database, table: Table, gone: ColumnElement[bool], remove: Remove) -> Counter[str]:
    keys = [*table.primary_key.columns]

    def find(connection: Connection) -> list[Key]:
        return [tuple(row) for row in connection.execute(select(*keys).where(gone).limit(_BATCH))]

    def remove_found(found: list[Key], connection: Connection) -> Counter[str]:
        # Asked again, and then held: somebody may have come in between.
        still = select(*keys).where(tuple_(*keys).in_(found), gone).with_for_update()
        return remove(connection, [tuple(row) for row in connection.execute(still)])

    counts: Counter[str] = Counter()
    while found := database.read(find):
        removed = database.write(partial(remove_found, found))
        if not +removed:  # another sweep is at the same rows: let it
            break
        counts += removed
        time.sleep(_PAUSE_S)
    return counts


def _sweep_audit(database: Database, now_ms: int, before_ms: int) -> tuple[int, Break | None]:
    def work(connection: Connection) -> int | Break:
        hidden = _escalated(connection)
        held = {f"review:{review}" for review, _ in hidden} | {f"image:{sha256.hex()}" for _, sha256 in hidden}
        return audit.sweep(connection, now_ms, before_ms, held)

    total = 0
    while swept := database.write(work):
        if isinstance(swept, Break):
            return total, swept
        total += swept
        time.sleep(_PAUSE_S)
    return total, None


def _shown_until(now_ms: int) -> ColumnElement[bool]:
    """Reviews with a preview whose time has passed."""
    due = select(previews.c.review_id).where(previews.c.delete_ms <= now_ms)
    return reviews.c.id.in_(due) & ~_is_frozen(reviews)


def _blind_since(before_ms: int) -> ColumnElement[bool]:
    """Reviews that wait, for as long as there would be a preview, and have none: nobody will judge them any more."""
    return (reviews.c.state == State.OPEN) & (reviews.c.opened_ms < before_ms) & ~_is_shown()


def _done_before(before_ms: int) -> ColumnElement[bool]:
    settled = (reviews.c.state == State.SETTLED) & (reviews.c.verdict_ms < before_ms)
    expired = (reviews.c.state == State.EXPIRED) & (reviews.c.opened_ms < before_ms)
    return (settled | expired) & ~_is_frozen(reviews)


def _sent_before(before_ms: int, hidden: Sequence[str]) -> ColumnElement[bool]:
    """Events that nobody waits for, but those of frozen images, which are given in hex."""
    waiting = exists().where(deliveries.c.event_id == events.c.id, deliveries.c.state == "waiting")
    about = func.coalesce(events.c.data["sha256"].as_string(), "")
    return (events.c.at_ms < before_ms) & ~waiting & about.not_in(hidden)


def _in_queue(table: Table) -> ColumnElement[bool]:
    return _has_review(table, State.OPEN, State.ESCALATED)


def _is_frozen(table: Table) -> ColumnElement[bool]:
    return _has_review(table, State.ESCALATED)


def _has_review(table: Table, *states: State) -> ColumnElement[bool]:
    """Whether a review of the row's image, itself or another, is in one of these states."""
    review = reviews.alias()
    return exists().where(review.c.sha256 == table.c.sha256, review.c.state.in_(states))


def _is_shown() -> ColumnElement[bool]:
    return exists().where(previews.c.review_id == reviews.c.id)


def _escalated(connection: Connection) -> list[tuple[str, bytes]]:
    """The id and the image of each."""
    wanted = select(reviews.c.id, reviews.c.sha256).where(reviews.c.state == State.ESCALATED)
    return [(review, bytes(sha256)) for review, sha256 in connection.execute(wanted)]


def _rows(table: Table) -> Remove:
    def remove(connection: Connection, found: Sequence[Key]) -> Counter[str]:
        these = tuple_(*table.primary_key.columns).in_(found)
        return Counter({table.name: connection.execute(delete(table).where(these)).rowcount})

    return remove


def _remove_previews(now_ms: int, expire: Remove, connection: Connection, found: Sequence[Key]) -> Counter[str]:
    due = previews.c.review_id.in_(_first(found)) & (previews.c.delete_ms <= now_ms)
    gone = connection.execute(delete(previews).where(due)).rowcount
    return Counter(previews=gone) + expire(connection, found)


def _expire(now_ms: int, endpoints: Sequence[str], connection: Connection, found: Sequence[Key]) -> Counter[str]:
    """Those of the reviews that wait and have nothing more to show."""
    expired = connection.execute(
        update(reviews)
        .where(reviews.c.id.in_(_first(found)), reviews.c.state == State.OPEN, ~_is_shown())
        .values(state=State.EXPIRED, version=reviews.c.version + 1, claimed_by=None, claimed_until_ms=None)
        .returning(reviews.c.id, reviews.c.sha256)
    ).all()
    for review, sha256 in expired:
        emit(connection, now_ms, endpoints, "review.expired", {"review": review, "sha256": bytes(sha256).hex()})
    for review, sha256 in expired:
        audit.append(connection, now_ms, "demure", "review.expired", f"review:{review}", sha256=bytes(sha256).hex())
    return Counter(expired=len(expired))


def _remove_reviews(connection: Connection, found: Sequence[Key]) -> Counter[str]:
    return Counter(reviews=delete_reviews(connection, _first(found)))


def _remove_events(connection: Connection, found: Sequence[Key]) -> Counter[str]:
    connection.execute(delete(deliveries).where(deliveries.c.event_id.in_(_first(found))))
    return Counter(events=connection.execute(delete(events).where(events.c.id.in_(_first(found)))).rowcount)


def _first(keys: Sequence[Key]) -> list[Any]:
    return [key[0] for key in keys]
