"""Lists of verdicts by hash, to bring along what was decided elsewhere: CSV with the columns hash, kind, verdict."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, TextIO

from sqlalchemy import Connection

from demure.errors import InvalidList, StorageUnavailable
from demure.reviews import Verdict
from demure.store import memory
from demure.store.audit import append
from demure.store.database import Database
from demure.store.memory import HashKind

COLUMNS = ("hash", "kind", "verdict")
_HEX_DIGITS = 64  # of either kind
_AT_ONCE = 5000


def take_in(database: Database, lines: Iterable[str], by: str) -> int:
    """Remember a list: how many hashes it has. A hash that was known gets the list's verdict.

    All or nothing. Raises InvalidList for the first line that is wrong.
    """
    rows = _parse(csv.reader(lines))
    now_ms = database.now_ms()
    first = list(islice(rows, _AT_ONCE))  # before the database is held
    begun = False

    def work(connection: Connection) -> int:
        nonlocal begun
        if begun:  # the lines are read: a second try would have but the rest of them
            raise StorageUnavailable("the import met another writer; nothing was remembered, try again")
        begun = True
        count, batch = 0, first
        while batch:
            memory.remember_many(connection, now_ms, batch, by)
            count += len(batch)
            batch = list(islice(rows, _AT_ONCE))
        append(connection, now_ms, by, "memory.imported", "memory", hashes=count)
        return count

    return database.write(work)


def write_out(database: Database, file: TextIO) -> int:
    """All that is remembered, as `take_in` reads it: how many hashes."""

    def work(connection: Connection) -> int:
        count = 0
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for entry in memory.every(connection):
            writer.writerow([entry.hash.hex(), entry.kind, entry.verdict])
            count += 1
        return count

    return database.read(work)


def _parse(rows: Iterator[list[str]]) -> Iterator[tuple[HashKind, bytes, Verdict]]:
    try:
        header = [name.strip().lower() for name in next(rows, [])]
        if sorted(header) != sorted(COLUMNS):
            raise InvalidList(f"line 1: expected the names {','.join(COLUMNS)}, found {','.join(header)[:100]!r}")
        for number, row in enumerate(rows, 2):
            if row:
                yield _entry(number, dict(zip(header, row, strict=False)))
    except (csv.Error, UnicodeDecodeError) as error:
        raise InvalidList(f"the list cannot be read as CSV in UTF-8 ({error})") from error


def _entry(number: int, row: dict[str, Any]) -> tuple[HashKind, bytes, Verdict]:
    digits = row.get("hash", "").strip().lower()
    kind, verdict = (row.get(name, "").strip().lower() for name in ("kind", "verdict"))
    if kind not in {*HashKind}:
        raise InvalidList(f"line {number}: kind: expected one of {', '.join(HashKind)}, found {kind[:40]!r}")
    if verdict not in {*Verdict}:
        raise InvalidList(f"line {number}: verdict: expected one of {', '.join(Verdict)}, found {verdict[:40]!r}")
    if len(digits) != _HEX_DIGITS or set(digits) - set("0123456789abcdef"):
        raise InvalidList(f"line {number}: hash: expected {_HEX_DIGITS} hexadecimal digits, found {digits[:80]!r}")
    return HashKind(kind), bytes.fromhex(digits), Verdict(verdict)
