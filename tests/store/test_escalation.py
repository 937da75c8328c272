"""While an image is escalated the memory says nothing of it, and afterwards what it had said before; its older items are hidden
with it."""

from __future__ import annotations

import hashlib

import pytest
from sqlalchemy import select

from demure.errors import Conflict, NotPermitted
from demure.memory import Memory
from demure.pdq import Fingerprint
from demure.policy import Outcome
from demure.previews import Preview
from demure.reviews import Actor, Judgement, Kind, Opening, Review, State, Submission, Verdict
from demure.store.deletion import forget_image
from demure.store.retention import Keep, sweep
from demure.store.reviews import Reviews
from demure.store.schema import reviews

ANNA, BERT, ROOT = Actor("user:anna"), Actor("user:bert"), Actor("user:root", is_admin=True)
CALM = Judgement("safe", "risk <= 0.25", 0.1, {"porn": 0.1}, None, None, "tiny", "colours", "1")
PICTURE = Preview(0, 0, 2, 1, "image/jpeg", b"not really a picture")
PDQ = b"\1" * 32
DAY_S = 86_400


def sha(name: str) -> bytes:
    return hashlib.sha256(name.encode()).digest()


@pytest.fixture
def queue(database):
    return Reviews(database)


@pytest.fixture
def known(database):
    """What is answered without a look: to a file by its name, or else to any other file of the same picture."""
    copies = Memory(database, within=31)

    def ask(name: str = "") -> str | None:
        found = copies.recall(sha(name)) or copies.weigh(Outcome.SAFE, [Fingerprint(PDQ, 100)])
        return found and f"{found.decision} {found.reason}"

    return ask


def put(queue: Reviews, name: str = "a", kind: Kind = Kind.REPORT) -> Review:
    return queue.open(Opening(sha(name), CALM, Submission("post"), kind=kind, pdq=PDQ), [PICTURE])


def judged(queue: Reviews, verdict: Verdict, name: str = "a") -> Review:
    return queue.settle(put(queue, name).id, ANNA, verdict, None)


def escalated(queue: Reviews, name: str = "a") -> Review:
    return queue.escalate(put(queue, name).id, BERT, None)


@pytest.mark.parametrize("days", [0, 3], ids=["at-once", "when-the-withdrawn-rows-are-swept"])
@pytest.mark.parametrize("verdict", Verdict)
def test_a_verdict_counts_again_when_its_image_is_released(queue, database, clock, known, verdict, days):
    judged(queue, verdict)
    frozen = escalated(queue)
    assert (known("a"), known()) == ("unknown escalated", None)
    clock.pass_s(days * DAY_S)
    sweep(database, Keep())
    queue.release(frozen.id, ROOT, None)
    assert (known("a"), known()) == (f"{verdict} remembered", f"{verdict} near_copy")
    clock.pass_s(8 * DAY_S)
    assert sweep(database, Keep()).expired == 1  # nobody judged it anew
    assert known("a") == f"{verdict} remembered"


def test_what_nobody_had_judged_is_not_judged_by_a_release(queue, database, known):
    frozen = escalated(queue)
    queue.release(frozen.id, ROOT, None)
    assert (known("a"), known()) == (None, None)
    assert database.read(lambda c: c.execute(select(reviews.c.replaced)).scalar_one()) is None  # nor by a later move


def test_an_escalation_of_anothers_file_takes_a_verdict_on_the_picture_away_until_its_release(queue, known):
    judged(queue, Verdict.ADULT)
    frozen = escalated(queue, "a2")
    assert (known("a"), known()) == ("adult remembered", None)
    queue.release(frozen.id, ROOT, None)
    assert known() == "adult near_copy"


@pytest.mark.parametrize("days", [0, 3], ids=["at-once", "when-the-withdrawn-rows-are-swept"])
@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=["first-first", "last-first"])
def test_of_two_files_of_a_picture_that_are_escalated_both_are_released_before_it_is_known_again(
    queue, database, clock, known, order, days
):
    judged(queue, Verdict.ADULT)
    frozen = [escalated(queue, "a2"), escalated(queue, "a3")]
    clock.pass_s(days * DAY_S)
    sweep(database, Keep())
    queue.release(frozen[order[0]].id, ROOT, None)
    assert known() is None
    queue.release(frozen[order[1]].id, ROOT, None)
    assert known() == "adult near_copy"


def test_a_verdict_given_meanwhile_on_another_file_stands_and_its_undo_brings_back_the_older(queue, known):
    judged(queue, Verdict.ADULT)
    frozen = escalated(queue, "a2")
    later = judged(queue, Verdict.SAFE, "a3")
    queue.release(frozen.id, ROOT, None)
    assert known() == "safe near_copy"
    queue.undo(later.id, ANNA, None)
    assert known() == "adult near_copy"


def test_a_verdict_that_was_forgotten_meanwhile_is_not_brought_back(queue, database, clock, known):
    judged(queue, Verdict.ADULT)
    frozen = escalated(queue, "a2")
    database.write(lambda c: forget_image(c, clock(), sha("a"), "root", keep_memory=False))
    queue.release(frozen.id, ROOT, None)
    assert known() is None


def test_a_verdict_after_the_release_can_be_taken_back_to_the_one_before(queue, known):
    judged(queue, Verdict.ADULT)
    frozen = escalated(queue)
    queue.release(frozen.id, ROOT, None)
    queue.settle(frozen.id, ANNA, Verdict.SAFE, None)
    assert known("a") == "safe remembered"
    queue.undo(frozen.id, ANNA, None)
    assert known("a") == "adult remembered"


def test_an_escalated_image_is_not_seen_through_an_older_item_of_it(queue):
    old = judged(queue, Verdict.SAFE)
    other = judged(queue, Verdict.SAFE, "b")
    assert queue.preview(old.id, 0, ANNA) == PICTURE
    frozen = escalated(queue)
    for actor in (ANNA, ROOT):
        with pytest.raises(NotPermitted, match="escalated"):
            queue.preview(old.id, 0, actor)
    with pytest.raises(NotPermitted, match="admins alone"):
        queue.shown(old.id, ANNA)
    assert queue.shown(old.id, ROOT).id == old.id
    assert queue.shown(other.id, ANNA).id == other.id
    assert [review.id for review in queue.page([State.SETTLED], frozen=False)] == [other.id]
    assert {review.id for review in queue.page([State.SETTLED])} == {old.id, other.id}
    with pytest.raises(Conflict):
        queue.undo(old.id, ANNA, None)
    queue.release(frozen.id, ROOT, None)
    assert queue.preview(old.id, 0, ANNA) == PICTURE
    assert queue.shown(old.id, ANNA).id == old.id


def test_a_long_list_without_what_is_escalated_has_full_pages(queue):
    ids = [judged(queue, Verdict.SAFE, str(number)).id for number in range(6)]
    escalated(queue, "0"), escalated(queue, "3")
    found, after = [], None
    while page := queue.page([State.SETTLED], after, 2, frozen=False):
        assert len(page) == 2
        found += [review.id for review in page]
        after = found[-1]
    assert sorted(found) == sorted(set(ids) - {ids[0], ids[3]})
