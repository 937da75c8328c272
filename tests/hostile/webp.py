"""Hostile WebP files. Source: RFC 9649."""

from __future__ import annotations

import struct
from functools import cache

import numpy as np
from pictures import encode, gradient, noise

from hostile.damage import ALPHA, PICTURE, flips, half, patched
from hostile.directories import nested_exif
from hostile.ends import BAD, EITHER, LARGE, LONG, SHOWN, Rows
from hostile.streams import Bits

Chunk = tuple[bytes, bytes]  # its kind and its content


def riff(*chunks: Chunk, length: int | None = None) -> bytes:
    body = b"WEBP" + b"".join(written(chunk) for chunk in chunks)
    return b"RIFF" + struct.pack("<I", len(body) if length is None else length) + body


def written(chunk: Chunk) -> bytes:
    kind, content = chunk
    return kind + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)


def vp8x(width: int, height: int, flags: int = 0) -> Chunk:
    """Flags: 0x02 animation, 0x04 XMP, 0x08 EXIF, 0x10 alpha, 0x20 ICC."""
    return b"VP8X", struct.pack("<I", flags) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")


def vp8l(width: int, height: int, *, codes: bool = True) -> Chunk:
    """A lossless picture of one colour: five codes of one symbol each, and no bits for the pixels (3.7)."""
    bits = Bits()
    for value, count in ((0x2F, 8), (width - 1, 14), (height - 1, 14), (0, 1), (0, 3), (0, 1), (0, 1), (0, 1)):
        bits.add(value, count)
    for level in (0x80, 0x80, 0x80, 0xFF, 0) if codes else ():
        for value, count in ((1, 1), (0, 1), (1, 1), (level, 8)):
            bits.add(value, count)
    return b"VP8L", bits.done()


def vp8l_of(picture: np.ndarray) -> Chunk:
    return b"VP8L", encode(picture, "WEBP", lossless=True)[20:]


def without_alpha_flag(data: bytes) -> bytes:
    """A lossless file less its bit alpha_is_used (3.4), which stands behind the signature and 28 bits of size."""
    return patched(data, 24, bytes([data[24] & 0xEF]))


@cache
def vp8(width: int = 64, height: int = 48) -> Chunk:
    """A good lossy picture's chunk."""
    data = encode(gradient(width, height), "WEBP", quality=50)
    size = int.from_bytes(data[16:20], "little")
    return data[12:16], data[20 : 20 + size]


def vp8_claiming(width: int, height: int) -> Chunk:
    """The 14 bits of each side stand behind the start code (RFC 6386, 9.1)."""
    kind, content = vp8()
    return kind, patched(content, 6, struct.pack("<HH", width, height))


def anmf(picture: Chunk, width: int, height: int, x: int = 0, y: int = 0, flags: int = 0) -> Chunk:
    head = b"".join(n.to_bytes(3, "little") for n in (x // 2, y // 2, width - 1, height - 1, 100)) + bytes([flags])
    return b"ANMF", head + written(picture)


ANIM = (b"ANIM", bytes(6))


def animated_webp(*frames: Chunk, width: int = 64, height: int = 48) -> bytes:
    return riff(vp8x(width, height, 0x02), ANIM, *frames)


FILES: Rows = {
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
    "webp-lossless-denies-its-transparency": (BAD, lambda: without_alpha_flag(encode(ALPHA, "WEBP", lossless=True))),
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
    "webp-cut-in-half": (BAD, lambda: half(encode(noise(64, 48), "WEBP"))),
    **flips("webp-lossy", f"{EITHER} {LARGE}", lambda: encode(PICTURE, "WEBP"), range(3)),
    **flips("webp-lossless", f"{EITHER} {LARGE}", lambda: encode(PICTURE, "WEBP", lossless=True), range(3)),
}
