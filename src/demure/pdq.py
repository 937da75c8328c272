"""What does a picture look like, in 256 bits? PDQ, so that resized and re-compressed copies have nearly the same bits.

The algorithm is Meta's, and the hash of given pixels is that of its program: ThreatExchange, pdq/cpp (hashing/pdqhashing.cpp and
downscaling/downscaling.cpp), as PyPI's pdqhash 0.2.8 carries it. Their document is "The TMK+PDQF Video-Hashing Algorithm and the
PDQ Image-Hashing Algorithm", 2019. A picture that is turned by a few degrees, mirrored, or cut at its edges by a few hundredths
gets another hash.

Pictures are best compared after both were stretched to one size: where the blur looks depends on it (see _shrinking).

Blurring along one axis and keeping 64 points of it is one linear map.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

BITS = 256
MIN_QUALITY = 50  # of 100; below it the hash says little, and is neither kept nor compared (so advises Meta's document)
MAX_SIDE = (
    512  # pixels; a picture with a longer one comes reduced to 512 x 512, whatever its shape, as in Meta's program
)

_MIN_SIDE = 5  # pixels; smaller ones have no hash there either
_SIDE = 64  # of the blurred picture
_FREQUENCIES = 16  # along each axis
_LEAST_STRENGTH = 1.0  # of the strongest frequency: rounding pixels to whole levels makes as much
_MOST_ALIKE = 0.95  # see _is_too_simple; of 718 photographs of food and paintings none is past it (bench/near.py)


@dataclass(frozen=True)
class Fingerprint:
    """`hash`: 32 bytes, whose hex() is the 64 digits that others print. `quality`: 0 to 100, how much there was to see."""

    hash: bytes
    quality: int


_NONE = Fingerprint(bytes(BITS // 8), 0)


def luma(rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Brightness, 0 to 255: shape (height, width, 3) to (height, width). Pillow's "L" is this, rounded."""
    red, green, blue = rgb[..., 0], rgb[..., 1], rgb[..., 2]
    brightness: NDArray[np.float32] = (0.299 * red + 0.587 * green + 0.114 * blue).astype(np.float32)
    return brightness


def fingerprint(luma: NDArray[np.uint8] | NDArray[np.float32]) -> Fingerprint:
    """Of brightness, 0 to 255, shape (height, width). Raises ValueError for a side past MAX_SIDE."""
    height, width = luma.shape
    if max(height, width) > MAX_SIDE:
        raise ValueError(f"picture is {width} x {height} pixels; reduce it to {MAX_SIDE} x {MAX_SIDE} first")
    if min(height, width) < _MIN_SIDE:
        return _NONE
    small = _shrunk(_shrunk(luma).T).T
    strengths = _COSINES @ small @ _COSINES.T
    return Fingerprint(_bits(strengths), 0 if _is_too_simple(strengths) else _quality(small))


def _shrunk(picture: NDArray[np.number[Any]]) -> NDArray[np.float64]:
    """Of shape (length, n): the first axis blurred, and 64 points of it kept.

    Each point is the sum of a few rows, so this is no product of matrices: a library for those would take it up with threads of
    its own, beside those that wait for the answer.
    """
    rows, weights = _shrinking(len(picture))
    small: NDArray[np.float64] = np.einsum("kw,kwn->kn", weights, picture[rows])
    return small


@lru_cache(maxsize=32)  # some 10 KiB each
def _shrinking(length: int) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """What blurs an axis with two box filters and keeps 64 of its points: each is a sum of neighbours, whose indices and weights
    these are, both of shape (64, neighbours).

    A box is length / 128 pixels, rounded up, one more after its pixel than before it if that is even; over the edge it is the
    mean of what lies inside. The points kept are the pixels at the middle of 64 equal parts. So at 512 pixels all is taken one
    and a half pixels late, at 300 not, and some 15 bits differ: better than to hash both is to stretch one.
    """
    window = -(-length // (2 * _SIDE))
    after = window // 2
    offset = np.arange(length) - np.arange(length)[:, np.newaxis]
    inside = (offset <= after) & (offset > after - window)
    box = inside / inside.sum(axis=1, keepdims=True)
    middles = (2 * np.arange(_SIDE) + 1) * length // (2 * _SIDE)
    matrix = box[middles] @ box
    neighbours = min(2 * window - 1, length)
    first = np.minimum((matrix > 0).argmax(axis=1), length - neighbours)
    rows = first[:, np.newaxis] + np.arange(neighbours)
    return rows, np.take_along_axis(matrix, rows, axis=1)


def _cosines() -> NDArray[np.float64]:
    """Frequencies 1 to 16 of the cosine transform of 64 points, (16, 64): the mean, frequency 0, is left out."""
    frequency, point = np.arange(1, _FREQUENCIES + 1)[:, np.newaxis], np.arange(_SIDE)
    matrix: NDArray[np.float64] = np.sqrt(2 / _SIDE) * np.cos(np.pi / 2 / _SIDE * frequency * (2 * point + 1))
    return matrix


_COSINES = _cosines()


def _bits(strengths: NDArray[np.float64]) -> bytes:
    """One for each frequency above the median (the lower of the two middle ones); the first, row by row, is the last bit."""
    flat = strengths.ravel()
    median = np.partition(flat, BITS // 2 - 1)[BITS // 2 - 1]
    return np.packbits((flat > median)[::-1]).tobytes()


def _quality(small: NDArray[np.float64]) -> int:
    """Steps between neighbours in whole hundredths of the range, summed, over 90: Meta's measure, in its 32-bit arithmetic."""
    levels = small.astype(np.float32)
    steps = (np.trunc(np.diff(levels, axis=axis) * np.float32(100) / np.float32(255)) for axis in (0, 1))
    return min(int(sum(np.abs(step).sum() for step in steps)) // 90, 100)


def _is_too_simple(strengths: NDArray[np.float64]) -> bool:
    """Whether quite different pictures have the same bits as this one; Meta's measure takes it for good.

    Bands along one axis (a bar code, a ruled page) have no strength in any frequency of both axes: their bits are chance. Bands
    across bands (a flag of three colours on a white page, a mark in a corner) have rows of strengths that are multiples of one
    another, so that 32 signs make all 256 bits. `_MOST_ALIKE` is the part of all strengths, squared, that such rows can have.
    """
    if np.abs(strengths).max() < _LEAST_STRENGTH:
        return True
    alike = np.linalg.eigvalsh(strengths @ strengths.T)[-1]  # the largest singular value, squared
    return bool(alike > _MOST_ALIKE * np.square(strengths).sum())
