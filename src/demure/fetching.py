"""Many URLs for callers that are threads: an event loop in a thread of its own, few fetches at once, fewer still of one host."""

from __future__ import annotations

import asyncio
import threading
from collections import defaultdict
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from contextlib import AsyncExitStack
from functools import partial
from types import TracebackType
from typing import Self, TypeVar

from demure.fetch import Fetcher, FetchLimits, host_of

T = TypeVar("T")

PER_HOST = 2  # fetches at once: a list is often of one host, which serves its users as well


class Fetching:
    """A context manager; the first URL starts the loop. What is under way at the end is cancelled."""

    def __init__(self, limits: FetchLimits | None, at_once: int, per_host: int = PER_HOST) -> None:
        """`at_once` are the images, over all hosts, that are fetched or on their way to what comes after."""
        self._limits = limits
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None
        self._places = asyncio.Semaphore(at_once)
        self._under_way: set[asyncio.Task[object]] = set()
        self._hosts: defaultdict[str, asyncio.Semaphore] = defaultdict(partial(asyncio.Semaphore, per_host))

    def begin(self, url: str, then: Callable[[bytes], Awaitable[T]]) -> Future[T]:
        """What `then`, called in the loop, makes of the URL's bytes. It may raise what Fetcher.fetch raises.

        Raises InvalidSetting, as Fetcher does.
        """
        with self._starting:
            if self._thread is None:
                self._fetcher = Fetcher(self._limits or FetchLimits())
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=self._loop.run_forever, name="fetching")
                self._thread.start()
        return asyncio.run_coroutine_threadsafe(self._fetch(url, then), self._loop)

    async def _fetch(self, url: str, then: Callable[[bytes], Awaitable[T]]) -> T:
        async with AsyncExitStack() as place:
            place.callback(self._under_way.discard, _this_task())
            self._under_way.add(_this_task())
            async with self._hosts[host_of(url)]:
                await place.enter_async_context(self._places)
                data = await self._fetcher.fetch(url)
            return await then(data)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _tb: TracebackType | None
    ) -> None:
        if self._thread is not None:
            asyncio.run_coroutine_threadsafe(self._end(), self._loop).result()
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    async def _end(self) -> None:
        # Ours alone: what they have begun ends with them.
        rest = [*self._under_way]
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)
        await self._fetcher.aclose()


def _this_task() -> asyncio.Task[object]:
    task = asyncio.current_task()
    if task is None:
        raise RuntimeError("not in a task")
    return task
