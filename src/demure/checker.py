"""The whole way of an image that others send: fetch, recall, screen (pipeline.py), remember, queue."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from demure.deadline import Deadline
from demure.errors import (
    DemureError,
    FetchError,
    ImageError,
    Overloaded,
    SourceError,
    StorageFull,
    StorageUnavailable,
    TimedOut,
)
from demure.screening import Clock, Screening

if TYPE_CHECKING:
    from demure.checks import Draw
    from demure.desk import Desk, Wish
    from demure.fetch import Fetcher
    from demure.pipeline import Screener
    from demure.workers import Workers

T = TypeVar("T")

_CHECK_S = 30.0  # for a spot check to get into the queue, once its answer was given
_CHECKS = 4  # on their way there at once, a thread: each holds an image beside those of requests
_MOMENT_S = 0.5  # that an answer waits for a place among them
_log = logging.getLogger(__name__)


class Checker:
    """The way of an image that others send: fetch it if it is a URL, recall it, or screen it in a worker thread; remember the
    decision; and where that is unknown and a review is wished for, put it into the queue."""

    def __init__(
        self,
        fetcher: Fetcher,
        workers: Workers,
        desk: Desk | None = None,
        on_lost_check: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Without a `desk` nothing is recalled or kept. `on_lost_check` is told why a spot check did not get into the queue."""
        self._fetcher = fetcher
        self._workers = workers
        self._desk = desk
        self._on_lost_check = on_lost_check
        self._opening: set[asyncio.Task[None]] = set()  # spot checks, on their way into the queue
        self._places = asyncio.Semaphore(_CHECKS * workers.threads)

    async def check(
        self,
        source: Url | bytes,
        screener: Screener,
        *,
        id: str | None,
        deadline: Deadline,
        on_bytes: Callable[[int], None],
        wish: Wish | None = None,
    ) -> Screening:
        """As Screener.screen; what goes wrong with the URL, with the time or with the store is an answer too.

        `on_bytes` is told how many bytes are fetched, as they come, and may refuse more by raising Overloaded. With a `wish`
        the image is looked for in the memory, and its decision kept unless that is not wished for.
        """
        clock = Clock()
        try:
            data = source if isinstance(source, bytes) else await self._fetch(source, deadline, on_bytes, clock)
            del source
            if self._desk is None or wish is None:
                screening = await self._screen(screener, data, deadline, id=id)
            else:
                screening = await self._answer(self._desk, screener, data, deadline, wish, id)
        except (FetchError, SourceError, TimedOut, Overloaded, StorageFull, StorageUnavailable) as error:
            return screener.failed(error, id=id, timings_ms=clock.laps_ms())
        return replace(screening, timings_ms={**screening.timings_ms, **clock.laps_ms()})

    async def _fetch(self, url: Url, deadline: Deadline, on_bytes: Callable[[int], None], clock: Clock) -> bytes:
        data = await within(deadline, self._fetcher.fetch(url.text, on_bytes))
        self._workers.note_fetch(clock.lap("fetch"))
        return data

    async def _screen(self, screener: Screener, data: bytes, deadline: Deadline, **more: Any) -> Screening:
        # When the time is up, the stage that is under way ends, and the next does not begin.
        work = partial(screener.screen, data, deadline=deadline, **more)
        del data
        return await within(deadline, self._workers.run(work))

    async def _answer(
        self, desk: Desk, screener: Screener, data: bytes, deadline: Deadline, wish: Wish, id: str | None
    ) -> Screening:
        draw = None
        sha256, known = await within(deadline, desk.recall(data))
        if known is not None and not wish.disputes:
            if wish.is_kept:
                await desk.note_sender(sha256, wish, known)
            return screener.remembered(known, id=id, sha256=sha256)
        screening = await self._screen(screener, data, deadline, id=id, sha256=sha256, fingerprints=True)
        if known is not None and screening.error is None:
            screening = replace(screening, decision=known.decision, reason=known.reason, remembered=True)
        else:
            screening = desk.weigh(screening)
            draw = await desk.record(screening, screener.model, wish) if wish.is_kept else None
        if wish.wants(screening):
            return await self._queue(desk, screener, data, deadline, wish, screening, draw)
        if draw is not None:
            check = partial(self._open_check, desk, screener, data, wish, screening, draw)
            await self._begin(check, screening, deadline)
        return screening

    async def _queue(
        self,
        desk: Desk,
        screener: Screener,
        data: bytes,
        deadline: Deadline,
        wish: Wish,
        screening: Screening,
        draw: Draw | None,
    ) -> Screening:
        """What goes wrong here is told beside the scores: the image stays unknown, and nobody was asked."""
        try:
            pictures = await within(deadline, self._workers.run(partial(screener.previews, data, screening)))
            review = await within(deadline, desk.open_review(screening, screener.model, wish, pictures, draw))
        except (ImageError, TimedOut, Overloaded, StorageFull, StorageUnavailable) as error:
            return replace(screening, error=error)
        return replace(screening, review=review)

    async def _begin(
        self, check: Callable[[], Coroutine[Any, Any, None]], screening: Screening, deadline: Deadline
    ) -> None:
        """The answer does not wait for a check, but for a moment where there is no place for it; then it is lost. What is held
        beside requests must have an end, whoever leaves, and an answer that is late would tell that there is a check.
        """
        try:
            async with asyncio.timeout(min(_MOMENT_S, deadline.remaining_s)):
                await self._places.acquire()
        except TimeoutError:
            self._lose(Overloaded.code, screening)
            return
        opening = asyncio.create_task(check())
        self._opening.add(opening)
        opening.add_done_callback(self._end)

    def _end(self, opening: asyncio.Task[None]) -> None:
        self._opening.discard(opening)
        self._places.release()

    def _lose(self, code: str, screening: Screening) -> None:
        _log.warning("a spot check was lost code=%s sha256=%s", code, screening.sha256)
        self._on_lost_check(code)

    async def _open_check(
        self, desk: Desk, screener: Screener, data: bytes, wish: Wish, screening: Screening, draw: Draw
    ) -> None:
        """What goes wrong here is ours alone: the caller has the answer, and it stays as it is."""
        deadline, model = Deadline(_CHECK_S), screener.model
        try:
            pictures = await within(deadline, self._workers.run(partial(screener.previews, data, screening)))
            await within(deadline, desk.open_check(screening, model, screener.policy, wish, pictures, draw))
        except DemureError as error:
            self._lose(error.code, screening)
        except Exception:  # noqa: BLE001  nobody waits for it
            _log.exception("a spot check was lost sha256=%s", screening.sha256)
            self._on_lost_check("internal_error")

    async def finish(self) -> None:
        """Wait for spot checks that are not in the queue yet: before workers and desk are closed."""
        while self._opening:
            await asyncio.wait(self._opening)


@dataclass(frozen=True)
class Url:
    """A URL that a caller names: not yet parsed, not yet trusted."""

    text: str


async def within(deadline: Deadline, waiting: Awaitable[T]) -> T:
    """Await no longer than the deadline; what is awaited is cancelled then. Raises TimedOut."""
    try:
        async with asyncio.timeout(deadline.remaining_s):
            return await waiting
    except TimeoutError:
        deadline.cancel()
        raise deadline.error() from None
    except asyncio.CancelledError:
        deadline.cancel()
        raise
