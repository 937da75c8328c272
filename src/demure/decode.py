"""Bytes to frames: RGB pictures, 8 bits a channel, turned upright, within limits. Knows no model and no policy.

A frame stays a Pillow image: an array would cost a copy of the whole picture, and the next step needs a corner of it.
Whatever cannot be read is an ImageError with a name; Pillow's own exceptions end here.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

from PIL import AvifImagePlugin, Image, ImageFile
from PIL.AvifImagePlugin import AvifImageFile
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from demure.errors import ImageError, TooLarge, TooManyFrames, TooManyPixels, Undecodable
from demure.formats import READ, Format, count_gif_frames, count_jpeg_scans, sniff

MIB = 1024 * 1024
_ORIENTATION_TAG = 0x0112  # EXIF 2.32, 4.6.4
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# Called directly: Image.open would try one plugin after another, and warn of sizes that are refused here anyway.
_OPENERS: dict[Format, type[ImageFile.ImageFile]] = {
    Format.JPEG: JpegImageFile,
    Format.PNG: PngImageFile,
    Format.WEBP: WebPImageFile,
    Format.GIF: GifImageFile,
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
    max_sampled_frames: int = 32  # scored, evenly sampled; no error
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
    """One frame of the file, upright. `pictures` are RGB: one, or two where it is transparent: on white, on black."""

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
        raise TooLarge(f"the image is {_mib(len(data))}; the limit is {_mib(limits.max_bytes)} (max_bytes)")
    kind = sniff(data)
    if kind is Format.JPEG and count_jpeg_scans(data, limits.max_scans) > limits.max_scans:
        raise Undecodable(f"the JPEG has more than {limits.max_scans} scans (max_scans); save it anew")
    with _translated(kind):
        source = _HeicFile(data) if kind is Format.HEIC else _PillowFile(data, kind, limits.max_frames)
        count = source.count_frames()
    if count > limits.max_frames:
        raise TooManyFrames(f"the file has more than {limits.max_frames:,} frames (max_frames); send fewer")
    return Decoding(kind, count, _frames(source, kind, count, limits, at_least))


def flatten(image: Image.Image) -> tuple[Image.Image, ...]:
    """The picture as RGB: itself, or on white and on black where something shows through."""
    if not image.has_transparency_data:
        return (_to_rgb(image),)
    with_alpha = image if image.mode == "RGBA" else image.convert("RGBA")
    if with_alpha.getchannel("A").getextrema()[0] == 255:
        return (with_alpha.convert("RGB"),)
    return _on_ground(with_alpha, "white"), _on_ground(with_alpha, "black")


def sample_indices(count: int, at_most: int) -> list[int]:
    """`at_most` frame numbers out of `count`, evenly spread, the first and the last among them."""
    if count <= at_most:
        return list(range(count))
    if at_most == 1:
        return [0]
    return [round(i * (count - 1) / (at_most - 1)) for i in range(at_most)]


def _frames(
    source: _PillowFile | _HeicFile, kind: Format, count: int, limits: DecodeLimits, at_least: tuple[int, int] | None
) -> Iterator[Frame]:
    spent, previous = 0, -1
    for index in sample_indices(count, limits.max_sampled_frames):
        with _translated(kind):
            width, height = source.seek(index)
            _check_pixels(width, height, limits)
            spent += width * height * (index - previous if kind in _SEQUENTIAL else 1)
            if spent > limits.max_total_pixels:
                raise TooManyPixels(
                    f"{index + 1} frames of {width} x {height} come to {spent / 1e6:.0f} MP; "
                    f"the limit is {limits.max_total_pixels / 1e6:.0f} MP (max_total_pixels); send fewer or smaller frames"
                )
            image = source.load(at_least)
            if count > 1:
                image = image.copy()  # Pillow draws the next frame into the same picture
            turn = source.turn()
            pictures = tuple(p.transpose(turn) if turn is not None else p for p in flatten(image))
        if turn is not None and turn in (_TURNS[5], _TURNS[6], _TURNS[7], _TURNS[8]):
            width, height = height, width
        yield Frame(index, width, height, pictures)
        previous = index


def _check_pixels(width: int, height: int, limits: DecodeLimits) -> None:
    if width * height > limits.max_pixels:
        raise TooManyPixels(
            f"the image is {width} x {height}, {width * height / 1e6:.0f} MP; "
            f"the limit is {limits.max_pixels / 1e6:.0f} MP (max_pixels); send it smaller"
        )


class _PillowFile:
    """A file that one Pillow plugin reads."""

    def __init__(self, data: bytes, kind: Format, max_frames: int) -> None:
        AvifImagePlugin.DEFAULT_MAX_THREADS = 1  # the only way to tell it; frames are decoded side by side already
        self._data, self._kind, self._max_frames = data, kind, max_frames
        self._image = _OPENERS[kind](io.BytesIO(data))

    def count_frames(self) -> int:
        """Up to one more than the limit. A JPEG counts once: what some phones hang behind it is not shown."""
        if self._kind is Format.GIF:
            return max(1, count_gif_frames(self._data, self._max_frames))
        if self._kind is Format.TIFF:
            return self._count_pages()
        return 1 if self._kind is Format.JPEG else int(getattr(self._image, "n_frames", 1))

    def seek(self, index: int) -> tuple[int, int]:
        """Go to a frame; its (width, height) as stored."""
        if index != self._image.tell():
            self._image.seek(index)
        return self._image.size

    def load(self, at_least: tuple[int, int] | None) -> Image.Image:
        if at_least is not None and self._kind is Format.JPEG:
            # Stored and upright sides may be swapped: neither may fall below the larger demand.
            self._image.draft(None, (max(at_least), max(at_least)))
        self._image.load()
        return self._image

    def turn(self) -> Image.Transpose | None:
        """Read after load: Pillow turns a TIFF itself, and then drops the tag."""
        try:
            return _TURNS.get(self._image.getexif().get(_ORIENTATION_TAG, 1))
        except Exception:  # noqa: BLE001  damaged EXIF raises anything; viewers show such a picture as it lies
            return None

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


class _HeicFile:
    """A HEIC file, through libheif. It turns pictures by the file's own boxes, so EXIF is not asked."""

    def __init__(self, data: bytes) -> None:
        import pi_heif  # loaded by the first HEIC only

        pi_heif.options.DECODE_THREADS = 1
        pi_heif.options.THUMBNAILS = False
        self._file: Any = pi_heif.open_heif(io.BytesIO(data), convert_hdr_to_8bit=True)
        self._index = 0

    def count_frames(self) -> int:
        return len(self._file)

    def seek(self, index: int) -> tuple[int, int]:
        self._index = index
        width, height = self._file[index].size
        return width, height

    def load(self, _at_least: tuple[int, int] | None) -> Image.Image:
        image: Image.Image = self._file[self._index].to_pillow()
        return image

    def turn(self) -> None:
        return None


def _on_ground(with_alpha: Image.Image, ground: str) -> Image.Image:
    picture = Image.new("RGB", with_alpha.size, ground)
    picture.paste(with_alpha, mask=with_alpha)  # in place: a composite would hold two more copies
    return picture


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB":
        return image
    if image.mode.startswith("I;16"):  # Pillow's own conversion clips at 255: all but black turns white
        return image.point(lambda value: value * (1 / 256)).convert("L").convert("RGB")
    if image.mode in ("I", "F"):  # no fixed range: darkest to black, brightest to white
        return _stretch_levels(image).convert("RGB")
    return image.convert("RGB")


def _stretch_levels(image: Image.Image) -> Image.Image:
    levels = image.convert("F")
    darkest, brightest = cast("tuple[float, float]", levels.getextrema())
    gain = 255 / (brightest - darkest) if brightest > darkest else 0.0
    return levels.point(lambda value: value * gain + -darkest * gain).convert("L")


class _translated:
    """Pillow's and libheif's exceptions to ours: damaged files make them raise nearly anything."""

    def __init__(self, kind: Format) -> None:
        self._kind = kind

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        if error is None or isinstance(error, ImageError) or not isinstance(error, Exception):
            return
        if isinstance(error, Image.DecompressionBombError):
            raise TooManyPixels(f"{error}") from error
        if isinstance(error, MemoryError):
            raise Undecodable(f"the {self._kind.name} needs more memory than a decoder is given") from error
        raise Undecodable(f"the {self._kind.name} is damaged or cut short; save it anew as one of {READ}") from error


def _mib(size: int) -> str:
    return f"{size / MIB:.1f} MiB"
