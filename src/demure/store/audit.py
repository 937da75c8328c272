"""Appends to the audit log, within the transaction of what is logged."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, insert, select, update

from demure.audit import canonical, chain
from demure.store.schema import audit, audit_head


def append(connection: Connection, now_ms: int, actor: str, action: str, target: str, **details: Any) -> None:
    """To be called last in a transaction: from here to its end no other can append."""
    # The row is locked by being written, so that nobody reads the head that we are about to move.
    connection.execute(update(audit_head).values(seq=audit_head.c.seq + 1))
    seq, previous = connection.execute(select(audit_head.c.seq, audit_head.c.hash)).one()
    record = chain(previous, seq, now_ms, actor, action, target, canonical(details))
    connection.execute(insert(audit).values(vars(record)))
    connection.execute(update(audit_head).values(hash=record.hash))
