"""Verdicts are labels only where they are a sample of what came: of days that people came to the end of, and as they said last."""

from __future__ import annotations

import hashlib
import secrets

import pytest
from databases import Clock
from sqlalchemy import insert

from demure.checks import Draw
from demure.errors import InvalidLabels
from demure.evaluation.verdicts import read_verdicts
from demure.policy import Outcome
from demure.reviews import Actor, Judgement, Kind, Opening, Review, State, Submission, Verdict
from demure.store import checks
from demure.store.database import Database
from demure.store.reviews import Reviews
from demure.store.schema import DAY_MS, reviews, tallies

ANNA, CHIEF = Actor("user:anna"), Actor("user:chief", is_admin=True)
SCORES = {"drawings": 0.1, "hentai": 0.2, "neutral": 0.3, "porn": 0.25, "sexy": 0.15}
JUDGEMENT = Judgement("safe", "r", 0.5, SCORES, {}, {"width": 40, "height": 40}, "m", "p", "v1")


def sha(name: str) -> bytes:
    return hashlib.sha256(name.encode()).digest()


def labels(database: Database) -> dict[str, bool]:
    """Whether it is adult, by the image's hash in hex."""
    found = read_verdicts(database, "m", ())
    return dict(zip(map(str, found.sha256s), found.is_adult.tolist(), strict=True))


# --- Days that nobody came to the end of --------------------------------------------------------------------------------


def put(
    database: Database,
    day: int,
    decision: Outcome,
    chosen: int,
    judged: int,
    rest: State | None = State.OPEN,
    version: str = "v1",
) -> list[str]:
    """Images that chance put before people that day; the hashes of those that were judged. Of the rest there is no item without
    a state: they were lost."""
    key = {"day": day, "model": "m", "policy": "p", "policy_version": version, "decision": decision, "chance": 1.0}
    row = insert(tallies).values(**key, bin=0, images=chosen, chosen=chosen).returning(tallies.c.id)
    tally = database.write(lambda c: c.execute(row).scalar_one())
    del key["day"]
    common = {
        **key, "kind": Kind.UNKNOWN, "version": 2, "rank": 1, "priority": 0.0, "opened_ms": day * DAY_MS, "reason": "r",
        "score": 0.5, "scores": SCORES, "witnesses": {}, "media": {"width": 40, "height": 40}, "pictures": 1, "tally": tally,
    }  # fmt: skip
    hashes = [sha(f"{day} {version} {decision} {number}") for number in range(chosen)]
    items = [
        {
            **common,
            "id": secrets.token_hex(12),
            "sha256": h,
            "state": State.SETTLED,
            "verdict": Verdict.SAFE,
            "verdict_ms": 1,
        }
        if number < judged
        else {**common, "id": secrets.token_hex(12), "sha256": h, "state": rest, "verdict": None, "verdict_ms": None}
        for number, h in enumerate(hashes)
        if number < judged or rest is not None
    ]
    if items:
        database.write(lambda c: c.execute(insert(reviews), items))
    return [h.hex() for h in hashes[:judged]]


@pytest.fixture
def today(clock: Clock) -> int:
    return clock() // DAY_MS


@pytest.mark.parametrize("rest", [State.OPEN, State.EXPIRED, State.ESCALATED, None])
def test_a_day_of_which_too_many_have_no_verdict_is_left_out(database: Database, today: int, rest: State | None):
    """Nine of ten are enough, 89 of a hundred are not."""
    used = put(database, today - 1, Outcome.UNKNOWN, 10, 9, rest)
    put(database, today - 2, Outcome.UNKNOWN, 100, 89, rest)
    found = read_verdicts(database, "m", ())
    assert sorted(map(str, found.sha256s)) == sorted(used)
    assert (found.gathering.unjudged, found.gathering.unfinished) == (1, 89)


def test_so_it_is_for_each_version_of_a_policy(database: Database, today: int):
    put(database, today - 1, Outcome.UNKNOWN, 100, 50, version="v1")
    used = put(database, today - 1, Outcome.UNKNOWN, 10, 10, version="v2")
    assert sorted(labels(database)) == sorted(used)


def test_many_unknown_ones_do_not_hide_that_the_checks_were_lost(database: Database, today: int):
    """Of 500 images 480 were judged, and of the twenty that say how often the machine is wrong none."""
    put(database, today - 1, Outcome.UNKNOWN, 480, 480)
    put(database, today - 1, Outcome.SAFE, 20, 0, None)
    with pytest.raises(InvalidLabels, match="of 500 images .* 480 have a verdict, and 20 have none"):
        read_verdicts(database, "m", ())


def test_nor_do_many_checks_hide_that_the_unknown_ones_wait(database: Database, today: int):
    put(database, today - 1, Outcome.UNKNOWN, 20, 0)
    put(database, today - 1, Outcome.SAFE, 480, 480)
    with pytest.raises(InvalidLabels, match="of 500 images .* 480 have a verdict, and 20 have none"):
        read_verdicts(database, "m", ())


def test_today_is_left_out_without_a_word(database: Database, today: int, clock: Clock):
    before = put(database, today - 1, Outcome.UNKNOWN, 3, 3)
    later = put(database, today, Outcome.UNKNOWN, 3, 3)
    found = read_verdicts(database, "m", ())
    assert sorted(map(str, found.sha256s)) == sorted(before)
    assert (found.gathering.unjudged, found.gathering.unfinished) == (0, 0)
    clock.pass_s(86_400)
    assert sorted(labels(database)) == sorted(before + later)


def test_a_first_day_is_told_to_come_again_tomorrow(database: Database, today: int):
    put(database, today, Outcome.UNKNOWN, 3, 3)
    with pytest.raises(InvalidLabels, match="What comes today counts tomorrow"):
        read_verdicts(database, "m", ())


# --- Who was looked at again --------------------------------------------------------------------------------------------


@pytest.fixture
def desk(database: Database) -> Reviews:
    return Reviews(database)


def drawn(database: Database, desk: Reviews, name: str, verdict: Verdict) -> None:
    """A safe decision that was drawn by lot and judged."""
    day = database.now_ms() // DAY_MS
    key = {"day": day, "model": "m", "policy": "p", "policy_version": "v1", "decision": Outcome.SAFE, "chance": 1.0}
    row = insert(tallies).values(**key, bin=len(name), images=1, chosen=1).returning(tallies.c.id)
    tally = database.write(lambda c: c.execute(row).scalar_one())
    # A spot check asks whether the image is still known; a report does not, and is told apart by who drew it alone.
    opening = Opening(sha(name), JUDGEMENT, Submission(), Kind.UNKNOWN, pictures=1, draw=Draw(1.0, tally))
    settled(desk, desk.open(opening, []), verdict)


def asked(desk: Reviews, name: str, kind: Kind = Kind.REPORT) -> Review:
    return desk.open(Opening(sha(name), JUDGEMENT, Submission(), kind, pictures=1), [])


def settled(desk: Reviews, item: Review, verdict: Verdict) -> Review:
    return desk.settle(item.id, ANNA, verdict, item.version)


def rates(database: Database, clock: Clock) -> list[tuple[int, int, int]]:
    """Chosen, judged and adult, of each stratum of the last month."""
    strata = database.read(lambda c: checks.strata(c, clock() - 30 * DAY_MS))
    return [(s.chosen, s.judged, s.adult) for found in strata.values() for s in found]


def test_a_verdict_that_people_overturned_is_no_label_any_more(database: Database, desk: Reviews, clock: Clock):
    for name in ("a", "bb"):
        drawn(database, desk, name, Verdict.SAFE)
    clock.pass_s(86_400)
    item = asked(desk, "a")
    assert labels(database) == {sha("a").hex(): False, sha("bb").hex(): False}  # it waits: what was said before holds
    settled(desk, item, Verdict.ADULT)
    assert labels(database) == {sha("a").hex(): True, sha("bb").hex(): False}
    assert rates(database, clock) == [(2, 2, 1)]


def test_the_last_of_several_holds(database: Database, desk: Reviews, clock: Clock):
    drawn(database, desk, "a", Verdict.SAFE)
    for kind, verdict, adult in ((Kind.REPORT, Verdict.ADULT, 1), (Kind.APPEAL, Verdict.SAFE, 0)):
        clock.pass_s(86_400)
        settled(desk, asked(desk, "a", kind), verdict)
        assert labels(database) == {sha("a").hex(): bool(adult)}
        assert rates(database, clock) == [(1, 1, adult)]


def test_what_was_taken_back_does_not_hold(database: Database, desk: Reviews, clock: Clock):
    drawn(database, desk, "a", Verdict.SAFE)
    clock.pass_s(86_400)
    item = settled(desk, asked(desk, "a"), Verdict.ADULT)
    desk.undo(item.id, ANNA, item.version)
    assert labels(database) == {sha("a").hex(): False}
    assert rates(database, clock) == [(1, 1, 0)]


def test_a_verdict_of_before_chance_came_does_not_count(database: Database, desk: Reviews, clock: Clock):
    settled(desk, asked(desk, "a"), Verdict.ADULT)
    clock.pass_s(60)
    drawn(database, desk, "a", Verdict.SAFE)
    clock.pass_s(86_400)
    assert labels(database) == {sha("a").hex(): False}
    assert rates(database, clock) == [(1, 1, 0)]


def test_what_was_escalated_after_a_verdict_is_no_label(database: Database, desk: Reviews, clock: Clock):
    for name in ("a", "bb"):
        drawn(database, desk, name, Verdict.ADULT)
    clock.pass_s(86_400)
    frozen = asked(desk, "a", Kind.APPEAL)
    desk.escalate(frozen.id, ANNA, frozen.version)
    assert rates(database, clock) == [(2, 1, 1)]
    with pytest.raises(InvalidLabels, match="of 2 images .* 1 have a verdict, and 1 have none"):
        labels(database)
    desk.release(frozen.id, CHIEF, frozen.version + 1)
    assert labels(database) == {sha("a").hex(): True, sha("bb").hex(): True}


def test_who_is_looked_at_again_is_no_more_and_no_less_in_the_sample(database: Database, desk: Reviews, clock: Clock):
    """A report of an image that chance did not choose makes no label, whatever people say of it."""
    drawn(database, desk, "a", Verdict.SAFE)
    clock.pass_s(86_400)
    settled(desk, asked(desk, "never drawn"), Verdict.ADULT)
    assert labels(database) == {sha("a").hex(): False}
    assert rates(database, clock) == [(1, 1, 0)]
