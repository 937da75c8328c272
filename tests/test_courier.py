"""Events reach the site: at least once, until it takes them or three days have passed, however either side fails meanwhile.

A real receiver on loopback, a real database, and a clock that is moved by hand.
"""

from __future__ import annotations

import asyncio
import base64
import os
import signal
import sys
import textwrap
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from databases import KINDS, Clock, migrated, new_database
from receiver import OK, Receiver
from sqlalchemy import select
from standardwebhooks import Webhook
from structlog.testing import capture_logs
from upstream import LOOPBACK, NO_TLS, Behaviour, drips, floods, raw, redirect, response, says, says_and_waits

from demure.courier import Courier
from demure.errors import StorageUnavailable, UrlNotAllowed
from demure.post import Poster, PostLimits
from demure.store import events
from demure.store.database import Database
from demure.store.events import DeadLetter
from demure.store.schema import deliveries
from demure.webhooks import WebhookSettings

NEW, OLD = ("whsec_" + base64.b64encode(letter * 32).decode() for letter in (b"n", b"o"))
LIMITS = PostLimits(timeout_s=10, ports=frozenset(range(1, 65_536)), allow_networks=LOOPBACK)
HANGS = says_and_waits(b"")
SOON_S = 20  # what a busy machine may take
LEASE_S = LIMITS.timeout_s + 45


def answers(status: str) -> Behaviour:
    return says(response(status=status))


@pytest.fixture
def clock() -> Clock:
    return Clock(time.time_ns() // 1_000_000)  # signatures are believed for five minutes


@pytest.fixture(params=["sqlite"])
def database(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> Iterator[Database]:
    with new_database(request.param, tmp_path) as url, migrated(url, clock) as database:
        yield database


on_both = pytest.mark.parametrize("database", KINDS, indirect=True)


def emit(database: Database, *endpoints: str, number: int = 0) -> None:
    database.write(lambda c: events.emit(c, database.now_ms(), endpoints, "review.settled", {"number": number}))


def waiting(database: Database) -> int:
    return database.read(events.outbox).waiting


def failures(database: Database) -> list[int]:
    """When what has failed is due again."""
    noted = select(deliveries.c.next_ms).where(deliveries.c.state == "waiting", deliveries.c.failure.is_not(None))
    return [*database.read(lambda c: c.execute(noted).scalars().all())]


def dead(database: Database) -> list[DeadLetter]:
    return database.read(lambda c: events.dead_letters(c, 100))


@asynccontextmanager
async def running(
    database: Any,
    *urls: str,
    secrets: tuple[str, ...] = (NEW,),
    limits: PostLimits = LIMITS,
    poster: Any = None,
    poll_s: float = 0.01,
    luck: Callable[[], float] = lambda: 0.5,
    **how: Any,
) -> AsyncIterator[Courier]:
    stop = asyncio.Event()
    async with Poster(limits, ssl_context=NO_TLS) as real:
        settings = WebhookSettings(urls, secrets, limits)
        courier = Courier(database, poster or real, settings, poll_s=poll_s, luck=luck, **how)
        task = asyncio.create_task(courier.run(stop))
        try:
            yield courier
            assert not task.done()
        finally:
            stop.set()
            await task


async def until(happened: Callable[[], object], at_most_s: float = SOON_S) -> None:
    async with asyncio.timeout(at_most_s):
        while not happened():
            await asyncio.sleep(0.005)


async def a_few_polls() -> None:
    await asyncio.sleep(0.1)


def test_an_event_arrives_signed_by_both_secrets_and_is_not_sent_again(database: Database):
    async def work() -> Receiver:
        async with Receiver() as receiver, running(database, receiver.url, secrets=(NEW, OLD)):
            emit(database, receiver.url, number=5)
            await until(lambda: receiver.requests and not waiting(database))
            await a_few_polls()
            return receiver

    (request,) = asyncio.run(work()).requests
    for secret in (NEW, OLD):
        told = Webhook(secret).verify(request.body, request.headers)
        assert (told["id"], told["type"], told["data"]) == (1, "review.settled", {"number": 5})
    assert request.headers["Content-Type"] == "application/json"
    assert not dead(database)


def test_each_endpoint_gets_each_event(database: Database):
    async def work() -> None:
        async with Receiver() as a, Receiver() as b, running(database, a.url, b.url):
            for number in range(20):
                emit(database, a.url, b.url, number=number)
            await until(lambda: not waiting(database))
            assert len(a.ids) == len(set(a.ids)) == 20
            assert set(a.ids) == set(b.ids)

    asyncio.run(work())


def test_what_was_emitted_before_the_start_is_sent(database: Database):
    async def work() -> None:
        async with Receiver() as receiver:
            emit(database, receiver.url)
            async with running(database, receiver.url):
                await until(lambda: not waiting(database))

    asyncio.run(work())


def test_an_event_is_sent_at_once_when_the_courier_is_woken_from_a_thread(database: Database):
    came = asyncio.Event()

    async def take(_head: str, writer: asyncio.StreamWriter) -> None:
        came.set()
        writer.write(response())

    async def work() -> None:
        async with Receiver(take) as receiver, running(database, receiver.url, poll_s=600) as courier:
            await a_few_polls()
            emit(database, receiver.url)
            timer = threading.Timer(0.2, courier.wake)
            timer.start()
            await asyncio.wait_for(came.wait(), SOON_S)  # meanwhile nothing else wakes the loop
            timer.join()

    asyncio.run(work())


def test_to_be_woken_when_it_does_not_run_is_no_harm(database: Database):
    async def work() -> Courier:
        async with running(database, "http://127.0.0.1:9/") as courier:
            pass
        courier.wake()
        return courier

    settings = WebhookSettings(("http://127.0.0.1:9/",), (NEW,), LIMITS)
    Courier(database, Poster(LIMITS, ssl_context=NO_TLS), settings).wake()
    courier = asyncio.run(work())
    courier.wake()
    courier._loop = asyncio.new_event_loop()
    courier._loop.close()  # as it may be between the look and the call
    courier.wake()


def test_a_receiver_that_fails_once_gets_the_same_event_again(database: Database, clock: Clock):
    async def work() -> Receiver:
        async with Receiver(answers("500 Oh"), OK) as receiver, running(database, receiver.url):
            emit(database, receiver.url)
            await until(lambda: failures(database))
            clock.pass_s(5)
            await until(lambda: not waiting(database))
            return receiver

    first, second = asyncio.run(work()).requests
    assert first.body == second.body
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert int(second.headers["webhook-timestamp"]) - int(first.headers["webhook-timestamp"]) == 5
    Webhook(NEW).verify(second.body, second.headers)
    assert not dead(database)


# Standard Webhooks 1.0.0, "Deliverability and reliability".
DELAYS_S = [5, 5 * 60, 30 * 60, 2 * 3600, 5 * 3600, 10 * 3600, 14 * 3600, 20 * 3600, 24 * 3600]


def test_a_receiver_that_never_takes_it_is_asked_ten_times_in_three_days_and_then_no_more(
    database: Database, clock: Clock
):
    async def work() -> None:
        async with Receiver(answers("503 Busy")) as receiver, running(database, receiver.url):
            emit(database, receiver.url)
            for attempt, delay_s in enumerate(DELAYS_S, start=1):
                await until(lambda s=delay_s: failures(database) == [clock() + s * 1000])
                clock.pass_s(delay_s - 0.001)
                await a_few_polls()
                assert len(receiver.requests) == attempt
                clock.pass_s(0.001)
            await until(lambda: dead(database))
            assert len(receiver.requests) == 10
            clock.pass_s(30 * 86_400)
            await a_few_polls()
            assert len(receiver.requests) == 10

    asyncio.run(work())
    (letter,) = dead(database)
    assert letter.attempts == 10
    assert letter.failure == "the receiver answered 503; a 2xx is due"
    assert not waiting(database)


def test_gone_is_a_dead_letter_at_once(database: Database):
    async def work() -> None:
        async with Receiver(answers("410 Gone")) as receiver, running(database, receiver.url):
            emit(database, receiver.url)
            await until(lambda: dead(database))
            assert len(receiver.requests) == 1

    asyncio.run(work())
    assert "410" in dead(database)[0].failure


def test_a_dead_letter_that_is_retried_arrives(database: Database, clock: Clock):
    async def work() -> None:
        async with Receiver(answers("410 Gone"), OK) as receiver, running(database, receiver.url):
            emit(database, receiver.url)
            await until(lambda: dead(database))
            clock.pass_s(86_400)
            assert events.retry(database, [receiver.url], "shell", [1]) == [1]
            await until(lambda: not dead(database) and not waiting(database))
            assert receiver.ids[0] == receiver.ids[1]

    asyncio.run(work())


async def failure_with(database: Database, clock: Clock, url: str, limits: PostLimits) -> str:
    """What the operator reads when all attempts have failed so."""
    emit(database, url)
    async with running(database, url, limits=limits):
        while not dead(database):
            await a_few_polls()
            clock.pass_s(DELAYS_S[-1])
    return dead(database)[0].failure


@pytest.mark.parametrize("networks", [(), (ip_network("10.0.0.0/8"),)])
def test_a_receiver_in_a_private_network_is_not_dialled_unless_it_was_opened(
    database: Database, clock: Clock, networks: Any
):
    async def work() -> str:
        async with Receiver() as receiver:
            limits = PostLimits(ports=LIMITS.ports, allow_networks=networks)
            failure = await failure_with(database, clock, receiver.url, limits)
            assert not receiver.requests
            return failure

    assert "allow_networks" in asyncio.run(work())


def test_a_port_that_was_not_opened_stops_the_start(database: Database):
    poster = Poster(PostLimits(), ssl_context=NO_TLS)
    with pytest.raises(UrlNotAllowed, match="8080"):
        Courier(database, poster, WebhookSettings(("https://example.org:8080/hook",), (NEW,)))


def test_a_redirect_is_a_failure_and_is_not_followed(database: Database):
    async def work() -> None:
        async with Receiver() as elsewhere, Receiver(says(redirect(elsewhere.url))) as receiver:
            async with running(database, receiver.url):
                emit(database, receiver.url)
                await until(lambda: failures(database))
            assert not elsewhere.requests

    asyncio.run(work())
    assert waiting(database) == 1


def test_a_receiver_that_hangs_is_given_up_and_asked_again(database: Database, clock: Clock):
    async def work() -> None:
        limits = PostLimits(0.2, ports=LIMITS.ports, allow_networks=LOOPBACK)
        async with Receiver(HANGS, OK) as receiver, running(database, receiver.url, limits=limits):
            emit(database, receiver.url)
            await until(lambda: failures(database))
            clock.pass_s(5)
            await until(lambda: not waiting(database))
            assert len(receiver.requests) == 2

    asyncio.run(work())


@pytest.mark.parametrize(
    "behaviour", [floods(raw(), b"a" * 10_000), drips(raw(), b"a")], ids=["as fast as can be", "in drops"]
)
def test_a_receiver_whose_answer_never_ends_has_taken_the_event(database: Database, behaviour: Behaviour):
    async def work() -> None:
        limits = PostLimits(2.0, ports=LIMITS.ports, allow_networks=LOOPBACK)  # a flood keeps this loop busy as well
        async with Receiver(behaviour) as receiver, running(database, receiver.url, limits=limits):
            emit(database, receiver.url)
            await until(lambda: not waiting(database))
            assert len(receiver.requests) == 1

    asyncio.run(work())


def test_an_endpoint_that_hangs_gets_eight_at_once_and_keeps_no_other_waiting(database: Database):
    async def work() -> None:
        async with (
            Receiver(HANGS) as hanging,
            Receiver() as healthy,
            running(database, hanging.url, healthy.url, grace_s=0),
        ):
            for number in range(20):
                emit(database, hanging.url, healthy.url, number=number)
            await until(lambda: len(set(healthy.ids)) == 20)
            await a_few_polls()
            assert len(hanging.requests) == hanging.most_at_once == 8

    asyncio.run(work())


@on_both
def test_two_processes_send_each_event_once(database: Database):
    """The second is a courier with a database connection of its own, as another process has it."""

    async def work() -> None:
        async with Receiver() as receiver:
            other = Database(database.engine.url.render_as_string(hide_password=False), database.now_ms)
            for number in range(40):
                emit(database, receiver.url, number=number)
            async with running(database, receiver.url), running(other, receiver.url):
                await until(lambda: not waiting(database), 30)
            other.close()
            assert len(receiver.ids) == len(set(receiver.ids)) == 40

    asyncio.run(work())


PROCESS = """
    import asyncio, sys
    from ipaddress import ip_network
    from demure.courier import Courier
    from demure.post import Poster, PostLimits
    from demure.store.database import Database
    from demure.webhooks import WebhookSettings

    async def main(database_url, url, secret):
        limits = PostLimits(ports=frozenset(range(1, 65536)), allow_networks=(ip_network("127.0.0.0/8"),))
        async with Poster(limits) as poster:
            courier = Courier(Database(database_url), poster, WebhookSettings((url,), (secret,), limits))
            await courier.run(asyncio.Event())

    asyncio.run(main(*sys.argv[1:]))
"""


@on_both
def test_what_a_killed_process_was_sending_is_sent_by_another_when_its_lease_ends(database: Database, clock: Clock):
    async def work() -> None:
        async with Receiver(HANGS, OK) as receiver:
            emit(database, receiver.url)
            url = database.engine.url.render_as_string(hide_password=False)
            arguments = ["-c", textwrap.dedent(PROCESS), url, receiver.url, NEW]
            process = await asyncio.create_subprocess_exec(sys.executable, *arguments)
            await until(lambda: receiver.requests, 30)
            os.kill(process.pid, signal.SIGKILL)
            await process.wait()
            clock.ms = time.time_ns() // 1_000_000
            async with running(database, receiver.url):
                await a_few_polls()
                assert len(receiver.requests) == 1
                clock.pass_s(15 + 45)
                await until(lambda: not waiting(database))
            assert receiver.ids[0] == receiver.ids[1]
            assert receiver.requests[0].body == receiver.requests[1].body

    asyncio.run(work())


class Away:
    """A database that answers with an error while it is told so."""

    def __init__(self, database: Database) -> None:
        self._database, self.now_ms = database, database.now_ms
        self.failing: dict[str, Exception] = {}
        self.failures = 0

    def read(self, work: Any) -> Any:
        return self._ask("read", self._database.read, work)

    def write(self, work: Any, **how: Any) -> Any:
        return self._ask("write", self._database.write, work, **how)

    def _ask(self, name: str, ask: Any, work: Any, **how: Any) -> Any:
        if name in self.failing:
            self.failures += 1
            raise self.failing[name]
        return ask(work, **how)


@pytest.mark.parametrize("error", [StorageUnavailable("away"), LookupError("a mistake")])
@pytest.mark.parametrize("names", [("read",), ("write",), ("read", "write")])
def test_while_the_database_is_away_it_is_asked_again_and_that_is_said_once(
    database: Database, error: Exception, names: tuple[str, ...]
):
    away = Away(database)
    away.failing = dict.fromkeys(names, error)

    async def work() -> None:
        async with Receiver() as receiver, running(away, receiver.url):
            emit(database, receiver.url)
            await until(lambda: away.failures > 5)
            assert not receiver.requests
            away.failing = {}
            await until(lambda: not waiting(database))

    with capture_logs() as lines:
        asyncio.run(work())
    said = [line for line in lines if line["event"] == "webhooks wait for the database"]
    assert [line["log_level"] for line in said] == ["warning"]
    assert said[0]["exc_info"] is (None if isinstance(error, StorageUnavailable) else error)


def test_what_was_delivered_but_could_not_be_written_down_is_sent_again_when_the_lease_ends(
    database: Database, clock: Clock
):
    away = Away(database)

    async def takes(head: str, writer: asyncio.StreamWriter) -> None:
        away.failing = {"write": StorageUnavailable("away")} if not away.failures else {}
        writer.write(response())

    async def work() -> None:
        async with Receiver(takes) as receiver, running(away, receiver.url):
            emit(database, receiver.url)
            await until(lambda: away.failures)
            away.failing = {}
            await a_few_polls()
            assert len(receiver.requests) == 1
            assert waiting(database) == 1
            clock.pass_s(LEASE_S)
            await until(lambda: not waiting(database))
            assert receiver.ids[0] == receiver.ids[1]

    asyncio.run(work())


def test_an_error_that_nobody_foresaw_fails_one_attempt_and_stops_nothing(database: Database, clock: Clock):
    class Broken:
        def __init__(self) -> None:
            self.calls = 0

        async def post(self, url: str, headers: Any, body: bytes) -> int:
            self.calls += 1
            if self.calls == 1:
                raise LookupError("a mistake")
            return 200

    async def work() -> None:
        url = "http://127.0.0.1:9/"
        async with running(database, url, poster=Broken()):
            emit(database, url, number=1)
            await until(lambda: failures(database))
            emit(database, url, number=2)
            await until(lambda: waiting(database) == 1)
            clock.pass_s(5)
            await until(lambda: waiting(database) == 0)

    with capture_logs() as lines:
        asyncio.run(work())
    (said,) = [line for line in lines if line["event"] == "a webhook was not sent"]
    assert isinstance(said["exc_info"], LookupError)


def test_what_is_under_way_at_the_end_is_finished_and_nothing_new_is_begun(database: Database):
    async def slowly(_head: str, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.3)
        writer.write(response())

    async def work() -> None:
        async with Receiver(slowly) as receiver:
            async with running(database, receiver.url):
                for number in range(20):
                    emit(database, receiver.url, number=number)
                await until(lambda: len(receiver.requests) == 8)
            assert len(receiver.requests) == 8

    asyncio.run(work())
    assert waiting(database) == 12


def test_what_hangs_at_the_end_is_broken_off(database: Database):
    async def work() -> float:
        async with Receiver(HANGS) as receiver:
            async with running(database, receiver.url, grace_s=0.2):
                for number in range(20):
                    emit(database, receiver.url, number=number)
                await until(lambda: len(receiver.requests) == 8)
                started = time.monotonic()
            return time.monotonic() - started

    assert asyncio.run(work()) < 2
    assert waiting(database) == 20


def test_a_courier_with_nothing_to_do_ends_at_once(database: Database):
    async def work() -> float:
        async with running(database, "http://127.0.0.1:9/", poll_s=600, tidy_s=600):
            await a_few_polls()
            started = time.monotonic()
        return time.monotonic() - started

    assert asyncio.run(work()) < 2


def test_a_courier_that_is_cancelled_leaves_no_task_behind(database: Database):
    async def work() -> None:
        async with Receiver(HANGS) as receiver, Poster(LIMITS, ssl_context=NO_TLS) as poster:
            emit(database, receiver.url)
            courier = Courier(database, poster, WebhookSettings((receiver.url,), (NEW,), LIMITS), poll_s=0.01)
            task = asyncio.create_task(courier.run(asyncio.Event()))
            await until(lambda: receiver.requests)
            ours = asyncio.all_tasks() - {asyncio.current_task()} - receiver._handlers
            assert len(ours) > 1
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert all(one.done() for one in ours)

    asyncio.run(work())


def test_what_waits_for_an_endpoint_that_was_taken_out_becomes_a_dead_letter_and_is_not_sent(
    database: Database, clock: Clock
):
    async def work() -> None:
        async with Receiver() as kept, Receiver() as removed:
            emit(database, removed.url)
            clock.pass_s(600)
            async with running(database, kept.url, tidy_s=0.01):
                await a_few_polls()
                assert waiting(database) == 1  # another process may serve it still
                clock.pass_s(0.001)
                await until(lambda: dead(database))
            assert not removed.requests

    with capture_logs() as lines:
        asyncio.run(work())
    assert dead(database)[0].failure == "this endpoint is no longer configured"
    assert [line["count"] for line in lines if "no longer configured" in line["event"]] == [1]


def test_without_an_endpoint_what_others_left_is_still_given_up(database: Database, clock: Clock):
    async def work() -> None:
        emit(database, "https://example.org/")
        clock.pass_s(601)
        async with running(database):
            await until(lambda: dead(database))

    asyncio.run(work())


def test_a_log_line_tells_host_attempt_and_outcome_and_nothing_that_is_secret(database: Database, clock: Clock):
    async def work() -> None:
        behaviours = [answers("500 Oh"), answers("410 Gone"), OK]
        async with Receiver(*behaviours) as receiver:
            url = f"{receiver.url}/token?key=token"
            async with running(database, url, secrets=(NEW, OLD)):
                emit(database, url, number=31415)
                await until(lambda: failures(database))
                clock.pass_s(5)
                await until(lambda: dead(database))
                emit(database, url, number=31415)
                await until(lambda: not waiting(database))

    with capture_logs() as lines:
        asyncio.run(work())
    event = {"event": "webhook", "type": "review.settled", "host": "127.0.0.1"}
    assert lines == [
        {**event, "log_level": "info", "outcome": "failed", "id": 1, "attempt": 1, "code": "500"},
        {**event, "log_level": "warning", "outcome": "dead", "id": 1, "attempt": 2, "code": "410"},
        {**event, "log_level": "info", "outcome": "delivered", "id": 2, "attempt": 1},
    ]
