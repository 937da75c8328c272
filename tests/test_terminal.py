from __future__ import annotations

import io

import pytest
from rich.console import Console

from demure.errors import NotAnImage, SourceNotFound
from demure.policy import Outcome
from demure.scores import Scores
from demure.screening import Screening
from demure.terminal import Report, plain_line

SCORES = Scores({"drawings": 0.125, "hentai": 0.0, "neutral": 0.5, "porn": 0.25, "sexy": 0.125})
SAFE = Screening(
    Outcome.SAFE, "risk <= 0.25", "balanced", "v", id="cat.jpg", score=0.3, scores=SCORES, witnesses={"open_nsfw": 1.0}
)
FAILED = Screening(
    Outcome.UNKNOWN, "not_an_image", "balanced", "v", id="a\x1b[31m\nb", error=NotAnImage("the bytes are no image")
)


SHOWN = {**SCORES, "open_nsfw": 1.0}
EIGHTHS = " ▏▎▍▌▋▊▉█"


def shown(*screenings: Screening, width: int, terminal: bool) -> str:
    out = io.StringIO()
    report = Report(
        Console(file=out, width=width, force_terminal=terminal, color_system=None, legacy_windows=False), [*SHOWN]
    )
    for screening in screenings:
        report.add(screening)
    return out.getvalue()


def test_piped_output_is_one_plain_line_with_tabs():
    assert shown(SAFE, width=20, terminal=False) == (
        "safe\trisk <= 0.25\tcat.jpg\tdrawings=0.1250\thentai=0.0000\tneutral=0.5000\tporn=0.2500\tsexy=0.1250\topen_nsfw=1.0000\n"
    )


def test_a_failure_is_told_with_its_code_and_message():
    line = plain_line(FAILED)
    assert line.startswith("unknown\tnot_an_image: the bytes are no image\t")


@pytest.mark.parametrize("terminal", [True, False])
def test_a_files_name_cannot_speak_to_the_terminal(terminal: bool):
    text = shown(FAILED, width=100, terminal=terminal)
    assert "a\\x1b[31m\\nb" in text
    assert "[31m\n" not in text


@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_the_table_fits_and_names_every_score(width: int):
    lines = shown(SAFE, width=width, terminal=True).splitlines()
    assert max(map(len, lines)) <= width
    for name in SHOWN:
        assert name in "".join(lines)


@pytest.mark.parametrize("width", [80, 120, 200])
def test_bars_are_as_long_as_their_scores(width: int):
    text = shown(SAFE, width=width, terminal=True)
    eighths = [sum(EIGHTHS.index(c) for c in bar) for bar in text.split() if not {*bar} - {*EIGHTHS}]
    longest = max(eighths)
    expected = [longest * score for score in SHOWN.values() if score > 0]
    assert longest >= 4 * 8
    assert eighths == pytest.approx(expected, abs=0.5)


def test_a_message_cannot_forge_a_line():
    forged = SourceNotFound("nope\nsafe\trisk <= 0.25\tgood.jpg: No such file")
    line = plain_line(Screening(Outcome.UNKNOWN, "not_found", "balanced", "v", id="nope", error=forged))
    assert len(line.splitlines()) == 1
    assert line.count("\t") == 2


def test_the_header_is_shown_once():
    assert shown(SAFE, SAFE, width=120, terminal=True).count("drawings") == 1
