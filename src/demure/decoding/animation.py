"""The frames of a GIF or an animated PNG: each as a file of its own, where it goes, and what becomes of it.

Pillow decodes such a file as a still picture; what lies over what is decided here, as browsers do it. Pillow's own canvas is
opaque where theirs lets the page show through, so that one file would be two pictures.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from functools import partial

from PIL import Image

from demure.decoding.structure import GifFrame, png_chunks
from demure.errors import Undecodable

Box = tuple[int, int, int, int]  # left, top, right, bottom in pixels


class Disposal(Enum):
    """What becomes of a frame before the next is drawn."""

    KEEP = 0
    CLEAR = 1
    RESTORE = 2  # to what was there before it


@dataclass(frozen=True)
class Part:
    """One frame. `still` builds a file of this frame alone."""

    still: Callable[[], bytes]
    box: Box
    disposal: Disposal
    replaces: bool = False  # also what it does not cover: else it is drawn over
    transparent: int | None = None  # of a GIF: the index that shows nothing
    colours: int = 256  # of a GIF: an index past these has none
    duration_ms: int = 0  # as the file tells it


class Canvas:
    """What is seen while an animation runs. It is clear at first, and where a frame was cleared."""

    def __init__(self, size: tuple[int, int]) -> None:
        self._image = Image.new("RGBA", size)
        self._dispose: Callable[[], None] = lambda: None

    def draw(self, picture: Image.Image, part: Part) -> Image.Image:
        """The canvas with the picture, RGB or RGBA, drawn on it. It is drawn on again by the next call."""
        self._dispose()
        before = self._image.crop(part.box) if part.disposal is Disposal.RESTORE else None
        if part.replaces or picture.mode == "RGB":
            self._image.paste(picture, part.box)
        else:
            self._image.alpha_composite(picture, part.box[:2])
        if part.disposal is Disposal.KEEP:
            self._dispose = lambda: None
        else:
            self._dispose = partial(self._image.paste, before or (0, 0, 0, 0), part.box)
        return self._image


def gif_parts(data: bytes, frames: list[GifFrame]) -> tuple[tuple[int, int], list[Part]]:
    """The canvas's (width, height), which a larger first frame enlarges, and the frames."""
    width, height = struct.unpack_from("<HH", data, 6)
    first = frames[0]
    return (max(width, first.right), max(height, first.bottom)), [_gif_part(data, frame) for frame in frames]


def _gif_part(data: bytes, frame: GifFrame) -> Part:
    # GIF89a, 23.c: 0 and 1 keep. Values from 4 on are reserved, and browsers differ.
    disposal = {0: Disposal.KEEP, 1: Disposal.KEEP, 2: Disposal.CLEAR, 3: Disposal.RESTORE}.get(frame.disposal)
    if disposal is None:
        raise Undecodable("the GIF has a frame of unknown disposal; save it anew")
    return Part(
        partial(_gif_still, data, frame),
        (frame.left, frame.top, frame.right, frame.bottom),
        disposal,
        transparent=frame.transparent,
        colours=frame.colours,
        duration_ms=frame.duration_ms,
    )


def _gif_still(data: bytes, frame: GifFrame) -> bytes:
    """The frame's own table and data behind a screen of its size."""
    table = data[frame.table_at : frame.table_at + 3 * frame.colours]
    code_size = data[frame.data_at - 1] if frame.data_at <= len(data) else 0
    if not frame.colours or len(table) < 3 * frame.colours:
        raise Undecodable("the GIF has a frame without colours; save it anew")
    if not 2 <= code_size <= 8:
        raise Undecodable(f"the GIF has a code size of {code_size}; save it anew")
    size = struct.pack("<HH", frame.right - frame.left, frame.bottom - frame.top)
    flags = 0x80 | (frame.colours.bit_length() - 2)
    head = b"GIF89a" + size + bytes([flags, 0, 0]) + table
    return (
        head + b"," + bytes(4) + size + bytes([frame.interlaced << 6]) + data[frame.data_at - 1 : frame.data_end] + b";"
    )


def png_parts(data: bytes, limit: int) -> list[Part]:
    """The frames of an animated PNG, `limit` + 1 of them as soon as there are more; none where it is a still one.

    A first picture that is no part of the animation comes first: a program that knows no animations shows it. Raises
    Undecodable for frames that break the rules. Source: PNG specification, third edition, 11.3.6.
    """
    header, shared, frames, expected, told = b"", b"", list[_PngFrame](), 0, 0
    for kind, start, end in png_chunks(data):
        if kind == b"IHDR":
            header = data[start:end]
        elif kind in (b"PLTE", b"tRNS"):
            shared += data[start - 8 : end + 4]
        elif kind == b"acTL":
            told = int.from_bytes(data[start : start + 4])
        elif kind == b"IDAT" and not frames:
            frames.append(_PngFrame((0, 0, *struct.unpack_from(">II", header)), Disposal.CLEAR, True, []))
        if kind == b"IDAT":
            frames[0].pieces.append((start, end))
        if kind in (b"fcTL", b"fdAT"):
            if int.from_bytes(data[start : start + 4]) != expected:
                raise Undecodable("the PNG's frames are out of order; save it anew")
            expected += 1
        if kind == b"fcTL":
            if len(frames) > limit:
                break
            frames.append(_png_frame(data[start:end], header, first=not frames))
        elif kind == b"fdAT" and frames:
            frames[-1].pieces.append((start + 4, end))
    if not told:
        return []
    return [
        Part(partial(_png_still, data, header, shared, f), f.box, f.disposal, f.replaces, duration_ms=f.duration_ms)
        for f in frames
    ]


@dataclass(frozen=True)
class _PngFrame:
    box: Box
    disposal: Disposal
    replaces: bool
    pieces: list[tuple[int, int]]  # where its compressed data lie
    duration_ms: int = 0


def _png_frame(control: bytes, header: bytes, *, first: bool) -> _PngFrame:
    if len(control) != 26:
        raise Undecodable("the PNG has a damaged frame; save it anew")
    width, height, left, top = struct.unpack_from(">4I", control, 4)
    shown, parts, disposal, blend = struct.unpack_from(">HHBB", control, 20)  # shown for that many parts of a second
    canvas = struct.unpack_from(">II", header)
    box = (left, top, left + width, top + height)
    fits = width and height and box[2] <= canvas[0] and box[3] <= canvas[1]
    if not fits or disposal > 2 or blend > 1 or (first and box != (0, 0, *canvas)):
        raise Undecodable("the PNG has a frame that leaves its picture or breaks the rules; save it anew")
    return _PngFrame(box, Disposal(disposal), blend == 0, [], duration_ms=1000 * shown // (parts or 100))


def _png_still(data: bytes, header: bytes, shared: bytes, frame: _PngFrame) -> bytes:
    left, top, right, bottom = frame.box
    own = struct.pack(">II", right - left, bottom - top) + header[8:]
    pixels = b"".join(data[start:end] for start, end in frame.pieces)
    return data[:8] + _png_chunk(b"IHDR", own) + shared + _png_chunk(b"IDAT", pixels) + _png_chunk(b"IEND", b"")


def _png_chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
