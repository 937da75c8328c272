"""Compressed data that swells, and data packed code by code, as no packer would write it."""

from __future__ import annotations

import zlib
from functools import cache


class Bits:
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


@cache
def zeros(megabytes: int) -> bytes:
    """A zlib stream that swells a thousandfold."""
    return zlib.compress(bytes(megabytes << 20), 9)


def packbits(runs: int) -> bytes:
    """`runs` times 128 bytes of zero."""
    return b"\x81\0" * runs


def tiff_lzw(runs: int) -> bytes:
    """TIFF's LZW: clear, a zero, then ever longer runs of zeros up to the end of the table, then clear again."""
    bits = Bits(msb_first=True)
    for _ in range(runs):
        bits.add(256, 9)
        bits.add(0, 9)
        for code in range(258, 4093):
            # TIFF 6.0, page 60: the width grows one code early.
            bits.add(code, 9 if code < 511 else 10 if code < 1023 else 11 if code < 2047 else 12)
    return bits.done()


@cache
def gif_lzw(pixels: bytes, code_size: int = 2) -> bytes:
    """Each pixel as itself, the table cleared before the codes grow: what any decoder reads."""
    bits, clear = Bits(), 1 << code_size
    for i, pixel in enumerate(pixels):
        if i % (clear - 2) == 0:
            bits.add(clear, code_size + 1)
        bits.add(pixel, code_size + 1)
    bits.add(clear + 1, code_size + 1)
    return bits.done()


@cache
def gif_lzw_run(pixels: int) -> bytes:
    """So many zeros, as few codes as there can be: each names the run that is one longer than the last."""
    bits, clear, width = Bits(), 4, 3
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
