"""What the site is told: events in the order in which they were committed, and an outbox of what is still to be sent."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import ColumnElement, Connection, Row, Select, and_, exists, func, insert, or_, select, tuple_, update

from demure.errors import SourceNotFound
from demure.events import Event
from demure.store.audit import append
from demure.store.database import Database
from demure.store.schema import counters, deliveries, events

# Beyond the longest pause between two attempts (webhooks.SCHEDULE_S: a day, and a tenth) and any lease. What is to wait for
# longer was put off by a clock that has been set back.
LONGEST_WAIT_MS = 27 * 3_600_000
_BATCH = 200  # events a transaction: they fit into memory and into an audit record, and others write in between


class State(StrEnum):
    """Of a delivery."""

    WAITING = "waiting"
    DELIVERED = "delivered"
    DEAD = "dead"


@dataclass(frozen=True)
class Delivery:
    """An event on its way to one endpoint, in the hands of who claimed it. `attempts` counts the one that begins."""

    event: Event
    endpoint: str
    attempts: int


@dataclass(frozen=True)
class DeadLetter:
    """An event that an endpoint did not take, and will not be sent again unless somebody says so. The event's data, which can be
    large, are left out."""

    event: Event
    endpoint: str
    attempts: int
    failure: str
    died_ms: int

    @property
    def host(self) -> str:
        return host_of(self.endpoint)


@dataclass(frozen=True)
class Outbox:
    """How many deliveries wait and how many are dead; when the event of the oldest that waits happened."""

    waiting: int
    dead: int
    oldest_ms: int | None


def count_up(connection: Connection, name: str) -> int:
    """The next number of a counter, which is held until the transaction ends: numbers appear in their order."""
    counter = counters.c.value
    counted = update(counters).where(counters.c.name == name).values(value=counter + 1).returning(counter)
    value: int = connection.execute(counted).scalar_one()
    return value


def emit(connection: Connection, now_ms: int, endpoints: Sequence[str], type: str, data: dict[str, Any]) -> None:
    """An event, and a delivery for each endpoint (its URL), in the transaction of what happened."""
    event_id = count_up(connection, "events")
    connection.execute(insert(events).values(id=event_id, type=type, at_ms=now_ms, data=data))
    waiting = [
        {"event_id": event_id, "endpoint": url, "state": State.WAITING, "attempts": 0, "next_ms": now_ms}
        for url in endpoints
    ]
    if waiting:
        connection.execute(insert(deliveries), waiting)


def feed(connection: Connection, after: int, limit: int) -> list[Event]:
    """The events after the one with this id, the oldest first. None can appear later among those that were read."""
    rows = connection.execute(select(events).where(events.c.id > after).order_by(events.c.id).limit(limit))
    return [_event(row) for row in rows]


def is_due(connection: Connection, endpoint: str, now_ms: int) -> bool:
    """Whether there is something to claim: asked before, because a look costs other writers nothing."""
    return bool(connection.execute(select(exists().where(_due(endpoint, now_ms)))).scalar())


def due(connection: Connection, endpoint: str, now_ms: int, limit: int, lease_ms: int) -> list[Delivery]:
    """Claim what is to be sent to an endpoint now. Nobody else gets it before the lease ends; then anybody may."""
    key = deliveries.c.event_id
    # SQLite has one writer at a time, so that it needs no locks of rows; there SKIP LOCKED is left out.
    # As a common table expression, because a subquery with a limit may be run again for each row (PostgreSQL).
    chosen = (
        select(key)
        .where(_due(endpoint, now_ms))
        .order_by(deliveries.c.next_ms, key)
        .limit(limit)
        .with_for_update(skip_locked=True)
        .cte()
    )
    claimed = (
        update(deliveries)
        .where(deliveries.c.endpoint == endpoint, key.in_(select(chosen.c.event_id)))
        .values(next_ms=now_ms + lease_ms, attempts=deliveries.c.attempts + 1)
        .returning(key, deliveries.c.attempts)
    )
    attempts = {row.event_id: row.attempts for row in connection.execute(claimed)}
    found = connection.execute(select(events).where(events.c.id.in_(attempts)).order_by(events.c.id))
    return [Delivery(_event(row), endpoint, attempts[row.id]) for row in found]


def delivered(connection: Connection, delivery: Delivery) -> None:
    """Whoever else has taken it meanwhile: the endpoint has it."""
    connection.execute(update(deliveries).where(_is(delivery)).values(state=State.DELIVERED, failure=None))


def failed(connection: Connection, delivery: Delivery, now_ms: int, next_ms: int | None, failure: str) -> None:
    """To be sent again at that time, or, without one, a dead letter from now on."""
    mine = (deliveries.c.state == State.WAITING) & (deliveries.c.attempts == delivery.attempts)
    outcome = {"state": State.DEAD, "next_ms": now_ms} if next_ms is None else {"next_ms": next_ms}
    # Only while it is ours: who took too long must not undo what the next one did.
    connection.execute(update(deliveries).where(_is(delivery), mine).values(**outcome, failure=failure))


def abandon(connection: Connection, endpoints: Sequence[str], overdue_ms: int, now_ms: int) -> int:
    """Make dead letters of what waits for any other endpoint and was due before `overdue_ms`; how many."""
    forgotten = (
        (deliveries.c.state == State.WAITING)
        & (deliveries.c.next_ms < overdue_ms)
        & deliveries.c.endpoint.not_in(endpoints)
    )
    values = {"state": State.DEAD, "next_ms": now_ms, "failure": "this endpoint is no longer configured"}
    return connection.execute(update(deliveries).where(forgotten).values(values)).rowcount


def dead_letters(connection: Connection, limit: int) -> list[DeadLetter]:
    """The last to die first."""
    last = (deliveries.c.next_ms.desc(), events.c.id.desc(), deliveries.c.endpoint)
    return _letters(_dead().order_by(*last).limit(limit), connection)


def every_dead_letter(database: Database) -> Iterator[DeadLetter]:
    """By event and endpoint, read some at a time."""
    key, last = (deliveries.c.event_id, deliveries.c.endpoint), (0, "")
    while found := database.read(partial(_letters, _dead().where(tuple_(*key) > last).order_by(*key).limit(_BATCH))):
        yield from found
        last = (found[-1].event.id, found[-1].endpoint)


def retry(database: Database, endpoints: Sequence[str], actor: str, ids: Collection[int] | None = None) -> list[int]:
    """Send dead letters to each of these endpoints once more, of these events or of all: how many to each.

    Raises SourceNotFound, before anything is done, for an event that is dead at none of them. When it is cut short, ask again.
    """
    if ids is not None:
        _check_dead(database, endpoints, ids)
    return [_retry_at(database, endpoint, actor, ids) for endpoint in endpoints]


def retry_dead(connection: Connection, now_ms: int, endpoint: str, ids: Collection[int], actor: str) -> int:
    """Send events to an endpoint once more, with all attempts before them again: how many of them were dead.

    For a transaction of its own: it ends with the audit record.
    """
    dead = _is_dead(endpoint) & deliveries.c.event_id.in_(ids)
    values = {"state": State.WAITING, "attempts": 0, "next_ms": now_ms, "failure": None}
    retried = update(deliveries).where(dead).values(values).returning(deliveries.c.event_id)
    found = sorted(connection.execute(retried).scalars())
    if found:
        append(connection, now_ms, actor, "events.retried", f"endpoint:{host_of(endpoint)}", ids=found)
    return len(found)


def dead_elsewhere(connection: Connection, endpoints: Sequence[str]) -> int:
    """How many dead letters are of any other endpoint."""
    elsewhere = (deliveries.c.state == State.DEAD) & deliveries.c.endpoint.not_in(endpoints)
    count: int = connection.execute(select(func.count()).select_from(deliveries).where(elsewhere)).scalar_one()
    return count


def host_of(endpoint: str) -> str:
    """Of its address only whom it leads to: the rest may be a secret."""
    return urlsplit(endpoint).hostname or ""


def outbox(connection: Connection) -> Outbox:
    state = deliveries.c.state
    unsent = select(state, func.count().label("number")).where(state.in_((State.WAITING, State.DEAD))).group_by(state)
    numbers = {row.state: row.number for row in connection.execute(unsent)}
    oldest = select(func.min(events.c.at_ms)).join(deliveries, events.c.id == deliveries.c.event_id)
    oldest_ms = connection.execute(oldest.where(state == State.WAITING)).scalar()
    return Outbox(numbers.get(State.WAITING, 0), numbers.get(State.DEAD, 0), oldest_ms)


def _dead() -> Select[Any]:
    about = (events.c.id, events.c.type, events.c.at_ms)
    of_each = select(*about, deliveries).join(events, events.c.id == deliveries.c.event_id)
    return of_each.where(deliveries.c.state == State.DEAD)


def _letters(wanted: Select[Any], connection: Connection) -> list[DeadLetter]:
    return [
        DeadLetter(Event(row.id, row.type, row.at_ms, {}), row.endpoint, row.attempts, row.failure, row.next_ms)
        for row in connection.execute(wanted)
    ]


def _check_dead(database: Database, endpoints: Sequence[str], ids: Collection[int]) -> None:
    missing = set(ids)
    for endpoint in endpoints:
        for page in _dead_ids(database, endpoint):
            missing.difference_update(page)
    if missing:
        raise SourceNotFound(
            f"event {min(missing)} is no dead letter of an endpoint that is asked for; `demure events dead` shows what there is"
        )


def _retry_at(database: Database, endpoint: str, actor: str, ids: Collection[int] | None) -> int:
    count = 0
    for page in _dead_ids(database, endpoint):
        wanted = page if ids is None else [event_id for event_id in page if event_id in ids]
        if wanted:
            now_ms = database.now_ms()
            work = partial(retry_dead, now_ms=now_ms, endpoint=endpoint, ids=wanted, actor=actor)
            count += database.write(work)
    return count


def _dead_ids(database: Database, endpoint: str) -> Iterator[list[int]]:
    """In their order. One that dies anew meanwhile does not come twice."""
    key, last = deliveries.c.event_id, 0

    def find(connection: Connection) -> list[int]:
        page = select(key).where(_is_dead(endpoint), key > last).order_by(key).limit(_BATCH)
        return [*connection.execute(page).scalars()]

    while found := database.read(find):
        yield found
        last = found[-1]


def _is_dead(endpoint: str) -> ColumnElement[bool]:
    return and_(deliveries.c.state == State.DEAD, deliveries.c.endpoint == endpoint)


def _due(endpoint: str, now_ms: int) -> ColumnElement[bool]:
    # Each half whole, so that each is found in the index.
    waiting = (deliveries.c.state == State.WAITING, deliveries.c.endpoint == endpoint)
    next_ms = deliveries.c.next_ms
    return or_(and_(*waiting, next_ms <= now_ms), and_(*waiting, next_ms > now_ms + LONGEST_WAIT_MS))


def _is(delivery: Delivery) -> ColumnElement[bool]:
    return _key(delivery.event.id, delivery.endpoint)


def _key(event_id: int, endpoint: str) -> ColumnElement[bool]:
    return and_(deliveries.c.event_id == event_id, deliveries.c.endpoint == endpoint)


def _event(row: Row[Any]) -> Event:
    return Event(row.id, row.type, row.at_ms, row.data)
