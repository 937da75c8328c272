"""Windows of a browser: what a page asks for and complains of is noted, and judged when its window is closed.

A window is closed before the service that it looks at is stopped, `with a_service() as client, window(of=client) as page`: else
what the page asks for meanwhile finds nobody there, and the browser complains of that.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Self
from urllib.parse import urlsplit

from playwright.sync_api import BrowserContext, Dialog, Request
from waiting import PATIENCE_S

DESK = {"viewport": {"width": 1280, "height": 800}}
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True, "device_scale_factor": 2}
SIZES = {"desktop": DESK, "phone": PHONE}
COVERED, UNCOVERED = "blur(28px) grayscale(1)", "none"  # the CSS `filter` of a picture, by default


class Window:
    """A page in a context of its own, which may ask for addresses that begin as `own` says, and for no others."""

    def __init__(self, context: BrowserContext, own: str | tuple[str, ...]) -> None:
        self.page = context.new_page()
        self.asked: list[str] = []  # method and path of every request
        self._own = own
        self._complaints: list[str] = []
        self._forgiven: list[str] = []
        self._is_judged = False
        self.page.on("request", self._note)
        self.page.on("console", lambda message: self.complain(message.text))
        self.page.on("pageerror", lambda error: self.complain(str(error)))
        self.page.on("dialog", self._refuse)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._is_judged |= kind is not None  # what failed says more than what the page complained of until then
        self.close()

    def complain(self, text: str) -> None:
        self._complaints.append(text)

    def forgive(self, pattern: str) -> None:
        """What a test brought about itself, whenever it is told: the browser may tell of an answer after the page has shown it."""
        self._forgiven.append(pattern)

    def close(self) -> None:
        """Judges once, when no complaint can come any more."""
        try:
            if not self.page.is_closed():
                self.look_back()
        finally:
            self.page.context.close()
        is_judged, self._is_judged = self._is_judged, True
        unforgiven = [text for text in self._complaints if not any(re.search(each, text) for each in self._forgiven)]
        assert is_judged or not unforgiven, unforgiven

    def look_back(self) -> None:
        """For complaints that only the page can tell, before it is gone."""

    def until(self, is_so: Callable[[], object]) -> None:
        """For what no locator shows, such as a request that goes out."""
        end = time.monotonic() + PATIENCE_S
        while not is_so():
            assert time.monotonic() < end, f"asked so far: {self.asked}"
            self.page.wait_for_timeout(20)

    @property
    def overflow(self) -> int:
        """Pixels by which the page is wider than the window."""
        return self.page.evaluate("document.documentElement.scrollWidth - innerWidth")

    def faults(self, axe: str) -> dict[str, list[str]]:
        """Against all rules of axe-core, best practices among them: the rule and its weight, and the elements."""
        if not self.page.evaluate("'axe' in window"):
            self.page.evaluate(axe)  # not add_script_tag: pages forbid scripts
        # The violations alone: to hand over all that was found takes longer than to find it.
        found = self.page.evaluate("axe.run(document).then((found) => found.violations)")
        return {f"{each['id']} ({each['impact']})": [node["html"] for node in each["nodes"]] for each in found}

    def _note(self, request: Request) -> None:
        self.asked.append(f"{request.method} {urlsplit(request.url).path}")
        if not request.url.startswith(self._own):
            self.complain(f"asked {request.url}")

    def _refuse(self, dialog: Dialog) -> None:
        self.complain(dialog.message)
        dialog.dismiss()
