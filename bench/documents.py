"""What the benches write into documents: tables, between two marks. What stands outside the marks is somebody's, and kept."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import rich.table


@dataclass(frozen=True)
class Table:
    title: str
    header: list[str]
    rows: list[list[str]]

    def as_markdown(self) -> str:
        lines = [self.header, ["---"] * len(self.header), *self.rows]
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)

    def as_rich(self) -> rich.table.Table:
        table = rich.table.Table(*(name.replace("`", "") for name in self.header), title=self.title)
        for row in self.rows:
            table.add_row(*row)
        return table


def write_between(path: Path, marks: tuple[str, str], text: str) -> None:
    """Raises ValueError if the file has not both marks."""
    before, begin, rest = path.read_text().partition(marks[0])
    _, end, after = rest.partition(marks[1])
    if not begin or not end:
        raise ValueError(f"{path} has no {marks[0]} and {marks[1]} to write between")
    path.write_text(f"{before}{begin}\n\n{text}\n\n{end}{after}")
