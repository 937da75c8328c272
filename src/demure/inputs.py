"""Bytes to small pictures: decode, then each model's pixel steps, frame by frame, so that one frame is held at a time.

This is all that touches untrusted pixels, and it is what a sandbox runs. It returns small pictures and plain facts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING

from PIL import Image

from demure.decode import DecodeLimits, Frame, Media, decode
from demure.errors import NotAnImage, TooManyPixels
from demure.preprocess import Fidelity, Fit, Luma, Pixels, PixelStep, Resize, run_pixel_steps

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# Scores are kept by this number: raise it with any change after which the same bytes may give other small pictures, or another
# perceptual hash (decoding, sampling, grounds, colour, steps, pdq). What a Recipe says and the libraries' versions count without.
PREPROCESSING = 2

# A reduced JPEG decode keeps this many times the model's input: at 2 the scores move four times as far as at 4. A step that
# takes averages itself is content with less.
OVERSAMPLING, OVERSAMPLING_ANTIALIASED = 4, 2


@dataclass(frozen=True)
class Recipe:
    """What to make of an image: for each model, by name, its pixel steps; other pictures beside them, by names of their own."""

    steps: Mapping[str, tuple[PixelStep, ...]]
    fidelity: Fidelity = Fidelity.FAST
    limits: DecodeLimits = DecodeLimits()
    only: Mapping[str, int] = field(default_factory=dict)  # what is made of one row alone, and that row's number from 0

    def steps_for(self, row: int) -> Mapping[str, tuple[PixelStep, ...]]:
        """Those to be taken with this row."""
        return {name: steps for name, steps in self.steps.items() if self.only.get(name, row) == row}

    @property
    def at_least(self) -> tuple[int, int] | None:
        if self.fidelity is Fidelity.REFERENCE:
            return None
        sizes = [_smallest_source(steps) for steps in self.steps.values()]
        return max(width for width, _ in sizes), max(height for _, height in sizes)

    def __hash__(self) -> int:
        return hash((frozenset(self.steps.items()), self.fidelity, self.limits, frozenset(self.only.items())))


def _smallest_source(steps: Sequence[PixelStep]) -> tuple[int, int]:
    """(width, height) in pixels below which a reduced decode would move the scores too far."""
    match next(step for step in steps if isinstance(step, Resize | Fit | Luma)):
        case Resize(width=width, height=height, antialias=antialias):
            factor = OVERSAMPLING_ANTIALIASED if antialias else OVERSAMPLING
            return width * factor, height * factor
        # No score hangs on these.
        case Fit(max_side=side) | Luma(side=side):
            return side, side


@dataclass(frozen=True)
class Row:
    """One picture to score: the frame it came from, and for each model, or other name of the recipe, its pixels."""

    frame: int
    pixels: Mapping[str, Pixels]


@dataclass(frozen=True)
class Inputs:
    """All that is left of an image once it is decoded. At least one row."""

    media: Media
    rows: tuple[Row, ...]


def prepare(data: bytes, recipe: Recipe) -> Inputs:
    """Decode an image and make the recipe's pixels of every sampled frame. Raises what decode raises."""
    decoding = decode(data, recipe.limits, at_least=recipe.at_least)
    rows: list[Row] = []
    width = height = sampled = 0
    for frame in decoding.frames:
        if sampled == 0:
            width, height = frame.width, frame.height
        sampled += 1
        rows += _rows(frame, recipe, len(rows))
    return Inputs(Media(decoding.type, width, height, decoding.frames_in_file, sampled), tuple(rows))


def prepare_array(array: NDArray[np.uint8], recipe: Recipe) -> Inputs:
    """The same for pixels that the caller has already: RGB uint8, shape (height, width, 3).

    Raises NotAnImage for another shape or type, TooManyPixels past the limit.
    """
    if array.dtype != "uint8" or array.ndim != 3 or array.shape[2] != 3 or 0 in array.shape:
        raise NotAnImage(f"expected RGB uint8 of shape (height, width, 3), found {array.dtype} of shape {array.shape}")
    height, width, _ = array.shape
    if width * height > recipe.limits.max_pixels:
        raise TooManyPixels(
            f"the array is {width} x {height}; the limit is {recipe.limits.max_pixels:,} pixels (max_pixels)"
        )
    frame = Frame(0, width, height, iter((Image.fromarray(array),)))
    return Inputs(Media(None, width, height, 1, 1), tuple(_rows(frame, recipe, 0)))


def _rows(frame: Frame, recipe: Recipe, first: int) -> list[Row]:
    """The frame's rows, of which the first has the number `first`."""
    # The reference programs see a transparent picture on white alone.
    pictures = islice(frame.pictures, 1 if recipe.fidelity is Fidelity.REFERENCE else None)
    return [
        Row(frame.index, {name: run_pixel_steps(p, s, recipe.fidelity) for name, s in recipe.steps_for(number).items()})
        for number, p in enumerate(pictures, first)
    ]
