"""PDQ: the bits of Meta's own program, what is a copy and what is not, and where a hash says nothing."""

from __future__ import annotations

import io
import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from pdq_pictures import DRAWINGS, PHOTOGRAPHS, from_package, pictures
from pictures import encode, noise, plain
from PIL import Image, ImageOps

from demure.pdq import BITS, MAX_SIDE, MIN_QUALITY, Fingerprint, fingerprint, luma

GOLDEN = json.loads((Path(__file__).parent / "pdq_golden.json").read_text(encoding="utf-8"))["pictures"]
NEAR = 31  # bits that may differ in a copy, as Meta's document advises


def distance(one: bytes, other: bytes) -> int:
    return (int.from_bytes(one) ^ int.from_bytes(other)).bit_count()


def seen(picture: Image.Image) -> Fingerprint:
    """As a decoder hands it on: gray, stretched to 512 x 512."""
    return fingerprint(np.asarray(picture.convert("L").resize((MAX_SIDE, MAX_SIDE), Image.Resampling.BILINEAR)))


def compressed(picture: Image.Image, quality: int) -> Image.Image:
    return Image.open(io.BytesIO(encode(picture, "JPEG", quality=quality)))


@pytest.fixture(scope="module")
def photographs() -> dict[str, Image.Image]:
    return {file: Image.fromarray(from_package(file)) for file in PHOTOGRAPHS}


@pytest.fixture(scope="module")
def ours() -> dict[str, Fingerprint]:
    return {name: fingerprint(luma(picture)) for name, picture in pictures()}


def test_every_picture_of_the_golden_file_is_looked_at(ours):
    assert ours.keys() == GOLDEN.keys()
    assert len(ours) > 250


def test_hashes_are_those_of_the_reference(ours):
    """All but one bit for bit where this was written. Another processor may round a bit that lies at the median elsewhere."""
    told = {name: bytes.fromhex(row["hash"]) for name, row in GOLDEN.items() if row["quality"] >= MIN_QUALITY}
    apart = {name: distance(ours[name].hash, reference) for name, reference in told.items()}
    assert len(told) > 200
    assert {name: bits for name, bits in apart.items() if bits > 2} == {}
    assert sum(bits > 0 for bits in apart.values()) <= 5


def test_qualities_are_those_of_the_reference(ours):
    """Pictures of five pixels a side are left out: there is little but bands across bands in them, which have none here."""
    told = {name: row["quality"] for name, row in GOLDEN.items() if not name.endswith((" 6x5", " 5x5"))}
    apart = {name: (ours[name].quality, quality) for name, quality in told.items()}
    assert {name: pair for name, pair in apart.items() if abs(pair[0] - pair[1]) > 1} == {}


def test_a_hash_is_32_bytes_half_of_whose_bits_are_set(ours):
    coffee = ours["coffee.png 512x512"].hash
    assert len(coffee) == BITS // 8
    assert int.from_bytes(coffee).bit_count() == BITS // 2


# Of the six photographs of things the bits that differ are at most 4, 2, 0 and 10; of the wall of bricks 8, 12 and 2.
COPIES = {
    "JPEG of quality 30": lambda picture: compressed(picture, 30),
    "half the size": lambda picture: picture.resize((picture.width // 2, picture.height // 2)),
    "twice the size": lambda picture: picture.resize((picture.width * 2, picture.height * 2)),
    "gray": lambda picture: picture.convert("L"),
    "JPEG of quality 60, 160 pixels": lambda picture: compressed(ImageOps.contain(picture, (160, 160)), 60),
}


@pytest.mark.parametrize("name", COPIES)
def test_a_copy_is_near(name: str, photographs):
    # Thumbnails of brick.png, which has nothing but its fine grain, are 40 bits away.
    kept = {file: p for file, p in photographs.items() if not (file == "brick.png" and "160" in name)}
    apart = {file: distance(seen(picture).hash, seen(COPIES[name](picture)).hash) for file, picture in kept.items()}
    assert {file: bits for file, bits in apart.items() if bits > 20} == {}


# A limit of PDQ, told in the documents. They are 114 bits away and more; cut by a tenth at each side, 90 and more.
OTHERS = {
    "turned": lambda picture: picture.transpose(Image.Transpose.ROTATE_90),
    "upside down": lambda picture: picture.transpose(Image.Transpose.ROTATE_180),
    "mirrored": ImageOps.mirror,
    "cut by a tenth at each side": lambda picture: ImageOps.crop(picture, min(picture.size) // 10),
}


@pytest.mark.parametrize("name", OTHERS)
def test_a_copy_is_not_known_again_when(name: str, photographs):
    apart = [distance(seen(picture).hash, seen(OTHERS[name](picture)).hash) for picture in photographs.values()]
    assert min(apart) > 2 * NEAR


def test_different_pictures_are_far_apart(photographs):
    """114 bits at the least; chance makes 128."""
    everything = [*photographs.values(), *(Image.fromarray(from_package(file)) for file in DRAWINGS)]
    hashes = [seen(picture).hash for picture in everything]
    assert min(distance(*pair) for pair in itertools.combinations(hashes, 2)) > 90


@pytest.mark.parametrize("colour", [[0, 0, 0], [255, 255, 255], [255, 0, 0], [127, 128, 129]])
def test_a_flat_picture_has_no_quality(colour: list[int]):
    assert fingerprint(luma(plain(colour, 300))).quality == 0


def test_a_photograph_has_quality_enough(photographs):
    assert min(seen(picture).quality for picture in photographs.values()) >= MIN_QUALITY


def tricolour(*, upright: bool) -> np.ndarray:
    bands = np.repeat(np.array([255, 40, 120], np.uint8), 100)
    return np.tile(bands, (300, 1)) if upright else np.tile(bands[:, np.newaxis], (1, 300))


def with_rectangle(left: int, top: int, right: int, bottom: int) -> np.ndarray:
    page = np.full((512, 512), 255, np.uint8)
    page[top:bottom, left:right] = 0
    return page


def with_disc() -> np.ndarray:
    y, x = np.mgrid[0:512, 0:512]
    return np.where((x - 200) ** 2 + (y - 230) ** 2 < 150**2, 0, 255).astype(np.uint8)


# The reference gives them 50 to 100; two of them may have the same bits, or any.
SIMPLE = {
    "upright bands": tricolour(upright=True),
    "level bands": tricolour(upright=False),
    "bands with a grain of one level": tricolour(upright=True) - noise(300, 300)[..., 0] % 2,
    "a flag on a page": np.pad(tricolour(upright=True), 106, constant_values=255),
    "a rectangle": with_rectangle(100, 150, 400, 380),
    "a dark corner": with_rectangle(300, 350, 512, 512),
    "a chessboard": np.kron(np.indices((8, 8)).sum(axis=0) % 2 * 255, np.ones((64, 64))).astype(np.uint8),
}


@pytest.mark.parametrize("name", SIMPLE)
def test_bands_across_bands_have_no_quality(name: str):
    assert fingerprint(SIMPLE[name]).quality == 0


@pytest.mark.parametrize("picture", [with_disc(), with_rectangle(100, 150, 400, 380) & with_disc()])
def test_other_shapes_have(picture: np.ndarray):
    assert fingerprint(picture).quality >= MIN_QUALITY


@pytest.mark.parametrize("shape", [(4, 100), (100, 4), (1, 1)])
def test_a_picture_under_five_pixels_has_no_hash(shape: tuple[int, int]):
    assert fingerprint(luma(noise(shape[1], shape[0]))) == Fingerprint(bytes(32), 0)


@pytest.mark.parametrize("shape", [(513, 20), (20, 513)])
def test_a_larger_picture_is_refused(shape: tuple[int, int]):
    with pytest.raises(ValueError, match="reduce it to 512 x 512 first"):
        fingerprint(np.zeros(shape, np.uint8))


def test_levels_may_be_bytes_or_floats():
    gray = noise(200, 100)[..., 0]
    assert fingerprint(gray) == fingerprint(gray.astype(np.float32))


def test_luma_is_the_gray_of_pillow_before_it_is_rounded():
    pixels = noise(100, 100)
    rounded = np.asarray(Image.fromarray(pixels).convert("L"))
    assert np.abs(luma(pixels) - rounded).max() < 0.51
