"""Whether what came is what a document shows, where `…` stands for anything."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from numbers import Real

ANYTHING = "…"
# Scores differ in their last digits from one processor to another.
_NEAR = 1e-4


def prints(shown: Sequence[str], printed: str) -> bool:
    """A line that is `…` stands for any lines or none, within a line for any characters. Nothing shown: nothing is asked."""
    lines = [line.rstrip() for line in shown]
    while lines and not lines[-1]:
        del lines[-1]
    if not lines:
        return True
    pattern = "".join(r"(?:.*\n)*?" if line == ANYTHING else f"{_like(line)}[ ]*\n" for line in lines)
    return re.fullmatch(pattern, f"{printed.rstrip()}\n") is not None


def last_json(printed: str) -> object:
    """The last JSON value that begins on a line of its own, or where the one before it ended. Raises ValueError for none."""
    found: list[object] = []
    place = 0
    while place < len(printed):
        try:
            value, place = json.JSONDecoder().raw_decode(printed, place)
            found.append(value)
        except ValueError:
            end = printed.find("\n", place)
            place = len(printed) if end < 0 else end + 1
    if not found:
        raise ValueError("no JSON was printed")
    return found[-1]


def difference(shown: object, found: object, at: str = "answer") -> str | None:
    """Where an example is not like the answer, and how.

    The string `…` is like anything; a key `…` stands for further keys, an element `…` for further elements.
    """
    if shown == ANYTHING:
        return None
    if isinstance(shown, dict) and isinstance(found, dict):
        return _different_object(shown, found, at)
    if isinstance(shown, list) and isinstance(found, list):
        return _different_list(shown, found, at)
    if isinstance(shown, str) and isinstance(found, str):
        is_like = re.fullmatch(_like(shown), found, re.DOTALL) is not None
    elif _is_number(shown) and _is_number(found):
        is_like = abs(float(shown) - float(found)) <= _NEAR  # type: ignore[arg-type]
    else:
        is_like = type(shown) is type(found) and shown == found
    return None if is_like else f"{at}: {shown!r} is shown, {found!r} came"


def _different_object(shown: dict[str, object], found: dict[str, object], at: str) -> str | None:
    missing = sorted(shown.keys() - found.keys() - {ANYTHING})
    if missing:
        return f"{at}: {missing} are shown and did not come; there are {sorted(found)}"
    further = sorted(found.keys() - shown.keys())
    if further and ANYTHING not in shown:
        return f"{at}: {further} came and are not shown"
    both = (difference(value, found[key], f"{at}.{key}") for key, value in shown.items() if key != ANYTHING)
    return next((what for what in both if what), None)


def _different_list(shown: list[object], found: list[object], at: str) -> str | None:
    first = shown[:-1] if shown and shown[-1] == ANYTHING else shown
    if len(found) < len(first) or (len(found) > len(first) and first is shown):
        return f"{at}: {len(first)} are shown, {len(found)} came"
    both = (difference(a, b, f"{at}[{n}]") for n, (a, b) in enumerate(zip(first, found, strict=False)))
    return next((what for what in both if what), None)


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _like(text: str) -> str:
    return re.escape(text).replace(re.escape(ANYTHING), ".*?")
