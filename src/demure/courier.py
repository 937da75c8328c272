"""Takes the events that wait in the outbox to the site's endpoints: at least once, again and again after a failure.

Any number of processes may do so over one database: a claim is a lease, and what a process that died had claimed is sent by
another when it ends. In what order an endpoint gets its events is not promised.
"""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TypeVar

import structlog
from sqlalchemy import Connection

from demure.connection import parse_url
from demure.errors import DemureError
from demure.post import Poster
from demure.store import events
from demure.store.database import Database
from demure.store.events import Delivery
from demure.webhooks import Failure, WebhookSettings, delay_s, failure_of, signed_headers, to_message

T = TypeVar("T")

_AT_ONCE = 8  # to one endpoint: one that hangs keeps no other waiting
_POLL_S = 1.0  # between looks for what others have put there, or what is due again
_LEASE_MARGIN_MS = 45_000  # beyond a post's deadline: the database may be slow, and clocks differ
_GRACE_S = 5.0  # for what is under way at the end; what is broken off is sent again when its lease ends
_TIDY_S = 60.0
_SILENCE_S = 60.0  # between two lines that say the same
# How long something may be due to an endpoint that is not ours before it is given up: while a new version takes the old one's
# place, each of the two has its own settings.
_OVERDUE_MS = 600_000


class Courier:
    """Sends what is due. `run` it once in each process; `wake` it, from any thread, when there is something new."""

    def __init__(
        self,
        database: Database,
        poster: Poster,
        settings: WebhookSettings,
        *,
        poll_s: float = _POLL_S,
        tidy_s: float = _TIDY_S,
        grace_s: float = _GRACE_S,
        luck: Callable[[], float] = random.random,
    ) -> None:
        """Raises UrlNotAllowed for a URL that the poster would refuse unasked."""
        self._database, self._poster, self._settings = database, poster, settings
        self._poll_s, self._tidy_s, self._grace_s, self._luck = poll_s, tidy_s, grace_s, luck
        self._hosts = {url: parse_url(url, settings.limits).host for url in settings.urls}
        self._news = {url: asyncio.Event() for url in settings.urls}
        self._lease_ms = int(settings.limits.timeout_s * 1000) + _LEASE_MARGIN_MS
        self._under_way: set[asyncio.Task[None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._silent_until = -math.inf  # about a database that is away
        self._log = structlog.get_logger()

    def wake(self) -> None:
        """Look now. What is told before `run` begins or after it has ended is found in the outbox all the same."""
        if loop := self._loop:
            with suppress(RuntimeError):  # it was closed just now
                loop.call_soon_threadsafe(self._tell_all)

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop` is set, and then for a few seconds at most. No error ends it."""
        self._loop = asyncio.get_running_loop()
        loops = [asyncio.create_task(self._attend(url, stop)) for url in self._hosts]
        loops.append(asyncio.create_task(self._tidy(stop)))
        try:
            await stop.wait()
            self._tell_all()
            with suppress(TimeoutError):
                async with asyncio.timeout(self._grace_s):
                    await asyncio.gather(*loops, return_exceptions=True)
                    await asyncio.gather(*self._under_way, return_exceptions=True)
        finally:
            self._loop = None
            for task in (left := [*loops, *self._under_way]):
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)

    def _tell_all(self) -> None:
        for news in self._news.values():
            news.set()

    async def _attend(self, url: str, stop: asyncio.Event) -> None:
        """Send to one endpoint what is due, as many at a time as there are slots."""
        slots, news = asyncio.Semaphore(_AT_ONCE), self._news[url]
        while True:
            await slots.acquire()
            if stop.is_set():
                return
            news.clear()  # before the look: what comes during it is looked for once more
            delivery = await self._claim(url)
            if delivery is None:
                slots.release()
                await _wait(news, self._poll_s)
            else:
                task = asyncio.create_task(self._deliver(delivery))
                self._under_way.add(task)
                task.add_done_callback(self._under_way.discard)
                task.add_done_callback(lambda _: slots.release())

    async def _claim(self, url: str) -> Delivery | None:
        now_ms = self._database.now_ms()
        if not await self._stored(self._database.read, lambda c: events.is_due(c, url, now_ms)):
            return None
        claimed = await self._stored(self._write, lambda c: events.due(c, url, now_ms, 1, self._lease_ms))
        return claimed[0] if claimed else None

    async def _deliver(self, delivery: Delivery) -> None:
        """One attempt. Where its outcome cannot be written down the lease ends, and the event is sent again."""
        failure = await self._send(delivery)
        now_ms = self._database.now_ms()
        if failure is None:
            await self._stored(self._write, lambda c: events.delivered(c, delivery))
            self._tell("delivered", delivery)
            return
        wait_s = None if failure.is_final else delay_s(delivery.attempts, self._luck())
        next_ms = None if wait_s is None else now_ms + int(wait_s * 1000)
        await self._stored(self._write, lambda c: events.failed(c, delivery, now_ms, next_ms, failure.message))
        self._tell("dead" if next_ms is None else "failed", delivery, code=failure.code)

    async def _send(self, delivery: Delivery) -> Failure | None:
        try:
            message = to_message(delivery.event)
            headers = signed_headers(message, self._settings.secrets, self._database.now_ms())
            return failure_of(await self._poster.post(delivery.endpoint, headers, message.body))
        except DemureError as error:
            return Failure(error.code, error.message)
        except Exception as error:  # noqa: BLE001  one event must not stop the others
            self._log.error("a webhook was not sent", id=delivery.event.id, exc_info=error)
            return Failure("internal", "an error of demure's own: the log tells it")

    def _tell(self, outcome: str, delivery: Delivery, **fields: str) -> None:
        event, host = delivery.event, self._hosts[delivery.endpoint]
        write = self._log.warning if outcome == "dead" else self._log.info
        write("webhook", outcome=outcome, type=event.type, id=event.id, host=host, attempt=delivery.attempts, **fields)

    async def _tidy(self, stop: asyncio.Event) -> None:
        """Give up what waits for endpoints that nobody serves any more."""
        while not stop.is_set():
            now_ms = self._database.now_ms()
            urls, overdue_ms = self._settings.urls, now_ms - _OVERDUE_MS
            count = await self._stored(
                self._write, partial(events.abandon, endpoints=urls, overdue_ms=overdue_ms, now_ms=now_ms)
            )
            if count:
                self._log.warning("webhooks given up: their endpoint is no longer configured", count=count)
            await _wait(stop, self._tidy_s)

    def _write(self, work: Callable[[Connection], T]) -> T:
        # What a machine that fails forgets is sent again: that is allowed, and saves waiting for the disk.
        return self._database.write(work, durable=False)

    async def _stored(self, ask: Callable[[Callable[[Connection], T]], T], work: Callable[[Connection], T]) -> T | None:
        """None where the database does not answer: that is logged now and then, and asked again at the next turn."""
        try:
            return await asyncio.to_thread(ask, work)
        except Exception as error:  # noqa: BLE001  whatever it is, the courier goes on
            if time.monotonic() >= self._silent_until:
                self._silent_until = time.monotonic() + _SILENCE_S
                known = isinstance(error, DemureError)
                self._log.warning("webhooks wait for the database", exc_info=None if known else error)
            return None


async def _wait(event: asyncio.Event, at_most_s: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(at_most_s):
            await event.wait()
