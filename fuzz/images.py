"""The files that decoders are fuzzed from, one of each kind that Pillow writes, and how they are changed."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from random import Random

import atheris
import harness
import numpy as np
from pictures import animation, encode, gradient, noise
from PIL import Image

SIDE = (12, 9)
SIGNATURE_BYTES = 12


def seeds() -> list[bytes]:
    return [*_stills(), *_animations(), *_heics()]


def _stills() -> Iterator[bytes]:
    rgb = Image.fromarray(gradient(*SIDE))
    clear = Image.fromarray(np.dstack([gradient(*SIDE), noise(*SIDE)[:, :, 0]]))
    sixteen = Image.fromarray(gradient(*SIDE)[:, :, 0].astype(np.uint16) * 257)
    turned = Image.Exif()
    turned[0x0112] = 6
    for mode in ("RGB", "L", "CMYK"):
        yield encode(rgb.convert(mode), "JPEG", exif=turned)
        yield encode(rgb.convert(mode), "JPEG", progressive=True, subsampling=0)
    for picture in (rgb, clear, sixteen, rgb.convert("L"), rgb.convert("1"), rgb.convert("P"), clear.convert("LA")):
        yield encode(picture, "PNG")
        yield encode(picture, "TIFF")
    yield encode(rgb.convert("P"), "PNG", transparency=3)
    for picture in (rgb, rgb.convert("L"), rgb.convert("1"), rgb.convert("P"), clear):
        yield encode(picture, "BMP")
    for compression in ("tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg"):
        yield encode(rgb, "TIFF", compression=compression)
    for compression in ("group3", "group4"):
        yield encode(rgb.convert("1"), "TIFF", compression=compression)
    yield encode(rgb, "TIFF", big_tiff=True)
    for picture in (rgb, clear):
        yield encode(picture, "WEBP", lossless=True)
        yield encode(picture, "WEBP", exif=turned)
        yield encode(picture, "AVIF", quality=60)
        yield encode(picture.convert("P"), "GIF", interlace=1)


def _animations() -> Iterator[bytes]:
    frames = [noise(*SIDE, seed=number) for number in range(3)]
    yield animation(frames)
    yield animation(frames, disposal=2, loop=0)
    for kind in ("PNG", "WEBP", "TIFF", "AVIF"):
        yield animation(frames, kind)


def _heics() -> Iterator[bytes]:
    for path in sorted((harness.TESTS / "data").glob("*.heic")):
        yield path.read_bytes()


def keep_signature(data: bytes, max_size: int, seed: int) -> bytes:
    """The fuzzer's own change, mostly behind the first bytes: what is no image of a known kind is refused at once."""
    dice = Random(seed)
    if len(data) <= SIGNATURE_BYTES or dice.random() < 0.05:
        return atheris.Mutate(data, max_size)
    changed = data[:SIGNATURE_BYTES] + atheris.Mutate(data[SIGNATURE_BYTES:], max_size - SIGNATURE_BYTES)
    return _with_right_sums(changed) if changed.startswith(b"\x89PNG") and dice.random() < 0.8 else changed


def _with_right_sums(png: bytes) -> bytes:
    """A chunk whose check sum is wrong is looked at no further."""
    parts, position = [png[:8]], 8
    while position + 12 <= len(png):
        end = position + 8 + int.from_bytes(png[position : position + 4])
        parts += [png[position:end], zlib.crc32(png[position + 4 : end]).to_bytes(4)]
        position = end + 4
    return b"".join(parts)[: len(png)]
