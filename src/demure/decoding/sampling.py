"""Which frames of a long animation are scored? Some spread evenly, and those that are seen longest."""

from __future__ import annotations

from collections.abc import Sequence

# Chromium 156, and other browsers alike: a frame that claims to be shown no longer than 10 ms is shown for 100 ms.
_SHORTEST_MS, _INSTEAD_MS = 11, 100


def sample_indices(count: int, at_most: int, durations_ms: Sequence[int] = ()) -> list[int]:
    """`at_most` frame numbers out of `count`, in order.

    Half of them are evenly spread, the first and the last among them; the others are those shown longest, the earlier of two
    that are shown equally long. All are evenly spread where all are shown equally long, or no times are known.
    """
    if count <= at_most:
        return list(range(count))
    shown_ms = [d if d >= _SHORTEST_MS else _INSTEAD_MS for d in durations_ms]
    if len({*shown_ms}) < 2:
        return _evenly(count, at_most)
    chosen = {*_evenly(count, at_most - at_most // 2)}
    longest = sorted({*range(count)} - chosen, key=lambda index: (-shown_ms[index], index))
    return sorted([*chosen, *longest[: at_most - len(chosen)]])


def _evenly(count: int, at_most: int) -> list[int]:
    if at_most == 1:
        return [0]
    return [round(i * (count - 1) / (at_most - 1)) for i in range(at_most)]
