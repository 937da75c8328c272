"""Hostile PNG files that move. Source: PNG specification, third edition, 11.3.6."""

from __future__ import annotations

import struct
import zlib

from pictures import animation

from hostile.damage import PICTURE, flips
from hostile.ends import BAD, EITHER, LARGE, LONG, SHOWN, Rows
from hostile.png import PNG_SIGNATURE, chunk, ihdr, packed, png, png_rows

LATER_LEVEL = 0x99  # of all samples, in all frames but the first


def actl(frames: int) -> bytes:
    return chunk(b"acTL", struct.pack(">II", frames, 0))


def fctl(number: int, width: int, height: int, x: int = 0, y: int = 0, dispose: int = 0, blend: int = 0) -> bytes:
    return chunk(b"fcTL", struct.pack(">IIIIIHHBB", number, width, height, x, y, 1, 10, dispose, blend))


def fdat(number: int, width: int, height: int, level: int = LATER_LEVEL) -> bytes:
    return fdat_of(number, zlib.compress(png_rows(width, height, level=level)))


def fdat_of(number: int, rows: bytes) -> bytes:
    """`rows` are compressed."""
    return chunk(b"fdAT", struct.pack(">I", number) + rows)


def apng(frames: int, width: int = 40, height: int = 40, told: int | None = None) -> bytes:
    """Frames of the whole picture; `told` is their number in acTL, if it is another."""
    body = [actl(frames if told is None else told), fctl(0, width, height), packed(png_rows(width, height))]
    rows = zlib.compress(png_rows(width, height, level=LATER_LEVEL))
    for i in range(1, frames):
        body += [fctl(2 * i - 1, width, height), fdat_of(2 * i, rows)]
    return PNG_SIGNATURE + ihdr(width, height) + b"".join(body) + chunk(b"IEND")


def apng_with_second(second: bytes) -> bytes:
    """Two frames, of which the second is these chunks."""
    return png(before=actl(2) + fctl(0, 64, 48), after=second)


FILES: Rows = {
    "apng-good": (SHOWN, lambda: apng(3)),
    "apng-1,000-frames": (SHOWN, lambda: apng(1_000)),
    "apng-1,001-frames": (LONG, lambda: apng(1_001)),
    "apng-huge-frames": (LARGE, lambda: apng(21, 1_000, 1_000)),
    "apng-zero-frames": (EITHER, lambda: png(before=actl(0))),
    "apng-tells-of-2**31-frames": (BAD, lambda: apng(2, told=2**31 - 1)),
    "apng-tells-of-1,000-and-holds-1": (BAD, lambda: apng(1, told=1_000)),
    "apng-holds-more-than-it-tells": (BAD, lambda: apng(3, told=2)),
    "apng-told-twice": (BAD, lambda: png(before=actl(1) + actl(1) + fctl(0, 64, 48))),
    "apng-told-short": (BAD, lambda: png(before=chunk(b"acTL", b"\0\0\0\1"))),
    "apng-told-behind-the-data": (BAD, lambda: png(after=actl(1) + fctl(0, 64, 48) + fdat(1, 64, 48))),
    "apng-100,000-frame-headers": (BAD, lambda: png(before=actl(1) + fctl(0, 64, 48) * 100_000)),
    "apng-100,000-frame-headers-and-told": (BAD, lambda: png(before=actl(100_000) + fctl(0, 64, 48) * 100_000)),
    "apng-frame-beyond-the-canvas": (BAD, lambda: apng_with_second(fctl(1, 64, 48, x=1) + fdat(2, 64, 48))),
    "apng-frame-offset-overflows": (BAD, lambda: apng_with_second(fctl(1, 64, 48, x=2**32 - 32) + fdat(2, 64, 48))),
    "apng-frame-zero-width": (BAD, lambda: apng_with_second(fctl(1, 0, 48) + fdat(2, 64, 48))),
    "apng-frame-without-data": (BAD, lambda: apng_with_second(fctl(1, 64, 48))),
    "apng-frame-numbers-jump": (BAD, lambda: apng_with_second(fctl(7, 64, 48) + fdat(9, 64, 48))),
    "apng-frame-data-short": (BAD, lambda: apng_with_second(fctl(1, 64, 48) + chunk(b"fdAT", b"\0\0"))),
    "apng-frame-data-of-nothing": (BAD, lambda: apng_with_second(fctl(1, 64, 48) + chunk(b"fdAT", b"\0\0\0\2"))),
    "apng-frame-disposal-9": (EITHER, lambda: apng_with_second(fctl(1, 64, 48, dispose=9, blend=9) + fdat(2, 64, 48))),
    "apng-first-frame-smaller-than-the-canvas": (BAD, lambda: png(before=actl(1) + fctl(0, 32, 24), level=0)),
}
FLIPPED = flips("apng", f"{EITHER} {LONG} {LARGE}", lambda: animation([PICTURE, PICTURE[::-1]], "PNG"), range(4))
