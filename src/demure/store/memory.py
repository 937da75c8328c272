"""Verdicts by hash: written with the verdict, found again by whoever asks for an image."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Text, cast, select, update

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


def hold(connection: Connection) -> None:
    """Nobody else changes the memory until the transaction ends. To be asked for before any review's row is locked, or else two
    would wait for each other: a change may have to write into the reviews of other images."""
    connection.execute(select(counters.c.value).where(counters.c.name == "memory").with_for_update()).one()


def remember(
    connection: Connection,
    now_ms: int,
    known: Sequence[tuple[HashKind, bytes]],
    verdict: Verdict,
    by: str,
    review_id: str | None = None,
) -> list[dict[str, Any]]:
    """A verdict for each of the hashes, in place of what was known of them, which is what comes back."""
    change = count_up(connection, "memory")  # before the look: whoever else changes the memory waits
    before = known_of(connection, known)
    for kind, digest in known:
        values: dict[str, Any] = {"kind": kind, "hash": digest, "verdict": verdict, "review_id": review_id}
        values |= {"decided_by": by, "decided_ms": now_ms, "change": change}
        upsert(hashes, connection, values, ["kind", "hash"])
    return before


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


def withdraw(
    connection: Connection, now_ms: int, known: Sequence[tuple[HashKind, bytes]], by: str, review_id: str
) -> list[dict[str, Any]]:
    """Forget for a review what is remembered of the hashes, which is what comes back. The rows stay for a while, for those who
    keep a copy."""
    change = count_up(connection, "memory")
    before = known_of(connection, known)
    values = {"verdict": None, "review_id": review_id, "decided_by": by, "decided_ms": now_ms, "change": change}
    for kind, digest in known:
        connection.execute(update(hashes).where(hashes.c.kind == kind, hashes.c.hash == digest).values(values))
    return before


def known_of(connection: Connection, known: Iterable[tuple[HashKind, bytes]]) -> list[dict[str, Any]]:
    """What is remembered of the hashes, as JSON that `put_back` takes."""
    return [
        {"kind": kind, "hash": digest.hex(), **_said(connection.execute(_of(kind, digest)).one_or_none())}
        for kind, digest in known
    ]


def put_back(connection: Connection, now_ms: int, review_id: str, before: Iterable[dict[str, Any]]) -> None:
    """Make the memory as if that review had said nothing, which had replaced what `known_of` told. Where another had its say
    since, that stands, and what comes back with its own undo is what was before both.
    """
    change = count_up(connection, "memory")
    others: dict[tuple[str, str], dict[str, Any]] = {}
    for said in before:
        current = connection.execute(_of(said["kind"], bytes.fromhex(said["hash"]))).one_or_none()
        if current is not None and current.review_id == review_id:
            _say_again(connection, now_ms, change, said, current)
        else:
            others[said["kind"], said["hash"]] = said
    if others or not before:
        for said in _not_handed_down(connection, review_id, others):
            if connection.execute(_of(said["kind"], bytes.fromhex(said["hash"]))).first() is None:
                _say_again(connection, now_ms, change, said, None)  # the row of what was withdrawn is swept


def _say_again(connection: Connection, now_ms: int, change: int, said: Mapping[str, Any], current: Any) -> None:
    row = {**said, "hash": bytes.fromhex(said["hash"]), "change": change}
    if row["review_id"] is not None and not _upheld(connection, row["review_id"], row["verdict"]):
        row["verdict"] = None
    if row["verdict"] is None:  # withdrawn now: who keeps a copy learns of it before it is swept
        if row["review_id"] is None and (current is None or current.verdict is None):
            return
        row["decided_ms"] = now_ms
    upsert(hashes, connection, row, ["kind", "hash"])


def _not_handed_down(
    connection: Connection, review_id: str, before: dict[tuple[str, str], dict[str, Any]]
) -> list[dict[str, Any]]:
    """Give what a review replaced to those that replaced its own word: what none of them did."""
    left = dict(before)
    naming = cast(reviews.c.replaced, Text).contains(review_id)
    for other in connection.execute(select(reviews.c.id, reviews.c.replaced).where(naming).with_for_update()).all():
        mine = [(said["kind"], said["hash"]) for said in other.replaced if said["review_id"] == review_id]
        heirs = {key: before.get(key, {"kind": key[0], "hash": key[1], **_said(None)}) for key in mine}
        replaced = [heirs.get((said["kind"], said["hash"]), said) for said in other.replaced]
        connection.execute(update(reviews).where(reviews.c.id == other.id).values(replaced=replaced))
        for key in mine:
            left.pop(key, None)
    return [*left.values()]


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
