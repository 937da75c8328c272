from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from pictures import EXAMPLE, animation, encode, gradient, noise, plain
from PIL import Image, ImageCms, PngImagePlugin
from profiles import SWAPPED

from demure.decode import DecodeLimits
from demure.errors import NotAnImage, Overloaded, TooManyPixels, Undecodable
from demure.inputs import Inputs, Recipe, prepare
from demure.previews import Preview, make_previews
from demure.sandbox import Sandbox

DATA = Path(__file__).parent / "data"
LIMITS = DecodeLimits()


def picture(preview: Preview) -> np.ndarray:
    """What the preview's bytes hold, which must be what it says of them."""
    with Image.open(io.BytesIO(preview.data)) as image:
        assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (preview.width, preview.height))
        assert preview.type == "image/jpeg"
        return np.asarray(image)


def colour(preview: Preview) -> list[float]:
    return picture(preview).mean(axis=(0, 1)).tolist()


def exif(**tags: object) -> Image.Exif:
    """`orientation`, `maker`; `place` for GPS coordinates."""
    made = Image.Exif()
    made[0x0112], made[0x010F] = tags.get("orientation", 1), tags.get("maker", "camera")
    if "place" in tags:
        made[0x8825] = {1: "N", 2: (48.0, 51.0, 29.6), 29: tags["place"]}
    return made


def test_a_photograph_has_one_preview_that_looks_like_it():
    (preview,) = make_previews(prepare, EXAMPLE.read_bytes(), 0, LIMITS)
    original = Image.open(EXAMPLE).convert("RGB")
    original.thumbnail((512, 512))
    assert (preview.number, preview.frame) == (0, 0)
    assert (preview.width, preview.height) == original.size
    assert max(original.size) == 512
    assert np.abs(picture(preview).astype(int) - np.asarray(original)).mean() < 4


def test_a_sandbox_makes_the_same(sandbox: Sandbox):
    data = animation([gradient(600, 400), noise(600, 400), gradient(600, 400)])
    assert make_previews(sandbox.prepare, data, 1, LIMITS) == make_previews(prepare, data, 1, LIMITS)


TRANSPARENT = encode(np.dstack([plain([99, 99, 99], 200), np.full((200, 200), 9, np.uint8)]), "PNG")


@pytest.mark.parametrize(("worst_row", "is_white"), [(0, [True, False]), (1, [False, True])])
def test_a_transparent_picture_is_shown_on_both_grounds(worst_row: int, is_white: list[bool]):
    previews = make_previews(prepare, TRANSPARENT, worst_row, LIMITS)
    assert [(p.number, p.frame, p.width) for p in previews] == [(0, 0, 200), (1, 0, 160)]
    assert [min(colour(p)) > 240 for p in previews] == is_white
    assert [max(colour(p)) < 15 for p in previews] == [not white for white in is_white]


def test_the_worst_frame_of_an_animation_is_large_and_the_others_are_a_strip():
    frames = [plain([0, 40 * i, 0], 600) for i in range(7)]
    frames[3] = plain([255, 0, 0], 600)
    worst, *strip = make_previews(prepare, animation(frames), 3, LIMITS)
    assert (worst.number, worst.frame, worst.width, worst.height) == (0, 3, 512, 512)
    assert colour(worst) == pytest.approx([255, 0, 0], abs=3)
    assert [(p.number, p.frame, p.width) for p in strip] == [
        (1, 0, 160),
        (2, 1, 160),
        (3, 2, 160),
        (4, 4, 160),
        (5, 5, 160),
        (6, 6, 160),
    ]
    assert [colour(p)[1] for p in strip] == pytest.approx([0, 40, 80, 160, 200, 240], abs=4)


def test_one_row_alone_leaves_the_decoder_large():
    answers: list[Inputs] = []

    def watched(data: bytes, recipe: Recipe) -> Inputs:
        answers.append(prepare(data, recipe))
        return answers[-1]

    make_previews(watched, animation([noise(600, 600, seed=i) for i in range(5)]), 2, LIMITS)
    (inputs,) = answers
    sides = [max(p.width for p in row.pixels.values()) for row in inputs.rows]
    assert sides == [160, 160, 512, 160, 160]


def test_a_long_strip_is_thinned_out_evenly():
    """40 frames, of which 32 are decoded, each on two grounds: 63 rows beside the worst."""
    frames = [np.dstack([plain([6 * i, 0, 0], 20), np.full((20, 20), 200, np.uint8)]) for i in range(40)]
    _, *strip = make_previews(prepare, animation(frames, "PNG"), 30, LIMITS)
    assert len(strip) == 32
    assert [p.number for p in strip] == [*range(1, 33)]
    shown = [p.frame for p in strip]
    assert shown == sorted(shown)
    assert (shown[0], shown[-1]) == (0, 39)
    assert max(np.diff(shown)) <= 3


def test_what_the_file_tells_of_its_maker_is_gone():
    secret = "SECRET" * 3
    thumbnail = encode(noise(20, 20), "JPEG")
    data = encode(
        noise(64, 48),
        "JPEG",
        exif=exif(maker=secret, place=secret).tobytes() + thumbnail,
        icc_profile=ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(),
        comment=secret,
        xmp=f"<x:xmpmeta>{secret}</x:xmpmeta>".encode(),
    )
    marks = [b"SECRET", b"Exif", b"ICC_PROFILE", b"xmpmeta", b"\xff\xfe"]
    assert [data.count(mark) > 0 for mark in marks] == [True] * 5
    (preview,) = make_previews(prepare, data, 0, LIMITS)
    assert [preview.data.count(mark) for mark in marks[:4]] == [0] * 4
    assert segments(preview.data) == {0xE0, 0xDB, 0xC0, 0xC4, 0xDA}  # JFIF's own, tables, frame, tables, scan
    with Image.open(io.BytesIO(preview.data)) as image:
        assert not image.getexif()
        assert {*image.info} == {"jfif", "jfif_version", "jfif_unit", "jfif_density"}


def segments(data: bytes) -> set[int]:
    """The markers of a JPEG up to its scan (ITU-T T.81, B.1.1)."""
    found, at = set(), 2
    while 0xDA not in found:
        found.add(data[at + 1])
        at += 2 + int.from_bytes(data[at + 2 : at + 4])
    return found


def test_text_of_a_png_is_gone():
    text = PngImagePlugin.PngInfo()
    text.add_text("Author", "SECRET")
    data = encode(gradient(64, 48), "PNG", pnginfo=text)
    assert b"SECRET" in data
    (preview,) = make_previews(prepare, data, 0, LIMITS)
    assert b"SECRET" not in preview.data


def test_a_picture_that_lies_on_its_side_is_turned_upright():
    """Orientation 6: what is stored at the left belongs at the top."""
    stored = np.zeros((40, 80, 3), np.uint8)
    stored[:, :40] = 255
    (preview,) = make_previews(prepare, encode(stored, "JPEG", exif=exif(orientation=6)), 0, LIMITS)
    assert (preview.width, preview.height) == (40, 80)
    upright = picture(preview)
    assert upright[:36].min() > 240
    assert upright[44:].max() < 15


def test_an_odd_profile_is_shown_with_and_without():
    data = encode(np.full((48, 64, 3), (10, 200, 60), np.uint8), "PNG", icc_profile=SWAPPED)
    shown, as_it_lies = make_previews(prepare, data, 1, LIMITS)
    assert colour(as_it_lies) == pytest.approx([10, 200, 60], abs=4)
    assert colour(shown) == pytest.approx([201, 3, 57], abs=4)  # Chromium 156


def gray_of_16_bits() -> bytes:
    return encode(Image.fromarray(np.full((48, 64), 0x8000, np.uint16)), "PNG")


KINDS = {  # the file, (width, height) and, where it is plain, its colour
    "cmyk-jpeg": (encode(Image.new("CMYK", (900, 600), (0, 255, 255, 0)), "JPEG"), (512, 341), [255, 0, 0]),
    "16-bit-png": (gray_of_16_bits(), (64, 48), [128, 128, 128]),
    "palette-gif": (encode(Image.new("P", (64, 48)), "GIF"), (64, 48), [0, 0, 0]),
    "webp": (encode(plain([0, 0, 200], 600), "WEBP"), (512, 512), [0, 0, 200]),
    "avif": (encode(plain([0, 0, 200], 600), "AVIF"), (512, 512), [0, 0, 200]),
    "heic": ((DATA / "gradient-96x64.heic").read_bytes(), (96, 64), None),
    "wide-line": (encode(np.full((1, 10_000, 3), 200, np.uint8), "PNG"), (512, 1), [200, 200, 200]),
    "tall-line": (encode(np.full((10_000, 1, 3), 200, np.uint8), "JPEG"), (1, 512), [200, 200, 200]),
    "large-jpeg": (encode(plain([0, 0, 200], 3000), "JPEG"), (512, 512), [0, 0, 200]),
    "one-pixel": (encode(plain([0, 0, 200], 1), "PNG"), (1, 1), [0, 0, 200]),
}


@pytest.mark.parametrize(("data", "size", "expected"), KINDS.values(), ids=KINDS)
def test_a_picture_of_any_kind_is_rgb_and_small(data: bytes, size: tuple[int, int], expected: list[int] | None):
    (preview,) = make_previews(prepare, data, 0, LIMITS)
    assert (preview.width, preview.height) == size
    assert len(preview.data) < 200_000
    if expected is not None:
        assert colour(preview) == pytest.approx(expected, abs=3)


def test_noise_of_the_full_size_is_still_small():
    (preview,) = make_previews(prepare, encode(noise(512, 512), "PNG"), 0, LIMITS)
    assert len(preview.data) < 400_000


def test_a_row_that_is_not_found_again_leaves_the_last_one_as_large():
    worst, *strip = make_previews(prepare, animation([plain([80 * i, 0, 0], 300) for i in range(3)]), 7, LIMITS)
    assert (worst.frame, worst.width) == (2, 300)
    assert [p.frame for p in strip] == [0, 1]


def test_a_decoder_that_loses_rows_each_time_is_undecodable():
    two, one = animation([noise(20, 20, seed=i) for i in range(2)]), encode(noise(20, 20), "PNG")
    files = iter([two, one])
    with pytest.raises(Undecodable, match="fewer pictures each time"):
        make_previews(lambda _, recipe: prepare(next(files), recipe), two, 5, LIMITS)


def test_limits_hold_here_too():
    with pytest.raises(NotAnImage):
        make_previews(prepare, b"no image", 0, LIMITS)
    with pytest.raises(TooManyPixels):
        make_previews(prepare, TRANSPARENT, 0, DecodeLimits(max_pixels=39_999))
    assert make_previews(prepare, TRANSPARENT, 0, DecodeLimits(max_pixels=40_000))


def test_an_overload_is_told():
    def none_free(data: bytes, recipe: Recipe) -> Inputs:
        raise Overloaded("no decoder could be started")

    with pytest.raises(Overloaded):
        make_previews(none_free, TRANSPARENT, 0, LIMITS)
