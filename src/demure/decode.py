"""Bytes to frames: RGB pictures, 8 bits a channel, turned upright, within limits. Knows no model and no policy.

A frame stays a Pillow image: an array would cost a copy of the whole picture, and the next step needs a corner of it.
Whatever cannot be read is an ImageError with a name; Pillow's own exceptions end here.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from PIL import Image, ImageFile
from PIL.AvifImagePlugin import AvifImageFile
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from demure.animation import Canvas, Part, gif_parts, png_parts
from demure.colour import Look, avif_profile, bmp_profile, jpeg_profile, look_of, png_profile
from demure.errors import ImageError, TooLarge, TooManyFrames, TooManyPixels, Undecodable
from demure.formats import (
    READ,
    Format,
    check_avif,
    check_bmp,
    check_heic_items,
    check_png,
    check_png_rows,
    count_jpeg_scans,
    orientation,
    sniff,
    walk_gif,
    webp_durations_ms,
    with_alpha_told,
)
from demure.grounds import MOST_GROUNDS, eight_bits, flatten
from demure.samples import check_indices, check_png_transparency, check_tiff_samples, png_colours
from demure.sampling import sample_indices

MIB = 1024 * 1024
MOST_PICTURES = 2 * MOST_GROUNDS  # of a frame: as it lies and as a screen shows it
_TURNS = {  # by EXIF orientation
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_QUARTER_TURNS = (_TURNS[5], _TURNS[6], _TURNS[7], _TURNS[8])
# Called directly: Image.open would try one plugin after another, and warn of sizes that are refused here anyway.
_OPENERS: dict[Format, type[ImageFile.ImageFile]] = {
    Format.JPEG: JpegImageFile,
    Format.PNG: PngImageFile,
    Format.WEBP: WebPImageFile,
    Format.BMP: BmpImageFile,
    Format.TIFF: TiffImageFile,
    Format.AVIF: AvifImageFile,
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
    max_sampled_frames: int = 32  # scored: see demure.sampling; no error
    max_scans: int = 100  # of a JPEG; undecodable
    timeout_s: float = 5.0  # enforced by the sandbox; undecodable


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

    Then as a screen shows it on each, where a colour profile makes that another picture.
    """

    index: int
    width: int  # of the original, which a reduced decode does not change
    height: int
    pictures: tuple[Image.Image, ...]


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
        source = _open(data, kind, limits.max_frames)
        count = source.count_frames()
    if count < 1:  # libheif opens a HEIC whose pictures it cannot use, or that are all hidden
        raise Undecodable(f"the {kind.name} holds no picture to be shown; save it anew as one of {READ}")
    if count > limits.max_frames:
        raise TooManyFrames(f"the file has more than {limits.max_frames:,} frames (max_frames); send fewer")
    return Decoding(kind, count, _frames(source, kind, count, limits, at_least))


def _open(data: bytes, kind: Format, max_frames: int) -> _File:
    match kind:
        case Format.HEIC:
            return _HeicFile(data)
        case Format.GIF:
            if not (frames := walk_gif(data, max_frames)):
                raise Undecodable("the GIF has no picture; save it anew")
            return _ComposedFile(kind, *gif_parts(data, frames))
        case Format.PNG:
            return _open_png(data, max_frames)
        case Format.WEBP:
            told = with_alpha_told(data)
            return _PillowFile(told or data, kind, max_frames, opaque=told is not None)
        case Format.BMP:
            return _PillowFile(data, kind, max_frames, colours=check_bmp(data))
        case Format.AVIF:
            check_avif(data)
    return _PillowFile(data, kind, max_frames)


def _open_png(data: bytes, max_frames: int) -> _File:
    check_png(data)
    still = _PngFile(data, max_frames)
    parts = png_parts(data, max_frames)
    return _ComposedFile(Format.PNG, still.size, parts, still.turn(), still.look()) if parts else still


def _frames(
    source: _File, kind: Format, count: int, limits: DecodeLimits, at_least: tuple[int, int] | None
) -> Iterator[Frame]:
    spent, previous = 0, -1
    for index in sample_indices(count, limits.max_sampled_frames, source.durations_ms()):
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
            if count > 1 and image.mode == "RGB":  # flatten gives that itself; Pillow draws the next frame into it
                image = image.copy()
            turn, look = source.turn(), source.look()
            pictures = tuple(p.transpose(turn) if turn is not None else p for p in _pictures(image, look))
        if turn in _QUARTER_TURNS:
            width, height = height, width
        yield Frame(index, width, height, pictures)
        previous = index


def _pictures(image: Image.Image, look: Look | None) -> Iterator[Image.Image]:
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


class _PillowFile:
    """A file that one Pillow plugin reads, frame by frame."""

    def __init__(self, data: bytes, kind: Format, max_frames: int, *, colours: int = 0, opaque: bool = False) -> None:
        """`colours` are those of the table, if it has one; an `opaque` file said that nothing shows through."""
        self._kind, self._max_frames, self._colours, self._opaque = kind, max_frames, colours, opaque
        self._image = _OPENERS[kind](io.BytesIO(data))
        self._profile: bytes | None = self._image.info.get("icc_profile")
        if kind is Format.BMP:
            self._profile = bmp_profile(data)
        elif kind is Format.AVIF:
            self._profile = self._profile or avif_profile(data)
        elif isinstance(self._image, JpegImageFile):
            self._profile = jpeg_profile(self._image.applist) or self._profile
        self._durations_ms = webp_durations_ms(data) if kind is Format.WEBP else []

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the frame that is sought, as stored."""
        return self._image.size

    def count_frames(self) -> int:
        """Up to one more than the limit. A JPEG counts once: what some phones hang behind it is not shown."""
        if self._kind is Format.TIFF:
            return self._count_pages()
        return 1 if self._kind is Format.JPEG else int(getattr(self._image, "n_frames", 1))

    def durations_ms(self) -> list[int]:
        """How long each frame is shown; none where that is not known without decoding."""
        if self._durations_ms and len(self._durations_ms) != self.count_frames():
            raise Undecodable("the WebP's frames can be counted in two ways; save it anew")
        return self._durations_ms

    def seek(self, index: int) -> None:
        if index != self._image.tell():
            self._image.seek(index)
        if self._kind is Format.TIFF:
            check_tiff_samples(self._image)

    def load(self, at_least: tuple[int, int] | None) -> Image.Image:
        # A reduced decode would average before the profile, and an odd one makes another colour of an average.
        if at_least is not None and self._kind is Format.JPEG and not ((look := self.look()) and look.is_odd):
            # Stored and upright sides may be swapped: neither may fall below the larger demand.
            self._image.draft(None, (max(at_least), max(at_least)))
        self._image.load()
        if self._colours:
            check_indices(self._image, self._colours)
        if self._opaque and self._image.mode == "RGBA" and self._image.getchannel("A").getextrema()[0] != 255:
            raise Undecodable(f"the {self._kind.name} denies the transparency that it has; save it anew")
        return self._image

    def look(self) -> Look | None:
        """What the file's profile does to the frame that is sought."""
        return look_of(self._image.info.get("icc_profile") if self._kind is Format.TIFF else self._profile)

    def turn(self) -> Image.Transpose | None:
        """Read after load: Pillow turns a TIFF itself, and then drops the tag. Not from XMP, which viewers do not ask."""
        return _TURNS.get(orientation(self._image.info.get("exif", b"")))

    def _count_pages(self) -> int:
        """Pillow's own count follows the chain of directories to its end, however long."""
        count = 1
        try:
            while count <= self._max_frames:
                self._image.seek(count)
                count += 1
        except EOFError:
            pass
        self._image.seek(0)
        return count


class _PngFile(_PillowFile):
    """A PNG that does not move, or one frame of one that does."""

    def __init__(self, data: bytes, max_frames: int) -> None:
        super().__init__(data, Format.PNG, max_frames, colours=png_colours(data))
        self._data = data
        check_png_transparency(data, self._image)
        self._profile = png_profile(data)

    def look(self) -> Look | None:
        return look_of(self._profile)

    def load(self, at_least: tuple[int, int] | None) -> Image.Image:
        image = super().load(at_least)
        # Counting costs half as much as decoding. Rows that are missing are zeros, and the last is the first to be missing.
        bottom = (0, image.height - 1, image.width, image.height)
        if image.info.get("interlace") or not any(image.crop(bottom).tobytes()):
            check_png_rows(self._data)
        return image


class _ComposedFile:
    """An animation whose frames Pillow decodes one by one, and Canvas puts together."""

    def __init__(
        self,
        kind: Format,
        size: tuple[int, int],
        parts: list[Part],
        turn: Image.Transpose | None = None,
        look: Look | None = None,
    ) -> None:
        self.size = size
        self._kind, self._parts, self._turn, self._look = kind, parts, turn, look
        self._index, self._drawn = 0, 0
        self._canvas: Canvas | None = None

    def count_frames(self) -> int:
        return len(self._parts)

    def durations_ms(self) -> list[int]:
        return [part.duration_ms for part in self._parts]

    def look(self) -> Look | None:
        return self._look

    def seek(self, index: int) -> None:
        self._index = index

    def load(self, _at_least: tuple[int, int] | None) -> Image.Image:
        """Draws all frames up to the one that is sought."""
        if len(self._parts) == 1 and self._parts[0].box == (0, 0, *self.size):
            return self._decode(self._parts[0])
        self._canvas = self._canvas or Canvas(self.size)
        image: Image.Image | None = None
        while image is None or self._drawn <= self._index:
            part = self._parts[self._drawn]
            image = self._canvas.draw(self._decode(part), part)
            self._drawn += 1
        return image

    def turn(self) -> Image.Transpose | None:
        return self._turn

    def _decode(self, part: Part) -> Image.Image:
        """RGB or RGBA, of the size of the part's box."""
        still = part.still()
        if self._kind is Format.GIF:
            return _gif_picture(still, part)
        image = _PngFile(still, 1).load(None)
        return image.convert("RGBA") if image.has_transparency_data else eight_bits(image).convert("RGB")


def _gif_picture(still: bytes, part: Part) -> Image.Image:
    image = GifImageFile(io.BytesIO(still))
    image.load()
    indices = Image.frombytes(
        "P", image.size, image.tobytes()
    )  # Pillow calls some tables gray: the numbers are the same
    check_indices(indices, part.colours, part.transparent)
    indices.putpalette(still[13 : 13 + 3 * part.colours])
    if part.transparent is None:
        return indices.convert("RGB")
    indices.info["transparency"] = part.transparent
    return indices.convert("RGBA")


class _HeicFile:
    """A HEIC file, through libheif. It turns pictures by the file's own boxes, so EXIF is not asked."""

    def __init__(self, data: bytes) -> None:
        import pi_heif  # loaded by the first HEIC only

        check_heic_items(data)
        pi_heif.options.DECODE_THREADS = 1
        pi_heif.options.THUMBNAILS = False
        self._file: Any = pi_heif.open_heif(io.BytesIO(data), convert_hdr_to_8bit=True)
        self._index = 0

    def count_frames(self) -> int:
        return len(self._file)

    def durations_ms(self) -> list[int]:
        return []

    def look(self) -> Look | None:
        return look_of(self._file[self._index].info.get("icc_profile"))

    @property
    def size(self) -> tuple[int, int]:
        width, height = self._file[self._index].size
        return width, height

    def seek(self, index: int) -> None:
        self._index = index

    def load(self, _at_least: tuple[int, int] | None) -> Image.Image:
        image: Image.Image = self._file[self._index].to_pillow()
        return image

    def turn(self) -> None:
        return None


_File = _PillowFile | _HeicFile | _ComposedFile


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
