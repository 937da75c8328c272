from __future__ import annotations

import numpy as np
import pytest
from pictures import animation, encode, gradient, noise
from profiles import INVERTING, SWAPPED

from demure.decode import MOST_PICTURES, DecodeLimits, Media
from demure.errors import NotAnImage, TooManyPixels, Undecodable
from demure.inputs import Recipe, prepare, prepare_array
from demure.preprocess import Crop, Fidelity, Resize

PLAIN = (Resize(8, 8, antialias=False),)
CROPPED = (Resize(10, 12, antialias=True), Crop(6, 6))
BOTH = Recipe({"plain": PLAIN, "cropped": CROPPED})


def test_every_model_gets_its_own_pixels_of_one_decode():
    inputs = prepare(encode(gradient(40, 30), "PNG"), BOTH)
    assert inputs.media == Media("image/png", 40, 30, 1, 1)
    (row,) = inputs.rows
    assert {name: (p.width, p.height, len(p.data)) for name, p in row.pixels.items()} == {
        "plain": (8, 8, 192),
        "cropped": (6, 6, 108),
    }


def test_a_reduced_decode_keeps_four_times_the_largest_input_or_twice_that_of_a_step_that_takes_averages():
    assert Recipe({"plain": PLAIN}).at_least == (32, 32)
    assert Recipe({"cropped": CROPPED}).at_least == (20, 24)
    assert BOTH.at_least == (32, 32)


def test_reference_decodes_in_full():
    assert Recipe({"plain": PLAIN}, Fidelity.REFERENCE).at_least is None


def test_an_animation_makes_a_row_a_frame():
    inputs = prepare(animation([noise(20, 20, seed=i) for i in range(7)]), Recipe({"m": PLAIN}))
    assert [row.frame for row in inputs.rows] == [0, 1, 2, 3, 4, 5, 6]
    assert (inputs.media.frames, inputs.media.sampled) == (7, 7)


def test_what_is_sampled_is_told():
    recipe = Recipe({"m": PLAIN}, limits=DecodeLimits(max_sampled_frames=3))
    inputs = prepare(animation([noise(20, 20, seed=i) for i in range(7)]), recipe)
    assert [row.frame for row in inputs.rows] == [0, 3, 6]
    assert (inputs.media.frames, inputs.media.sampled) == (7, 3)


TRANSPARENT = encode(np.dstack([np.full((20, 20, 3), 99, np.uint8), np.full((20, 20), 9, np.uint8)]), "PNG")


def test_a_transparent_picture_makes_two_rows_of_one_frame():
    inputs = prepare(TRANSPARENT, Recipe({"m": PLAIN}))
    assert [row.frame for row in inputs.rows] == [0, 0]
    white, black = (row.pixels["m"].as_array().mean() for row in inputs.rows)
    assert white > 240
    assert black < 15


def test_reference_sees_a_transparent_picture_on_white_alone():
    (row,) = prepare(TRANSPARENT, Recipe({"m": PLAIN}, Fidelity.REFERENCE)).rows
    assert row.pixels["m"].as_array().mean() > 240


def test_an_odd_profile_makes_a_row_more_and_reference_reads_the_colours_as_they_lie():
    data = encode(np.full((20, 20, 3), (10, 200, 60), np.uint8), "PNG", icc_profile=SWAPPED)
    as_it_lies, shown = prepare(data, Recipe({"m": PLAIN})).rows
    assert as_it_lies.pixels["m"].as_array()[4, 4].tolist() == [10, 200, 60]
    assert shown.pixels["m"].as_array()[4, 4].tolist() == pytest.approx([201, 3, 57], abs=3)  # Chromium 156
    (reference,) = prepare(data, Recipe({"m": PLAIN}, Fidelity.REFERENCE)).rows
    assert reference.pixels["m"].as_array()[4, 4].tolist() == [10, 200, 60]


def test_no_frame_makes_more_rows_than_a_decoder_may_answer():
    hidden = np.dstack([noise(20, 20), np.full((20, 20), 9, np.uint8)])
    rows = prepare(encode(hidden, "PNG", icc_profile=INVERTING), Recipe({"m": PLAIN})).rows
    assert len(rows) == MOST_PICTURES == 6


def test_damage_in_a_later_frame_fails_the_whole_image():
    data = animation([noise(40, 40, seed=i) for i in range(4)])
    with pytest.raises(Undecodable):
        prepare(data[: len(data) * 3 // 4], Recipe({"m": PLAIN}))


def test_an_array_makes_the_same_pixels_as_its_file():
    source = gradient(40, 30)
    from_file, from_array = prepare(encode(source, "PNG"), BOTH), prepare_array(source, BOTH)
    assert from_array.rows == from_file.rows
    assert from_array.media == Media(None, 40, 30, 1, 1)


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((8, 8), np.uint8),
        np.zeros((8, 8, 4), np.uint8),
        np.zeros((8, 8, 3), np.float32),
        np.zeros((0, 8, 3), np.uint8),
        np.zeros((1, 8, 8, 3), np.uint8),
    ],
    ids=["gray", "rgba", "float", "empty", "batch"],
)
def test_an_array_of_another_shape_or_type_is_refused(array: np.ndarray):
    with pytest.raises(NotAnImage, match=r"shape \(height, width, 3\)"):
        prepare_array(array, BOTH)


def test_an_array_has_a_limit_on_pixels_too():
    recipe = Recipe({"m": PLAIN}, limits=DecodeLimits(max_pixels=1200))
    assert prepare_array(gradient(40, 30), recipe)
    with pytest.raises(TooManyPixels, match="max_pixels"):
        prepare_array(gradient(41, 30), recipe)
