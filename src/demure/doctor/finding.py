"""What one check says: how it stands, what was found, and what to do where that is not well."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """A `note` is for the operator to weigh: it may be meant so. A `problem` is not."""

    OK = "ok"
    NOTE = "note"
    PROBLEM = "problem"


@dataclass(frozen=True)
class Finding:
    """`advice` is empty where all is well."""

    check: str
    state: State
    found: str
    advice: str = ""

    def as_dict(self) -> Mapping[str, str]:
        return {"check": self.check, "state": self.state, "found": self.found, "advice": self.advice}


def ok(check: str, found: str) -> Finding:
    return Finding(check, State.OK, found)


def note(check: str, found: str, advice: str) -> Finding:
    return Finding(check, State.NOTE, found, advice)


def problem(check: str, found: str, advice: str) -> Finding:
    return Finding(check, State.PROBLEM, found, advice)


def counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def listed(words: list[str]) -> str:
    """One, two and three."""
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))


def in_bytes(size: float) -> str:
    """As the documents write sizes: 480 MiB, 1.5 GiB."""
    for unit in ("bytes", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} {unit}"
        size /= 1024
    return f"{size:.1f} GiB" if size < 1024 else f"{size / 1024:.1f} TiB"
