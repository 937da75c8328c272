"""What is kept goes when its time has come, a day before it stays, and what was escalated always stays."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import func, insert, select, update
from waiting import PATIENCE_S

from demure.audit import Break, Fault
from demure.previews import Preview
from demure.reviews import Actor, Judgement, Kind, Opening, State, Submission, Verdict
from demure.store import images, memory, retention
from demure.store.audit import append, verify
from demure.store.events import emit
from demure.store.retention import Keep, sweep
from demure.store.reviews import Reviews, Times
from demure.store.schema import (
    DAY_MS,
    audit,
    deliveries,
    events,
    hashes,
    invitations,
    metadata,
    previews,
    reviews,
    sessions,
)

DAY_S = 24 * 60 * 60
ANNA, BERT, ROOT = Actor("user:anna"), Actor("user:bert"), Actor("user:root", is_admin=True)
UNSURE = Judgement("unknown", "uncertain", 0.5, {"porn": 0.5}, None, None, "tiny", "colours", "1")
PICTURES = [Preview(number, number, 2, 1, "image/jpeg", b"not really a picture") for number in (0, 1)]
HOOK = "https://forum.example/hook"


def sha(name: str) -> bytes:
    return hashlib.sha256(name.encode()).digest()


def record(c, now_ms: int, sha256: bytes, subject: str) -> None:
    images.record(c, now_ms, sha256, UNSURE)
    if subject:
        images.note_submission(c, now_ms, sha256, Submission(subject=subject))


@pytest.fixture
def queue(database):
    return Reviews(database)


def put(queue, name: str, pictures=PICTURES, **more):
    given = {"judgement": UNSURE, "submission": Submission(f"post-{name}", "user-7"), **more}
    return queue.open(Opening(sha(name), **given), pictures)


def decide(database, name: str, subject: str = "user-7") -> None:
    now_ms = database.now_ms()
    database.write(lambda c: record(c, now_ms, sha(name), subject))


def count(database, name: str) -> int:
    return database.read(lambda c: c.execute(select(func.count()).select_from(metadata.tables[name])).scalar())


def actions(database) -> list[tuple[str, str]]:
    return database.read(
        lambda c: [tuple(row) for row in c.execute(select(audit.c.actor, audit.c.action).order_by(audit.c.seq))]
    )


def sweep_at_limit(database, clock, days: int, table: str, keep: Keep = Keep()) -> None:
    """Rows of the table, made just now, stay for so many days and then go."""
    before = count(database, table)
    assert before > 0
    clock.pass_s(days * DAY_S - 1)
    sweep(database, keep)
    assert count(database, table) == before
    clock.pass_s(2)
    assert sweep(database, keep).deleted[table] == before
    assert count(database, table) == 0


def test_previews_go_after_seven_days_and_with_them_the_item_expires(queue, database, clock):
    review = put(queue, "a")
    queue.claim(review.id, ANNA)
    held = queue.get(review.id)
    sweep_at_limit(database, clock, 7, "previews")
    expired = queue.get(review.id)
    assert (expired.state, expired.version) == (State.EXPIRED, held.version + 1)
    assert (expired.claimed_by, expired.claimed_until_ms) == (None, None)


def test_who_waits_for_an_item_is_told_that_it_expired_and_the_log_has_it(queue, database, clock):
    review = put(queue, "a")
    clock.pass_s(7 * DAY_S)
    assert sweep(database, Keep(), [HOOK]).expired == 1
    told = database.read(lambda c: c.execute(select(events).where(events.c.type == "review.expired")).one())
    assert (told.at_ms, told.data) == (clock(), {"review": review.id, "sha256": sha("a").hex()})
    waiting = database.read(lambda c: c.execute(select(deliveries).where(deliveries.c.event_id == told.id)).one())
    assert (waiting.endpoint, waiting.state) == (HOOK, "waiting")
    row = database.read(lambda c: c.execute(select(audit).order_by(audit.c.seq.desc()).limit(1)).one())
    assert (row.actor, row.action, row.target) == ("demure", "review.expired", f"review:{review.id}")
    assert json.loads(row.details) == {"sha256": sha("a").hex()}
    assert sweep(database, Keep(), [HOOK]).expired == 0  # once


def test_a_preview_goes_with_the_verdict_once_it_cannot_be_taken_back(queue, database, clock):
    queue.settle(put(queue, "a").id, ANNA, Verdict.SAFE, None)
    clock.pass_s(599)
    sweep(database, Keep())
    assert count(database, "previews") == 2
    clock.pass_s(2)
    swept = sweep(database, Keep())
    assert (swept.deleted, swept.expired, count(database, "previews")) == ({"previews": 2}, 0, 0)
    assert database.read(lambda c: c.execute(select(reviews.c.state)).scalar()) == State.SETTLED


def test_an_item_without_a_picture_waits_as_long_as_one_with(queue, database, clock):
    put(queue, "a", pictures=[], kind=Kind.REPORT)
    clock.pass_s(7 * DAY_S)
    assert sweep(database, Keep()).expired == 0
    clock.pass_s(1)
    assert sweep(database, Keep()).expired == 1


def test_an_item_with_a_picture_left_does_not_expire(queue, database, clock):
    review = put(queue, "a")
    one = (previews.c.review_id == review.id) & (previews.c.number == 0)
    database.write(lambda c: c.execute(update(previews).where(one).values(delete_ms=clock())))
    clock.pass_s(1)
    swept = sweep(database, Keep())
    assert (swept.deleted, swept.expired, queue.get(review.id).state) == ({"previews": 1}, 0, State.OPEN)


def test_decisions_go_after_ninety_days(database, clock):
    decide(database, "a", subject="")
    sweep_at_limit(database, clock, 90, "images")


def test_a_decision_that_was_made_again_is_young(database, clock):
    decide(database, "a")
    clock.pass_s(60 * DAY_S)
    decide(database, "a")
    clock.pass_s(60 * DAY_S)
    sweep(database, Keep())
    assert (count(database, "images"), count(database, "submissions")) == (1, 1)


def test_who_sent_an_image_is_forgotten_after_ninety_days(database, clock):
    decide(database, "a")
    sweep_at_limit(database, clock, 90, "submissions")


def test_a_decision_stays_while_its_image_waits_or_is_frozen(queue, database, clock):
    for name in ("open", "escalated", "settled"):
        decide(database, name)
        put(queue, name, pictures=[])
    queue.escalate(put(queue, "escalated").id, ANNA, None)
    queue.settle(put(queue, "settled").id, ANNA, Verdict.SAFE, None)
    clock.pass_s(90 * DAY_S + 1)
    sweep(database, Keep(previews_days=100))
    left = {sha("open"), sha("escalated")}
    for table in ("images", "submissions"):
        stay = select(metadata.tables[table].c.sha256)
        assert set(database.read(lambda c, stay=stay: c.execute(stay).scalars().all())) == left


def test_a_verdict_goes_after_a_year_with_who_skipped_it_and_the_memory_of_it_stays(queue, database, clock):
    review = put(queue, "a", pdq=b"\1" * 32)
    queue.skip(review.id, BERT, None)
    clock.pass_s(5 * DAY_S)  # it is old from when it was judged, not from when it was opened
    queue.settle(review.id, ANNA, Verdict.ADULT, None)
    sweep_at_limit(database, clock, 365, "reviews")
    assert (count(database, "skips"), count(database, "previews")) == (0, 0)
    assert database.read(lambda c: memory.recall(c, sha("a"))).verdict is Verdict.ADULT
    assert count(database, "hashes") == 2


def test_an_expired_review_goes_after_a_year(queue, database, clock):
    review = put(queue, "a")
    queue.skip(review.id, BERT, None)
    clock.pass_s(8 * DAY_S)
    sweep(database, Keep())
    clock.pass_s(357 * DAY_S - 1)
    sweep(database, Keep())
    assert (count(database, "reviews"), count(database, "skips")) == (1, 1)
    clock.pass_s(2)
    sweep(database, Keep())
    assert (count(database, "reviews"), count(database, "skips")) == (0, 0)


def test_only_what_is_done_with_goes_however_old(database, clock):
    queue = Reviews(database, Times(preview_s=2000 * DAY_S))
    waiting, frozen = put(queue, "a"), put(queue, "b")
    queue.escalate(frozen.id, ANNA, None)
    clock.pass_s(1999 * DAY_S)
    sweep(database, Keep())
    assert [queue.get(review.id).state for review in (waiting, frozen)] == [State.OPEN, State.ESCALATED]


def test_nothing_of_an_escalated_item_is_swept_until_it_is_released(queue, database, clock):
    """Neither its previews nor its decision, senders, events, records, nor older reviews of the same image. Their verdict was
    withdrawn when it was escalated, and that row goes.
    """
    old = put(queue, "a")
    queue.settle(old.id, ANNA, Verdict.SAFE, None)
    decide(database, "a")
    review = put(queue, "a", kind=Kind.APPEAL)  # while the first one's preview is still there
    queue.skip(review.id, BERT, None)
    queue.escalate(review.id, ANNA, None)
    before = {name: count(database, name) for name in metadata.tables}
    assert min(before[name] for name in ("previews", "images", "submissions", "events", "skips", "hashes")) >= 1
    assert before["reviews"] == 2
    clock.pass_s(1000 * DAY_S)
    # Of the log only what came before goes: that the first item was judged, and a record of the sweep comes after.
    sweep(database, Keep())
    after = {name: count(database, name) for name in metadata.tables}
    assert {**after, "audit": 0} == {**before, "audit": 0, "hashes": 0}
    assert [action for _, action in actions(database)] == ["review.skip", "review.escalate", "audit.swept"]
    queue.release(review.id, ROOT, None)
    clock.pass_s(7 * DAY_S)
    swept = sweep(database, Keep())
    assert swept.expired == 1
    # Both items are older than a year; what remains is told of the last days.
    assert swept.deleted == {"previews": 4, "reviews": 2, "images": 1, "submissions": 2, "events": 2, "audit": 2}


def test_events_go_after_ninety_days_with_the_letters_that_were_delivered_or_died(database, clock):
    for state in ("delivered", "dead"):
        database.write(lambda c: emit(c, clock(), [HOOK], "review.settled", {"sha256": sha("a").hex()}))
        database.write(
            lambda c, state=state: c.execute(
                update(deliveries).where(deliveries.c.state == "waiting").values(state=state)
            )
        )
    sweep_at_limit(database, clock, 90, "events")
    assert count(database, "deliveries") == 0


def test_an_event_that_tells_of_no_image_goes_while_some_image_is_frozen(queue, database, clock):
    queue.escalate(put(queue, "a").id, ANNA, None)
    database.write(lambda c: emit(c, clock(), [], "queue.long", {"waiting": 100}))
    clock.pass_s(90 * DAY_S + 1)
    assert sweep(database, Keep()).deleted == {"events": 1}
    assert database.read(lambda c: c.execute(select(events.c.type)).scalar_one()) == "review.escalated"


def test_an_event_that_is_still_to_be_sent_stays_with_all_its_letters(database, clock):
    database.write(lambda c: emit(c, clock(), [HOOK, HOOK + "/2"], "review.settled", {}))
    database.write(
        lambda c: c.execute(update(deliveries).where(deliveries.c.endpoint == HOOK).values(state="delivered"))
    )
    clock.pass_s(1000 * DAY_S)
    sweep(database, Keep())
    assert (count(database, "events"), count(database, "deliveries")) == (1, 2)


def test_a_withdrawn_hash_goes_after_a_day_and_others_never(database, clock):
    known = [(memory.HashKind.SHA256, sha("a")), (memory.HashKind.PDQ, b"\1" * 32)]
    database.write(lambda c: memory.remember(c, clock(), known, Verdict.ADULT, "user:anna"))
    withdrawn = update(hashes).where(hashes.c.kind == "pdq").values(verdict=None, decided_ms=clock())
    database.write(lambda c: c.execute(withdrawn))
    clock.pass_s(DAY_S)
    sweep(database, Keep())
    assert count(database, "hashes") == 2
    clock.pass_s(1)
    assert sweep(database, Keep()).deleted == {"hashes": 1}
    clock.pass_s(3000 * DAY_S)
    sweep(database, Keep())
    assert database.read(lambda c: c.execute(select(hashes.c.kind)).scalar_one()) == "sha256"


def test_a_session_goes_thirty_days_after_it_was_last_used(database, clock):
    row = {"token": "t", "user": "anna", "csrf": "c", "created_ms": 0, "seen_ms": clock()}
    database.write(lambda c: c.execute(insert(sessions).values(row)))
    sweep_at_limit(database, clock, 30, "sessions")


def test_an_invitation_goes_when_it_expires(database, clock):
    row = {"token": "t", "user": "anna", "role": "reviewer", "expires_ms": clock() + DAY_S * 1000}
    database.write(lambda c: c.execute(insert(invitations).values(row)))
    sweep_at_limit(database, clock, 1, "invitations")


def test_the_log_goes_after_a_year_and_what_is_left_holds(database, clock):
    for _ in range(3):
        database.write(lambda c: append(c, clock(), "user:anna", "review.viewed", "review:1"))
    clock.pass_s(365 * DAY_S)
    assert sweep(database, Keep()).deleted == {}
    clock.pass_s(1)
    assert sweep(database, Keep()).deleted == {"audit": 3}
    assert actions(database) == [("demure", "audit.swept")]
    assert verify(database).head.seq == 4


def test_a_log_that_does_not_hold_stays_and_all_else_goes(database, clock):
    decide(database, "a", subject="")
    database.write(lambda c: append(c, clock(), "user:anna", "review.viewed", "review:1"))
    database.write(lambda c: c.execute(update(audit).values(actor="user:bert")))
    clock.pass_s(366 * DAY_S)
    swept = sweep(database, Keep())
    assert (swept.deleted, swept.broken) == ({"images": 1}, Break(1, Fault.CHANGED))
    assert count(database, "audit") == 1


@pytest.mark.parametrize(
    ("keep", "table"),
    [
        (Keep(decisions_days=3), "images"),
        (Keep(decisions_days=3), "submissions"),
        (Keep(reviews_days=3), "reviews"),
        (Keep(audit_days=3), "audit"),
    ],
)
def test_each_time_is_the_operators_to_choose(queue, database, clock, keep, table):
    decide(database, "a")
    queue.settle(put(queue, "a").id, ANNA, Verdict.SAFE, None)
    clock.pass_s(3 * DAY_S)
    assert table not in sweep(database, keep).deleted
    clock.pass_s(1)
    assert table in sweep(database, keep).deleted


def test_many_go_a_hundred_at_a_time(database, clock):
    rows = [
        {"sha256": sha(str(n)), "caller_id": "", "subject": "user-7", "details": None, "sent_ms": clock()}
        for n in range(250)
    ]
    database.write(lambda c: c.execute(insert(metadata.tables["submissions"]), rows))
    clock.pass_s(91 * DAY_S)
    written = []
    database.write = lambda work, write=database.write, **more: written.append(1) or write(work, **more)
    assert sweep(database, Keep()).deleted == {"submissions": 250}
    assert len(written) == 3 + 1  # 100, 100, 50; and the log's, which finds nothing


def test_two_that_sweep_at_once_count_each_row_once(queue, database, clock):
    for number in range(30):
        put(queue, str(number))
    clock.pass_s(8 * DAY_S)
    found = []
    threads = [threading.Thread(target=lambda: found.append(sweep(database, Keep()))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(swept.expired for swept in found) == 30
    assert sum(swept.deleted.get("previews", 0) for swept in found) == 60
    assert [action for _, action in actions(database)] == ["review.expired"] * 30


def test_what_changes_between_the_look_and_the_deletion_stays(database, clock):
    """An image is sent again at that very moment: it is looked at again before it goes."""
    decide(database, "a", subject="")
    clock.pass_s(91 * DAY_S)
    plain, sent = database.write, []

    def write(work, **more):
        if not sent:
            sent.append(plain(lambda c: images.record(c, clock(), sha("a"), UNSURE)))
        return plain(work, **more)

    database.write = write
    assert sweep(database, Keep()).deleted == {}
    assert count(database, "images") == 1


def sweep_during(database, statement) -> retention.Swept:
    """A sweep that begins while somebody's statement is carried out, but is not committed yet."""
    began, go_on = threading.Event(), threading.Event()

    def work(c):
        c.execute(statement)
        began.set()
        go_on.wait(PATIENCE_S)

    with ThreadPoolExecutor(2) as pool:
        writing = pool.submit(database.write, work)
        assert began.wait(PATIENCE_S)
        sweeping = pool.submit(sweep, database, Keep())
        time.sleep(0.5)
        go_on.set()
        writing.result()
        return sweeping.result()


def test_an_item_that_is_settled_meanwhile_does_not_expire(queue, database, clock):
    review = put(queue, "a")
    clock.pass_s(7 * DAY_S + 1)
    swept = sweep_during(database, update(reviews).values(state=State.SETTLED, version=2))
    assert (swept.expired, queue.get(review.id).state) == (0, State.SETTLED)


def test_a_decision_that_is_made_again_meanwhile_stays(database, clock):
    decide(database, "a", subject="")
    clock.pass_s(91 * DAY_S)
    swept = sweep_during(database, update(metadata.tables["images"]).values(decided_ms=clock()))
    assert (swept.deleted, count(database, "images")) == ({}, 1)


def test_a_sweep_that_gets_nothing_done_ends(database):
    decide(database, "a")
    table = metadata.tables["images"]
    assert retention._sweep_rows(database, table, table.c.score > 0, lambda c, found: Counter(images=0)) == {}


def test_items_without_a_picture_are_found_among_many_with_one(database, clock):
    queue = Reviews(database, Times(preview_s=100 * DAY_S))
    review = put(queue, "shown", pictures=PICTURES[:1])
    row, picture = (
        database.read(lambda c, t=table: dict(c.execute(select(t)).mappings().one())) for table in (reviews, previews)
    )
    copies = [{**row, "id": f"{n:024}", "sha256": sha(str(n))} for n in range(150)]
    shown = [{**picture, "review_id": copy["id"]} for copy in copies]
    database.write(lambda c: (c.execute(insert(reviews), copies), c.execute(insert(previews), shown)))
    blind = put(queue, "blind", pictures=[])
    clock.pass_s(8 * DAY_S)
    assert sweep(database, Keep()).expired == 1
    assert (queue.get(blind.id).state, queue.get(review.id).state) == (State.EXPIRED, State.OPEN)


def test_the_times_are_those_that_are_promised():
    assert Keep() == Keep(previews_days=7, decisions_days=90, reviews_days=365, audit_days=365)
    assert DAY_MS == 24 * 60 * 60 * 1000
