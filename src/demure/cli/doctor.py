"""`demure doctor`: is this machine set up well?"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from rich.console import Console

    from demure.doctor.finding import Finding

_STYLES = {"ok": "bold green", "note": "bold yellow", "problem": "bold red reverse"}
_STATE_WIDTH, _CHECK_WIDTH = 9, 10


def doctor(as_json: Annotated[bool, typer.Option("--json", help="One list of objects.")] = False) -> None:
    """Say whether this machine is set up well: its settings, models, decoders, database, and who may ask.

    Changes nothing, and dials nothing but the database. Run it as the user and with the settings of the service.

    Exits with 0 if there is no problem, 1 if there is one, 2 if a setting cannot be read.
    """
    from rich.console import Console

    from demure.doctor import examine
    from demure.settings import environment

    console = Console()
    found = print_json(examine(environment())) if as_json else print_lines(examine(environment()), console)
    raise typer.Exit(exit_code(found))


def exit_code(findings: Iterable[Finding]) -> int:
    from demure.doctor import SETTINGS, State

    problems = {finding.check for finding in findings if finding.state is State.PROBLEM}
    return 2 if SETTINGS in problems else 1 if problems else 0


def print_json(findings: Iterable[Finding]) -> list[Finding]:
    import json

    found = list(findings)
    print(json.dumps([finding.as_dict() for finding in found], indent=2))
    return found


def print_lines(findings: Iterable[Finding], console: Console) -> list[Finding]:
    """Each as soon as it is there. In a terminal a check is named once, and the sum is told at the end."""
    show: Callable[[Finding, str], None] = _table_row(console) if console.is_terminal else _plain_line(console)
    found: list[Finding] = []
    for finding in findings:
        show(finding, found[-1].check if found else "")
        found.append(finding)
    if console.is_terminal:
        console.print(_sum(found), highlight=False)
    return found


def _plain_line(console: Console) -> Callable[[Finding, str], None]:
    """state, check, what was found, what to do; apart by tabs."""
    from demure.printable import printable

    def show(finding: Finding, _before: str) -> None:
        fields = (finding.state, finding.check, printable(finding.found), printable(finding.advice))
        print("\t".join(fields).rstrip("\t"), file=console.file, flush=True)

    return show


def _table_row(console: Console) -> Callable[[Finding, str], None]:
    from rich.table import Table
    from rich.text import Text

    from demure.printable import printable

    def show(finding: Finding, before: str) -> None:
        table = Table.grid(padding=(0, 1, 0, 0), expand=True)
        table.add_column(width=_STATE_WIDTH)
        table.add_column(width=_CHECK_WIDTH)
        table.add_column(ratio=1, overflow="fold")
        name = "" if finding.check == before else finding.check
        state = Text(finding.state, _STYLES[finding.state])
        table.add_row(state, Text(name, "bold"), Text(printable(finding.found)))
        if finding.advice:
            table.add_row("", Text("→", "bold", justify="right"), Text(printable(finding.advice)))
        console.print(table)

    return show


def _sum(found: Iterable[Finding]) -> str:
    counts = Counter(str(finding.state) for finding in found)
    told = [f"{counts[state]} {state}{'' if counts[state] == 1 or state == 'ok' else 's'}" for state in _STYLES]
    return "\n" + ", ".join(reversed(told))
