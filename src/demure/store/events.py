"""What the site is told: events in the order in which they were committed, and an outbox of what is still to be sent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, insert, update

from demure.store.schema import counters, deliveries, events


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
        {"event_id": event_id, "endpoint": url, "state": "waiting", "attempts": 0, "next_ms": now_ms}
        for url in endpoints
    ]
    if waiting:
        connection.execute(insert(deliveries), waiting)
