"""Profiles made by hand. What a browser shows was read off the screen of Chromium 156 (headless, --force-color-profile=srgb)."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
from hostile.apng import actl, fctl, fdat
from hostile.jpeg import icc, marker_at
from hostile.png import chunk
from hostile.png import png as gray_png
from hypothesis import given, settings
from hypothesis import strategies as st
from pictures import encode, gradient, plain
from PIL import Image
from profiles import (
    BLUE_XYZ,
    D50,
    GAMMA_2_2,
    GREEN_XYZ,
    INVERTING,
    INVERTING_CURVE,
    LINEAR,
    RED_XYZ,
    SWAPPED,
    USUAL,
    curve,
    gamma,
    gray_profile,
    lut_profile,
    matrix_profile,
    profile,
    xyz,
)

from demure.decode import DecodeLimits, decode
from demure.decoding.colour import MAX_PROFILE_BYTES, look_of
from demure.errors import Undecodable

STORED = (10, 200, 60)
GREEN = Image.fromarray(plain(list(STORED), 16))
GRAY = Image.new("L", (16, 16), 80)
GRAY_16 = Image.fromarray(np.full((16, 16), 80 * 257, np.uint16))
INK = Image.fromarray(np.full((16, 16, 4), (0, 200, 200, 0), np.uint8), "CMYK")
SRGB_PLACES = (0.3127, 0.329, 0.64, 0.33, 0.3, 0.6, 0.15, 0.06)
SWAPPED_PLACES = (0.3127, 0.329, 0.3, 0.6, 0.64, 0.33, 0.15, 0.06)


def pictures(data: bytes, **options) -> list[Image.Image]:
    return [picture for frame in decode(data, DecodeLimits(), **options).frames for picture in frame.pictures]


def colours(data: bytes) -> list[tuple[int, ...]]:
    return [picture.getpixel((8, 8)) for picture in pictures(data)]


def png(*chunks: bytes, picture: Image.Image = GREEN, behind: bytes = b"") -> bytes:
    data = encode(picture, "PNG")
    return data[:33] + b"".join(chunks) + data[33:-12] + behind + data[-12:]


def iccp(profile: bytes) -> bytes:
    return chunk(b"iCCP", b"name\0\0" + zlib.compress(profile))


def gama(exponent: float) -> bytes:
    return chunk(b"gAMA", struct.pack(">I", round(exponent * 100_000)))


def chrm(*places: float) -> bytes:
    return chunk(b"cHRM", struct.pack(">8I", *(round(place * 100_000) for place in places)))


def jpeg(*parts: tuple[int, int, bytes], at: int | None = None) -> bytes:
    """`parts` are the number, the count and the content of each segment; they stand before the marker `at`, or first."""
    data = encode(GREEN, "JPEG", quality=95)
    start = 2 if at is None else marker_at(data, at)
    return data[:start] + icc(*parts) + data[start:]


def avif_of_light() -> bytes:
    """Its nclx says transfer 8, linear (ITU-T H.273, table 3)."""
    data = encode(GREEN, "AVIF", quality=95)
    at = data.index(b"colrnclx") + 10
    return data[:at] + b"\0\x08" + data[at + 2 :]


def lab(lightness: float) -> tuple[int, int, int]:
    return (round(lightness * 652.8), 32_768, 32_768)  # mft2: 65,280 is 100


def bmp_with(profile: bytes) -> bytes:
    """A BMP whose header is a BITMAPV5HEADER (124 bytes), with the profile behind the pixels."""
    pixels = bytes((STORED[2], STORED[1], STORED[0], 0)) * 256
    header = struct.pack("<IiiHHIIiiII", 124, 16, 16, 1, 32, 3, len(pixels), 0, 0, 0, 0)
    header += struct.pack("<4I4s48x", 0xFF0000, 0xFF00, 0xFF, 0, b"DEBM")
    header += struct.pack("<4I", 4, 124 + len(pixels), len(profile), 0)
    return b"BM" + struct.pack("<IHHI", 138 + len(pixels) + len(profile), 0, 0, 138) + header + pixels + profile


INVERTING_LUT = lut_profile([lab(100 - 100 * i.bit_count() / 3) for i in range(8)])
INVERTING_INK = lut_profile([lab(100 * i.bit_count() / 4) for i in range(16)], b"CMYK", 4, b"prtr")
SRGB_CHUNK = chunk(b"sRGB", b"\0")

# name: file, what Chromium shows where it is stored as STORED (or 80 of gray)
SHOWN = {
    "png-swapped": (png(iccp(SWAPPED)), (201, 3, 57)),
    "png-inverting": (png(iccp(INVERTING)), (245, 52, 196)),
    "png-linear": (png(iccp(LINEAR)), (56, 229, 133)),
    "png-inverting-table": (png(iccp(INVERTING_LUT)), (155, 157, 157)),
    "png-profile-of-a-link": (png(iccp(SWAPPED.replace(b"mntr", b"link", 1))), (201, 3, 57)),
    "png-profile-beside-srgb": (png(SRGB_CHUNK, iccp(SWAPPED)), (201, 3, 57)),
    "png-profile-beside-gamma": (png(gama(1), iccp(SWAPPED)), (201, 3, 57)),
    "png-gamma-1": (png(gama(1)), (56, 229, 133)),
    "png-gamma-5": (png(gama(5)), (191, 250, 224)),
    "png-gamma-a-tenth": (png(gama(0.1)), (0, 84, 0)),
    "png-gamma-1-beside-a-broken-profile": (png(gama(1), iccp(b"junk" * 99)), (56, 229, 133)),
    "png-primaries-swapped": (png(chrm(*SWAPPED_PLACES), gama(0.45455)), (201, 3, 57)),
    "png-primaries-swapped-and-gamma-1": (png(chrm(*SWAPPED_PLACES), gama(1)), (229, 56, 133)),
    "png-gray-gamma-1": (png(gama(1), picture=GRAY), (152, 152, 152)),
    "png-gray-16-bit": (png(gama(1), picture=GRAY_16), (152, 152, 152)),
    "png-gray-linear": (png(iccp(gray_profile(gamma(1))), picture=GRAY), (152, 152, 152)),
    "png-gray-with-a-profile-for-colours": (png(iccp(LINEAR), picture=GRAY), (152, 152, 152)),
    "jpeg": (encode(GREEN, "JPEG", quality=95, icc_profile=SWAPPED), (201, 2, 57)),
    "jpeg-gray": (encode(GRAY, "JPEG", icc_profile=gray_profile(gamma(1))), (152, 152, 152)),
    "webp": (encode(GREEN, "WEBP", lossless=True, icc_profile=SWAPPED), (201, 3, 57)),
    "png-code-points-of-light": (png(chunk(b"cICP", bytes([1, 8, 0, 1])), SRGB_CHUNK), (56, 229, 133)),
    "avif-code-points-of-light": (avif_of_light(), (52, 230, 130)),
    "bmp": (bmp_with(SWAPPED), (201, 3, 57)),
    "avif": (encode(GREEN, "AVIF", quality=95, icc_profile=SWAPPED), (202, 1, 54)),
}


@pytest.mark.parametrize(("data", "shown"), SHOWN.values(), ids=SHOWN)
def test_a_profile_that_changes_much_adds_the_picture_that_a_browser_shows(data: bytes, shown: tuple[int, int, int]):
    lies, found = colours(data)
    stored = (80,) * 3 if lies[0] == lies[1] else STORED
    assert np.abs(np.subtract(lies, stored)).max() <= 3
    assert np.abs(np.subtract(found, shown)).max() <= 4


def test_a_tiff_has_its_profile_applied_too():
    assert np.abs(np.subtract(colours(encode(GREEN, "TIFF", icc_profile=SWAPPED)), [STORED, (201, 3, 57)])).max() <= 4


# name: file; Chromium shows each as it lies, or nearly
AS_IT_LIES = {
    "png-gamma-0": png(gama(0)),
    "png-gamma-beside-srgb": png(gama(1), SRGB_CHUNK),
    "png-primaries-alone": png(chrm(*SWAPPED_PLACES)),
    "png-primaries-beside-srgb": png(chrm(*SWAPPED_PLACES), gama(0.45455), SRGB_CHUNK),
    "png-gamma-and-primaries-of-srgb": png(chrm(*SRGB_PLACES), gama(0.45455)),
    "png-gamma-of-1.8": png(gama(1 / 1.8)),
    "png-gamma-twice": png(gama(0.45455), gama(1)),
    "png-profile-twice": png(iccp(USUAL["srgb"]), iccp(SWAPPED)),
    "png-profile-behind-the-pixels": png(behind=iccp(SWAPPED)),
    "png-profile-cut": png(iccp(SWAPPED[:-4])),
    "png-profile-without-its-mark": png(iccp(SWAPPED.replace(b"acsp", b"axxx"))),
    "png-profile-of-ink": png(iccp(INVERTING_INK)),
    "jpeg-profile-without-a-curve": encode(GREEN, "JPEG", quality=95, icc_profile=SWAPPED.replace(b"gTRC", b"gXXX", 1)),
    "jpeg-profile-of-srgb-and-another": jpeg((1, 1, USUAL["srgb"]), (1, 1, SWAPPED)),
    "jpeg-half-a-profile": jpeg((1, 2, SWAPPED)),
    "jpeg-of-ink-with-a-profile-for-colours": encode(INK, "JPEG", icc_profile=SWAPPED),
    **{name: encode(gradient(64, 48), "JPEG", icc_profile=usual) for name, usual in USUAL.items()},
    **{f"{name}-png": encode(gradient(64, 48), "PNG", icc_profile=usual) for name, usual in USUAL.items()},
    "gray-2.2": encode(GRAY, "JPEG", icc_profile=gray_profile(GAMMA_2_2)),
    "gray-1.8": encode(GRAY, "JPEG", icc_profile=gray_profile(gamma(1.8))),
}


# Chromium shows each swapped. Pillow alone finds no profile in the first four.
IN_PIECES = {
    "twice": jpeg((1, 1, SWAPPED), (1, 1, SWAPPED)),
    "one-of-one-and-another": jpeg((1, 1, SWAPPED), (1, 1, USUAL["srgb"])),
    "one-of-one-and-a-fifth-of-nine": jpeg((1, 1, SWAPPED), (5, 9, b"junk")),
    "behind-the-frame-header": jpeg((1, 1, SWAPPED), at=0xDA),
    "two-turned-round": jpeg((2, 2, SWAPPED[99:]), (1, 2, SWAPPED[:99])),
}


@pytest.mark.parametrize("data", IN_PIECES.values(), ids=IN_PIECES)
def test_the_pieces_of_a_jpegs_profile_are_put_together_as_browsers_do(data: bytes):
    assert np.abs(np.subtract(colours(data), [STORED, (201, 2, 57)])).max() <= 4


@pytest.mark.parametrize("data", AS_IT_LIES.values(), ids=AS_IT_LIES)
def test_a_usual_profile_or_one_that_browsers_ignore_adds_nothing(data: bytes):
    assert len(pictures(data)) == 1


def test_a_negative_in_ink_is_seen_as_the_press_prints_it():
    # All inks at none are black by this profile, and what Pillow takes for red lies past half of the way to white.
    lies, shown = colours(encode(INK, "JPEG", quality=95, icc_profile=INVERTING_INK))
    assert np.abs(np.subtract(lies, (255, 55, 55))).max() <= 3
    assert max(shown) - min(shown) <= 4  # gray


def test_a_profile_that_changes_only_what_the_picture_has_is_odd_for_that_picture():
    """Level by level: those of the lattice (0, 51, ...) keep their brightness, all others are turned round."""
    levels = [v if v % 51 == 0 else 255 - v for v in range(256)]
    hiding = matrix_profile(curve(*(round(65_535 * (level / 255) ** 2.2) for level in levels)))
    assert len(pictures(encode(plain([102, 204, 51]), "PNG", icc_profile=hiding))) == 1
    (_, shown) = colours(encode(plain([20, 230, 40]), "PNG", icc_profile=hiding))
    assert np.abs(np.subtract(shown, (235, 25, 215))).max() <= 9  # so far the power of 2.2 is from the curve of sRGB


def tagged(pcs: bytes = b"XYZ ", **tags: bytes) -> bytes:
    usual = {b"rXYZ": RED_XYZ, b"gXYZ": GREEN_XYZ, b"bXYZ": BLUE_XYZ}
    matrix = {name: xyz(*place) for name, place in usual.items()}
    curves = dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), GAMMA_2_2)
    more = {name.encode(): tag for name, tag in tags.items()}
    return profile({b"wtpt": xyz(*D50), **matrix, **curves, **more}, pcs=pcs)


LUT_TAG = INVERTING_LUT[INVERTING_LUT.index(b"mft2") :]


def test_of_a_profile_that_says_two_things_what_browsers_read_counts():
    # skcms: A2B0, else A2B1, else curves and colorants. lcms would take D2B0 first and A2B1 never.
    for data in (tagged(b"Lab ", A2B0=LUT_TAG), tagged(b"Lab ", A2B1=LUT_TAG)):
        (_, shown) = colours(png(iccp(data)))
        assert np.abs(np.subtract(shown, (155, 157, 157))).max() <= 4
    assert len(pictures(png(iccp(tagged(D2B0=LUT_TAG))))) == 1


def test_the_limit_on_a_profile():
    room = MAX_PROFILE_BYTES - len(tagged(none=b""))
    (_, _) = colours(
        encode(GREEN, "WEBP", lossless=True, icc_profile=SWAPPED + bytes(MAX_PROFILE_BYTES - len(SWAPPED)))
    )
    assert len(tagged(none=bytes(room))) == MAX_PROFILE_BYTES
    assert look_of(tagged(none=bytes(room))) is not None
    with pytest.raises(Undecodable, match="4,194,305 bytes; the limit is 4,194,304; save it as sRGB"):
        pictures(
            encode(GREEN, "WEBP", lossless=True, icc_profile=SWAPPED + bytes(MAX_PROFILE_BYTES - len(SWAPPED) + 1))
        )


def test_a_jpeg_with_an_odd_profile_is_not_reduced_before_it_is_applied():
    large = gradient(1600, 1200)
    odd = pictures(encode(large, "JPEG", icc_profile=SWAPPED), at_least=(300, 300))
    usual = pictures(encode(large, "JPEG", icc_profile=USUAL["display-p3"]), at_least=(300, 300))
    assert [picture.size for picture in odd + usual] == [(1600, 1200), (1600, 1200), (400, 300)]


def test_a_profile_does_not_colour_the_page_behind_a_picture():
    clear = Image.new("RGBA", (16, 16), (0, 0, 0, 0))
    assert colours(png(iccp(INVERTING), picture=clear)) == [(255,) * 3, (0,) * 3] * 2


def test_what_is_shown_is_turned_upright_as_well():
    exif = Image.Exif()
    exif[0x0112] = 6
    assert [p.size for p in pictures(encode(gradient(96, 64), "JPEG", icc_profile=SWAPPED, exif=exif))] == [
        (64, 96)
    ] * 2


def test_every_frame_of_an_animated_png_has_the_profile_of_the_file():
    data = gray_png(before=gama(1) + actl(2) + fctl(0, 64, 48), after=fctl(1, 64, 48) + fdat(2, 64, 48, level=0x33))
    # 255 * srgb(0x55 / 255) = 156 and 255 * srgb(0x33 / 255) = 124: IEC 61966-2-1
    expected = [0x55, 156, 0x33, 124]
    assert [colour[0] for colour in colours(data)] == pytest.approx(expected, abs=1)


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_damage_to_a_profile_ends_in_pictures(data: st.DataObject):
    names = {"swapped": SWAPPED, "table": INVERTING_LUT, "ink": INVERTING_INK, "curve": gray_profile(INVERTING_CURVE)}
    damaged = bytearray(names[data.draw(st.sampled_from(sorted(names)))])
    for _ in range(data.draw(st.integers(1, 8))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    assert 1 <= len(pictures(png(iccp(bytes(damaged))))) <= 2
