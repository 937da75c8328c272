"""Hostile GIF files. Source: GIF89a specification."""

from __future__ import annotations

import struct

from pictures import animation, encode, noise

from hostile.damage import PICTURE, flips, half
from hostile.ends import BAD, EITHER, LARGE, LONG, SHOWN, Rows
from hostile.streams import gif_lzw, gif_lzw_run


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


def filled(width: int = 64, height: int = 48, **options: int) -> bytes:
    """An image of one colour, of any size, in few bytes."""
    return gif_image(gif_lzw_run(width * height), width, height, **options)


def gif_frames(count: int, width: int = 16, height: int = 16) -> bytes:
    return gif(filled(width, height) * count, width=width, height=height)


FILES: Rows = {
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
    "gif-cut-in-half": (BAD, lambda: half(encode(PICTURE, "GIF"))),
    **flips("gif", f"{EITHER} {LARGE}", lambda: animation([noise(64, 48, seed=0), noise(64, 48, seed=1)]), range(6)),
}
