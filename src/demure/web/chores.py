"""What the service does unasked, while it runs: it tells the site what happened, sweeps away what has had its time, and looks
whether policies keep what they promised."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

import structlog
from sqlalchemy import Connection

from demure.courier import Courier
from demure.desk import Desk
from demure.errors import DemureError
from demure.evaluation.standing import Standing, default_of, known_now
from demure.policy import Policy
from demure.post import Poster
from demure.steady import Steady, uptime_s
from demure.store.events import Outbox, outbox
from demure.store.figures import Waiting, waiting
from demure.store.retention import keep_of, sweep
from demure.store.schema import DAY_MS
from demure.telemetry import Metrics

_FIRST_SWEEP_S, _SWEEP_S = 60.0, 300.0
_COUNT_S = 60.0
_JUDGE_S = 600.0


class Chores:
    """Begun and ended with the service."""

    def __init__(
        self,
        desk: Desk,
        metrics: Metrics,
        tls: ssl.SSLContext,
        policies: Mapping[str, Policy],
        elapsed_s: Callable[[], float] = uptime_s,
    ) -> None:
        """`elapsed_s` is a clock that nobody sets."""
        settings = desk.settings
        self._desk = desk
        self._metrics = metrics
        self._policies = policies
        self._warned_day = 0
        self._keep = keep_of(settings)
        self._steady = Steady(desk.database.now_ms, elapsed_s)
        self._poster = Poster(settings.webhooks.limits, ssl_context=tls)
        self._courier = Courier(desk.database, self._poster, settings.webhooks)
        self._log = structlog.get_logger()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        stop = asyncio.Event()
        self._desk.reviews.on_event = self._courier.wake
        courier = asyncio.create_task(self._courier.run(stop))
        others = [asyncio.create_task(work) for work in (self._sweep(), self._count(), self._watch())]
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
                await asyncio.to_thread(self.sweep)
            except DemureError as error:
                self._log.warning("not swept", code=error.code)
            except Exception:  # noqa: BLE001  the next sweep may do better
                self._log.exception("not swept")
            await asyncio.sleep(_SWEEP_S)

    def sweep(self) -> None:
        """Not by a clock that jumped: what is deleted too early does not come back."""
        if jump_s := self._steady.jump_s():
            self._log.error("not swept: the clock jumped", hours=round(jump_s / 3600, 1))
            return
        swept = sweep(self._desk.database, self._keep, self._desk.settings.webhook_urls)
        self._log.info("swept", expired=swept.expired, **swept.deleted)
        if swept.expired:
            self._courier.wake()
        if swept.broken is not None:
            self._log.error("the audit log does not hold", at=str(swept.broken))

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

    async def _watch(self) -> None:
        """What verdicts say of the policies, for /metrics; once a day, and at the start, what is wrong with them is logged."""
        while True:
            try:
                await asyncio.to_thread(self.watch)
            except DemureError as error:
                self._log.warning("policies not watched", code=error.code)
            except Exception:  # noqa: BLE001  the next look may do better
                self._log.exception("policies not watched")
            await asyncio.sleep(_JUDGE_S)

    def watch(self) -> None:
        now_ms, default = self._desk.database.now_ms(), default_of(self._policies, self._desk.settings)
        known = self._desk.database.read(lambda c: known_now(c, now_ms, self._policies, default))
        self._metrics.observe_policies(known.standings)
        if now_ms // DAY_MS > self._warned_day:
            self._warned_day = now_ms // DAY_MS
            for standing in known.standings:
                self._warn(standing)

    def _warn(self, standing: Standing) -> None:
        log = self._log.bind(policy=standing.policy, version=standing.version, model=standing.model)
        for kept in (standing.missed, standing.false_alarm):
            if kept.is_broken:
                live = {"live": kept.live.value, "low": kept.live.low, "high": kept.live.high}
                log.warning("a promise is broken", promise=kept.name, promised=kept.promised, **live)
        if standing.drift is not None and standing.is_drifting:
            log.warning("scores drift", distance=standing.drift.distance, allowed=standing.drift.allowed)
        if standing.is_checked and standing.due.is_short:
            log.warning("chosen images are not judged", chosen=standing.due.chosen, judged=standing.due.judged)

    def _look(self, connection: Connection) -> tuple[Waiting, Outbox]:
        return waiting(connection, self._desk.database.now_ms()), outbox(connection)
