"""What the machine decided on each image, and who sent it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Connection, func, select

from demure.reviews import Judgement, Submission
from demure.store.database import upsert
from demure.store.schema import images, submissions

_TOLD = 100


@dataclass(frozen=True)
class Senders:
    """Those who sent an image for review, as a site is told of them: the first hundred, and how many there are."""

    first: list[dict[str, Any]]
    total: int


def record(connection: Connection, now_ms: int, sha256: bytes, judgement: Judgement) -> None:
    """The last decision counts. Nobody else does so for this image until the transaction ends."""
    values = {"sha256": sha256, **asdict(judgement), "first_ms": now_ms, "decided_ms": now_ms}
    upsert(images, connection, values, ["sha256"], keep=["first_ms"])


def is_kept(connection: Connection, sha256: bytes) -> bool:
    """Whether nobody asked to forget an image since it was decided; nobody can until the transaction ends."""
    kept = select(images.c.sha256).where(images.c.sha256 == sha256).with_for_update(read=True)
    return connection.execute(kept).first() is not None


def note_submission(connection: Connection, now_ms: int, sha256: bytes, submission: Submission) -> None:
    values = {"sha256": sha256, **asdict(submission), "sent_ms": now_ms}
    upsert(submissions, connection, values, ["sha256", "caller_id", "subject"])


def senders_of(connection: Connection, sha256: bytes) -> Senders:
    of_it = submissions.c.sha256 == sha256
    wanted = select(submissions).where(of_it).order_by(submissions.c.id).limit(_TOLD + 1)
    rows = connection.execute(wanted).all()
    total = len(rows)
    if total > _TOLD:  # counted only then, and in the index that keeps them apart
        total = connection.execute(select(func.count()).select_from(submissions).where(of_it)).scalar_one()
    first = [{"id": r.caller_id or None, "subject": r.subject or None, "metadata": r.details} for r in rows[:_TOLD]]
    return Senders(first, total)
