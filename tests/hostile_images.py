"""Files that are meant to break a decoder, each made here from nothing, and the ends that each may come to.

HOSTILE has a row for each file: its name, how it may end, the function that builds it. An end is "classified" or an error's
code. Most rows have one, which the format's specification or a limit of LIMITS demands; where damage leaves a choice to the
decoder, a row has two. What a browser shows or what a decoder did yesterday is no reason for a row.

truncations() cuts good small files of every format.
"""

from __future__ import annotations

import gzip
import io
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from pictures import animation, encode, gradient, noise
from PIL import Image
from profiles import D50, SWAPPED, curve, lut_profile, matrix_profile, xyz
from profiles import profile as profile_of

from demure.decode import DecodeLimits

# Low enough for a bomb to be told in a moment. 4 MP a frame, so 3,000 x 1,000 is a large picture here.
LIMITS = DecodeLimits(max_pixels=4_000_000, max_total_pixels=20_000_000)
DATA = Path(__file__).parent / "data"
PICTURE = gradient(64, 48)
ALPHA = np.dstack([PICTURE, np.tile(np.arange(64, dtype=np.uint8) * 4, (48, 1))])


@dataclass(frozen=True)
class Hostile:
    """How a file is built and the ends that it may come to."""

    ends: frozenset[str]
    build: Callable[[], bytes]


Rows = Mapping[str, tuple[str, Callable[[], bytes]]]

SHOWN = "classified"
BAD = "undecodable"
EITHER = "classified undecodable"
LARGE = "too_many_pixels"
LONG = "too_many_frames"
OTHER = "unsupported_format"
NONE = "not_an_image"


def patched(data: bytes, at: int, content: bytes) -> bytes:
    return data[:at] + content + data[at + len(content) :]


def flipped(data: bytes, seed: int, bits: int = 6) -> bytes:
    """`bits` bits turned over, anywhere but in the first 12 bytes, which tell the format."""
    damaged = bytearray(data)
    for place in np.random.default_rng(seed).integers(12 * 8, len(data) * 8, bits):
        damaged[place // 8] ^= 1 << (place % 8)
    return bytes(damaged)


# --- PNG: specification, third edition --------------------------------------------------------------------------------

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
GRAY, RGB, INDEXED, GRAY_ALPHA, RGBA = 0, 2, 3, 4, 6
_SAMPLES = {GRAY: 1, RGB: 3, INDEXED: 1, GRAY_ALPHA: 2, RGBA: 4}


def chunk(kind: bytes, content: bytes = b"", *, length: int | None = None, crc: int | None = None) -> bytes:
    told = len(content) if length is None else length
    check = zlib.crc32(kind + content) if crc is None else crc
    return struct.pack(">I", told) + kind + content + struct.pack(">I", check)


def ihdr(
    width: int, height: int, depth: int = 8, colour: int = RGB, methods: tuple[int, int, int] = (0, 0, 0)
) -> bytes:
    """`methods` are those of compression, filter and interlace."""
    return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, *methods))


def png_rows(width: int, height: int, depth: int = 8, colour: int = RGB, level: int = 0x55) -> bytes:
    return (b"\0" + bytes([level]) * ((width * depth * _SAMPLES[colour] + 7) // 8)) * height


def adam7_rows(width: int, height: int, depth: int = 8, colour: int = RGB) -> bytes:
    """The seven passes, of which the empty ones have no rows (8.1)."""
    starts = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
    sizes = [((width - x + dx - 1) // dx, (height - y + dy - 1) // dy) for x, y, dx, dy in starts]
    return b"".join(png_rows(w, h, depth, colour) for w, h in sizes if w > 0 and h > 0)


def png(
    width: int = 64,
    height: int = 48,
    depth: int = 8,
    colour: int = RGB,
    *,
    before: bytes = b"",
    idat: bytes | None = None,
    after: bytes = b"",
    methods: tuple[int, int, int] = (0, 0, 0),
    level: int = 0x55,
) -> bytes:
    """A right PNG but for what is given: chunks before the data, the compressed data, chunks behind."""
    if idat is None:
        rows = adam7_rows if methods[2] == 1 else png_rows
        idat = chunk(b"IDAT", zlib.compress(rows(width, height, depth, colour, *([] if methods[2] == 1 else [level]))))
    return PNG_SIGNATURE + ihdr(width, height, depth, colour, methods) + before + idat + after + chunk(b"IEND")


def png_claiming(width: int, height: int) -> bytes:
    """A size, and the data of one short row."""
    return png(width, height, idat=chunk(b"IDAT", zlib.compress(bytes(100))))


def palette(*colours: tuple[int, int, int]) -> bytes:
    return chunk(b"PLTE", bytes(level for colour in colours for level in colour))


def zeros(megabytes: int) -> bytes:
    """A zlib stream that swells a thousandfold."""
    return _zeros(megabytes)


@cache
def _zeros(megabytes: int) -> bytes:
    return zlib.compress(bytes(megabytes << 20), 9)


def actl(frames: int) -> bytes:
    return chunk(b"acTL", struct.pack(">II", frames, 0))


def fctl(number: int, width: int, height: int, x: int = 0, y: int = 0, dispose: int = 0, blend: int = 0) -> bytes:
    return chunk(b"fcTL", struct.pack(">IIIIIHHBB", number, width, height, x, y, 1, 10, dispose, blend))


def fdat(number: int, width: int, height: int, level: int = 0x99) -> bytes:
    return chunk(b"fdAT", struct.pack(">I", number) + zlib.compress(png_rows(width, height, level=level)))


def apng(frames: int, width: int = 40, height: int = 40, told: int | None = None) -> bytes:
    first = chunk(b"IDAT", zlib.compress(png_rows(width, height)))
    later = fdat(0, width, height)[12:-4]
    body = [actl(frames if told is None else told), fctl(0, width, height), first]
    for i in range(1, frames):
        body += [fctl(2 * i - 1, width, height), chunk(b"fdAT", struct.pack(">I", 2 * i) + later)]
    return PNG_SIGNATURE + ihdr(width, height) + b"".join(body) + chunk(b"IEND")


def apng_with_second(second: bytes) -> bytes:
    """Two frames, of which the second is these chunks."""
    first = actl(2) + fctl(0, 64, 48)
    return png(before=first, after=second)


def all_tags_at(profile: bytes, at: int) -> bytes:
    """Every tag is the whole profile."""
    count = int.from_bytes(profile[128:132])
    places = struct.pack(">II", at, len(profile))
    for i in range(count):
        profile = patched(profile, 132 + 12 * i + 4, places)
    return profile


def many_elements(count: int) -> bytes:
    """An A2B0 of so many steps of floating-point numbers, where three tables are meant (multiProcessElementsType)."""
    element = b"cvst\0\0\0\0\0\3\0\3" + bytes(24)
    places = b"".join(struct.pack(">II", 16 + 8 * count, len(element)) for _ in range(count))
    steps = struct.pack(">4s4xHHI", b"mpet", 3, 3, count) + places + element
    return profile_of({b"wtpt": xyz(*D50), b"A2B0": steps}, version=4)


ANIMATED = actl(1) + fctl(0, 64, 48)
TWO_COLOURS = palette((255, 255, 255), (0, 0, 0))

PNG: Rows = {
    "png-zero-width": (BAD, lambda: png_claiming(0, 48)),
    "png-zero-height": (BAD, lambda: png_claiming(64, 0)),
    "png-zero-both": (BAD, lambda: png_claiming(0, 0)),
    "png-huge-largest": (LARGE, lambda: png_claiming(2**31 - 1, 2**31 - 1)),
    "png-huge-sides-past-the-largest": (f"{LARGE} {BAD}", lambda: png_claiming(2**32 - 1, 2**32 - 1)),
    "png-huge-wide": (LARGE, lambda: png_claiming(2**31 - 1, 1)),
    "png-huge-tall": (LARGE, lambda: png_claiming(1, 2**31 - 1)),
    "png-at-the-limit-of-pixels": (SHOWN, lambda: png(4_000, 1_000, 1, GRAY)),
    "png-past-the-limit-of-pixels": (LARGE, lambda: png(4_001, 1_000, 1, GRAY)),
    "png-one-row-of-four-million": (SHOWN, lambda: png(4_000_000, 1, 1, GRAY)),
    "png-one-column-of-a-million": (SHOWN, lambda: png(1, 1_000_000, 1, GRAY)),
    "png-data-swell-to-50-mb": (SHOWN, lambda: png(idat=chunk(b"IDAT", zeros(50)))),
    "png-16-bit-rgba-of-4-mp": (SHOWN, lambda: png(2_000, 2_000, 16, RGBA)),
    "png-profile-swells-to-50-mb": (
        BAD,
        lambda: png(before=chunk(b"iCCP", b"p\0\0" + zeros(50))),
    ),
    "png-text-swells-to-50-mb": (BAD, lambda: png(before=chunk(b"zTXt", b"k\0\0" + zeros(50)))),
    "png-international-text-swells-to-50-mb": (BAD, lambda: png(before=chunk(b"iTXt", b"k\0\1\0\0\0" + zeros(50)))),
    "png-texts-swell-to-100-mb-together": (BAD, lambda: png(before=chunk(b"zTXt", b"k\0\0" + zeros(1)[:-4]) * 100)),
    "png-text-behind-the-data-swells": (EITHER, lambda: png(after=chunk(b"zTXt", b"k\0\0" + zeros(50)))),
    "png-profile-of-garbage": (SHOWN, lambda: png(before=chunk(b"iCCP", b"p\0\0" + b"garbage" * 9))),
    "png-profile-without-end-of-name": (EITHER, lambda: png(before=chunk(b"iCCP", b"p" * 80))),
    "png-profile-of-a-million-levels": (
        f"{BAD} {SHOWN}",
        lambda: png(before=chunk(b"iCCP", b"p\0\0" + zlib.compress(matrix_profile(curve(*range(60_000)))))),
    ),
    "png-profile-of-3-mb": (
        BAD,
        lambda: png(before=chunk(b"iCCP", b"p\0\0" + zlib.compress(SWAPPED + bytes(3_000_000)))),
    ),
    "png-profile-claims-a-million-tags": (
        SHOWN,
        lambda: png(before=chunk(b"iCCP", b"p\0\0" + zlib.compress(patched(SWAPPED, 128, b"\0\x0f\x42\x40")))),
    ),
    "png-profile-of-itself-in-every-tag": (
        SHOWN,
        lambda: png(before=chunk(b"iCCP", b"p\0\0" + zlib.compress(all_tags_at(SWAPPED, 0)))),
    ),
    "png-profile-of-ten-thousand-steps": (
        SHOWN,
        lambda: png(before=chunk(b"iCCP", b"p\0\0" + zlib.compress(many_elements(10_000)))),
    ),
    "png-primaries-without-height": (
        SHOWN,
        lambda: png(before=chunk(b"gAMA", bytes([0, 1, 134, 160])) + chunk(b"cHRM", bytes(32))),
    ),
    "png-gamma-tiny-and-primaries-huge": (
        SHOWN,
        lambda: png(before=chunk(b"gAMA", b"\0\0\0\1") + chunk(b"cHRM", b"\xff" * 32)),
    ),
    "png-profile-empty": (EITHER, lambda: png(before=chunk(b"iCCP"))),
    "png-header-crc-wrong": (
        BAD,
        lambda: PNG_SIGNATURE + chunk(b"IHDR", ihdr(64, 48)[8:-4], crc=7) + png()[8 + 25 :],
    ),
    "png-data-crc-wrong": (EITHER, lambda: png(idat=chunk(b"IDAT", zlib.compress(png_rows(64, 48)), crc=7))),
    "png-data-checksum-wrong": (
        EITHER,
        lambda: png(idat=chunk(b"IDAT", zlib.compress(png_rows(64, 48))[:-4] + b"abcd")),
    ),
    "png-header-missing": (BAD, lambda: PNG_SIGNATURE + png()[8 + 25 :]),
    "png-header-short": (BAD, lambda: PNG_SIGNATURE + chunk(b"IHDR", ihdr(64, 48)[8:20]) + png()[8 + 25 :]),
    "png-header-long": (BAD, lambda: PNG_SIGNATURE + chunk(b"IHDR", ihdr(64, 48)[8:21] + b"\0") + png()[8 + 25 :]),
    "png-header-twice": (BAD, lambda: png(before=ihdr(64, 48))),
    "png-header-not-first": (BAD, lambda: PNG_SIGNATURE + chunk(b"tEXt", b"k\0v") + png()[8:]),
    "png-signature-only": (BAD, lambda: PNG_SIGNATURE),
    "png-end-only": (BAD, lambda: PNG_SIGNATURE + chunk(b"IEND")),
    "png-data-missing": (BAD, lambda: png(idat=b"")),
    "png-data-empty": (BAD, lambda: png(idat=chunk(b"IDAT"))),
    "png-data-empty-a-100,000-times": (BAD, lambda: png(idat=chunk(b"IDAT") * 100_000)),
    "png-data-garbage": (BAD, lambda: png(idat=chunk(b"IDAT", b"\xaa" * 500))),
    "png-data-half": (BAD, lambda: png(idat=chunk(b"IDAT", zlib.compress(png_rows(64, 24))))),
    "png-data-cut-in-the-stream": (
        BAD,
        lambda: png(idat=chunk(b"IDAT", zlib.compress(noise(64, 48).tobytes())[:4_000])),
    ),
    "png-data-in-pieces-of-one-byte": (
        SHOWN,
        lambda: png(idat=b"".join(chunk(b"IDAT", bytes([b])) for b in zlib.compress(png_rows(64, 48)))),
    ),
    "png-data-in-two-places": (
        BAD,
        lambda: png(
            idat=chunk(b"IDAT", (rows := zlib.compress(noise(99, 99).tobytes()))[:99])
            + chunk(b"tEXt", b"k\0v")
            + chunk(b"IDAT", rows[99:])
        ),
    ),
    "png-end-missing": (EITHER, lambda: png()[:-12]),
    "png-bytes-behind-the-end": (SHOWN, lambda: png() + b"tail" * 1_000),
    "png-palette-missing": (BAD, lambda: png(64, 48, 8, INDEXED)),
    "png-palette-empty": (BAD, lambda: png(64, 48, 8, INDEXED, before=chunk(b"PLTE"))),
    "png-palette-of-two-bytes": (BAD, lambda: png(64, 48, 8, INDEXED, before=chunk(b"PLTE", b"ab"))),
    "png-palette-of-four-bytes": (BAD, lambda: png(64, 48, 8, INDEXED, before=chunk(b"PLTE", b"abcd"), level=0)),
    "png-palette-of-257": (BAD, lambda: png(64, 48, 8, INDEXED, before=chunk(b"PLTE", bytes(257 * 3)))),
    "png-palette-larger-than-the-depth": (BAD, lambda: png(64, 48, 1, INDEXED, before=chunk(b"PLTE", bytes(9)))),
    "png-palette-twice": (BAD, lambda: png(64, 48, 1, INDEXED, before=TWO_COLOURS + palette((9, 9, 9), (8, 8, 8)))),
    "png-palette-index-out-of-range": (BAD, lambda: png(64, 48, 8, INDEXED, before=TWO_COLOURS)),
    "png-palette-1-bit": (SHOWN, lambda: png(64, 48, 1, INDEXED, before=TWO_COLOURS)),
    "png-transparency-before-the-palette": (
        BAD,
        lambda: png(64, 48, 1, INDEXED, before=chunk(b"tRNS", b"\0\0") + TWO_COLOURS),
    ),
    "png-transparency-twice": (
        BAD,
        lambda: png(64, 48, 1, INDEXED, before=TWO_COLOURS + chunk(b"tRNS", b"\xff\xff") + chunk(b"tRNS", b"\0\0")),
    ),
    "png-transparency-behind-the-data": (
        BAD,
        lambda: png(64, 48, 1, INDEXED, before=TWO_COLOURS, after=chunk(b"tRNS", b"\0\0")),
    ),
    "png-transparency-longer-than-the-palette": (
        BAD,
        lambda: png(64, 48, 1, INDEXED, before=TWO_COLOURS + chunk(b"tRNS", bytes(256))),
    ),
    "png-transparency-short": (BAD, lambda: png(before=chunk(b"tRNS", b"\0\1"))),
    "png-transparency-past-the-depth": (SHOWN, lambda: png(64, 48, 8, GRAY, before=chunk(b"tRNS", b"\1\x55"))),
    **{
        f"png-depth-{depth}-colour-{colour}{'-interlaced' * interlace}": (
            SHOWN,
            lambda d=depth, c=colour, i=interlace: png(
                61, 43, d, c, methods=(0, 0, i), before=chunk(b"PLTE", bytes(3 << min(d, 8))) if c == INDEXED else b""
            ),
        )
        for depth, colour in ((1, GRAY), (2, GRAY), (4, INDEXED), (16, GRAY), (16, RGB), (8, GRAY_ALPHA), (16, RGBA))
        for interlace in (0, 1)
    },
    **{
        f"png-depth-{depth}-colour-{colour}-is-none": (
            BAD,
            lambda d=depth, c=colour: PNG_SIGNATURE + ihdr(64, 48, d, c) + png()[8 + 25 :],
        )
        for depth, colour in ((3, GRAY), (0, RGB), (16, INDEXED), (8, 1), (8, 5), (8, 255), (255, RGBA))
    },
    "png-interlaced-1x1": (SHOWN, lambda: png(1, 1, methods=(0, 0, 1))),
    "png-interlaced-short-of-a-pass": (
        BAD,
        lambda: png(methods=(0, 0, 1), idat=chunk(b"IDAT", zlib.compress(bytes(50)))),
    ),
    "png-interlaced-short-of-its-last-pass": (
        BAD,
        lambda: png(61, 43, methods=(0, 0, 1), idat=chunk(b"IDAT", zlib.compress(adam7_rows(61, 43)[: -21 * 184]))),
    ),
    "png-interlace-method-2": (
        BAD,
        lambda: png(methods=(0, 0, 2), idat=chunk(b"IDAT", zlib.compress(adam7_rows(64, 48)))),
    ),
    "png-compression-method-1": (BAD, lambda: png(methods=(1, 0, 0))),
    "png-filter-method-1": (BAD, lambda: png(methods=(0, 1, 0))),
    "png-row-filter-5": (BAD, lambda: png(idat=chunk(b"IDAT", zlib.compress((b"\5" + bytes(192)) * 48)))),
    "png-chunk-length-2**31": (BAD, lambda: png(before=chunk(b"tEXt", b"k\0v", length=2**31))),
    "png-chunk-length-2**32-1": (BAD, lambda: png(before=chunk(b"tEXt", b"k\0v", length=2**32 - 1))),
    "png-data-length-2**32-1": (BAD, lambda: png(idat=chunk(b"IDAT", b"x", length=2**32 - 1))),
    "png-chunk-name-not-of-letters": (EITHER, lambda: png(before=chunk(b"\xff\xfe\0\1", b"v"))),
    "png-chunk-critical-and-unknown": (EITHER, lambda: png(before=chunk(b"ABCD", b"v"))),
    "png-chunk-of-a-python-name": (EITHER, lambda: png(before=chunk(b"__in", b"v") + chunk(b"crc_", b"v"))),
    "png-100,000-texts": (SHOWN, lambda: png(before=chunk(b"tEXt", b"k\0v") * 100_000)),
    "png-100,000-private-chunks": (SHOWN, lambda: png(before=chunk(b"prVt", b"v") * 100_000)),
    "png-gamma-zero": (EITHER, lambda: png(before=chunk(b"gAMA", bytes(4)))),
    "png-gamma-short": (EITHER, lambda: png(before=chunk(b"gAMA", b"\0"))),
    "png-orientation-9": (SHOWN, lambda: png(before=chunk(b"eXIf", exif(orientation=9)))),
    "png-exif-of-garbage": (SHOWN, lambda: png(before=chunk(b"eXIf", b"\xff" * 5_000))),
    "png-cut-in-half": (BAD, lambda: (data := encode(noise(64, 48), "PNG"))[: len(data) // 2]),
    "png-jpeg-inside": (BAD, lambda: PNG_SIGNATURE + encode(PICTURE, "JPEG")),
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
    **{f"png-bits-flipped-{seed}": (EITHER, lambda s=seed: flipped(encode(PICTURE, "PNG"), s)) for seed in range(4)},
    **{
        f"apng-bits-flipped-{seed}": (
            f"{EITHER} {LONG} {LARGE}",
            lambda s=seed: flipped(animation([PICTURE, PICTURE[::-1]], "PNG"), s),
        )
        for seed in range(4)
    },
}


# --- EXIF and TIFF: TIFF 6.0, BigTIFF, EXIF 2.32 ----------------------------------------------------------------------

BYTE, ASCII, SHORT, LONG_INT, RATIONAL, IFD_INT, LONG8 = 1, 2, 3, 4, 5, 13, 16
_TYPE_CODES = {BYTE: "B", ASCII: "B", SHORT: "H", LONG_INT: "I", RATIONAL: "I", IFD_INT: "I", LONG8: "Q"}
WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC, STRIP_OFFSETS, SAMPLES, ROWS, STRIP_BYTES = (
    256,
    257,
    258,
    259,
    262,
    273,
    277,
    278,
    279,
)
FILL_ORDER, ORIENTATION, PLANAR, COLOUR_MAP, PREDICTOR = 266, 274, 284, 320, 317
TILE_WIDTH, TILE_HEIGHT, TILE_OFFSETS, TILE_BYTES, SUB_IFDS, EXTRA, FORMAT = 322, 323, 324, 325, 330, 338, 339
DATA_AT = -1  # stands for the offset of the data in a tag's values

Tag = tuple[int, Sequence[int]]


def directory(tags: Mapping[int, Tag], order: str, at: int, data_at: int, next_at: int, *, big: bool = False) -> bytes:
    """An IFD that lies at `at`, with the values that do not fit in it right behind."""
    count, entry, field = ("Q", "HHQ", 8) if big else ("H", "HHI", 4)
    head = struct.pack(order + count, len(tags))
    spill_at = at + len(head) + len(tags) * (4 + 2 * field) + field
    body, spill = b"", b""
    for tag, (kind, values) in sorted(tags.items()):
        code = _TYPE_CODES[kind]
        packed = b"".join(struct.pack(order + code, data_at if value == DATA_AT else value) for value in values)
        number = len(values) // 2 if kind == RATIONAL else len(values)
        if len(packed) > field:
            place = struct.pack(order + ("Q" if big else "I"), spill_at + len(spill))
            spill += packed + b"\0" * (len(packed) % 2)
        else:
            place = packed.ljust(field, b"\0")
        body += struct.pack(order + entry, tag, kind, number) + place
    return head + body + struct.pack(order + ("Q" if big else "I"), next_at) + spill


def tiff(tags: Mapping[int, Tag], data: bytes = b"", *, order: str = "<", big: bool = False, next_at: int = 0) -> bytes:
    """One page: header, directory, data."""
    mark = b"II" if order == "<" else b"MM"
    head = mark + (struct.pack(order + "HHHQ", 43, 8, 0, 16) if big else struct.pack(order + "HI", 42, 8))
    size = len(directory(tags, order, len(head), 0, 0, big=big))
    return head + directory(tags, order, len(head), len(head) + size, next_at, big=big) + data


def gray_page(width: int = 64, height: int = 48, compression: int = 1, length: int | None = None) -> dict[int, Tag]:
    """The tags of an 8-bit gray page of one strip."""
    return {
        WIDTH: (LONG_INT, [width]),
        HEIGHT: (LONG_INT, [height]),
        BITS: (SHORT, [8]),
        COMPRESSION: (SHORT, [compression]),
        PHOTOMETRIC: (SHORT, [1]),
        STRIP_OFFSETS: (LONG_INT, [DATA_AT]),
        SAMPLES: (SHORT, [1]),
        ROWS: (LONG_INT, [height]),
        STRIP_BYTES: (LONG_INT, [width * height if length is None else length]),
    }


def gray_tiff(
    changes: Mapping[int, Tag | None] | None = None, data: bytes = bytes(range(256)) * 12, **options: object
) -> bytes:
    """A right 64 x 48 page but for the tags that are changed, or left out where they are None."""
    tags = {**gray_page(length=len(data)), **(changes or {})}
    return tiff({tag: value for tag, value in tags.items() if value is not None}, data, **options)


def compressed_tiff(compression: int, data: bytes, width: int = 64, height: int = 48, **changes: Tag) -> bytes:
    return tiff(
        {**gray_page(width, height, compression, len(data)), **{int(k[1:]): v for k, v in changes.items()}}, data
    )


def pages(count: int, *, loop_to: int | None = None, width: int = 16, height: int = 16) -> bytes:
    """So many small pages over the same pixels; the last points to page `loop_to`."""
    pixels = bytes(width * height)
    size = len(directory(gray_page(width, height), "<", 0, 0, 0))
    first = 8 + len(pixels)
    out = [b"II*\0", struct.pack("<I", first), pixels]
    for i in range(count):
        following = first + (i + 1) * size if i < count - 1 else (0 if loop_to is None else first + loop_to * size)
        out.append(directory(gray_page(width, height), "<", first + i * size, 8, following))
    return b"".join(out)


def exif(orientation: int = 6, kind: int = SHORT, extra: bytes = b"") -> bytes:
    return tiff({ORIENTATION: (kind, [orientation])}) + extra


def nested_exif(depth: int) -> bytes:
    """Each directory points to the next as its EXIF directory (tag 0x8769)."""
    size = len(directory({0x8769: (LONG_INT, [0])}, "<", 0, 0, 0))
    parts = [directory({0x8769: (LONG_INT, [8 + (i + 1) * size])}, "<", 0, 0, 0) for i in range(depth)]
    return b"II*\0\x08\0\0\0" + b"".join(parts)


def looping_exif() -> bytes:
    """An EXIF directory that is its own EXIF, GPS and interoperability directory, and its own successor."""
    return tiff({0x8769: (LONG_INT, [8]), 0x8825: (LONG_INT, [8]), 0xA005: (LONG_INT, [8])}, next_at=8)


def packbits(runs: int) -> bytes:
    """`runs` times 128 bytes of zero."""
    return b"\x81\0" * runs


def lzw_msb(runs: int) -> bytes:
    """TIFF's LZW: clear, a zero, then ever longer runs of zeros up to the end of the table, then clear again."""
    bits = _Bits(msb_first=True)
    for _ in range(runs):
        bits.add(256, 9)
        bits.add(0, 9)
        for code in range(258, 4093):
            # TIFF 6.0, page 60: the width grows one code early.
            bits.add(code, 9 if code < 511 else 10 if code < 1023 else 11 if code < 2047 else 12)
    return bits.done()


class _Bits:
    """Bits to bytes, the first the lowest in its byte, or the highest."""

    def __init__(self, *, msb_first: bool = False) -> None:
        self._msb_first, self._digits = msb_first, []

    def add(self, value: int, width: int) -> None:
        digits = f"{value:0{width}b}"
        self._digits.append(digits if self._msb_first else digits[::-1])

    def done(self) -> bytes:
        digits = "".join(self._digits)
        digits += "0" * (-len(digits) % 8)
        if self._msb_first:
            return int(digits, 2).to_bytes(len(digits) // 8) if digits else b""
        return int(digits[::-1], 2).to_bytes(len(digits) // 8, "little") if digits else b""


def jpeg_tables_free() -> bytes:
    return encode(np.full((48, 64), 99, np.uint8), "JPEG")


TIFF: Rows = {
    "tiff-zero-width": (BAD, lambda: gray_tiff({WIDTH: (LONG_INT, [0])})),
    "tiff-zero-height": (BAD, lambda: gray_tiff({HEIGHT: (LONG_INT, [0])})),
    "tiff-huge": (LARGE, lambda: gray_tiff({WIDTH: (LONG_INT, [2**32 - 1]), HEIGHT: (LONG_INT, [2**32 - 1])})),
    "tiff-huge-65535": (LARGE, lambda: gray_tiff({WIDTH: (SHORT, [65535]), HEIGHT: (SHORT, [65535])})),
    "tiff-huge-in-64-bits": (f"{LARGE} {BAD}", lambda: gray_tiff({WIDTH: (LONG8, [2**63])}, big=True)),
    "tiff-width-missing": (BAD, lambda: gray_tiff({WIDTH: None})),
    "tiff-height-missing": (BAD, lambda: gray_tiff({HEIGHT: None})),
    "tiff-width-of-two-values": (EITHER, lambda: gray_tiff({WIDTH: (LONG_INT, [64, 64])})),
    "tiff-width-in-words": (BAD, lambda: gray_tiff({WIDTH: (ASCII, list(b"64\0"))})),
    "tiff-strips-missing": (BAD, lambda: gray_tiff({STRIP_OFFSETS: None})),
    "tiff-strip-beyond-the-file": (BAD, lambda: gray_tiff({STRIP_OFFSETS: (LONG_INT, [2**31])})),
    "tiff-strip-at-the-end-of-numbers": (BAD, lambda: gray_tiff({STRIP_OFFSETS: (LONG_INT, [2**32 - 1])})),
    "tiff-strip-length-lies": (EITHER, lambda: gray_tiff({STRIP_BYTES: (LONG_INT, [2**32 - 1])})),
    "tiff-strip-length-zero": (EITHER, lambda: gray_tiff({STRIP_BYTES: (LONG_INT, [0])})),
    "tiff-strip-data-short": (BAD, lambda: gray_tiff(data=bytes(100))),
    "tiff-100,000-strips": (
        EITHER,
        lambda: gray_tiff({STRIP_OFFSETS: (LONG_INT, [DATA_AT] * 100_000), ROWS: (LONG_INT, [1])}),
    ),
    "tiff-rows-a-strip-zero": (EITHER, lambda: gray_tiff({ROWS: (LONG_INT, [0])})),
    "tiff-rows-a-strip-2**32-1": (EITHER, lambda: gray_tiff({ROWS: (LONG_INT, [2**32 - 1])})),
    "tiff-big-endian": (SHOWN, lambda: gray_tiff(order=">")),
    "bigtiff": (SHOWN, lambda: gray_tiff(big=True)),
    "bigtiff-big-endian": (EITHER, lambda: gray_tiff(big=True, order=">")),
    "bigtiff-directory-at-2**63": (BAD, lambda: b"II+\0\x08\0\0\0" + struct.pack("<Q", 2**63)),
    "tiff-directory-beyond-the-file": (BAD, lambda: b"II*\0" + struct.pack("<I", 2**31)),
    "tiff-directory-at-zero": (BAD, lambda: b"II*\0" + bytes(100)),
    "tiff-directory-empty": (BAD, lambda: tiff({})),
    "tiff-directory-counts-65535": (BAD, lambda: b"II*\0\x08\0\0\0\xff\xff" + bytes(40)),
    "tiff-tag-counts-2**32-1": (
        BAD,
        lambda: b"II*\0\x08\0\0\0\1\0" + struct.pack("<HHII", WIDTH, LONG_INT, 2**32 - 1, 8) + bytes(4),
    ),
    "tiff-tag-of-unknown-type": (
        SHOWN,
        lambda: patched(gray_tiff({50_000: (SHORT, [1])}), 8 + 2 + 9 * 12 + 2, b"\xee"),
    ),
    "tiff-tags-share-the-same-bytes": (
        f"{EITHER}",
        lambda: (
            b"II*\0\x08\0\0\0"
            + struct.pack("<H", 9_000)
            + b"".join(struct.pack("<HHII", 40_000 + i % 9_000, BYTE, 100_000, 8) for i in range(9_000))
            + bytes(4)
        ),
    ),
    "tiff-directory-loops-to-itself": (SHOWN, lambda: gray_tiff(next_at=8)),
    "tiff-two-directories-loop": (SHOWN, lambda: pages(2, loop_to=0)),
    "tiff-1,000-pages": (SHOWN, lambda: pages(1_000)),
    "tiff-1,001-pages": (LONG, lambda: pages(1_001)),
    "tiff-20,000-pages": (LONG, lambda: pages(20_000)),
    "tiff-1,000-pages-that-loop": (SHOWN, lambda: pages(1_000, loop_to=500)),
    "tiff-second-page-beyond-the-file": (EITHER, lambda: gray_tiff(next_at=2**31)),
    "tiff-sub-directory-loops": (SHOWN, lambda: gray_tiff({SUB_IFDS: (LONG_INT, [8])})),
    "tiff-10,000-sub-directories": (SHOWN, lambda: gray_tiff({SUB_IFDS: (LONG_INT, [8] * 10_000)})),
    "tiff-exif-directory-loops": (SHOWN, lambda: gray_tiff({0x8769: (LONG_INT, [8])})),
    "tiff-bits-65535": (BAD, lambda: gray_tiff({BITS: (SHORT, [65535])})),
    "tiff-bits-zero": (BAD, lambda: gray_tiff({BITS: (SHORT, [0])})),
    "tiff-bits-of-10,000-samples": (BAD, lambda: gray_tiff({BITS: (SHORT, [8] * 10_000), SAMPLES: (SHORT, [10_000])})),
    "tiff-samples-65535": (BAD, lambda: gray_tiff({SAMPLES: (SHORT, [65535])})),
    "tiff-samples-zero": (BAD, lambda: gray_tiff({SAMPLES: (SHORT, [0])})),
    "tiff-photometric-65535": (BAD, lambda: gray_tiff({PHOTOMETRIC: (SHORT, [65535])})),
    "tiff-compression-unknown": (BAD, lambda: gray_tiff({COMPRESSION: (SHORT, [4_242])})),
    "tiff-float": (OTHER, lambda: gray_tiff({BITS: (SHORT, [32]), FORMAT: (SHORT, [3])}, bytes(64 * 48 * 4))),
    "tiff-float-of-none": (
        OTHER,
        lambda: gray_tiff({BITS: (SHORT, [32]), FORMAT: (SHORT, [3])}, b"\xff" * 64 * 48 * 4),
    ),
    "tiff-64-bit-float": (
        f"{OTHER} {BAD}",
        lambda: gray_tiff({BITS: (SHORT, [64]), FORMAT: (SHORT, [3])}, bytes(24_576)),
    ),
    "tiff-palette-missing": (BAD, lambda: gray_tiff({PHOTOMETRIC: (SHORT, [3])})),
    "tiff-palette-short": (BAD, lambda: gray_tiff({PHOTOMETRIC: (SHORT, [3]), COLOUR_MAP: (SHORT, [9] * 30)})),
    "tiff-planar": (
        SHOWN,
        lambda: gray_tiff(
            {
                BITS: (SHORT, [8, 8, 8]),
                PHOTOMETRIC: (SHORT, [2]),
                SAMPLES: (SHORT, [3]),
                PLANAR: (SHORT, [2]),
                STRIP_OFFSETS: (LONG_INT, [DATA_AT] * 3),
                STRIP_BYTES: (LONG_INT, [3_072] * 3),
            }
        ),
    ),
    "tiff-planar-of-one-plane": (
        EITHER,
        lambda: gray_tiff(
            {BITS: (SHORT, [8, 8, 8]), PHOTOMETRIC: (SHORT, [2]), SAMPLES: (SHORT, [3]), PLANAR: (SHORT, [2])}
        ),
    ),
    "tiff-fill-order-reversed": (SHOWN, lambda: gray_tiff({FILL_ORDER: (SHORT, [2])})),
    "tiff-orientation-0": (SHOWN, lambda: gray_tiff({ORIENTATION: (SHORT, [0])})),
    "tiff-orientation-65535": (SHOWN, lambda: gray_tiff({ORIENTATION: (SHORT, [65535])})),
    "tiff-tiles-of-zero": (
        BAD,
        lambda: gray_tiff(
            {
                STRIP_OFFSETS: None,
                TILE_WIDTH: (LONG_INT, [0]),
                TILE_HEIGHT: (LONG_INT, [0]),
                TILE_OFFSETS: (LONG_INT, [DATA_AT] * 9),
            }
        ),
    ),
    "tiff-tiles-huge": (
        EITHER,
        lambda: gray_tiff(
            {
                STRIP_OFFSETS: None,
                TILE_WIDTH: (LONG_INT, [2**31]),
                TILE_HEIGHT: (LONG_INT, [2**31]),
                TILE_OFFSETS: (LONG_INT, [DATA_AT]),
            }
        ),
    ),
    "tiff-deflate-bomb": (EITHER, lambda: compressed_tiff(8, zeros(50))),
    "tiff-deflate-of-4-mp": (SHOWN, lambda: compressed_tiff(8, zeros(4), 2_000, 2_000)),
    "tiff-deflate-tiles-of-a-gigapixel": (
        BAD,
        lambda: compressed_tiff(
            8,
            zeros(50),
            t273=(BYTE, [0]),
            t322=(LONG_INT, [32_768]),
            t323=(LONG_INT, [32_768]),
            t324=(LONG_INT, [DATA_AT]),
            t325=(LONG_INT, [50_000]),
        ),
    ),
    "tiff-deflate-garbage": (BAD, lambda: compressed_tiff(8, b"\xaa" * 900)),
    "tiff-lzw-bomb": (EITHER, lambda: compressed_tiff(5, lzw_msb(4))),
    "tiff-lzw-garbage": (EITHER, lambda: compressed_tiff(5, b"\xaa" * 900)),
    "tiff-packbits-bomb": (EITHER, lambda: compressed_tiff(32773, packbits(100_000))),
    "tiff-packbits-of-4-mp": (EITHER, lambda: compressed_tiff(32773, packbits(31_250), 2_000, 2_000)),
    "tiff-packbits-short": (BAD, lambda: compressed_tiff(32773, packbits(5))),
    **{
        f"tiff-fax-{compression}": (EITHER, lambda c=compression: compressed_tiff(c, b"\x35" * 500, t258=(SHORT, [1])))
        for compression in (2, 3, 4)
    },
    "tiff-jpeg": (EITHER, lambda: compressed_tiff(7, jpeg_tables_free())),
    "tiff-jpeg-of-another-size": (EITHER, lambda: compressed_tiff(7, jpeg_claiming(60_000, 60_000))),
    "tiff-jpeg-garbage": (BAD, lambda: compressed_tiff(7, b"\xff\xd8" + b"\xaa" * 900)),
    "tiff-old-jpeg": (
        EITHER,
        lambda: compressed_tiff(
            6, (data := encode(PICTURE, "JPEG")), t513=(LONG_INT, [DATA_AT]), t514=(LONG_INT, [len(data)])
        ),
    ),
    "tiff-old-jpeg-beyond-the-file": (
        BAD,
        lambda: compressed_tiff(6, b"", t513=(LONG_INT, [2**31]), t514=(LONG_INT, [9])),
    ),
    "tiff-webp-inside": (EITHER, lambda: compressed_tiff(50001, encode(PICTURE, "WEBP"))),
    "tiff-lzma-garbage": (BAD, lambda: compressed_tiff(34925, b"\xfd7zXZ\0" + bytes(90))),
    "tiff-zstd-garbage": (BAD, lambda: compressed_tiff(50000, b"\x28\xb5\x2f\xfd" + bytes(90))),
    "tiff-header-only": (BAD, lambda: b"II*\0"),
    "tiff-cut-in-half": (BAD, lambda: (data := gray_tiff())[: len(data) // 2]),
    **{
        f"tiff-{name}-bits-flipped-{seed}": (
            f"{EITHER} {LARGE} {OTHER} {LONG}",
            lambda s=seed, o=options: flipped(encode(PICTURE, "TIFF", **o), s),
        )
        for name, options in {"plain": {}, "lzw": {"compression": "tiff_lzw"}, "jpeg": {"compression": "jpeg"}}.items()
        for seed in range(3)
    },
}


# --- JPEG: ITU-T T.81 -------------------------------------------------------------------------------------------------


def segment(marker: int, content: bytes, *, length: int | None = None) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(content) + 2 if length is None else length) + content


@cache
def good_jpeg(mode: str = "RGB", **options: object) -> bytes:
    return encode(Image.fromarray(PICTURE).convert(mode), "JPEG", **options)


def with_segments(*parts: bytes, data: bytes | None = None) -> bytes:
    """The parts right behind the start of the image."""
    data = good_jpeg() if data is None else data
    return data[:2] + b"".join(parts) + data[2:]


def marker_at(data: bytes, *markers: int) -> int:
    """Where the first of these markers stands, found by hopping over segments."""
    position = 2
    while data[position + 1] not in markers:
        position += 2 + int.from_bytes(data[position + 2 : position + 4])
    return position


def without(data: bytes, *markers: int) -> bytes:
    """A JPEG less all segments of these kinds before its first scan."""
    parts, position = [data[:2]], 2
    while data[position + 1] != 0xDA:
        size = 2 + int.from_bytes(data[position + 2 : position + 4])
        if data[position + 1] not in markers:
            parts.append(data[position : position + size])
        position += size
    return b"".join(parts) + data[position:]


def jpeg_claiming(width: int, height: int, data: bytes | None = None) -> bytes:
    data = good_jpeg() if data is None else data
    return patched(data, marker_at(data, 0xC0, 0xC2) + 5, struct.pack(">HH", height, width))


def jpeg_frame(offset: int, content: bytes) -> bytes:
    """A good JPEG with these bytes in its frame header, counted from the marker."""
    return patched(good_jpeg(), marker_at(good_jpeg(), 0xC0) + offset, content)


def scan_bomb(scans: int, width: int, height: int) -> bytes:
    """A progressive gray JPEG of so many scans, each of which goes through all blocks for some bytes of file.

    The first holds the DC differences, all zero, in one bit each. The others refine what is not there: "nothing new in the
    next 16,384 blocks" takes 15 bits, and the decoder goes through the 63 coefficients of each (G.1.2.3).
    """
    table = bytes([1] + [0] * 15)  # one code of one bit
    blocks = (width + 7) // 8 * ((height + 7) // 8)
    parts = [
        b"\xff\xd8",
        segment(0xDB, b"\0" + b"\1" * 64),
        segment(0xC2, struct.pack(">BHHB", 8, height, width, 1) + b"\1\x11\0"),
        segment(0xC4, b"\0" + table + b"\0"),
        segment(0xC4, b"\x10" + table + b"\xe0"),
        segment(0xDA, b"\1\1\0\0\0\0"),
        bytes((blocks + 7) // 8),
    ]
    runs = (blocks // 16_384 + 1) * 15  # bits: the code, and 14 zeros that add nothing to a run of 16,384
    refinement = segment(0xDA, b"\1\1\0\1\x3f\x10") + bytes((runs + 7) // 8)
    return b"".join(parts) + refinement * (scans - 1) + b"\xff\xd9"


def icc(*parts: tuple[int, int, bytes]) -> bytes:
    return b"".join(segment(0xE2, b"ICC_PROFILE\0" + bytes([number, count]) + data) for number, count, data in parts)


def exif_segment(content: bytes) -> bytes:
    return segment(0xE1, b"Exif\0\0" + content)


def sampled(*factors: int) -> bytes:
    """A good JPEG whose three components claim these sampling factors (horizontal in the high nibble)."""
    at = marker_at(good_jpeg(), 0xC0) + 10
    data = good_jpeg()
    for i, factor in enumerate(factors):
        data = patched(data, at + 3 * i + 1, bytes([factor]))
    return data


def multi_picture() -> bytes:
    return encode(Image.fromarray(PICTURE), "MPO", save_all=True, append_images=[Image.fromarray(PICTURE[::-1])])


JPEG: Rows = {
    "jpeg-profile-larger-than-any": (
        BAD,
        lambda: encode(Image.fromarray(PICTURE), "JPEG", icc_profile=SWAPPED + bytes(5_000_000)),
    ),
    "jpeg-profile-of-ink-by-a-large-table": (
        SHOWN,
        lambda: good_jpeg("CMYK", icc_profile=lut_profile([(9, 9, 9)] * 16, b"CMYK", 4, b"prtr")),
    ),
    "jpeg-zero-width": (BAD, lambda: jpeg_claiming(0, 48)),
    "jpeg-zero-height": (BAD, lambda: jpeg_claiming(64, 0)),
    "jpeg-zero-height-and-lines-told-later": (
        BAD,
        lambda: jpeg_claiming(64, 0)[:-2] + segment(0xDC, b"\0\x30") + b"\xff\xd9",
    ),
    "jpeg-huge": (LARGE, lambda: jpeg_claiming(65_500, 65_500)),
    "jpeg-huge-progressive": (LARGE, lambda: jpeg_claiming(65_500, 65_500, good_jpeg(progressive=True))),
    "jpeg-huge-65535": (LARGE, lambda: jpeg_claiming(65_535, 65_535)),
    "jpeg-larger-than-its-data": (EITHER, lambda: jpeg_claiming(1_900, 1_900)),
    "jpeg-progressive-larger-than-its-data": (EITHER, lambda: jpeg_claiming(1_900, 1_900, good_jpeg(progressive=True))),
    "jpeg-arithmetic": (EITHER, lambda: jpeg_frame(1, b"\xc9")),
    "jpeg-lossless": (BAD, lambda: jpeg_frame(1, b"\xc3")),
    "jpeg-hierarchical": (BAD, lambda: jpeg_frame(1, b"\xc5")),
    "jpeg-12-bit": (BAD, lambda: jpeg_frame(4, b"\x0c")),
    "jpeg-zero-bit": (BAD, lambda: jpeg_frame(4, b"\0")),
    "jpeg-no-component": (BAD, lambda: jpeg_frame(9, b"\0")),
    "jpeg-two-components": (BAD, lambda: jpeg_frame(9, b"\2")),
    "jpeg-255-components": (BAD, lambda: jpeg_frame(9, b"\xff")),
    "jpeg-frame-twice": (BAD, lambda: with_segments(segment(0xC0, b"\x08\0\x10\0\x10\1\1\x11\0"))),
    "jpeg-frame-missing": (BAD, lambda: without(good_jpeg(), 0xC0)),
    "jpeg-huffman-tables-missing": (EITHER, lambda: without(good_jpeg(), 0xC4)),
    "jpeg-quantization-tables-missing": (BAD, lambda: without(good_jpeg(), 0xDB)),
    "jpeg-scan-missing": (BAD, lambda: (d := good_jpeg())[: marker_at(d, 0xDA)] + b"\xff\xd9"),
    "jpeg-scan-empty": (EITHER, lambda: (d := good_jpeg())[: marker_at(d, 0xDA) + 14] + b"\xff\xd9"),
    "jpeg-cmyk": (SHOWN, lambda: good_jpeg("CMYK")),
    "jpeg-cmyk-without-its-marker": (SHOWN, lambda: without(good_jpeg("CMYK"), 0xEE)),
    "jpeg-ycck": (SHOWN, lambda: patched(d := good_jpeg("CMYK"), marker_at(d, 0xEE) + 15, b"\2")),
    "jpeg-adobe-transform-9": (SHOWN, lambda: with_segments(segment(0xEE, b"Adobe\0\x64\0\0\0\0\x09"))),
    "jpeg-adobe-marker-short": (EITHER, lambda: with_segments(segment(0xEE, b"Adobe"))),
    "jpeg-sampling-zero": (BAD, lambda: sampled(0, 0x11, 0x11)),
    "jpeg-sampling-15": (BAD, lambda: sampled(0xFF, 0xFF, 0xFF)),
    "jpeg-sampling-3-by-1": (EITHER, lambda: sampled(0x31, 0x11, 0x21)),
    "jpeg-sampling-chroma-larger": (EITHER, lambda: sampled(0x11, 0x22, 0x22)),
    "jpeg-restart-interval-1-without-restarts": (EITHER, lambda: with_segments(segment(0xDD, b"\0\1"))),
    "jpeg-restart-markers": (SHOWN, lambda: good_jpeg(restart_marker_blocks=1)),
    "jpeg-restart-segment-short": (BAD, lambda: with_segments(segment(0xDD, b"\0"))),
    "jpeg-5,000-application-segments": (SHOWN, lambda: with_segments(segment(0xE5, b"x" * 9) * 5_000)),
    "jpeg-20,000-application-segments": (BAD, lambda: with_segments(segment(0xE5, b"x" * 9) * 20_000)),
    "jpeg-300-comments-of-64-kb": (SHOWN, lambda: with_segments(segment(0xFE, bytes(65_533)) * 300)),
    "jpeg-segment-length-zero": (EITHER, lambda: with_segments(segment(0xE5, b"", length=0))),
    "jpeg-segment-length-one": (EITHER, lambda: with_segments(segment(0xE5, b"", length=1))),
    "jpeg-segment-beyond-the-file": (BAD, lambda: with_segments(segment(0xE5, b"", length=65_535))),
    "jpeg-second-start": (BAD, lambda: with_segments(b"\xff\xd8")),
    "jpeg-a-megabyte-of-fill-bytes": (EITHER, lambda: with_segments(b"\xff" * 1_000_000)),
    "jpeg-start-only": (BAD, lambda: b"\xff\xd8\xff"),
    "jpeg-end-missing": (EITHER, lambda: good_jpeg()[:-2]),
    "jpeg-100-scans": (SHOWN, lambda: scan_bomb(100, 1_000, 1_000)),
    "jpeg-101-scans": (BAD, lambda: scan_bomb(101, 64, 48)),
    "jpeg-10,000-scans-of-4-mp": (BAD, lambda: scan_bomb(10_000, 2_000, 2_000)),
    "jpeg-huge-with-100-scans": (LARGE, lambda: scan_bomb(100, 60_000, 400)),
    "jpeg-scan-repeated": (EITHER, lambda: (d := good_jpeg())[:-2] + d[marker_at(d, 0xDA) :]),
    "jpeg-orientation-0": (SHOWN, lambda: with_segments(exif_segment(exif(0)))),
    "jpeg-orientation-9": (SHOWN, lambda: with_segments(exif_segment(exif(9)))),
    "jpeg-orientation-65535": (SHOWN, lambda: with_segments(exif_segment(exif(65_535)))),
    "jpeg-orientation-of-no-number": (SHOWN, lambda: with_segments(exif_segment(exif(6, ASCII)))),
    "jpeg-orientation-of-four-bytes": (SHOWN, lambda: with_segments(exif_segment(exif(6, LONG_INT)))),
    "jpeg-exif-64-kb": (SHOWN, lambda: with_segments(exif_segment(exif(extra=bytes(65_000))))),
    "jpeg-exif-nested-3,000-deep": (SHOWN, lambda: with_segments(exif_segment(nested_exif(3_000)))),
    "jpeg-exif-loops": (SHOWN, lambda: with_segments(exif_segment(looping_exif()))),
    "jpeg-exif-of-5,000-tags": (
        SHOWN,
        lambda: with_segments(exif_segment(tiff({1_000 + i: (SHORT, [i]) for i in range(5_000)}))),
    ),
    "jpeg-exif-in-100-pieces": (SHOWN, lambda: with_segments(exif_segment(bytes(60_000)) * 100)),
    "jpeg-exif-resolution-over-zero": (
        SHOWN,
        lambda: with_segments(
            exif_segment(tiff({0x11A: (RATIONAL, [1, 0]), 0x128: (SHORT, [2])})), data=without(good_jpeg(), 0xE0)
        ),
    ),
    "jpeg-exif-thumbnail-is-a-bomb": (
        SHOWN,
        lambda: with_segments(exif_segment(exif(1, extra=scan_bomb(500, 64, 48)))),
    ),
    "jpeg-icc-of-garbage": (SHOWN, lambda: with_segments(icc((1, 1, b"garbage" * 99)))),
    "jpeg-icc-empty": (SHOWN, lambda: with_segments(icc((1, 1, b"")))),
    "jpeg-icc-counted-from-0": (SHOWN, lambda: with_segments(icc((0, 0, b"x" * 99)))),
    "jpeg-icc-pieces-missing": (SHOWN, lambda: with_segments(icc((1, 255, b"x" * 99), (255, 255, b"x" * 99)))),
    "jpeg-icc-pieces-twice": (SHOWN, lambda: with_segments(icc((1, 2, b"x" * 99), (1, 2, b"y" * 99)))),
    "jpeg-icc-cut-in-its-name": (EITHER, lambda: with_segments(segment(0xE2, b"ICC_PROFILE\0"))),
    "jpeg-icc-of-16-mb": (SHOWN, lambda: with_segments(icc(*((i, 255, bytes(65_000)) for i in range(1, 256))))),
    "jpeg-photoshop-block-lies": (
        SHOWN,
        lambda: with_segments(segment(0xED, b"Photoshop 3.0\x008BIM\x03\xed\xff\xff\xff\xff\xff\xff")),
    ),
    "jpeg-photoshop-resolution-short": (
        EITHER,
        lambda: with_segments(segment(0xED, b"Photoshop 3.0\x008BIM\x03\xed\0\0\0\0\0\1x")),
    ),
    "jpeg-two-pictures": (SHOWN, multi_picture),
    "jpeg-two-pictures-with-a-damaged-index": (
        SHOWN,
        lambda: flipped(multi_picture(), 1, bits=0)[:180] + multi_picture()[180:],
    ),
    "jpeg-picture-list-of-garbage": (
        SHOWN,
        lambda: with_segments(segment(0xE2, b"MPF\0II*\0\xff\xff\xff\xff" + b"\xff" * 99)),
    ),
    "jpeg-cut-in-half": (BAD, lambda: (data := good_jpeg())[: len(data) // 2]),
    **{f"jpeg-bits-flipped-{seed}": (f"{EITHER} {LARGE}", lambda s=seed: flipped(good_jpeg(), s)) for seed in range(6)},
    **{
        f"jpeg-progressive-bits-flipped-{seed}": (
            f"{EITHER} {LARGE}",
            lambda s=seed: flipped(good_jpeg(progressive=True), s),
        )
        for seed in range(4)
    },
}


# --- GIF: GIF89a specification ----------------------------------------------------------------------------------------


def gif_table(*colours: tuple[int, int, int]) -> bytes:
    return bytes(level for colour in colours for level in colour)


BLACK_AND_WHITE = gif_table((0, 0, 0), (255, 255, 255))


def gif(
    *blocks: bytes, width: int = 64, height: int = 48, table: bytes = BLACK_AND_WHITE, trailer: bytes = b";"
) -> bytes:
    size = (len(table) // 3).bit_length() - 2  # 2 colours: 0
    flags = 0x80 | size if table else 0
    return b"GIF89a" + struct.pack("<HHBBB", width, height, flags, 0, 0) + table + b"".join(blocks) + trailer


def sub_blocks(data: bytes) -> bytes:
    pieces = [data[i : i + 255] for i in range(0, len(data), 255)]
    return b"".join(bytes([len(piece)]) + piece for piece in pieces) + b"\0"


def gif_image(
    data: bytes, width: int = 64, height: int = 48, left: int = 0, top: int = 0, *, flags: int = 0, code_size: int = 2
) -> bytes:
    return b"," + struct.pack("<4HB", left, top, width, height, flags) + bytes([code_size]) + sub_blocks(data)


def control(disposal: int = 0, transparent: int | None = None) -> bytes:
    flags = disposal << 2 | (transparent is not None)
    return b"!\xf9\4" + struct.pack("<BHB", flags, 5, transparent or 0) + b"\0"


@cache
def gif_lzw(pixels: bytes, code_size: int = 2) -> bytes:
    """Each pixel as itself, the table cleared before the codes grow: what any decoder reads."""
    bits, clear = _Bits(), 1 << code_size
    for i, pixel in enumerate(pixels):
        if i % (clear - 2) == 0:
            bits.add(clear, code_size + 1)
        bits.add(pixel, code_size + 1)
    bits.add(clear + 1, code_size + 1)
    return bits.done()


@cache
def gif_lzw_run(pixels: int) -> bytes:
    """So many zeros, as few codes as there can be: each names the run that is one longer than the last."""
    bits, clear, width = _Bits(), 4, 3
    bits.add(clear, width)
    bits.add(0, width)
    done, code, run = 1, clear + 2, 2
    while done < pixels:
        bits.add(min(code, 4_095), width)
        done += run
        if code < 4_095:
            run += 1
            code += 1
            if code == 1 << width and width < 12:
                width += 1
    bits.add(clear + 1, width)
    return bits.done()


def filled(width: int = 64, height: int = 48, **options: int) -> bytes:
    """An image of one colour, of any size, in few bytes."""
    return gif_image(gif_lzw_run(width * height), width, height, **options)


def gif_frames(count: int, width: int = 16, height: int = 16) -> bytes:
    return gif(filled(width, height) * count, width=width, height=height)


def good_gif(frames: int = 1) -> bytes:
    return animation([noise(64, 48, seed=i) for i in range(frames)]) if frames > 1 else encode(PICTURE, "GIF")


GIF: Rows = {
    "gif-zero-width": (BAD, lambda: gif(filled(0, 48), width=0)),
    "gif-zero-height": (BAD, lambda: gif(filled(64, 0), height=0)),
    "gif-zero-screen-and-a-frame": (EITHER, lambda: gif(filled(), width=0, height=0)),
    "gif-zero-frame": (BAD, lambda: gif(filled(0, 0))),
    "gif-huge": (LARGE, lambda: gif(filled(), width=65_535, height=65_535)),
    "gif-huge-frame": (LARGE, lambda: gif(gif_image(b"\x04", 65_535, 65_535))),
    "gif-huge-offset": (LARGE, lambda: gif(filled(left=65_000, top=65_000))),
    "gif-codes-swell-to-4-mp": (SHOWN, lambda: gif(filled(2_000, 2_000), width=2_000, height=2_000)),
    "gif-codes-swell-past-the-frame": (EITHER, lambda: gif(gif_image(gif_lzw_run(4_000_000)))),
    "gif-1,000-frames": (SHOWN, lambda: gif_frames(1_000)),
    "gif-1,001-frames": (LONG, lambda: gif_frames(1_001)),
    "gif-20,000-frames": (LONG, lambda: gif_frames(20_000)),
    "gif-900-frames-of-a-megapixel": (LARGE, lambda: gif_frames(900, 1_000, 1_000)),
    "gif-frame-headers-without-data": (BAD, lambda: gif(gif_image(b"") * 500)),
    "gif-second-frame-beyond-the-picture": (BAD, lambda: gif(filled() + filled(left=1))),
    "gif-second-frame-zero": (EITHER, lambda: gif(filled() + filled(0, 0))),
    "gif-trailer-missing": (SHOWN, lambda: gif(filled(), trailer=b"")),
    "gif-trailer-first": (BAD, lambda: gif(b";" + filled())),
    "gif-no-frame": (BAD, gif),
    "gif-no-colour-table": (BAD, lambda: gif(filled(), table=b"")),
    "gif-colour-out-of-the-table": (BAD, lambda: gif(gif_image(gif_lzw(bytes([3, 1]) * 1_536)))),
    "gif-interlaced": (SHOWN, lambda: gif(filled(flags=0x40))),
    "gif-code-size-0": (BAD, lambda: gif(gif_image(gif_lzw_run(3_072), code_size=0))),
    "gif-code-size-1": (EITHER, lambda: gif(gif_image(gif_lzw(bytes(3_072)), code_size=1))),
    "gif-code-size-12": (BAD, lambda: gif(gif_image(gif_lzw_run(3_072), code_size=12))),
    "gif-code-size-255": (BAD, lambda: gif(gif_image(gif_lzw_run(3_072), code_size=255))),
    "gif-codes-of-garbage": (EITHER, lambda: gif(gif_image(b"\xaa" * 900))),
    "gif-codes-never-defined": (BAD, lambda: gif(gif_image(b"\xff" * 900))),
    "gif-codes-end-at-once": (BAD, lambda: gif(gif_image(b"\x2c"))),
    "gif-10,000-extensions": (SHOWN, lambda: gif(b"!\xfe\1x\0" * 10_000 + filled())),
    "gif-comment-of-10-mb": (SHOWN, lambda: gif(b"!\xfe" + sub_blocks(bytes(10_000_000)) + filled())),
    "gif-extension-without-end": (BAD, lambda: gif(b"!\xfe" + b"\xff" * 3_000)),
    "gif-application-block-short": (SHOWN, lambda: gif(b"!\xff\x0bNETSCAPE2.0\0" + filled())),
    "gif-control-of-nothing": (BAD, lambda: gif(b"!\xf9\0" + filled())),
    "gif-control-short": (BAD, lambda: gif(b"!\xf9\1\1\0" + filled())),
    "gif-bytes-between-blocks": (BAD, lambda: gif(filled() + b"\0" + filled())),
    "gif-control-in-two-pieces": (BAD, lambda: gif(b"!\xf9\4\1\0\0\0\1\0\0" + filled())),
    "gif-control-twice": (BAD, lambda: gif(control(0, 0) + control() + filled())),
    "gif-control-before-a-text": (BAD, lambda: gif(control(0, 0) + b"!\x01\x0c" + bytes(12) + b"\0" + filled())),
    "gif-disposal-7": (BAD, lambda: gif(control(7) + filled() + filled())),
    "gif-frame-smaller-than-the-screen": (SHOWN, lambda: gif(filled(8, 8, left=20, top=20))),
    "gif-transparent-index-out-of-the-table": (SHOWN, lambda: gif(control(transparent=200) + filled())),
    "gif-signature-only": (BAD, lambda: b"GIF89a"),
    "gif-table-cut": (BAD, lambda: b"GIF89a" + struct.pack("<HHBBB", 64, 48, 0xF7, 0, 0) + bytes(20)),
    "gif-cut-in-half": (BAD, lambda: (data := good_gif())[: len(data) // 2]),
    **{f"gif-bits-flipped-{seed}": (f"{EITHER} {LARGE}", lambda s=seed: flipped(good_gif(2), s)) for seed in range(6)},
}


# --- BMP: BITMAPINFOHEADER and its kin --------------------------------------------------------------------------------


def bmp(
    width: int = 64,
    height: int = 48,
    bits: int = 24,
    *,
    header: int = 40,
    compression: int = 0,
    colours: int = 0,
    table: bytes = b"",
    masks: tuple[int, ...] = (),
    data: bytes | None = None,
    data_at: int | None = None,
) -> bytes:
    if header == 12:
        head = struct.pack("<IHHHH", 12, width & 0xFFFF, height & 0xFFFF, 1, bits)
    else:
        head = struct.pack(
            "<IIIHHIIIIII", header, width & (2**32 - 1), height & (2**32 - 1), 1, bits, compression, 0, 0, 0, colours, 0
        )
        head += struct.pack(f"<{len(masks)}I", *masks)
        head = head.ljust(header, b"\0")
    if data is None:
        data = b"\x55" * ((width * bits + 31) // 32 * 4 * min(abs(height), 9_999))
    at = 14 + len(head) + len(table) if data_at is None else data_at
    size = 14 + len(head) + len(table) + len(data)
    return b"BM" + struct.pack("<IHHI", size & (2**32 - 1), 0, 0, at & (2**32 - 1)) + head + table + data


def bmp_table(*colours: tuple[int, int, int]) -> bytes:
    return b"".join(bytes([blue, green, red, 0]) for red, green, blue in colours)


FULL_TABLE = bmp_table(*((i, 255 - i, i // 2) for i in range(256)))
MASKS_565, MASKS_888, MASKS_8888 = (
    (0xF800, 0x7E0, 0x1F),
    (0xFF0000, 0xFF00, 0xFF),
    (0xFF0000, 0xFF00, 0xFF, 0xFF000000),
)

BMP: Rows = {
    "bmp-profile-outside-of-the-file": (
        SHOWN,
        lambda: patched(
            patched(bmp(64, 48, 32, header=124, compression=3, masks=MASKS_8888), 70, b"DEBM"), 126, b"\xff" * 8
        ),
    ),
    "bmp-zero-width": (BAD, lambda: bmp(0, 48)),
    "bmp-zero-height": (BAD, lambda: bmp(64, 0)),
    "bmp-huge": (LARGE, lambda: bmp(2**31 - 1, 2**31 - 1, data=bytes(100))),
    "bmp-huge-upside-down": (LARGE, lambda: bmp(65_000, -65_000, data=bytes(100))),
    "bmp-huge-os2": (LARGE, lambda: bmp(65_535, 65_535, header=12, data=bytes(100))),
    "bmp-huge-rle": (OTHER, lambda: bmp(60_000, 60_000, 8, compression=1, table=FULL_TABLE, data=b"\xff\0" * 100)),
    "bmp-width-negative": (f"{LARGE} {BAD}", lambda: bmp(-64, 48, data=bytes(10_000))),
    "bmp-height-the-most-negative": (f"{LARGE} {BAD}", lambda: bmp(64, -(2**31), data=bytes(10_000))),
    "bmp-upside-down": (SHOWN, lambda: bmp(64, -48)),
    **{f"bmp-header-{header}": (SHOWN, lambda h=header: bmp(header=h)) for header in (12, 40, 52, 56, 64, 108, 124)},
    "bmp-header-16": (NONE, lambda: bmp(header=16)),
    "bmp-header-huge": (NONE, lambda: patched(bmp(), 14, b"\xff\xff\xff\x7f")),
    **{f"bmp-bits-{bits}": (SHOWN, lambda b=bits: bmp(64, 48, b)) for bits in (16, 24, 32)},
    **{f"bmp-bits-{bits}": (SHOWN, lambda b=bits: bmp(64, 48, b, table=FULL_TABLE[: 4 << b])) for bits in (1, 4, 8)},
    **{f"bmp-bits-{bits}": (BAD, lambda b=bits: bmp(64, 48, b, data=bytes(10_000))) for bits in (0, 2, 7, 64, 65_535)},
    "bmp-fields-16": (SHOWN, lambda: bmp(64, 48, 16, header=56, compression=3, masks=MASKS_565)),
    "bmp-fields-32": (SHOWN, lambda: bmp(64, 48, 32, header=108, compression=3, masks=MASKS_8888)),
    "bmp-fields-overlap": (BAD, lambda: bmp(64, 48, 32, header=56, compression=3, masks=(0xFFFFFFFF,) * 3)),
    "bmp-fields-of-nothing": (BAD, lambda: bmp(64, 48, 16, header=56, compression=3, masks=(0, 0, 0))),
    "bmp-fields-of-8-bits": (BAD, lambda: bmp(64, 48, 8, header=56, compression=3, masks=MASKS_888)),
    **{
        f"bmp-compression-{number}": (BAD, lambda n=number: bmp(64, 48, 24, compression=n))
        for number in (4, 5, 11, 2**32 - 1)
    },
    "bmp-rle8": (OTHER, lambda: bmp(64, 48, 8, compression=1, table=FULL_TABLE, data=b"\x40\x07\0\0" * 48 + b"\0\1")),
    "bmp-rle4": (
        OTHER,
        lambda: bmp(64, 48, 4, compression=2, table=FULL_TABLE[:64], data=b"\x40\x77\0\0" * 48 + b"\0\1"),
    ),
    "bmp-rle8-jumps": (OTHER, lambda: bmp(64, 48, 8, compression=1, table=FULL_TABLE, data=b"\0\2\xff\xff" * 9_000)),
    "bmp-rle8-ends-at-once": (OTHER, lambda: bmp(64, 48, 8, compression=1, table=FULL_TABLE, data=b"\0\1")),
    "bmp-rle8-of-empty-lines": (OTHER, lambda: bmp(64, 48, 8, compression=1, table=FULL_TABLE, data=b"\0\0" * 500_000)),
    "bmp-rle4-of-4-mp": (
        OTHER,
        lambda: bmp(2_000, 2_000, 4, compression=2, table=FULL_TABLE[:64], data=b"\xff\x77" * 20_000),
    ),
    "bmp-table-counts-2**32-1": (BAD, lambda: bmp(64, 48, 8, colours=2**32 - 1, table=FULL_TABLE)),
    "bmp-table-counts-65536": (BAD, lambda: bmp(64, 48, 8, colours=65_536, table=FULL_TABLE)),
    "bmp-table-of-300": (BAD, lambda: bmp(64, 48, 8, colours=300, table=FULL_TABLE + bytes(44 * 4))),
    "bmp-table-short": (BAD, lambda: bmp(64, 48, 8, colours=256, table=FULL_TABLE[:8], data=b"")),
    "bmp-table-missing": (EITHER, lambda: bmp(64, 48, 8)),
    "bmp-colour-out-of-the-table": (BAD, lambda: bmp(64, 48, 8, colours=2, table=FULL_TABLE[:8])),
    "bmp-8-bits-of-black-and-white": (
        BAD,
        lambda: bmp(64, 48, 8, colours=2, table=bmp_table((0, 0, 0), (255,) * 3), data=b"\0\1" * 1_536),
    ),
    "bmp-grays-out-of-the-table": (
        BAD,
        lambda: bmp(64, 48, 8, colours=200, table=bmp_table(*((i, i, i) for i in range(200))), data=b"\xff" * 3_072),
    ),
    "bmp-data-in-the-table": (BAD, lambda: bmp(64, 48, 8, table=FULL_TABLE, data_at=54)),
    "bmp-alpha-mask-without-fields": (BAD, lambda: bmp(64, 48, 32, header=124, masks=MASKS_8888)),
    "bmp-fields-32-of-nothing": (BAD, lambda: bmp(64, 48, 32, header=108, compression=3, masks=(0, 0, 0, 0))),
    "bmp-fields-of-os2": (BAD, lambda: bmp(64, 48, 16, header=64, compression=3, masks=MASKS_565)),
    "bmp-data-beyond-the-file": (BAD, lambda: bmp(data_at=2**31)),
    "bmp-data-in-the-header": (BAD, lambda: bmp(data_at=4)),
    "bmp-data-at-zero": (BAD, lambda: bmp(data_at=0)),
    "bmp-data-short": (BAD, lambda: bmp(data=bytes(99))),
    "bmp-cut-in-its-header": (BAD, lambda: bmp()[:30]),
    "bmp-cut-in-half": (BAD, lambda: (data := bmp())[: len(data) // 2]),
    **{
        f"bmp-bits-flipped-{seed}": (f"{EITHER} {LARGE}", lambda s=seed: flipped(bmp(16, 8), s, 3))
        for seed in range(14, 18)
    },
}


# --- WebP: RFC 9649 ---------------------------------------------------------------------------------------------------


def riff(*chunks: tuple[bytes, bytes], length: int | None = None) -> bytes:
    body = b"WEBP" + b"".join(
        kind + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2) for kind, content in chunks
    )
    return b"RIFF" + struct.pack("<I", len(body) if length is None else length) + body


def vp8x(width: int, height: int, flags: int = 0) -> tuple[bytes, bytes]:
    """Flags: 0x02 animation, 0x04 XMP, 0x08 EXIF, 0x10 alpha, 0x20 ICC."""
    return b"VP8X", struct.pack("<I", flags) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")


def vp8l(width: int, height: int, *, codes: bool = True) -> tuple[bytes, bytes]:
    """A lossless picture of one colour: five codes of one symbol each, and no bits for the pixels (3.7)."""
    bits = _Bits()
    for value, count in ((0x2F, 8), (width - 1, 14), (height - 1, 14), (0, 1), (0, 3), (0, 1), (0, 1), (0, 1)):
        bits.add(value, count)
    for level in (0x80, 0x80, 0x80, 0xFF, 0) if codes else ():
        for value, count in ((1, 1), (0, 1), (1, 1), (level, 8)):
            bits.add(value, count)
    return b"VP8L", bits.done()


def vp8l_of(picture: np.ndarray) -> tuple[bytes, bytes]:
    return b"VP8L", encode(picture, "WEBP", lossless=True)[20:]


def without_flag(data: bytes) -> bytes:
    """A lossless file less its bit alpha_is_used (3.4), which stands behind the signature and 28 bits of size."""
    return patched(data, 24, bytes([data[24] & 0xEF]))


@cache
def vp8(width: int = 64, height: int = 48) -> tuple[bytes, bytes]:
    """A good lossy picture's chunk."""
    data = encode(gradient(width, height), "WEBP", quality=50)
    size = int.from_bytes(data[16:20], "little")
    return data[12:16], data[20 : 20 + size]


def vp8_claiming(width: int, height: int) -> tuple[bytes, bytes]:
    """The 14 bits of each side stand behind the start code (RFC 6386, 9.1)."""
    kind, content = vp8()
    return kind, patched(content, 6, struct.pack("<HH", width, height))


def anmf(
    content: tuple[bytes, bytes], width: int, height: int, x: int = 0, y: int = 0, flags: int = 0
) -> tuple[bytes, bytes]:
    head = b"".join(n.to_bytes(3, "little") for n in (x // 2, y // 2, width - 1, height - 1, 100)) + bytes([flags])
    kind, data = content
    return b"ANMF", head + kind + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)


ANIM = (b"ANIM", bytes(6))


def animated_webp(*frames: tuple[bytes, bytes], width: int = 64, height: int = 48) -> bytes:
    return riff(vp8x(width, height, 0x02), ANIM, *frames)


WEBP: Rows = {
    "webp-zero": (BAD, lambda: riff(vp8_claiming(0, 0))),
    "webp-zero-width": (BAD, lambda: riff(vp8_claiming(0, 48))),
    "webp-huge-lossless": (LARGE, lambda: riff(vp8l(16_384, 16_384))),
    "webp-huge-lossy": (f"{LARGE} {BAD}", lambda: riff(vp8_claiming(16_383, 16_383))),
    "webp-huge-canvas": (f"{LARGE} {BAD}", lambda: riff(vp8x(2**24, 2**8), vp8())),
    "webp-huge-canvas-past-the-product": (f"{LARGE} {BAD}", lambda: riff(vp8x(2**24, 2**24), vp8())),
    "webp-lossless-4-mp-in-30-bytes": (SHOWN, lambda: riff(vp8l(2_000, 2_000))),
    "webp-lossless-past-the-limit": (LARGE, lambda: riff(vp8l(2_001, 2_000))),
    "webp-lossless-without-codes": (BAD, lambda: riff(vp8l(64, 48, codes=False))),
    "webp-lossless-signature-wrong": (BAD, lambda: riff((b"VP8L", b"\x2e" + vp8l(64, 48)[1][1:]))),
    "webp-lossless-version-7": (BAD, lambda: riff((b"VP8L", patched(vp8l(64, 48)[1], 4, b"\xe0")))),
    "webp-lossy-larger-than-its-data": (EITHER, lambda: riff(vp8_claiming(1_900, 1_900))),
    "webp-lossy-start-code-wrong": (BAD, lambda: riff((b"VP8 ", patched(vp8()[1], 3, b"abc")))),
    "webp-lossy-not-a-key-frame": (BAD, lambda: riff((b"VP8 ", patched(vp8()[1], 0, bytes([vp8()[1][0] | 1]))))),
    "webp-canvas-larger-than-its-picture": (EITHER, lambda: riff(vp8x(640, 480), vp8())),
    "webp-canvas-smaller-than-its-picture": (EITHER, lambda: riff(vp8x(6, 4), vp8())),
    "webp-canvas-without-picture": (BAD, lambda: riff(vp8x(64, 48))),
    "webp-canvas-twice": (EITHER, lambda: riff(vp8x(64, 48), vp8x(32, 32), vp8())),
    "webp-canvas-of-all-flags": (EITHER, lambda: riff(vp8x(64, 48, 0xFFFFFFFF), vp8())),
    "webp-alpha": (SHOWN, lambda: encode(ALPHA, "WEBP", quality=50)),
    "webp-alpha-plain": (SHOWN, lambda: riff(vp8x(64, 48, 0x10), (b"ALPH", b"\0" + b"\x80" * 64 * 48), vp8())),
    "webp-alpha-short": (EITHER, lambda: riff(vp8x(64, 48, 0x10), (b"ALPH", b"\0\x80"), vp8())),
    "webp-alpha-compressed-garbage": (
        EITHER,
        lambda: riff(vp8x(64, 48, 0x10), (b"ALPH", b"\x01" + b"\xaa" * 90), vp8()),
    ),
    "webp-alpha-of-one-colour": (
        EITHER,
        lambda: riff(vp8x(2_000, 2_000, 0x10), (b"ALPH", b"\x01" + vp8l(64, 48)[1][5:]), vp8_claiming(2_000, 2_000)),
    ),
    "webp-alpha-1,000-times": (
        EITHER,
        lambda: riff(vp8x(64, 48, 0x10), *[(b"ALPH", b"\0" + bytes(3_072))] * 1_000, vp8()),
    ),
    "webp-animation": (SHOWN, lambda: animated_webp(anmf(vp8(), 64, 48), anmf(vp8l(64, 48), 64, 48))),
    "webp-animation-without-frames": (BAD, animated_webp),
    "webp-animation-1,000-frames": (
        SHOWN,
        lambda: animated_webp(*[anmf(vp8l(16, 16), 16, 16)] * 1_000, width=16, height=16),
    ),
    "webp-animation-1,001-frames": (
        LONG,
        lambda: animated_webp(*[anmf(vp8l(16, 16), 16, 16)] * 1_001, width=16, height=16),
    ),
    "webp-animation-of-900-megapixels": (
        LARGE,
        lambda: animated_webp(*[anmf(vp8l(1_000, 1_000), 1_000, 1_000)] * 900, width=1_000, height=1_000),
    ),
    "webp-animation-huge-canvas": (
        f"{LARGE} {BAD}",
        lambda: animated_webp(anmf(vp8(), 64, 48), width=2**24, height=2**7),
    ),
    "webp-animation-frame-beyond-the-canvas": (BAD, lambda: animated_webp(anmf(vp8(), 64, 48, x=2))),
    "webp-animation-frame-huge": (BAD, lambda: animated_webp(anmf(vp8l(16_384, 16_384), 16_384, 16_384))),
    "webp-animation-frame-lies": (BAD, lambda: animated_webp(anmf(vp8l(640, 480), 64, 48))),
    "webp-animation-frame-empty": (BAD, lambda: animated_webp((b"ANMF", bytes(16)))),
    "webp-animation-frame-short": (BAD, lambda: animated_webp((b"ANMF", bytes(3)))),
    "webp-animation-inside-a-frame": (EITHER, lambda: animated_webp(anmf(anmf(vp8(), 64, 48), 64, 48))),
    "webp-frames-without-the-flag": (EITHER, lambda: riff(vp8x(64, 48), ANIM, anmf(vp8(), 64, 48))),
    "webp-lossless-denies-its-transparency": (BAD, lambda: without_flag(encode(ALPHA, "WEBP", lossless=True))),
    "webp-canvas-denies-its-transparency": (BAD, lambda: riff(vp8x(64, 48), vp8l_of(ALPHA))),
    "webp-animation-denies-its-transparency": (BAD, lambda: animated_webp(anmf(vp8l(10, 10), 10, 10))),
    "webp-icc-of-garbage": (SHOWN, lambda: riff(vp8x(64, 48, 0x20), (b"ICCP", b"garbage" * 99), vp8())),
    "webp-icc-of-10-mb": (SHOWN, lambda: riff(vp8x(64, 48, 0x20), (b"ICCP", bytes(10_000_000)), vp8())),
    "webp-exif-of-garbage": (SHOWN, lambda: riff(vp8x(64, 48, 0x08), vp8(), (b"EXIF", b"\xff" * 999))),
    "webp-exif-nested": (SHOWN, lambda: riff(vp8x(64, 48, 0x08), vp8(), (b"EXIF", b"Exif\0\0" + nested_exif(3_000)))),
    "webp-100,000-unknown-chunks": (SHOWN, lambda: riff(vp8x(64, 48), vp8(), *[(b"ABCD", b"")] * 100_000)),
    "webp-riff-length-zero": (BAD, lambda: riff(vp8(), length=0)),
    "webp-riff-length-2**32-1": (EITHER, lambda: riff(vp8(), length=2**32 - 1)),
    "webp-chunk-length-2**32-1": (BAD, lambda: patched(riff(vp8()), 16, b"\xff" * 4)),
    "webp-chunk-unknown-only": (BAD, lambda: riff((b"ABCD", b"x" * 90))),
    "webp-signature-only": (BAD, riff),
    "webp-cut-in-half": (BAD, lambda: (data := encode(noise(64, 48), "WEBP"))[: len(data) // 2]),
    **{
        f"webp-{name}-bits-flipped-{seed}": (
            f"{EITHER} {LARGE}",
            lambda s=seed, o=options: flipped(encode(PICTURE, "WEBP", **o), s),
        )
        for name, options in {"lossy": {}, "lossless": {"lossless": True}}.items()
        for seed in range(3)
    },
}


# --- AVIF and HEIC: ISO/IEC 14496-12, 23008-12, the AVIF specification ------------------------------------------------


def box(kind: bytes, content: bytes = b"", *, size: int | None = None) -> bytes:
    return struct.pack(">I", len(content) + 8 if size is None else size) + kind + content


def avif_type(brand: bytes = b"avif") -> bytes:
    return box(b"ftyp", brand + bytes(4) + b"avifmif1miaf")


@cache
def good_avif(**options: object) -> bytes:
    return encode(PICTURE, "AVIF", speed=10, max_threads=1, **options)


@cache
def good_heic() -> bytes:
    return (DATA / "gradient-96x64.heic").read_bytes()


def box_at(data: bytes, kind: bytes) -> int:
    """Where the box's size stands."""
    return data.index(kind) - 4


def box_size(data: bytes, kind: bytes, size: int) -> bytes:
    return patched(data, box_at(data, kind), struct.pack(">I", size))


def claiming(data: bytes, width: int, height: int) -> bytes:
    """Another size in the ispe property: version and flags, width, height."""
    return patched(data, box_at(data, b"ispe") + 12, struct.pack(">II", width, height))


def dropped(data: bytes, kind: bytes) -> bytes:
    """The box renamed to what nobody knows, so that all offsets stay right."""
    return patched(data, box_at(data, kind) + 4, b"skip")


def in_box(data: bytes, kind: bytes, offset: int, content: bytes) -> bytes:
    """Bytes in a box, counted from its kind's end."""
    return patched(data, box_at(data, kind) + 8 + offset, content)


def iso_media(name: str, good: Callable[[], bytes]) -> Rows:
    """Damage that AVIF and HEIC share."""
    return {
        f"{name}-zero-size": (BAD, lambda: claiming(good(), 0, 0)),
        f"{name}-zero-width": (BAD, lambda: claiming(good(), 0, 48)),
        f"{name}-huge": (f"{LARGE} {BAD}", lambda: claiming(good(), 12_000, 12_000)),
        f"{name}-huge-2**32-1": (f"{LARGE} {BAD}", lambda: claiming(good(), 2**32 - 1, 2**32 - 1)),
        f"{name}-huge-at-the-limit": (EITHER, lambda: claiming(good(), 2_000, 2_000)),
        f"{name}-size-of-another": (EITHER, lambda: claiming(good(), 32, 32)),
        **{
            f"{name}-without-{kind}": (BAD, lambda k=kind: dropped(good(), k.encode()))
            for kind in ("meta", "pitm", "iloc", "iinf", "iprp", "ispe", "ipma")
        },
        f"{name}-without-mdat": (EITHER, lambda: dropped(good(), b"mdat")),
        **{
            f"{name}-{kind}-size-{size}": (EITHER, lambda k=kind, s=size: box_size(good(), k.encode(), s))
            for kind in ("meta", "iloc", "iprp", "mdat")
            for size in (0, 1, 7, 2**32 - 1)
        },
        f"{name}-type-only": (BAD, lambda: (d := good())[: int.from_bytes(d[:4])]),
        f"{name}-type-size-zero": (EITHER, lambda: patched(good(), 0, bytes(4))),
        f"{name}-data-beyond-the-file": (BAD, lambda: (d := good())[: d.index(b"mdat") + 4]),
        f"{name}-data-of-zeros": (BAD, lambda: (d := good())[: d.index(b"mdat") + 4] + bytes(len(d))),
        f"{name}-data-of-ones": (BAD, lambda: (d := good())[: d.index(b"mdat") + 4] + b"\xff" * len(d)),
        f"{name}-item-offset-2**32-1": (
            BAD,
            lambda: good().replace(iloc_entry(good()), b"\xff\xff\xff\xff" + iloc_entry(good())[4:], 1),
        ),
        f"{name}-item-length-2**32-1": (
            BAD,
            lambda: good().replace(iloc_entry(good()), iloc_entry(good())[:4] + b"\xff" * 4, 1),
        ),
        f"{name}-primary-item-65535": (BAD, lambda: in_box(good(), b"pitm", 4, b"\xff\xff")),
        f"{name}-items-65535": (EITHER, lambda: in_box(good(), b"iinf", 4, b"\xff\xff")),
        f"{name}-cut-in-half": (BAD, lambda: (d := good())[: len(d) // 2]),
        f"{name}-bytes-behind-the-end": (SHOWN, lambda: good() + b"tail" * 999),
        f"{name}-nested-boxes": (BAD, lambda: (d := good())[: int.from_bytes(d[:4])] + nested_boxes(5_000)),
        **{
            f"{name}-bits-flipped-{seed}": (f"{EITHER} {LARGE} {OTHER} {NONE}", lambda s=seed: flipped(good(), s))
            for seed in range(6)
        },
    }


def cropped_avif(width: int, height: int, x: int, y: int) -> bytes:
    """A good AVIF with a clean aperture (clap), whose middle is (x, y) away from the picture's."""
    crop = box(b"clap", struct.pack(">IIIIiIiI", width, 1, height, 1, x, 1, y, 1))
    return with_property(good_avif(), crop)


def with_property(data: bytes, added: bytes) -> bytes:
    """One more property in ipco, that its first item has; offsets and sizes moved along."""
    properties, association = box_at(data, b"ipco"), box_at(data, b"ipma")
    end = properties + int.from_bytes(data[properties : properties + 4])
    number, at = 1, properties + 8
    while at < end:
        number, at = number + 1, at + int.from_bytes(data[at : at + 4])
    # ipma: version and flags, the number of items, then for each its id, the number of its properties, their numbers.
    count_at = association + 18
    last = count_at + 1 + data[count_at]
    moved = len(added) + 1
    data = patched(data, count_at, bytes([data[count_at] + 1]))
    for kind, growth in ((b"ipco", len(added)), (b"ipma", 1), (b"iprp", moved), (b"meta", moved)):
        at = box_at(data, kind)
        data = patched(data, at, struct.pack(">I", int.from_bytes(data[at : at + 4]) + growth))
    data_at = struct.pack(">I", box_at(data, b"mdat") + 8)
    data = data.replace(data_at, struct.pack(">I", box_at(data, b"mdat") + 8 + moved), 1)
    return data[:end] + added + data[end:last] + bytes([0x80 | number]) + data[last:]


def iloc_entry(data: bytes) -> bytes:
    """The first item's offset and length, four bytes each: they are the last eight before the next box or item."""
    at = box_at(data, b"mdat") + 8
    return data[data.index(struct.pack(">I", at)) :][:8]


def nested_boxes(depth: int) -> bytes:
    data = b""
    for _ in range(depth):
        data = box(b"meta", bytes(4) + data)
    return data


def avif_sequence(frames: int) -> bytes:
    return animation(
        [np.full((48, 64, 3), 40 * i % 255, np.uint8) for i in range(frames)], "AVIF", speed=10, max_threads=1
    )


def sequence_claiming(samples: int) -> bytes:
    """A track that tells of so many frames of one size (stsz: version, sample size, count)."""
    return in_box(avif_sequence(3), b"stsz", 4, struct.pack(">II", 1, samples))


AVIF: Rows = {
    **iso_media("avif", good_avif),
    "avif-alpha": (SHOWN, lambda: encode(ALPHA, "AVIF", speed=10)),
    "avif-with-a-type-box-of-a-megabyte": (
        EITHER,
        lambda: box(b"ftyp", b"avif" + bytes(4) + b"mif1" * 250_000) + (d := good_avif())[int.from_bytes(d[:4]) :],
    ),
    "avif-sequence": (SHOWN, lambda: avif_sequence(3)),
    "avif-sequence-of-2**32-1-frames": (f"{BAD} {LONG}", lambda: sequence_claiming(2**32 - 1)),
    "avif-sequence-of-1,001-frames": (f"{BAD} {LONG}", lambda: sequence_claiming(1_001)),
    "avif-sequence-cut": (EITHER, lambda: (d := avif_sequence(3))[: len(d) * 9 // 10]),
    "avif-sequence-without-samples": (BAD, lambda: dropped(avif_sequence(3), b"stsz")),
    "avif-cropped": (OTHER, lambda: cropped_avif(16, 16, -24, -16)),
    "avif-orientation": (SHOWN, lambda: good_avif(exif=exif(9))),
    "avif-mdat-only": (BAD, lambda: avif_type() + box(b"mdat", bytes(999))),
    "avif-100,000-free-boxes": (
        EITHER,
        lambda: (d := good_avif())[: int.from_bytes(d[:4])] + box(b"free") * 100_000 + d[int.from_bytes(d[:4]) :],
    ),
}

HEIC: Rows = {
    **iso_media("heic", good_heic),
    "heic-is-avif": (EITHER, lambda: patched(good_avif(), 8, b"heic")),
    "heic-mdat-only": (BAD, lambda: box(b"ftyp", b"heic" + bytes(4) + b"mif1heic") + box(b"mdat", bytes(999))),
}


# --- What is no image, and what is two things at once -----------------------------------------------------------------


def zip_of(name: str, content: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return buffer.getvalue()


def tar_of(name: str, content: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        entry = tarfile.TarInfo(name)
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def laughs(depth: int = 9) -> bytes:
    """Entities that name each other ten times over."""
    entities = "".join(f'<!ENTITY l{i} "{f"&l{i - 1};" * 10}">' for i in range(1, depth))
    return f'<?xml version="1.0"?><!DOCTYPE svg [<!ENTITY l0 "lol">{entities}]><svg>&l{depth - 1};</svg>'.encode()


SCRIPT = b"<script>alert(1)</script>"

OTHERS: Rows = {
    "empty": ("empty_body", lambda: b""),
    "one-byte": (NONE, lambda: b"\xff"),
    "past-the-limit-of-bytes": ("too_large", lambda: png() + bytes(LIMITS.max_bytes)),
    "at-the-limit-of-bytes": (SHOWN, lambda: (d := png()) + bytes(LIMITS.max_bytes - len(d))),
    "zeros": (NONE, lambda: bytes(100_000)),
    "noise": (NONE, lambda: b"\x07" + noise(100, 100).tobytes()),
    "text": (NONE, lambda: b"Dear Sir or Madam,\n" * 100),
    "text-utf-16": (NONE, lambda: "Dear Sir".encode("utf-16")),
    "html": (NONE, lambda: b"<!DOCTYPE html><html>" + SCRIPT),
    "xml": (NONE, lambda: b'<?xml version="1.0"?><note/>'),
    "json": (NONE, lambda: b'{"image": "yes"}'),
    "javascript": (NONE, lambda: b"alert(1)"),
    "python-pickle": (NONE, lambda: b"\x80\x04cos\nsystem\n(S'id'\ntR."),
    "program-elf": (NONE, lambda: b"\x7fELF\2\1\1" + bytes(99)),
    "program-windows": (NONE, lambda: b"MZ" + bytes(99)),
    "java-class": (NONE, lambda: b"\xca\xfe\xba\xbe" + bytes(99)),
    "font": (NONE, lambda: b"\0\1\0\0\0\x0c\0\x80" + bytes(99)),
    "font-woff": (NONE, lambda: b"wOF2" + bytes(99)),
    "sound": (NONE, lambda: b"RIFF\x24\0\0\0WAVEfmt " + bytes(99)),
    "archive-zip": (NONE, lambda: zip_of("a.png", png())),
    "archive-tar": (NONE, lambda: tar_of("a.png", png())),
    "archive-7z": (NONE, lambda: b"7z\xbc\xaf\x27\x1c" + bytes(99)),
    "archive-gzip-bomb": (OTHER, lambda: gzip.compress(bytes(10_000_000))),
    "gzip-of-a-picture": (OTHER, lambda: gzip.compress(png())),
    "video-mp4": (OTHER, lambda: box(b"ftyp", b"isom" + bytes(4) + b"isomavc1") + box(b"mdat", bytes(99))),
    "video-mp4-without-size": (OTHER, lambda: box(b"ftyp", b"mp42", size=0)),
    "video-webm": (OTHER, lambda: b"\x1a\x45\xdf\xa3" + bytes(99)),
    "video-avi": (OTHER, lambda: b"RIFF\x24\0\0\0AVI LIST" + bytes(99)),
    "svg": (OTHER, lambda: b"<svg xmlns='http://www.w3.org/2000/svg'>" + SCRIPT + b"</svg>"),
    "svg-of-a-billion-laughs": (OTHER, laughs),
    "svg-that-reads-files": (
        OTHER,
        lambda: b'<?xml version="1.0"?><!DOCTYPE svg [<!ENTITY x SYSTEM "file:///etc/passwd">]><svg>&x;</svg>',
    ),
    "svg-huge": (OTHER, lambda: b'<svg width="999999999" height="999999999"/>'),
    "svg-zero": (OTHER, lambda: b'<svg width="0" height="0"/>'),
    "pdf": (OTHER, lambda: b"%PDF-1.7\n1 0 obj<</Type/Catalog>>endobj\n%%EOF"),
    "postscript": (OTHER, lambda: b"%!PS-Adobe-3.0\n(%pipe%id) (r) file\n"),
    "postscript-encapsulated": (OTHER, lambda: b"\xc5\xd0\xd3\xc6" + bytes(99)),
    "photoshop": (OTHER, lambda: b"8BPS\0\1" + bytes(99)),
    "icon": (OTHER, lambda: encode(PICTURE, "ICO")),
    "jpeg-2000": (OTHER, lambda: encode(PICTURE, "JPEG2000")),
    "jpeg-xl": (OTHER, lambda: b"\xff\x0a" + bytes(99)),
    "ppm": (OTHER, lambda: encode(PICTURE, "PPM")),
    "tga": (f"{NONE} {OTHER}", lambda: encode(PICTURE, "TGA")),
    "dds": (OTHER, lambda: encode(PICTURE, "DDS")),
    "polyglot-gif-and-java-archive": (SHOWN, lambda: gif(filled()) + zip_of("A.class", b"\xca\xfe\xba\xbe")),
    "polyglot-gif-and-script": (
        SHOWN,
        # The screen's width and height read as "/*": the classical script in a GIF, with the comment closed behind it.
        lambda: b"GIF89a/*\x30\0\x80\0\0" + BLACK_AND_WHITE + filled(0x2A2F, 48) + b";*/=1;alert(1)",
    ),
    "polyglot-jpeg-and-html": (SHOWN, lambda: with_segments(segment(0xFE, b"<html>" + SCRIPT + b"<!--"))),
    "polyglot-jpeg-and-zip": (SHOWN, lambda: good_jpeg() + zip_of("a.txt", b"x")),
    "polyglot-jpeg-and-phar": (
        SHOWN,
        lambda: with_segments(segment(0xFE, b"<?php __HALT_COMPILER(); ?>\r\n")) + tar_of(".phar/stub.php", b"<?php"),
    ),
    "polyglot-jpeg-and-pdf": (SHOWN, lambda: with_segments(segment(0xFE, b"%PDF-1.7\n1 0 obj<<>>endobj"))),
    "polyglot-pdf-and-jpeg": (OTHER, lambda: b"%PDF-1.7\n" + good_jpeg()),
    "polyglot-png-and-zip": (SHOWN, lambda: png() + zip_of("a.txt", b"x")),
    "polyglot-png-and-php": (SHOWN, lambda: png(before=chunk(b"tEXt", b"k\0<?php system($_GET[0]); ?>"))),
    "polyglot-png-and-html": (SHOWN, lambda: png(before=chunk(b"tEXt", b"k\0" + SCRIPT))),
    "polyglot-bmp-and-script": (SHOWN, lambda: patched(bmp(), 2, b"/**/")[:6] + bmp()[6:] + b"=1;alert(1)"),
    "polyglot-zip-and-png": (NONE, lambda: zip_of("a.txt", b"x") + png()),
    "polyglot-html-and-svg": (NONE, lambda: b"<html><svg></svg></html>"),
    "polyglot-tiff-and-pdf": (SHOWN, lambda: gray_tiff() + b"%PDF-1.7\n"),
    "polyglot-webp-and-script": (SHOWN, lambda: riff(vp8()) + SCRIPT),
    "magic-of-png-with-a-gif": (BAD, lambda: PNG_SIGNATURE + gif(filled())),
    "magic-of-gif-with-a-png": (BAD, lambda: b"GIF89a" + png()),
    "magic-of-tiff-with-noise": (BAD, lambda: b"II*\0" + noise(20, 20).tobytes()),
    "magic-of-webp-with-a-jpeg": (BAD, lambda: b"RIFF\xff\xff\0\0WEBP" + good_jpeg()),
    "magic-of-bmp-with-noise": (f"{BAD} {LARGE}", lambda: b"BM" + bytes(12) + b"\x28\0\0\0" + noise(20, 20).tobytes()),
    "magic-of-avif-with-noise": (BAD, lambda: avif_type() + noise(20, 20).tobytes()),
    "magic-of-heic-with-noise": (BAD, lambda: avif_type(b"heic") + noise(20, 20).tobytes()),
}


FORMATS: Mapping[str, Rows] = {
    "png": PNG,
    "jpeg": JPEG,
    "gif": GIF,
    "bmp": BMP,
    "tiff": TIFF,
    "webp": WEBP,
    "avif": AVIF,
    "heic": HEIC,
    "others": OTHERS,
}
HOSTILE = {
    name: Hostile(frozenset(ends.split()), build) for rows in FORMATS.values() for name, (ends, build) in rows.items()
}


# --- Truncations ------------------------------------------------------------------------------------------------------


def small_files() -> dict[str, bytes]:
    """Good files, some variants of each format."""
    gray = PICTURE[:, :, 0]
    few = [noise(24, 16, seed=i) for i in range(3)]
    return {
        "jpeg": good_jpeg(),
        "jpeg-progressive": good_jpeg(progressive=True),
        "jpeg-gray": encode(gray, "JPEG"),
        "jpeg-cmyk": good_jpeg("CMYK"),
        "jpeg-restarts": good_jpeg(restart_marker_blocks=2),
        "jpeg-exif-and-icc": with_segments(exif_segment(exif()), icc((1, 1, bytes(200)))),
        "png": encode(PICTURE, "PNG"),
        "png-interlaced": png(61, 43, methods=(0, 0, 1)),
        "png-palette": encode(Image.fromarray(PICTURE).convert("P"), "PNG"),
        "png-16-bit": encode(Image.fromarray(gray.astype(np.uint16) * 257), "PNG"),
        "png-alpha": encode(ALPHA, "PNG"),
        "apng": animation(few, "PNG"),
        "webp": encode(PICTURE, "WEBP"),
        "webp-lossless": encode(PICTURE, "WEBP", lossless=True),
        "webp-alpha": encode(ALPHA, "WEBP"),
        "webp-animation": animation(few, "WEBP"),
        "gif": encode(PICTURE, "GIF"),
        "gif-animation": animation(few),
        "bmp": bmp(),
        "bmp-palette": bmp(64, 48, 8, table=FULL_TABLE),
        "bmp-fields": bmp(64, 48, 32, header=108, compression=3, masks=MASKS_8888),
        "bmp-os2": bmp(header=12),
        "tiff": encode(PICTURE, "TIFF"),
        "tiff-big-endian": gray_tiff(order=">"),
        "bigtiff": gray_tiff(big=True),
        "tiff-lzw": encode(PICTURE, "TIFF", compression="tiff_lzw"),
        "tiff-deflate": encode(PICTURE, "TIFF", compression="tiff_adobe_deflate"),
        "tiff-jpeg": encode(PICTURE, "TIFF", compression="jpeg"),
        "tiff-tiled": gray_tiff(
            {
                STRIP_OFFSETS: None,
                STRIP_BYTES: None,
                ROWS: None,
                TILE_WIDTH: (LONG_INT, [32]),
                TILE_HEIGHT: (LONG_INT, [48]),
                TILE_OFFSETS: (LONG_INT, [DATA_AT, DATA_AT]),
                TILE_BYTES: (LONG_INT, [1_536, 1_536]),
            }
        ),
        "tiff-pages": pages(4),
        "avif": good_avif(),
        "avif-alpha": encode(ALPHA, "AVIF", speed=10),
        "avif-sequence": avif_sequence(3),
        "heic": good_heic(),
        "heic-alpha": (DATA / "gradient-half-transparent-96x64.heic").read_bytes(),
    }


HEADER_CUTS, DATA_CUTS = 40, 24


def truncations() -> Iterator[tuple[str, bytes]]:
    """The name of a file and where it is cut, and what is left: each of the first bytes, then evenly up to the last."""
    for name, data in small_files().items():
        rest = np.linspace(HEADER_CUTS, len(data) - 1, DATA_CUTS).astype(int).tolist()
        for at in sorted({*range(HEADER_CUTS), *rest}):
            yield f"{name}-cut-at-{at}", data[:at]
