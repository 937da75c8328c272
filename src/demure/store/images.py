"""What the machine decided on each image, and who sent it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from sqlalchemy import Connection, select

from demure.reviews import Judgement, Submission
from demure.store.database import upsert
from demure.store.schema import images, submissions


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


def submissions_of(connection: Connection, sha256: bytes, at_most: int = 100) -> list[dict[str, Any]]:
    """The first so many of those who sent it for review, as a site is told of them."""
    found = connection.execute(
        select(submissions).where(submissions.c.sha256 == sha256).order_by(submissions.c.id).limit(at_most)
    )
    return [{"id": r.caller_id or None, "subject": r.subject or None, "metadata": r.details} for r in found]
