"""What does a reviewer see of an image? Its worst row, and a strip of the others: small, and encoded anew.

Only pixels come out of a decoder, so nothing else that is in a file can get into its preview. Which row is the worst is not
decided here.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass

from PIL import Image

from demure.decode import DecodeLimits
from demure.decoding.sampling import sample_indices
from demure.errors import Undecodable
from demure.inputs import Inputs, Recipe
from demure.preprocess import Fit, Pixels

MAX_SIDE, STRIP_MAX_SIDE = 512, 160  # pixels
STRIP_LENGTH = 32
_QUALITY = 85

Prepare = Callable[[bytes, Recipe], Inputs]


@dataclass(frozen=True)
class Preview:
    """One small picture: number 0 is the worst row, those from 1 on are the strip, in the order of the file."""

    number: int
    frame: int  # of the file, from 0; two rows of one frame have the same
    width: int
    height: int
    type: str
    data: bytes


def make_previews(prepare: Prepare, data: bytes, worst_row: int, limits: DecodeLimits) -> tuple[Preview, ...]:
    """Decode an image again, and encode its row number `worst_row` and up to STRIP_LENGTH others, evenly spread.

    `worst_row` counts the rows of a fast decode within the same limits, from 0. `prepare` is a sandbox's or
    demure.inputs.prepare; what it raises is raised.
    """
    rows = prepare(data, _recipe(worst_row, limits)).rows
    if worst_row >= len(rows):
        # A colour profile may change a JPEG much at the size that the models need, and hardly at this one: see Look.of.
        worst_row = len(rows) - 1
        rows = prepare(data, _recipe(worst_row, limits)).rows
    if worst_row >= len(rows):
        raise Undecodable("the image has fewer pictures each time that it is decoded")
    others = [row for number, row in enumerate(rows) if number != worst_row]
    strip = [others[index] for index in sample_indices(len(others), STRIP_LENGTH)]
    worst = rows[worst_row]
    chosen = [(worst.frame, worst.pixels["worst"]), *((row.frame, row.pixels["strip"]) for row in strip)]
    return tuple(_encode(number, frame, pixels) for number, (frame, pixels) in enumerate(chosen))


def _recipe(worst_row: int, limits: DecodeLimits) -> Recipe:
    steps = {"worst": (Fit(MAX_SIDE),), "strip": (Fit(STRIP_MAX_SIDE),)}
    return Recipe(steps, limits=limits, only={"worst": worst_row})


def _encode(number: int, frame: int, pixels: Pixels) -> Preview:
    buffer = io.BytesIO()
    Image.frombytes("RGB", (pixels.width, pixels.height), pixels.data).save(buffer, "JPEG", quality=_QUALITY)
    return Preview(number, frame, pixels.width, pixels.height, "image/jpeg", buffer.getvalue())
