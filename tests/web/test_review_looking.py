"""The review page in a real Chromium: what it shows when and how it looks, on a phone too, and for who has it read aloud.

Every test also fails for an error on the console, a breach of the content security policy or a request to another host.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect
from review_desk import ANNA, BERT, SECRETS, UNSURE, House, house_of
from review_window import ReviewWindow, review_windows, state_of, three
from windows import COVERED, SIZES, UNCOVERED

from demure.reviews import Judgement, Kind, State, Verdict


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with house_of(tmp_path, spot_checks=0.01) as house:
        yield house


@pytest.fixture
def window(chromium: Browser, house: House) -> Iterator[Callable[..., ReviewWindow]]:
    with review_windows(chromium, house) as open_window:
        yield open_window


# What is shown when.


def test_the_machines_opinion_is_in_the_page_after_the_verdict_and_not_before(house, window):
    three(house)
    eyes = window().sign_in()
    eyes.is_in("ready")
    page = eyes.page.content()
    assert not [secret for secret in SECRETS if secret in page]
    eyes.press("s")
    thought = eyes.page.locator("#before")
    expect(thought).to_contain_text("Item 1: judged safe. The machine: unknown")
    for told in ("models_disagree", "0.613", "open_nsfw", "0.185", "balanced_quirk", "mobilenet_quirk"):
        expect(thought).to_contain_text(told)
    item = eyes.page.locator(".item").evaluate("node => node.outerHTML")
    assert not [secret for secret in SECRETS if secret in item]
    eyes.press("u")
    expect(eyes.heading).to_have_text("Item 1")
    expect(thought).to_have_text("")


def test_the_next_picture_is_there_before_the_verdict_and_asked_for_once(house, window):
    first, second, third = three(house)
    eyes = window().sign_in()
    eyes.is_in("ready")
    with eyes.page.expect_response(f"**/review/{second.id}/picture/0"):
        eyes.page.reload()
    eyes.is_in("ready")
    assert house.reviews.get(first.id).state is State.OPEN
    eyes.asked.clear()
    eyes.press("a")
    expect(eyes.heading).to_have_text("Item 2")
    eyes.is_in("ready")
    eyes.has(third)
    assert not [path for path in eyes.pictures_asked() if second.id in path]


def test_an_animation_shows_its_worst_frame_and_the_others_beneath(house, window):
    review = house.put_animation("a")
    eyes = window().sign_in()
    eyes.is_in("ready")
    frames = eyes.page.get_by_role("group", name="Frames").get_by_role("button")
    expect(frames).to_have_count(6)
    picture = eyes.page.locator(".picture")
    expect(picture).to_have_attribute("src", f"/review/{review.id}/picture/0")
    thumb = eyes.page.locator(".strip img").first
    expect(thumb).to_have_css("filter", "blur(7px) grayscale(1)")
    frames.nth(3).click()
    expect(picture).to_have_attribute("src", f"/review/{review.id}/picture/3")
    expect(picture).to_have_attribute("alt", "Frame 4 of 12")
    expect(frames.nth(3)).to_have_attribute("aria-pressed", "true")
    expect(eyes.picture).to_have_css("filter", COVERED)
    for key, number in (("ArrowRight", 4), ("ArrowLeft", 3), ("ArrowLeft", 2)):
        eyes.page.keyboard.press(key)
        expect(picture).to_have_attribute("src", f"/review/{review.id}/picture/{number}")
    eyes.page.keyboard.press("r")
    for uncovered in (picture, thumb):
        expect(uncovered).to_have_css("filter", UNCOVERED)


def test_the_picture_is_covered_when_the_window_is_left(house, window):
    three(house)
    eyes = window().sign_in()
    eyes.press("r")
    expect(eyes.picture).to_have_css("filter", UNCOVERED)
    eyes.page.evaluate("dispatchEvent(new Event('blur'))")
    expect(eyes.picture).to_have_css("filter", COVERED)
    expect(eyes.page.get_by_role("button", name="Uncover")).to_have_attribute("aria-pressed", "false")


def test_a_picture_that_cannot_be_loaded_is_skipped_and_not_judged(house, window):
    first, *_ = three(house)
    eyes = window().stop_clock()
    eyes.page.route(f"**/review/{first.id}/picture/0", lambda route: route.abort())
    eyes.sign_in()
    expect(eyes.page.get_by_text("The picture could not be loaded.")).to_be_visible()
    expect(eyes.page.get_by_role("button", name="Safe")).to_be_disabled()
    eyes.pass_s(0.3)
    eyes.page.keyboard.press("s")
    eyes.page.keyboard.press("k")
    expect(eyes.heading).to_have_text("Item 2")
    assert state_of(house, first) == (State.OPEN, None)
    eyes.forgive("ERR_FAILED")


def test_how_it_looks_is_kept(house, window):
    three(house)
    eyes = window().sign_in()
    eyes.is_in("ready")
    eyes.page.get_by_text("How this page looks and works").click()
    with eyes.page.expect_response("**/review/preferences"):
        eyes.page.get_by_label("How strongly pictures are blurred").fill("60")
    expect(eyes.picture).to_have_css("filter", "blur(60px) grayscale(1)")
    with eyes.page.expect_response("**/review/preferences"):
        eyes.page.get_by_label("Without colours until uncovered").uncheck()
    expect(eyes.picture).to_have_css("filter", "blur(60px)")
    with eyes.page.expect_response("**/review/preferences"):
        eyes.page.get_by_label("What the machine finds riskiest").check()
    dark = eyes.ground()
    with eyes.page.expect_response("**/review/preferences"):
        eyes.page.get_by_label("Pages with a light ground").check()
    light = eyes.ground()
    assert sum(dark) < 150
    assert sum(light) > 600
    eyes.page.reload()
    assert eyes.ground() == light
    eyes.is_in("ready")
    expect(eyes.picture).to_have_css("filter", "blur(60px)")
    eyes.page.get_by_text("How this page looks and works").click()
    expect(eyes.page.get_by_label("What the machine finds riskiest")).to_be_checked()


# For everybody.


@pytest.mark.parametrize("size", SIZES)
def test_nothing_stands_in_the_way_of_a_screen_reader(house, window, axe, size):
    """All rules of axe-core, best practices among them."""
    faults: dict[str, list[str]] = {}
    eyes = window(size, bypass_csp=True)  # for axe's own script; the policy is what all other tests run under

    def look(name: str) -> None:
        faults.update({f"{name}: {fault}": nodes for fault, nodes in eyes.faults(axe).items()})

    decided = Judgement(**{**vars(UNSURE), "decision": "adult", "reason": "explicit >= 0.85"})
    house.put("a", kind=Kind.APPEAL, note="It is a cup of coffee.", judgement=decided, pdq=bytes(32))
    near = house.put("n", pdq=bytes(32))
    house.reviews.settle(near.id, BERT, Verdict.ADULT, near.version)
    house.put_animation("b")
    house.put("c")
    eyes.page.goto(f"{house.url}/review/sign-in")
    look("sign-in")
    eyes.sign_in("root")
    eyes.is_in("ready")
    look("item")
    eyes.press("r")
    eyes.page.get_by_text("How this page looks and works").click()
    look("uncovered, with choices")
    eyes.press("s")
    expect(eyes.heading).to_have_text("Item 2")
    eyes.is_in("ready")
    if size == "phone":
        eyes.page.locator(".thought summary").click()
    look("after a verdict, an animation")
    eyes.press("e")
    look("escalation")
    eyes.page.get_by_role("dialog").get_by_role("button", name="Escalate").click()
    expect(eyes.heading).to_have_text("Item 3")
    look("escalated")
    eyes.press("?")
    look("keys")
    eyes.page.keyboard.press("Escape")
    eyes.press("a")
    eyes.is_in("empty")
    look("nothing waits")
    for path in ("dashboard", "escalated"):
        eyes.page.goto(f"{house.url}/review/{path}")
        for details in eyes.page.locator("details").all():
            details.evaluate("node => { node.open = true }")
        look(path)
    assert faults == {}


@pytest.mark.parametrize("size", SIZES)
def test_no_page_is_wider_than_the_window(house, window, size):
    house.put("a", note="w" * 500)
    review = house.put("b")
    house.reviews.escalate(review.id, ANNA, review.version, "w" * 500)
    eyes = window(size).sign_in("root")
    for path in ("", "/dashboard", "/escalated"):
        eyes.page.goto(f"{house.url}/review{path}")
        assert eyes.overflow <= 0, path
