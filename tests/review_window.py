"""The review page in a browser: signed in, with a clock of its own where a test wants one."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from typing import Self

from playwright.sync_api import Browser, BrowserContext, Locator, expect
from review_desk import WORDS, House, photograph
from windows import SIZES, Window

from demure.reviews import Review, State, Verdict

_BEGIN_S = 1_790_000_000


class ReviewWindow(Window):
    def __init__(self, context: BrowserContext, house: House) -> None:
        super().__init__(context, f"{house.url}/")
        self.house = house
        self._answered: list[str] = []
        self.page.on("response", lambda response: self._answered.append(response.url))

    def stop_clock(self) -> Self:
        """From here on, and before the page is there: its time passes by `pass_s` alone."""
        self.page.clock.install(time=_BEGIN_S)
        self.page.clock.pause_at(_BEGIN_S + 1)
        return self

    def pass_s(self, seconds: float) -> None:
        self.page.clock.run_for(int(seconds * 1000))

    def sign_in(self, name: str = "anna") -> Self:
        token, _ = self.house.desk.users.sign_in(name, WORDS)
        self.page.context.add_cookies([{"name": "demure", "value": token, "url": self.house.url}])
        self.page.goto(f"{self.house.url}/review")
        return self

    def sign_in_by_hand(self, name: str = "anna") -> Self:
        self.page.goto(f"{self.house.url}/review/sign-in")
        self.page.get_by_label("Name").fill(name)
        self.page.get_by_label("Password").fill(WORDS)
        self.page.keyboard.press("Enter")
        self.page.wait_for_url("**/review")
        return self

    def is_in(self, state: str) -> None:
        expect(self.page.locator("#desk")).to_have_attribute("data-state", state)

    def has(self, review: Review) -> None:
        """The page has this item and its picture: it is shown, or comes next."""
        self.until(lambda: f"{self.house.url}/review/{review.id}/picture/0" in self._answered)

    def press(self, *keys: str) -> None:
        """One after the other, each when the page is ready for it."""
        for key in keys:
            self.is_in("ready")
            self.page.keyboard.press(key)

    @property
    def heading(self) -> Locator:
        return self.page.locator(".item h2")

    @property
    def picture(self) -> Locator:
        return self.page.locator(".picture").first

    @property
    def said(self) -> Locator:
        return self.page.locator("#said")

    def ground(self) -> tuple[int, ...]:
        """The colour behind everything: red, green, blue."""
        told = self.page.evaluate("getComputedStyle(document.body).backgroundColor")
        return tuple(map(int, re.findall(r"\d+", told)))[:3]

    def pictures_asked(self) -> list[str]:
        return [path for path in self.asked if "/picture/" in path]

    def moves(self) -> list[str]:
        """What the page has sent until now of any item. One request more goes behind all others, so that none is missed."""
        self.page.evaluate("fetch('/review/static/icon.svg').then((answer) => answer.blob())")
        return [line for line in self.asked if re.match("POST /review/[0-9a-f]+/", line)]


@contextlib.contextmanager
def review_windows(chromium: Browser, house: House) -> Iterator[Callable[..., ReviewWindow]]:
    """Opens windows, on another house if one is given, and closes those that are open at the end."""
    with contextlib.ExitStack() as stack:

        def open_window(size: str = "desktop", *, of: House = house, **options: object) -> ReviewWindow:
            context = chromium.new_context(**SIZES[size], color_scheme="light", **options)
            return stack.enter_context(ReviewWindow(context, of))

        yield open_window


def three(house: House) -> list[Review]:
    return [house.put(name, [photograph(seed)]) for seed, name in enumerate("abc")]


def state_of(house: House, review: Review) -> tuple[State, Verdict | None]:
    now = house.reviews.get(review.id)
    return now.state, now.verdict
