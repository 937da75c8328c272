"""A bounded queue onto threads: what does not fit is refused at once, what nobody waits for any more is not begun."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from demure.errors import Overloaded

T = TypeVar("T")


class Workers:
    """`threads` at work and `max_waiting` waiting behind them. To be used from one event loop."""

    def __init__(self, threads: int, max_waiting: int, on_change: Callable[[int], None] = lambda _: None) -> None:
        """`on_change` is told how many images are admitted, whenever that changes."""
        self.threads = threads
        self.capacity = threads + max_waiting
        self.admitted = 0
        self._on_change = on_change
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="demure")

    @contextmanager
    def admit(self, images: int = 1) -> Iterator[Places]:
        """Hold places for so many images, from before their bytes are read until they are answered. Raises Overloaded."""
        places = Places(self)
        places.grow(images)
        try:
            yield places
        finally:
            self.change(-places.images)

    def change(self, images: int) -> None:
        self.admitted += images
        self._on_change(self.admitted)

    async def run(self, function: Callable[[], T]) -> T:
        """Call it in a thread. If the caller is cancelled while the call still waits for a thread, it is never made."""
        # The pool keeps a call that was cancelled until a thread comes to it: it must not keep the image that long.
        held = [function]
        del function

        def call() -> T:
            return held.pop()()

        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, call)
        finally:
            held.clear()

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
            raise Overloaded(
                f"{others} images of others are at work or waiting; the limit is {workers.capacity} (max_waiting)"
            )
        self.images += images
        workers.change(images)
