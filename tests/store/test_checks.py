"""What rates are reckoned from: each image is counted once, and a verdict where chance put it, whatever else happens to it."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from sqlalchemy import select

from demure.checks import SpotChecks, is_chosen
from demure.desk import Desk, Wish
from demure.errors import InvalidLabels, SourceNotFound, StorageFull, Undecodable
from demure.evaluation.drift import BINS
from demure.evaluation.fair import fair_sample
from demure.evaluation.live import Day, Stratum
from demure.evaluation.verdicts import read_verdicts
from demure.memory import Memory
from demure.policy import Outcome
from demure.policy_file import find_policy
from demure.previews import Preview
from demure.reviews import Actor, Kind, Order, State, Submission, Verdict
from demure.scores import Scores
from demure.screening import Screening
from demure.settings import Settings
from demure.store import checks
from demure.store.checks import InUse, LabelledRow
from demure.store.database import Database
from demure.store.deletion import Fate, forget_image, forget_subject
from demure.store.figures import Share, agreement, unknowns, waiting
from demure.store.retention import Keep, sweep
from demure.store.reviews import Reviews, Times
from demure.store.schema import DAY_MS, events, images, previews, reviews, submissions, tallies
from demure.store.users import Users

ANNA = Actor("user:anna")
PICTURE = Preview(0, 0, 2, 1, "image/jpeg", b"not really a picture")
BALANCED = find_policy("balanced", {"open_nsfw"})
SENT = Wish(review=True, submission=Submission("post-1", "user-7"))


DECISIONS = pytest.mark.parametrize("decision", ["safe", "unknown"])


def sha(name: str) -> bytes:
    return hashlib.sha256(name.encode()).digest()


def judged(name: str, decision: str = "safe", score: float = 0.0625, **more) -> Screening:
    given = {"scores": Scores({"porn": score}), "witnesses": {"open_nsfw": 0.125}, "policy_version": "v1", **more}
    return Screening(Outcome(decision), "rule", "colours", sha256=sha(name).hex(), score=score, **given)


@pytest.fixture
def desk_of(database):
    """Several may share the database, as several services do: each has what it keeps in memory for itself."""
    opened = []

    def desk_of(shares: SpotChecks = SpotChecks(1, 1), own: Database | None = None) -> Desk:
        at = own or database
        settings = Settings(spot_checks=shares, threads=1)
        desk = Desk(settings, at, Reviews(at, Times()), Users(at), Memory(at, 31))
        desk.close = desk._threads.shutdown  # the database is the fixture's
        opened.append(desk)
        return desk

    yield desk_of
    for desk in opened:
        desk.close()


@pytest.fixture
def desk(desk_of):
    return desk_of()


def send(desk: Desk, screening: Screening, wish: Wish = SENT):
    """As a checker does: the decision is kept, and who is chosen is put into the queue. What was drawn, and the item."""

    async def all_the_way():
        draw = await desk.record(screening, "tiny", wish)
        if wish.wants(screening):
            return draw, await desk.open_review(screening, "tiny", wish, [PICTURE], draw)
        if draw is not None:
            await desk.open_check(screening, "tiny", BALANCED, wish, [PICTURE], draw)
        return draw, _open(desk, screening)

    return asyncio.run(all_the_way())


def _open(desk: Desk, screening: Screening):
    return next((r for r in desk.reviews.page([State.OPEN], at_most=1000) if r.sha256 == screening.sha256), None)


def counted(database) -> dict[tuple[str, float, int], tuple[int, int]]:
    columns = (tallies.c.decision, tallies.c.chance, tallies.c.bin, tallies.c.images, tallies.c.chosen)
    rows = database.read(lambda c: c.execute(select(*columns).where(tallies.c.images > 0)).all())
    assert len({tuple(row[:3]) for row in rows}) == len(rows)
    return {tuple(row[:3]): tuple(row[3:]) for row in rows}


def told(database, clock, version: str = "v1", **more) -> list[Stratum]:
    found = database.read(lambda c: checks.strata(c, clock() - 30 * DAY_MS, **more))
    return found.get(("tiny", version), [])


def labels(database, model: str = "tiny", days: Collection[Day] | None = None) -> list[LabelledRow]:
    """Without `days`, of all."""
    here = database.read(lambda c: checks.strata_by_day(c, model)).keys() if days is None else days
    return database.read(lambda c: list(checks.labelled_rows(c, model, here)))


def recorded(desk: Desk, screening: Screening, wish: Wish = SENT):
    """What was drawn; and then nothing more, as when the process dies."""
    return asyncio.run(desk.record(screening, "tiny", wish))


def opened(desk: Desk, screening: Screening, draw, wish: Wish = SENT) -> None:
    if wish.wants(screening):
        asyncio.run(desk.open_review(screening, "tiny", wish, [PICTURE], draw))
    else:
        asyncio.run(desk.open_check(screening, "tiny", BALANCED, wish, [PICTURE], draw))


def judge_all(desk: Desk, verdict: Verdict = Verdict.SAFE) -> int:
    count = 0
    while (held := desk.reviews.claim_next(ANNA)) is not None:
        desk.reviews.settle(held.id, ANNA, verdict, held.version)
        count += 1
    return count


def row_of(database, review) -> dict:
    return dict(database.read(lambda c: c.execute(select(reviews).where(reviews.c.id == review.id)).mappings().one()))


# Who is chosen.


def test_the_seed_is_made_once_whoever_asks_first(url, database):
    barrier = threading.Barrier(8)

    def ask(_: int) -> bytes:
        own = Database(url, database.now_ms)
        barrier.wait()
        found = own.write(checks.seed)
        own.close()
        return found

    with ThreadPoolExecutor(8) as pool:
        (seed,) = {*pool.map(ask, range(8))}
    assert len(seed) == 32
    assert database.write(checks.seed) == seed


def test_services_that_share_a_database_choose_alike_and_by_its_seed(desk_of, database):
    one, other = desk_of(SpotChecks(safe=0.3)), desk_of(SpotChecks(safe=0.3))
    names = [str(number) for number in range(40)]
    chosen = {name for n, name in enumerate(names) if send(one if n % 2 else other, judged(name))[1] is not None}
    seed = database.write(checks.seed)
    assert chosen == {name for name in names if is_chosen(seed, sha(name), 0.3)}
    assert 0 < len(chosen) < 40
    (cell,) = counted(database).items()
    assert cell == (("safe", 0.3, 7), (40, len(chosen)))  # 0.0625 lies above 0.05 and up to 0.1


def test_with_checks_off_nobody_is_chosen_and_all_are_counted(desk_of, database):
    desk = desk_of(SpotChecks())
    for number in range(3):
        assert send(desk, judged(str(number)))[1] is None
    assert counted(database) == {("safe", 0.0, 7): (3, 0)}


def test_what_nobody_can_come_to_see_or_no_model_judged_is_neither_chosen_nor_counted(desk, database):
    for screening, wish in (
        (judged("a"), Wish(submission=SENT.submission)),  # without review
        (judged("b"), replace(SENT, kind=Kind.APPEAL)),
        (judged("c", remembered=True), SENT),
        (judged("d", "unknown", scores=None, error=Undecodable("damaged")), SENT),
        (judged("e", "unknown", remembered=True), SENT),  # memory_disagrees
    ):
        draw, review = send(desk, screening, wish)
        assert draw is None
        assert review is None or (review.kind is not Kind.CHECK and row_of(database, review)["chance"] is None)
    assert counted(database) == {}


def test_an_image_keeps_the_chance_that_it_was_given_first(desk_of, database):
    """Who was not chosen at a small share is not chosen by coming again when it is larger: nobody would know its chance then."""
    assert send(desk_of(SpotChecks(safe=1e-9)), judged("a"))[1] is None
    later = desk_of(SpotChecks(safe=1.0))
    draw, review = send(later, judged("a"))
    assert (draw, review) == (None, None)
    assert counted(database) == {("safe", 1e-9, 7): (1, 0)}
    send(later, judged("b"))


def test_where_checks_are_turned_off_who_was_chosen_before_is_not(desk_of, database):
    on, off = desk_of(), desk_of(SpotChecks())
    assert recorded(on, judged("a")) is not None  # and the check is lost
    assert send(off, judged("a")) == (None, None)
    assert send(on, judged("a"))[1].kind is Kind.CHECK


# An item like any other.


def test_a_check_is_an_item_with_pictures_and_its_chance_and_an_unknown_has_all_of_it(desk_of, database):
    desk = desk_of(SpotChecks(adult=1.0))
    check, unknown = send(desk, judged("a", "adult", 0.96))[1], send(desk, judged("b", "unknown", 0.5))[1]
    for review, kind, score in ((check, Kind.CHECK, 0.96), (unknown, Kind.UNKNOWN, 0.5)):
        row = row_of(database, review)
        assert (review.kind, row["chance"], row["score"]) == (kind, 1.0, score)
        assert [number for number, *_ in desk.reviews.pictures(review.id)] == [0]
        assert desk.reviews.submissions(review) == [{"id": "post-1", "subject": "user-7", "metadata": None}]
        assert (review.told_kind, row["rank"]) == (Kind.UNKNOWN, 1)


def test_an_image_that_is_sent_again_is_told_of_like_an_unknown_one(desk, database):
    """Not of its sender twice, nor at another place among what the site finds urgent."""
    for name, decision in (("a", "adult"), ("b", "unknown")):
        send(desk, judged(name, decision))
        again = send(desk, judged(name, decision), replace(SENT, priority=3.0))[1]
        third = send(desk, judged(name, decision), replace(SENT, submission=Submission("post-2")))[1]
        assert (third.id, third.priority, len(desk.reviews.submissions(third))) == (again.id, 3.0, 2)
    assert sum(count for count, _ in counted(database).values()) == 2


def test_a_check_that_comes_after_its_image_was_forgotten_is_not_opened(desk, database, clock):
    screening = judged("a")
    draw = recorded(desk, screening)
    database.write(lambda c: forget_image(c, clock(), sha("a"), "root", keep_memory=False))
    with pytest.raises(SourceNotFound):
        asyncio.run(desk.open_check(screening, "tiny", BALANCED, SENT, [PICTURE], draw))
    left = database.read(lambda c: [c.execute(select(t)).all() for t in (reviews, previews, submissions, images)])
    assert left == [[], [], [], []]


def test_who_is_forgotten_while_a_check_is_on_its_way_stays_forgotten(desk, database):
    mine, others = (replace(SENT, submission=Submission(f"post-{who}", who)) for who in ("user-a", "user-b"))
    recorded(desk, judged("a"), others)
    draw = recorded(desk, judged("a"), mine)
    assert forget_subject(database, "user-a", "root", keep_memory=True)[0].fate is Fate.SHARED
    opened(desk, judged("a"), draw, mine)
    assert database.read(lambda c: c.execute(select(submissions.c.subject)).scalars().all()) == ["user-b"]


def test_whose_item_was_never_opened_is_forgotten_by_subject_all_the_same(desk, database):
    recorded(desk, judged("a", "unknown"))
    assert forget_subject(database, "user-7", "root", keep_memory=True)[0].fate is Fate.DELETED


# The same image again.


@DECISIONS
def test_an_item_is_counted_whoever_opens_it_of_several_who_send_the_image_at_once(desk, database, clock, decision):
    screening = judged("a", decision)
    first, second = recorded(desk, screening), recorded(desk, screening)
    assert first == second
    for draw in (second, first):
        opened(desk, screening, draw)
    assert judge_all(desk) == 1
    (found,) = told(database, clock)
    assert (found.images, found.chosen, found.judged) == (1, 1, 1)


@DECISIONS
def test_an_image_that_was_lost_on_its_way_is_linked_when_it_is_sent_again(desk, database, clock, decision):
    recorded(desk, judged("a", decision))
    clock.pass_s(3 * 86_400)
    send(desk, judged("a", decision))
    assert judge_all(desk) == 1
    (found,) = told(database, clock)
    assert (found.images, found.chosen, found.judged) == (1, 1, 1)


def test_an_item_of_before_is_linked_when_its_image_is_counted(desk, database):
    screening = judged("a", "unknown")
    opened(desk, screening, None)
    draw, item = send(desk, screening)
    row = row_of(database, item)
    assert (row["chance"], row["tally"]) == (1.0, draw.tally)


@DECISIONS
def test_an_image_comes_before_people_by_lot_once(desk, database, clock, decision):
    """Not while it waits, so that no time of an answer tells that; nor after it expired: nobody is counted twice."""
    screening = judged("a", decision)
    send(desk, screening)
    assert recorded(desk, screening) is None
    clock.pass_s(8 * 86_400)
    sweep(database, Keep())
    draw, again = send(desk, screening)
    assert draw is None
    if decision == "unknown":  # somebody asks
        assert [row_of(database, again)[name] for name in ("chance", "tally")] == [None, None]
        assert judge_all(desk) == 1
    assert told(database, clock) == [Stratum(Outcome(decision), 1.0, images=1, chosen=1, judged=0, adult=0)]


def test_an_image_that_was_counted_as_another_decision_is_drawn_no_more(desk_of, database, clock):
    """Or else a verdict would count where the image does not: each chance is that of one row's images."""
    desk = desk_of(SpotChecks(1e-9, 1e-9))
    recorded(desk, judged("a", "unknown"))  # of which a client never heard
    assert recorded(desk, judged("a", "safe", policy_version="v2")) is None
    recorded(desk, judged("b", "safe"))
    item = send(desk, judged("b", "unknown", policy_version="v2"))[1]
    assert [row_of(database, item)[name] for name in ("chance", "tally")] == [None, None]
    assert judge_all(desk) == 1
    assert labels(database) == []
    assert [s.judged for s in told(database, clock)] == [0, 0]
    assert told(database, clock, "v2") == []


def test_a_check_joins_a_report_of_the_same_decision_and_no_other(desk, database):
    report = replace(SENT, kind=Kind.REPORT, note="look")
    for name, decision, chance in (("a", "safe", 1.0), ("b", "adult", None)):
        reported = send(desk, judged(name), report)[1]
        draw, joined = send(desk, judged(name, decision))
        row = row_of(database, joined)
        assert (joined.id, joined.kind, row["chance"]) == (reported.id, Kind.REPORT, chance)
        assert row["tally"] == (draw.tally if chance else None)


def test_a_report_of_a_check_takes_nothing_from_it(desk, database):
    check = send(desk, judged("a"))[1]
    before = row_of(database, check)
    reported = send(desk, judged("a"), replace(SENT, kind=Kind.REPORT, note="look"))[1]
    after = row_of(database, reported)
    assert (reported.id, reported.kind) == (check.id, Kind.REPORT)
    assert [after[name] for name in ("chance", "tally", "place")] == [
        before[name] for name in ("chance", "tally", "place")
    ]


def test_the_place_by_risk_is_one_that_an_unknown_item_has_and_does_not_tell_the_score(desk, database, clock):
    for number in range(8):
        send(desk, judged(f"unknown {number}", "unknown", 0.4 + number / 100))
        clock.pass_s(1)
    for number in range(24):
        score, decision = (0.9999, "adult") if number % 2 else (0.0001, "safe")
        send(desk, judged(f"check {number}", decision, score))
    rows = database.read(lambda c: c.execute(select(reviews.c.kind, reviews.c.place, reviews.c.score)).all())
    places = {row.place for row in rows if row.kind == "unknown"}
    mine = [row for row in rows if row.kind == "check"]
    assert {row.score for row in mine} == {0.9999, 0.0001}
    assert {row.place for row in mine} <= places
    assert len({row.place for row in mine}) > 1
    turn = []
    while (held := desk.reviews.claim_next(ANNA, Order.RISK)) is not None:
        turn.append(row_of(database, held)["place"])
    assert turn == sorted(turn, reverse=True)
    assert len(turn) == 32


def test_without_unknown_items_a_check_lies_where_its_policy_could_not_tell(desk, database):
    for number in range(5):
        send(desk, judged(str(number), "safe", 0.0))
    found = database.read(lambda c: c.execute(select(reviews.c.place)).scalars().all())
    assert all(0.2 <= place < 1 for place in found)  # balanced: open_nsfw <= 0.20
    assert len({*found}) == 5


def test_the_site_is_told_that_it_was_a_check_with_the_verdict_and_not_before(desk, database):
    overturned, frozen = send(desk, judged("a"))[1], send(desk, judged("b"))[1]
    settled = desk.reviews.settle(overturned.id, ANNA, Verdict.ADULT, 1)
    desk.reviews.undo(settled.id, ANNA, 2)
    desk.reviews.escalate(frozen.id, ANNA, 1)
    rows = database.read(lambda c: c.execute(select(events.c.type, events.c.data).order_by(events.c.id)).all())
    found = [(row.type, row.data["kind"], row.data["decision"], row.data["overturned"]) for row in rows]
    assert found == [
        ("review.settled", "check", "safe", True),
        ("review.undone", "check", "safe", False),
        ("review.escalated", "unknown", "safe", False),
    ]
    assert rows[0].data["verdict"] == "adult"


# The dashboard's other figures.


def test_what_waits_is_undecided_and_what_was_judged_is_an_agreement(desk, database, clock):
    check, unknown = send(desk, judged("a"))[1], send(desk, judged("b", "unknown", 0.5))[1]
    found = database.read(lambda c: waiting(c, clock()))
    assert found.by_kind == {Kind.UNKNOWN: 2, Kind.REPORT: 0, Kind.APPEAL: 0}
    for review in (check, unknown):
        desk.reviews.settle(review.id, ANNA, Verdict.SAFE, 1)
    shares = database.read(lambda c: agreement(c, clock()))
    assert (shares.upheld, shares.adult) == ((Share("check", 1, 1),), (Share("rule", 1, 0),))
    (series,) = database.read(lambda c: unknowns(c, clock())).reasons
    assert sum(series.counts) == 1


# Tallies.


def test_an_image_is_counted_once_however_often_and_however_it_comes(desk, database):
    for _ in range(3):
        send(desk, judged("a", "adult", 0.96))
    send(desk, judged("b"), Wish())  # first without review: it is counted when it comes with
    for _ in range(2):
        send(desk, judged("b"))
    send(desk, judged("c", "unknown", 0.5))
    assert counted(database) == {
        ("adult", 1.0, 17): (1, 1),  # above 0.95, up to 0.98
        ("safe", 1.0, 7): (1, 1),
        ("unknown", 1.0, 11): (1, 1),  # up to 0.5
    }


def test_many_who_send_at_once_are_counted_once_each_and_wait_for_none_forever(desk_of, url, database):
    barrier = threading.Barrier(8)

    def work(number: int) -> None:
        own = Database(url, database.now_ms)
        desk = desk_of(SpotChecks(0.5, 0.5), own)
        barrier.wait()
        for turn in range(15):
            name = str((turn * (number % 3 + 1)) % 15)  # the same images, each in an order of its own
            recorded(desk, judged(name))
        own.close()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    seed = database.write(checks.seed)
    chosen = sum(is_chosen(seed, sha(str(number)), 0.5) for number in range(15))
    assert counted(database) == {("safe", 0.5, 7): (15, chosen)}


def test_tallies_are_kept_as_long_as_reviews_and_tell_of_nobody(desk, database, clock):
    send(desk, judged("a"))
    assert not [column for column in tallies.c if column.name in ("sha256", "subject")]
    clock.pass_s(365 * 86_400)
    sweep(database, Keep())
    assert len(counted(database)) == 1
    clock.pass_s(86_400)
    assert sweep(database, Keep()).deleted["tallies"] == 4  # and three of no image


def test_the_id_of_a_row_that_was_swept_is_not_given_away_again(desk, database, clock):
    """An item that was frozen all the while names it still."""
    desk.reviews.escalate(send(desk, judged("a"))[1].id, ANNA, 1)
    clock.pass_s(366 * 86_400)
    sweep(database, Keep())
    assert counted(database) == {}
    send(desk, judged("b"))
    rooted = Actor("user:root", is_admin=True)
    (frozen,) = desk.reviews.page([State.ESCALATED])
    desk.reviews.release(frozen.id, rooted, frozen.version)
    assert judge_all(desk) == 2
    assert told(database, clock) == [Stratum(Outcome.SAFE, 1.0, images=1, chosen=1, judged=1, adult=0)]


def test_an_image_that_was_forgotten_or_had_its_time_counts_anew(desk, database, clock):
    send(desk, judged("a"))
    database.write(lambda c: forget_image(c, clock(), sha("a"), "root", keep_memory=False))
    send(desk, judged("a"))
    assert counted(database) == {("safe", 1.0, 7): (2, 2)}


# What is reckoned from them.


def test_strata_are_what_was_counted_and_what_people_said(desk_of, database, clock):
    """Arithmetic: 4 safe at 1, of which 3 judged, 1 adult; 2 adult at 1, 1 judged; 2 unknown, 2 judged, 1 adult."""
    desk = desk_of(SpotChecks(1, 1))
    said = {
        ("s1", "safe"): Verdict.SAFE,
        ("s2", "safe"): Verdict.ADULT,
        ("s3", "safe"): Verdict.SAFE,
        ("s4", "safe"): None,
        ("a1", "adult"): Verdict.ADULT,
        ("a2", "adult"): None,
        ("u1", "unknown"): Verdict.ADULT,
        ("u2", "unknown"): Verdict.SAFE,
    }
    for (name, decision), verdict in said.items():
        review = send(desk, judged(name, decision))[1]
        if verdict:
            desk.reviews.settle(review.id, ANNA, verdict, 1)
    for version in ("v2", "v3"):
        send(desk, judged(version, policy_version=version))
    expected = [
        Stratum(Outcome.SAFE, 1.0, images=4, chosen=4, judged=3, adult=1),
        Stratum(Outcome.UNKNOWN, 1.0, images=2, chosen=2, judged=2, adult=1),
        Stratum(Outcome.ADULT, 1.0, images=2, chosen=2, judged=1, adult=1),
    ]
    assert told(database, clock) == expected
    assert told(database, clock, "v2") == [Stratum(Outcome.SAFE, 1.0, 1, 1, 0, 0)]
    assert told(database, clock, "v9") == []
    bins = database.read(lambda c: checks.score_bins(c, clock()))["tiny", "v1"]
    assert (len(bins), sum(bins), bins[7]) == (BINS, 8, 8)
    used = database.read(lambda c: checks.policies_in_use(c, clock()))
    assert used == [InUse("tiny", "colours", version, n) for version, n in (("v1", 8), ("v2", 1), ("v3", 1))]


def test_a_verdict_counts_by_the_day_on_which_its_image_was_decided(desk, database, clock):
    review = send(desk, judged("old"))[1]
    clock.pass_s(5 * 86_400)
    send(desk, judged("new"))
    desk.reviews.settle(review.id, ANNA, Verdict.ADULT, 1)
    since = database.read(lambda c: checks.strata(c, clock() - 4 * DAY_MS))["tiny", "v1"]
    before = told(database, clock, before_ms=clock())
    assert since == [Stratum(Outcome.SAFE, 1.0, images=1, chosen=1, judged=0, adult=0)]
    assert before == [Stratum(Outcome.SAFE, 1.0, images=1, chosen=1, judged=1, adult=1)]


def test_what_becomes_of_an_item_changes_who_was_judged_and_not_who_was_counted(desk, database, clock):
    names = ("undone", "forgotten", "escalated", "expired", "reported", "upheld")
    items = {name: send(desk, judged(name))[1] for name in names}
    for name in ("undone", "forgotten", "upheld"):
        desk.reviews.settle(items[name].id, ANNA, Verdict.ADULT, 1)
    (before,) = told(database, clock)
    assert (before.chosen, before.judged, before.adult) == (6, 3, 3)
    desk.reviews.undo(items["undone"].id, ANNA, 2)
    desk.reviews.escalate(items["escalated"].id, ANNA, 1)
    database.write(lambda c: forget_image(c, clock(), sha("forgotten"), "root", keep_memory=False))
    reported = send(desk, judged("reported"), replace(SENT, kind=Kind.REPORT))[1]
    desk.reviews.settle(reported.id, ANNA, Verdict.SAFE, reported.version)
    appeal = send(desk, judged("upheld", "adult", remembered=True), replace(SENT, kind=Kind.APPEAL))[1]
    desk.reviews.settle(
        appeal.id, ANNA, Verdict.SAFE, appeal.version
    )  # of the later decision; the check's verdict stays
    clock.pass_s(8 * 86_400)
    sweep(database, Keep())
    assert desk.reviews.get(items["expired"].id).state is State.EXPIRED
    assert told(database, clock) == [Stratum(Outcome.SAFE, 1.0, images=6, chosen=6, judged=2, adult=1)]
    assert counted(database) == {("safe", 1.0, 7): (6, 6)}


def test_days_on_which_a_checked_decision_was_not_checked_are_left_out_for_all(desk_of, database, clock):
    for day, shares in enumerate((SpotChecks(), SpotChecks(safe=1), SpotChecks(safe=1))):
        for decision in ("safe", "adult", "unknown"):
            send(desk_of(shares), judged(f"{day} {decision}", decision))
        clock.pass_s(86_400)
    # Adult decisions were never checked: nothing is known of them, and they are told of as such.
    assert [(s.decision, s.chance, s.images) for s in told(database, clock)] == [
        (Outcome.SAFE, 1.0, 2),
        (Outcome.UNKNOWN, 1.0, 2),
        (Outcome.ADULT, 0.0, 2),
    ]
    assert sum(database.read(lambda c: checks.score_bins(c, 0))["tiny", "v1"]) == 9


def test_the_first_day_of_which_something_waits_is_known(desk, database, clock):
    clock.ms = 20_000 * DAY_MS + 1000

    def first() -> int:
        return database.read(lambda c: checks.first_waiting_day_ms(c, clock()))

    assert first() == 20_000 * DAY_MS
    review = send(desk, judged("a"))[1]
    clock.pass_s(3 * 86_400)
    send(desk, judged("b", "unknown"))
    assert first() == 20_000 * DAY_MS
    desk.reviews.settle(review.id, ANNA, Verdict.SAFE, 1)
    assert first() == 20_003 * DAY_MS
    clock.pass_s(86_400)
    assert first() == 20_003 * DAY_MS


def test_an_item_that_was_counted_nowhere_holds_back_the_day_on_which_it_was_opened(desk, database, clock):
    clock.ms = 20_000 * DAY_MS + 1000
    for name, kind in (("a", Kind.UNKNOWN), ("b", Kind.REPORT)):
        opened(desk, judged(name, "unknown"), None, replace(SENT, kind=kind))
        clock.pass_s(86_400)
    days = []
    while (held := desk.reviews.claim_next(ANNA)) is not None:
        days.append(database.read(lambda c: checks.first_waiting_day_ms(c, clock())) // DAY_MS)
        desk.reviews.settle(held.id, ANNA, Verdict.SAFE, held.version)
    assert days == [20_000, 20_001]


@DECISIONS
def test_reviewers_are_not_told_of_what_may_come_before_them_yet(desk, database, clock, decision):
    """What is escalated may be released, what was lost be sent again: which of the counts lacks a verdict would tell what it is."""
    frozen = send(desk, judged("frozen", decision))[1]
    desk.reviews.escalate(frozen.id, ANNA, 1)
    recorded(desk, judged("lost", decision))
    assert told(database, clock, to_all=True) == []
    assert told(database, clock) == [Stratum(Outcome(decision), 1.0, 2, 2, 0, 0)]
    send(desk, judged("expired", decision))
    desk.reviews.settle(send(desk, judged("upheld", decision))[1].id, ANNA, Verdict.ADULT, 1)
    clock.pass_s(8 * 86_400)
    sweep(database, Keep())
    assert told(database, clock, to_all=True) == [Stratum(Outcome(decision), 1.0, 2, 2, 1, 1)]
    assert told(database, clock) == [Stratum(Outcome(decision), 1.0, 4, 4, 1, 1)]


def test_labels_are_all_that_chance_put_before_people(desk_of, database, clock):
    desk = desk_of(SpotChecks(1, 1))
    for name, decision, wish, verdict in (
        ("check", "safe", SENT, Verdict.ADULT),
        ("unknown", "unknown", SENT, Verdict.SAFE),
        ("report", "adult", replace(SENT, kind=Kind.REPORT), Verdict.SAFE),
        ("waits", "safe", SENT, None),
    ):
        review = send(desk, judged(name, decision), wish)[1]
        clock.pass_s(1)
        if verdict:
            desk.reviews.settle(review.id, ANNA, verdict, 1)
    rest = (1.0, {"porn": 0.0625}, {"open_nsfw": 0.125}, None, None)
    assert labels(database) == [
        LabelledRow(sha("check"), Verdict.ADULT, Outcome.SAFE, *rest),
        LabelledRow(sha("unknown"), Verdict.SAFE, Outcome.UNKNOWN, *rest),
    ]
    assert labels(database, "another") == []


def test_labels_of_days_on_which_a_checked_decision_was_not_checked_are_left_out(desk_of, database, clock):
    for day, shares in enumerate((SpotChecks(safe=1), SpotChecks(1, 1))):
        for decision in ("safe", "unknown"):
            desk = desk_of(shares)
            review = send(desk, judged(f"{day} {decision}", decision))[1]
            if review is not None:
                desk.reviews.settle(review.id, ANNA, Verdict.SAFE, 1)
        clock.pass_s(86_400)
        if day == 0:
            with pytest.raises(InvalidLabels, match="set DEMURE_SPOT_CHECKS for both decisions"):
                read_verdicts(database, "tiny", {"open_nsfw"})
    sample = fair_sample(database.read(lambda c: checks.strata_by_day(c, "tiny")), "tiny", clock() // DAY_MS)
    found = labels(database, days=sample.days)
    assert [row.sha256 for row in found if row.decision is Outcome.UNKNOWN] == [sha("1 unknown")]
    assert len(found) == 2
    assert sample.least == 1.0


def test_a_decision_that_cannot_be_kept_is_not_chosen_either(desk, database):
    def full(*_: object, **__: object) -> None:
        raise StorageFull("the disk is full")

    database.write, write = full, database.write
    assert recorded(desk, judged("a")) is None
    database.write = write
    assert counted(database) == {}
