from __future__ import annotations

import numpy as np
import pytest
from pictures import animation, encode, gradient, noise, plain
from profiles import INVERTING, SWAPPED

from demure.decode import MOST_PICTURES, DecodeLimits, Media
from demure.errors import NotAnImage, TooManyPixels, Undecodable
from demure.inputs import Recipe, prepare, prepare_array
from demure.preprocess import Crop, Fidelity, Fit, Jpeg, Luma, Resize

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


def test_luma_and_previews_keep_the_size_that_they_end_at():
    assert Recipe({"luma": (Luma(512),)}).at_least == (512, 512)
    assert Recipe({"worst": (Fit(512),), "strip": (Fit(160),)}).at_least == (512, 512)


MODELS = {
    "plain": (Resize(224, 224, antialias=False),),
    "cropped": (Resize(256, 256, antialias=True), Crop(224, 224), Jpeg(75)),
}


@pytest.mark.parametrize(("width", "height"), [(4000, 3000), (1800, 1792), (1030, 1024), (900, 2000)])
def test_luma_changes_nothing_of_what_models_of_the_usual_size_are_given(width: int, height: int):
    data = encode(gradient(width, height), "JPEG")
    alone, beside = Recipe(MODELS), Recipe({**MODELS, "luma": (Luma(512),)})
    assert beside.at_least == alone.at_least == (896, 896)
    (row,) = prepare(data, beside).rows
    assert prepare(data, alone).rows[0].pixels == {name: row.pixels[name] for name in MODELS}
    assert len(row.pixels["luma"].data) == 512 * 512


def test_luma_alone_is_of_a_reduced_decode_that_is_large_enough():
    (row,) = prepare(encode(gradient(2100, 1100), "JPEG"), Recipe({"luma": (Luma(512),)})).rows
    assert row.pixels["luma"].as_array().shape == (512, 512)


def test_one_row_alone_can_be_made_large():
    frames = [noise(40, 20, seed=i) for i in range(4)]
    recipe = Recipe({"worst": (Fit(30),), "strip": (Fit(10),)}, only={"worst": 2})
    rows = prepare(animation(frames), recipe).rows
    assert [sorted(row.pixels) for row in rows] == [["strip"], ["strip"], ["strip", "worst"], ["strip"]]
    assert rows[2].pixels["worst"].as_array().shape == (15, 30, 3)


def test_rows_are_counted_over_all_frames():
    """Two of each frame here: on white, then on black."""
    frames = [np.dstack([plain([40 * i, 0, 0], 20), np.full((20, 20), 9, np.uint8)]) for i in range(3)]
    recipe = Recipe({"worst": (Fit(8),)}, only={"worst": 3})
    rows = prepare(animation(frames, "PNG"), recipe).rows
    assert [(row.frame, list(row.pixels)) for row in rows] == [
        (0, []),
        (0, []),
        (1, []),
        (1, ["worst"]),
        (2, []),
        (2, []),
    ]
    assert rows[3].pixels["worst"].as_array().mean() < 15


def test_an_array_has_luma_and_one_row():
    recipe = Recipe({"luma": (Luma(512),), "worst": (Fit(8),), "none": (Fit(8),)}, only={"worst": 0, "none": 1})
    (row,) = prepare_array(gradient(40, 30), recipe).rows
    assert {name: p.as_array().shape for name, p in row.pixels.items()} == {"luma": (512, 512), "worst": (6, 8, 3)}


def test_recipes_that_differ_in_their_one_row_are_not_the_same():
    """They are cached by this."""
    first, second = (Recipe({"worst": (Fit(8),)}, only={"worst": n}) for n in range(2))
    assert first != second
    assert hash(first) != hash(second)


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
