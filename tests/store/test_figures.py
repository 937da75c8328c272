"""The figures of the dashboard, against counts made by hand."""

from __future__ import annotations

import hashlib
from datetime import date

import pytest

from demure.reviews import Actor, Judgement, Kind, Opening, Submission, Verdict
from demure.store.custody import Escalation, escalations, held_by
from demure.store.events import emit
from demure.store.figures import (
    HOUR_MS,
    OTHERS,
    Flow,
    Series,
    Share,
    Today,
    agreement,
    escalated,
    figures,
    flow,
    today,
    unknowns,
    verdicts_by_hour,
    waiting,
)
from demure.store.reviews import Reviews
from demure.store.schema import DAY_MS

ANNA, BERT, ROOT = Actor("user:anna"), Actor("user:bert"), Actor("user:root", is_admin=True)
NOON = 1_790_078_400_000  # 2026-09-22 12:00 UTC
MIDNIGHT = NOON - 12 * HOUR_MS


def judgement(decision: str = "unknown", reason: str = "uncertain") -> Judgement:
    return Judgement(decision, reason, 0.5, None, None, None, "tiny", "colours", "1")


@pytest.fixture
def queue(database, clock):
    clock.ms = NOON
    return Reviews(database)


@pytest.fixture
def put(queue, clock):
    def put(name: str, at_ms: int, judged: Judgement | None = None, kind: Kind = Kind.UNKNOWN):
        clock.ms = at_ms
        sha256 = hashlib.sha256(name.encode()).digest()
        return queue.open(Opening(sha256, judged or judgement(), Submission(), kind), [])

    return put


@pytest.fixture
def settle(queue, clock, put):
    numbers = iter(range(1000))

    def settle(at_ms: int, verdict: Verdict, by: Actor = ANNA, judged: Judgement | None = None, kind=Kind.UNKNOWN):
        review = put(f"settled {next(numbers)}", at_ms, judged, kind)
        return queue.settle(review.id, by, verdict, review.version)

    return settle


def test_an_empty_queue_has_figures_too(database, queue):
    found = database.read(lambda c: figures(c, NOON, "user:anna"))
    assert (found.waiting.total, found.waiting.oldest_ms, found.waiting.is_cut) == (0, None, False)
    assert found.verdicts_by_hour == (0,) * 24
    assert found.today == Today(0, 0, 0)
    assert (found.agreement.upheld, found.agreement.adult, found.unknowns.reasons) == ((), (), ())
    assert found.last_hour == found.last_day == Flow(0, 0)


def test_what_waits_is_counted_by_kind_whoever_holds_it_and_its_age_is_the_oldests(database, queue, put, settle):
    put("a", NOON - 5000)
    put("b", NOON - 7000)
    put("c", NOON - 3000, kind=Kind.REPORT)
    put("d", NOON - 9000, kind=Kind.APPEAL)  # of another rank, and the oldest
    settle(NOON - 99_000, Verdict.SAFE)
    queue.claim_next(ANNA)
    found = database.read(lambda c: waiting(c, NOON))
    assert found.by_kind == {Kind.UNKNOWN: 2, Kind.REPORT: 1, Kind.APPEAL: 1}
    assert (found.total, found.oldest_ms) == (4, 9000)


def test_what_waits_is_counted_so_far_and_no_further(database, queue, put):
    for number in range(4):
        put(str(number), NOON)
    found = database.read(lambda c: waiting(c, NOON, at_most=3))
    assert (found.total, found.is_cut) == (3, True)


def test_verdicts_are_counted_by_the_hour_and_one_taken_back_is_none(database, queue, settle):
    now = NOON + 30 * 60_000  # 12:30: the last hour is 12:00 to 12:30, the first 13:00 to 14:00 of the day before
    settle(NOON, Verdict.SAFE)
    settle(NOON - 1, Verdict.ADULT)  # 11:59:59.999
    settle(NOON - 23 * HOUR_MS, Verdict.SAFE)  # 13:00
    settle(NOON - 23 * HOUR_MS - 1, Verdict.SAFE)
    back = settle(NOON + 60_000, Verdict.SAFE)
    queue.undo(back.id, ANNA, back.version)
    hours = database.read(lambda c: verdicts_by_hour(c, now))
    assert hours == (1, *[0] * 21, 1, 1)


def test_a_reviewer_is_told_their_own_count_of_the_day_and_no_other_persons(database, queue, settle):
    settle(MIDNIGHT - 1, Verdict.SAFE)
    settle(MIDNIGHT, Verdict.SAFE)
    settle(NOON - 1, Verdict.ADULT)
    settle(NOON - 1, Verdict.ADULT, by=BERT)
    assert database.read(lambda c: today(c, NOON, "user:anna")) == Today(mine=2, all=3, people=2)
    assert database.read(lambda c: today(c, NOON, "user:root")) == Today(mine=0, all=3, people=2)


def test_agreement_is_what_was_upheld_of_decisions_and_what_is_adult_of_the_rest(database, queue, settle):
    adult, safe = judgement("adult", "explicit >= 0.85"), judgement("safe", "risk <= 0.25")
    for verdict, judged, kind in (
        (Verdict.ADULT, adult, Kind.APPEAL),
        (Verdict.SAFE, adult, Kind.APPEAL),
        (Verdict.ADULT, adult, Kind.APPEAL),
        (Verdict.ADULT, safe, Kind.REPORT),
        (Verdict.ADULT, judgement(), Kind.UNKNOWN),
        (Verdict.SAFE, judgement(), Kind.APPEAL),  # somebody complains of what was not decided
        (Verdict.SAFE, judgement(), Kind.UNKNOWN),
        (Verdict.SAFE, judgement(reason="too_small"), Kind.UNKNOWN),
    ):
        settle(NOON - 1000, verdict, judged=judged, kind=kind)
    settle(NOON - 30 * DAY_MS - 1, Verdict.ADULT)  # too long ago
    found = database.read(lambda c: agreement(c, NOON))
    assert found.upheld == (Share("appeal", 3, 2), Share("report", 1, 0))
    assert found.adult == (Share("uncertain", 3, 1), Share("too_small", 1, 0))


def test_what_the_machine_could_not_decide_is_counted_by_reason_and_day(database, queue, put, settle):
    settle(NOON, Verdict.ADULT)
    settle(MIDNIGHT, Verdict.SAFE)
    settle(MIDNIGHT - 1, Verdict.SAFE)
    settle(MIDNIGHT - 1, Verdict.ADULT)
    settle(MIDNIGHT - 29 * DAY_MS, Verdict.SAFE, judged=judgement(reason="too_small"))
    settle(MIDNIGHT - 29 * DAY_MS - 1, Verdict.SAFE)  # on the day before the first
    settle(NOON, Verdict.SAFE, judged=judgement("adult", "explicit >= 0.85"), kind=Kind.APPEAL)  # decided
    put("a", NOON)  # waits: its reviewer must not learn the reason from a count
    found = database.read(lambda c: unknowns(c, NOON))
    assert (found.days[0], found.days[-1], len(found.days)) == (date(2026, 8, 24), date(2026, 9, 22), 30)
    assert found.reasons == (Series("uncertain", (*[0] * 28, 2, 2)), Series("too_small", (1, *[0] * 29)))


def test_of_many_reasons_the_rare_ones_are_one(database, queue, put, settle):
    for reason in range(10):
        for number in range(10 - reason):  # reason 0 ten times, reason 9 once
            settle(NOON, Verdict.ADULT if number == 0 else Verdict.SAFE, judged=judgement(reason=f"r{reason}"))
    series = database.read(lambda c: unknowns(c, NOON)).reasons
    shares = database.read(lambda c: agreement(c, NOON)).adult
    named = [f"r{number}" for number in range(7)]
    assert [(s.name, s.counts[-1]) for s in series] == [*zip(named, range(10, 3, -1), strict=True), (OTHERS, 3 + 2 + 1)]
    assert shares[0] == Share("r0", 10, 1)
    assert shares[-1] == Share(OTHERS, 3 + 2 + 1, 3)
    assert len(shares) == 8


def test_the_queue_grows_by_what_is_opened_less_what_leaves_it(database, queue, put, settle, clock):
    since = NOON - HOUR_MS
    put("before", since - 1)
    put("at", since)
    settle(since + 1, Verdict.SAFE)
    back = settle(since + 2, Verdict.SAFE)
    queue.undo(back.id, ANNA, back.version)
    gone = put("gone", since + 3)
    queue.escalate(gone.id, ANNA, gone.version)
    database.write(lambda c: emit(c, since + 4, [], "review.expired", {}))
    found = database.read(lambda c: flow(c, since))
    # opened: at, two that were judged, gone; closed: one judged (the other taken back), one escalated, one expired
    assert found == Flow(opened=4, closed=3)
    assert found.growth == 1


def test_what_is_escalated_is_counted_and_by_whom_and_when_is_known(database, queue, put, clock):
    first = put("a", NOON - 5000)
    frozen = queue.escalate(first.id, ANNA, first.version)
    clock.pass_s(1)
    queue.release(first.id, ROOT, frozen.version)
    clock.pass_s(1)
    again = queue.escalate(first.id, BERT, frozen.version + 1)
    put("b", NOON)
    assert database.read(escalated) == 1
    assert database.read(lambda c: escalations(c, [again])) == {first.id: Escalation("user:bert", NOON - 5000 + 2000)}
    assert database.read(lambda c: escalations(c, [])) == {}


def test_what_somebody_holds_is_found_until_the_lease_ends(database, queue, put, clock):
    ids = [put(name, NOON - 3000 + number).id for number, name in enumerate("abc")]
    clock.ms = NOON
    assert queue.claim_next(ANNA).id == ids[0]
    assert queue.claim_next(BERT).id == ids[1]
    clock.pass_s(100)
    assert queue.claim_next(ANNA).id == ids[2]
    assert database.read(lambda c: held_by(c, ANNA, clock.ms)) == [ids[0], ids[2]]
    assert database.read(lambda c: held_by(c, ANNA, clock.ms, at_most=1)) == [ids[0]]
    clock.pass_s(200)  # 300 since the first
    assert database.read(lambda c: held_by(c, ANNA, clock.ms)) == [ids[2]]
    held = queue.get(ids[2])
    queue.settle(held.id, ANNA, Verdict.SAFE, held.version)
    assert database.read(lambda c: held_by(c, ANNA, clock.ms)) == []
