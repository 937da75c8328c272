"""How far a scan is: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress

from demure.bulk.ledger import Status
from demure.printable import printable

_EACH_S = 10.0  # between two lines
_TURN_S = 0.5  # between two looks at how many are listed


class Progress:
    """Told what is added, it asks for the number that are listed. A context manager."""

    def __init__(self, console: Console, status: Status, look: Callable[[], Status]) -> None:
        self._console = console
        self._look = look
        self._before, self._done = status.done, status.done
        self._counts = Counter(status.counts)
        self._status = status
        self._started = self._told = self._looked = time.monotonic()
        self._bar = RichProgress(
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(compact=True),
            TextColumn("{task.fields[counts]}"),
            console=console,
            expand=True,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("scan", total=None, rate="", counts="")

    def add(self, counts: Counter[str]) -> None:
        """Not from two threads at once."""
        self._counts += counts
        self._done += counts.total()
        now = time.monotonic()
        if now - self._looked >= _TURN_S and not self._status.all_listed:
            self._status, self._looked = self._look(), now
        total = self._status.listed if self._status.all_listed else None
        rate = (self._done - self._before) / max(1e-3, now - self._started)
        self._bar.update(
            self._task, completed=self._done, total=total, rate=f"{rate:,.0f}/s", counts=counts_text(self._counts)
        )
        if not self._console.is_terminal and now - self._told >= _EACH_S:
            self._told = now
            self._console.print(self._line(total, rate), soft_wrap=True)

    def _line(self, total: int | None, rate: float) -> str:
        if total is None:
            return f"{self._done:,} images, {rate:,.0f} a second; {self._status.listed:,} found so far"
        left = (total - self._done) / rate if rate else 0.0
        return f"{self._done:,} of {total:,} images, {rate:,.0f} a second, {duration(left)} left"

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _tb: TracebackType | None
    ) -> None:
        self._bar.stop()


def status_text(status: Status | None) -> str:
    if status is None:
        return "no scan was begun for this output"
    found = f"{status.listed:,}" if status.all_listed else f"{status.listed:,} or more"
    state = "the output is written" if status.written else "not finished: run the same command to go on"
    return f"{status.done:,} of {found} images: {counts_text(status.counts) or 'none yet'}; {state}"


def summary(status: Status, output: Path) -> str:
    return f"{status.done:,} images: {counts_text(status.counts) or 'none'}; written to {printable(str(output))}"


def counts_text(counts: Mapping[str, int]) -> str:
    """Decisions and failures, the gravest first."""
    return ", ".join(f"{counts[name]:,} {name}" for name in ("adult", "unknown", "safe", "failed") if counts.get(name))


def duration(seconds: float) -> str:
    minutes, hours = seconds / 60, seconds / 3600
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{minutes:.0f} min" if minutes < 90 else f"{hours:.0f} h"
