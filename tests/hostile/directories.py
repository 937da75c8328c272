"""TIFF's directories of tags, which EXIF is made of as well. Sources: TIFF 6.0, BigTIFF, EXIF 2.32."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence

BYTE, ASCII, SHORT, LONG_INT, RATIONAL, LONG8 = 1, 2, 3, 4, 5, 16  # types
_TYPE_CODES = {BYTE: "B", ASCII: "B", SHORT: "H", LONG_INT: "I", RATIONAL: "I", LONG8: "Q"}

WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC = 256, 257, 258, 259, 262
STRIP_OFFSETS, SAMPLES, ROWS, STRIP_BYTES = 273, 277, 278, 279
FILL_ORDER, ORIENTATION, X_RESOLUTION, PLANAR, RESOLUTION_UNIT, COLOUR_MAP = 266, 274, 282, 284, 296, 320
TILE_WIDTH, TILE_HEIGHT, TILE_OFFSETS, TILE_BYTES, SUB_IFDS, SAMPLE_FORMAT = 322, 323, 324, 325, 330, 339
JPEG_AT, JPEG_BYTES = 513, 514  # JPEGInterchangeFormat and its length
EXIF_IFD, GPS_IFD, INTEROPERABILITY_IFD = 0x8769, 0x8825, 0xA005

DATA_AT = -1  # stands for the offset of the data in a tag's values

Tag = tuple[int, Sequence[int]]  # its type and its values


def directory(tags: Mapping[int, Tag], order: str, at: int, data_at: int, next_at: int, *, big: bool = False) -> bytes:
    """An IFD that lies at `at`, with the values that do not fit in it right behind. `order` is "<" or ">"."""
    count, entry, offset, field = ("Q", "HHQ", "Q", 8) if big else ("H", "HHI", "I", 4)
    head = struct.pack(order + count, len(tags))
    spill_at = at + len(head) + len(tags) * (4 + 2 * field) + field
    body, spill = b"", b""
    for tag, (kind, values) in sorted(tags.items()):
        code = _TYPE_CODES[kind]
        packed = b"".join(struct.pack(order + code, data_at if value == DATA_AT else value) for value in values)
        number = len(values) // 2 if kind == RATIONAL else len(values)
        if len(packed) > field:
            place = struct.pack(order + offset, spill_at + len(spill))
            spill += packed + b"\0" * (len(packed) % 2)
        else:
            place = packed.ljust(field, b"\0")
        body += struct.pack(order + entry, tag, kind, number) + place
    return head + body + struct.pack(order + offset, next_at) + spill


def tiff(tags: Mapping[int, Tag], data: bytes = b"", *, order: str = "<", big: bool = False, next_at: int = 0) -> bytes:
    """One page: header, directory, data."""
    mark = b"II" if order == "<" else b"MM"
    head = mark + (struct.pack(order + "HHHQ", 43, 8, 0, 16) if big else struct.pack(order + "HI", 42, 8))
    size = len(directory(tags, order, len(head), 0, 0, big=big))
    return head + directory(tags, order, len(head), len(head) + size, next_at, big=big) + data


def exif(orientation: int = 6, kind: int = SHORT, extra: bytes = b"") -> bytes:
    return tiff({ORIENTATION: (kind, [orientation])}) + extra


def nested_exif(depth: int) -> bytes:
    """Each directory points to the next as its EXIF directory."""
    size = len(directory({EXIF_IFD: (LONG_INT, [0])}, "<", 0, 0, 0))
    parts = [directory({EXIF_IFD: (LONG_INT, [8 + (i + 1) * size])}, "<", 0, 0, 0) for i in range(depth)]
    return b"II*\0\x08\0\0\0" + b"".join(parts)


def looping_exif() -> bytes:
    """An EXIF directory that is its own EXIF, GPS and interoperability directory, and its own successor."""
    return tiff({tag: (LONG_INT, [8]) for tag in (EXIF_IFD, GPS_IFD, INTEROPERABILITY_IFD)}, next_at=8)
