"""The hash chain of the audit log: what a record's hash covers, and whether records hang together. Pure.

Each hash covers the one before it, so nothing in the middle can be changed or taken out unseen. Who can write the whole table
can make a whole new chain: it proves something only to those who kept its head elsewhere.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

START = "0" * 64


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


def chain(previous: str, seq: int, at_ms: int, actor: str, action: str, target: str, details: str) -> Record:
    """The record that follows the one whose hash is `previous`."""
    covered = json.dumps([previous, seq, at_ms, actor, action, target, details], ensure_ascii=True)
    return Record(seq, at_ms, actor, action, target, details, hashlib.sha256(covered.encode()).hexdigest())


def canonical(details: dict[str, Any]) -> str:
    return json.dumps(details, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
