"""The page at / in a real Chromium: by mouse, by keys alone and on a phone; what it shows, covers, asks and keeps, and how it fails.

Every test also fails for an error on the console, a breach of the content security policy, a request to another host, and
anything that the browser keeps.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from pictures import animation, encode, plain
from playwright.sync_api import Browser, FileChooser, Locator, Page, Route, expect

from demure.keys import make_key
from demure.store.keys import Keys

RED, GREEN, BLUE = (encode(plain(colour), "PNG") for colour in ([255, 0, 0], [0, 255, 0], [0, 0, 255]))
DESK = {"viewport": {"width": 1280, "height": 800}}
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True, "device_scale_factor": 2}
SIZES = {"desktop": DESK, "phone": PHONE}
COVERED, UNCOVERED = "blur(28px) grayscale(1)", "none"
KEPT = "[localStorage.length, sessionStorage.length, document.cookie, location.href]"


@dataclass
class Window:
    """A browser's window on the page."""

    page: Page
    url: str
    asked: list[str] = field(default_factory=list)  # method and path of every request
    complaints: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("request", self._note)
        self.page.on("console", lambda m: self.complaints.append(m.text) if m.type in ("error", "warning") else None)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", lambda dialog: self.complaints.append(dialog.message))
        self.page.goto(self.url)

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

    def filter(self) -> str:
        return self.page.locator(".picture").evaluate("node => getComputedStyle(node).filter")

    def answer(self) -> dict:
        """The JSON that the page shows."""
        return json.loads(self.page.locator(".raw pre").text_content() or "")

    def forgive(self, pattern: str) -> None:
        """What a test brought about itself."""
        self.complaints = [text for text in self.complaints if not re.search(pattern, text)]

    def _note(self, request) -> None:
        parts = urlsplit(request.url)
        self.asked.append(f"{request.method} {parts.path}")
        if parts.scheme != "blob" and f"{parts.scheme}://{parts.netloc}/" != self.url:
            self.complaints.append(f"asked {request.url}")


@pytest.fixture
def window(chromium: Browser, service) -> Iterator[Callable[..., Window]]:
    opened: list[Window] = []

    def open_window(size: str = "desktop", *, of: httpx.Client = service, **options: object) -> Window:
        context = chromium.new_context(**SIZES[size], **options)
        context.set_default_timeout(10_000)
        opened.append(Window(context.new_page(), f"{str(of.base_url).rstrip('/')}/"))
        return opened[-1]

    yield open_window
    kept = []
    for each in opened:
        kept.append(each.page.evaluate(KEPT) == [0, 0, "", each.url] and each.page.context.cookies() == [])
        each.page.context.close()
    assert [text for each in opened for text in each.complaints] == []
    assert all(kept), "something was kept, or stands in the address"


@pytest.fixture
def keyed(quick) -> Iterator[tuple[httpx.Client, str]]:
    """A service that wants a key, and the key."""
    key, secret = make_key("site", ["classify"])
    with quick(DEMURE_API_KEYS=str(key)) as client:
        yield client, secret


def told_by(service: httpx.Client, data: bytes, **form: str) -> dict:
    return (
        service.post("/v1/moderate", files={"file": ("p.png", data)}, data=form).raise_for_status().json()["items"][0]
    )


# What is shown.


@pytest.mark.parametrize(
    ("data", "word"), [(RED, "adult"), (GREEN, "safe"), (BLUE, "unknown")], ids=["adult", "safe", "unknown"]
)
def test_what_the_service_says_of_a_file_is_shown(service, window, data, word):
    page = window()
    page.choose(("picture.png", data))
    result = page.says(word, "picture.png")
    told = told_by(service, data)
    assert told["decision"] == word
    shown = page.answer()["items"][0]
    for part in ("decision", "reason", "score", "scores", "witnesses", "sha256", "media"):
        assert shown[part] == told[part], part
    table = result.get_by_role("table", name="Scores")
    for name, value in {**told["scores"], **told["witnesses"]}.items():
        row = table.get_by_role("row").filter(has_text=name)
        expect(row.get_by_role("cell").first).to_have_text(f"{value:.3f}")
        assert float(row.locator(".filled").get_attribute("width")) == pytest.approx(100 * value)
    expect(result).to_contain_text("PNG, 64 \u00d7 64")
    expect(result).to_contain_text(told["sha256"])
    assert [path for path in page.asked if path.startswith("POST")] == ["POST /v1/moderate"]


def test_the_reason_is_in_plain_words_and_a_rule_as_it_is(window):
    page = window()
    page.choose(("green.png", GREEN))
    result = page.says("safe", "green.png")
    expect(result.locator(".why")).to_have_text("All bounds of the policy for this decision hold.")
    expect(result.locator(".rule")).to_have_text("risk <= 0.2 and redness <= 0.2")
    page.choose(("blue.png", BLUE))
    result = page.says("unknown", "blue.png")
    expect(result.locator(".why")).to_have_text(
        "The scores lie between the policy\u2019s bounds. A person should look."
    )
    expect(result.locator(".rule")).to_have_count(0)
    expect(page.page.locator("#said")).to_have_text(
        "blue.png: unknown. The scores lie between the policy\u2019s bounds. A person should look."
    )


def test_the_worst_frame_of_an_animation_is_told_as_people_count(window):
    page = window()
    page.choose(("moving.gif", animation([plain(c) for c in ([0, 255, 0], [0, 254, 0], [255, 0, 0], [0, 250, 0])])))
    expect(page.says("adult", "moving.gif")).to_contain_text("4; the worst is number 3")


def test_a_decision_is_told_by_shape_and_word_and_not_by_colour_alone(window):
    page = window()
    shapes = set()
    for word, data in (("adult", RED), ("safe", GREEN), ("unknown", BLUE)):
        page.choose((f"{word}.png", data))
        result = page.says(word, f"{word}.png")
        mark = result.locator(".verdict use").get_attribute("href")
        shapes.add(page.page.locator(mark).inner_html())
    assert len(shapes) == 3


def test_the_policy_is_chosen_and_what_is_shown_is_judged_again_by_it(service, window):
    page = window()
    policy = page.page.get_by_label("Policy")
    expect(policy).to_have_value("colours")  # the default
    known = {each["name"]: each for each in service.get("/v1/policies").json()}
    assert {*policy.locator("option").all_text_contents()} == {*known}
    expect(page.page.locator("#rule-safe")).to_have_text("risk <= 0.2 and redness <= 0.2")
    page.choose(("red.png", RED))
    page.says("adult", "red.png")
    policy.select_option("lenient")
    result = page.says("safe", "red.png")
    expect(page.page.locator("#rule-safe")).to_have_text("hentai <= 0.5")
    expect(page.page.locator("#rule-adult")).to_have_text("never")
    expect(result).to_contain_text(known["lenient"]["version"])
    assert page.answer()["policy"] == "lenient"


# The ways in.


def test_an_address_is_fetched_by_the_service_and_not_by_the_browser(window, images):
    url = images.url("/picture/green.png?size=large", GREEN)
    images.asked.clear()
    page = window()
    page.page.get_by_label("Or the address of a picture").fill(f" {url} ")
    page.page.get_by_role("button", name="Judge it").click()
    result = page.says("safe", url)
    assert images.asked == ["/picture/green.png?size=large"]
    expect(result.get_by_text("Not shown here: this page loads nothing from elsewhere.")).to_be_visible()
    expect(result.locator("img")).to_have_count(0)


def test_pictures_are_dropped_and_where_they_go_is_lit(window):
    page = window()
    zone = page.page.locator("#drop")
    page.drag("dragenter", {"a.png": GREEN})
    expect(zone).to_have_css("border-top-style", "solid")
    page.drag("dragleave")
    expect(zone).to_have_css("border-top-style", "dashed")
    page.drag("dragenter", {"a.png": GREEN})
    page.drag("drop", {"a.png": GREEN})
    page.says("safe", "a.png")
    expect(zone).to_have_css("border-top-style", "dashed")


def test_a_link_is_dropped(window, images):
    page = window()
    page.drag("drop", text=images.url("/dropped", RED))
    page.says("adult", images.url("/dropped"))


def test_a_picture_is_pasted_and_an_address_too(window, images):
    page = window()
    page.drag("paste", {"image.png": GREEN})
    page.says("safe", "image.png")
    page.drag("paste", text=images.url("/pasted", RED))
    page.says("adult", images.url("/pasted"))


def test_what_is_pasted_into_a_field_is_text_of_that_field(window):
    page = window()
    page.page.get_by_label("Or the address of a picture").focus()
    page.drag("paste", text="http://127.0.0.1/x")
    page.page.wait_for_timeout(100)
    expect(page.page.locator(".result")).to_have_count(0)
    page.drag("paste", {"image.png": GREEN})
    page.says("safe", "image.png")


def test_several_are_judged_in_their_order_and_each_can_be_looked_at(window):
    page = window()
    page.choose(("red.png", RED), ("green.png", GREEN), ("blue.png", BLUE))
    expect(page.rows).to_have_text(["red.pngadult", "green.pngsafe", "blue.pngunknown"])
    page.says("adult", "red.png")
    page.rows.nth(1).get_by_role("button").click()
    page.says("safe", "green.png")
    assert page.filter() == UNCOVERED
    expect(page.rows.nth(1).get_by_role("button")).to_have_attribute("aria-pressed", "true")
    page.rows.nth(0).get_by_role("button").click()
    page.says("adult", "red.png")
    assert page.filter() == COVERED  # each anew
    page.page.get_by_role("button", name="Clear").click()
    expect(page.page.locator(".result")).to_have_count(0)
    expect(page.rows).to_have_count(0)


def test_no_more_than_the_services_own_number_are_taken(window, quick):
    with quick(DEMURE_MAX_ITEMS="2") as client:
        page = window(of=client)
        page.choose(("a.png", RED), ("b.png", GREEN), ("c.png", BLUE))
        expect(page.notice).to_contain_text("3 pictures are more than the 2 that this page takes at once")
        expect(page.rows).to_have_text(["a.pngadult", "b.pngsafe"])
        page.choose(("d.png", BLUE))
        expect(page.rows).to_have_text(["b.pngsafe", "d.pngunknown"])
        assert page.asked.count("POST /v1/moderate") == 3


# The cover.


@pytest.mark.parametrize("data", [RED, BLUE], ids=["adult", "unknown"])
def test_what_is_not_safe_is_covered_until_it_is_asked_for(window, data):
    page = window()
    page.choose(("p.png", data))
    page.says("adult" if data is RED else "unknown", "p.png")
    uncover = page.page.get_by_role("button", name="Uncover")
    expect(uncover).to_be_visible()
    assert page.filter() == COVERED
    page.page.locator(".stage").hover()
    page.page.mouse.down()
    assert page.filter() == UNCOVERED
    page.page.mouse.up()
    assert page.filter() == COVERED
    uncover.click()
    assert page.filter() == UNCOVERED
    expect(uncover).to_have_attribute("aria-pressed", "true")
    page.page.evaluate("dispatchEvent(new Event('blur'))")
    assert page.filter() == COVERED
    expect(uncover).to_have_attribute("aria-pressed", "false")


def test_it_is_covered_until_the_service_has_said_that_it_is_safe(window):
    page = window()
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    page.page.route("**/v1/moderate", hold)
    page.choose(("green.png", GREEN))
    page.says("looking …", "green.png")
    assert page.filter() == COVERED
    expect(page.page.locator(".stage img")).to_be_visible()
    held[0].continue_()
    page.says("safe", "green.png")
    assert page.filter() == UNCOVERED
    expect(page.page.get_by_role("button", name="Uncover")).to_be_hidden()


# The key.


def test_a_key_is_asked_for_kept_for_the_page_alone_and_forgotten(window, keyed):
    client, secret = keyed
    page = window(of=client)
    field = page.page.get_by_label("Key", exact=True)
    expect(page.page.get_by_text("Send a key as Authorization: Bearer …")).to_be_visible()
    assert (field.get_attribute("type"), field.get_attribute("autocomplete")) == ("password", "current-password")
    expect(page.page.get_by_label("Policy")).to_be_hidden()
    page.choose(("green.png", GREEN))
    page.says("waiting", "green.png")
    expect(field).to_be_focused()
    field.fill("demure_wrong")
    page.page.keyboard.press("Enter")
    expect(page.page.get_by_text("The key is not known here")).to_be_visible()
    field.fill("ключ")
    page.page.keyboard.press("Enter")
    expect(page.page.get_by_text("That is no key")).to_be_visible()
    field.fill(secret)
    page.page.keyboard.press("Enter")
    result = page.says("safe", "green.png")  # what waited goes on
    expect(field).to_be_hidden()
    assert page.page.evaluate("document.querySelector('#key').value") == ""
    assert secret not in page.page.content()
    expect(result.locator(".shell pre")).to_contain_text('"Authorization: Bearer $DEMURE_KEY"')
    expect(page.page.get_by_label("Policy")).to_have_value("colours")
    page.page.get_by_role("button", name="Forget it").click()
    expect(field).to_be_focused()
    page.choose(("red.png", RED))
    page.says("waiting", "red.png")
    page.forgive("status of 401")


def test_a_key_is_not_there_any_more_when_the_page_is_loaded_anew(window, keyed):
    client, secret = keyed
    page = window(of=client)
    page.page.get_by_label("Key", exact=True).fill(secret)
    page.page.keyboard.press("Enter")
    expect(page.page.get_by_text("Asked with your key.")).to_be_visible()
    page.page.reload()
    expect(page.page.get_by_label("Key", exact=True)).to_have_value("")
    page.forgive("status of 401")


def test_a_key_that_may_not_classify_is_told_so(window, quick):
    key, secret = make_key("watch", ["metrics"])
    with quick(DEMURE_API_KEYS=str(key)) as client:
        page = window(of=client)
        page.page.get_by_label("Key", exact=True).fill(secret)
        page.page.keyboard.press("Enter")
        expect(page.page.get_by_text("The key 'watch' has no scope classify; make one that has.")).to_be_visible()
        page.forgive("status of 40[13]")


def test_who_comes_from_elsewhere_is_told_how_a_key_is_made(window):
    page = window(extra_http_headers={"x-forwarded-for": "203.0.113.7"})
    expect(page.page.locator("#by-key")).to_contain_text("only this machine itself is answered")
    expect(page.page.locator("#lock-why code")).to_have_text("demure keys create")
    expect(page.page.locator("#by-key")).to_contain_text("demure keys create my-site")
    page.forgive("status of 401")


def test_a_key_that_is_revoked_meanwhile_is_asked_for_again(window, keyed):
    client, secret = keyed
    page = window(of=client)
    page.page.get_by_label("Key", exact=True).fill(secret)
    page.page.keyboard.press("Enter")
    expect(page.page.get_by_text("Asked with your key.")).to_be_visible()
    page.page.route(
        "**/v1/moderate", lambda route: route.fulfill(**problem(401, "key_required", "the key is not known here"))
    )
    page.choose(("green.png", GREEN))
    page.says("waiting", "green.png")
    expect(page.page.get_by_label("Key", exact=True)).to_be_focused()
    expect(page.page.get_by_text("Asked with your key.")).to_be_hidden()
    page.forgive("status of 401")


def test_a_key_that_is_made_while_the_page_is_open_is_asked_for_from_then_on(window, quick):
    with quick() as client:
        page = window(of=client)
        page.choose(("a.png", GREEN))
        page.says("safe", "a.png")
        key, secret = make_key("site", ["classify"])
        Keys(client.app.state.desk.database).add(key)
        field = page.page.get_by_label("Key", exact=True)
        for number in range(50):
            page.choose((f"{number}.png", GREEN))
            page.page.wait_for_timeout(200)
            if field.is_visible():
                break
        field.fill(secret)
        page.page.keyboard.press("Enter")
        expect(page.rows.last).to_contain_text("safe")
        page.forgive("status of 401")


# When things fail.


def problem(status: int, code: str, detail: str, **headers: str) -> dict:
    body = {"type": f"/docs#{code}", "title": "x", "status": status, "detail": detail, "code": code, "request_id": "1"}
    return {"status": status, "body": json.dumps(body), "content_type": "application/problem+json", "headers": headers}


FILES = {
    "empty": (b"", "The file is empty. Choose another.", "empty_body"),
    "text": (b"hello " * 99, "This is no picture, whatever its name says.", "not_an_image"),
    "cut": (GREEN[:60], "It could not be decoded", "undecodable"),
}


@pytest.mark.parametrize(("data", "words", "code"), FILES.values(), ids=FILES)
def test_a_file_that_cannot_be_judged_is_told_why_and_what_to_do(window, data, words, code):
    page = window()
    page.choose(("notes.png", data))
    result = page.says("unknown", "notes.png")
    expect(result.locator(".why")).to_contain_text(words)
    expect(result.locator(".scoreless")).to_be_visible()
    item = page.answer()["items"][0]
    assert item["error"]["code"] == code
    expect(result.locator(".detail")).to_contain_text(item["error"]["message"][1:])


def test_an_address_that_is_refused_is_told_why(window):
    page = window()
    for url in ("file:///etc/passwd", "http://169.254.169.254/latest", "no address", "http://x/" + "a" * 9000):
        page.page.get_by_label("Or the address of a picture").fill(url)
        page.page.keyboard.press("Enter")
        result = page.says("unknown", url)
        expect(result.locator(".why")).to_contain_text("The service does not fetch from there")
    page.page.get_by_label("Or the address of a picture").fill("  ")
    page.page.keyboard.press("Enter")
    expect(page.notice).to_contain_text("Write the address of a picture first")
    assert page.asked.count("POST /v1/moderate") == 4


def test_a_file_that_is_too_large_is_not_sent(window, quick):
    with quick(DEMURE_MAX_IMAGE_BYTES="5000") as client:
        page = window(of=client)
        page.choose(("large.png", bytes(7123)), ("small.png", GREEN))
        result = page.says("not judged", "large.png")
        expect(result.locator(".detail")).to_have_text("It has 7.12 kB, and this service takes 5 kB; it was not sent.")
        expect(page.rows).to_have_text(["large.pngnot judged", "small.pngsafe"])
        assert page.asked.count("POST /v1/moderate") == 1


def test_a_request_that_the_service_finds_too_large_fails_alone(window):
    page = window()
    detail = "the request's body is larger than 64 MiB (max_body_bytes)"
    page.page.route("**/v1/moderate", lambda route: route.fulfill(**problem(413, "too_large", detail)), times=1)
    page.choose(("large.png", GREEN), ("small.png", GREEN))
    result = page.says("not judged", "large.png")
    expect(result.locator(".why")).to_have_text("It is too large. Save it smaller, and try that.")
    expect(result.locator(".detail")).to_have_text("The request's body is larger than 64 MiB (max_body_bytes).")
    assert page.answer()["code"] == "too_large"
    expect(page.rows).to_have_text(["large.pngnot judged", "small.pngsafe"])
    page.forgive("status of 413")


def test_what_the_service_does_not_take_is_told(window):
    page = window()
    detail = "the content type is text/plain; expected application/json"
    page.page.route("**/v1/moderate", lambda route: route.fulfill(**problem(415, "unsupported_media_type", detail)))
    page.choose(("a.png", GREEN))
    expect(page.says("not judged", "a.png").locator(".detail")).to_have_text(f"T{detail[1:]}.")
    page.forgive("status of 415")


def test_a_key_that_asked_too_often_is_told_when_to_ask_again(window, quick):
    key, secret = make_key("site", ["classify"])
    with quick(DEMURE_API_KEYS=str(key), DEMURE_RATE_LIMIT="2/hour") as client:
        page = window(of=client)
        page.page.get_by_label("Key", exact=True).fill(secret)
        page.page.keyboard.press("Enter")  # the first: the policies
        expect(page.page.get_by_text("Asked with your key.")).to_be_visible()
        page.choose(("a.png", GREEN), ("b.png", RED))
        expect(page.rows).to_have_text(["a.pngsafe", "b.pngwaiting"])
        expect(page.notice).to_contain_text("This key has asked too often.")
        expect(page.notice).to_contain_text("It asks you to wait 1 second.")
        expect(page.notice.get_by_role("button", name="Try again")).to_be_visible()
        page.forgive("status of 4(01|29)")


def test_an_overloaded_service_is_asked_again_when_the_reader_wants(window):
    page = window()
    busy = problem(503, "overloaded", "64 images wait already", **{"Retry-After": "7"})
    page.page.route("**/v1/moderate", lambda route: route.fulfill(**busy), times=1)
    page.choose(("a.png", GREEN), ("b.png", RED))
    expect(page.notice).to_contain_text(
        "The service has too much to do at the moment. 64 images wait already. It asks you to wait 7 seconds."
    )
    expect(page.rows).to_have_text(["a.pngwaiting", "b.pngwaiting"])
    page.notice.get_by_role("button", name="Try again").click()
    expect(page.rows).to_have_text(["a.pngsafe", "b.pngadult"])
    expect(page.notice).to_be_empty()
    page.forgive("status of 503")


def test_a_picture_on_which_the_service_fails_twice_does_not_keep_the_others_waiting(window):
    page = window()
    page.page.route("**/v1/moderate", lambda route: route.fulfill(**problem(500, "internal_error", "")), times=2)
    page.choose(("a.png", GREEN), ("b.png", RED))
    expect(page.rows).to_have_text(["a.pngwaiting", "b.pngwaiting"])
    page.notice.get_by_role("button", name="Try again").click()
    expect(page.rows).to_have_text(["a.pngnot judged", "b.pngadult"])
    page.forgive("status of 500")


def test_a_service_that_is_gone_is_asked_again(window):
    page = window()
    page.page.route("**/v1/moderate", lambda route: route.abort(), times=1)
    page.choose(("a.png", GREEN))
    expect(page.notice).to_contain_text("The service does not answer.")
    page.says("waiting", "a.png")
    page.notice.get_by_role("button", name="Try again").click()
    page.says("safe", "a.png")
    page.forgive("ERR_FAILED")


def test_something_else_that_answers_in_its_place_is_no_answer(window):
    page = window()
    page.page.route("**/v1/moderate", lambda route: route.fulfill(status=502, body="<html>Bad gateway</html>"), times=1)
    page.choose(("a.png", GREEN))
    result = page.says("not judged", "a.png")
    expect(result.locator(".why")).to_have_text("Something between this page and the service answered in its place.")
    expect(result.locator(".detail")).to_have_text("It answered with status 502.")
    page.forgive("status of 502")


def test_policies_that_could_not_be_read_are_asked_for_again(window):
    page = window()
    page.page.route("**/v1/policies", lambda route: route.abort(), times=1)
    page.page.reload()
    expect(page.notice).to_contain_text("The service does not answer.")
    page.notice.get_by_role("button", name="Try again").click()
    expect(page.page.get_by_label("Policy")).to_have_value("colours")
    expect(page.notice).to_be_empty()
    page.forgive("ERR_FAILED")


def test_a_text_that_looks_like_markup_stays_text(window):
    page = window()
    name = "<img src=x onerror=alert(1)>.png"
    page.choose((name, RED), ("b.png", GREEN))
    page.says("adult", name)
    expect(page.rows.first).to_have_text(f"{name}adult")
    url = 'http://<script>alert(1)</script>"onload="alert(1)'
    page.page.get_by_label("Or the address of a picture").fill(url)
    page.page.keyboard.press("Enter")
    page.says("unknown", url)
    detail = "<b>bold</b> <script>alert(1)</script>"
    page.page.route("**/v1/moderate", lambda route: route.fulfill(**problem(400, "invalid_request", detail)), times=1)
    page.choose(("c.png", GREEN))
    expect(page.says("not judged", "c.png").locator(".detail")).to_have_text(f"{detail}.")
    assert page.page.locator("main :is(script, b), [onerror]").count() == 0
    page.forgive("status of 400")


# For programs.


@pytest.mark.parametrize(
    "name", ["picture.png", 'it\'s; a,"strange" $(one).png', "-dash \\ back.png", "Bild ä.png"], ids=str
)
def test_the_curl_command_does_the_same(window, tmp_path, name):
    page = window()
    page.choose((name, BLUE))
    page.says("unknown", name)
    (tmp_path / name).write_bytes(BLUE)
    assert run_curl(page, tmp_path) == without_times(page.answer())


def test_the_curl_command_for_an_address_does_the_same(window, images, tmp_path):
    page = window()
    url = images.url("/it's?a=1&b=$(x)", RED)
    page.page.get_by_label("Or the address of a picture").fill(url)
    page.page.keyboard.press("Enter")
    page.says("adult", url)
    assert run_curl(page, tmp_path) == without_times(page.answer())


def run_curl(page: Window, folder: Path) -> dict:
    page.page.get_by_text("The same by curl").click()
    command = page.page.locator(".shell pre").inner_text()
    done = subprocess.run(["bash", "-ec", command], cwd=folder, capture_output=True, check=False, timeout=30)
    assert done.returncode == 0, done.stderr
    return without_times(json.loads(done.stdout))


def without_times(answer: dict) -> dict:
    (item,) = answer["items"]
    return {**answer, "id": "", "items": [{**item, "timings_ms": {}}]}


def test_the_answer_and_the_command_are_copied(window):
    page = window(permissions=["clipboard-read", "clipboard-write"])
    page.choose(("a.png", GREEN))
    page.says("safe", "a.png")
    for words, button, place in (
        ("The same by curl", "Copy the command", ".shell pre"),
        ("The whole answer (JSON)", "Copy the answer", ".raw pre"),
    ):
        page.page.get_by_text(words).click()
        page.page.get_by_role("button", name=button).click()
        expect(page.page.get_by_role("button", name="Copied").first).to_be_visible()
        assert page.page.evaluate("navigator.clipboard.readText()") == page.page.locator(place).text_content()


# For everybody.


def test_keys_alone_are_enough(window, images):
    page = window()
    choosers: list[FileChooser] = []

    def note(chooser: FileChooser) -> None:
        choosers.append(chooser)

    page.page.on("filechooser", note)  # from here on, for a key press waits for nothing
    expect(page.page.get_by_label("Policy")).to_have_value("colours")

    def tab_to(locator: Locator) -> None:
        for _ in range(20):
            page.page.keyboard.press("Tab")
            if locator.evaluate("node => node === document.activeElement"):
                outline = locator.evaluate("node => getComputedStyle(node).outlineStyle")
                assert outline == "solid", "where the focus is must be seen"
                return
        raise AssertionError(f"{locator} is not reached")

    tab_to(page.page.get_by_role("button", name="Choose pictures"))
    page.page.keyboard.press("Enter")
    while not choosers:
        page.page.wait_for_timeout(20)
    choosers[0].set_files([{"name": "red.png", "mimeType": "image/png", "buffer": RED}])
    page.says("adult", "red.png")
    tab_to(page.page.get_by_label("Or the address of a picture"))
    page.page.keyboard.insert_text(images.url("/keys", BLUE))
    page.page.keyboard.press("Enter")
    page.says("unknown", images.url("/keys"))
    tab_to(page.rows.first.get_by_role("button"))
    page.page.keyboard.press("Enter")
    page.says("adult", "red.png")
    tab_to(page.page.get_by_role("button", name="Uncover"))
    page.page.keyboard.press(" ")
    assert page.filter() == UNCOVERED
    page.page.keyboard.press(" ")
    assert page.filter() == COVERED
    tab_to(page.page.locator(".raw summary"))
    page.page.keyboard.press("Enter")
    tab_to(page.page.locator(".raw pre"))
    tab_to(page.page.get_by_label("Policy"))
    page.page.keyboard.press("l")  # lenient, by its first letter
    page.says("safe", "red.png")


def test_a_phone_has_everything_and_is_shown_the_answer(window):
    phone = window("phone")
    expect(phone.page.get_by_label("Policy")).to_be_visible()
    phone.choose(("red.png", RED), ("w" * 200 + ".png", BLUE))
    result = phone.says("adult", "red.png")
    expect(result.get_by_role("heading")).to_be_in_viewport()
    for control in phone.page.locator("main :is(button, input:not([hidden]), select, summary)").all():
        if control.is_visible():
            assert control.bounding_box()["height"] >= 44, control
    touch = phone.page.context.new_cdp_session(phone.page)
    phone.page.locator(".stage").scroll_into_view_if_needed()
    box = phone.page.locator(".stage").bounding_box()
    point = {"x": box["x"] + 100, "y": box["y"] + 60}
    touch.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [point]})
    assert phone.filter() == UNCOVERED
    touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    assert phone.filter() == COVERED


@pytest.mark.parametrize("size", SIZES)
def test_nothing_makes_the_page_wider_than_the_window(window, size):
    page = window(size)
    page.choose(("w" * 250 + ".png", GREEN), ("b.png", BLUE))
    expect(page.rows).to_have_count(2)
    page.page.get_by_label("Or the address of a picture").fill("http://" + "w" * 3000)
    page.page.keyboard.press("Enter")
    expect(page.rows).to_have_count(3)
    for number in range(3):
        page.rows.nth(number).get_by_role("button").click()
        for summary in page.page.locator(".result summary").all():
            summary.click()
        width = page.page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        assert width[0] <= width[1], number


def test_numbers_of_any_size_are_told(window):
    page = window()
    media = {"type": "image/x" * 9, "width": 10**15, "height": 10**15, "frames": 10**9, "sampled": 32, "worst_frame": 0}
    item = {"id": "a", "sha256": "f" * 64, "decision": "adult", "reason": "porn >= 0.8", "score": 1e9, "media": media}
    item |= {"scores": {"porn": 1e9, "sexy": -1}, "witnesses": {}, "remembered": True, "timings_ms": {"total": 1e12}}
    answer = {"id": "1", "model": "m", "policy": "p", "policy_version": "v", "items": [item]}
    page.page.route("**/v1/moderate", lambda route: route.fulfill(json=answer))
    page.choose(("a.png", GREEN))
    result = page.says("adult", "a.png")
    expect(result).to_contain_text("1,000,000,000,000,000 \u00d7 1,000,000,000,000,000")
    expect(result).to_contain_text("1,000,000,000, of which 32 were judged; the worst is number 1")
    expect(result).to_contain_text("yes, from what people said")
    assert [bar.get_attribute("width") for bar in result.locator(".filled").all()] == ["100", "0"]
    assert page.page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_ground_is_the_one_that_the_system_asks_for(window, scheme):
    page = window(color_scheme=scheme)
    told = page.page.evaluate("getComputedStyle(document.body).backgroundColor")
    brightness = sum(map(int, re.findall(r"\d+", told)[:3]))
    assert brightness > 600 if scheme == "light" else brightness < 150
    page.page.emulate_media(color_scheme="dark" if scheme == "light" else "light")
    expect(page.page.locator("body")).not_to_have_css("background-color", told)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_nothing_stands_in_the_way_of_a_screen_reader(service, window, axe, size, scheme):
    """All rules of axe-core, best practices among them."""
    faults: dict[str, object] = {}
    page = window(size, bypass_csp=True, color_scheme=scheme)  # for axe's own script

    def look(name: str) -> None:
        page.page.evaluate(axe)
        found = page.page.evaluate("axe.run(document)")["violations"]
        faults.update({f"{name}: {v['id']} ({v['impact']})": [n["html"] for n in v["nodes"]] for v in found})

    expect(page.page.get_by_label("Policy")).to_be_visible()
    look("nothing yet")
    page.choose(("green.png", GREEN))
    page.says("safe", "green.png")
    look("safe")
    page.choose(("red.png", RED), ("text.png", b"hello"), *((f"{n}.png", BLUE) for n in range(9)))
    expect(page.rows.last).to_contain_text("unknown")
    for summary in page.page.locator(".result summary").all():
        summary.click()
    look("several, all open")
    page.page.route("**/v1/moderate", lambda route: route.abort())
    page.choose(("late.png", GREEN))
    expect(page.notice).to_contain_text("Try again")
    look("no answer")
    page.page.route("**/v1/policies", lambda route: route.fulfill(**problem(401, "key_required", "send a key")))
    page.page.reload()
    expect(page.page.get_by_label("Key", exact=True)).to_be_visible()
    look("a key is needed")
    assert faults == {}
    page.forgive("ERR_FAILED|status of 401")


def test_without_scripts_the_page_says_what_to_do_instead(chromium, service):
    with chromium.new_context(java_script_enabled=False) as context:
        page = context.new_page()
        page.goto(str(service.base_url))
        expect(page.get_by_text("Without JavaScript this page can do nothing.")).to_be_visible()
        expect(page.get_by_text("curl --form file=@picture.jpg")).to_be_visible()
        expect(page.locator("#by-key")).to_be_hidden()


@pytest.mark.parametrize(("form", "field"), [("#by-key", "Key"), ("#by-url", "Or the address of a picture")])
def test_nothing_of_a_form_is_sent_by_the_browser_itself(window, form, field):
    """Whatever goes wrong in the script, a key goes into no address and no body."""
    page = window(extra_http_headers={"x-forwarded-for": "203.0.113.7"})
    page.page.get_by_label(field, exact=True).fill("demure_secret")
    page.page.locator(form).evaluate("form => form.submit()")  # asks no listener
    page.page.wait_for_timeout(200)
    assert not [line for line in page.asked if line.startswith("POST")]
    assert page.asked.count("GET /") == 1
    assert [text for text in page.complaints if "form-action" in text]
    page.forgive("form-action|status of 401")
