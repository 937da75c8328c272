"""Every format, mode and limit. Expected pixels come from the arrays that the files were made of."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hostile import HOSTILE
from hostile.apng import actl, fctl, fdat
from hostile.gif import control, filled, gif, gif_image, gif_table
from hostile.png import chunk
from hostile.png import png as hostile_png
from hostile.streams import gif_lzw
from hypothesis import given, settings
from hypothesis import strategies as st
from pictures import animation, encode, gradient, noise
from PIL import Image, ImageOps

from demure.decode import DecodeLimits, decode
from demure.decoding.formats import Format
from demure.decoding.sampling import sample_indices
from demure.errors import ImageError, TooLarge, TooManyFrames, TooManyPixels, Undecodable, UnsupportedFormat

LIMITS = DecodeLimits()
SOURCE = gradient(96, 64)
DATA = Path(__file__).parent / "data"


@dataclass(frozen=True)
class Kept:
    """A frame whose pictures outlive it."""

    index: int
    width: int
    height: int
    pictures: list[Image.Image]


def frames(data: bytes, limits: DecodeLimits = LIMITS, **options) -> list[Kept]:
    decoding = decode(data, limits, **options)
    return [Kept(f.index, f.width, f.height, [p.copy() for p in f.pictures]) for f in decoding.frames]


def only_picture(data: bytes) -> np.ndarray:
    (frame,) = frames(data)
    (picture,) = frame.pictures
    assert picture.mode == "RGB"
    return np.asarray(picture).astype(int)


# name: file, type, the largest difference from the source that its compression may make
FORMATS = {
    "png": (encode(SOURCE, "PNG"), Format.PNG, 0),
    "bmp": (encode(SOURCE, "BMP"), Format.BMP, 0),
    "tiff": (encode(SOURCE, "TIFF"), Format.TIFF, 0),
    "tiff-lzw": (encode(SOURCE, "TIFF", compression="tiff_lzw"), Format.TIFF, 0),
    "tiff-deflate": (encode(SOURCE, "TIFF", compression="tiff_adobe_deflate"), Format.TIFF, 0),
    "webp-lossless": (encode(SOURCE, "WEBP", lossless=True), Format.WEBP, 0),
    "webp": (encode(SOURCE, "WEBP", quality=95), Format.WEBP, 16),
    "jpeg": (encode(SOURCE, "JPEG", quality=95), Format.JPEG, 16),
    "jpeg-progressive": (encode(SOURCE, "JPEG", quality=95, progressive=True), Format.JPEG, 16),
    "avif": (encode(SOURCE, "AVIF", quality=95), Format.AVIF, 16),
    "heic": ((DATA / "gradient-96x64.heic").read_bytes(), Format.HEIC, 16),
}


@pytest.mark.parametrize(("data", "kind", "tolerance"), FORMATS.values(), ids=FORMATS)
def test_a_format_decodes_to_the_pixels_it_was_made_of(data: bytes, kind: Format, tolerance: int):
    assert decode(data, LIMITS).type is kind
    assert abs(only_picture(data) - SOURCE).max() <= tolerance


def gray_levels() -> np.ndarray:
    return np.tile(np.arange(256, dtype=np.uint8), (40, 1))


def rgb(gray: np.ndarray) -> np.ndarray:
    return np.repeat(gray[:, :, np.newaxis], 3, axis=2).astype(int)


SIXTEEN_BIT = gray_levels().astype(np.uint16) * 257
MODES = {
    "grayscale": (encode(gray_levels(), "PNG"), rgb(gray_levels()), 0),
    "grayscale-jpeg": (encode(gray_levels(), "JPEG", quality=95), rgb(gray_levels()), 3),
    "16-bit": (encode(Image.fromarray(SIXTEEN_BIT), "PNG"), rgb(gray_levels()), 0),
    "16-bit-tiff": (encode(Image.fromarray(SIXTEEN_BIT), "TIFF"), rgb(gray_levels()), 0),
    "16-bit-tiff-big-endian": (encode(Image.fromarray(SIXTEEN_BIT.astype(">u2")), "TIFF"), rgb(gray_levels()), 0),
    "bilevel": (encode(Image.fromarray(gray_levels() > 127), "PNG"), rgb((gray_levels() > 127) * 255), 0),
    "palette": (encode(Image.fromarray(gray_levels()).convert("P"), "PNG"), rgb(gray_levels()), 0),
    "cmyk-jpeg": (encode(Image.fromarray(SOURCE).convert("CMYK"), "JPEG", quality=95), SOURCE.astype(int), 24),
    "cmyk-tiff": (encode(Image.fromarray(SOURCE).convert("CMYK"), "TIFF"), SOURCE.astype(int), 0),
    "opaque-alpha": (encode(Image.fromarray(SOURCE).convert("RGBA"), "PNG"), SOURCE.astype(int), 0),
    "opaque-gray-alpha": (encode(Image.fromarray(gray_levels()).convert("LA"), "PNG"), rgb(gray_levels()), 0),
}


@pytest.mark.parametrize(("data", "expected", "tolerance"), MODES.values(), ids=MODES)
def test_a_mode_becomes_rgb(data: bytes, expected: np.ndarray, tolerance: int):
    assert abs(only_picture(data) - expected).max() <= tolerance


def png(depth: int, colour_type: int, rows: list[bytes], *chunks: tuple[bytes, bytes]) -> bytes:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", 40, len(rows), depth, colour_type, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + row for row in rows))
    parts = [(b"IHDR", header), *chunks, (b"IDAT", pixels), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


def tiff_16(**tags: int) -> bytes:
    """A 16-bit TIFF whose tags say something else: see TIFF 6.0 for the numbers."""
    numbers = {"photometric": 262, "sample_format": 339}
    return encode(Image.fromarray(SIXTEEN_BIT), "TIFF", tiffinfo={numbers[name]: value for name, value in tags.items()})


UNUSUAL = {
    "16-bit-gray-png-with-transparent-colour": png(16, 0, [b"\x75\x30" * 40] * 40, (b"tRNS", b"\x30\x39")),
    "16-bit-rgb-png-with-transparent-colour": png(16, 2, [b"\xff\xfe" * 120] * 40, (b"tRNS", b"\xff\xfe" * 3)),
    "2-bit-gray-png-with-transparent-colour": png(2, 0, [b"\x1b" * 10] * 40, (b"tRNS", b"\0\1")),
    "integer-tiff": encode(Image.fromarray(SIXTEEN_BIT.astype(np.int32)), "TIFF"),
    "float-tiff": encode(Image.fromarray(SIXTEEN_BIT.astype(np.float32)), "TIFF"),
    "inverted-16-bit-tiff": tiff_16(photometric=0),
    "signed-16-bit-tiff": tiff_16(sample_format=2),
}


@pytest.mark.parametrize("data", UNUSUAL.values(), ids=UNUSUAL)
def test_samples_whose_levels_could_be_taken_wrongly_are_refused_by_name(data: bytes):
    with pytest.raises(UnsupportedFormat, match="8 bits"):
        frames(data)


def test_a_later_page_of_unusual_samples_fails_the_tiff():
    first, second = Image.fromarray(SOURCE), Image.fromarray(SIXTEEN_BIT.astype(np.float32))
    with pytest.raises(UnsupportedFormat, match="8 bits"):
        frames(encode(first, "TIFF", save_all=True, append_images=[second]))


def test_an_8_bit_png_with_a_transparent_colour_is_read():
    data = png(8, 0, [bytes([7] * 20 + [200] * 20)] * 40, (b"tRNS", b"\0\7"))
    (frame,) = frames(data)
    assert [picture.getpixel((0, 0)) for picture in frame.pictures] == [(255, 255, 255), (0, 0, 0)]
    assert [picture.getpixel((39, 0)) for picture in frame.pictures] == [(200, 200, 200)] * 2


# Chromium shows each of these otherwise than Pillow alone would read it, or they cannot both be right.
TWO_PICTURES = [
    "png-header-twice",
    "png-data-half",
    "png-interlaced-short-of-a-pass",
    "png-interlaced-short-of-its-last-pass",
    "png-interlace-method-2",
    "png-palette-of-four-bytes",
    "png-palette-twice",
    "png-palette-missing",
    "png-palette-larger-than-the-depth",
    "png-palette-index-out-of-range",
    "png-transparency-before-the-palette",
    "png-transparency-twice",
    "png-transparency-behind-the-data",
    "png-transparency-longer-than-the-palette",
    "png-compression-method-1",
    "apng-told-behind-the-data",
    "apng-frame-numbers-jump",
    "apng-frame-beyond-the-canvas",
    "apng-frame-without-data",
    "apng-first-frame-smaller-than-the-canvas",
    "gif-no-colour-table",
    "gif-colour-out-of-the-table",
    "gif-code-size-1",
    "gif-control-twice",
    "gif-control-in-two-pieces",
    "gif-control-before-a-text",
    "gif-disposal-7",
    "bmp-rle8-jumps",
    "bmp-colour-out-of-the-table",
    "bmp-grays-out-of-the-table",
    "bmp-8-bits-of-black-and-white",
    "bmp-table-of-300",
    "bmp-data-in-the-table",
    "bmp-alpha-mask-without-fields",
    "bmp-fields-32-of-nothing",
    "bmp-fields-of-os2",
    "webp-lossless-denies-its-transparency",
    "webp-canvas-denies-its-transparency",
    "webp-animation-denies-its-transparency",
    "avif-cropped",
    "tiff-palette-short",
]


@pytest.mark.parametrize("name", TWO_PICTURES)
def test_a_file_that_shows_two_programs_two_pictures_is_refused(name: str):
    with pytest.raises((Undecodable, UnsupportedFormat), match="save it"):
        frames(HOSTILE[name].build())


def test_a_gif_is_read_block_by_block_as_browsers_do():
    # An extension without blocks: Pillow alone takes the picture that follows for its data.
    data = encode(SOURCE, "GIF")
    table_end = 13 + 3 * 256
    found = frames(data[:table_end] + b"\x21\x42\x00" + data[table_end:-1] + data[table_end:])
    assert len(found) == 2
    for frame in found:
        assert abs(np.asarray(frame.pictures[0]).astype(int) - SOURCE).max() <= 48  # 256 colours for 6,144 pixels


def test_orientation_in_xmp_is_not_asked():
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    assert only_picture(encode(SOURCE, "WEBP", lossless=True, xmp=xmp)).shape == SOURCE.shape


def half_transparent() -> Image.Image:
    image = Image.fromarray(SOURCE).convert("RGBA")
    image.putalpha(128)
    return image


TRANSPARENT = {
    "png": (encode(half_transparent(), "PNG"), 1),
    "webp": (encode(half_transparent(), "WEBP", lossless=True), 1),
    "tiff": (encode(half_transparent(), "TIFF"), 1),
    "avif": (encode(half_transparent(), "AVIF", quality=95), 16),
    "heic": ((DATA / "gradient-half-transparent-96x64.heic").read_bytes(), 16),
}


@pytest.mark.parametrize(("data", "tolerance"), TRANSPARENT.values(), ids=TRANSPARENT)
def test_a_transparent_picture_is_seen_on_white_and_on_black(data: bytes, tolerance: int):
    (frame,) = frames(data)
    on_white, on_black = (np.asarray(picture).astype(float) for picture in frame.pictures)
    alpha = 128 / 255
    assert abs(on_white - (SOURCE * alpha + 255 * (1 - alpha))).max() <= tolerance
    assert abs(on_black - SOURCE * alpha).max() <= tolerance


def test_a_palette_with_a_transparent_colour_is_seen_on_both_grounds():
    data = encode(Image.fromarray(gray_levels()).convert("P"), "PNG", transparency=128)
    (frame,) = frames(data)
    on_white, on_black = (np.asarray(picture) for picture in frame.pictures)
    assert (on_white[0, 128].tolist(), on_black[0, 128].tolist()) == ([255] * 3, [0] * 3)
    assert (on_white[0, 64].tolist(), on_black[0, 64].tolist()) == ([64] * 3, [64] * 3)


def partly_hidden(share: float, *, varied: bool = True, alpha: int = 0) -> np.ndarray:
    """Opaque but for the top rows, `share` of all, of 100 x 100 pixels. Those are of one colour, or half of them black."""
    picture = np.full((100, 100, 4), (10, 20, 30, 255), np.uint8)
    picture[: round(100 * share), :, 3] = alpha
    if varied:
        picture[: round(100 * share), ::2, :3] = 0
    return picture


# name: picture, on how many grounds it is judged; the limits are a tenth of all pixels and an alpha of 128
HIDDEN = {
    "half-of-a-fifth-differs": (partly_hidden(0.2), 3),
    "half-of-less-than-a-fifth-differs": (partly_hidden(0.19), 2),
    "of-one-colour": (partly_hidden(1, varied=False), 2),
    "nearly-visible": (partly_hidden(0.5, alpha=128), 2),
    "nearly-not-visible": (partly_hidden(0.5, alpha=127), 3),
    "nothing-hidden": (partly_hidden(0), 1),
}


@pytest.mark.parametrize("format", ["PNG", "WEBP"])
@pytest.mark.parametrize(("picture", "grounds"), HIDDEN.values(), ids=HIDDEN)
def test_colours_that_alpha_hides_are_seen_where_there_is_a_picture_in_them(format, picture, grounds):
    options = {"lossless": True, "exact": True} if format == "WEBP" else {}
    (frame,) = frames(encode(Image.fromarray(picture), format, **options))
    assert len(frame.pictures) == grounds
    if grounds == 3:
        np.testing.assert_array_equal(np.asarray(frame.pictures[2]), picture[:, :, :3])


def with_orientation(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["PNG", "JPEG", "TIFF", "WEBP", "AVIF"])
def test_exif_orientation_turns_the_picture_as_pillow_would(orientation: int, format: str):
    lossless = {"WEBP": {"lossless": True}}.get(format, {})
    data = encode(SOURCE, format, exif=with_orientation(orientation), **lossless)
    stored = Image.fromarray(SOURCE)
    stored.getexif()[0x0112] = orientation
    expected = np.asarray(ImageOps.exif_transpose(stored)).astype(int)
    (frame,) = frames(data)
    assert (frame.height, frame.width) == expected.shape[:2]
    assert abs(only_picture(data) - expected).max() <= (40 if format in ("JPEG", "AVIF") else 0)


def test_heic_is_turned_by_its_own_boxes_and_not_by_exif():
    # ISO/IEC 23008-12, A.2.1: the irot and imir properties alone say how to show the image; this file has none.
    assert abs(only_picture((DATA / "gradient-exif-says-turn-96x64.heic").read_bytes()) - SOURCE).max() <= 16


@pytest.mark.parametrize("damage", [b"", b"\xff" * 30, b"II*\0\xff\xff\xff\xff", b"MM\0*\0\0\0\x08\xff\xff"])
def test_damaged_exif_costs_the_turn_and_not_the_picture(damage: bytes):
    segment = b"Exif\0\0" + damage
    data = encode(SOURCE, "JPEG", quality=95)
    data = data[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + data[2:]
    assert only_picture(data).shape == SOURCE.shape


# --- The fast JPEG path -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("at_least", "expected"),
    [
        (None, (1600, 1200)),
        ((700, 700), (1600, 1200)),
        ((600, 600), (800, 600)),
        ((300, 300), (400, 300)),
        ((1, 1), (200, 150)),
    ],
)
def test_a_jpeg_is_decoded_reduced_but_never_below_what_is_asked(at_least, expected):
    (frame,) = frames(encode(gradient(1600, 1200), "JPEG"), at_least=at_least)
    assert frame.pictures[0].size == expected
    assert (frame.width, frame.height) == (1600, 1200)


def test_a_reduced_jpeg_is_turned_too():
    data = encode(gradient(1600, 1200), "JPEG", exif=with_orientation(6))
    (frame,) = frames(data, at_least=(600, 600))
    assert (frame.width, frame.height, frame.pictures[0].size) == (1200, 1600, (600, 800))


def test_other_formats_are_decoded_in_full():
    (frame,) = frames(encode(gradient(400, 300), "PNG"), at_least=(10, 10))
    assert frame.pictures[0].size == (400, 300)


# --- Animations -------------------------------------------------------------------------------------------------------

COLOURS = [np.full((20, 30, 3), (40 * i, 250 - 40 * i, 7), np.uint8) for i in range(6)]
ANIMATIONS = {
    "gif": (animation(COLOURS), 0),
    "webp": (animation(COLOURS, "WEBP", lossless=True), 0),
    "png": (animation(COLOURS, "PNG"), 0),
    "tiff": (animation(COLOURS, "TIFF"), 0),
    "avif": (animation(COLOURS, "AVIF", quality=95), 8),
}


@pytest.mark.parametrize(("data", "tolerance"), ANIMATIONS.values(), ids=ANIMATIONS)
def test_every_frame_of_a_short_animation_is_decoded(data: bytes, tolerance: int):
    found = frames(data)
    assert decode(data, LIMITS).frames_in_file == 6
    assert [frame.index for frame in found] == [0, 1, 2, 3, 4, 5]
    for frame, expected in zip(found, COLOURS, strict=True):
        assert abs(np.asarray(frame.pictures[0]).astype(int) - expected).max() <= tolerance


@pytest.mark.parametrize(("data", "tolerance"), ANIMATIONS.values(), ids=ANIMATIONS)
def test_a_long_animation_is_sampled_evenly_from_first_to_last(data: bytes, tolerance: int):
    found = frames(data, DecodeLimits(max_sampled_frames=3))
    assert [frame.index for frame in found] == [0, 2, 5]
    assert abs(np.asarray(found[2].pictures[0]).astype(int) - COLOURS[5]).max() <= tolerance


@given(count=st.integers(1, 2000), at_most=st.integers(1, 64))
def test_samples_are_distinct_in_order_and_reach_both_ends(count: int, at_most: int):
    indices = sample_indices(count, at_most)
    assert indices == sorted({*indices})
    assert len(indices) == min(count, at_most)
    assert indices[0] == 0
    if at_most > 1:
        assert indices[-1] == count - 1


TIMES_MS = [40, 40, 40, 60_000, 40, 40, 40, 20, 9_000, 40, 40, 40]
TWELVE = [np.full((20, 30, 3), (20 * i, 250 - 20 * i, 7), np.uint8) for i in range(12)]


@pytest.mark.parametrize("format", ["GIF", "PNG", "WEBP"])
def test_the_frames_that_are_shown_longest_are_always_among_the_sampled(format: str):
    first, *rest = [Image.fromarray(frame) for frame in TWELVE]
    data = encode(first, format, save_all=True, append_images=rest, duration=TIMES_MS)
    found = frames(data, DecodeLimits(max_sampled_frames=4))
    assert [frame.index for frame in found] == [0, 3, 8, 11]


# name: times in ms, how many are taken, which: half evenly, the others by their times
SAMPLES = {
    "no-times": ((), 4, [0, 3, 6, 9]),
    "all-alike": ([100] * 10, 4, [0, 3, 6, 9]),
    "none-is-shown-as-100": ([0] * 5 + [10] * 4 + [100], 4, [0, 3, 6, 9]),
    "10-is-shown-as-100-and-11-as-11": ([11, 11, 10, 11, 11, 11, 11, 11, 0, 11], 4, [0, 2, 8, 9]),
    "of-two-alike-the-earlier": ([50, 50, 70, 50, 90, 70, 50, 50, 50, 50], 4, [0, 2, 4, 9]),
    "the-longest-are-even-ones": ([900] + [50] * 8 + [900], 4, [0, 1, 2, 9]),
    "one-alone": ([50] * 9 + [60], 1, [0]),
    "two": ([50, 50, 60] + [50] * 7, 2, [0, 2]),
    "odd-number": ([50, 50, 60] + [50] * 7, 3, [0, 2, 9]),
}


@pytest.mark.parametrize(("times", "at_most", "expected"), SAMPLES.values(), ids=SAMPLES)
def test_half_of_a_sample_is_even_and_half_are_the_longest(times, at_most: int, expected: list[int]):
    assert sample_indices(10, at_most, times) == expected


@given(times=st.lists(st.integers(0, 70_000), min_size=1, max_size=200), at_most=st.integers(1, 64))
def test_samples_by_time_are_distinct_in_order_and_as_many(times: list[int], at_most: int):
    indices = sample_indices(len(times), at_most, times)
    assert indices == sorted({*indices})
    assert len(indices) == min(len(times), at_most)
    assert 0 <= indices[0] <= indices[-1] < len(times)


def test_a_webp_whose_frames_can_be_counted_in_two_ways_is_refused():
    data = animation(COLOURS, "WEBP", lossless=True)
    extra = b"ANMF" + struct.pack("<I", 24) + bytes(24)
    with pytest.raises(Undecodable):
        frames(data[:4] + struct.pack("<I", len(data) - 8 + len(extra)) + data[8:] + extra)


def test_the_second_picture_behind_a_phones_jpeg_is_not_a_frame():
    data = encode(Image.fromarray(SOURCE), "MPO", save_all=True, append_images=[Image.fromarray(SOURCE[::-1])])
    assert decode(data, LIMITS).frames_in_file == 1


RED, BLUE, WHITE, GRAY = (255, 0, 0), (0, 0, 255), (255, 255, 255), (0x99, 0x99, 0x99)
TABLE = gif_table(RED, BLUE, BLUE, BLUE)


def blue(left: int = 0) -> bytes:
    return gif_image(gif_lzw(bytes([1]) * 64), 8, 8, left)


def first_control(**options: int) -> bytes:
    return actl(2) + fctl(0, 64, 48, **options)


# name: file, what its last frame shows on white at (4, 4), at (24, 4) and at (60, 40): GIF89a, 23.c; PNG 3, 11.3.6.2
COMPOSED = {
    "gif-around-a-small-frame-nothing-is-drawn": (gif(blue(20), table=TABLE), [WHITE, BLUE, WHITE]),
    "gif-a-frame-is-kept": (gif(filled() + blue() + blue(20), table=TABLE), [BLUE, BLUE, RED]),
    "gif-a-frame-is-cleared": (gif(control(2) + filled() + blue(20), table=TABLE), [WHITE, BLUE, WHITE]),
    "gif-what-was-before-a-frame-is-restored": (
        gif(filled() + control(3) + blue() + blue(20), table=TABLE),
        [RED, BLUE, RED],
    ),
    "gif-nothing-was-before-the-first-frame": (gif(control(3) + filled() + blue(), table=TABLE), [BLUE, WHITE, WHITE]),
    "gif-a-disposal-is-one-frames-own": (
        gif(control(2) + filled() + control(0) + blue() + control(0) + blue(20), table=TABLE),
        [BLUE, BLUE, WHITE],
    ),
    "gif-a-transparent-index-needs-no-colour": (
        gif(control(0, 3) + gif_image(gif_lzw(bytes([3]) * 64 * 48)) + blue(20), table=gif_table(RED, BLUE)),
        [WHITE, BLUE, WHITE],
    ),
    "gif-a-transparent-index-shows-what-was-cleared": (
        gif(control(2) + filled() + control(0, 0) + filled() + control(0) + blue(20), table=TABLE),
        [WHITE, BLUE, WHITE],
    ),
    "png-a-frame-is-kept": (
        hostile_png(before=first_control(), after=fctl(1, 8, 8) + fdat(2, 8, 8)),
        [GRAY, (0x55,) * 3, (0x55,) * 3],
    ),
    "png-a-frame-is-cleared": (
        hostile_png(before=first_control(dispose=1), after=fctl(1, 8, 8, x=20) + fdat(2, 8, 8)),
        [WHITE, GRAY, WHITE],
    ),
    "png-nothing-was-before-the-first-frame": (
        hostile_png(before=first_control(dispose=2), after=fctl(1, 8, 8) + fdat(2, 8, 8)),
        [GRAY, WHITE, WHITE],
    ),
    "png-what-was-before-a-frame-is-restored": (
        hostile_png(
            before=actl(3) + fctl(0, 64, 48),
            after=fctl(1, 8, 8, dispose=2) + fdat(2, 8, 8) + fctl(3, 8, 8, x=20) + fdat(4, 8, 8),
        ),
        [(0x55,) * 3, GRAY, (0x55,) * 3],
    ),
    "png-the-first-picture-is-no-frame": (
        hostile_png(before=actl(1), after=fctl(0, 8, 8) + fdat(1, 8, 8)),
        [GRAY, WHITE, WHITE],
    ),
    "png-a-transparent-colour-replaces": (
        hostile_png(before=chunk(b"tRNS", b"\0\x99" * 3) + first_control(), after=fctl(1, 8, 8) + fdat(2, 8, 8)),
        [WHITE, (0x55,) * 3, (0x55,) * 3],
    ),
    "png-a-transparent-colour-is-drawn-over": (
        hostile_png(
            before=chunk(b"tRNS", b"\0\x99" * 3) + first_control(), after=fctl(1, 8, 8, blend=1) + fdat(2, 8, 8)
        ),
        [(0x55,) * 3, (0x55,) * 3, (0x55,) * 3],
    ),
}


@pytest.mark.parametrize(("data", "expected"), COMPOSED.values(), ids=COMPOSED)
def test_frames_are_put_together_as_browsers_do(data: bytes, expected: list[tuple[int, int, int]]):
    last = frames(data)[-1].pictures[0]
    assert [last.getpixel(place) for place in ((4, 4), (24, 4), (60, 40))] == expected


def test_a_frame_that_leaves_out_pixels_is_seen_on_both_grounds():
    (frame,) = frames(gif(blue(20), table=TABLE))
    assert [picture.getpixel((0, 0)) for picture in frame.pictures] == [(255, 255, 255), (0, 0, 0)]


def test_a_picture_of_no_size_is_undecodable():
    with pytest.raises(Undecodable, match="0 x 0; there is nothing to see"):
        frames(HOSTILE["heic-without-ispe"].build())


# --- Limits, each at both sides ---------------------------------------------------------------------------------------


def test_the_limit_on_bytes():
    data = encode(SOURCE, "PNG")
    assert frames(data, DecodeLimits(max_bytes=len(data)))
    with pytest.raises(TooLarge, match="max_bytes"):
        decode(data, DecodeLimits(max_bytes=len(data) - 1))


@pytest.mark.parametrize("name", FORMATS)
def test_the_limit_on_pixels_of_a_frame(name: str):
    data = FORMATS[name][0]
    assert frames(data, DecodeLimits(max_pixels=96 * 64))
    with pytest.raises(TooManyPixels, match="96 x 64.*max_pixels"):
        frames(data, DecodeLimits(max_pixels=96 * 64 - 1))


@pytest.mark.parametrize("name", ANIMATIONS)
def test_the_limit_on_frames_in_a_file(name: str):
    data = ANIMATIONS[name][0]
    assert len(frames(data, DecodeLimits(max_frames=6))) == 6
    with pytest.raises(TooManyFrames, match="max_frames"):
        decode(data, DecodeLimits(max_frames=5))


@pytest.mark.parametrize("name", ANIMATIONS)
def test_the_limit_on_pixels_of_all_frames(name: str):
    data = ANIMATIONS[name][0]
    assert frames(data, DecodeLimits(max_total_pixels=6 * 600))
    with pytest.raises(TooManyPixels, match="max_total_pixels"):
        frames(data, DecodeLimits(max_total_pixels=6 * 600 - 1))


def test_frames_that_are_skipped_count_where_the_decoder_goes_through_them():
    limits = DecodeLimits(max_sampled_frames=2, max_total_pixels=3 * 600)
    with pytest.raises(TooManyPixels):
        frames(ANIMATIONS["gif"][0], limits)
    assert len(frames(ANIMATIONS["tiff"][0], limits)) == 2


def test_the_limit_on_scans():
    data = encode(SOURCE, "JPEG", progressive=True)  # 10 scans
    assert frames(data, DecodeLimits(max_scans=10))
    with pytest.raises(Undecodable, match="max_scans"):
        decode(data, DecodeLimits(max_scans=9))


def test_a_header_that_claims_a_huge_picture_is_refused_before_it_is_decoded():
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    with pytest.raises(TooManyPixels, match="3,600,000,000 pixels"):
        frames(png)


# --- Damage -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FORMATS)
def test_a_file_cut_in_half_is_undecodable(name: str):
    data = FORMATS[name][0]
    with pytest.raises(Undecodable):
        frames(data[: len(data) // 2])


@settings(max_examples=150, deadline=None)
@given(name=st.sampled_from(sorted(FORMATS)), data=st.data())
def test_damage_ends_in_frames_or_in_an_error_of_ours(name: str, data: st.DataObject):
    damaged = bytearray(FORMATS[name][0])
    for _ in range(data.draw(st.integers(1, 8))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    try:
        found = frames(bytes(damaged), DecodeLimits(max_pixels=1_000_000, max_total_pixels=4_000_000))
    except ImageError:
        return
    assert all(picture.mode == "RGB" for frame in found for picture in frame.pictures)


def test_two_threads_decode_at_once():
    from concurrent.futures import ThreadPoolExecutor

    sources = [noise(80, 60, seed=i) for i in range(20)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(only_picture, [encode(source, "PNG") for source in sources]))
    for picture, source in zip(found, sources, strict=True):
        np.testing.assert_array_equal(picture, source)


def test_a_heic_without_a_picture_that_can_be_shown_is_undecodable():
    data = (DATA / "gradient-96x64.heic").read_bytes()
    with pytest.raises(Undecodable):
        frames(data.replace(b"hvcC", b"xxxx"))
