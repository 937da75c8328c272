"""The page, as text, and in a real Chromium: it must hold others' text still, ask for nothing and fit on a phone."""

from __future__ import annotations

import base64
import dataclasses
import re
import stat
import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest
from evaluations import HASH, HOSTILE, a_curve, a_result, an_evaluation, hostile, nothing
from pictures import encode, gradient
from playwright.sync_api import Browser, expect
from windows import Window

import demure
from demure.errors import InvalidSetting
from demure.evaluation.curves import Interval
from demure.evaluation.evaluate import AtBaseRate, Evaluation
from demure.evaluation.report_page import render_page, write_page
from demure.printable import printable

MADE = datetime(2026, 11, 23, 12, 30, tzinfo=UTC)
JPEG = encode(gradient(64, 48), "JPEG")
DESK, PHONE = {"width": 1280, "height": 800}, {"width": 390, "height": 844}
COVERED = "blur(16px) grayscale(1)"


class Parsed(HTMLParser):
    """Every element with its attributes, and the text between them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]


def page_of(evaluation: Evaluation, **more: object) -> Parsed:
    return Parsed(render_page(evaluation, made=MADE, **more))


def full() -> Evaluation:
    """All that may be on a page."""
    at = AtBaseRate(0.02, Interval(0.5, 0.4, 0.6), None, Interval(0.1, 0.09, 0.11))
    groups = {f"forum {number}": a_result().rates for number in range(20)}
    return an_evaluation(
        curves=tuple(a_curve(f"a model with a rather long name, number {number}") for number in range(8)),
        policies=(a_result(at_base_rate=at, groups=groups), a_result("strict", at_base_rate=at, mistakes=0)),
    )


# --- As text ----------------------------------------------------------------------------------------------------------


def test_the_page_tells_figures_with_their_intervals_and_conditions():
    text = " ".join(page_of(full(), source="labels.csv").text.replace("\xa0", " ").split())
    for words in (
        "Evaluation of labels.csv",
        "1,000 images: 200 adult, 800 safe (20.0 % adult)",
        f"demure {demure.__version__}, 2026-11-23 12:30 UTC",
        "2.0 % 0.55\N{EN DASH}5.0 %",
        "Where 2 % of images are adult",
        "50.0 % 40.0\N{EN DASH}60.0 %",
        "0.980 0.970\N{EN DASH}0.987",
        "too few takes 2,995 safe images",
        "adult 150 75.0 % unknown 46 23.0 % safe 4 2.0 %",
        "Mind this.",
        "pictures/5.jpg",
        HASH,
        "No mistakes",
    ):
        assert words in text
    conditions = "Measured on 1,000 images: 200 adult, 800 safe (20.0 % adult); 7 near copies. Intervals of 95 %."
    # Two tables of policies, three charts, one table of curves, two policies' bars, one of them with groups.
    assert text.count(conditions) == 9


def test_the_time_is_told_in_utc():
    abroad = MADE.astimezone(timezone(timedelta(hours=-5)))
    assert "2026-11-23 12:30 UTC" in render_page(an_evaluation(), made=abroad)


def test_the_page_asks_for_nothing():
    page = render_page(full(), made=MADE, pictures={"pictures/0.jpg": JPEG})
    assert "http:" not in page
    assert "https:" not in page
    assert "url(" not in re.sub(r"url\(#hatch-\d+-(adult|safe)\)", "", page)
    parsed = Parsed(page)
    assert {tag for tag, _ in parsed.elements} & {
        "script",
        "link",
        "iframe",
        "object",
        "embed",
        "base",
        "form",
    } == set()
    for _, attributes in parsed.elements:
        assert not [name for name in attributes if name.startswith("on") or name in ("srcset", "href", "xlink:href")]
    assert all(image["src"].startswith("data:image/jpeg;base64,") for image in parsed.all("img"))
    policy = next(meta["content"] for meta in parsed.all("meta") if meta.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'; img-src data:;")


def test_others_text_is_inert():
    page = render_page(hostile(), made=MADE, source=HOSTILE, pictures={HOSTILE: JPEG})
    assert {c for c in page if not c.isprintable()} <= {"\n", "\N{NO-BREAK SPACE}"}
    parsed = Parsed(page)
    assert parsed.all("script") == []
    assert [image["alt"] for image in parsed.all("img")] == [""]
    assert printable(HOSTILE) in parsed.text  # whole, and nothing but text
    labels = [attributes.get("aria-label", "") for _, attributes in parsed.elements]
    assert any(printable(HOSTILE) in label for label in labels)


def test_pictures_are_there_only_if_given():
    assert page_of(an_evaluation()).all("img") == []
    data = JPEG
    page = page_of(an_evaluation(), pictures={"pictures/3.jpg": data, "somebody-elses.jpg": data})
    assert [image["src"] for image in page.all("img")] == [f"data:image/jpeg;base64,{base64.b64encode(data).decode()}"]
    assert "The pictures are blurred." in page.text


@pytest.mark.parametrize(
    "evaluation",
    [
        nothing(),
        dataclasses.replace(nothing(), curves=(), policies=()),
        an_evaluation(adult=0, curves=nothing().curves),
        an_evaluation(policies=()),
        an_evaluation(curves=()),
    ],
    ids=["nothing", "no curves and no policies", "no adult images", "no policies", "no curves"],
)
def test_a_page_comes_of_whatever_there_is(evaluation: Evaluation):
    page = page_of(evaluation)
    assert page.all("h1")
    assert not {"nan", "inf", "None"} & {*re.findall(r"\w+", page.text)}


def test_without_one_of_the_classes_there_is_nothing_to_draw():
    page = page_of(an_evaluation(adult=0, curves=nothing().curves))
    assert "a curve needs adult images and safe ones" in page.text
    assert [svg for svg in page.all("svg") if svg["class"] == "plot"] == []


def test_headings_follow_each_other_and_tables_have_heads():
    page = page_of(full())
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch(r"h\d", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert {head.get("scope") for head in page.all("th")} == {"col", "row"}
    assert all(svg.get("aria-label") if svg.get("role") == "img" else svg["aria-hidden"] for svg in page.all("svg"))


def test_many_groups_are_folded_away():
    few, many = (
        page_of(
            an_evaluation(policies=(a_result(mistakes=0, groups=dict.fromkeys(map(str, range(n)), a_result().rates)),))
        )
        for n in (12, 13)
    )
    assert ["open" in details for details in few.all("details")] == [True]
    assert ["open" in details for details in many.all("details")] == [False]


# --- As a file --------------------------------------------------------------------------------------------------------


def test_a_page_is_written_like_any_file_and_may_be_written_again(tmp_path: Path):
    path, other = tmp_path / "report.html", tmp_path / "other"
    other.touch()
    write_page(an_evaluation(), path)
    write_page(an_evaluation(remarks=("The second.",)), path)
    assert "The second." in path.read_text("utf-8")
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(other.stat().st_mode)
    assert sorted(tmp_path.iterdir()) == [other, path]


def test_a_page_is_written_through_a_link(tmp_path: Path):
    path, link = tmp_path / "report.html", tmp_path / "link.html"
    link.symlink_to(path)
    write_page(an_evaluation(), link)
    assert link.is_symlink()
    assert path.read_text("utf-8").endswith("</html>")


@pytest.mark.parametrize(
    ("name", "words"),
    [("no/such/folder.html", "No such file or directory"), ("", "not a file")],
    ids=["no folder", "a folder"],
)
def test_where_a_page_cannot_be_written_the_message_tells_why(tmp_path: Path, name: str, words: str):
    with pytest.raises(InvalidSetting) as caught:
        write_page(an_evaluation(), tmp_path / name)
    assert caught.value.message.startswith(f"{tmp_path / name}: cannot be written (")
    assert words in caught.value.message
    assert list(tmp_path.iterdir()) == []


def test_a_device_is_not_replaced():
    with pytest.raises(InvalidSetting, match="not a file"):
        write_page(an_evaluation(), Path("/dev/null"))
    assert Path("/dev/null").is_char_device()


_WRITE_ON_A_FULL_DISK = """
import resource, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from evaluations import an_evaluation
from demure.errors import StorageFull
from demure.evaluation.report_page import write_page
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    write_page(an_evaluation(), Path(sys.argv[2]))
except StorageFull as error:
    print(error)
"""


def test_on_a_full_disk_the_old_page_stays(tmp_path: Path):
    path = tmp_path / "report.html"
    path.write_text("old")
    command = [sys.executable, "-B", "-c", _WRITE_ON_A_FULL_DISK, str(Path(__file__).parents[1]), str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == f"{path}: cannot be written (File too large)\n"
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


# --- In a browser -----------------------------------------------------------------------------------------------------


def opened(chromium: Browser, path: Path) -> Window:
    """When it is closed it fails for what the page asked for elsewhere, for whatever it said, and for a dialog."""
    window = Window(chromium.new_context(), ("file:", "data:"))
    window.page.goto(path.as_uri())
    return window


def test_the_page_fits_and_can_be_read_by_everybody_in_light_and_dark(tmp_path: Path, chromium: Browser, axe: str):
    path = tmp_path / "report.html"
    write_page(full(), path, source="labels/" + "long" * 40, pictures={"pictures/0.jpg": JPEG})

    with opened(chromium, path) as window:
        page = window.page
        page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
        for size, scheme in ((DESK, "light"), (DESK, "dark"), (PHONE, "light"), (PHONE, "dark")):
            page.set_viewport_size(size)
            page.emulate_media(color_scheme=scheme)
            assert window.overflow == 0
            if (size, scheme) in ((DESK, "light"), (PHONE, "dark")):  # the slow part
                assert window.faults(axe) == {}


def test_a_picture_is_seen_only_while_it_is_held_and_others_text_does_nothing(tmp_path: Path, chromium: Browser):
    path = tmp_path / "report.html"
    write_page(hostile(), path, source=HOSTILE, pictures={HOSTILE: JPEG})

    with opened(chromium, path) as window:
        page = window.page
        page.get_by_text("Mistakes").click()
        button = page.get_by_role("button")
        picture = button.locator("img")
        button.focus()
        expect(picture).to_have_css("filter", COVERED)
        page.keyboard.down(" ")
        expect(picture).to_have_css("filter", "none")
        page.keyboard.up(" ")
        expect(picture).to_have_css("filter", COVERED)
        button.hover()
        page.mouse.down()
        expect(picture).to_have_css("filter", "none")
        page.mouse.up()
        expect(picture).to_have_css("filter", COVERED)
