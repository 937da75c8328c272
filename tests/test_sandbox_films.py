"""What a decoder that was taken over says of a film is held against what a decoder may make of one."""

from __future__ import annotations

import json

import pytest

from demure.decode import DecodeLimits
from demure.errors import Undecodable
from demure.inputs import Recipe
from demure.preprocess import Resize
from demure.sandbox import Sandbox

STEPS = {"plain": (Resize(24, 16, antialias=False),)}
FOUR = Recipe(STEPS, limits=DecodeLimits(max_sampled_frames=4))

# frames in the file, sampled, the frame of each row. Four frames may be sampled, so eight pictures be made; the last frame is
# begun with one of them left at least, and makes six at most: 13 in all.
TRUE = {
    "a-row-a-frame": (9, 3, [0, 4, 8]),
    "as-many-as-there-can-be": (9, 4, [0] * 6 + [3] + [5] * 3 + [8] * 3),
    "the-last-makes-six": (9, 3, [0] * 6 + [4] + [8] * 6),
    "a-still-picture-of-six": (1, 1, [0] * 6),
}
FALSE = {
    "sampled-more-than-rows-show": (9, 3, [0, 8]),
    "sampled-fewer-than-rows-show": (9, 1, [0, 8]),
    "a-row-too-many": (9, 4, [0] * 6 + [3] + [5] * 3 + [8] * 4),
    "seven-of-one-frame": (9, 2, [0] * 7 + [8]),
    "a-still-picture-of-seven": (1, 1, [0] * 7),
    "a-frame-that-is-not-there": (9, 2, [0, 9]),
    "a-frame-before-the-first": (9, 2, [-1, 0]),
    "a-frame-that-is-no-number": (9, 2, [0, True]),
    "none": (9, 1, []),
}


def claim(frames: int, sampled: int, rows: list[int]) -> bytes:
    return json.dumps({"frames": frames, "sampled": sampled, "rows": rows}).encode()


@pytest.mark.parametrize(("frames", "sampled", "rows"), TRUE.values(), ids=TRUE)
def test_a_film_that_can_be_is_taken(frames: int, sampled: int, rows: list[int]):
    with Sandbox(prepare="decoders:claim_film") as sandbox:
        found = sandbox.prepare(claim(frames, sampled, rows), FOUR)
    assert [row.frame for row in found.rows] == rows
    assert (found.media.frames, found.media.sampled) == (frames, sampled)


@pytest.mark.parametrize(("frames", "sampled", "rows"), FALSE.values(), ids=FALSE)
def test_a_decoder_that_claims_a_film_that_cannot_be_is_killed(frames: int, sampled: int, rows: list[int]):
    with Sandbox(prepare="decoders:claim_film") as sandbox:
        with pytest.raises(Undecodable, match="broke its decoder"):
            sandbox.prepare(claim(frames, sampled, rows), FOUR)
        assert sandbox.restarts == 1
