"""Hostile AVIF files. Source: the AVIF specification."""

from __future__ import annotations

import struct
from functools import cache

import numpy as np
from pictures import animation, encode

from hostile.boxes import box, damaged_boxes, dropped, in_box, type_box, with_property
from hostile.damage import ALPHA, PICTURE
from hostile.directories import exif
from hostile.ends import BAD, EITHER, LONG, OTHER, SHOWN, Rows


def avif_type(brand: bytes = b"avif") -> bytes:
    return box(b"ftyp", brand + bytes(4) + b"avifmif1miaf")


@cache
def good_avif(**options: object) -> bytes:
    return encode(PICTURE, "AVIF", speed=10, max_threads=1, **options)


def cropped_avif(width: int, height: int, x: int, y: int) -> bytes:
    """A good AVIF with a clean aperture (clap), whose middle is (x, y) away from the picture's."""
    crop = box(b"clap", struct.pack(">IIIIiIiI", width, 1, height, 1, x, 1, y, 1))
    return with_property(good_avif(), crop)


def behind_type(data: bytes) -> bytes:
    return data[len(type_box(data)) :]


def avif_sequence(frames: int) -> bytes:
    return animation(
        [np.full((48, 64, 3), 40 * i % 255, np.uint8) for i in range(frames)], "AVIF", speed=10, max_threads=1
    )


def sequence_claiming(samples: int) -> bytes:
    """A track that tells of so many frames of one size (stsz: version, sample size, count)."""
    return in_box(avif_sequence(3), b"stsz", 4, struct.pack(">II", 1, samples))


FILES: Rows = {
    **damaged_boxes("avif", good_avif),
    "avif-alpha": (SHOWN, lambda: encode(ALPHA, "AVIF", speed=10)),
    "avif-with-a-type-box-of-a-megabyte": (
        EITHER,
        lambda: box(b"ftyp", b"avif" + bytes(4) + b"mif1" * 250_000) + behind_type(good_avif()),
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
        lambda: type_box(good_avif()) + box(b"free") * 100_000 + behind_type(good_avif()),
    ),
}
