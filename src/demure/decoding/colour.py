"""What do a file's colours look like on a screen? The models read them as they lie; browsers first apply the file's profile.

Usual profiles change little, and the models were trained without them. One that changes much makes two pictures of one file,
and both are judged. What was measured to draw the line is in docs/decisions.md.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import product

from PIL import Image, ImageChops, ImageCms, ImageStat

from demure.decoding.structure import png_chunks
from demure.errors import Undecodable

# Those of presses are the largest in use, at 3 MB. Browsers would apply a larger one too, so it is no way to be ignored.
MAX_PROFILE_BYTES = 4 * 1024 * 1024

# Levels out of 255, a channel, on average. Over the lattice ProPhoto, the farthest of the usual ones, has 22, a usual press 26, a
# gamma of 1 has 36, two swapped channels have 67 and a negative has 154.
_MUCH = 30
_LEVELS = (0, 51, 102, 153, 204, 255)
_SAMPLE = (64, 64)  # pixels of the picture itself: a profile may leave the lattice alone and change all between

_LINEAR = 8  # a transfer characteristic of ITU-T H.273
_GAMMA_1 = (100_000).to_bytes(4)  # as gAMA says it

_CHANNELS = {b"GRAY": "L", b"RGB ": "RGB", b"CMYK": "CMYK"}
_D50 = (0.9642, 1.0, 0.8249)  # ICC.1:2022, 7.2.16


@dataclass(frozen=True)
class Look:
    """What a profile does to the colours of a picture."""

    mode: str  # of the pictures it is for: L, RGB or CMYK
    transform: ImageCms.ImageCmsTransform
    is_odd: bool  # it changes colours much, whatever the picture

    def of(self, image: Image.Image) -> Image.Image | None:
        """The picture on a screen, RGB or RGBA; None where that is much as it lies, or the profile is for other pictures."""
        if (self.mode == "CMYK") != (image.mode == "CMYK"):
            return None
        with_alpha = image.convert("RGBA") if image.has_transparency_data else None
        stored = image if image.mode == self.mode else (with_alpha or image).convert(self.mode)
        if not self.is_odd and not _changes_much(self.transform, stored.resize(_SAMPLE, Image.Resampling.NEAREST)):
            return None
        shown = _apply(self.transform, stored)
        if with_alpha is not None:
            shown.putalpha(with_alpha.getchannel("A"))
        return shown


def look_of(profile: bytes | None) -> Look | None:
    """None where there is no profile, or one that cannot be read: browsers show the colours as they lie then.

    Raises Undecodable for one that is larger than any in use.
    """
    if not profile or profile[36:40] != b"acsp":
        return None
    if len(profile) > MAX_PROFILE_BYTES:
        raise Undecodable(
            f"the image has a colour profile of {len(profile):,} bytes; the limit is {MAX_PROFILE_BYTES:,}; save it as sRGB"
        )
    return _look(bytes(profile))


def png_profile(data: bytes) -> bytes | None:
    """The profile of a PNG, or one that says what its gAMA and cHRM say; those do not count beside sRGB, nor cHRM alone.

    Of two chunks the first counts, and none behind the pixels, as in Chromium 156. Source: PNG specification, third edition,
    4.3 (which goes first), 11.3.2.
    """
    found: dict[bytes, bytes] = {}
    for kind, start, end in png_chunks(data):
        if kind == b"IDAT":
            break
        if kind in (b"cICP", b"iCCP", b"sRGB", b"gAMA", b"cHRM"):
            found.setdefault(kind, data[start:end])
    if found.get(b"cICP", b"")[1:2] == bytes([_LINEAR]):
        return _profile_of_gamma(_GAMMA_1, b"")
    profile = _unpacked(found.get(b"iCCP", b""))
    if profile and look_of(profile) is not None:
        return profile
    if b"sRGB" in found or len(found.get(b"gAMA", b"")) != 4 or not any(found[b"gAMA"]):
        return None
    return _profile_of_gamma(found[b"gAMA"], found.get(b"cHRM", b""))


def avif_profile(data: bytes) -> bytes | None:
    """That of code points which say that light is stored as it is. It counts where there is no other.

    Source: ISO/IEC 14496-12, 12.1.5 (colr); ITU-T H.273, table 3.
    """
    at = data.find(b"colrnclx")
    return _profile_of_gamma(_GAMMA_1, b"") if at >= 0 and data[at + 10 : at + 12] == bytes([0, _LINEAR]) else None


def jpeg_profile(segments: Sequence[tuple[str, bytes]]) -> bytes | None:
    """Of the APP segments before the scans, put together as Chromium 156 does: the first says how many pieces there are.

    Pillow heeds those before the frame header only, and none where one is too many. Source: ICC.1:2022, annex B.4.
    """
    pieces = [content for name, content in segments if name == "APP2" and content.startswith(b"ICC_PROFILE\0")]
    if not pieces:
        return None
    by_number: dict[int, bytes] = {}
    for piece in pieces:
        by_number.setdefault(piece[12], piece[14:])
    numbers = range(1, pieces[0][13] + 1)
    return b"".join(by_number[n] for n in numbers) if all(n in by_number for n in numbers) else None


def bmp_profile(data: bytes) -> bytes | None:
    """Browsers apply it, and Pillow does not tell of it. Source: BITMAPV5HEADER, whose bV5CSType is then PROFILE_EMBEDDED."""
    if data[14:18] != b"\x7c\0\0\0" or data[70:74] != b"DEBM":
        return None
    start, size = struct.unpack_from("<II", data.ljust(138, b"\0"), 126)
    return data[14 + start : 14 + start + size]


def _unpacked(chunk: bytes) -> bytes:
    packed = chunk.partition(b"\0")[2][1:]
    try:
        return zlib.decompressobj().decompress(packed, MAX_PROFILE_BYTES + 1)
    except zlib.error:
        return b""


# A decoder meets the same few profiles again and again, and lcms takes 2 ms to prepare one.
@lru_cache(maxsize=8)
def _look(profile: bytes) -> Look | None:
    try:
        space, plain = _as_browsers_read(profile)
        source = ImageCms.ImageCmsProfile(io.BytesIO(plain))
        transform = ImageCms.ImageCmsTransform(source, _screen(), _CHANNELS[space], "RGB")
    except (OSError, ValueError, KeyError, struct.error, ImageCms.PyCMSError):
        return None
    mode = _CHANNELS[space]
    return Look(mode, transform, _changes_much(transform, _lattice(mode)))


@cache
def _screen() -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))


def _apply(transform: ImageCms.ImageCmsTransform, stored: Image.Image) -> Image.Image:
    shown = transform.apply(stored)
    shown.info.clear()
    return shown


def _changes_much(transform: ImageCms.ImageCmsTransform, stored: Image.Image) -> bool:
    difference = ImageChops.difference(_apply(transform, stored), stored.convert("RGB"))
    return sum(ImageStat.Stat(difference).mean) / 3 > _MUCH


@cache
def _lattice(mode: str) -> Image.Image:
    """All colours of _LEVELS in every channel, or all grays."""
    if mode == "L":
        return Image.frombytes("L", (256, 1), bytes(range(256)))
    colours = bytes(level for colour in product(_LEVELS, repeat=len(mode)) for level in colour)
    return Image.frombytes(mode, (len(_LEVELS), len(colours) // len(_LEVELS) // len(mode)), colours)


# --- Profiles ---------------------------------------------------------------------------------------------------------
#
# lcms heeds more than browsers do: tags of floating-point numbers, the class of the profile. What they do not read is taken away.
# Source: ICC.1:2022, 7.2 (header), 7.3 (tags), 9.2; skcms.cc of Chromium 156 (skcms_ParseWithA2BPriority).

_CURVES = (b"rTRC", b"gTRC", b"bTRC", b"rXYZ", b"gXYZ", b"bXYZ")


def _as_browsers_read(profile: bytes) -> tuple[bytes, bytes]:
    """Its colour space, and a profile of those tags alone that browsers read.

    Raises KeyError for one that has not what it needs, ValueError or struct.error for a damaged one.
    """
    (size, count), space = struct.unpack_from(">I124xI", profile), profile[16:20]
    if size > len(profile) or count > 200:
        raise ValueError("damaged")
    tags: dict[bytes, bytes] = {}
    for i in range(count):
        name, at, length = struct.unpack_from(">4sII", profile, 132 + 12 * i)
        tags.setdefault(name, profile[at : at + length])
    table = tags.get(b"A2B0") or tags.get(b"A2B1")
    names = (b"kTRC",) if space == b"GRAY" else _CURVES
    kept = {b"A2B0": table} if table else {name: tags[name] for name in names}
    return space, _profile(space, profile[20:24], kept, version=profile[8:12])


def _profile(space: bytes, connection: bytes, tags: dict[bytes, bytes], version: bytes = b"\4\0\0\0") -> bytes:
    """A display's profile of these tags; `connection` is the space it leads to, XYZ or Lab."""
    tags = {b"wtpt": b"XYZ \0\0\0\0" + _fixed(*_D50), **tags}
    table, body, at = struct.pack(">I", len(tags)), b"", 132 + 12 * len(tags)
    for name, content in tags.items():
        table += struct.pack(">4sII", name, at + len(body), len(content))
        body += content + bytes(-len(content) % 4)
    header = struct.pack(">I4x4s4s4s4s12x4s", at + len(body), version, b"mntr", space, connection, b"acsp")
    return header.ljust(68, b"\0") + _fixed(*_D50).ljust(60, b"\0") + table + body


def _fixed(*values: float) -> bytes:
    return struct.pack(f">{len(values)}i", *(round(value * 65536) for value in values))


# --- Gamma and primaries ----------------------------------------------------------------------------------------------

Matrix = tuple[tuple[float, ...], ...]

_SRGB = (0.3127, 0.329, 0.64, 0.33, 0.3, 0.6, 0.15, 0.06)  # x and y of white, red, green and blue
_BRADFORD = ((0.8951, 0.2664, -0.1614), (-0.7502, 1.7135, 0.0367), (0.0389, -0.0685, 1.0296))  # ICC.1:2022, annex E


@lru_cache(maxsize=8)
def _profile_of_gamma(gamma: bytes, chromaticities: bytes) -> bytes | None:
    places = _SRGB
    if len(chromaticities) == 32:
        places = tuple(value / 100_000 for value in struct.unpack(">8I", chromaticities))
    try:
        curve = b"para".ljust(12, b"\0") + _fixed(100_000 / int.from_bytes(gamma))
        columns = _colorants(places)
        tags = {
            name: b"XYZ ".ljust(8, b"\0") + _fixed(*column) for name, column in zip(_CURVES[3:], columns, strict=True)
        }
    except (ZeroDivisionError, struct.error):  # primaries that make no colours
        return None if places is _SRGB else _profile_of_gamma(gamma, b"")
    return _profile(b"RGB ", b"XYZ ", {**dict.fromkeys(_CURVES[:3], curve), **tags})


def _colorants(places: tuple[float, ...]) -> Matrix:
    """X, Y and Z of red, green and blue under D50. Source: Lindbloom, RGB/XYZ Matrices; ICC.1:2022, annex E."""
    white, *primaries = ((x / y, 1.0, (1 - x - y) / y) for x, y in zip(places[::2], places[1::2], strict=True))
    shares = _times(_inverse(_turned(tuple(primaries))), white)
    scaled = tuple(tuple(share * value for value in xyz) for share, xyz in zip(shares, primaries, strict=True))
    ratios = [to / of for to, of in zip(_times(_BRADFORD, _D50), _times(_BRADFORD, white), strict=True)]
    back = _inverse(_BRADFORD)
    return tuple(
        _times(back, tuple(r * v for r, v in zip(ratios, _times(_BRADFORD, xyz), strict=True))) for xyz in scaled
    )


def _turned(rows: Matrix) -> Matrix:
    return tuple(zip(*rows, strict=True))


def _times(rows: Matrix, vector: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(sum(a * b for a, b in zip(row, vector, strict=True)) for row in rows)


def _inverse(rows: Matrix) -> Matrix:
    (a, b, c), (d, e, f), (g, h, i) = rows
    cofactors = (
        (e * i - f * h, c * h - b * i, b * f - c * e),
        (f * g - d * i, a * i - c * g, c * d - a * f),
        (d * h - e * g, b * g - a * h, a * e - b * d),
    )
    determinant = a * cofactors[0][0] + b * cofactors[1][0] + c * cofactors[2][0]
    return tuple(tuple(value / determinant for value in row) for row in cofactors)
