"""Typed values out of parsed JSON. A field that nobody here knows is not looked at; one of another type raises WrongField."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from demure.policy import Outcome

Table = Mapping[str, Any]


class WrongField(ValueError):
    """The message names the field."""


def text(table: Table, name: str) -> str | None:
    value = table.get(name)
    if value is not None and not isinstance(value, str):
        raise WrongField(f"{name} is no text")
    return value


def needed_text(table: Table, name: str) -> str:
    value = text(table, name)
    if value is None:
        raise WrongField(f"{name} is missing")
    return value


def whole(table: Table, name: str) -> int:
    value = table.get(name)
    if not isinstance(value, int):
        raise WrongField(f"{name} is {'missing' if value is None else 'no whole number'}")
    return value


def number(table: Table, name: str) -> float | None:
    value = table.get(name)
    if value is not None and not isinstance(value, int | float):
        raise WrongField(f"{name} is no number")
    return value


def flag(table: Table, name: str) -> bool:
    """False where it is missing."""
    value = table.get(name)
    if not isinstance(value, bool | None):
        raise WrongField(f"{name} is neither true nor false")
    return bool(value)


def inner(table: Table, name: str) -> dict[str, Any] | None:
    """An object."""
    value = table.get(name)
    if value is not None and not isinstance(value, dict):
        raise WrongField(f"{name} is no object")
    return value


def inners(table: Table, name: str) -> list[dict[str, Any]]:
    """A list of objects; empty where it is missing."""
    value = table.get(name) or []
    if not isinstance(value, list) or not all(isinstance(element, dict) for element in value):
        raise WrongField(f"{name} is no list of objects")
    return value


def numbers(table: Table, name: str) -> dict[str, float] | None:
    found = inner(table, name)
    return None if found is None else {key: number(found, key) or 0.0 for key in found}


def outcome(table: Table, name: str) -> Outcome | None:
    value = text(table, name)
    if value is not None and value not in {*Outcome}:
        raise WrongField(f"{name} is {value[:32]!r}; known: {', '.join(Outcome)}")
    return None if value is None else Outcome(value)
