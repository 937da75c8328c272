"""Verdicts by hash: written with the verdict, found again by whoever asks for an image."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, select, update

from demure.reviews import State, Verdict
from demure.store.database import upsert
from demure.store.events import count_up
from demure.store.schema import counters, hashes, reviews


class HashKind(StrEnum):
    SHA256 = "sha256"  # the same bytes
    PDQ = "pdq"  # the same picture, nearly


@dataclass(frozen=True)
class Entry:
    """One hash and what a person decided; a verdict of None was withdrawn."""

    id: int
    kind: HashKind
    hash: bytes
    verdict: Verdict | None
    review_id: str | None
    decided_ms: int


def remember(
    connection: Connection,
    now_ms: int,
    known: Iterable[tuple[HashKind, bytes]],
    verdict: Verdict,
    by: str,
    review_id: str | None = None,
) -> None:
    """A verdict for each of the hashes, in place of what was known of them."""
    change = count_up(connection, "memory")
    for kind, digest in known:
        values: dict[str, Any] = {"kind": kind, "hash": digest, "verdict": verdict, "review_id": review_id}
        values |= {"decided_by": by, "decided_ms": now_ms, "change": change}
        upsert(hashes, connection, values, ["kind", "hash"])


def remember_many(
    connection: Connection, now_ms: int, known: Iterable[tuple[HashKind, bytes, Verdict]], by: str
) -> None:
    """Verdicts that no review of ours gave; of a hash that is there twice, the last."""
    change = count_up(connection, "memory")
    rows = {
        (kind, digest): {
            "kind": kind,
            "hash": digest,
            "verdict": verdict,
            "review_id": None,
            "decided_by": by,
            "decided_ms": now_ms,
            "change": change,
        }
        for kind, digest, verdict in known
    }
    upsert(hashes, connection, [*rows.values()], ["kind", "hash"])


def withdraw(connection: Connection, now_ms: int, known: Iterable[tuple[HashKind, bytes]], by: str) -> None:
    """Forget what is remembered of the hashes. The rows stay for a while, for those who keep a copy."""
    values = {"verdict": None, "decided_by": by, "decided_ms": now_ms, "change": count_up(connection, "memory")}
    for kind, digest in known:
        connection.execute(update(hashes).where(hashes.c.kind == kind, hashes.c.hash == digest).values(values))


def known_of(connection: Connection, known: Iterable[tuple[HashKind, bytes]]) -> list[dict[str, Any]]:
    """What is remembered of the hashes, as JSON that `put_back` takes."""
    return [
        {"kind": kind, "hash": digest.hex(), **_said(connection.execute(_of(kind, digest)).one_or_none())}
        for kind, digest in known
    ]


def put_back(connection: Connection, now_ms: int, review_id: str, before: Iterable[dict[str, Any]]) -> None:
    """Remember again what `known_of` told, where that review had the last word since, and nobody asked to forget it."""
    change = count_up(connection, "memory")
    for values in before:
        row = {**values, "hash": bytes.fromhex(values["hash"]), "change": change}
        if row["review_id"] is not None and not _upheld(connection, row["review_id"], row["verdict"]):
            row["verdict"] = None
        if row["verdict"] is None:  # withdrawn now: who keeps a copy learns of it before it is swept
            row["decided_ms"] = now_ms
        current = connection.execute(_of(row["kind"], row["hash"])).one_or_none()
        if current is not None and current.review_id == review_id and current.verdict is not None:
            upsert(hashes, connection, row, ["kind", "hash"])


def _upheld(connection: Connection, review_id: str, verdict: str | None) -> bool:
    """Whether a review's verdict was not taken back since. What was swept by its age was not."""
    now = connection.execute(select(reviews.c.verdict).where(reviews.c.id == review_id)).one_or_none()
    return now is None or now.verdict == verdict


def _said(row: Any) -> dict[str, Any]:
    if row is None:
        return {"verdict": None, "review_id": None, "decided_by": "", "decided_ms": 0}
    return {name: getattr(row, name) for name in ("verdict", "review_id", "decided_by", "decided_ms")}


def recall(connection: Connection, sha256: bytes) -> Entry | None:
    """What a person decided on these bytes."""
    found = connection.execute(_of(HashKind.SHA256, sha256)).one_or_none()
    return _entry(found) if found is not None and found.verdict else None


def is_escalated(connection: Connection, sha256: bytes) -> bool:
    frozen = select(reviews.c.id).where(reviews.c.sha256 == sha256, reviews.c.state == State.ESCALATED)
    return connection.execute(frozen).first() is not None


def last_change(connection: Connection) -> int:
    value: int = connection.execute(select(counters.c.value).where(counters.c.name == "memory")).scalar_one()
    return value


def changes(connection: Connection, after: int) -> Iterator[Entry]:
    """The PDQ entries that changed since, withdrawn ones among them."""
    rows = connection.execution_options(yield_per=10_000).execute(
        select(hashes).where(hashes.c.change > after, hashes.c.kind == HashKind.PDQ)
    )
    return (_entry(row) for row in rows)


def entry(connection: Connection, id: int) -> Entry | None:
    row = connection.execute(select(hashes).where(hashes.c.id == id)).one_or_none()
    return None if row is None else _entry(row)


def every(connection: Connection) -> Iterator[Entry]:
    """All that is remembered."""
    rows = connection.execution_options(yield_per=1000).execute(
        select(hashes).where(hashes.c.verdict.is_not(None)).order_by(hashes.c.id)
    )
    return (_entry(row) for row in rows)


def _of(kind: HashKind, digest: bytes) -> Any:
    return select(hashes).where(hashes.c.kind == kind, hashes.c.hash == digest)


def _entry(row: Any) -> Entry:
    verdict = Verdict(row.verdict) if row.verdict else None
    return Entry(row.id, HashKind(row.kind), bytes(row.hash), verdict, row.review_id, row.decided_ms)
