"""Hostile JPEG files. Source: ITU-T T.81."""

from __future__ import annotations

import struct
from functools import cache

from pictures import encode
from PIL import Image
from profiles import SWAPPED, lut_profile

from hostile.damage import PICTURE, flips, half, patched
from hostile.directories import (
    ASCII,
    LONG_INT,
    RATIONAL,
    RESOLUTION_UNIT,
    SHORT,
    X_RESOLUTION,
    exif,
    looping_exif,
    nested_exif,
    tiff,
)
from hostile.ends import BAD, EITHER, LARGE, SHOWN, Rows


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


FILES: Rows = {
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
            exif_segment(tiff({X_RESOLUTION: (RATIONAL, [1, 0]), RESOLUTION_UNIT: (SHORT, [2])})),
            data=without(good_jpeg(), 0xE0),
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
        lambda: patched(multi_picture(), multi_picture().index(b"MPF\0") + 8, b"\xff" * 40),
    ),
    "jpeg-picture-list-of-garbage": (
        SHOWN,
        lambda: with_segments(segment(0xE2, b"MPF\0II*\0\xff\xff\xff\xff" + b"\xff" * 99)),
    ),
    "jpeg-cut-in-half": (BAD, lambda: half(good_jpeg())),
    **flips("jpeg", f"{EITHER} {LARGE}", good_jpeg, range(6)),
    **flips("jpeg-progressive", f"{EITHER} {LARGE}", lambda: good_jpeg(progressive=True), range(4)),
}
