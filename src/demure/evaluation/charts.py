"""Where the lines, ticks and bars of a chart lie: numbers in, coordinates of an SVG out. Pure; templates draw them.

All lengths are in the SVG's own units. Of colours and words nothing is known here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

Point = tuple[float, float]

WIDTH, HEIGHT = 440, 384  # of a plot: text of 14 units can still be read on a phone of 390 pixels
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 424, 16, 328  # of the area that lines are drawn in
_FINEST = 0.5  # units between two points of a line
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
BAR_WIDTH = 440
_WORD = 78  # units that a label in a bar takes


@dataclass(frozen=True)
class Axis:
    """Values from 0 to `high`, laid from `start` to `end`; what lies outside is put on the edge."""

    high: float
    start: float
    end: float

    def place(self, value: float) -> float:
        return self.start + min(max(value / self.high, 0.0), 1.0) * (self.end - self.start)


@dataclass(frozen=True)
class Tick:
    at: float
    text: str


@dataclass(frozen=True)
class Line:
    """One curve: `letter` stands on it, in the middle of `badge`, and in the legend."""

    letter: str
    path: str
    badge: Point


@dataclass(frozen=True)
class Plot:
    """An area with ticks, the lines in it, and the line of a guess that knows nothing."""

    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    lines: tuple[Line, ...]
    chance: str
    left: int = _LEFT
    right: int = _RIGHT
    top: int = _TOP
    bottom: int = _BOTTOM
    width: int = WIDTH
    height: int = HEIGHT


@dataclass(frozen=True)
class Segment:
    """A part of a bar, and whether a word has room in it."""

    name: str
    start: float
    width: float
    share: float
    has_room: bool


def roc(curves: Sequence[Sequence[Point]], most: float = 1.0) -> Plot:
    """False alarms across, from 0 to `most`; recall upwards. A curve is (false alarm, recall), rising.

    A curve of no points keeps its letter and is not drawn.
    """
    x, y = Axis(most, _LEFT, _RIGHT), Axis(1.0, _BOTTOM, _TOP)
    chance = path([(0.0, 0.0), (most, most)], x, y)
    return _plot([up_to(curve, most) for curve in curves], x, y, chance)


def precision_recall(curves: Sequence[Sequence[Point]], share: float) -> Plot:
    """Recall across, precision upwards. A curve is (recall, precision), recall rising; `share` of the images is adult."""
    x, y = Axis(1.0, _LEFT, _RIGHT), Axis(1.0, _BOTTOM, _TOP)
    return _plot([in_steps(curve) for curve in curves], x, y, path([(0.0, share), (1.0, share)], x, y))


def bar(counts: Sequence[tuple[str, int]]) -> tuple[Segment, ...]:
    """Counts laid end to end over BAR_WIDTH; those of nothing are left out."""
    total = sum(count for _, count in counts)
    segments, before = [], 0
    for name, count in counts:
        if count:
            width = BAR_WIDTH * count / total
            segments.append(Segment(name, BAR_WIDTH * before / total, width, count / total, width >= _WORD))
        before += count
    return tuple(segments)


def letter(number: int) -> str:
    """A, B, C … for 0, 1, 2 …; past Z, numbers."""
    return _LETTERS[number] if number < len(_LETTERS) else str(number + 1)


def path(points: Sequence[Point], x: Axis, y: Axis) -> str:
    """The `d` of an SVG path. Points too near to the one before to be told from it are left out, the last is kept."""
    placed = [(x.place(across), y.place(up)) for across, up in points]
    kept = placed[:1]
    for point in placed[1:-1]:
        if math.dist(point, kept[-1]) >= _FINEST:
            kept.append(point)
    kept += placed[1:][-1:]
    return "M" + "L".join(f"{across:.1f} {up:.1f}" for across, up in kept) if kept else ""


def up_to(points: Sequence[Point], most: float) -> list[Point]:
    """The part of a rising curve that lies left of `most`, ended there."""
    left = [point for point in points if point[0] <= most]
    return left if not points or left[-1:] == [points[-1]] else [*left, (most, height_at(points, most))]


def in_steps(points: Sequence[Point]) -> list[Point]:
    """Each height holds from the point before on: what average precision sums up, and what a straight line would flatter."""
    steps = list(points[:1])
    for point in points[1:]:
        steps += [(steps[-1][0], point[1]), point]
    return steps


def height_at(points: Sequence[Point], across: float) -> float:
    """Where a curve stands at `across`: on the straight line between the points beside it, at a jump on its upper end."""
    before = [point for point in points if point[0] <= across]
    after = [point for point in points if point[0] > across]
    if not before or not after:
        return (before[-1:] or after[:1])[0][1]
    (left, low), (right, high) = before[-1], after[0]
    return low + (high - low) * (across - left) / (right - left)


def _plot(curves: Sequence[Sequence[Point]], x: Axis, y: Axis, chance: str) -> Plot:
    lines = [
        Line(letter(number), path(curve, x, y), _badge(curve, (number + 1) / (len(curves) + 1) * x.high, x, y))
        for number, curve in enumerate(curves)
        if curve
    ]
    return Plot(_ticks(x), _ticks(y), tuple(lines), chance)


def _badge(curve: Sequence[Point], across: float, x: Axis, y: Axis) -> Point:
    # Each letter stands at another place across, so that lines on top of each other can be told apart.
    return round(x.place(across), 1), round(y.place(height_at(curve, across)), 1)


def _ticks(axis: Axis) -> tuple[Tick, ...]:
    """Five steps, in images of a hundred."""
    values = [axis.high * step / 5 for step in range(6)]
    return tuple(Tick(round(axis.place(value), 1), f"{100 * value:g}") for value in values)
