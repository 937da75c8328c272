"""A source's bytes, for the threads of a scan: files as they are asked for, URLs a few ahead."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from pathlib import Path
from types import TracebackType
from typing import Self, cast

from demure.evaluation.labels import is_url
from demure.fetch import FetchLimits
from demure.fetching import Fetching
from demure.files import read_file

_AHEAD = 4  # URLs a thread: what is fetched is held, 20 MiB each at most


class Reader:
    """Thread-safe; a context manager."""

    def __init__(self, max_bytes: int, limits: FetchLimits, threads: int) -> None:
        self._max_bytes = max_bytes
        self._fetching = Fetching(limits, threads * (_AHEAD + 1))
        self._starting = threading.Lock()
        self._begun = threading.local()

    def ahead(self, sources: Iterable[str]) -> Iterator[str]:
        """The same sources; the URLs among them are begun before they are given out. For `read` in the same thread."""
        begun: dict[str, Future[bytes]] = {}
        self._begun.futures = begun
        waiting: deque[str] = deque()
        for source in sources:
            if is_url(source) and source not in begun:
                with self._starting:
                    begun[source] = self._fetching.begin(source, _as_it_is)
            waiting.append(source)
            if len(waiting) > _AHEAD:
                yield waiting.popleft()
        yield from waiting

    def read(self, source: str) -> bytes:
        """Raises SourceNotFound and TooLarge, and for a URL what Fetcher.fetch raises."""
        if not is_url(source):
            return read_file(Path(source), self._max_bytes, regular=True)
        return cast("Future[bytes]", self._begun.futures.pop(source)).result()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._fetching.__exit__(kind, error, traceback)


async def _as_it_is(data: bytes) -> bytes:
    return data
