"""Bytes to frames: RGB pictures, 8 bits a channel, turned upright, within limits. Knows no model and no policy.

A frame stays a Pillow image: an array would cost a copy of the whole picture, and the next step needs a corner of it.
Whatever cannot be read is an ImageError with a name; Pillow's own exceptions end here.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from PIL import Image

from demure.decoding.colour import Look
from demure.decoding.formats import READ, Format, sniff
from demure.decoding.grounds import MOST_GROUNDS, eight_bits, flatten
from demure.decoding.sampling import Sample
from demure.decoding.sources import Source, open_source
from demure.decoding.structure import count_jpeg_scans
from demure.errors import ImageError, TooLarge, TooManyFrames, TooManyPixels, Undecodable

MIB = 1024 * 1024
MOST_PICTURES = 2 * MOST_GROUNDS  # of a frame: as it lies and as a screen shows it
_QUARTER_TURNS = {
    Image.Transpose.TRANSPOSE,
    Image.Transpose.ROTATE_270,
    Image.Transpose.TRANSVERSE,
    Image.Transpose.ROTATE_90,
}
# These decoders go through every frame up to the one wanted.
_SEQUENTIAL = {Format.GIF, Format.WEBP, Format.PNG, Format.AVIF}


@dataclass(frozen=True)
class DecodeLimits:
    """What one image may cost. Past it, the error that is named."""

    max_bytes: int = 20 * MIB  # too_large
    max_pixels: int = 50_000_000  # a frame; too_many_pixels
    max_total_pixels: int = 300_000_000  # decoded over all frames; too_many_pixels
    max_frames: int = 1_000  # in the file; too_many_frames
    max_sampled_frames: int = 32  # scored: see demure.decoding.sampling, and most_pictures; no error
    max_scans: int = 100  # of a JPEG; undecodable
    timeout_s: float = 5.0  # enforced by the sandbox; undecodable

    @property
    def most_pictures(self) -> int:
        """Once the frames of a file have made so many, no other is begun. One frame alone makes all of its own."""
        return 2 * self.max_sampled_frames


@dataclass(frozen=True)
class Media:
    """What the file is: media type, size in pixels after the EXIF turn, frames in the file and frames decoded."""

    type: str | None  # none where the caller gave pixels
    width: int
    height: int
    frames: int
    sampled: int


@dataclass(frozen=True)
class Frame:
    """One frame of the file, upright. `pictures` are RGB, at most MOST_PICTURES: as it lies on each ground, first on white.

    Then as a screen shows it on each, where a colour profile makes that another picture. Each is made when it is asked for, so
    that one is held at a time, and they are gone when the next frame is asked for. They raise what the frames raise.
    """

    index: int
    width: int  # of the original, which a reduced decode does not change
    height: int
    pictures: Iterator[Image.Image]


@dataclass(frozen=True)
class Decoding:
    """An opened file: what it is in all, and its sampled frames, each decoded as it is asked for."""

    type: Format
    frames_in_file: int
    frames: Iterator[Frame]


def decode(data: bytes, limits: DecodeLimits, *, at_least: tuple[int, int] | None = None) -> Decoding:
    """Open an image and decode its sampled frames one by one.

    `at_least` is a (width, height) in pixels: a JPEG may be decoded at a half, a quarter or an eighth of its size so long
    as neither side falls below it. None decodes in full.

    Raises TooLarge, EmptyBody, NotAnImage, UnsupportedFormat, Undecodable, TooManyPixels, TooManyFrames; the frames raise
    the last three as well.
    """
    if len(data) > limits.max_bytes:
        raise TooLarge(f"the image is {len(data):,} bytes or more; the limit is {limits.max_bytes:,} (max_bytes)")
    kind = sniff(data)
    if kind is Format.JPEG and count_jpeg_scans(data, limits.max_scans) > limits.max_scans:
        raise Undecodable(f"the JPEG has more than {limits.max_scans} scans (max_scans); save it anew")
    with _translated(kind):
        source = open_source(data, kind, limits.max_frames)
        count = source.count_frames()
    if count < 1:  # libheif opens a HEIC whose pictures it cannot use, or that are all hidden
        raise Undecodable(f"the {kind.name} holds no picture to be shown; save it anew as one of {READ}")
    if count > limits.max_frames:
        raise TooManyFrames(f"the file has more than {limits.max_frames:,} frames (max_frames); send fewer")
    return Decoding(kind, count, _frames(source, kind, count, limits, at_least))


def _frames(
    source: Source, kind: Format, count: int, limits: DecodeLimits, at_least: tuple[int, int] | None
) -> Iterator[Frame]:
    spent, previous = 0, -1
    sample = Sample(count, limits.max_sampled_frames, limits.most_pictures, source.durations_ms())
    for index in sample:
        # A sequential decoder goes through the frames between: they are counted before it does.
        passed = index - previous if kind in _SEQUENTIAL else 1
        with _translated(kind):
            _check_total(spent, passed, source.size, limits)
            source.seek(index)
            width, height = source.size
            _check_pixels(width, height, limits)
            _check_total(spent, passed, source.size, limits)
            spent += width * height * passed
            image = source.load(at_least)
            turn, look = source.turn(), source.look()
        if turn in _QUARTER_TURNS:
            width, height = height, width
        yield Frame(index, width, height, sample.counted(_pictures(image, look, turn, kind)))
        previous = index


def _pictures(
    image: Image.Image, look: Look | None, turn: Image.Transpose | None, kind: Format
) -> Iterator[Image.Image]:
    with _translated(kind):
        for picture in _looks(image, look):
            yield picture.transpose(turn) if turn is not None else picture


def _looks(image: Image.Image, look: Look | None) -> Iterator[Image.Image]:
    yield from flatten(image)
    shown = look.of(eight_bits(image)) if look is not None else None
    if shown is not None:
        yield from flatten(shown)


def _check_total(spent: int, frames: int, size: tuple[int, int], limits: DecodeLimits) -> None:
    total = spent + size[0] * size[1] * frames
    if total > limits.max_total_pixels:
        raise TooManyPixels(
            f"the frames come to {total:,} pixels or more; the limit is {limits.max_total_pixels:,} (max_total_pixels); "
            "send fewer or smaller frames"
        )


def _check_pixels(width: int, height: int, limits: DecodeLimits) -> None:
    if width < 1 or height < 1:
        raise Undecodable(f"the image is {width} x {height}; there is nothing to see")
    if width * height > limits.max_pixels:
        raise TooManyPixels(
            f"the image is {width} x {height}, {width * height:,} pixels; "
            f"the limit is {limits.max_pixels:,} (max_pixels); send it smaller"
        )


@contextmanager
def _translated(kind: Format) -> Iterator[None]:
    """Pillow's and libheif's exceptions to ours: damaged files make them raise nearly anything."""
    try:
        yield
    except ImageError:
        raise
    except Image.DecompressionBombError as error:
        raise TooManyPixels(f"{error}") from error
    except MemoryError as error:
        raise Undecodable(f"the {kind.name} needs more memory than a decoder is given") from error
    except Exception as error:
        raise Undecodable(f"the {kind.name} is damaged or cut short; save it anew as one of {READ}") from error
