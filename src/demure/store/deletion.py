"""What a caller asks us to forget: an image, or all that a subject sent. A tombstone stays, and what was escalated.

Events that tell of it go in their own time (retention.py), but name nobody any more who sent it.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, delete, or_, select, update

from demure.errors import Conflict
from demure.reviews import State
from demure.store.audit import append
from demure.store.database import Database, upsert
from demure.store.events import count_up
from demure.store.memory import HashKind, hold, put_back
from demure.store.schema import events, hashes, images, previews, reviews, skips, submissions, tombstones


class Fate(StrEnum):
    """What became of an image whose subject is to be forgotten."""

    DELETED = "deleted"
    SHARED = "shared"  # other subjects sent it as well: it stays, and nothing ties it to this one
    FROZEN = "frozen"  # escalated: it stays as it is until it is released


@dataclass(frozen=True)
class Forgotten:
    sha256: bytes
    fate: Fate


def forget_image(connection: Connection, now_ms: int, sha256: bytes, actor: str, *, keep_memory: bool) -> bool:
    """Delete an image's decision, senders, reviews and previews, and withdraw what the memory says of it unless that is to
    be kept: whether there was anything.

    Raises Conflict for one that is escalated. For a transaction of its own: it ends with the audit record.
    """
    # In the order in which an item is judged and opened, so that no two transactions wait for each other.
    hold(connection)
    found = connection.execute(delete(images).where(images.c.sha256 == sha256)).rowcount
    found += connection.execute(delete(submissions).where(submissions.c.sha256 == sha256)).rowcount
    items = _locked(connection, sha256)
    withdrawn = 0 if keep_memory else _withdraw(connection, now_ms, sha256, items, actor)
    found += delete_reviews(connection, [item.id for item in items])
    if not found and not withdrawn:
        return False
    _strip_events(connection, sha256, lambda _: False)
    upsert(tombstones, connection, {"sha256": sha256, "deleted_ms": now_ms, "deleted_by": actor}, ["sha256"])
    details = {"reviews": len(items), "withdrawn": withdrawn}
    append(connection, now_ms, actor, "image.deleted", f"image:{sha256.hex()}", **details)
    return True


def forget(database: Database, sha256: bytes, actor: str, *, keep_memory: bool) -> bool:
    """As forget_image, in a transaction of its own; and nothing of it is left in the database's log."""
    forgotten = database.write(lambda c: forget_image(c, database.now_ms(), sha256, actor, keep_memory=keep_memory))
    database.empty_log()
    return forgotten


def forget_subject(database: Database, subject: str, actor: str, *, keep_memory: bool) -> list[Forgotten]:
    """Forget each image that a subject sent and no other subject did: what became of each.

    Who sent one without telling whose it is counts for nobody. One image a transaction: when it is cut short, ask again.
    """
    sent = (
        select(submissions.c.sha256).where(submissions.c.subject == subject).distinct().order_by(submissions.c.sha256)
    )
    found = database.read(lambda c: [bytes(sha256) for sha256 in c.execute(sent).scalars()]) if subject else []

    # Only the last is waited for to reach the disk: it takes the others along.
    fates = [
        Forgotten(sha256, _forget_sent(database, sha256, subject, actor, keep_memory=keep_memory)) for sha256 in found
    ]
    if fates:
        # By its hash: that a subject was forgotten can be shown to who names it, and is no list of who was.
        target = f"subject:sha256:{hashlib.sha256(subject.encode()).hexdigest()}"
        counts = Counter(forgotten.fate.value for forgotten in fates)
        database.write(lambda c: append(c, database.now_ms(), actor, "subject.deleted", target, **counts))
        database.empty_log()
    return fates


def _strip_events(connection: Connection, sha256: bytes, stays: Callable[[dict[str, Any]], bool]) -> None:
    """Take senders out of the events about an image, also of those that still wait to be sent."""
    about = events.c.data["sha256"].as_string() == sha256.hex()
    for row in connection.execute(select(events.c.id, events.c.data).where(about)).all():
        if senders := row.data.get("submissions"):
            data = {**row.data, "submissions": [sender for sender in senders if stays(sender)]}
            connection.execute(update(events).where(events.c.id == row.id).values(data=data))


def delete_reviews(connection: Connection, ids: Sequence[str]) -> int:
    """Reviews and all that hangs on them: how many there were."""
    for table in (previews, skips):
        connection.execute(delete(table).where(table.c.review_id.in_(ids)))
    return connection.execute(delete(reviews).where(reviews.c.id.in_(ids))).rowcount


def _forget_sent(database: Database, sha256: bytes, subject: str, actor: str, *, keep_memory: bool) -> Fate:
    image = submissions.c.sha256 == sha256
    others = select(submissions.c.id).where(image, submissions.c.subject.not_in([subject, ""]))

    def work(connection: Connection) -> Fate:
        hold(connection)
        _locked(connection, sha256)  # before it is looked who else sent it: they wait, or were here before
        if connection.execute(others).first() is None:
            forget_image(connection, database.now_ms(), sha256, actor, keep_memory=keep_memory)
            return Fate.DELETED
        connection.execute(delete(submissions).where(image, submissions.c.subject == subject))
        # Who wrote the note of a report or an appeal is not known: it may have been this one.
        connection.execute(update(reviews).where(reviews.c.sha256 == sha256).values(note=None))
        _strip_events(connection, sha256, lambda sender: sender["subject"] != subject)
        return Fate.SHARED

    try:
        return database.write(work, durable=False)
    except Conflict:
        return Fate.FROZEN


def _locked(connection: Connection, sha256: bytes) -> Sequence[Row[Any, Any, Any]]:
    """The image's reviews, which nobody else moves until the transaction ends. Raises Conflict if one is escalated."""
    wanted = select(reviews.c.id, reviews.c.state, reviews.c.pdq).where(reviews.c.sha256 == sha256)
    items = connection.execute(wanted.with_for_update()).all()
    if any(item.state == State.ESCALATED for item in items):
        raise Conflict("this image was escalated and is frozen: nothing of it is deleted until an admin releases it")
    return items


def _withdraw(
    connection: Connection, now_ms: int, sha256: bytes, items: Sequence[Row[Any, Any, Any]], actor: str
) -> int:
    """Take back what is remembered of an image and of near copies by its verdicts: how many hashes. What other images' verdicts
    had said of its picture before, they say again.

    The rows stay for a day, so that who keeps a copy of the memory learns of it.
    """
    of_image = (hashes.c.kind == HashKind.SHA256) & (hashes.c.hash == sha256)
    # A review may be gone by now; what it left in the memory still names it.
    named = connection.execute(select(hashes.c.review_id).where(of_image, hashes.c.review_id.is_not(None))).scalars()
    ids = list(dict.fromkeys([*(item.id for item in items), *named]))
    # A verdict on the same picture that another image's review gave is not this image's to take back.
    pictures = [item.pdq for item in items if item.pdq is not None]
    near = or_(hashes.c.review_id.in_(ids), hashes.c.review_id.is_(None) & hashes.c.hash.in_(pictures))
    its = of_image | ((hashes.c.kind == HashKind.PDQ) & near)
    withdrawn = _take_back(connection, now_ms, its, actor)
    for review in ids:
        _unsay(connection, now_ms, review)
    _take_back(connection, now_ms, its, actor)  # what came back and is its own as well, or was imported
    return withdrawn


def _take_back(connection: Connection, now_ms: int, these: ColumnElement[bool], actor: str) -> int:
    values = {"verdict": None, "decided_by": actor, "decided_ms": now_ms, "change": count_up(connection, "memory")}
    return connection.execute(update(hashes).where(hashes.c.verdict.is_not(None), these).values(values)).rowcount


def _unsay(connection: Connection, now_ms: int, review: str) -> None:
    """Read for each anew: the one before may have left it something."""
    row = connection.execute(select(reviews.c.replaced).where(reviews.c.id == review)).one_or_none()
    if row is None or row.replaced:
        put_back(connection, now_ms, review, row.replaced if row else [])
