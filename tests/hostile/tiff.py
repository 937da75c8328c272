"""Hostile TIFF files. Sources: TIFF 6.0, BigTIFF."""

from __future__ import annotations

import struct
from collections.abc import Mapping

import numpy as np
from pictures import encode

from hostile.damage import PICTURE, flips, half, patched
from hostile.directories import (
    ASCII,
    BITS,
    BYTE,
    COLOUR_MAP,
    COMPRESSION,
    DATA_AT,
    EXIF_IFD,
    FILL_ORDER,
    HEIGHT,
    JPEG_AT,
    JPEG_BYTES,
    LONG8,
    LONG_INT,
    ORIENTATION,
    PHOTOMETRIC,
    PLANAR,
    ROWS,
    SAMPLE_FORMAT,
    SAMPLES,
    SHORT,
    STRIP_BYTES,
    STRIP_OFFSETS,
    SUB_IFDS,
    TILE_BYTES,
    TILE_HEIGHT,
    TILE_OFFSETS,
    TILE_WIDTH,
    WIDTH,
    Tag,
    directory,
    tiff,
)
from hostile.ends import BAD, EITHER, LARGE, LONG, OTHER, SHOWN, Rows
from hostile.jpeg import jpeg_claiming
from hostile.streams import packbits, tiff_lzw, zeros


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


def compressed_tiff(
    compression: int, data: bytes, width: int = 64, height: int = 48, changes: Mapping[int, Tag] | None = None
) -> bytes:
    """`compression` is the tag's number: 5 is LZW, 7 JPEG, 8 deflate."""
    return tiff({**gray_page(width, height, compression, len(data)), **(changes or {})}, data)


def tiles(width: int, height: int, count: int) -> dict[int, Tag | None]:
    """The tags of tiles that all hold the same data, instead of a strip."""
    return {
        STRIP_OFFSETS: None,
        TILE_WIDTH: (LONG_INT, [width]),
        TILE_HEIGHT: (LONG_INT, [height]),
        TILE_OFFSETS: (LONG_INT, [DATA_AT] * count),
    }


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


def gray_jpeg() -> bytes:
    return encode(np.full((48, 64), 99, np.uint8), "JPEG")


# Red, green and blue apart.
PLANES = {BITS: (SHORT, [8, 8, 8]), PHOTOMETRIC: (SHORT, [2]), SAMPLES: (SHORT, [3]), PLANAR: (SHORT, [2])}
FLIPPED_ENDS = f"{EITHER} {LARGE} {OTHER} {LONG}"

FILES: Rows = {
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
        EITHER,
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
    "tiff-exif-directory-loops": (SHOWN, lambda: gray_tiff({EXIF_IFD: (LONG_INT, [8])})),
    "tiff-bits-65535": (BAD, lambda: gray_tiff({BITS: (SHORT, [65535])})),
    "tiff-bits-zero": (BAD, lambda: gray_tiff({BITS: (SHORT, [0])})),
    "tiff-bits-of-10,000-samples": (BAD, lambda: gray_tiff({BITS: (SHORT, [8] * 10_000), SAMPLES: (SHORT, [10_000])})),
    "tiff-samples-65535": (BAD, lambda: gray_tiff({SAMPLES: (SHORT, [65535])})),
    "tiff-samples-zero": (BAD, lambda: gray_tiff({SAMPLES: (SHORT, [0])})),
    "tiff-photometric-65535": (BAD, lambda: gray_tiff({PHOTOMETRIC: (SHORT, [65535])})),
    "tiff-compression-unknown": (BAD, lambda: gray_tiff({COMPRESSION: (SHORT, [4_242])})),
    "tiff-float": (OTHER, lambda: gray_tiff({BITS: (SHORT, [32]), SAMPLE_FORMAT: (SHORT, [3])}, bytes(64 * 48 * 4))),
    "tiff-float-of-none": (
        OTHER,
        lambda: gray_tiff({BITS: (SHORT, [32]), SAMPLE_FORMAT: (SHORT, [3])}, b"\xff" * 64 * 48 * 4),
    ),
    "tiff-64-bit-float": (
        f"{OTHER} {BAD}",
        lambda: gray_tiff({BITS: (SHORT, [64]), SAMPLE_FORMAT: (SHORT, [3])}, bytes(24_576)),
    ),
    "tiff-palette-missing": (BAD, lambda: gray_tiff({PHOTOMETRIC: (SHORT, [3])})),
    "tiff-palette-short": (BAD, lambda: gray_tiff({PHOTOMETRIC: (SHORT, [3]), COLOUR_MAP: (SHORT, [9] * 30)})),
    "tiff-planar": (
        SHOWN,
        lambda: gray_tiff({**PLANES, STRIP_OFFSETS: (LONG_INT, [DATA_AT] * 3), STRIP_BYTES: (LONG_INT, [3_072] * 3)}),
    ),
    "tiff-planar-of-one-plane": (EITHER, lambda: gray_tiff(PLANES)),
    "tiff-fill-order-reversed": (SHOWN, lambda: gray_tiff({FILL_ORDER: (SHORT, [2])})),
    "tiff-orientation-0": (SHOWN, lambda: gray_tiff({ORIENTATION: (SHORT, [0])})),
    "tiff-orientation-65535": (SHOWN, lambda: gray_tiff({ORIENTATION: (SHORT, [65535])})),
    "tiff-tiles-of-zero": (BAD, lambda: gray_tiff(tiles(0, 0, 9))),
    "tiff-tiles-huge": (EITHER, lambda: gray_tiff(tiles(2**31, 2**31, 1))),
    "tiff-deflate-bomb": (EITHER, lambda: compressed_tiff(8, zeros(50))),
    "tiff-deflate-of-4-mp": (SHOWN, lambda: compressed_tiff(8, zeros(4), 2_000, 2_000)),
    "tiff-deflate-tiles-of-a-gigapixel": (
        BAD,
        lambda: compressed_tiff(
            8,
            zeros(50),
            changes={
                **tiles(32_768, 32_768, 1),
                STRIP_OFFSETS: (BYTE, [0]),
                TILE_BYTES: (LONG_INT, [50_000]),
            },
        ),
    ),
    "tiff-deflate-garbage": (BAD, lambda: compressed_tiff(8, b"\xaa" * 900)),
    "tiff-lzw-bomb": (EITHER, lambda: compressed_tiff(5, tiff_lzw(4))),
    "tiff-lzw-garbage": (EITHER, lambda: compressed_tiff(5, b"\xaa" * 900)),
    "tiff-packbits-bomb": (EITHER, lambda: compressed_tiff(32773, packbits(100_000))),
    "tiff-packbits-of-4-mp": (EITHER, lambda: compressed_tiff(32773, packbits(31_250), 2_000, 2_000)),
    "tiff-packbits-short": (BAD, lambda: compressed_tiff(32773, packbits(5))),
    **{
        f"tiff-fax-{compression}": (
            EITHER,
            lambda c=compression: compressed_tiff(c, b"\x35" * 500, changes={BITS: (SHORT, [1])}),
        )
        for compression in (2, 3, 4)
    },
    "tiff-jpeg": (EITHER, lambda: compressed_tiff(7, gray_jpeg())),
    "tiff-jpeg-of-another-size": (EITHER, lambda: compressed_tiff(7, jpeg_claiming(60_000, 60_000))),
    "tiff-jpeg-garbage": (BAD, lambda: compressed_tiff(7, b"\xff\xd8" + b"\xaa" * 900)),
    "tiff-old-jpeg": (
        EITHER,
        lambda: compressed_tiff(
            6,
            (data := encode(PICTURE, "JPEG")),
            changes={JPEG_AT: (LONG_INT, [DATA_AT]), JPEG_BYTES: (LONG_INT, [len(data)])},
        ),
    ),
    "tiff-old-jpeg-beyond-the-file": (
        BAD,
        lambda: compressed_tiff(6, b"", changes={JPEG_AT: (LONG_INT, [2**31]), JPEG_BYTES: (LONG_INT, [9])}),
    ),
    "tiff-webp-inside": (EITHER, lambda: compressed_tiff(50001, encode(PICTURE, "WEBP"))),
    "tiff-lzma-garbage": (BAD, lambda: compressed_tiff(34925, b"\xfd7zXZ\0" + bytes(90))),
    "tiff-zstd-garbage": (BAD, lambda: compressed_tiff(50000, b"\x28\xb5\x2f\xfd" + bytes(90))),
    "tiff-header-only": (BAD, lambda: b"II*\0"),
    "tiff-cut-in-half": (BAD, lambda: half(gray_tiff())),
    **flips("tiff-plain", FLIPPED_ENDS, lambda: encode(PICTURE, "TIFF"), range(3)),
    **flips("tiff-lzw", FLIPPED_ENDS, lambda: encode(PICTURE, "TIFF", compression="tiff_lzw"), range(3)),
    **flips("tiff-jpeg", FLIPPED_ENDS, lambda: encode(PICTURE, "TIFF", compression="jpeg"), range(3)),
}
