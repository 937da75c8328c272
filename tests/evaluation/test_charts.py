from __future__ import annotations

import re
from itertools import pairwise

import pytest

from demure.evaluation.charts import (
    BAR_WIDTH,
    Axis,
    bar,
    height_at,
    in_steps,
    letter,
    path,
    precision_recall,
    roc,
    up_to,
)

X, Y = Axis(1.0, 100, 300), Axis(1.0, 200, 0)  # 200 units each, upwards and to the right


def numbers(text: str) -> list[float]:
    return [float(number) for number in re.findall(r"[\d.]+", text)]


@pytest.mark.parametrize(
    ("value", "at"),
    [(0.0, 100), (0.25, 150), (1.0, 300), (-0.5, 100), (1.5, 300)],
    ids=["low", "quarter", "high", "under", "over"],
)
def test_a_value_is_placed_on_its_axis_or_on_its_edge(value: float, at: float):
    assert X.place(value) == at


def test_an_axis_can_end_before_1():
    assert Axis(0.05, 0, 500).place(0.01) == pytest.approx(100)


def test_a_path_goes_through_its_points():
    assert path([(0, 0), (0, 0.5), (1, 1)], X, Y) == "M100.0 200.0L100.0 100.0L300.0 0.0"


def test_a_path_of_nothing_is_empty_and_of_one_point_a_point():
    assert path([], X, Y) == ""
    assert path([(0.5, 0.5)], X, Y) == "M200.0 100.0"


def test_a_path_of_many_points_keeps_its_ends_and_stays_near_the_curve():
    # x² at 100,000 points, on 200 by 200 units. No point of the curve is further from the path than what is left out: 0.5.
    points = [(i / 100_000, (i / 100_000) ** 2) for i in range(100_001)]
    drawn = numbers(path(points, X, Y))
    kept = list(zip(drawn[::2], drawn[1::2], strict=True))
    assert kept[0] == (100, 200)
    assert kept[-1] == (300, 0)
    assert len(kept) < 2 * (200 + 200)  # steps of half a unit along at most the sum of both sides
    assert all(up == pytest.approx(200 - 200 * ((across - 100) / 200) ** 2, abs=0.2) for across, up in kept)
    assert max(b[0] - a[0] for a, b in pairwise(kept)) <= 0.7


def test_a_curve_is_ended_where_the_chart_ends():
    # Half-way between (0.02, 0.6) and (0.10, 1.0) stands 0.06, and there 0.8.
    curve = [(0.0, 0.0), (0.02, 0.6), (0.10, 1.0)]
    assert up_to(curve, 0.06) == [(0.0, 0.0), (0.02, 0.6), (0.06, pytest.approx(0.8))]
    assert up_to(curve, 0.10) == curve
    assert up_to(curve, 1.0) == curve
    assert up_to([], 0.05) == []


def test_at_a_jump_the_upper_end_counts():
    assert height_at([(0.0, 0.0), (0.0, 0.7), (1.0, 1.0)], 0.0) == 0.7


@pytest.mark.parametrize(("across", "height"), [(-1.0, 0.25), (0.5, 0.5), (2.0, 0.75)])
def test_beside_a_curve_its_ends_go_on(across: float, height: float):
    assert height_at([(0.0, 0.25), (1.0, 0.75)], across) == height


def test_precision_is_drawn_in_steps():
    assert in_steps([(0.0, 1.0), (0.5, 0.8), (1.0, 0.4)]) == [
        (0.0, 1.0),
        (0.0, 0.8),
        (0.5, 0.8),
        (0.5, 0.4),
        (1.0, 0.4),
    ]
    assert in_steps([]) == []


def test_a_chart_has_ticks_in_images_of_a_hundred():
    whole, corner = roc([]), roc([], 0.05)
    assert [tick.text for tick in whole.x_ticks] == ["0", "20", "40", "60", "80", "100"]
    assert [tick.text for tick in corner.x_ticks] == ["0", "1", "2", "3", "4", "5"]
    assert [tick.text for tick in corner.y_ticks] == ["0", "20", "40", "60", "80", "100"]
    assert (whole.x_ticks[0].at, whole.x_ticks[-1].at) == (whole.left, whole.right)
    assert (whole.y_ticks[0].at, whole.y_ticks[-1].at) == (whole.bottom, whole.top)


def test_chance_is_the_diagonal_and_for_precision_the_mix():
    plot = roc([])
    assert numbers(plot.chance) == [plot.left, plot.bottom, plot.right, plot.top]
    assert numbers(roc([], 0.05).chance)[3] == pytest.approx(plot.bottom - 0.05 * (plot.bottom - plot.top))
    heights = numbers(precision_recall([], 0.25).chance)[1::2]
    assert heights == [pytest.approx(plot.bottom - 0.25 * (plot.bottom - plot.top))] * 2


def test_letters_of_curves_on_top_of_each_other_stand_apart_and_on_the_curve():
    curve = [(0.0, 0.0), (0.5, 0.5), (1.0, 1.0)]
    plot = roc([curve] * 3)
    assert [line.letter for line in plot.lines] == ["A", "B", "C"]
    # At a quarter, a half and three quarters of the width, on the diagonal.
    for line, part in zip(plot.lines, (0.25, 0.5, 0.75), strict=True):
        across, up = plot.left + part * (plot.right - plot.left), plot.bottom - part * (plot.bottom - plot.top)
        assert line.badge == (pytest.approx(across, abs=0.05), pytest.approx(up, abs=0.05))


def test_a_curve_of_nothing_is_not_drawn_and_keeps_its_letter():
    assert [line.letter for line in roc([[], [(0.0, 0.0), (1.0, 1.0)]]).lines] == ["B"]


def test_letters_do_not_run_out():
    assert [letter(number) for number in (0, 25, 26)] == ["A", "Z", "27"]


def test_a_bar_is_divided_by_counts():
    first, last = bar([("adult", 3), ("unknown", 0), ("safe", 1)])
    assert (first.name, first.start, first.width, first.share) == ("adult", 0, BAR_WIDTH * 0.75, 0.75)
    assert (last.name, last.start, last.width, last.share) == ("safe", BAR_WIDTH * 0.75, BAR_WIDTH * 0.25, 0.25)


def test_a_word_stands_only_where_it_has_room():
    assert [segment.has_room for segment in bar([("adult", 99), ("safe", 1)])] == [True, False]


def test_a_bar_of_nothing_has_no_parts():
    assert bar([("adult", 0), ("safe", 0)]) == ()
