"""The review page in a real Chromium: through the queue by keys, mouse and thumb, keys that must not count, failures, and time.

Every test also fails for an error on the console, a breach of the content security policy or a request to another host.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Route, expect
from review_desk import ANNA, BERT, House, house_of
from review_window import ReviewWindow, review_windows, state_of, three
from windows import COVERED, UNCOVERED

from demure.reviews import State, Verdict


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with house_of(tmp_path, spot_checks=0.01) as house:
        yield house


@pytest.fixture
def window(chromium: Browser, house: House) -> Iterator[Callable[..., ReviewWindow]]:
    with review_windows(chromium, house) as open_window:
        yield open_window


# The way through the queue.


def test_a_queue_can_be_gone_through_by_keys_alone(house, window):
    first, second, third = three(house)
    keys = window().sign_in_by_hand()
    keys.has(second)
    keys.is_in("ready")
    expect(keys.heading).to_have_text("Item 1")
    expect(keys.picture).to_have_css("filter", COVERED)
    keys.page.keyboard.down(" ")
    expect(keys.picture).to_have_css("filter", UNCOVERED)
    keys.page.keyboard.up(" ")
    expect(keys.picture).to_have_css("filter", COVERED)
    keys.press("a")
    expect(keys.heading).to_have_text("Item 2")
    assert state_of(house, first) == (State.SETTLED, Verdict.ADULT)
    expect(keys.said).to_have_text(
        "Judged adult. Undo with U. Item 2. Undecided, JPEG, 1280 \u00d7 960, waiting less than a minute."
    )
    keys.press("u")
    expect(keys.heading).to_have_text("Item 1")
    assert state_of(house, first) == (State.OPEN, None)
    keys.press("s")
    expect(keys.heading).to_have_text("Item 2")
    assert state_of(house, first) == (State.SETTLED, Verdict.SAFE)
    keys.press("k")
    expect(keys.heading).to_have_text("Item 3")
    assert state_of(house, second) == (State.OPEN, None)
    keys.press("e")
    expect(keys.page.get_by_role("dialog")).to_contain_text("Do not copy, save, print or forward it")
    keys.page.get_by_label("A note for the admins").focus()
    keys.page.keyboard.type("ask about this, please")
    keys.page.keyboard.press("Tab")
    keys.page.keyboard.press("Tab")
    keys.page.keyboard.press("Enter")
    expect(keys.heading).to_have_text("Item 4")  # the one that was skipped, again
    assert state_of(house, third) == (State.ESCALATED, None)
    assert house.reviews.get(third.id).verdict_note == "ask about this, please"
    expect(keys.page.locator("#before")).to_contain_text("Do not copy, save, print or forward it")
    keys.press("a")
    keys.is_in("empty")
    assert state_of(house, second) == (State.SETTLED, Verdict.ADULT)
    expect(keys.page.get_by_text("Nothing waits", exact=True)).to_be_visible()


def test_a_mouse_is_enough(house, window):
    first, second, third = three(house)
    mouse = window().sign_in()
    mouse.is_in("ready")
    stage = mouse.page.locator(".stage")
    stage.hover()
    mouse.page.mouse.down()
    expect(mouse.picture).to_have_css("filter", UNCOVERED)
    mouse.page.mouse.up()
    expect(mouse.picture).to_have_css("filter", COVERED)
    uncover = mouse.page.get_by_role("button", name="Uncover")
    uncover.click()
    expect(uncover).to_have_attribute("aria-pressed", "true")
    expect(mouse.picture).to_have_css("filter", UNCOVERED)
    mouse.page.get_by_role("button", name="Adult").click()
    expect(mouse.heading).to_have_text("Item 2")
    expect(mouse.picture).to_have_css("filter", COVERED)  # each anew
    expect(uncover).to_have_attribute("aria-pressed", "false")
    mouse.has(third)
    mouse.is_in("ready")
    mouse.page.keyboard.press(" ")  # would press the button again if that had the focus
    mouse.page.keyboard.press("Enter")
    assert mouse.moves() == [f"POST /review/{first.id}/settle"]
    assert state_of(house, second) == (State.OPEN, None)
    mouse.page.get_by_role("button", name="Undo").click()
    expect(mouse.heading).to_have_text("Item 1")
    assert state_of(house, first) == (State.OPEN, None)


def test_a_phone_has_all_within_reach_of_a_thumb(house, window):
    first, *_ = three(house)
    phone = window("phone").sign_in_by_hand()
    phone.is_in("ready")
    for button in phone.page.locator("#bar button").all():
        box = button.bounding_box()
        assert box is not None
        assert min(box["width"], box["height"]) >= 44
        assert box["y"] + box["height"] <= 844
    picture, bar = phone.page.locator(".stage").bounding_box(), phone.page.locator("#bar").bounding_box()
    assert picture is not None
    assert bar is not None
    assert picture["y"] + picture["height"] <= bar["y"]
    assert picture["height"] > 844 / 3
    assert phone.page.evaluate("document.documentElement.scrollWidth") == 390
    touch = phone.page.context.new_cdp_session(phone.page)
    point = {"x": 200, "y": picture["y"] + 100}
    touch.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [point]})
    expect(phone.picture).to_have_css("filter", UNCOVERED)
    touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    expect(phone.picture).to_have_css("filter", COVERED)
    phone.page.get_by_role("button", name="Safe").tap()
    expect(phone.heading).to_have_text("Item 2")
    assert state_of(house, first) == (State.SETTLED, Verdict.SAFE)
    thought = phone.page.locator(".thought")
    expect(thought.get_by_text("Scores")).to_be_hidden()
    thought.locator("summary").tap()
    expect(thought.get_by_text("Scores")).to_be_visible()


# Keys that must not count.


def test_keys_are_left_alone_with_modifiers_in_fields_and_when_held_down(house, window):
    first, second, _ = three(house)
    keys = window().sign_in()
    keys.has(second)
    keys.press("Control+a", "Alt+s", "Shift+A", "Meta+k")
    keys.page.keyboard.press("e")
    note = keys.page.get_by_label("A note for the admins")
    note.fill("")
    note.press_sequentially("asked")
    expect(note).to_have_value("asked")
    keys.page.keyboard.press("Escape")
    expect(keys.page.get_by_role("dialog")).to_have_count(0)
    keys.is_in("ready")
    keys.page.evaluate(
        "document.body.dispatchEvent(new KeyboardEvent('keydown', {key: 'a', repeat: true, bubbles: true}))"
    )
    assert keys.moves() == []
    expect(keys.heading).to_have_text("Item 1")
    assert state_of(house, first) == (State.OPEN, None)


def test_a_key_pressed_twice_judges_one_item(house, window):
    first, second, third = three(house)
    keys = window().stop_clock().sign_in()
    keys.pass_s(0.3)
    keys.is_in("ready")
    keys.page.keyboard.press("a")
    keys.page.keyboard.press("a")
    expect(keys.heading).to_have_text("Item 2")
    keys.has(third)
    keys.pass_s(0.299)
    keys.page.keyboard.press("a")  # within the moment that a new item is not judged in
    assert keys.moves() == [f"POST /review/{first.id}/settle"]
    keys.pass_s(0.001)
    keys.is_in("ready")
    assert state_of(house, first) == (State.SETTLED, Verdict.ADULT)
    assert state_of(house, second) == (State.OPEN, None)


def test_keys_of_one_letter_can_be_turned_off(house, window):
    first, second, _ = three(house)
    keys = window().sign_in()
    keys.has(second)
    keys.is_in("ready")
    keys.page.get_by_text("How this page looks and works").click()
    with keys.page.expect_response("**/review/preferences"):
        keys.page.get_by_label("Keys of one letter").uncheck()
    keys.page.keyboard.press("a")
    assert keys.moves() == []
    assert state_of(house, first) == (State.OPEN, None)
    keys.page.get_by_role("button", name="Adult").click()
    expect(keys.heading).to_have_text("Item 2")


def test_the_keys_are_listed(house, window):
    three(house)
    keys = window().sign_in()
    keys.press("?")
    expect(keys.page.get_by_role("dialog", name="Keys")).to_contain_text("undo the last verdict")
    keys.page.keyboard.press("Enter")
    expect(keys.page.get_by_role("dialog")).to_have_count(0)


# When things fail.


def test_who_comes_second_is_told_and_given_the_next(house, window):
    first, second, _ = three(house)
    eyes = window().sign_in()
    eyes.has(second)
    eyes.is_in("ready")
    house.clock.pass_s(301)  # the lease ends while nobody looks, and somebody else is quicker
    house.reviews.settle(first.id, BERT, Verdict.ADULT, None)
    eyes.press("s")
    expect(eyes.page.get_by_role("alert")).to_contain_text(
        "Not recorded: somebody else was first, or item 1 is not yours any more."
    )
    expect(eyes.heading).to_have_text("Item 2")
    assert house.reviews.get(first.id).verdict_by == "user:bert"
    eyes.press("s")
    expect(eyes.heading).to_have_text("Item 3")
    expect(eyes.page.locator("#notice")).to_be_empty()
    assert state_of(house, second) == (State.SETTLED, Verdict.SAFE)
    eyes.forgive("status of 409")


def test_a_verdict_that_did_not_arrive_is_kept_and_sent_again(house, window):
    first, second, _ = three(house)
    eyes = window().sign_in()
    eyes.is_in("ready")
    eyes.page.route("**/settle", lambda route: route.abort())
    eyes.press("a")
    alert = eyes.page.get_by_role("alert")
    expect(alert).to_contain_text("“adult” for item 1 has not reached the server.")
    eyes.is_in("unsent")
    expect(eyes.heading).to_have_text("Item 1")
    expect(eyes.page.locator("#before")).not_to_contain_text("judged adult")
    eyes.page.keyboard.press("s")  # not instead of it
    assert state_of(house, first) == (State.OPEN, None)
    eyes.page.unroute("**/settle")
    eyes.page.get_by_role("button", name="Send again").press("Enter")
    expect(eyes.heading).to_have_text("Item 2")
    assert state_of(house, first) == (State.SETTLED, Verdict.ADULT)
    assert state_of(house, second) == (State.OPEN, None)
    eyes.forgive("ERR_FAILED")


def test_a_verdict_whose_answer_was_lost_is_recorded_once(house, window):
    first, *_ = three(house)
    eyes = window().sign_in()
    eyes.is_in("ready")

    def lose(route: Route) -> None:
        route.fetch()
        route.abort()

    eyes.page.route("**/settle", lose, times=1)
    eyes.press("a")
    expect(eyes.page.get_by_role("alert")).to_contain_text("has not reached the server")
    assert state_of(house, first) == (State.SETTLED, Verdict.ADULT)
    eyes.page.get_by_role("button", name="Send again").click()
    expect(eyes.heading).to_have_text("Item 2")
    expect(eyes.page.locator("#before")).to_contain_text("Item 1: judged adult")
    eyes.forgive("ERR_FAILED")


def test_who_is_signed_out_is_shown_the_way_in(house, window):
    first, second, _ = three(house)
    eyes = window().sign_in()
    eyes.has(second)
    eyes.is_in("ready")
    house.desk.users.disable("anna", "test")
    eyes.press("a")
    expect(eyes.page.get_by_role("alert")).to_contain_text("You are signed out; nothing more is recorded.")
    expect(eyes.page.get_by_role("link", name="Sign in again")).to_be_focused()
    assert state_of(house, first) == (State.OPEN, None)
    eyes.forgive("status of 401")


def test_a_verdict_that_is_too_old_is_not_taken_back(house, window):
    *_, third = three(house)
    eyes = window().sign_in()
    eyes.press("a")
    eyes.has(third)
    expect(eyes.heading).to_have_text("Item 2")
    house.clock.pass_s(601)
    eyes.press("u")
    expect(eyes.page.get_by_role("alert")).to_contain_text("can no longer be taken back")
    expect(eyes.heading).to_have_text("Item 2")
    eyes.forgive("status of 409")


# Time.


def test_what_is_looked_at_is_held_and_what_others_took_is_given_up(house, window):
    first, second, third = three(house)
    eyes = window().stop_clock().sign_in()
    eyes.has(second)
    eyes.is_in("waiting")
    eyes.pass_s(1)
    eyes.is_in("ready")
    house.clock.pass_s(250)
    with eyes.page.expect_response(f"**/{second.id}/hold"):
        eyes.pass_s(100)
    house.clock.pass_s(250)  # 500 since it was claimed
    assert house.reviews.get(first.id).holder(house.clock.ms) == "user:anna"
    eyes.press("a")
    expect(eyes.heading).to_have_text("Item 2")
    assert state_of(house, first) == (State.SETTLED, Verdict.ADULT)
    house.reviews.settle(second.id, ANNA, Verdict.SAFE, None)  # in another window
    eyes.pass_s(100)
    expect(eyes.page.get_by_role("alert")).to_contain_text("Somebody else has item 2 now.")
    expect(eyes.heading).to_have_text("Item 3")
    assert third.id in (eyes.page.locator(".item").get_attribute("data-id") or "")
    eyes.forgive("status of 409")


def test_an_empty_queue_is_looked_at_again(house, window):
    eyes = window().stop_clock().sign_in()
    eyes.is_in("empty")
    review = house.put("late")
    eyes.pass_s(21)
    expect(eyes.heading).to_have_text("Item 1")
    eyes.pass_s(1)
    eyes.press("s")
    eyes.is_in("empty")
    assert state_of(house, review) == (State.SETTLED, Verdict.SAFE)


def test_after_long_work_a_break_is_proposed_and_stands_in_nobodys_way(tmp_path, window, house):
    settings = {"review_break_minutes": 10, "review_lease_s": 3600}
    with house_of(tmp_path / "other", **settings) as other, window(of=other) as eyes:
        for number in range(10):
            other.put(str(number))
        eyes.stop_clock().sign_in()
        rest = eyes.page.locator("#rest")

        def work(minutes: int) -> None:
            eyes.pass_s(minutes * 60)
            eyes.is_in("ready")
            before = eyes.heading.inner_text()
            eyes.page.keyboard.press("a")
            expect(eyes.heading).not_to_have_text(before)  # recorded before the clock runs on

        work(1)
        work(9)
        expect(rest).to_be_hidden()
        work(1)
        expect(rest).to_contain_text("You have judged 3 items in 10 min.")
        work(1)
        expect(rest).to_be_visible()
        eyes.page.reload()
        expect(rest).to_be_hidden()
        work(1)
        expect(rest).to_contain_text("You have judged 5 items in 12 min.")
        rest.get_by_role("button", name="Close").click()
        expect(rest).to_be_hidden()
        work(1)
        expect(rest).to_be_hidden()
        work(11)  # that was a break
        expect(rest).to_be_hidden()
