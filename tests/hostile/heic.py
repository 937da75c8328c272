"""Hostile HEIC files. Source: ISO/IEC 23008-12."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from hostile.avif import good_avif
from hostile.boxes import box, damaged_boxes
from hostile.damage import patched
from hostile.ends import BAD, EITHER, Rows

DATA = Path(__file__).parent.parent / "data"


@cache
def good_heic(file: str = "gradient-96x64.heic") -> bytes:
    return (DATA / file).read_bytes()


FILES: Rows = {
    **damaged_boxes("heic", good_heic),
    "heic-is-avif": (EITHER, lambda: patched(good_avif(), 8, b"heic")),
    "heic-mdat-only": (BAD, lambda: box(b"ftyp", b"heic" + bytes(4) + b"mif1heic") + box(b"mdat", bytes(999))),
}
