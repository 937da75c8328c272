"""The try-it page in a browser: its hands and what it shows; and that it keeps nothing."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator

import httpx
from pictures import encode, plain
from playwright.sync_api import Browser, BrowserContext, Locator, expect
from windows import SIZES, Window

RED, GREEN, BLUE = (encode(plain(colour), "PNG") for colour in ([255, 0, 0], [0, 255, 0], [0, 0, 255]))
_KEPT = "[localStorage.length, sessionStorage.length, document.cookie, location.href]"


class TryWindow(Window):
    """Also complains of anything that the browser keeps, or that stands in the address."""

    def __init__(self, context: BrowserContext, url: str) -> None:
        super().__init__(context, (url, f"blob:{url}"))
        self.url = url
        self.page.goto(url)

    def look_back(self) -> None:
        kept = [*self.page.evaluate(_KEPT), self.page.context.cookies()]
        if kept != [0, 0, "", self.url, []]:
            self.complain(f"was kept, or stands in the address: {kept}")

    def choose(self, *files: tuple[str, bytes]) -> None:
        with self.page.expect_file_chooser() as chooser:
            self.page.get_by_role("button", name="Choose pictures").click()
        chooser.value.set_files([{"name": n, "mimeType": "image/png", "buffer": data} for n, data in files])

    def drag(self, event: str, files: dict[str, bytes] | None = None, text: str = "") -> None:
        """A drag or a paste, as the browser would report it."""
        self.page.evaluate(
            """([event, files, text]) => {
              const data = new DataTransfer();
              for (const [name, bytes] of files) data.items.add(new File([new Uint8Array(bytes)], name));
              if (text) data.setData('text/plain', text);
              const more = { bubbles: true, cancelable: true, dataTransfer: data, clipboardData: data };
              const made = event === 'paste' ? new ClipboardEvent(event, more) : new DragEvent(event, more);
              (document.activeElement ?? document.body).dispatchEvent(made);
            }""",
            [event, [[name, list(data)] for name, data in (files or {}).items()], text],
        )

    def says(self, word: str, name: str) -> Locator:
        """The result, once it is there."""
        result = self.page.locator(".result")
        expect(result.get_by_role("heading")).to_have_text(f"{word} {name}")
        return result

    @property
    def notice(self) -> Locator:
        return self.page.locator("#notice")

    @property
    def rows(self) -> Locator:
        return self.page.locator("#list").get_by_role("listitem")

    @property
    def picture(self) -> Locator:
        return self.page.locator(".picture")

    @property
    def policy(self) -> Locator:
        """It has a value when the policies were read."""
        return self.page.get_by_label("Policy")

    def answer(self) -> dict:
        """The JSON that the page shows."""
        return json.loads(self.page.locator(".raw pre").text_content() or "")


@contextlib.contextmanager
def try_windows(chromium: Browser, service: httpx.Client) -> Iterator[Callable[..., TryWindow]]:
    """Opens windows, on another service if one is given, and closes those that are open at the end."""
    with contextlib.ExitStack() as stack:

        def open_window(size: str = "desktop", *, of: httpx.Client = service, **options: object) -> TryWindow:
            context = chromium.new_context(**SIZES[size], **options)
            return stack.enter_context(TryWindow(context, f"{str(of.base_url).rstrip('/')}/"))

        yield open_window


def problem(status: int, code: str, detail: str, **headers: str) -> dict:
    """What a route is fulfilled with: a problem document as the service would send it."""
    body = {"type": f"/docs#{code}", "title": "x", "status": status, "detail": detail, "code": code, "request_id": "1"}
    return {"status": status, "body": json.dumps(body), "content_type": "application/problem+json", "headers": headers}
