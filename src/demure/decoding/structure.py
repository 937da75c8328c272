"""What Pillow does not check of a file: counts that it cannot make without the work that they are there to prevent, and bytes
that tell different decoders different pictures.

One that shows another picture than was judged is what an attacker wants: so such a file is refused. Decodes nothing.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from demure.errors import Undecodable, UnsupportedFormat


@dataclass(frozen=True)
class GifFrame:
    """Where a frame's table and data lie in the file, its rectangle on the screen in pixels, and what controls it."""

    left: int
    top: int
    right: int
    bottom: int
    interlaced: bool
    table_at: int
    colours: int  # none where neither the frame nor the file has a table
    data_at: int  # behind the code size
    data_end: int
    disposal: int
    transparent: int | None
    duration_ms: int  # as the file tells it


def walk_gif(data: bytes, limit: int) -> list[GifFrame]:
    """The frames of a GIF, found by hopping over blocks; `limit` + 1 of them as soon as there are more.

    Decoders differ in what they make of a file that is not well formed, and one that shows another picture than was judged
    is what an attacker wants: so such a file is refused. Raises Undecodable for bytes between blocks, for a later frame
    that leaves the picture (some clip it, some enlarge the picture), and for two controls of one frame.

    Source: GIF89a specification, sections 18 (screen), 20 (image) and 23 to 26 (extensions). A cut file ends at its cut.
    """
    shared = (13, _colours(data, 10))
    position = 13 + 3 * shared[1]
    screen = (int.from_bytes(data[6:8], "little"), int.from_bytes(data[8:10], "little"))
    frames: list[GifFrame] = []
    control: bytes | None = None
    while position < len(data) and len(frames) <= limit:
        introducer = data[position]
        if introducer == 0x2C:  # image: descriptor, colour table, code size, data
            frames.append(_gif_frame(data, position, shared, control))
            position, control = frames[-1].data_end, None
        elif introducer == 0x21:  # extension: label, data
            end = _end_of_sub_blocks(data, position + 2)
            label, content = data[position + 1 : position + 2], data[position + 2 : end]
            if label == b"\xf9" and end <= len(data):
                if control is not None or len(content) != 6:
                    raise Undecodable("the GIF has a frame with two controls or a damaged one; save it anew")
                control = content
            elif label == b"\x01" and control is not None:  # text drawn by the viewer, which hardly any does
                raise Undecodable("the GIF has a control that is not a frame's; save it anew")
            position = end
        elif introducer == 0x3B:  # trailer
            break
        else:
            raise Undecodable("the GIF has bytes between its blocks; save it anew")
    for frame in frames[1:]:
        if frame.right > max(screen[0], frames[0].right) or frame.bottom > max(screen[1], frames[0].bottom):
            raise Undecodable("a frame of the GIF reaches beyond its picture; save it anew")
    return frames


def _gif_frame(data: bytes, position: int, shared: tuple[int, int], control: bytes | None) -> GifFrame:
    left, top, width, height = (int.from_bytes(data[position + i : position + i + 2], "little") for i in (1, 3, 5, 7))
    own = _colours(data, position + 9)
    table_at, colours = (position + 10, own) if own else shared
    start = position + 10 + 3 * own + 1
    flags = control[1] if control else 0
    return GifFrame(
        left,
        top,
        left + width,
        top + height,
        interlaced=bool(_byte(data, position + 9) & 0x40),
        table_at=table_at,
        colours=colours,
        data_at=start,
        data_end=_end_of_sub_blocks(data, start),
        disposal=flags >> 2 & 7,
        transparent=control[4] if control and flags & 1 else None,
        duration_ms=10 * int.from_bytes(control[2:4], "little") if control else 0,
    )


def png_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Each chunk's kind and where its content starts and ends, up to IEND or to where the file is cut."""
    position = 8
    while position + 8 <= len(data):
        length, kind = int.from_bytes(data[position : position + 4]), data[position + 4 : position + 8]
        yield kind, position + 8, position + 8 + length
        if kind == b"IEND":
            break
        position += 12 + length


_ONCE = (b"IHDR", b"PLTE", b"tRNS", b"acTL")


def check_png(data: bytes) -> None:
    """Raises Undecodable for a PNG whose chunks say two things, or stand where some decoders heed them and others do not.

    Source: PNG specification, third edition, 5.6 (order), 11.2.1 (IHDR), 11.2.2 (PLTE), 11.3.1.1 (tRNS), 11.3.6 (acTL, fcTL).
    """
    sizes: dict[bytes, int] = {}
    told, controls, data_begun = 0, 0, False
    for kind, start, end in png_chunks(data):
        if kind in _ONCE:
            late = data_begun or (kind == b"PLTE" and b"tRNS" in sizes)
            if kind in sizes or late:
                raise Undecodable(f"the PNG has {kind.decode()} twice or out of its place; save it anew")
            sizes[kind] = end - start
        told = int.from_bytes(data[start : start + 4]) if kind == b"acTL" else told
        controls += kind == b"fcTL"
        data_begun |= kind == b"IDAT"
    if b"acTL" in sizes and told != controls:
        raise Undecodable(f"the PNG tells of {told} frames and holds {controls}; save it anew")
    _check_png_colours(data, sizes)


def _check_png_colours(data: bytes, sizes: dict[bytes, int]) -> None:
    depth, colour_type, *methods = data[24:29].ljust(5, b"\xff")
    if data[12:16] != b"IHDR" or sizes.get(b"IHDR") != 13 or methods[:2] != [0, 0] or methods[2] > 1:
        raise Undecodable("the PNG does not begin with a header that is known; save it anew")
    table, transparency = sizes.get(b"PLTE"), sizes.get(b"tRNS")
    if table is not None and (table % 3 or not 3 <= table <= 768 or (colour_type == 3 and table > 3 << depth)):
        raise Undecodable(f"the PNG has a palette of {table} bytes; save it anew")
    if colour_type == 3 and table is None:
        raise Undecodable("the PNG has no palette; save it anew")
    allowed = {0: (2, 2), 2: (6, 6), 3: (1, (table or 0) // 3)}.get(colour_type, (0, -1))
    if transparency is not None and not allowed[0] <= transparency <= allowed[1]:
        raise Undecodable(f"the PNG has a transparency of {transparency} bytes; save it anew")


def check_png_rows(data: bytes) -> None:
    """Raises Undecodable for a still PNG whose data end before its rows do: Pillow leaves those black, others do not."""
    width, height = int.from_bytes(data[16:20]), int.from_bytes(data[20:24])
    bits = data[24] * {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}.get(data[25], 0)
    wanted = sum(
        h * ((w * bits + 7) // 8 + 1) for w, h in _png_passes(width, height, interlaced=bool(data[28])) if w and h
    )
    stream = zlib.decompressobj()
    for kind, start, end in png_chunks(data):
        piece = data[start:end] if kind == b"IDAT" else b""
        while piece and wanted > 0:
            wanted -= len(stream.decompress(piece, 1 << 20))
            piece = stream.unconsumed_tail
    if wanted > 0:
        raise Undecodable("the PNG's data end too early; save it anew")


def _png_passes(width: int, height: int, *, interlaced: bool) -> list[tuple[int, int]]:
    """(width, height) of each pass over the picture. Source: PNG specification, 8.1 (Adam7)."""
    if not interlaced:
        return [(width, height)]
    steps = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
    return [(max(width - x + dx - 1, 0) // dx, max(height - y + dy - 1, 0) // dy) for x, y, dx, dy in steps]


def check_bmp(data: bytes) -> int:
    """The number of colours in the table, 0 where there is none.

    Raises UnsupportedFormat for run lengths: what they leave out is one colour to some decoders, nothing to others. Raises
    Undecodable for a table or a place of the data that decoders read in two ways.
    """
    header, data_at = _little(data, 14, 4), _little(data, 10, 4)
    if header == 12:  # BITMAPCOREHEADER
        bits, compression, told, entry = _little(data, 24, 2), 0, 0, 3
    else:
        bits, compression, told, entry = _little(data, 28, 2), _little(data, 30, 4), _little(data, 46, 4), 4
    if compression in (1, 2):
        raise UnsupportedFormat("this is a BMP of run lengths (RLE); save it without compression")
    colours = (told or 1 << bits) if bits in (1, 2, 4, 8) else 0
    masks = 12 if header == 40 and compression == 3 else 0
    alpha = _little(data, 66, 4) if header >= 56 and header != 64 else 0
    no_masks = compression == 3 and not any(data[54:66])
    # Two colours in more than a bit: Pillow takes black and white for single bits.
    if (colours == 2 and bits > 1) or colours > 1 << bits or data_at < 14 + header + entry * colours + masks:
        raise Undecodable("the BMP has a colour table that does not fit its pixels; save it anew")
    if no_masks or (header == 64 and compression) or (bits == 32 and not compression and alpha):
        raise Undecodable("the BMP does not tell its channels in one way; save it anew")
    return colours


def orientation(exif: bytes) -> int:
    """1 to 8, as EXIF tells it in its first directory; 1 where it is damaged. Other types than SHORT are not heeded by browsers.

    Source: EXIF 2.32, 4.5.2 and 4.6.4 A; TIFF 6.0, section 2.
    """
    tiff = exif.removeprefix(b"Exif\0\0")
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    if order is None or len(tiff) < 8:
        return 1
    (position,) = struct.unpack_from(order + "I", tiff, 4)
    (count,) = struct.unpack(order + "H", tiff[position : position + 2].ljust(2, b"\0"))
    for at in range(position + 2, min(position + 2 + 12 * count, len(tiff) - 11), 12):
        tag, kind, number, value = struct.unpack_from(order + "HHIH", tiff, at)
        if tag == 0x0112:
            return value if (kind, number) == (3, 1) and 1 <= value <= 8 else 1
    return 1


def check_avif(data: bytes) -> None:
    """Raises UnsupportedFormat for an AVIF that is to be cropped (clap): browsers do it, libavif leaves it to its caller."""
    position = 0
    while position + 8 <= len(data):
        size, kind = int.from_bytes(data[position : position + 4]), data[position + 4 : position + 8]
        if size == 1:
            size = int.from_bytes(data[position + 8 : position + 16])
        end = position + size if size >= 8 else len(data)
        if kind in (b"meta", b"moov") and data.find(b"clap", position, end) >= 0:
            raise UnsupportedFormat("this is an AVIF that is to be cropped (clap); save it cropped")
        position = end


_WEBP_ALPHA = 0x10  # the same bit in both


def with_alpha_told(data: bytes) -> bytes | None:
    """A WebP that denies transparency, made to say that it has some; None where it says so itself, or cannot have any.

    Decoders differ in what they show of an alpha channel that a header denies, so whoever reads this must look for one.
    Source: RFC 9649, 2.7.1 (VP8X: flags) and 3.4 (VP8L: alpha_is_used).
    """
    flags: list[int] = []
    possible = False
    for kind, start, _ in _riff_chunks(data):
        possible |= kind in (b"ALPH", b"VP8L", b"ANMF")
        at = {b"VP8X": start, b"VP8L": start + 4}.get(kind, len(data))
        if at < len(data):
            flags.append(at)
    if not possible or all(data[at] & _WEBP_ALPHA for at in flags):
        return None
    told = bytearray(data)
    for at in flags:
        told[at] |= _WEBP_ALPHA
    return bytes(told)


def webp_durations_ms(data: bytes) -> list[int]:
    """How long each frame of an animation is shown; none for a still picture. Source: RFC 9649, 2.7.1.2 (ANMF)."""
    return [int.from_bytes(data[at + 12 : at + 15], "little") for kind, at, _ in _riff_chunks(data) if kind == b"ANMF"]


def _riff_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Each chunk's kind and where its content starts and ends."""
    position = 12
    while position + 8 <= len(data):
        size = int.from_bytes(data[position + 4 : position + 8], "little")
        yield data[position : position + 4], position + 8, position + 8 + size
        position += 8 + size + size % 2


def _colours(data: bytes, flags_at: int) -> int:
    """The number of colours in a GIF's table, by the flags before it."""
    flags = _byte(data, flags_at)
    return 2 << (flags & 7) if flags & 0x80 else 0


_HEIC_ITEM = re.compile(rb"(?s)(.{4})infe(?:\x02.{7}|\x03.{9})")


def check_heic_items(data: bytes) -> None:
    """Raises Undecodable for a HEIC item whose type or name is not text, before anybody has to make sense of it.

    Source: ISO/IEC 14496-12, 8.11.6 (ItemInfoEntry, versions 2 and 3): UTF-8.
    """
    for item in _HEIC_ITEM.finditer(data):
        try:
            data[item.end() : item.start() + int.from_bytes(item[1])].decode()
        except UnicodeDecodeError as error:
            raise Undecodable("the HEIC has an item whose type or name is not text; save it anew") from error


def _end_of_sub_blocks(data: bytes, position: int) -> int:
    while position < len(data) and data[position]:
        position += data[position] + 1
    return position + 1


_NEXT_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")  # not a stuffed byte, not a restart
_STANDALONE_MARKERS = {0x01, 0xD8}
_MAX_MARKERS = 10_000  # before the picture's end; a photograph has some dozens


def count_jpeg_scans(data: bytes, limit: int) -> int:
    """The number of scans up to the end of the first image, or `limit` + 1 as soon as there are more.

    Source: ITU-T T.81, annex B. One scan that holds all the components of a sequential JPEG ends the count, as it ends the
    decoder's work: the long walk over entropy-coded bytes is made for progressive files only.
    """
    position, scans, components, progressive, markers = 2, 0, 0, False, 0
    while scans <= limit:
        markers += 1
        if markers > _MAX_MARKERS:
            raise Undecodable(f"the JPEG has more than {_MAX_MARKERS:,} markers; save it anew")
        match = _NEXT_MARKER.search(data, position)
        if match is None:
            break
        marker, position = data[match.end() - 1], match.end()
        if marker == 0xD9:
            break
        if marker in _STANDALONE_MARKERS:
            continue
        length = int.from_bytes(data[position : position + 2])
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            progressive, components = marker in (0xC2, 0xC6, 0xCA, 0xCE), _byte(data, position + 7)
        if marker == 0xDA:
            scans += 1
            if not progressive and _byte(data, position + 2) >= components:
                break
        position += max(length, 2)
    return scans


def _byte(data: bytes, position: int) -> int:
    return data[position] if position < len(data) else 0


def _little(data: bytes, position: int, size: int) -> int:
    return int.from_bytes(data[position : position + size], "little")
