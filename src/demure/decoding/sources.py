"""An opened file, whatever reads it: how many frames, how long each is shown, and one after another as they are stored.

Pillow and libheif are met here. What they raise for damaged files passes through: see demure.decode.
"""

from __future__ import annotations

import io
from typing import Any

from PIL import Image, ImageFile
from PIL.AvifImagePlugin import AvifImageFile
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from demure.decoding.animation import Canvas, Part, gif_parts, png_parts
from demure.decoding.colour import Look, avif_profile, bmp_profile, jpeg_profile, look_of, png_profile
from demure.decoding.formats import Format
from demure.decoding.grounds import eight_bits
from demure.decoding.samples import check_indices, check_png_transparency, check_tiff_samples, png_colours
from demure.decoding.structure import (
    check_avif,
    check_bmp,
    check_heic_items,
    check_png,
    check_png_rows,
    orientation,
    walk_gif,
    webp_durations_ms,
    with_alpha_told,
)
from demure.errors import Undecodable

_TURNS = {  # by EXIF orientation
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
    Format.BMP: BmpImageFile,
    Format.TIFF: TiffImageFile,
    Format.AVIF: AvifImageFile,
}


def open_source(data: bytes, kind: Format, max_frames: int) -> Source:
    """Raises Undecodable or UnsupportedFormat for a file that would not be one picture to all, and what its decoder raises."""
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


def _open_png(data: bytes, max_frames: int) -> Source:
    check_png(data)
    still = _PngFile(data, max_frames)
    parts = png_parts(data, max_frames)
    return _ComposedFile(Format.PNG, still.size, parts, still.turn(), still.look()) if parts else still


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
    # Pillow calls some tables gray: the numbers are the same.
    indices = Image.frombytes("P", image.size, image.tobytes())
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


Source = _PillowFile | _HeicFile | _ComposedFile
