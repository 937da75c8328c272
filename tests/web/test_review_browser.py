"""The review page in a real Chromium: by keys alone, by mouse, on a phone; what it shows when, and what it does when things fail.

Every test also fails for an error on the console, a breach of the content security policy or a request to another host.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, Route, expect
from review_desk import ANNA, BERT, SECRETS, UNSURE, WORDS, House, house_of, photograph

from demure.reviews import Judgement, Kind, Review, State, Verdict

DESK = {"viewport": {"width": 1280, "height": 800}}
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True, "device_scale_factor": 2}
SIZES = {"desktop": DESK, "phone": PHONE}
COVERED, UNCOVERED = "blur(28px) grayscale(1)", "none"


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with house_of(tmp_path, spot_checks=0.01) as house:
        yield house


@dataclass
class Window:
    """A browser's window on the review page."""

    page: Page
    house: House
    asked: list[str] = field(default_factory=list)  # method and path of every request
    complaints: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("request", self._note)
        self.page.on("console", lambda m: self.complaints.append(m.text) if m.type in ("error", "warning") else None)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def sign_in(self, name: str = "anna") -> Window:
        token, _ = self.house.desk.users.sign_in(name, WORDS)
        self.page.context.add_cookies([{"name": "demure", "value": token, "url": self.house.url}])
        self.page.goto(f"{self.house.url}/review")
        return self

    def sign_in_by_hand(self, name: str = "anna") -> Window:
        self.page.goto(f"{self.house.url}/review/sign-in")
        self.page.get_by_label("Name").fill(name)
        self.page.get_by_label("Password").fill(WORDS)
        self.page.keyboard.press("Enter")
        self.page.wait_for_url("**/review")
        return self

    def is_in(self, state: str) -> None:
        expect(self.page.locator("#desk")).to_have_attribute("data-state", state)

    def press(self, *keys: str) -> None:
        """One after the other, each when the page is ready for it."""
        for key in keys:
            self.is_in("ready")
            self.page.keyboard.press(key)

    @property
    def heading(self):
        return self.page.locator(".item h2")

    @property
    def said(self):
        return self.page.locator("#said")

    def filter(self, selector: str = ".picture") -> str:
        return self.page.locator(selector).first.evaluate("node => getComputedStyle(node).filter")

    def ground(self) -> tuple[int, ...]:
        """The colour behind everything: red, green, blue."""
        told = self.page.evaluate("getComputedStyle(document.body).backgroundColor")
        return tuple(map(int, re.findall(r"\d+", told)))[:3]

    def pictures_asked(self) -> list[str]:
        return [path for path in self.asked if "/picture/" in path]

    def forgive(self, pattern: str) -> None:
        """What a test brought about itself."""
        self.complaints = [text for text in self.complaints if not re.search(pattern, text)]

    def _note(self, request) -> None:
        parts = urlsplit(request.url)
        self.asked.append(f"{request.method} {parts.path}")
        if f"{parts.scheme}://{parts.netloc}" != self.house.url:
            self.complaints.append(f"asked {request.url}")


@pytest.fixture
def window(chromium: Browser, house: House) -> Iterator[Callable[..., Window]]:
    opened: list[Window] = []

    def open_window(size: str = "desktop", *, of: House = house, **options: object) -> Window:
        context = chromium.new_context(**SIZES[size], color_scheme="light", **options)
        context.set_default_timeout(10_000)
        opened.append(Window(context.new_page(), of))
        return opened[-1]

    yield open_window
    for each in opened:
        each.page.context.close()
    assert [text for each in opened for text in each.complaints] == []


def three(house: House) -> list[Review]:
    return [house.put(name, [photograph(seed)]) for seed, name in enumerate("abc")]


def state_of(house: House, review: Review) -> tuple[State, Verdict | None]:
    now = house.reviews.get(review.id)
    return now.state, now.verdict


# The way through the queue.


def test_a_queue_can_be_gone_through_by_keys_alone(house, window):
    first, second, third = three(house)
    keys = window().sign_in_by_hand()
    keys.is_in("ready")
    expect(keys.heading).to_have_text("Item 1")
    assert keys.filter() == COVERED
    keys.page.keyboard.down(" ")
    assert keys.filter() == UNCOVERED
    keys.page.keyboard.up(" ")
    assert keys.filter() == COVERED
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
    first, second, _ = three(house)
    mouse = window().sign_in()
    mouse.is_in("ready")
    stage = mouse.page.locator(".stage")
    stage.hover()
    mouse.page.mouse.down()
    assert mouse.filter() == UNCOVERED
    mouse.page.mouse.up()
    assert mouse.filter() == COVERED
    uncover = mouse.page.get_by_role("button", name="Uncover")
    uncover.click()
    expect(uncover).to_have_attribute("aria-pressed", "true")
    assert mouse.filter() == UNCOVERED
    mouse.page.get_by_role("button", name="Adult").click()
    expect(mouse.heading).to_have_text("Item 2")
    assert mouse.filter() == COVERED  # each anew
    expect(uncover).to_have_attribute("aria-pressed", "false")
    mouse.is_in("ready")
    mouse.page.keyboard.press(" ")  # would press the button again if that had the focus
    mouse.page.keyboard.press("Enter")
    mouse.page.wait_for_timeout(100)
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
    assert phone.filter() == UNCOVERED
    touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    assert phone.filter() == COVERED
    phone.page.get_by_role("button", name="Safe").tap()
    expect(phone.heading).to_have_text("Item 2")
    assert state_of(house, first) == (State.SETTLED, Verdict.SAFE)
    thought = phone.page.locator(".thought")
    expect(thought.get_by_text("Scores")).to_be_hidden()
    thought.locator("summary").tap()
    expect(thought.get_by_text("Scores")).to_be_visible()


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
    assert not [path for path in eyes.pictures_asked() if second.id in path]
    assert [path for path in eyes.pictures_asked() if third.id in path]


def test_an_animation_shows_its_worst_frame_and_the_others_beneath(house, window):
    review = house.put_animation("a")
    eyes = window().sign_in()
    eyes.is_in("ready")
    frames = eyes.page.get_by_role("group", name="Frames").get_by_role("button")
    expect(frames).to_have_count(6)
    picture = eyes.page.locator(".picture")
    expect(picture).to_have_attribute("src", f"/review/{review.id}/picture/0")
    assert eyes.filter(".strip img") == "blur(7px) grayscale(1)"
    frames.nth(3).click()
    expect(picture).to_have_attribute("src", f"/review/{review.id}/picture/3")
    expect(picture).to_have_attribute("alt", "Frame 4 of 12")
    expect(frames.nth(3)).to_have_attribute("aria-pressed", "true")
    assert eyes.filter() == COVERED
    for key, number in (("ArrowRight", 4), ("ArrowLeft", 3), ("ArrowLeft", 2)):
        eyes.page.keyboard.press(key)
        expect(picture).to_have_attribute("src", f"/review/{review.id}/picture/{number}")
    eyes.page.keyboard.press("r")
    assert (eyes.filter(), eyes.filter(".strip img")) == (UNCOVERED, UNCOVERED)


def test_the_picture_is_covered_when_the_window_is_left(house, window):
    three(house)
    eyes = window().sign_in()
    eyes.press("r")
    assert eyes.filter() == UNCOVERED
    eyes.page.evaluate("dispatchEvent(new Event('blur'))")
    assert eyes.filter() == COVERED
    expect(eyes.page.get_by_role("button", name="Uncover")).to_have_attribute("aria-pressed", "false")


def test_a_picture_that_cannot_be_loaded_is_skipped_and_not_judged(house, window):
    first, *_ = three(house)
    eyes = window()
    eyes.page.route(f"**/review/{first.id}/picture/0", lambda route: route.abort())
    eyes.sign_in()
    expect(eyes.page.get_by_text("The picture could not be loaded.")).to_be_visible()
    expect(eyes.page.get_by_role("button", name="Safe")).to_be_disabled()
    eyes.page.wait_for_timeout(350)
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
    assert eyes.filter() == "blur(60px) grayscale(1)"
    with eyes.page.expect_response("**/review/preferences"):
        eyes.page.get_by_label("Without colours until uncovered").uncheck()
    assert eyes.filter() == "blur(60px)"
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
    assert eyes.filter() == "blur(60px)"
    eyes.page.get_by_text("How this page looks and works").click()
    expect(eyes.page.get_by_label("What the machine finds riskiest")).to_be_checked()


# Keys that must not count.


def test_keys_are_left_alone_with_modifiers_in_fields_and_when_held_down(house, window):
    first, *_ = three(house)
    keys = window().sign_in()
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
    keys.page.wait_for_timeout(100)
    expect(keys.heading).to_have_text("Item 1")
    assert state_of(house, first) == (State.OPEN, None)
    assert [path for path in keys.asked if path.startswith("POST") and first.id in path] == []


def test_a_key_pressed_twice_judges_one_item(house, window):
    first, second, _ = three(house)
    keys = window().sign_in()
    keys.is_in("ready")
    keys.page.keyboard.press("a")
    keys.page.keyboard.press("a")
    expect(keys.heading).to_have_text("Item 2")
    keys.page.keyboard.press("a")  # within the moment that a new item is not judged in
    keys.page.wait_for_timeout(400)
    assert state_of(house, first) == (State.SETTLED, Verdict.ADULT)
    assert state_of(house, second) == (State.OPEN, None)


def test_keys_of_one_letter_can_be_turned_off(house, window):
    first, *_ = three(house)
    keys = window().sign_in()
    keys.is_in("ready")
    keys.page.get_by_text("How this page looks and works").click()
    with keys.page.expect_response("**/review/preferences"):
        keys.page.get_by_label("Keys of one letter").uncheck()
    keys.page.keyboard.press("a")
    keys.page.wait_for_timeout(100)
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
    first, *_ = three(house)
    eyes = window().sign_in()
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
    with eyes.page.expect_response(f"**/review/{third.id}/picture/0"):
        eyes.press("a")
    expect(eyes.heading).to_have_text("Item 2")
    house.clock.pass_s(601)
    eyes.press("u")
    expect(eyes.page.get_by_role("alert")).to_contain_text("can no longer be taken back")
    expect(eyes.heading).to_have_text("Item 2")
    eyes.forgive("status of 409")


# Time.


def test_what_is_looked_at_is_held_and_what_others_took_is_given_up(house, window):
    first, second, third = three(house)
    eyes = window()
    eyes.page.clock.install()
    eyes.sign_in()
    eyes.is_in("waiting")
    eyes.page.clock.run_for(1000)
    eyes.is_in("ready")
    house.clock.pass_s(250)
    with eyes.page.expect_response(f"**/{second.id}/hold"):
        eyes.page.clock.run_for(100_000)
    house.clock.pass_s(250)  # 500 since it was claimed
    assert house.reviews.get(first.id).holder(house.clock.ms) == "user:anna"
    eyes.press("a")
    expect(eyes.heading).to_have_text("Item 2")
    assert state_of(house, first) == (State.SETTLED, Verdict.ADULT)
    house.reviews.settle(second.id, ANNA, Verdict.SAFE, None)  # in another window
    eyes.page.clock.run_for(100_000)
    expect(eyes.page.get_by_role("alert")).to_contain_text("Somebody else has item 2 now.")
    expect(eyes.heading).to_have_text("Item 3")
    assert third.id in (eyes.page.locator(".item").get_attribute("data-id") or "")
    eyes.forgive("status of 409")


def test_an_empty_queue_is_looked_at_again(house, window):
    eyes = window()
    eyes.page.clock.install()
    eyes.sign_in()
    eyes.is_in("empty")
    review = house.put("late")
    eyes.page.clock.run_for(21_000)
    expect(eyes.heading).to_have_text("Item 1")
    eyes.page.clock.run_for(1_000)
    eyes.press("s")
    eyes.is_in("empty")
    assert state_of(house, review) == (State.SETTLED, Verdict.SAFE)


def test_after_long_work_a_break_is_proposed_and_stands_in_nobodys_way(tmp_path, window, house):
    with house_of(tmp_path / "other", review_break_minutes=10, review_lease_s=3600) as other:
        for number in range(10):
            other.put(str(number))
        eyes = window(of=other)
        eyes.page.clock.install()
        eyes.sign_in()
        rest = eyes.page.locator("#rest")

        def work(minutes: int) -> None:
            eyes.page.clock.run_for(minutes * 60_000)
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
        rest.wait_for(state="hidden")
        work(1)
        expect(rest).to_contain_text("You have judged 5 items in 12 min.")
        rest.get_by_role("button", name="Close").click()
        expect(rest).to_be_hidden()
        work(1)
        expect(rest).to_be_hidden()
        work(11)  # that was a break
        expect(rest).to_be_hidden()


# For everybody.


@pytest.mark.parametrize("size", SIZES)
def test_nothing_stands_in_the_way_of_a_screen_reader(house, window, axe, size):
    """All rules of axe-core, best practices among them."""
    faults: dict[str, object] = {}
    eyes = window(size, bypass_csp=True)  # for axe's own script; the policy is what all other tests run under

    def look(name: str) -> None:
        eyes.page.evaluate(axe)
        found = eyes.page.evaluate("axe.run(document)")["violations"]
        faults.update({f"{name}: {v['id']} ({v['impact']})": [n["html"] for n in v["nodes"]] for v in found})

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
        width = eyes.page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        assert width[0] <= width[1], path
