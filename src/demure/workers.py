"""A bounded queue onto threads: what does not fit is refused at once, what nobody waits for any more is not begun.

A burst may queue. Where more comes than fits in, the queue would stay full, and each who joins it waits for nothing but its
length: no more are let in then than keep the threads at work, until the queue has been short for CALM_S. After B. Maurer,
"Fail at Scale" (ACM Queue 13:8, 2015), which takes it from CoDel (RFC 8289).
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from typing import TypeVar

from demure.errors import Overloaded

T = TypeVar("T")

CALM_S = 5.0
_LEAST_S = 0.001
_MOST_FETCHED = 8  # a thread, while there is strain


class Workers:
    """`threads` at work and `max_waiting` waiting behind them. To be used from one event loop."""

    def __init__(
        self,
        threads: int,
        max_waiting: int,
        on_change: Callable[[int], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`on_change` is told how many images are admitted, whenever that changes; `clock` gives seconds."""
        self.threads = threads
        self.capacity = threads + max_waiting
        self.admitted = 0
        self._running = 0  # calls in a thread, or waiting for one
        self._strained_until = -math.inf
        self._fetch_s = self._work_s = _LEAST_S
        self._on_change = on_change
        self._clock = clock
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="demure")

    @contextmanager
    def admit(self, images: int = 1) -> Iterator[Places]:
        """Hold places for so many images, from before their bytes are read until they are answered. Raises Overloaded."""
        self._check_strain()
        places = Places(self)
        places.grow(images)
        try:
            yield places
        finally:
            self.change(-places.images)

    def change(self, images: int) -> None:
        self.admitted += images
        self._on_change(self.admitted)

    @property
    def queued(self) -> int:
        """Images that wait for a thread."""
        return max(0, self._running - self.threads)

    def note_fetch(self, seconds: float) -> None:
        """How long an image took to come. The quickest of late counts: the others waited for us as well."""
        self._fetch_s = min(max(seconds, _LEAST_S), 1.1 * self._fetch_s)

    def note_refusal(self) -> None:
        """Somebody did not fit in. That is strain where the threads cannot keep up, and not where hosts are slow."""
        if self.queued >= self.threads:
            self._strained_until = self._clock() + CALM_S

    def _check_strain(self) -> None:
        if self._clock() >= self._strained_until:
            return
        self.note_refusal()
        if self.queued >= self.threads or self.admitted >= self._enough:
            raise Overloaded("more images come than can be judged, and few are let in for now; try again later")

    @property
    def _enough(self) -> int:
        """Images that keep all threads at work while the next are fetched."""
        return math.ceil(self.threads * (1 + min(_MOST_FETCHED, self._fetch_s / self._work_s)))

    async def run(self, function: Callable[[], T]) -> T:
        """Call it in a thread. If the caller is cancelled while the call still waits for a thread, it is never made."""
        # The pool keeps a call that was cancelled until a thread comes to it: it must not keep the image that long.
        held = [function]
        del function

        def call() -> T:
            started = self._clock()
            try:
                return held.pop()()
            finally:
                self._work_s = max(_LEAST_S, 0.9 * self._work_s + 0.1 * (self._clock() - started))

        self._running += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, call)
        finally:
            self._running -= 1
            held.clear()

    def side_by_side(self, calls: Sequence[Callable[[], T]]) -> list[T]:
        """Make the calls, for one that is at work here; threads that have nothing to do help. Answers in the calls' order.

        An error of one is raised when those that were begun are done; no more are begun then.
        """
        left, answers = deque(enumerate(calls)), dict[int, T]()

        def work() -> None:
            while left:
                try:
                    number, call = left.popleft()
                except IndexError:  # another thread took the last one
                    return
                try:
                    answers[number] = call()
                except BaseException:
                    left.clear()
                    raise

        helpers: list[Future[None]] = []
        with suppress(RuntimeError):  # the pool is being closed
            for _ in range(min(self.threads - self._running, len(calls) - 1)):
                helpers.append(self._pool.submit(work))  # noqa: PERF401  those that were begun count
        try:
            work()
        finally:
            begun = [helper for helper in helpers if not helper.cancel()]
            wait(begun)
        for helper in begun:
            helper.result()
        return [answers[number] for number in range(len(calls))]

    def close(self) -> None:
        """Wait for the calls that were begun."""
        self._pool.shutdown(wait=True, cancel_futures=True)


class Places:
    """What one request holds."""

    def __init__(self, workers: Workers) -> None:
        self._workers = workers
        self.images = 0

    def grow(self, images: int) -> None:
        """Raises Overloaded if so many more do not fit in.

        A request that alone asks for more than there are is let in when nobody else is there: it never would be otherwise.
        """
        workers = self._workers
        others = workers.admitted - self.images
        if others and workers.admitted + images > workers.capacity:
            workers.note_refusal()
            raise Overloaded(
                f"{others} images of others are at work or waiting; the limit is {workers.capacity} (max_waiting)"
            )
        self.images += images
        workers.change(images)
