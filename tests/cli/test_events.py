"""`demure events`: what the site did not take is listed, and sent again by a service that runs."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from databases import KINDS, Clock, migrated, new_database
from receiver import OK, Receiver
from sqlalchemy import select
from typer.testing import CliRunner
from upstream import LOOPBACK, NO_TLS, response, says

from demure.cli.events import events_app
from demure.courier import Courier
from demure.errors import InvalidSetting, SourceNotFound
from demure.post import Poster, PostLimits
from demure.store import events
from demure.store.database import Database
from demure.store.schema import audit
from demure.webhooks import WebhookSettings

A, B = "https://a.example.org/hook?token=hush", "https://b.example.org/s3cret"
SECRET = "whsec_" + base64.b64encode(b"s" * 32).decode()
HAPPENED_MS = 1_790_000_000_123  # date -u -d @1790000000
HAPPENED, DIED = "2026-09-21T14:13:20.123Z", "2026-09-21T14:14:20.123Z"

app = typer.Typer()
app.add_typer(events_app, name="events")


@pytest.fixture
def clock() -> Clock:
    return Clock(HAPPENED_MS)


@pytest.fixture(params=KINDS)
def database(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> Iterator[Database]:
    with new_database(request.param, tmp_path) as url:
        monkeypatch.setenv("DEMURE_DATABASE_URL", url)
        monkeypatch.setenv("DEMURE_DATA_DIR", str(tmp_path / "data"))
        monkeypatch.setenv("DEMURE_WEBHOOK_SECRETS", SECRET)
        monkeypatch.setenv("DEMURE_WEBHOOK_URLS", f"{A} {B}")
        with migrated(url, clock) as database:
            yield database


def kill(database: Database, clock: Clock, *endpoints: str, count: int = 1, failure: str = "it answered 500") -> None:
    """So many events, given up a minute after they happened."""
    for _ in range(count):
        database.write(lambda c: events.emit(c, clock(), endpoints, "review.settled", {"note": "hush"}))
    clock.pass_s(60)
    for endpoint in endpoints:
        for delivery in database.write(lambda c, to=endpoint: events.due(c, to, clock(), count, 60_000)):
            database.write(lambda c, one=delivery: events.failed(c, one, clock(), None, failure))


def run(*arguments: object):
    return CliRunner().invoke(app, ["events", *map(str, arguments)])


def dead(database: Database) -> list[tuple[int, str]]:
    return [(letter.event.id, letter.endpoint) for letter in events.every_dead_letter(database)]


def test_what_is_dead_is_a_line_each_without_what_may_be_secret(database, clock):
    kill(database, clock, A, B, "https://gone.example.org/hush")
    done = run("dead")
    assert (done.exit_code, done.stderr) == (0, "")
    assert [line.split("\t") for line in done.stdout.splitlines()] == [
        ["1", "review.settled", HAPPENED, number, host, DIED, "1", "it answered 500"]
        for number, host in (("1", "a.example.org"), ("2", "b.example.org"), ("-", "gone.example.org"))
    ]


def test_a_failure_cannot_write_lines_of_its_own(database, clock):
    kill(database, clock, A, failure="it answered\n\x1b[2Jnothing")
    (line,) = run("dead").stdout.splitlines()
    assert line.endswith("\tit answered\\n\\x1b[2Jnothing")


def test_where_nothing_is_dead_both_say_so(database, clock):
    database.write(lambda c: events.emit(c, clock(), [A], "review.settled", {}))
    listed = run("dead")
    assert (listed.exit_code, listed.stdout, listed.stderr) == (0, "", "No event was given up.\n")
    retried = run("retry", "--all")
    assert (retried.exit_code, retried.stdout) == (0, "No event was given up.\n")


def test_one_event_is_sent_again_to_all_and_that_is_in_the_audit_log(database, clock):
    kill(database, clock, A, B, count=3)
    done = run("retry", 2)
    assert (done.exit_code, done.stdout.splitlines()) == (
        0,
        [
            "1 dead letter for endpoint 1 (a.example.org): a running service sends it now.",
            "1 dead letter for endpoint 2 (b.example.org): a running service sends it now.",
        ],
    )
    assert dead(database) == [(1, A), (1, B), (3, A), (3, B)]
    written = database.read(lambda c: c.execute(select(audit).order_by(audit.c.seq)).all())
    assert [(row.actor, row.action, row.target, json.loads(row.details)) for row in written] == [
        ("shell", "events.retried", f"endpoint:{host}.example.org", {"ids": [2]}) for host in ("a", "b")
    ]


def test_all_of_one_endpoint_are_sent_again(database, clock):
    kill(database, clock, A, B, count=3)
    done = run("retry", "--endpoint", 2, "--all")
    assert done.stdout == "3 dead letters for endpoint 2 (b.example.org): a running service sends them now.\n"
    assert dead(database) == [(1, A), (2, A), (3, A)]
    again = run("retry", "--endpoint", 2, "--all")
    assert (again.exit_code, again.stdout) == (0, "No event was given up by endpoint 2.\n")


def test_what_is_dead_for_an_endpoint_that_is_gone_stays_and_is_told_of(database, clock):
    kill(database, clock, A, "https://gone.example.org/", count=2)
    done = run("retry", "--all")
    assert (done.exit_code, done.stdout.splitlines()) == (
        0,
        [
            "2 dead letters for endpoint 1 (a.example.org): a running service sends them now.",
            "2 dead letters for endpoints that DEMURE_WEBHOOK_URLS does not name: not sent.",
        ],
    )
    assert dead(database) == [(1, "https://gone.example.org/"), (2, "https://gone.example.org/")]
    assert isinstance(run("retry", 1).exception, SourceNotFound)


def test_without_the_services_urls_nothing_is_sent_and_the_setting_is_named(database, clock, monkeypatch):
    kill(database, clock, A)
    monkeypatch.setenv("DEMURE_WEBHOOK_URLS", "")
    done = run("retry", "--all")
    assert isinstance(done.exception, InvalidSetting)
    assert str(done.exception) == "DEMURE_WEBHOOK_URLS: not set; 1 dead letter here: set it as the service has it"
    assert dead(database) == [(1, A)]


WRONG = {
    "neither": (["retry"], InvalidSetting, "expected the numbers of events, or --all"),
    "both": (["retry", 1, "--all"], InvalidSetting, "expected the numbers of events, or --all"),
    "endpoint-alone": (["retry", "--endpoint", 1], InvalidSetting, "expected the numbers of events, or --all"),
    "endpoint-0": (["retry", "--endpoint", 0, "--all"], InvalidSetting, "--endpoint: found 0; DEMURE_WEBHOOK_URLS"),
    "endpoint-3": (["retry", "--endpoint", 3, "--all"], InvalidSetting, "--endpoint: found 3; DEMURE_WEBHOOK_URLS"),
    "not-dead": (["retry", 1, 7], SourceNotFound, "event 7 is no dead letter"),
}


@pytest.mark.parametrize(("arguments", "error", "message"), WRONG.values(), ids=WRONG)
def test_a_question_that_is_wrong_sends_nothing(database, clock, arguments, error, message: str):
    kill(database, clock, A)
    done = run(*arguments)
    assert isinstance(done.exception, error)
    assert str(done.exception).startswith(message)
    assert dead(database) == [(1, A)]


def test_an_endpoint_that_is_named_twice_has_its_first_number_and_is_sent_to_once(database, clock, monkeypatch):
    monkeypatch.setenv("DEMURE_WEBHOOK_URLS", f"{A} {B} {A}")
    kill(database, clock, A)
    assert run("dead").stdout.split("\t")[3] == "1"
    done = run("retry", "--all")
    assert done.stdout == "1 dead letter for endpoint 1 (a.example.org): a running service sends it now.\n"


@pytest.mark.parametrize("arguments", [["dead"], ["retry", "--all"]], ids=["dead", "retry"])
def test_who_looks_is_not_given_a_new_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments):
    monkeypatch.setenv("DEMURE_DATA_DIR", str(tmp_path / "kept"))
    monkeypatch.delenv("DEMURE_DATABASE_URL", raising=False)
    assert isinstance(run(*arguments).exception, SourceNotFound)
    assert list(tmp_path.iterdir()) == []


def test_a_service_that_runs_sends_what_the_shell_asks_for(database, clock, monkeypatch):
    """The endpoint refuses for ever, until it is mended."""
    limits = PostLimits(timeout_s=10, ports=frozenset(range(1, 65_536)), allow_networks=LOOPBACK)

    async def until(happened) -> None:
        async with asyncio.timeout(20):
            while not happened():
                await asyncio.sleep(0.01)

    async def work() -> None:
        stop = asyncio.Event()
        async with (
            Receiver(says(response(status="410 Gone")), OK) as receiver,
            Poster(limits, ssl_context=NO_TLS) as poster,
        ):
            monkeypatch.setenv("DEMURE_WEBHOOK_URLS", receiver.url)
            monkeypatch.setenv("DEMURE_WEBHOOK_PORTS", "1-65535")
            monkeypatch.setenv("DEMURE_WEBHOOK_ALLOW_NETWORKS", "127.0.0.0/8")
            settings = WebhookSettings((receiver.url,), (SECRET,), limits)
            running = asyncio.create_task(Courier(database, poster, settings, poll_s=0.01).run(stop))
            database.write(lambda c: events.emit(c, clock(), [receiver.url], "review.settled", {}))
            await until(lambda: dead(database))
            clock.ms = (
                time.time_ns() // 1_000_000 + 60_000
            )  # the shell goes by the machine's, and a service's may be apart
            assert (await asyncio.to_thread(run, "retry", "--all")).exit_code == 0
            await until(lambda: len(receiver.requests) == 2 and not database.read(events.outbox).waiting)
            assert receiver.ids[0] == receiver.ids[1]
            stop.set()
            await running

    asyncio.run(work())
    assert dead(database) == []
