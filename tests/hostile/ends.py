"""How a hostile file may end, and the limits that it meets.

An end is "classified" or an error's code. Where a row may come to more than one, a space stands between.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from demure.decode import DecodeLimits

# Low enough for a bomb to be told in a moment. 4 MP a frame, so 3,000 x 1,000 is a large picture here.
LIMITS = DecodeLimits(max_pixels=4_000_000, max_total_pixels=20_000_000)

SHOWN = "classified"
BAD = "undecodable"
EITHER = f"{SHOWN} {BAD}"
LARGE = "too_many_pixels"
LONG = "too_many_frames"
OTHER = "unsupported_format"
NONE = "not_an_image"

Rows = Mapping[str, tuple[str, Callable[[], bytes]]]  # a file's name: the ends that it may come to, and how it is built
