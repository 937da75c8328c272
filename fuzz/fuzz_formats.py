"""Telling a format and walking over its blocks ends for any bytes, within its limit, in an answer or an error with a name."""

from __future__ import annotations

import atheris
from harness import check, fuzz
from images import keep_signature, seeds

with atheris.instrument_imports(include=["demure"]):
    from demure.decoding.animation import Part, gif_parts, png_parts
    from demure.decoding.formats import Format, sniff
    from demure.decoding.structure import (
        check_avif,
        check_bmp,
        check_png,
        count_jpeg_scans,
        png_chunks,
        walk_gif,
        with_alpha_told,
    )
    from demure.errors import ImageError, SourceError

LIMIT = 20


def target(data: bytes) -> None:
    try:
        walk(data, sniff(data))
    except (ImageError, SourceError) as error:
        error.message.encode()


def walk(data: bytes, kind: Format) -> None:
    match kind:
        case Format.JPEG:
            check(0 <= count_jpeg_scans(data, LIMIT) <= LIMIT + 1)
        case Format.GIF:
            walk_frames(data)
        case Format.PNG:
            check_png(data)
            places = [start for _, start, _ in png_chunks(data)]
            check(places == sorted({*places}), places)
            look_at(png_parts(data, LIMIT))
        case Format.BMP:
            check(0 <= check_bmp(data) <= 256)
        case Format.AVIF:
            check_avif(data)
        case Format.WEBP:
            told = with_alpha_told(data)
            check(told is None or (len(told) == len(data) and sniff(told) is kind), told)


def walk_frames(data: bytes) -> None:
    frames = walk_gif(data, LIMIT)
    starts = [frame.data_at for frame in frames]
    check(len(frames) <= LIMIT + 1 and starts == sorted({*starts}), starts)
    if frames:
        (width, height), parts = gif_parts(data, frames)
        check(all(part.box[2] <= width and part.box[3] <= height for part in parts), parts)
        look_at(parts)


def look_at(parts: list[Part]) -> None:
    check(len(parts) <= LIMIT + 1, parts)
    for part in parts:
        left, top, right, bottom = part.box
        check(0 <= left <= right < 1 << 32 and 0 <= top <= bottom < 1 << 32, part.box)
        still = part.still()  # may refuse, as decode does when it comes to this frame
        check(sniff(still) in (Format.GIF, Format.PNG))


if __name__ == "__main__":
    fuzz(target, seeds(), keep_signature, max_bytes=20_000)
