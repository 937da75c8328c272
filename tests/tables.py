"""Tables in tests/data: tab-separated, a name first, `#` before a comment."""

from __future__ import annotations

import re
from pathlib import Path

_ESCAPE = re.compile(r"\\x([0-9a-f]{2})|\\u([0-9a-f]{4})")


def rows(name: str) -> list[list[str]]:
    lines = (Path(__file__).parent / "data" / name).read_text("utf-8").splitlines()
    return [[_unescape(cell) for cell in line.split("\t")] for line in lines if not line.startswith("#")]


def _unescape(cell: str) -> str:
    return _ESCAPE.sub(lambda match: chr(int(match[1] or match[2], 16)), cell)
