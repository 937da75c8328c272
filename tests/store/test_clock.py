"""What was written while the clock was days ahead does no harm when it has been set back."""

from __future__ import annotations

import hashlib

import pytest

from demure.accounts import Passwords, Role
from demure.previews import Preview
from demure.reviews import LONGEST_LEASE_S, Actor, Judgement, Opening, Submission
from demure.store import events as outbox
from demure.store.custody import held_by
from demure.store.reviews import Reviews
from demure.store.users import Users
from demure.webhooks import SCHEDULE_S, delay_s

ANNA, BERT, ROOT = Actor("user:anna"), Actor("user:bert"), Actor("user:root", is_admin=True)
UNSURE = Judgement("unknown", "uncertain", 0.5, {"porn": 0.5}, None, None, "tiny", "colours", "1")
HOUR_S, DAY_S = 3600, 86_400
HOOK, WORDS = "https://forum.example/hook", "four words of sense"
LEASE_MS = 60_000


@pytest.fixture
def queue(database):
    return Reviews(database)


def send(queue: Reviews):
    opening = Opening(hashlib.sha256(b"a").digest(), UNSURE, Submission("post"))
    return queue.open(opening, [Preview(0, 0, 2, 1, "image/jpeg", b"not really a picture")])


def test_an_item_that_was_claimed_days_ahead_is_free_when_the_clock_is_set_back(queue, database, clock):
    review = send(queue)
    clock.pass_s(3 * DAY_S)
    queue.claim(review.id, ANNA)
    clock.pass_s(-3 * DAY_S)
    assert queue.get(review.id).holder(clock()) is None
    assert database.read(lambda c: held_by(c, ANNA, clock())) == []
    assert queue.claim(review.id, ROOT).claimed_by == str(ROOT)
    clock.pass_s(301)
    assert queue.claim_next(BERT).id == review.id


def test_the_next_item_may_be_one_that_was_claimed_days_ahead(queue, clock):
    review = send(queue)
    clock.pass_s(3 * DAY_S)
    queue.claim_next(ANNA)
    clock.pass_s(-3 * DAY_S)
    assert queue.claim_next(BERT).id == review.id
    assert queue.claim_next(ANNA) is None


def test_the_longest_lease_that_may_be_asked_for_holds(queue, database, clock):
    review = send(queue)
    queue.claim(review.id, ANNA, LONGEST_LEASE_S)
    assert queue.claim_next(BERT) is None
    assert queue.get(review.id).holder(clock()) == str(ANNA)
    assert database.read(lambda c: held_by(c, ANNA, clock())) == [review.id]


def is_due(database) -> bool:
    return database.read(lambda c: outbox.is_due(c, HOOK, database.now_ms()))


def claim(database) -> list[outbox.Delivery]:
    return database.write(lambda c: outbox.due(c, HOOK, database.now_ms(), 10, LEASE_MS))


def test_an_event_that_happened_days_ahead_is_sent_when_the_clock_is_set_back(database, clock):
    clock.pass_s(3 * DAY_S)
    database.write(lambda c: outbox.emit(c, clock(), [HOOK], "review.settled", {}))
    clock.pass_s(-3 * DAY_S)
    assert is_due(database)
    assert len(claim(database)) == 1
    assert not is_due(database)  # it is under way, and its lease is one of today


def test_an_event_waits_for_the_longest_pause_that_there_is(database, clock):
    database.write(lambda c: outbox.emit(c, clock(), [HOOK], "review.settled", {}))
    (delivery,) = claim(database)
    longest_s = delay_s(len(SCHEDULE_S), 0.999_999)
    assert longest_s > DAY_S
    next_ms = clock() + int(longest_s * 1000)
    database.write(lambda c: outbox.failed(c, delivery, clock(), next_ms, "it answered 500"))
    assert not is_due(database)
    clock.pass_s(longest_s - 1)
    assert not is_due(database)
    clock.pass_s(2)
    assert is_due(database)


@pytest.fixture
def users(database) -> Users:
    users = Users(database, Passwords(memory_kib=8, passes=1))
    users.set_up(users.invite("root", Role.ADMIN, "shell"), WORDS)
    return users


def test_a_session_that_began_days_ahead_is_over_when_the_clock_is_set_back(users, clock):
    clock.pass_s(3 * DAY_S)
    token, _ = users.sign_in("root", WORDS)
    assert users.session(token)
    clock.pass_s(-3 * DAY_S)
    assert users.session(token) is None
    clock.pass_s(2 * DAY_S)  # 12 idle hours would have ended it
    assert users.session(token) is None


def test_a_session_that_was_used_hours_ahead_is_over_when_the_clock_is_set_back(users, clock):
    token, _ = users.sign_in("root", WORDS)
    clock.pass_s(6 * HOUR_S)
    assert users.session(token)
    clock.pass_s(-6 * HOUR_S)
    assert users.session(token) is None


@pytest.mark.parametrize(("ahead_s", "is_alive"), [(60, True), (61, False)])
def test_another_machine_may_be_a_minute_ahead(users, clock, ahead_s, is_alive):
    clock.pass_s(ahead_s)
    token, _ = users.sign_in("root", WORDS)
    clock.pass_s(-ahead_s)
    assert (users.session(token) is not None) is is_alive
