"""Who sent an image: a site is told of the first hundred, and always how many there are."""

from __future__ import annotations

import hashlib

import pytest
from sqlalchemy import event, select

from demure.reviews import Actor, Judgement, Opening, Review, Submission, Verdict
from demure.store.database import Database
from demure.store.images import note_submission, senders_of
from demure.store.reviews import Reviews
from demure.store.schema import events, submissions

ANNA = Actor("user:anna")
UNSURE = Judgement("unknown", "uncertain", 0.5, {"porn": 0.5}, {"open_nsfw": 0.4}, None, "tiny", "colours", "1")
IMAGE, OTHER = hashlib.sha256(b"one").digest(), hashlib.sha256(b"other").digest()
COUNTS = pytest.mark.parametrize("count", [1, 99, 100, 101, 250])


def send(database: Database, sha256: bytes, count: int) -> None:
    """By so many, the first of whom is post-1."""

    def work(connection) -> None:
        for number in range(1, count + 1):
            note_submission(connection, database.now_ms(), sha256, Submission(f"post-{number}", f"user-{number}"))

    database.write(work, durable=False)


def opened(database: Database, count: int) -> tuple[Reviews, Review]:
    """A review of an image that so many sent; another image has senders as well."""
    send(database, OTHER, 3)
    send(database, IMAGE, count)
    queue = Reviews(database)
    return queue, queue.open(Opening(IMAGE, UNSURE, Submission("post-1", "user-1")), [])


def first_hundred(count: int) -> list[dict[str, object]]:
    return [{"id": f"post-{n}", "subject": f"user-{n}", "metadata": None} for n in range(1, min(count, 100) + 1)]


@COUNTS
def test_a_review_has_the_first_hundred_and_the_number_of_all(database, count: int):
    queue, review = opened(database, count)
    found = queue.senders(review)
    assert (found.first, found.total) == (first_hundred(count), count)
    assert queue.submissions(review) == found.first


@COUNTS
def test_so_has_each_event_of_it(database, count: int):
    queue, review = opened(database, count)
    settled = queue.settle(queue.claim(review.id, ANNA).id, ANNA, Verdict.SAFE, None)
    queue.undo(settled.id, ANNA, None)
    queue.escalate(settled.id, ANNA, None)
    told = database.read(lambda c: c.execute(select(events.c.type, events.c.data).order_by(events.c.id)).all())
    assert [row.type for row in told] == ["review.settled", "review.undone", "review.escalated"]
    for row in told:
        assert (row.data["submissions"], row.data["submissions_total"]) == (first_hundred(count), count)


def test_of_an_image_that_nobody_sent_for_review_there_are_none(database):
    send(database, OTHER, 3)
    found = database.read(lambda c: senders_of(c, IMAGE))
    assert (found.first, found.total) == ([], 0)


@pytest.mark.parametrize(("count", "asked"), [(100, 1), (101, 2)])
def test_what_was_read_whole_is_not_counted_once_more(database, count: int, asked: int):
    send(database, IMAGE, count)
    statements: list[str] = []

    def note(_connection, _cursor, statement: str, *_: object) -> None:
        statements.append(statement)

    event.listen(database.engine, "before_cursor_execute", note)
    database.read(lambda c: senders_of(c, IMAGE))
    assert len([text for text in statements if submissions.name in text]) == asked
