"""Stand-ins for a Screener and a Reader, through the seams that bulk owns: no picture, and every call counted."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator

from demure.bulk.job import Row
from demure.errors import DemureError, SourceNotFound, TimedOut
from demure.policy import Outcome
from demure.screening import Screening


class Judge:
    """Decides by the first letter of the bytes: a for adult, s for safe."""

    def __init__(self, delay_s: float = 0.0, out_of_time: bytes | None = None) -> None:
        self.asked: list[bytes] = []
        self._delay_s, self._out_of_time = delay_s, out_of_time
        self._lock = threading.Lock()

    def screen(self, source: bytes, *, id: str, sha256: str) -> Screening:
        time.sleep(self._delay_s)
        with self._lock:
            self.asked.append(source)
        if source == self._out_of_time:
            return self.failed(TimedOut("too slow"), id=id)
        decided = {b"a": Outcome.ADULT, b"s": Outcome.SAFE}.get(source[:1], Outcome.UNKNOWN)
        return Screening(decided, "rule", "p", "v1", id=id, sha256=sha256)

    def again(self, row: Row, *, id: str) -> Row:
        return {**row, "id": id}

    def failed(self, error: DemureError, *, id: str) -> Screening:
        return Screening(Outcome.UNKNOWN, error.code, "p", "v1", id=id, error=error)


class Sources:
    def __init__(self, files: dict[str, bytes]) -> None:
        self._files = files

    def ahead(self, sources: Iterable[str]) -> Iterator[str]:
        return iter(sources)

    def read(self, source: str) -> bytes:
        if source not in self._files:
            raise SourceNotFound(f"{source}: no such file")
        return self._files[source]
