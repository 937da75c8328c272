"""Files that are meant to break a decoder, each made here from nothing, and the ends that each may come to.

HOSTILE has a row for each file: its name, how it may end, the function that builds it. Most rows have one end, which the
format's specification or a limit of LIMITS demands; where damage leaves a choice to the decoder, a row has two. What a
browser shows or what a decoder did yesterday is no reason for a row.

truncations() cuts good small files of every format.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from hostile import apng, avif, bmp, gif, heic, jpeg, others, png, tiff, webp
from hostile.cuts import small_files, truncations
from hostile.ends import LIMITS, Rows

__all__ = ["FORMATS", "HOSTILE", "LIMITS", "Hostile", "small_files", "truncations"]


@dataclass(frozen=True)
class Hostile:
    """How a file is built and the ends that it may come to."""

    ends: frozenset[str]
    build: Callable[[], bytes]


FORMATS: Mapping[str, Rows] = {
    "png": {**png.FILES, **apng.FILES, **png.FLIPPED, **apng.FLIPPED},
    "jpeg": jpeg.FILES,
    "gif": gif.FILES,
    "bmp": bmp.FILES,
    "tiff": tiff.FILES,
    "webp": webp.FILES,
    "avif": avif.FILES,
    "heic": heic.FILES,
    "others": others.FILES,
}
HOSTILE = {
    name: Hostile(frozenset(ends.split()), build) for rows in FORMATS.values() for name, (ends, build) in rows.items()
}
