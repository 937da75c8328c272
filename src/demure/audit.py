"""The hash chain of the audit log: what a record's hash covers, and whether records hang together. Pure.

Each hash covers the one before it, so nothing in the middle can be changed or taken out unseen. Who can write the whole table
can make a whole new chain: it proves something only to those who kept its head elsewhere.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from demure.errors import InvalidSetting

START = "0" * 64
_HEAD = re.compile(r"(0|[1-9][0-9]{0,17}):([0-9a-f]{64})")


@dataclass(frozen=True)
class Record:
    """One thing that somebody did. `details` is JSON, kept as the text that was hashed."""

    seq: int
    at_ms: int
    actor: str
    action: str
    target: str
    details: str
    hash: str


@dataclass(frozen=True)
class Head:
    """A place in the chain; written SEQ:HASH, to be kept elsewhere."""

    seq: int
    hash: str

    def __str__(self) -> str:
        return f"{self.seq}:{self.hash}"


class Fault(StrEnum):
    """What can be wrong with a record."""

    CHANGED = "it, or the one before it, was changed"
    MISSING = "it is missing"
    OUT_OF_ORDER = "it is out of order"
    ANOTHER = "it is another than the one whose hash was kept"
    SURPLUS = "it is past the end that the log keeps of itself"
    NOT_SWEPT = "it and all before it are gone, and no sweep tells of that"


@dataclass(frozen=True)
class Break:
    """Where the chain first does not hold."""

    seq: int
    fault: Fault

    def __str__(self) -> str:
        return f"broken at record {self.seq}: {self.fault}"


def chain(previous: str, seq: int, at_ms: int, actor: str, action: str, target: str, details: str) -> Record:
    """The record that follows the one whose hash is `previous`."""
    covered = json.dumps([previous, seq, at_ms, actor, action, target, details], ensure_ascii=True)
    return Record(seq, at_ms, actor, action, target, details, hashlib.sha256(covered.encode()).hexdigest())


def canonical(details: dict[str, Any]) -> str:
    return json.dumps(details, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def verify(records: Iterable[Record], start: Head, known: Collection[Head] = ()) -> Head | Break:
    """Walk the records that follow `start`: the last one, or where the chain breaks.

    What is `known` of the chain must be found on the way, at `start` or after it.
    """
    last = start
    if _contradicts(known, start):
        return Break(start.seq, Fault.ANOTHER)
    for record in records:
        if broken := _broken(last, record):
            return broken
        last = Head(record.seq, record.hash)
        if _contradicts(known, last):
            return Break(record.seq, Fault.ANOTHER)
    return Break(last.seq + 1, Fault.MISSING) if any(head.seq > last.seq for head in known) else last


def parse_head(text: str) -> Head:
    """Raises InvalidSetting."""
    match = _HEAD.fullmatch(text.strip())
    if match is None:
        raise InvalidSetting(f"--head: found {text[:100]!r}; expected SEQ:HASH, as `demure audit head` prints it")
    return Head(int(match[1]), match[2])


def _broken(last: Head, record: Record) -> Break | None:
    if record.seq <= last.seq:
        return Break(record.seq, Fault.OUT_OF_ORDER)
    if record.seq != last.seq + 1:
        return Break(last.seq + 1, Fault.MISSING)
    told = (record.seq, record.at_ms, record.actor, record.action, record.target, record.details)
    return None if record == chain(last.hash, *told) else Break(record.seq, Fault.CHANGED)


def _contradicts(known: Collection[Head], found: Head) -> bool:
    return any(head.seq == found.seq and head.hash != found.hash for head in known)
