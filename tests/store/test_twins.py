"""Two files of one picture have one PDQ hash between them: what becomes of a verdict on one when the other is forgotten."""

from __future__ import annotations

import hashlib
import random
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
from sqlalchemy import select

from demure.errors import Conflict, SourceNotFound, StorageUnavailable
from demure.memory import Memory
from demure.pdq import Fingerprint
from demure.policy import Outcome
from demure.previews import Preview
from demure.reviews import Actor, Judgement, Opening, Review, Submission, Verdict
from demure.store import memory
from demure.store.deletion import forget_image, forget_subject
from demure.store.memory import HashKind
from demure.store.retention import Keep, sweep
from demure.store.reviews import Reviews
from demure.store.schema import hashes, reviews

ANNA, ROOT = Actor("user:anna"), Actor("user:root", is_admin=True)
UNSURE = Judgement("unknown", "uncertain", 0.5, {"porn": 0.5}, None, None, "tiny", "colours", "1")
PICTURE = Preview(0, 0, 2, 1, "image/jpeg", b"not really a picture")
PDQ = b"\1" * 32
YEAR_S = 366 * 86_400


def sha(name: str) -> bytes:
    return hashlib.sha256(name.encode()).digest()


@pytest.fixture
def queue(database):
    return Reviews(database)


@pytest.fixture
def copies(database):
    """What a third file of the picture is answered."""
    known = Memory(database, within=31)

    def ask() -> Outcome | None:
        known.refresh()
        found = known.weigh(Outcome.UNKNOWN, [Fingerprint(PDQ, 100)])
        return found and found.decision

    return ask


def put(queue: Reviews, name: str, subject: str) -> Review:
    return queue.open(Opening(sha(name), UNSURE, Submission(subject=subject), pdq=PDQ), [PICTURE])


def judge(queue: Reviews, review: Review, verdict: Verdict) -> Review:
    return queue.settle(review.id, ANNA, verdict, None)


def forget(database, subject: str) -> None:
    (found,) = forget_subject(database, subject, "key:forum", keep_memory=False)
    assert found.fate == "deleted"


def forget_hash(database, name: str, *, keep_memory: bool = False) -> None:
    work = lambda c: forget_image(c, database.now_ms(), sha(name), "key:forum", keep_memory=keep_memory)  # noqa: E731
    assert database.write(work)


def test_who_is_forgotten_takes_no_verdict_on_anothers_file_along(queue, database, copies):
    """Mallory's file was never judged."""
    first, _ = put(queue, "a", "alice"), put(queue, "a2", "mallory")
    judge(queue, first, Verdict.ADULT)
    forget(database, "mallory")
    assert copies() is Outcome.ADULT
    assert database.read(lambda c: memory.recall(c, sha("a"))).verdict is Verdict.ADULT
    forget(database, "alice")
    assert copies() is None


def test_a_verdict_on_anothers_file_comes_back_when_the_one_that_took_its_place_is_forgotten(queue, database, copies):
    """As after an appeal of mallory's, which a person settled."""
    for name, subject, verdict in (("a", "alice", Verdict.ADULT), ("a2", "mallory", Verdict.SAFE)):
        judge(queue, put(queue, name, subject), verdict)
    assert copies() is Outcome.SAFE
    forget(database, "mallory")
    assert copies() is Outcome.ADULT
    assert database.read(lambda c: memory.recall(c, sha("a2"))) is None


def test_a_verdict_that_was_taken_back_does_not_come_back(queue, database, copies):
    first = judge(queue, put(queue, "a", "alice"), Verdict.ADULT)
    judge(queue, put(queue, "a2", "mallory"), Verdict.SAFE)
    queue.undo(first.id, ANNA, None)
    forget(database, "mallory")
    assert copies() is None


@pytest.mark.parametrize("keep_memory", [False, True], ids=["at-once", "first-kept"])
def test_an_undo_brings_back_what_was_before_a_verdict_that_was_forgotten(queue, database, copies, keep_memory):
    judge(queue, put(queue, "a", "alice"), Verdict.ADULT)
    judge(queue, put(queue, "a2", "mallory"), Verdict.SAFE)
    third = judge(queue, put(queue, "a3", "bob"), Verdict.ADULT)
    if keep_memory:  # the review goes first, and with it what it had replaced; its verdict a moment later
        forget_hash(database, "a2", keep_memory=True)
    forget_hash(database, "a2")
    assert copies() is Outcome.ADULT
    queue.undo(third.id, ANNA, None)
    assert copies() is (None if keep_memory else Outcome.ADULT)


def test_a_forgotten_verdict_does_not_come_back_by_an_undo(queue, database, copies):
    judge(queue, put(queue, "a", "alice"), Verdict.ADULT)
    second = judge(queue, put(queue, "a2", "mallory"), Verdict.SAFE)
    forget(database, "alice")
    assert copies() is Outcome.SAFE
    queue.undo(second.id, ANNA, None)
    assert copies() is None


def test_two_verdicts_on_one_file_go_together(queue, database, copies):
    judge(queue, put(queue, "a", "alice"), Verdict.ADULT)
    for verdict in (Verdict.SAFE, Verdict.ADULT, Verdict.SAFE):
        judge(queue, put(queue, "a2", "mallory"), verdict)
    forget(database, "mallory")
    assert copies() is Outcome.ADULT
    assert database.read(lambda c: memory.recall(c, sha("a2"))) is None


def test_an_undo_below_the_last_verdict_leaves_what_was_before_both(queue, copies):
    judge(queue, put(queue, "a", "alice"), Verdict.ADULT)
    second = judge(queue, put(queue, "a2", "mallory"), Verdict.SAFE)
    third = judge(queue, put(queue, "a3", "bob"), Verdict.SAFE)
    queue.undo(second.id, ANNA, None)
    assert copies() is Outcome.SAFE
    queue.undo(third.id, ANNA, None)
    assert copies() is Outcome.ADULT


def test_an_imported_verdict_on_the_forgotten_picture_goes_with_it(queue, database, copies):
    database.write(lambda c: memory.remember(c, 0, [(HashKind.PDQ, PDQ)], Verdict.ADULT, "import"))
    judge(queue, put(queue, "a", "alice"), Verdict.SAFE)
    forget(database, "alice")
    assert copies() is None


def test_a_verdict_of_a_review_that_was_swept_is_handed_on(queue, database, clock, copies):
    judge(queue, put(queue, "a", "alice"), Verdict.ADULT)
    clock.pass_s(YEAR_S)
    sweep(database, Keep())
    assert database.read(lambda c: c.execute(select(reviews.c.id)).first()) is None
    judge(queue, put(queue, "a2", "mallory"), Verdict.SAFE)
    forget(database, "mallory")
    assert copies() is Outcome.ADULT


def test_whatever_is_judged_taken_back_and_forgotten_at_once_leaves_no_forgotten_verdict_behind(queue, database):
    """What a verdict replaced is noted with it: none may name a review that was forgotten meanwhile."""
    names = [f"file {number}" for number in range(6)]

    def live(seed: int) -> None:
        dice = random.Random(seed)
        for _ in range(12):
            name = dice.choice(names)
            # What four at once lock in each other's way is tried again a few times, and then told to whoever asked.
            with suppress(Conflict, SourceNotFound, StorageUnavailable):
                review = judge(queue, put(queue, name, name), dice.choice([*Verdict]))
                if dice.random() < 0.4:
                    queue.undo(review.id, ANNA, None)
            with suppress(StorageUnavailable):
                if dice.random() < 0.4:
                    forget_subject(database, dice.choice(names), "key:forum", keep_memory=False)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(live, range(4)))

    rows = database.read(lambda c: c.execute(select(reviews.c.id, reviews.c.replaced)).all())
    there = {None, *(row.id for row in rows)}
    noted = [said for row in rows for said in row.replaced or () if said["verdict"]]
    assert {said["review_id"] for said in noted} <= there
    held = database.read(lambda c: c.execute(select(hashes).where(hashes.c.verdict.is_not(None))).all())
    assert {row.review_id for row in held} <= there
    for name in names:
        forget_subject(database, name, "key:forum", keep_memory=False)
    assert database.read(lambda c: c.execute(select(hashes.c.id).where(hashes.c.verdict.is_not(None))).first()) is None
