"""Hostile BMP files. Source: Microsoft, BITMAPINFOHEADER and its kin."""

from __future__ import annotations

import struct

from hostile.damage import flips, half, patched
from hostile.ends import BAD, EITHER, LARGE, NONE, OTHER, SHOWN, Rows


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
    """A right BMP but for what is given; a `header` of 12 bytes is OS/2's."""
    if header == 12:
        head = struct.pack("<IHHHH", header, width, height, 1, bits)
    else:
        fields = (header, width, height, 1, bits, compression, 0, 0, 0, colours, 0)
        head = (struct.pack("<IiiHHIIIIII", *fields) + struct.pack(f"<{len(masks)}I", *masks)).ljust(header, b"\0")
    if data is None:
        data = b"\x55" * ((width * bits + 31) // 32 * 4 * abs(height))
    at = 14 + len(head) + len(table) if data_at is None else data_at
    size = 14 + len(head) + len(table) + len(data)
    return b"BM" + struct.pack("<IHHI", size, 0, 0, at) + head + table + data


def bmp_table(*colours: tuple[int, int, int]) -> bytes:
    return b"".join(bytes([blue, green, red, 0]) for red, green, blue in colours)


FULL_TABLE = bmp_table(*((i, 255 - i, i // 2) for i in range(256)))
MASKS_565 = (0xF800, 0x7E0, 0x1F)
MASKS_888 = (0xFF0000, 0xFF00, 0xFF)
MASKS_8888 = (*MASKS_888, 0xFF000000)

FILES: Rows = {
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
    **{f"bmp-bits-{bits}": (SHOWN, lambda b=bits: bmp(64, 48, b)) for bits in (16, 32)},  # 24 are those of the headers
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
    "bmp-cut-in-half": (BAD, lambda: half(bmp())),
    **flips("bmp", f"{EITHER} {LARGE}", lambda: bmp(16, 8), range(14, 18), bits=3),
}
