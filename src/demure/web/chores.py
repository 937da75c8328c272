"""What the service does unasked, while it runs: it tells the site what happened, and sweeps away what has had its time."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog
from sqlalchemy import Connection

from demure.courier import Courier
from demure.desk import Desk
from demure.errors import DemureError
from demure.post import Poster
from demure.store.events import Outbox, outbox
from demure.store.figures import Waiting, waiting
from demure.store.retention import keep_of, sweep
from demure.telemetry import Metrics

_FIRST_SWEEP_S, _SWEEP_S = 60.0, 300.0
_COUNT_S = 60.0


class Chores:
    """Begun and ended with the service."""

    def __init__(self, desk: Desk, metrics: Metrics, tls: ssl.SSLContext) -> None:
        settings = desk.settings
        self._desk = desk
        self._metrics = metrics
        self._keep = keep_of(settings)
        self._poster = Poster(settings.webhooks.limits, ssl_context=tls)
        self._courier = Courier(desk.database, self._poster, settings.webhooks)
        self._log = structlog.get_logger()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        stop = asyncio.Event()
        self._desk.reviews.on_event = self._courier.wake
        courier = asyncio.create_task(self._courier.run(stop))
        others = [asyncio.create_task(self._sweep()), asyncio.create_task(self._count())]
        try:
            yield
        finally:
            stop.set()
            for task in others:
                task.cancel()
            await asyncio.gather(courier, *others, return_exceptions=True)
            await self._poster.aclose()

    async def _sweep(self) -> None:
        await asyncio.sleep(_FIRST_SWEEP_S)
        while True:
            try:
                swept = await asyncio.to_thread(
                    sweep, self._desk.database, self._keep, self._desk.settings.webhook_urls
                )
                self._log.info("swept", expired=swept.expired, **swept.deleted)
                if swept.expired:
                    self._courier.wake()
                if swept.broken is not None:
                    self._log.error("the audit log does not hold", at=str(swept.broken))
            except DemureError as error:
                self._log.warning("not swept", code=error.code)
            except Exception:  # noqa: BLE001  the next sweep may do better
                self._log.exception("not swept")
            await asyncio.sleep(_SWEEP_S)

    async def _count(self) -> None:
        """For /metrics; of several processes, each tells the same numbers. And a look at what was forgotten meanwhile."""
        while True:
            try:
                await asyncio.to_thread(self._desk.memory.refresh)
                self._metrics.observe_desk(*await asyncio.to_thread(self._desk.database.read, self._look))
            except DemureError as error:
                self._log.warning("not counted", code=error.code)
            except Exception:  # noqa: BLE001  the next count may do better
                self._log.exception("not counted")
            await asyncio.sleep(_COUNT_S)

    def _look(self, connection: Connection) -> tuple[Waiting, Outbox]:
        return waiting(connection, self._desk.database.now_ms()), outbox(connection)
