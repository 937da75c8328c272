"""What a scan says of itself: how long yet, how many of what, and where it stands."""

from __future__ import annotations

import io
from collections import Counter
from pathlib import Path

import pytest
from rich.console import Console

from demure.bulk.ledger import Status
from demure.bulk.progress import Progress, counts_text, duration, status_text, summary

DURATIONS = [
    (0, "0 s"),
    (0.6, "1 s"),
    (89, "89 s"),
    (90, "2 min"),
    (600, "10 min"),
    (89 * 60, "89 min"),
    (90 * 60, "1.5 h"),
    (47 * 3600, "47.0 h"),
    (48 * 3600, "2.0 days"),
    (36 * 86400, "36.0 days"),
]


@pytest.mark.parametrize(("seconds", "expected"), DURATIONS, ids=[text for _, text in DURATIONS])
def test_a_duration_is_told_in_the_unit_that_fits(seconds: float, expected: str):
    assert duration(seconds) == expected


COUNTS = [
    ({}, ""),
    ({"safe": 1}, "1 safe"),
    ({"safe": 0, "adult": 2}, "2 adult"),
    ({"safe": 12_345, "failed": 2, "adult": 3, "unknown": 4}, "3 adult, 4 unknown, 12,345 safe, 2 failed"),
]


@pytest.mark.parametrize(("counts", "expected"), COUNTS, ids=["none", "one", "zero", "all"])
def test_counts_come_the_gravest_first(counts: dict[str, int], expected: str):
    assert counts_text(counts) == expected


def status(**changed) -> Status:
    begun = {"listed": 2000, "all_listed": True, "done": 1500, "counts": {"safe": 1500}, "written": False, "unread": 0}
    return Status(**{**begun, **changed})


STATUSES = {
    "absent": (None, "no scan was begun for this output"),
    "begun": (
        status(listed=32, all_listed=False, done=0, counts={}),
        "0 of 32 or more images: none yet; not finished: run the same command to go on",
    ),
    "under way": (status(), "1,500 of 2,000 images: 1,500 safe; not finished: run the same command to go on"),
    "written": (
        status(done=2000, counts={"safe": 2000}, written=True),
        "2,000 of 2,000 images: 2,000 safe; the output is written",
    ),
    "unread": (
        status(done=2000, counts={"safe": 2000}, written=True, unread=1),
        "2,000 of 2,000 images: 2,000 safe; the output is written\n1 folder could not be read: what is in there is missing; let it be read, and run the same command again",
    ),
}


@pytest.mark.parametrize(("given", "expected"), STATUSES.values(), ids=STATUSES)
def test_the_status_says_how_far_it_is_and_what_to_do(given: Status | None, expected: str):
    assert status_text(given) == expected


def test_the_summary_names_the_file_whatever_its_name_and_what_is_missing():
    said = summary(status(unread=1200), Path("out\x1b[31m.jsonl"))
    assert said.startswith("1,500 images: 1,500 safe; written to out\\x1b[31m.jsonl\n1,200 folders could not be read")


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_where_nobody_looks_it_says_a_line_at_once_and_then_one_in_ten_seconds():
    file, clock = io.StringIO(), Clock()
    given = status(listed=64, all_listed=False, done=0, counts={})
    with Progress(Console(file=file, width=30), given, lambda: given, clock=clock) as progress:
        for now_s in (102.0, 111.9, 112.0):
            clock.now_s = now_s
            progress.add(Counter(safe=32))
            given = status(listed=150)
    assert file.getvalue().splitlines() == [
        "32 images, 64 found so far, 16/s",  # 32 in 2 s
        "96 of 150 images, 8.0/s, 7 s left",  # 96 in 12 s; 54 are left
    ]


def test_the_rate_is_that_of_this_run_and_not_of_what_was_done_before():
    clock, given = Clock(), status(listed=5000, done=1000)
    progress = Progress(Console(file=(file := io.StringIO()), width=200), given, lambda: given, clock=clock)
    clock.now_s += 1
    progress.add(Counter(safe=40))
    assert file.getvalue() == "1,040 of 5,000 images, 40/s, 2 min left\n"  # 3,960 / 40 s


LARGE = Counter(adult=1_234_567, unknown=234_567, safe=7_345_678, failed=1_012_345)  # 9,827,157
SCREENS = {
    "listing": (
        status(listed=9_900_000, all_listed=False, done=0),
        ["9,827,157 images, 9,900,000 found so far", "85/s"],
    ),
    "judging": (status(listed=50_000_000, done=0), ["9,827,157 of 50,000,000 images", "85/s", "5.5 days left"]),
}


@pytest.mark.parametrize(("given", "parts"), SCREENS.values(), ids=SCREENS)
@pytest.mark.parametrize("width", [80, 110])
def test_a_terminal_of_80_columns_shows_all_of_it_also_of_millions(given: Status, parts: list[str], width: int):
    """85 a second: 9,827,157 in 115,613.6 s; (50,000,000 - 9,827,157) / 85 = 472,622 s."""
    clock = Clock()
    console = Console(file=io.StringIO(), width=width, force_terminal=True)
    progress = Progress(console, Status(0, False, 0, {}, False, 0), lambda: given, clock=clock)
    clock.now_s += 9_827_157 / 85
    progress.add(LARGE)
    shown = Console(file=(file := io.StringIO()), width=width)
    shown.print(progress.screen())
    bar, counts = file.getvalue().splitlines()
    assert all(part in bar for part in parts)
    assert counts == "1,234,567 adult  234,567 unknown  7,345,678 safe  1,012,345 failed"
    assert len(bar) <= width
    assert bar.index("9,827,157") >= 15


def test_a_terminal_is_shown_a_bar_that_is_gone_at_the_end():
    console = Console(file=(file := io.StringIO()), width=80, force_terminal=True, force_interactive=True)
    given = status(listed=100, done=0, counts={})
    with Progress(console, given, lambda: given) as progress:
        progress.add(Counter(safe=32))
    assert "32 of 100 images" in file.getvalue()
    assert "\n32 of" not in file.getvalue()
    assert file.getvalue().endswith("\x1b[2K")  # the line is erased
