"""Hostile PNG files that stand still. Source: PNG specification, third edition."""

from __future__ import annotations

import struct
import zlib

from pictures import encode, noise
from profiles import D50, SWAPPED, curve, matrix_profile, xyz
from profiles import profile as profile_of

from hostile.damage import PICTURE, flips, half, patched
from hostile.directories import exif
from hostile.ends import BAD, EITHER, LARGE, SHOWN, Rows
from hostile.streams import zeros

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


def adam7_rows(width: int, height: int, depth: int = 8, colour: int = RGB, level: int = 0x55) -> bytes:
    """The seven passes, of which the empty ones have no rows (8.1)."""
    starts = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
    sizes = [((width - x + dx - 1) // dx, (height - y + dy - 1) // dy) for x, y, dx, dy in starts]
    return b"".join(png_rows(w, h, depth, colour, level) for w, h in sizes if w > 0 and h > 0)


def packed(rows: bytes) -> bytes:
    """The rows, in one chunk."""
    return chunk(b"IDAT", zlib.compress(rows))


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
    """A right PNG but for what is given: chunks before the data, the chunks of data, chunks behind."""
    if idat is None:
        rows = adam7_rows if methods[2] == 1 else png_rows
        idat = packed(rows(width, height, depth, colour, level))
    return PNG_SIGNATURE + ihdr(width, height, depth, colour, methods) + before + idat + after + chunk(b"IEND")


def png_claiming(width: int, height: int) -> bytes:
    """A size, and the data of one short row."""
    return png(width, height, idat=packed(bytes(100)))


def with_header(header: bytes) -> bytes:
    """A right PNG but for what stands in its header's place."""
    return PNG_SIGNATURE + header + png()[len(PNG_SIGNATURE) + len(ihdr(64, 48)) :]


def palette(*colours: tuple[int, int, int]) -> bytes:
    return chunk(b"PLTE", bytes(level for colour in colours for level in colour))


def iccp(profile: bytes) -> bytes:
    return chunk(b"iCCP", b"p\0\0" + zlib.compress(profile))


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


TWO_COLOURS = palette((255, 255, 255), (0, 0, 0))

FILES: Rows = {
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
    "png-profile-swells-to-50-mb": (BAD, lambda: png(before=chunk(b"iCCP", b"p\0\0" + zeros(50)))),
    "png-text-swells-to-50-mb": (BAD, lambda: png(before=chunk(b"zTXt", b"k\0\0" + zeros(50)))),
    "png-international-text-swells-to-50-mb": (BAD, lambda: png(before=chunk(b"iTXt", b"k\0\1\0\0\0" + zeros(50)))),
    "png-texts-swell-to-100-mb-together": (BAD, lambda: png(before=chunk(b"zTXt", b"k\0\0" + zeros(1)[:-4]) * 100)),
    "png-text-behind-the-data-swells": (EITHER, lambda: png(after=chunk(b"zTXt", b"k\0\0" + zeros(50)))),
    "png-profile-of-garbage": (SHOWN, lambda: png(before=chunk(b"iCCP", b"p\0\0" + b"garbage" * 9))),
    "png-profile-without-end-of-name": (EITHER, lambda: png(before=chunk(b"iCCP", b"p" * 80))),
    "png-profile-of-60000-levels": (EITHER, lambda: png(before=iccp(matrix_profile(curve(*range(60_000)))))),
    "png-profile-of-3-mb": (BAD, lambda: png(before=iccp(SWAPPED + bytes(3_000_000)))),
    "png-profile-claims-a-million-tags": (SHOWN, lambda: png(before=iccp(patched(SWAPPED, 128, b"\0\x0f\x42\x40")))),
    "png-profile-of-itself-in-every-tag": (SHOWN, lambda: png(before=iccp(all_tags_at(SWAPPED, 0)))),
    "png-profile-of-ten-thousand-steps": (SHOWN, lambda: png(before=iccp(many_elements(10_000)))),
    "png-primaries-without-height": (
        SHOWN,
        lambda: png(before=chunk(b"gAMA", bytes([0, 1, 134, 160])) + chunk(b"cHRM", bytes(32))),
    ),
    "png-gamma-tiny-and-primaries-huge": (
        SHOWN,
        lambda: png(before=chunk(b"gAMA", b"\0\0\0\1") + chunk(b"cHRM", b"\xff" * 32)),
    ),
    "png-profile-empty": (EITHER, lambda: png(before=chunk(b"iCCP"))),
    "png-header-crc-wrong": (BAD, lambda: with_header(chunk(b"IHDR", ihdr(64, 48)[8:-4], crc=7))),
    "png-data-crc-wrong": (EITHER, lambda: png(idat=chunk(b"IDAT", zlib.compress(png_rows(64, 48)), crc=7))),
    "png-data-checksum-wrong": (
        EITHER,
        lambda: png(idat=chunk(b"IDAT", zlib.compress(png_rows(64, 48))[:-4] + b"abcd")),
    ),
    "png-header-missing": (BAD, lambda: with_header(b"")),
    "png-header-short": (BAD, lambda: with_header(chunk(b"IHDR", ihdr(64, 48)[8:20]))),
    "png-header-long": (BAD, lambda: with_header(chunk(b"IHDR", ihdr(64, 48)[8:21] + b"\0"))),
    "png-header-twice": (BAD, lambda: png(before=ihdr(64, 48))),
    "png-header-not-first": (BAD, lambda: PNG_SIGNATURE + chunk(b"tEXt", b"k\0v") + png()[8:]),
    "png-signature-only": (BAD, lambda: PNG_SIGNATURE),
    "png-end-only": (BAD, lambda: PNG_SIGNATURE + chunk(b"IEND")),
    "png-data-missing": (BAD, lambda: png(idat=b"")),
    "png-data-empty": (BAD, lambda: png(idat=chunk(b"IDAT"))),
    "png-data-empty-a-100,000-times": (BAD, lambda: png(idat=chunk(b"IDAT") * 100_000)),
    "png-data-garbage": (BAD, lambda: png(idat=chunk(b"IDAT", b"\xaa" * 500))),
    "png-data-half": (BAD, lambda: png(idat=packed(png_rows(64, 24)))),
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
            lambda d=depth, c=colour: with_header(ihdr(64, 48, d, c)),
        )
        for depth, colour in ((3, GRAY), (0, RGB), (16, INDEXED), (8, 1), (8, 5), (8, 255), (255, RGBA))
    },
    "png-interlaced-1x1": (SHOWN, lambda: png(1, 1, methods=(0, 0, 1))),
    "png-interlaced-short-of-a-pass": (BAD, lambda: png(methods=(0, 0, 1), idat=packed(bytes(50)))),
    "png-interlaced-short-of-its-last-pass": (
        BAD,
        lambda: png(61, 43, methods=(0, 0, 1), idat=packed(adam7_rows(61, 43)[: -21 * 184])),
    ),
    "png-interlace-method-2": (BAD, lambda: png(methods=(0, 0, 2), idat=packed(adam7_rows(64, 48)))),
    "png-compression-method-1": (BAD, lambda: png(methods=(1, 0, 0))),
    "png-filter-method-1": (BAD, lambda: png(methods=(0, 1, 0))),
    "png-row-filter-5": (BAD, lambda: png(idat=packed((b"\5" + bytes(192)) * 48))),
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
    "png-cut-in-half": (BAD, lambda: half(encode(noise(64, 48), "PNG"))),
    "png-jpeg-inside": (BAD, lambda: PNG_SIGNATURE + encode(PICTURE, "JPEG")),
}
FLIPPED = flips("png", EITHER, lambda: encode(PICTURE, "PNG"), range(4))
