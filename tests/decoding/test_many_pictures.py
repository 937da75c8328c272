"""A film whose every frame makes several pictures costs no more than one whose frames make two."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pictures import encode, noise
from PIL import Image
from profiles import INVERTING

from demure.decode import MOST_PICTURES, DecodeLimits
from demure.decoding.sampling import Sample, by_weight, sample_indices
from demure.inputs import Inputs, Recipe, prepare
from demure.preprocess import Fidelity, Resize
from demure.previews import make_previews
from demure.sandbox import Sandbox

STEPS = {"m": (Resize(8, 8, antialias=False),)}
FORMATS = {"PNG": {}, "WEBP": {"lossless": True, "exact": True}}
EVERY = pytest.mark.parametrize("format", FORMATS)


def hidden(seed: int) -> np.ndarray:
    """Six pictures with an odd profile: on white, on black, without its alpha, and the three with other colours."""
    return np.dstack([noise(20, 20, seed=seed), np.full((20, 20), 9, np.uint8)])


@cache
def film(format: str, count: int = 32, *, grounds_alone: bool = False, times_ms: tuple[int, ...] = ()) -> bytes:
    first, *rest = [Image.fromarray(hidden(seed)) for seed in range(count)]
    profile = {} if grounds_alone else {"icc_profile": INVERTING}
    times = list(times_ms) or 100
    return encode(first, format, save_all=True, append_images=rest, duration=times, **FORMATS[format], **profile)


def prepared(data: bytes, at_most: int = 32, fidelity: Fidelity = Fidelity.FAST) -> Inputs:
    return prepare(data, Recipe(STEPS, fidelity, DecodeLimits(max_sampled_frames=at_most)))


def frames_of(inputs: Inputs) -> list[int]:
    return list(dict.fromkeys(row.frame for row in inputs.rows))


@EVERY
def test_a_film_of_six_pictures_a_frame_is_seen_in_ten_frames_that_are_spread_over_all_of_it(format: str):
    """Twice 32 pictures are 64: ten frames of six are 60. Ten of 32 evenly: nine steps over 31, of 3.4 each."""
    inputs = prepared(film(format))
    found = frames_of(inputs)
    assert len(inputs.rows) == 60
    assert (inputs.media.frames, inputs.media.sampled, len(found)) == (32, 10, 10)
    assert (found[0], found[-1]) == (0, 31)
    assert max(np.diff(found)) <= 4


@EVERY
def test_of_three_pictures_a_frame_two_thirds_of_the_frames_are_seen(format: str):
    """64 are 21 frames of three, with 20 steps over 31."""
    inputs = prepared(film(format, grounds_alone=True))
    found = frames_of(inputs)
    assert (len(inputs.rows), inputs.media.sampled, len(found)) == (63, 21, 21)
    assert (found[0], found[-1]) == (0, 31)
    assert max(np.diff(found)) <= 2


@EVERY
def test_the_frames_that_are_shown_longest_are_seen_first(format: str):
    """The first, the last, and of the eight others that there is room for every second: the four that are shown longest."""
    longest = {6: 900, 13: 60_000, 14: 800, 29: 700}
    times = tuple(longest.get(index, 40) for index in range(32))
    assert {0, 31, *longest} <= {*frames_of(prepared(film(format, times_ms=times)))}


def test_the_limit_goes_by_the_frames_that_may_be_sampled():
    """Twice eight are 16, in which there is room for two frames of six: the first, and the last rather than its neighbour."""
    inputs = prepared(film("PNG"), at_most=8)
    assert (len(inputs.rows), inputs.media.sampled, frames_of(inputs)) == (12, 2, [0, 31])


def test_the_reference_programs_make_one_picture_a_frame_and_see_all():
    inputs = prepared(film("PNG"), fidelity=Fidelity.REFERENCE)
    assert frames_of(inputs) == list(range(32))


@EVERY
def test_a_decoder_process_answers_the_same(format: str):
    recipe = Recipe(STEPS)
    with Sandbox() as sandbox:
        assert sandbox.prepare(film(format), recipe) == prepare(film(format), recipe)


@EVERY
def test_a_reviewer_is_shown_the_frame_that_was_judged(format: str):
    data, limits = film(format), DecodeLimits()
    rows = prepare(data, Recipe(STEPS)).rows
    for number in (0, 17, 59):
        assert make_previews(prepare, data, number, limits)[0].frame == rows[number].frame


# --- The rule alone ---------------------------------------------------------------------------------------------------


def chosen(sample: Sample, made: list[int]) -> dict[int, int]:
    """By frame, the pictures that it made."""
    return {index: len([*sample.counted(range(made[index]))]) for index in sample}


FILMS = st.lists(st.tuples(st.integers(1, MOST_PICTURES), st.integers(0, 5000)), min_size=1, max_size=120)


@given(FILMS, st.integers(1, 40))
def test_no_film_makes_more_than_the_limit_and_one_frame(film: list[tuple[int, int]], at_most: int):
    made, times = map(list, zip(*film, strict=True))
    found = chosen(Sample(len(made), at_most, 2 * at_most, times), made)
    *before, last = found.values()
    assert sum(before) < 2 * at_most
    assert last <= MOST_PICTURES
    assert [*found] == sorted({*found})
    assert {0} <= {*found} <= {*sample_indices(len(made), at_most, times)}


@given(FILMS, st.integers(1, 40))
def test_where_no_frame_makes_more_than_two_all_are_seen(film: list[tuple[int, int]], at_most: int):
    made, times = [min(pictures, 2) for pictures, _ in film], [time for _, time in film]
    found = chosen(Sample(len(made), at_most, 2 * at_most, times), made)
    assert [*found] == sample_indices(len(made), at_most, times)


@given(st.integers(1, 200), st.integers(1, 40), st.integers(1, MOST_PICTURES))
def test_where_all_make_as_many_as_many_are_seen_as_there_is_room_for(count: int, at_most: int, each: int):
    found = chosen(Sample(count, at_most, 2 * at_most), [each] * count)
    wanted = min(count, at_most)
    assert min(wanted, 2 * at_most // each) <= len(found) <= wanted
    assert max(found) == (sample_indices(count, at_most)[-1] if len(found) > 1 else 0)


def test_one_frame_that_makes_many_leaves_hardly_any_out():
    """58 pictures are left for the 31 that make one each: when that is seen, nothing more is left out."""
    assert len(chosen(Sample(32, 32, 64), [6] + [1] * 31)) >= 32 - 3


def test_the_first_of_the_frames_by_weight_are_spread_over_all():
    """Nine of 33: the ends, the middle, the quarters, the eighths."""
    assert by_weight(range(33))[:9] == [0, 32, 16, 8, 24, 4, 12, 20, 28]


def test_by_weight_every_second_is_one_that_is_shown_long():
    """Spread: 0, 5, 2, 1, 3, 4. By time: 3, then 4 and 1, which are shown for 100 ms as they claim none, then 0, 2 and 5."""
    assert by_weight(range(6), [50, 0, 50, 7000, 200, 50]) == [0, 3, 5, 4, 2, 1]


@given(st.lists(st.integers(0, 5000), min_size=1, max_size=100))
def test_by_weight_leaves_no_frame_out(times: list[int]):
    assert sorted(by_weight(range(len(times)), times)) == list(range(len(times)))
