from __future__ import annotations

import dataclasses
import io

import pytest
from evaluations import HASH, a_result, an_evaluation, hostile, nothing
from rich.console import Console

from demure.evaluation.binomial import Rate, rate
from demure.evaluation.curves import Interval
from demure.evaluation.evaluate import AtBaseRate, Evaluation
from demure.evaluation.labelled import Gathering
from demure.evaluation.report import (
    decimal,
    gathering_texts,
    images,
    interval_text,
    plain_lines,
    print_evaluation,
    value_text,
)
from demure.evaluation.shares import percent

DASH = "\N{EN DASH}"


def shown(evaluation: Evaluation, width: int = 80) -> str:
    out = io.StringIO()
    print_evaluation(
        evaluation, Console(file=out, width=width, force_terminal=True, color_system=None, legacy_windows=False)
    )
    return out.getvalue()


def piped(evaluation: Evaluation) -> list[list[str]]:
    out = io.StringIO()
    print_evaluation(evaluation, Console(file=out, width=20, force_terminal=False))
    return [line.split("\t") for line in out.getvalue().splitlines()]


# --- Numbers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0, "0 %"),
        (1, "100 %"),
        (0.123456, "12.3 %"),
        (0.01, "1.0 %"),
        (0.00987, "0.99 %"),
        (0.0004, "0.040 %"),
        (0.0000084, "0.0008 %"),
        (0.9999, "99.990 %"),
        (0.99999999, "99.999999 %"),
        (1e-15, "0 %"),  # no share: what rounding leaves
    ],
)
def test_percent_is_0_or_100_only_where_it_is(share: float, text: str):
    assert percent(share) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.5, "0.500"), (0.9994, "0.999"), (0.99972, "0.99972"), (1.0, "1.000"), (1 - 1e-12, "1.000"), (0.0, "0.000")],
)
def test_an_auc_is_written_1_only_where_it_is(value: float, text: str):
    assert decimal(value) == text


def test_an_estimate_is_told_with_its_interval():
    assert value_text(Rate(4, 200, 0.0055, 0.0504)) == "2.0 %"
    assert interval_text(Rate(4, 200, 0.0055, 0.0504)) == f"0.55{DASH}5.0 %"
    assert interval_text(Interval(0.98, 0.97, 0.987), decimal) == f"0.970{DASH}0.987"


@pytest.mark.parametrize("estimate", [None, rate(0, 0)], ids=["none", "of nothing"])
def test_of_nothing_there_is_no_estimate(estimate):
    assert value_text(estimate) == DASH
    assert interval_text(estimate) == ""


def test_a_noun_agrees_with_its_count():
    assert [images(count) for count in (0, 1, 2, 3000)] == ["0 images", "1 image", "2 images", "3,000 images"]


def test_what_became_of_images_is_told_only_where_something_did():
    assert gathering_texts(Gathering()) == ["near copies not known"]
    assert gathering_texts(Gathering(near_copies=0)) == ["no near copies"]
    told = gathering_texts(Gathering(12, tuple("abcd"), 1, {"undecodable": 4, "too_large": 1}, 9))
    assert told == [
        "12 duplicates: the same bytes and label again, used once",
        "4 contradictions: under both labels, used as neither (a, b, c, …)",
        "5 images could not be judged: 1 too_large, 4 undecodable",
        "9 labels left out, so that every decision has the same chance to be used",
        "1 near copy",
    ]


# --- On a terminal ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [80, 120, 200])
def test_everything_fits_and_is_there(width: int):
    evaluation = an_evaluation(
        policies=(
            a_result(
                at_base_rate=AtBaseRate(0.02, Interval(0.5, 0.4, 0.6), None, Interval(0.1, 0.09, 0.11)),
                groups={"avatar": a_result().rates},
            ),
        )
    )
    text = shown(evaluation, width)
    assert max(map(len, text.splitlines())) <= width
    for words in (
        "1,000 images: 200 adult, 800 safe (20.0 % adult)",
        "7 near copies",
        "95 % confidence",
        "0.980",
        f"0.970{DASH}0.987",
        f"79.0{DASH}89.6 %",
        "takes 2,995 safe",
        f"0.55{DASH}5.0 %",
        "Where 2 % of images are adult",
        f"40.0{DASH}60.0 %",
        "avatar",
        "the worst 6 of 6",
        "pictures/5.jpg",
        "Mind this.",
    ):
        assert words in text


@pytest.mark.parametrize(("width", "lines"), [(80, 2), (120, 1)])
def test_an_interval_stands_beside_its_estimate_where_there_is_room(width: int, lines: int):
    rows = shown(an_evaluation(), width).splitlines()
    with_estimate = next(number for number, row in enumerate(rows) if "14.4 %" in row)  # 144 of 1,000
    assert f"12.3{DASH}16.7 %" in rows[with_estimate + lines - 1]


def test_the_table_of_decisions_has_a_row_for_each_policy():
    rows = [row.split() for row in shown(an_evaluation(), 120).splitlines()]
    assert ["balanced", "mobilenet_v2_140", "150", "46", "4", "2", "98", "700"] in rows


def test_ten_mistakes_are_shown_and_the_others_counted():
    text = shown(an_evaluation(policies=(a_result(mistakes=40, mistakes_in_all=123),)))
    assert "the worst 10 of 123" in text
    assert "pictures/9.jpg" in text
    assert "pictures/10.jpg" not in text
    assert "abababab " in text
    assert HASH not in text


def test_no_mistakes_are_told_as_none():
    assert "Mistakes: balanced, mobilenet_v2_140\nnone" in shown(an_evaluation(policies=(a_result(mistakes=0),)))


def test_remarks_come_last():
    assert shown(an_evaluation()).rstrip().endswith("Mind this.")


@pytest.mark.parametrize("width", [40, 80, 120])
def test_a_set_of_nothing_is_reported(width: int):
    assert "0 images: 0 adult, 0 safe" in shown(nothing(), width)
    assert shown(dataclasses.replace(nothing(), curves=(), policies=()), width)


def test_names_cannot_speak_to_the_terminal():
    text = shown(hostile(), 200)
    assert {c for c in text if not c.isprintable()} == {"\n"}
    assert "a\\x1b[31m\\nb\\tc\\x9b\\u202e[bold]" in text  # brackets are no markup


# --- Piped ------------------------------------------------------------------------------------------------------------


def test_piped_output_is_one_figure_a_line():
    lines = piped(an_evaluation())
    assert ["read", "adult", "200"] in lines
    assert ["read", "near_copies", "7"] in lines
    assert ["curve", "open_nsfw", "auc", "0.98", "0.97", "0.987"] in lines
    assert ["curve", "open_nsfw", "recall_at_0.01", "0.85", "0.79", "0.896", "0.8", "299"] in lines
    assert ["curve", "open_nsfw", "recall_at_0.001", "", "", "", "", "2995"] in lines
    assert ["policy", "balanced", "mobilenet_v2_140", "missed", "0.02", "0.0055", "0.0504", "4", "200"] in lines
    assert ["decided", "balanced", "mobilenet_v2_140", "unknown", "safe", "98"] in lines
    assert ["mistake", "balanced", "mobilenet_v2_140", "adult", "safe", "0.05", HASH, "pictures/0.jpg"] in lines
    assert lines[-1] == ["remark", "Mind this."]


def test_lines_of_a_kind_have_the_same_fields_whatever_is_missing():
    group = {"avatar": a_result().rates}
    full = an_evaluation(
        policies=(
            a_result(groups=group, at_base_rate=AtBaseRate(0.02, Interval(0.5, 0.4, 0.6), None, Interval(0.1, 0, 1))),
        )
    )
    widths = {"read": {3}, "curve": {6, 8}, "policy": {9}, "decided": {6}, "group": {10}, "mistake": {8}, "remark": {2}}
    for evaluation in (full, nothing()):
        for line in piped(evaluation):
            assert len(line) in widths[line[0]], line


def test_a_name_cannot_forge_a_line_or_a_field():
    lines = list(plain_lines(hostile()))
    assert all(c.isprintable() or c == "\t" for line in lines for c in line)
    assert {len(line.split("\t")) for line in lines if line.startswith("mistake")} == {8}
