"""The picture that good files show, and damage that fits any format."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
from pictures import gradient

from hostile.ends import Rows

PICTURE = gradient(64, 48)
ALPHA = np.dstack([PICTURE, np.tile(np.arange(64, dtype=np.uint8) * 4, (48, 1))])


def patched(data: bytes, at: int, content: bytes) -> bytes:
    return data[:at] + content + data[at + len(content) :]


def half(data: bytes) -> bytes:
    return data[: len(data) // 2]


def flipped(data: bytes, seed: int, bits: int = 6) -> bytes:
    """`bits` bits turned over, anywhere but in the first 12 bytes, which tell the format."""
    damaged = bytearray(data)
    for place in np.random.default_rng(seed).integers(12 * 8, len(data) * 8, bits):
        damaged[place // 8] ^= 1 << (place % 8)
    return bytes(damaged)


def flips(name: str, ends: str, good: Callable[[], bytes], seeds: Iterable[int], bits: int = 6) -> Rows:
    """A row for each seed."""
    return {f"{name}-bits-flipped-{seed}": (ends, lambda s=seed: flipped(good(), s, bits)) for seed in seeds}
