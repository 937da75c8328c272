"""Good small files of every format, and what is left of each when it is cut."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from pictures import animation, encode, noise
from PIL import Image

from hostile.avif import avif_sequence, good_avif
from hostile.bmp import FULL_TABLE, MASKS_8888, bmp
from hostile.damage import ALPHA, PICTURE
from hostile.directories import LONG_INT, ROWS, STRIP_BYTES, TILE_BYTES, exif
from hostile.heic import good_heic
from hostile.jpeg import exif_segment, good_jpeg, icc, with_segments
from hostile.png import png
from hostile.tiff import gray_tiff, pages, tiles

HEADER_CUTS, DATA_CUTS = 40, 24


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
            {**tiles(32, 48, 2), STRIP_BYTES: None, ROWS: None, TILE_BYTES: (LONG_INT, [1_536, 1_536])}
        ),
        "tiff-pages": pages(4),
        "avif": good_avif(),
        "avif-alpha": encode(ALPHA, "AVIF", speed=10),
        "avif-sequence": avif_sequence(3),
        "heic": good_heic(),
        "heic-alpha": good_heic("gradient-half-transparent-96x64.heic"),
    }


def truncations() -> Iterator[tuple[str, bytes]]:
    """The name of a file and where it is cut, and what is left: each of the first bytes, then evenly up to the last."""
    for name, data in small_files().items():
        rest = np.linspace(HEADER_CUTS, len(data) - 1, DATA_CUTS).astype(int).tolist()
        for at in sorted({*range(HEADER_CUTS), *rest}):
            yield f"{name}-cut-at-{at}", data[:at]
