"""What a caller asks to be forgotten is gone, a tombstone stays; what others sent and what is frozen stays."""

from __future__ import annotations

import hashlib
import json
import threading
import time

import pytest
from sqlalchemy import func, insert, select, update
from waiting import PATIENCE_S

from demure.errors import Conflict
from demure.previews import Preview
from demure.reviews import Actor, Judgement, Kind, Opening, State, Submission, Verdict
from demure.store import images, memory
from demure.store.audit import verify
from demure.store.deletion import Fate, Forgotten, forget_image, forget_subject
from demure.store.memory import HashKind
from demure.store.reviews import Reviews
from demure.store.schema import audit, hashes, metadata, reviews, submissions, tombstones

ANNA, ROOT = Actor("user:anna"), Actor("user:root", is_admin=True)
UNSURE = Judgement("unknown", "uncertain", 0.5, {"porn": 0.5}, None, None, "tiny", "colours", "1")
PICTURE = Preview(0, 0, 2, 1, "image/jpeg", b"not really a picture")
PDQ, OTHER_PDQ = b"\1" * 32, b"\2" * 32


def sha(name: str) -> bytes:
    return hashlib.sha256(name.encode()).digest()


def record(c, now_ms: int, sha256: bytes, subject: str) -> None:
    images.record(c, now_ms, sha256, UNSURE)
    if subject:
        images.note_submission(c, now_ms, sha256, Submission(subject=subject))


@pytest.fixture
def queue(database):
    return Reviews(database)


def send(queue, database, clock, name: str, subject: str = "user-7", **more):
    """An image that was decided and went to review."""
    database.write(lambda c: record(c, clock(), sha(name), subject))
    given = {"judgement": UNSURE, "submission": Submission(f"post-{name}", subject), **more}
    return queue.open(Opening(sha(name), **given), [PICTURE])


def forget(database, clock, name: str, *, keep_memory: bool = False) -> bool:
    return database.write(lambda c: forget_image(c, clock(), sha(name), "key:forum", keep_memory=keep_memory))


def forget_all(database, subject: str = "user-7", *, keep_memory: bool = False) -> dict[bytes, Fate]:
    return {
        found.sha256: found.fate for found in forget_subject(database, subject, "key:forum", keep_memory=keep_memory)
    }


def counts(database) -> dict[str, int]:
    """Rows of what is told of images."""
    names = ("images", "submissions", "reviews", "previews", "skips")
    return {
        name: database.read(lambda c, t=metadata.tables[name]: c.execute(select(func.count()).select_from(t)).scalar())
        for name in names
    }


def remembered(database) -> dict[tuple[str, bytes], str | None]:
    rows = database.read(lambda c: c.execute(select(hashes)).all())
    return {(row.kind, bytes(row.hash)): row.verdict for row in rows}


def last_record(database):
    return database.read(lambda c: c.execute(select(audit).order_by(audit.c.seq.desc()).limit(1)).one())


GONE = {"images": 0, "submissions": 0, "reviews": 0, "previews": 0, "skips": 0}


def test_an_image_goes_with_all_that_is_told_of_it(queue, database, clock):
    review = send(queue, database, clock, "a")
    queue.skip(review.id, ANNA, None)
    assert counts(database) == {"images": 1, "submissions": 2, "reviews": 1, "previews": 1, "skips": 1}
    assert forget(database, clock, "a")
    assert counts(database) == GONE


@pytest.mark.parametrize("state", [State.OPEN, State.SETTLED, State.EXPIRED])
def test_a_review_goes_in_each_state_but_the_frozen(queue, database, clock, state):
    send(queue, database, clock, "a")
    database.write(lambda c: c.execute(update(reviews).values(state=state)))
    assert forget(database, clock, "a")
    assert counts(database) == GONE


def test_another_image_stays(queue, database, clock):
    send(queue, database, clock, "a")
    kept = send(queue, database, clock, "b")
    queue.skip(kept.id, ANNA, None)
    forget(database, clock, "a")
    assert counts(database) == {"images": 1, "submissions": 2, "reviews": 1, "previews": 1, "skips": 1}
    assert queue.get(kept.id).sha256 == sha("b").hex()


def test_a_tombstone_stays_and_says_who_and_when(queue, database, clock):
    send(queue, database, clock, "a")
    forget(database, clock, "a")
    row = database.read(lambda c: c.execute(select(tombstones)).one())
    assert (bytes(row.sha256), row.deleted_ms, row.deleted_by) == (sha("a"), clock(), "key:forum")


def test_an_image_that_came_back_is_deleted_again(queue, database, clock):
    for _ in range(2):
        clock.pass_s(5)
        send(queue, database, clock, "a")
        assert forget(database, clock, "a")
    assert database.read(lambda c: c.execute(select(tombstones.c.deleted_ms)).scalar_one()) == clock()


def test_the_log_tells_of_a_deletion(queue, database, clock):
    send(queue, database, clock, "a", pdq=PDQ)
    queue.settle(queue.claim_next(ANNA).id, ANNA, Verdict.ADULT, None)
    forget(database, clock, "a")
    row = last_record(database)
    assert (row.at_ms, row.actor, row.action, row.target) == (
        clock(),
        "key:forum",
        "image.deleted",
        f"image:{sha('a').hex()}",
    )
    assert json.loads(row.details) == {"reviews": 1, "withdrawn": 2}
    assert verify(database).head.seq == row.seq


def test_what_is_not_known_is_not_deleted_and_leaves_nothing(database, clock):
    assert not forget(database, clock, "a")
    assert database.read(lambda c: c.execute(select(tombstones)).first()) is None
    assert database.read(lambda c: c.execute(select(audit)).first()) is None


def test_the_memory_of_an_image_and_its_near_copies_is_withdrawn(queue, database, clock):
    for name, pdq in (("a", PDQ), ("b", OTHER_PDQ)):
        queue.settle(send(queue, database, clock, name, pdq=pdq).id, ANNA, Verdict.ADULT, None)
    before = database.read(memory.last_change)
    clock.pass_s(5)
    forget(database, clock, "a")
    assert remembered(database) == {
        ("sha256", sha("a")): None,
        ("pdq", PDQ): None,
        ("sha256", sha("b")): "adult",
        ("pdq", OTHER_PDQ): "adult",
    }
    # Who keeps a copy of the memory learns of it as of any change.
    (told,) = database.read(lambda c: list(memory.changes(c, before)))
    assert (told.hash, told.verdict) == (PDQ, None)
    withdrawn = database.read(lambda c: c.execute(select(hashes).where(hashes.c.hash == PDQ)).one())
    assert (withdrawn.decided_by, withdrawn.decided_ms) == ("key:forum", clock())


def test_the_memory_stays_if_it_is_to_be_kept(queue, database, clock):
    queue.settle(send(queue, database, clock, "a", pdq=PDQ).id, ANNA, Verdict.ADULT, None)
    assert forget(database, clock, "a", keep_memory=True)
    assert counts(database) == GONE
    assert remembered(database) == {("sha256", sha("a")): "adult", ("pdq", PDQ): "adult"}
    assert forget(database, clock, "a")  # and can be forgotten later
    assert {*remembered(database).values()} == {None}


def test_near_copies_are_forgotten_after_the_review_itself_is_gone(database, clock):
    known = [(HashKind.SHA256, sha("a")), (HashKind.PDQ, PDQ)]
    database.write(lambda c: memory.remember(c, clock(), known, Verdict.ADULT, "user:anna", "long-gone"))
    assert forget(database, clock, "a")
    assert {*remembered(database).values()} == {None}


def test_an_imported_hash_of_the_picture_is_forgotten(queue, database, clock):
    database.write(lambda c: memory.remember(c, clock(), [(HashKind.PDQ, PDQ)], Verdict.ADULT, "key:import"))
    send(queue, database, clock, "a", pdq=PDQ)
    forget(database, clock, "a")
    assert remembered(database) == {("pdq", PDQ): None}


def test_hashes_that_no_review_gave_are_not_taken_for_one_another(database, clock):
    known = [(HashKind.SHA256, sha("a")), (HashKind.SHA256, sha("b")), (HashKind.PDQ, PDQ)]
    database.write(lambda c: memory.remember(c, clock(), known, Verdict.ADULT, "key:import"))
    assert forget(database, clock, "a")
    assert [*remembered(database).values()].count("adult") == 2


def test_a_hash_is_withdrawn_once(queue, database, clock):
    queue.settle(send(queue, database, clock, "a").id, ANNA, Verdict.ADULT, None)
    assert forget(database, clock, "a")
    assert not forget(database, clock, "a")


def test_an_escalated_image_is_not_deleted_until_it_is_released(queue, database, clock):
    send(queue, database, clock, "a")
    review = queue.escalate(queue.claim_next(ANNA).id, ANNA, None)
    before = counts(database)
    with pytest.raises(Conflict, match="escalated"):
        forget(database, clock, "a")
    assert counts(database) == before
    assert database.read(lambda c: c.execute(select(tombstones)).first()) is None
    queue.release(review.id, ROOT, None)
    assert forget(database, clock, "a")


def test_an_older_verdict_does_not_open_a_frozen_image(queue, database, clock):
    queue.settle(send(queue, database, clock, "a").id, ANNA, Verdict.SAFE, None)
    queue.escalate(send(queue, database, clock, "a", kind=Kind.APPEAL).id, ANNA, None)
    with pytest.raises(Conflict):
        forget(database, clock, "a")
    assert counts(database)["reviews"] == 2


def test_an_image_that_is_being_escalated_is_waited_for(queue, database, clock):
    send(queue, database, clock, "a")
    escalating, go_on, found = threading.Event(), threading.Event(), []

    def escalate(c):
        c.execute(update(reviews).values(state=State.ESCALATED))
        escalating.set()
        go_on.wait(PATIENCE_S)

    def ask():
        try:
            found.append(forget(database, clock, "a"))
        except Conflict as error:
            found.append(error.code)

    threads = [threading.Thread(target=lambda: database.write(escalate)), threading.Thread(target=ask)]
    threads[0].start()
    assert escalating.wait(PATIENCE_S)
    threads[1].start()
    time.sleep(0.3)
    go_on.set()
    for thread in threads:
        thread.join()
    assert found == ["conflict"]
    assert counts(database)["images"] == 1


def test_a_subject_is_forgotten_with_each_image_it_sent(queue, database, clock):
    for name in "abc":
        send(queue, database, clock, name)
    send(queue, database, clock, "d", subject="user-8")
    assert forget_all(database) == dict.fromkeys((sha("a"), sha("b"), sha("c")), Fate.DELETED)
    assert counts(database) == {"images": 1, "submissions": 2, "reviews": 1, "previews": 1, "skips": 0}
    assert database.read(lambda c: c.execute(select(func.count()).select_from(tombstones)).scalar()) == 3


def test_an_image_that_others_sent_as_well_stays_but_not_that_this_one_did(queue, database, clock):
    for subject in ("user-7", "user-8"):
        send(queue, database, clock, "a", subject)
    assert forget_all(database) == {sha("a"): Fate.SHARED}
    assert counts(database) == {"images": 1, "submissions": 2, "reviews": 1, "previews": 1, "skips": 0}
    assert set(database.read(lambda c: c.execute(select(submissions.c.subject)).scalars().all())) == {"user-8"}
    assert database.read(lambda c: c.execute(select(tombstones)).first()) is None
    assert forget_all(database, "user-8") == {sha("a"): Fate.DELETED}


def test_who_sent_it_without_saying_whose_it_is_holds_nothing(queue, database, clock):
    send(queue, database, clock, "a")
    send(queue, database, clock, "a", subject="", kind=Kind.REPORT)
    assert forget_all(database) == {sha("a"): Fate.DELETED}
    assert counts(database) == GONE


def test_a_subjects_frozen_image_is_told_of_and_stays_as_it_is(queue, database, clock):
    for name in "ab":
        send(queue, database, clock, name)
    for subject in ("user-7", "user-8"):
        send(queue, database, clock, "c", subject)
    for name in "bc":
        queue.escalate(send(queue, database, clock, name).id, ANNA, None)
    assert forget_all(database) == {sha("a"): Fate.DELETED, sha("b"): Fate.FROZEN, sha("c"): Fate.FROZEN}
    subjects = database.read(
        lambda c: c.execute(select(submissions.c.sha256).where(submissions.c.subject == "user-7")).all()
    )
    assert {bytes(row.sha256) for row in subjects} == {sha("b"), sha("c")}  # who sent what is frozen is part of it


def test_nobody_is_no_subject(queue, database, clock):
    send(queue, database, clock, "a", subject="")
    assert forget_all(database, "") == {}
    assert counts(database)["images"] == 1


def test_a_subject_that_sent_nothing_leaves_nothing(database):
    assert forget_all(database, "user-9") == {}
    assert database.read(lambda c: c.execute(select(audit)).first()) is None


def test_the_log_tells_that_a_subject_was_forgotten_but_not_its_name(queue, database, clock):
    for name in "ab":
        send(queue, database, clock, name)
    queue.escalate(send(queue, database, clock, "b").id, ANNA, None)
    forget_all(database)
    row = last_record(database)
    assert (row.actor, row.action) == ("key:forum", "subject.deleted")
    assert row.target == "subject:sha256:" + hashlib.sha256(b"user-7").hexdigest()
    assert json.loads(row.details) == {"deleted": 1, "frozen": 1}
    assert "user-7" not in str(database.read(lambda c: c.execute(select(audit)).all()))


def test_a_subjects_memory_stays_if_it_is_to_be_kept(queue, database, clock):
    queue.settle(send(queue, database, clock, "a").id, ANNA, Verdict.ADULT, None)
    forget_all(database, keep_memory=True)
    assert remembered(database) == {("sha256", sha("a")): "adult"}


def test_an_image_whose_decision_was_swept_is_found_by_its_sender(database, clock):
    row = {"sha256": sha("a"), "caller_id": "post-1", "subject": "user-7", "sent_ms": clock()}
    database.write(lambda c: c.execute(insert(submissions).values(row)))
    assert forget_subject(database, "user-7", "key:forum", keep_memory=False) == [Forgotten(sha("a"), Fate.DELETED)]
