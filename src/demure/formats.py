"""What is this, by its own bytes? Names, headers and file endings are never believed. Pure; decodes nothing.

Also what Pillow does not check: the counts that it cannot make without the work that they are there to prevent, and files that
tell different decoders different pictures.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from demure.errors import EmptyBody, NotAnImage, Undecodable, UnsupportedFormat


class Format(StrEnum):
    """The formats that are read, each by its media type."""

    JPEG = "image/jpeg"
    PNG = "image/png"
    WEBP = "image/webp"
    GIF = "image/gif"
    BMP = "image/bmp"
    TIFF = "image/tiff"
    AVIF = "image/avif"
    HEIC = "image/heic"


READ = "JPEG, PNG, WebP, GIF, BMP, TIFF, AVIF and HEIC"

_SIGNATURES: tuple[tuple[bytes, Format], ...] = (
    (rb"\xff\xd8\xff", Format.JPEG),
    (rb"\x89PNG\r\n\x1a\n", Format.PNG),
    (rb"RIFF....WEBP", Format.WEBP),
    (rb"GIF8[79]a", Format.GIF),
    (rb"BM.{12}[\x0c\x28\x34\x38\x40\x6c\x7c]\0\0\0", Format.BMP),  # the size of a known header follows
    (rb"II[*+]\0|MM\0[*+]", Format.TIFF),
)

# Pictures, and what is often taken for one, that are told by name rather than as "not an image".
_UNREAD: tuple[tuple[bytes, str], ...] = (
    (rb"\0\0\0\x0cJXL |\xff\x0a", "JPEG XL"),
    (rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51", "JPEG 2000"),
    (rb"II\xbc", "JPEG XR"),
    (rb"\0\0[\1\2]\0", "ICO"),
    (rb"8BPS", "Photoshop"),
    (rb"%PDF", "PDF"),
    (rb"%!PS|\xc5\xd0\xd3\xc6", "PostScript"),
    (rb"gimp xcf", "XCF"),
    (rb"DDS ", "DDS"),
    (rb"qoif", "QOI"),
    (rb"FLIF", "FLIF"),
    (rb"\x76\x2f\x31\x01", "OpenEXR"),
    (rb"#\?RADIANCE", "Radiance HDR"),
    (rb"P[1-7]\s", "PNM"),
    (rb"icns", "ICNS"),
    (rb"\x1a\x45\xdf\xa3", "Matroska or WebM video"),
    (rb"RIFF....AVI ", "AVI video"),
    (rb"\x1f\x8b", "gzip"),
    (rb"\s*<svg\b|\s*<(?:\?xml|!--|!DOCTYPE\s+svg)(?=.*<svg\b)", "SVG"),
)

# ISO base media files name their kind in the first box; a container brand defers to the compatible ones.
_AVIF_BRANDS = {b"avif", b"avis"}
_HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"}
_CONTAINER_BRANDS = {b"mif1", b"msf1", b"mif2", b"miaf"}

_SIGNATURE_PATTERNS = [(re.compile(p, re.DOTALL), f) for p, f in _SIGNATURES]
_UNREAD_PATTERNS = [(re.compile(p, re.DOTALL), name) for p, name in _UNREAD]


def sniff(data: bytes) -> Format:
    """Tell the format from the first bytes.

    Raises EmptyBody for no bytes, UnsupportedFormat (with its name) for a known kind that is not read, else NotAnImage.
    """
    if not data:
        raise EmptyBody("there are no bytes; send the image itself")
    head = data[:4096]
    for pattern, found in _SIGNATURE_PATTERNS:
        if pattern.match(head):
            return found
    if head[4:8] == b"ftyp":
        return _sniff_iso_media(head)
    for pattern, name in _UNREAD_PATTERNS:
        if pattern.match(head):
            raise UnsupportedFormat(f"this is {name}; send one of {READ}")
    raise NotAnImage(f"the bytes are no image that is known here; send one of {READ}")


def _sniff_iso_media(head: bytes) -> Format:
    size = min(int.from_bytes(head[:4]), 256)
    major, compatible = head[8:12], {head[i : i + 4] for i in range(16, size - 3, 4)}
    brands = [{major}, compatible] if major in _CONTAINER_BRANDS else [{major}]
    for candidates in brands:
        if candidates & _AVIF_BRANDS:
            return Format.AVIF
        if candidates & _HEIC_BRANDS:
            return Format.HEIC
    if major in _CONTAINER_BRANDS:
        return Format.HEIC
    name = "".join(chr(c) if 32 <= c < 127 else "?" for c in major).strip()
    raise UnsupportedFormat(f"this is an ISO media file of kind {name!r} (a video, mostly); send one of {READ}")


@dataclass(frozen=True)
class GifFrame:
    """Where a frame's compressed data start in the file, and its rectangle on the screen in pixels."""

    data_at: int
    right: int
    bottom: int


def walk_gif(data: bytes, limit: int) -> list[GifFrame]:
    """The frames of a GIF, found by hopping over blocks; `limit` + 1 of them as soon as there are more.

    Decoders differ in what they make of a file that is not well formed, and one that shows another picture than was judged
    is what an attacker wants: so such a file is refused. Raises Undecodable for bytes between blocks, and for a later frame
    that leaves the picture: some clip it, some enlarge the picture.

    Source: GIF89a specification, sections 18 (screen), 20 (image) and 23 to 26 (extensions). A cut file ends at its cut.
    """
    position = 13 + _colour_table_bytes(data, 10)
    screen = (int.from_bytes(data[6:8], "little"), int.from_bytes(data[8:10], "little"))
    frames: list[GifFrame] = []
    while position < len(data) and len(frames) <= limit:
        introducer = data[position]
        if introducer == 0x2C:  # image: descriptor, colour table, code size, data
            left, top, width, height = (
                int.from_bytes(data[position + i : position + i + 2], "little") for i in (1, 3, 5, 7)
            )
            start = position + 10 + _colour_table_bytes(data, position + 9) + 1
            frames.append(GifFrame(start, left + width, top + height))
            position = _end_of_sub_blocks(data, start)
        elif introducer == 0x21:  # extension: label, data
            position = _end_of_sub_blocks(data, position + 2)
        elif introducer == 0x3B:  # trailer
            break
        else:
            raise Undecodable("the GIF has bytes between its blocks; save it anew")
    for frame in frames[1:]:
        if frame.right > max(screen[0], frames[0].right) or frame.bottom > max(screen[1], frames[0].bottom):
            raise Undecodable("a frame of the GIF reaches beyond its picture; save it anew")
    return frames


def check_png_animation(data: bytes) -> None:
    """Raises Undecodable for an animated PNG whose chunks say two things: decoders differ in which they believe.

    Source: PNG specification, third edition, 11.3.6 (acTL, fcTL).
    """
    position, told, controls = 8, [], 0
    while position + 8 <= len(data):
        length, kind = int.from_bytes(data[position : position + 4]), data[position + 4 : position + 8]
        if kind == b"acTL":
            told.append(int.from_bytes(data[position + 8 : position + 12]))
        controls += kind == b"fcTL"
        position += 12 + length
        if kind == b"IEND":
            break
    if len(told) > 1 or (told and told[0] != controls):
        raise Undecodable(f"the PNG tells of {told} frames and holds {controls}; save it anew")


def _colour_table_bytes(data: bytes, flags_at: int) -> int:
    flags = data[flags_at] if flags_at < len(data) else 0
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


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
