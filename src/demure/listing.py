"""A list that an operator wrote, CSV or JSON Lines, to rows, one line in memory at a time. What they mean is not known here."""

from __future__ import annotations

import csv
import json
from collections.abc import Generator, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from demure.errors import InvalidLabels

CSV, JSON_LINES = (".csv",), (".jsonl", ".ndjson")  # by the file's ending
Row = Mapping[str, Any]  # of CSV by the header's names, in small letters; of JSON the object

_MAX_LINE_BYTES = 1 << 20
_SHOWN = 60  # characters of what is wrong


class Listing:
    """One file, while it is read. Every error is an InvalidLabels that names the file and the line."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.is_csv = path.suffix.lower() in CSV
        self.line = 0  # the one that is being looked at, from 1

    def rows(self, needed: Iterable[str] = ()) -> Generator[Row, None, None]:
        """The rows, in order; empty lines are none. In CSV, the columns `needed` are looked for at once.

        Close it, and the file is closed.
        """
        try:
            with self.path.open("rb") as file:
                lines = self._lines(file)
                yield from self._csv_rows(lines, needed) if self.is_csv else self._objects(lines)
        except OSError as error:
            raise InvalidLabels(f"{self.path}: cannot be read ({error.strerror})") from error

    def error(self, what: str) -> InvalidLabels:
        return InvalidLabels(f"{self.path}, line {self.line}: {what}")

    def text(self, row: Row, name: str) -> str:
        """The value as text, "" where there is none."""
        value = row.get(name)
        if isinstance(value, dict | list):
            raise self.error(f"{name}: expected text, found {shown(value)}")
        return "" if value is None else str(value).strip()

    def _lines(self, file: BinaryIO) -> Iterator[str]:
        while raw := file.readline(_MAX_LINE_BYTES + 1):
            self.line += 1
            if len(raw) > _MAX_LINE_BYTES:
                raise self.error(f"expected a line of text, found more than {_MAX_LINE_BYTES:,} bytes without an end")
            try:
                yield raw.decode("utf-8-sig" if self.line == 1 else "utf-8")
            except UnicodeDecodeError as error:
                raise self.error(f"expected UTF-8 ({error.reason} at byte {error.start + 1})") from error

    def _csv_rows(self, lines: Iterator[str], needed: Iterable[str]) -> Iterator[Row]:
        rows = csv.reader(lines, strict=True)
        try:
            header = [name.strip().lower() for name in next(rows, [])]
            if self.line:
                self._check_header(header, needed)
            for row in rows:
                if row and len(row) != len(header):
                    raise self.error(f"expected {len(header)} fields, as the header has, found {len(row)}")
                if row:
                    yield dict(zip(header, row, strict=True))
        except csv.Error as error:
            raise self.error(f"cannot be read as CSV ({error})") from error

    def _check_header(self, header: list[str], needed: Iterable[str]) -> None:
        twice = _first_repeated(header)
        if twice is not None:
            raise self.error(f"expected different names, found {shown(twice)} twice")
        for name in needed:
            if name not in header:
                raise self.error(f"expected a column {name}, found {shown(','.join(header))}")

    def _objects(self, lines: Iterator[str]) -> Iterator[Row]:
        for line in lines:
            if not line.strip():
                continue
            try:
                row = json.loads(line, object_pairs_hook=_once)
            except (ValueError, RecursionError) as error:
                raise self.error(f"expected a JSON object ({error})") from error
            if not isinstance(row, dict):
                raise self.error(f"expected a JSON object, found {shown(row)}")
            yield row


def shown(value: object) -> str:
    """What was found, cut to what fits a message."""
    return "nothing" if value is None else repr(value)[: _SHOWN + 2]


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """As dict; a name that comes twice is a ValueError, for which of the two was meant is not ours to say."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError(f"{shown(_first_repeated([name for name, _ in pairs]))} comes twice")
    return found


def _first_repeated(names: list[str]) -> str | None:
    return next((name for name in names if names.count(name) > 1), None) if len({*names}) < len(names) else None
