"""The feed loses nothing and the outbox gives nothing to two, however many write and send at once."""

from __future__ import annotations

import json
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from databases import Clock, migrated, new_database
from sqlalchemy import select

from demure.errors import SourceNotFound
from demure.events import Event
from demure.store import events as outbox
from demure.store.database import Database
from demure.store.events import Delivery, Outbox
from demure.store.schema import audit, deliveries
from demure.webhooks import to_message

A, B = "https://a.example.org/hook", "https://b.example.org/hook"
LEASE_MS = 60_000


def emit(database: Database, *endpoints: str, type: str = "review.settled", **data: object) -> None:
    database.write(lambda c: outbox.emit(c, database.now_ms(), endpoints, type, data))


def feed(database: Database, after: int = 0, limit: int = 10) -> list[Event]:
    return database.read(lambda c: outbox.feed(c, after, limit))


def claim(database: Database, endpoint: str = A, limit: int = 100) -> list[Delivery]:
    return database.write(lambda c: outbox.due(c, endpoint, database.now_ms(), limit, LEASE_MS))


def is_due(database: Database, endpoint: str = A) -> bool:
    return database.read(lambda c: outbox.is_due(c, endpoint, database.now_ms()))


def fail(database: Database, delivery: Delivery, in_s: float | None = None, failure: str = "it answered 500") -> None:
    now_ms = database.now_ms()
    next_ms = None if in_s is None else now_ms + int(in_s * 1000)
    database.write(lambda c: outbox.failed(c, delivery, now_ms, next_ms, failure))


def deliver(database: Database, delivery: Delivery) -> None:
    database.write(lambda c: outbox.delivered(c, delivery))


def state_of(database: Database, delivery: Delivery) -> tuple[str, str | None]:
    of = (deliveries.c.event_id == delivery.event.id) & (deliveries.c.endpoint == delivery.endpoint)
    row = database.read(lambda c: c.execute(select(deliveries.c.state, deliveries.c.failure).where(of)).one())
    return row.state, row.failure


def dead(database: Database, limit: int = 100) -> list[tuple[int, str]]:
    return [(letter.event.id, letter.endpoint) for letter in database.read(lambda c: outbox.dead_letters(c, limit))]


def abandon(database: Database, *endpoints: str, overdue_s: float = 600) -> int:
    now_ms = database.now_ms()
    return database.write(lambda c: outbox.abandon(c, endpoints, now_ms - int(overdue_s * 1000), now_ms))


def test_the_feed_is_what_was_emitted_in_its_order(database, clock):
    emit(database, type="review.opened", review="r1", score=0.1)
    clock.pass_s(1)
    emit(database, A, type="review.settled", review="r1", verdict=None)
    first = Event(1, "review.opened", clock() - 1000, {"review": "r1", "score": 0.1})
    second = Event(2, "review.settled", clock(), {"review": "r1", "verdict": None})
    assert feed(database, 0, 10) == [first, second]
    assert feed(database, 0, 1) == [first]
    assert feed(database, 1, 10) == [second]
    assert feed(database, 2, 10) == []


def test_what_was_rolled_back_was_never_told_and_leaves_no_gap(database):
    def work(connection):
        outbox.emit(connection, 0, [A], "review.settled", {})
        raise LookupError

    emit(database, A)
    with pytest.raises(LookupError):
        database.write(work)
    emit(database, A)
    assert [event.id for event in feed(database, 0, 10)] == [1, 2]
    assert len(claim(database)) == 2


def test_who_reads_on_from_the_last_one_never_misses_an_event_of_many_writers(database):
    """Numbers of a sequence would be taken in one order and committed in another: the higher could be read first."""
    writers, each = 8, 25
    left = threading.Event()

    def write(seed: int) -> None:
        dice = random.Random(seed)

        def work(connection):
            outbox.emit(connection, 0, [A], "review.settled", {"writer": seed})
            time.sleep(dice.random() * 0.005)  # until it is committed

        for _ in range(each):
            database.write(work, durable=False)

    def follow() -> list[int]:
        seen = [0]
        while True:
            was_left = left.is_set()
            new = [event.id for event in feed(database, seen[-1], 7)]
            if was_left and not new:
                return seen[1:]
            seen += new

    with ThreadPoolExecutor(writers + 1) as threads:
        reader = threads.submit(follow)
        list(threads.map(write, range(writers)))
        left.set()
        assert reader.result(60) == [*range(1, writers * each + 1)]


def test_an_event_read_back_is_sent_in_the_same_bytes(database, clock):
    data = {"z": 0.1 + 0.2, "a": [1, None, True, "ü\u2028\x00"], "score": 1e-7, "n": 2**53}
    emit(database, A, **data)
    first = claim(database)[0]
    clock.pass_s(61)
    again = claim(database)[0]
    assert (
        to_message(first.event)
        == to_message(again.event)
        == to_message(Event(1, "review.settled", clock() - 61_000, data))
    )


def test_what_is_due_is_claimed_with_its_event_for_its_endpoint_alone(database, clock):
    assert not is_due(database)
    emit(database, A, B, review="r1")
    assert is_due(database)
    assert claim(database) == [Delivery(Event(1, "review.settled", clock(), {"review": "r1"}), A, attempts=1)]
    assert not is_due(database)
    assert claim(database) == []
    assert [delivery.endpoint for delivery in claim(database, B)] == [B]


def test_the_longest_due_are_claimed_first_and_no_more_than_asked_for(database, clock):
    for _ in range(5):
        emit(database, A)
    for delivery in claim(database):  # the last is due first
        fail(database, delivery, in_s=10 - delivery.event.id)
    clock.pass_s(10)
    assert [delivery.event.id for delivery in claim(database, limit=3)] == [3, 4, 5]
    assert [delivery.event.id for delivery in claim(database, limit=3)] == [1, 2]


def test_each_is_claimed_once_by_eight_who_claim_at_once(database):
    for _ in range(96):
        emit(database, A)
    start = threading.Barrier(8)

    def take(_: int) -> list[int]:
        start.wait()
        mine: list[int] = []
        while claimed := claim(database, limit=3):
            assert len(claimed) <= 3
            mine += [delivery.event.id for delivery in claimed]
        return mine

    with ThreadPoolExecutor(8) as threads:
        claimed = [number for mine in threads.map(take, range(8)) for number in mine]
    assert sorted(claimed) == [*range(1, 97)]
    assert claim(database) == []


def test_who_claims_on_postgresql_does_not_wait_for_another(tmp_path):
    """SQLite has one writer at a time anyway."""
    with (
        new_database("postgresql", tmp_path) as url,
        migrated(url, Clock()) as database,
        ThreadPoolExecutor(1) as thread,
    ):
        emit(database, A)
        emit(database, A)

        def hold(connection) -> list[int]:
            mine = outbox.due(connection, A, database.now_ms(), 1, LEASE_MS)
            theirs = thread.submit(claim, database, A, 1).result(10)
            return [delivery.event.id for delivery in mine + theirs]

        assert database.write(hold) == [1, 2]


def test_what_a_dead_process_had_claimed_is_claimed_again_when_the_lease_ends(database, clock):
    emit(database, A)
    assert claim(database)[0].attempts == 1
    clock.pass_s(59.999)
    assert claim(database) == []
    clock.pass_s(0.001)
    assert claim(database)[0].attempts == 2


def test_what_was_delivered_is_never_due_again(database, clock):
    emit(database, A)
    delivery = claim(database)[0]
    deliver(database, delivery)
    clock.pass_s(10 * 86_400)
    assert claim(database) == []
    assert state_of(database, delivery) == ("delivered", None)


def test_what_failed_is_due_when_it_was_said_and_not_before(database, clock):
    emit(database, A)
    fail(database, claim(database)[0], in_s=300)
    clock.pass_s(299.999)
    assert not is_due(database)
    assert claim(database) == []
    clock.pass_s(0.001)
    assert is_due(database)
    assert claim(database)[0].attempts == 2


def test_who_lost_its_lease_cannot_undo_what_the_next_one_did(database, clock):
    emit(database, A)
    slow = claim(database)[0]
    clock.pass_s(60)
    quick = claim(database)[0]
    fail(database, slow)
    assert state_of(database, quick) == ("waiting", None)
    deliver(database, quick)
    fail(database, slow)
    fail(database, quick)
    assert state_of(database, quick) == ("delivered", None)


def test_who_lost_its_lease_and_delivered_has_delivered(database, clock):
    emit(database, A)
    slow = claim(database)[0]
    clock.pass_s(60)
    fail(database, claim(database)[0])
    deliver(database, slow)
    assert state_of(database, slow) == ("delivered", None)
    assert dead(database) == []


def test_a_dead_letter_says_what_and_why_and_is_not_sent_again(database, clock):
    emit(database, A, review="r1")
    clock.pass_s(5)
    fail(database, claim(database)[0], failure="the receiver answered 410")
    (letter,) = database.read(lambda c: outbox.dead_letters(c, 10))
    assert (letter.event.id, letter.event.type, letter.endpoint, letter.attempts) == (1, "review.settled", A, 1)
    assert letter.event.data == {}  # it may be large, and nobody asks for it
    assert (letter.failure, letter.died_ms, letter.event.at_ms) == (
        "the receiver answered 410",
        clock(),
        clock() - 5000,
    )
    clock.pass_s(10 * 86_400)
    assert claim(database) == []


def test_the_last_to_die_is_listed_first(database, clock):
    for _ in range(3):
        emit(database, A, B)
    for delivery in [*claim(database, B), *claim(database, A)]:
        fail(database, delivery)
        clock.pass_s(1)
    assert dead(database) == [(3, A), (2, A), (1, A), (3, B), (2, B), (1, B)]
    assert dead(database, limit=2) == [(3, A), (2, A)]


def test_a_dead_letter_is_sent_once_more_with_all_its_attempts(database, clock):
    emit(database, A, B, review="r1")
    fail(database, claim(database, B)[0])
    fail(database, claim(database)[0])
    clock.pass_s(86_400)
    assert outbox.retry(database, [A], "shell", [1]) == [1]
    assert state_of(database, Delivery(Event(1, "", 0, {}), A, 0)) == ("waiting", None)
    assert dead(database) == [(1, B)]
    (delivery,) = claim(database)
    assert (delivery.attempts, delivery.event.data) == (1, {"review": "r1"})
    deliver(database, delivery)
    assert outbox.retry(database, [A], "shell") == [0]
    assert claim(database) == []


MANY = 450  # more than two transactions' worth


def kill(database: Database, *endpoints: str, count: int = MANY) -> None:
    """So many events, of which each is given up by each of the endpoints."""

    def work(connection) -> None:
        for _ in range(count):
            outbox.emit(connection, database.now_ms(), endpoints, "review.settled", {"review": "r1"})
        for endpoint in endpoints:
            for delivery in outbox.due(connection, endpoint, database.now_ms(), count, LEASE_MS):
                outbox.failed(connection, delivery, database.now_ms(), None, "it answered 500")

    database.write(work)


def retried(database: Database) -> list[tuple[str, str, list[int]]]:
    """What the audit log has of it: who, which endpoint's, and which events."""
    written = select(audit).where(audit.c.action == "events.retried").order_by(audit.c.seq)
    rows = database.read(lambda c: c.execute(written).all())
    return [(row.actor, row.target, json.loads(row.details)["ids"]) for row in rows]


def test_every_dead_letter_is_listed_once_in_the_order_of_events(database):
    kill(database, A, B)
    listed = [(letter.event.id, letter.endpoint) for letter in outbox.every_dead_letter(database)]
    assert listed == [(number, endpoint) for number in range(1, MANY + 1) for endpoint in (A, B)]
    deliver(database, Delivery(Event(3, "", 0, {}), A, 1))
    assert len([*outbox.every_dead_letter(database)]) == 2 * MANY - 1


def test_all_are_sent_again_some_at_a_time_and_the_audit_log_names_each(database):
    kill(database, A, B)
    assert outbox.retry(database, [A], "shell") == [MANY]
    assert len(claim(database, limit=1000)) == MANY
    assert len(dead(database, limit=1000)) == MANY  # the other endpoint's
    records = retried(database)
    assert {(actor, target) for actor, target, _ in records} == {("shell", "endpoint:a.example.org")}
    assert [number for *_, ids in records for number in ids] == [*range(1, MANY + 1)]
    assert max(len(ids) for *_, ids in records) <= 200
    assert outbox.retry(database, [A], "shell") == [0]
    assert len(retried(database)) == len(records)  # where nothing was done, nothing is written


def test_those_that_are_named_are_sent_again_wherever_they_are_dead(database):
    kill(database, A, B, count=4)
    deliver(database, Delivery(Event(3, "", 0, {}), B, 1))
    assert outbox.retry(database, [A, B], "shell", {2, 3}) == [2, 1]
    assert dead(database) == [(4, A), (4, B), (1, A), (1, B)]
    assert [delivery.event.id for delivery in claim(database)] == [2, 3]
    assert retried(database) == [("shell", "endpoint:a.example.org", [2, 3]), ("shell", "endpoint:b.example.org", [2])]


@pytest.mark.parametrize("unknown", [3, 4, 2**70], ids=["delivered", "none", "no number of the database's"])
def test_where_one_that_is_named_is_not_dead_nothing_is_done(database, unknown: int):
    kill(database, A, count=3)
    deliver(database, Delivery(Event(3, "", 0, {}), A, 1))
    with pytest.raises(SourceNotFound, match=f"event {unknown} is no dead letter"):
        outbox.retry(database, [A, B], "shell", [1, unknown])
    assert (len(dead(database)), retried(database)) == (2, [])


def test_one_that_dies_again_at_once_is_sent_once_more_and_not_for_ever(database):
    kill(database, A, count=450)

    class Refused:
        """The database of a service whose endpoint refuses all at once."""

        now_ms, read, writes = database.now_ms, database.read, 0

        def write(self, work):
            self.writes += 1
            assert self.writes <= 3
            done = database.write(work)
            for delivery in claim(database, limit=1000):
                fail(database, delivery)
            return done

    assert outbox.retry(Refused(), [A], "shell") == [450]
    assert len(dead(database, limit=1000)) == 450


def test_two_who_retry_at_once_send_each_once(database):
    kill(database, A, B)
    with ThreadPoolExecutor(4) as threads:
        orders = [[A, B], [B, A]] * 2
        counts = [*threads.map(lambda endpoints: outbox.retry(database, endpoints, "shell"), orders)]
    assert sum(map(sum, counts)) == 2 * MANY
    assert sorted(number for *_, ids in retried(database) for number in ids) == sorted([*range(1, MANY + 1)] * 2)


def test_dead_letters_of_endpoints_that_nobody_serves_are_counted(database):
    kill(database, A, B, count=3)
    counts = [database.read(lambda c, known=known: outbox.dead_elsewhere(c, known)) for known in ([A, B], [B], [])]
    assert counts == [0, 3, 6]


def test_what_waits_for_an_endpoint_that_nobody_serves_any_more_dies(database, clock):
    emit(database, A, B)
    fail(database, claim(database, B)[0], in_s=3600)
    clock.pass_s(3600 + 600)
    assert abandon(database, A) == 0  # ten minutes, not a moment more
    clock.pass_s(0.001)
    assert abandon(database, A) == 1
    assert dead(database) == [(1, B)]
    (letter,) = database.read(lambda c: outbox.dead_letters(c, 10))
    assert letter.failure == "this endpoint is no longer configured"
    assert len(claim(database)) == 1


def test_what_was_delivered_to_an_endpoint_that_is_gone_stays_delivered(database, clock):
    emit(database, A)
    deliver(database, delivery := claim(database)[0])
    clock.pass_s(86_400)
    assert abandon(database) == 0
    assert state_of(database, delivery)[0] == "delivered"


def test_where_no_endpoint_is_left_all_that_waits_dies(database, clock):
    emit(database, A, B)
    clock.pass_s(601)
    assert abandon(database) == 2


def test_the_outbox_is_counted(database, clock):
    assert database.read(outbox.outbox) == Outbox(waiting=0, dead=0, oldest_ms=None)
    emit(database, A)
    clock.pass_s(10)
    emit(database, A, B)
    emit(database, A)
    deliver(database, claim(database, limit=1)[0])
    fail(database, claim(database, B)[0])
    assert database.read(outbox.outbox) == Outbox(waiting=2, dead=1, oldest_ms=clock())
