"""Which frames of an animation are scored? Of a long one some spread evenly, and those that are seen longest.

Fewer where each frame makes many pictures, which is known only when it was made.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import TypeVar

T = TypeVar("T")

# Chromium 156, and other browsers alike: a frame that claims to be shown no longer than 10 ms is shown for 100 ms.
_SHORTEST_MS, _INSTEAD_MS = 11, 100


class Sample:
    """The numbers of the frames that are scored, in order. Each is chosen by what those before it cost.

    A frame is left out where those still to come would make more pictures than are left, if each made as many as the last one
    did. Those that say most stay: see by_weight. The first is always scored, whatever it makes.
    """

    def __init__(self, count: int, at_most: int, most_pictures: int, durations_ms: Sequence[int] = ()) -> None:
        """`at_most` of `count` frames; none is begun once they have made `most_pictures`."""
        self._to_come = by_weight(sample_indices(count, at_most, durations_ms), durations_ms)
        self._left = most_pictures
        self._made = 0  # by the last frame

    def __iter__(self) -> Iterator[int]:
        """The pictures of each frame must be made before the next frame is asked for."""
        while self._to_come and self._left > 0:
            affordable = max(1, self._left // max(1, self._made))
            index = min(self._to_come[:affordable])
            self._to_come = [other for other in self._to_come if other > index]
            self._made = 0
            yield index

    def counted(self, pictures: Iterable[T]) -> Iterator[T]:
        """The same pictures, of the frame that was chosen last."""
        for picture in pictures:
            self._made += 1
            self._left -= 1
            yield picture


def sample_indices(count: int, at_most: int, durations_ms: Sequence[int] = ()) -> list[int]:
    """`at_most` frame numbers out of `count`, in order.

    Half of them are evenly spread, the first and the last among them; the others are those shown longest, the earlier of two
    that are shown equally long. All are evenly spread where all are shown equally long, or no times are known.
    """
    if count <= at_most:
        return list(range(count))
    shown_ms = _shown_ms(durations_ms)
    if len({*shown_ms}) < 2:
        return _evenly(count, at_most)
    chosen = {*_evenly(count, at_most - at_most // 2)}
    longest = sorted({*range(count)} - chosen, key=lambda index: (-shown_ms[index], index))
    return sorted([*chosen, *longest[: at_most - len(chosen)]])


def by_weight(indices: Sequence[int], durations_ms: Sequence[int] = ()) -> list[int]:
    """The same frames, in another order: however many of the first ones are taken, they are spread over all.

    In turn with those shown longest, the earlier of two that are shown equally long, where not all are shown equally long.
    """
    spread = [indices[place] for place in _coarse_to_fine(len(indices))]
    shown_ms = _shown_ms(durations_ms)
    if len({*shown_ms}) < 2:
        return spread
    longest = sorted(indices, key=lambda index: (-shown_ms[index], index))
    return list(dict.fromkeys(chain.from_iterable(zip(spread, longest, strict=True))))


def _coarse_to_fine(count: int) -> list[int]:
    """The numbers below `count`: both ends, the middle, the middles of the halves, and so on."""
    order, gaps = {0: None, count - 1: None}, deque([(0, count - 1)])
    while gaps:
        first, last = gaps.popleft()
        middle = (first + last) // 2
        if middle > first:
            order[middle] = None
            gaps += (first, middle), (middle, last)
    return list(order)


def _shown_ms(durations_ms: Sequence[int]) -> list[int]:
    return [duration if duration >= _SHORTEST_MS else _INSTEAD_MS for duration in durations_ms]


def _evenly(count: int, at_most: int) -> list[int]:
    if at_most == 1:
        return [0]
    return [round(i * (count - 1) / (at_most - 1)) for i in range(at_most)]
