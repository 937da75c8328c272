"""The audit log: appended to within the transaction of what is logged, read as a stream, swept from its beginning."""

from __future__ import annotations

from collections.abc import Container, Generator
from contextlib import closing
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from demure.audit import Break, Fault, Head, Record, canonical, chain
from demure.audit import verify as verify_chain
from demure.store.database import Database
from demure.store.schema import audit, audit_head

_BATCH = 1000
_SWEPT = "audit.swept"


@dataclass(frozen=True)
class Verified:
    """The chain holds, from the record after `swept` to `head`. `seen` is whether the kept head was in that part of it."""

    swept: Head
    head: Head
    seen: bool


def append(connection: Connection, now_ms: int, actor: str, action: str, target: str, **details: Any) -> None:
    """To be called last in a transaction: from here to its end no other can append."""
    # The row is locked by being written, so that nobody reads the head that we are about to move.
    connection.execute(update(audit_head).values(seq=audit_head.c.seq + 1))
    seq, previous = connection.execute(select(audit_head.c.seq, audit_head.c.hash)).one()
    record = chain(previous, seq, now_ms, actor, action, target, canonical(details))
    connection.execute(insert(audit).values(vars(record)))
    connection.execute(update(audit_head).values(hash=record.hash))


def records(connection: Connection, after_seq: int = 0, at_most: int | None = None) -> Generator[Record, None, None]:
    """In their order, fetched in batches: a year of them need not fit into memory. Close it, if not read to the end."""
    wanted = select(audit).where(audit.c.seq > after_seq).order_by(audit.c.seq).limit(at_most)
    with connection.execute(wanted, execution_options={"yield_per": _BATCH}) as rows:
        yield from (Record(*row) for row in rows)


def head(connection: Connection) -> Head:
    """The last record. To be kept elsewhere."""
    return Head(*connection.execute(select(audit_head.c.seq, audit_head.c.hash)).one())


def swept(connection: Connection) -> Head:
    """The last record that was swept: what is left follows it. 0 where none was."""
    return Head(*connection.execute(select(audit_head.c.swept_seq, audit_head.c.swept_hash)).one())


def verify(database: Database, kept: Head | None = None) -> Verified | Break:
    """Walk all that is left of the chain, which must hold and end where its head says.

    A head that somebody `kept` elsewhere must be in it, unless its record was swept since: then nothing is known of it here.
    """

    def work(connection: Connection) -> Verified | Break:
        start, end = swept(connection), head(connection)
        with closing(records(connection, start.seq)) as left:
            found = verify_chain(left, start, [end, kept] if kept else [end])
        if isinstance(found, Break):
            return found
        if found != end:
            return Break(end.seq + 1, Fault.SURPLUS)
        if not _is_told(connection, start):
            return Break(start.seq, Fault.NOT_SWEPT)
        return Verified(start, end, seen=kept is not None and kept.seq >= start.seq)

    return database.read(work)


def sweep(
    connection: Connection, now_ms: int, before_ms: int, held: Container[str] = (), at_most: int = _BATCH
) -> int | Break:
    """Delete records from the beginning of the chain, and leave a checkpoint: how many went, or where they do not hold.

    Stops at the first that is not older than `before_ms` or whose target is `held`. A part that does not hold is evidence: it
    stays. For a transaction of its own, which takes the head first and with it the place of every other that appends.
    """
    place = select(audit_head.c.swept_seq, audit_head.c.swept_hash)
    start = Head(*connection.execute(place.with_for_update()).one())
    stored = list(records(connection, start.seq, at_most))
    old = list(takewhile(lambda r: r.at_ms < before_ms and r.target not in held, stored))
    end = verify_chain(old, start)
    if isinstance(end, Break) or not old:
        return end if isinstance(end, Break) else 0
    connection.execute(delete(audit).where(audit.c.seq <= end.seq))
    connection.execute(update(audit_head).values(swept_seq=end.seq, swept_hash=end.hash))
    append(connection, now_ms, "demure", _SWEPT, "audit", **_checkpoint(end))
    return len(old)


def _is_told(connection: Connection, start: Head) -> bool:
    """Whether what is left of the chain says that it was swept so far."""
    told = select(audit.c.seq).where(audit.c.action == _SWEPT, audit.c.details == canonical(_checkpoint(start)))
    return start.seq == 0 or connection.execute(told).first() is not None


def _checkpoint(end: Head) -> dict[str, Any]:
    return {"through": end.seq, "hash": end.hash}
