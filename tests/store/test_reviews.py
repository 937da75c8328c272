"""The queue: an image stands in it once, one person holds it, and a verdict is remembered."""

from __future__ import annotations

import hashlib
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import func, select

from demure.errors import Conflict, NotPermitted, SourceNotFound
from demure.memory import Memory
from demure.pdq import Fingerprint
from demure.policy import Outcome
from demure.previews import Preview
from demure.reviews import Actor, Judgement, Kind, Opening, Order, State, Submission, Verdict
from demure.store import memory
from demure.store.database import Database
from demure.store.deletion import forget_image
from demure.store.retention import Keep, sweep
from demure.store.reviews import Reviews, Times
from demure.store.schema import audit, events, hashes, previews, reviews

ANNA, BERT, ROOT = Actor("user:anna"), Actor("user:bert"), Actor("user:root", is_admin=True)
UNSURE = Judgement("unknown", "uncertain", 0.5, {"porn": 0.5}, {"open_nsfw": 0.4}, None, "tiny", "colours", "1")
PICTURE = Preview(0, 0, 2, 1, "image/jpeg", b"not really a picture")


def sha(name: str) -> bytes:
    return hashlib.sha256(name.encode()).digest()


def opening(name: str, **more) -> Opening:
    given = {"judgement": UNSURE, "submission": Submission(caller_id=name), **more}
    return Opening(sha(name), **given)


@pytest.fixture
def queue(database):
    return Reviews(database)


def put(queue, name: str, **more):
    return queue.open(opening(name, **more), [PICTURE])


def test_an_image_stands_in_the_queue_once_and_all_who_sent_it_are_kept(queue):
    first = put(queue, "a", submission=Submission("post-1", "user-7", {"board": "cats"}))
    again = put(queue, "a", submission=Submission("post-2", "user-8"))
    put(queue, "a", submission=Submission("post-2", "user-8"))
    assert again.id == first.id
    assert [r.id for r in queue.page([State.OPEN])] == [first.id]
    assert queue.submissions(first) == [
        {"id": "post-1", "subject": "user-7", "metadata": {"board": "cats"}},
        {"id": "post-2", "subject": "user-8", "metadata": None},
    ]


def test_what_the_machine_thought_is_kept_with_it(queue):
    assert queue.get(put(queue, "a").id).judgement == UNSURE


def test_nobody_else_can_claim_or_judge_what_somebody_holds(queue):
    put(queue, "a")
    held = queue.claim_next(ANNA)
    assert queue.claim_next(BERT) is None
    for refused in (
        lambda: queue.claim(held.id, BERT),
        lambda: queue.settle(held.id, BERT, Verdict.SAFE, held.version),
        lambda: queue.skip(held.id, BERT, held.version),
        lambda: queue.escalate(held.id, BERT, held.version),
    ):
        with pytest.raises(Conflict, match="somebody else"):
            refused()
    assert queue.settle(held.id, ANNA, Verdict.SAFE, held.version).state is State.SETTLED


def test_a_lease_ends_by_itself_and_then_the_first_holders_verdict_is_stale(queue, clock):
    put(queue, "a")
    first = queue.claim_next(ANNA)
    clock.pass_s(299)
    assert queue.claim_next(BERT) is None
    clock.pass_s(2)
    second = queue.claim_next(BERT)
    assert second.id == first.id
    with pytest.raises(Conflict):
        queue.settle(first.id, ANNA, Verdict.ADULT, first.version)
    clock.pass_s(301)  # nobody holds it now, but Anna has not seen the last version
    with pytest.raises(Conflict, match="not the last"):
        queue.settle(first.id, ANNA, Verdict.ADULT, first.version)
    assert queue.settle(first.id, BERT, Verdict.ADULT, second.version).verdict is Verdict.ADULT


def test_a_claim_can_be_made_longer_by_its_holder(queue, clock):
    put(queue, "a")
    held = queue.claim_next(ANNA)
    clock.pass_s(200)
    held = queue.claim(held.id, ANNA)
    clock.pass_s(200)
    assert queue.claim_next(BERT) is None
    assert queue.settle(held.id, ANNA, Verdict.SAFE, held.version).verdict_by == "user:anna"


def test_appeals_come_first_and_then_the_order_that_was_asked_for(queue, clock):
    risky = Judgement("unknown", "uncertain", 0.9, None, None, None, "tiny", "colours", "1")
    for name, more in {
        "old": {},
        "risky": {"judgement": risky},
        "urgent": {"priority": 5.0},
        "report": {"kind": Kind.REPORT},
        "appeal": {"kind": Kind.APPEAL},
    }.items():
        put(queue, name, **more)
        clock.pass_s(1)

    def turn(order: Order) -> list[str]:
        found = []
        while (review := queue.claim_next(ANNA, order, lease_s=1)) is not None:
            found.append(queue.submissions(review)[0]["id"])
        clock.pass_s(2)
        return found

    assert turn(Order.OLDEST) == ["appeal", "old", "risky", "urgent", "report"]
    assert turn(Order.RISK) == ["appeal", "risky", "old", "urgent", "report"]
    assert turn(Order.PRIORITY) == ["appeal", "urgent", "old", "risky", "report"]


def test_an_appeal_brings_an_image_forward_that_stands_in_the_queue(queue, clock):
    put(queue, "a")
    clock.pass_s(1)
    waiting = put(queue, "b")
    appealed = put(queue, "b", kind=Kind.APPEAL, note="this is a banana")
    assert (appealed.id, appealed.kind, appealed.note) == (waiting.id, Kind.APPEAL, "this is a banana")
    assert queue.claim_next(ANNA).id == waiting.id


def test_what_a_reviewer_skips_comes_back_to_them_last_and_to_others_at_once(queue, clock):
    first = put(queue, "a")
    clock.pass_s(1)
    second = put(queue, "b")
    held = queue.claim_next(ANNA)
    assert held.id == first.id
    queue.skip(held.id, ANNA, held.version)
    assert queue.claim_next(ANNA).id == second.id
    assert queue.claim_next(BERT).id == first.id


def test_a_verdict_is_remembered_by_both_hashes_and_told_and_written_down(queue, database):
    put(queue, "a", pdq=bytes(32))
    held = queue.claim_next(ANNA)
    queue.settle(held.id, ANNA, Verdict.ADULT, held.version, "plain to see")
    known = database.read(lambda c: c.execute(select(hashes.c.kind, hashes.c.verdict).order_by(hashes.c.kind)).all())
    assert known == [("pdq", "adult"), ("sha256", "adult")]
    (told,) = database.read(lambda c: c.execute(select(events.c.type, events.c.data)).all())
    assert told.type == "review.settled"
    assert (told.data["verdict"], told.data["note"], told.data["overturned"]) == ("adult", "plain to see", False)
    assert told.data["submissions"] == [{"id": "a", "subject": None, "metadata": None}]
    written = database.read(lambda c: c.execute(select(audit.c.actor, audit.c.action)).all())
    assert written == [("user:anna", "review.settle")]


def test_an_undo_gives_the_item_back_and_makes_the_memory_as_it_was(queue, database, clock):
    put(queue, "a")
    held = queue.claim_next(ANNA)
    settled = queue.settle(held.id, ANNA, Verdict.ADULT, held.version)
    with pytest.raises(NotPermitted):
        queue.undo(held.id, BERT, settled.version)
    again = queue.undo(held.id, ANNA, settled.version)
    assert (again.state, again.verdict, again.claimed_by) == (State.OPEN, None, "user:anna")
    assert database.read(lambda c: memory.recall(c, sha("a"))) is None
    settled = queue.settle(held.id, ANNA, Verdict.SAFE, again.version)
    assert database.read(lambda c: memory.recall(c, sha("a"))).verdict is Verdict.SAFE
    clock.pass_s(601)
    with pytest.raises(Conflict, match="too late"):
        queue.undo(held.id, ANNA, settled.version)


def test_an_overturned_verdict_corrects_its_memory_and_undoing_that_corrects_it_back(queue, database):
    put(queue, "a", pdq=bytes(32))
    held = queue.claim_next(ANNA)
    queue.settle(held.id, ANNA, Verdict.ADULT, held.version)
    decided = Judgement("adult", "remembered", None, None, None, None, "tiny", "colours", "1")
    put(queue, "a", pdq=bytes(32), kind=Kind.APPEAL, judgement=decided)
    appeal = queue.claim_next(BERT)
    settled = queue.settle(appeal.id, BERT, Verdict.SAFE, appeal.version)
    assert settled.overturns
    assert {row.verdict for row in database.read(lambda c: c.execute(select(hashes)).all())} == {"safe"}
    told = database.read(lambda c: c.execute(select(events.c.data).order_by(events.c.id.desc())).first()).data
    assert (told["overturned"], told["decision"], told["verdict"]) == (True, "adult", "safe")
    queue.undo(appeal.id, BERT, settled.version)
    assert {row.verdict for row in database.read(lambda c: c.execute(select(hashes)).all())} == {"adult"}


def test_an_undo_leaves_what_a_later_review_decided(queue, database):
    put(queue, "a")
    held = queue.claim_next(ANNA)
    first = queue.settle(held.id, ANNA, Verdict.ADULT, held.version)
    put(queue, "a", kind=Kind.APPEAL)
    with pytest.raises(Conflict, match="queue again"):
        queue.undo(first.id, ANNA, first.version)
    appeal = queue.claim_next(BERT)
    queue.settle(appeal.id, BERT, Verdict.SAFE, appeal.version)
    queue.undo(first.id, ANNA, first.version)
    assert database.read(lambda c: memory.recall(c, sha("a"))).verdict is Verdict.SAFE


def test_an_undone_verdict_is_not_swept_before_others_have_learned_of_it(queue, database, clock):
    other = Memory(database, within=31)
    put(queue, "a", pdq=bytes(32))
    held = queue.claim_next(ANNA)
    settled = queue.settle(held.id, ANNA, Verdict.SAFE, held.version)
    other.refresh()
    queue.undo(held.id, ANNA, settled.version)
    sweep(database, Keep())
    other.refresh()
    assert other.weigh(Outcome.UNKNOWN, [Fingerprint(bytes(32), 100)]) is None


def test_two_undos_leave_nothing_of_either_verdict(queue, database):
    """The two images look the same: the second verdict took the place of the first, and gives it back to nobody."""
    put(queue, "a", pdq=bytes(32))
    put(queue, "b", pdq=bytes(32))
    first, second = queue.claim_next(ANNA), queue.claim_next(ANNA)
    first = queue.settle(first.id, ANNA, Verdict.SAFE, first.version)
    second = queue.settle(second.id, ANNA, Verdict.SAFE, second.version)
    queue.undo(first.id, ANNA, first.version)
    queue.undo(second.id, ANNA, second.version)
    assert {row.verdict for row in database.read(lambda c: c.execute(select(hashes)).all())} == {None}


def test_an_undo_brings_nothing_back_that_was_forgotten(queue, database, clock):
    put(queue, "a", pdq=bytes(32))
    put(queue, "b", pdq=bytes(32))
    first, second = queue.claim_next(ANNA), queue.claim_next(ANNA)
    queue.settle(first.id, ANNA, Verdict.ADULT, first.version)
    second = queue.settle(second.id, ANNA, Verdict.SAFE, second.version)
    digest = bytes.fromhex(first.sha256)
    database.write(lambda c: forget_image(c, clock(), digest, "root", keep_memory=False))
    queue.undo(second.id, ANNA, second.version)
    assert {row.verdict for row in database.read(lambda c: c.execute(select(hashes)).all())} == {None}


def test_what_is_escalated_takes_an_older_verdict_out_of_the_memory(queue, database):
    put(queue, "a", pdq=bytes(32))
    held = queue.claim_next(ANNA)
    queue.settle(held.id, ANNA, Verdict.SAFE, held.version)
    report = put(queue, "a", pdq=bytes(32), kind=Kind.REPORT)
    queue.escalate(report.id, BERT, report.version)
    assert {row.verdict for row in database.read(lambda c: c.execute(select(hashes)).all())} == {None}


def test_what_is_escalated_is_hidden_frozen_and_makes_no_memory(queue, database, clock):
    put(queue, "a")
    held = queue.claim_next(ANNA)
    frozen = queue.escalate(held.id, ANNA, held.version, "look at once")
    assert frozen.state is State.ESCALATED
    assert queue.claim_next(BERT) is None
    assert database.read(lambda c: memory.recall(c, sha("a"))) is None
    assert database.read(lambda c: memory.is_escalated(c, sha("a")))
    assert database.read(lambda c: c.execute(select(previews.c.delete_ms)).scalars().all()) == [None]
    assert put(queue, "a").id == frozen.id  # sent again, it does not come before anybody
    for refused in (queue.settle, queue.skip, queue.escalate):
        with pytest.raises(Conflict, match="is escalated"):
            refused(held.id, ANNA, *([Verdict.SAFE] if refused == queue.settle else []), frozen.version)
    with pytest.raises(NotPermitted):
        queue.release(held.id, ANNA, frozen.version)
    assert queue.release(held.id, ROOT, frozen.version).state is State.OPEN
    assert queue.claim_next(BERT).id == held.id


def test_a_preview_goes_a_while_after_the_verdict_or_after_its_time(queue, database, clock):
    review = put(queue, "a")

    def gone_ms() -> int:
        return database.read(lambda c: c.execute(select(previews.c.delete_ms)).scalar_one())

    assert gone_ms() == clock() + 7 * 86_400_000
    settled = queue.settle(review.id, ANNA, Verdict.SAFE, review.version)
    assert gone_ms() == clock() + 600_000
    queue.undo(review.id, ANNA, settled.version)
    assert gone_ms() == clock() + 7 * 86_400_000


def test_a_preview_that_had_its_time_is_not_shown_though_it_was_not_swept_yet(queue, clock):
    review = put(queue, "a")
    clock.pass_s(7 * 86_400)
    with pytest.raises(SourceNotFound):
        queue.preview(review.id, 0, ANNA)


def test_without_time_for_an_undo_a_preview_goes_with_the_verdict(database):
    queue = Reviews(database, Times(undo_s=0))
    review = put(queue, "a")
    queue.settle(review.id, ANNA, Verdict.SAFE, review.version)
    assert queue.pictures(review.id) == []


def test_looking_at_a_picture_is_written_down(queue, database):
    review = put(queue, "a")
    assert queue.preview(review.id, 0, ANNA) == PICTURE
    written = database.read(lambda c: c.execute(select(audit.c.actor, audit.c.action, audit.c.target)).one())
    assert written == ("user:anna", "review.viewed", f"review:{review.id}")
    with pytest.raises(SourceNotFound):
        queue.preview(review.id, 1, ANNA)
    assert queue.pictures(review.id) == [(0, 0, 2, 1)]


def test_pages_of_the_list_miss_and_repeat_nothing(queue):
    opened = [put(queue, str(number)).id for number in range(7)]  # all in one millisecond
    found, after = [], None
    while page := queue.page([State.OPEN], after, at_most=3):
        found += [review.id for review in page]
        after = found[-1]
    assert sorted(found) == sorted(opened)
    assert len(found) == 7


def test_an_unknown_review_is_told_so(queue):
    for asked, more in ((queue.get, ()), (queue.claim, (ANNA,)), (queue.preview, (0, ANNA))):
        with pytest.raises(SourceNotFound):
            asked("no such review", *more)


def test_twenty_who_open_the_same_image_at_once_open_one_review(url, queue):
    barrier = threading.Barrier(20)

    def send(number: int) -> str:
        barrier.wait()
        return put(queue, "a", submission=Submission(str(number))).id

    with ThreadPoolExecutor(20) as pool:
        assert len({*pool.map(send, range(20))}) == 1


def test_twenty_claimers_claim_two_thousand_items_once_each(url, database, queue):
    """Each with connections of their own, as so many processes would have."""

    def fill(connection):
        for number in range(2000):
            values = {
                **vars(UNSURE),
                "id": f"{number:024}",
                "sha256": sha(str(number)),
                "kind": "unknown",
                "state": "open",
            }
            values |= {"version": 1, "rank": 1, "priority": 0.0, "opened_ms": number}
            connection.execute(reviews.insert().values(values))

    database.write(fill)

    def work(number: int) -> list[str]:
        own = Database(url, database.now_ms)
        mine, me = Reviews(own), Actor(f"user:{number}")
        claimed = []
        while (review := mine.claim_next(me)) is not None:
            claimed.append(review.id)
        own.close()
        return claimed

    with ThreadPoolExecutor(20) as pool:
        each = list(pool.map(work, range(20)))
    claimed = [review_id for ids in each for review_id in ids]
    assert len(claimed) == 2000
    assert {*claimed} == {f"{number:024}" for number in range(2000)}
    versions = database.read(
        lambda c: c.execute(select(func.min(reviews.c.version), func.max(reviews.c.version))).one()
    )
    assert versions == (2, 2)
