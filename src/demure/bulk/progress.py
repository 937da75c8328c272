"""How far a scan is: a bar and the counts on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from demure.bulk.ledger import Status
from demure.printable import printable

_EACH_S = 10.0  # between two lines
_REDRAWS = 4  # a second
_COLOURS = {"adult": "red", "unknown": "yellow", "safe": "green", "failed": "magenta"}  # the gravest first


class Progress:
    """Told what is added, it asks how many are listed. A context manager."""

    def __init__(
        self,
        console: Console,
        status: Status,
        look: Callable[[], Status],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`clock` tells seconds."""
        self._console = console
        self._look = look
        self._clock = clock
        self._before = self._done = status.done
        self._counts = Counter(status.counts)
        self._started = clock()
        self._rate = 0.0  # images a second since this run began, as of the last ones
        self._told = float("-inf")
        self._live = Live(console=console, get_renderable=self.screen, refresh_per_second=_REDRAWS, transient=True)

    def add(self, counts: Counter[str]) -> None:
        """Not from two threads at once."""
        self._counts = self._counts + counts  # a new one: the screen is drawn by another thread
        self._done += counts.total()
        now = self._clock()
        self._rate = (self._done - self._before) / max(1e-3, now - self._started)
        if not self._console.is_interactive and now - self._told >= _EACH_S:
            self._told = now
            self._console.print(", ".join(self._parts()), highlight=False, soft_wrap=True)

    def screen(self) -> Group:
        """Two lines: the bar with its numbers, and the decisions. It fits into 80 columns up to ten million images."""
        status, parts = self._look(), self._parts()
        total, pulse = max(1, status.listed), not status.all_listed
        bar = ProgressBar(
            total, self._done, pulse=pulse, complete_style="cyan", finished_style="cyan", pulse_style="cyan"
        )
        line = Table.grid(padding=(0, 2, 0, 0), expand=True)
        line.add_column(ratio=1)
        for _ in parts:
            line.add_column(no_wrap=True)
        line.add_row(bar, *parts)
        return Group(line, _coloured(self._counts))

    def _parts(self) -> list[str]:
        """How many, how fast, and how long it takes yet, as far as that is known."""
        status, rate = self._look(), self._rate
        if not status.all_listed:
            done = f"{self._done:,} images, {status.listed:,} found so far"
        else:
            done = f"{self._done:,} of {status.listed:,} images"
        parts = [done, f"{rate:,.{0 if rate >= 10 else 1}f}/s" if rate else "starting"]
        if rate and status.all_listed:
            parts.append(f"{duration((status.listed - self._done) / rate)} left")
        return parts

    def __enter__(self) -> Self:
        if self._console.is_interactive:
            self._live.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _tb: TracebackType | None
    ) -> None:
        self._live.stop()


def status_text(status: Status | None) -> str:
    if status is None:
        return "no scan was begun for this output"
    found = f"{status.listed:,}" if status.all_listed else f"{status.listed:,} or more"
    state = "the output is written" if status.written else "not finished: run the same command to go on"
    return f"{status.done:,} of {found} images: {counts_text(status.counts) or 'none yet'}; {state}{_unread(status)}"


def summary(status: Status, output: Path) -> str:
    counts = counts_text(status.counts) or "none"
    return f"{status.done:,} images: {counts}; written to {printable(str(output))}{_unread(status)}"


def counts_text(counts: Mapping[str, int]) -> str:
    """Decisions and failures, the gravest first."""
    return ", ".join(f"{counts[name]:,} {name}" for name in _COLOURS if counts.get(name))


def duration(seconds: float) -> str:
    minutes, hours, days = seconds / 60, seconds / 3600, seconds / 86400
    if seconds < 90:
        return f"{seconds:.0f} s"
    if minutes < 90:
        return f"{minutes:.0f} min"
    return f"{hours:.1f} h" if hours < 48 else f"{days:.1f} days"


def _coloured(counts: Mapping[str, int]) -> Text:
    parts = [Text(f"{counts[name]:,} {name}", colour) for name, colour in _COLOURS.items() if counts.get(name)]
    return Text("  ").join(parts) if parts else Text("nothing judged yet", "dim")


def _unread(status: Status) -> str:
    if not status.unread:
        return ""
    return (
        f"\n{status.unread:,} {'folder' if status.unread == 1 else 'folders'} could not be read: what is in there is "
        "missing; let it be read, and run the same command again"
    )
