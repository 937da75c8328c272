"""What a person at a terminal sees: a table with colour and bars. Piped, the same as plain tab-separated lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from demure.policy import Outcome
from demure.printable import printable
from demure.scores import Category
from demure.screening import Screening

_COLOURS = {Outcome.SAFE: "green", Outcome.UNKNOWN: "yellow", Outcome.ADULT: "red"}
_GRAVE = {Category.PORN, Category.HENTAI}
_EIGHTHS = " ▏▎▍▌▋▊▉"
_MIN_BAR, _MAX_BAR = 4, 9  # characters
_NAME_WIDTH, _GAP = 34, 2


class Report:
    """Prints one screening after another, in columns that stay where they are."""

    def __init__(self, console: Console, names: Sequence[str]) -> None:
        """`names` are the scores to expect, in order: one may be missing from a screening, none is added."""
        self._console = console
        self._names = names
        self._bar = max(_MIN_BAR, min(_MAX_BAR, (console.width - _NAME_WIDTH) // len(names) - _GAP))
        self._started = False

    def add(self, screening: Screening) -> None:
        if self._console.is_terminal:
            self._console.print(self._table(screening))
            self._console.print()
        else:
            print(plain_line(screening), file=self._console.file, flush=True)
        self._started = True

    def _table(self, screening: Screening) -> Table:
        given = scores_by_name(screening)
        table = Table(box=None, expand=True, show_header=not self._started, padding=(0, _GAP, 0, 0), header_style="dim")
        table.add_column("image", ratio=1, overflow="fold")
        for name in self._names:
            table.add_column(name, width=max(self._bar, len(name)), no_wrap=True)
        table.add_row(_headline(screening), *(_cell(name, given.get(name), self._bar) for name in self._names))
        return table


def plain_line(screening: Screening) -> str:
    """decision, reason, image, then name=score for each score, separated by tabs."""
    scores = [f"{name}={score:.4f}" for name, score in scores_by_name(screening).items()]
    reason = screening.reason if screening.error is None else f"{screening.reason}: {screening.error.message}"
    return "\t".join([str(screening.decision), printable(reason), printable(screening.id or ""), *scores])


def scores_by_name(screening: Screening) -> Mapping[str, float]:
    return {**(screening.scores or {}), **(screening.witnesses or {})}


def _headline(screening: Screening) -> Text:
    colour = _COLOURS[screening.decision]
    reason = screening.reason if screening.error is None else f"{screening.reason}: {screening.error.message}"
    return Text.assemble(
        (f" {screening.decision} ", f"bold {colour} reverse"),
        " ",
        (printable(screening.id or ""), "bold"),
        "\n",
        (printable(reason), "dim"),
    )


def _cell(name: str, score: float | None, width: int) -> Text:
    if score is None:
        return Text("·", "dim")
    colour = "red" if name in _GRAVE or name not in list(Category) else "magenta" if name == Category.SEXY else "cyan"
    return Text.assemble((f"{score:.3f}", "" if score >= 0.01 else "dim"), "\n", (_bar(score, width), colour))


def _bar(score: float, width: int) -> str:
    full, eighths = divmod(round(score * width * 8), 8)
    return "█" * full + (_EIGHTHS[eighths] if eighths else "")


def print_fields(row: Mapping[str, object], console: Console | None = None) -> None:
    """One thing and what is to be said of it: its name and mark, then a line a field."""
    console = console or Console()
    mark = " (default)" if row.get("default") else ""
    console.print(Text.assemble((str(row["name"]), "bold cyan"), (mark, "dim")))
    for key, value in row.items():
        if key not in ("name", "default"):
            console.print(Text.assemble("  ", (f"{key:<12}", "dim"), str(value)), soft_wrap=True)
