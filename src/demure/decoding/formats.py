"""What is this, by its own bytes? Names, headers and file endings are never believed. Pure; decodes nothing."""

from __future__ import annotations

import re
from enum import StrEnum

from demure.errors import EmptyBody, NotAnImage, UnsupportedFormat


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
