"""The page at / in a real Chromium: by keys alone, on a phone, in any width and light, read aloud, without scripts; and by curl.

Every test also fails for an error on the console, a breach of the content security policy, a request to another host, and
anything that the browser keeps.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, FileChooser, Locator, expect
from try_window import BLUE, GREEN, RED, TryWindow, problem, try_windows
from windows import COVERED, SIZES, UNCOVERED


@pytest.fixture
def window(chromium: Browser, service: httpx.Client) -> Iterator[Callable[..., TryWindow]]:
    with try_windows(chromium, service) as open_window:
        yield open_window


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


def run_curl(page: TryWindow, folder: Path) -> dict:
    page.page.get_by_text("The same by curl").click()
    command = page.page.locator(".shell pre").text_content() or ""
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
    page.page.clock.install(time=0)
    page.page.clock.pause_at(1)  # or the button says again what it does
    for words, button, place in (
        ("The same by curl", "Copy the command", ".shell pre"),
        ("The whole answer (JSON)", "Copy the answer", ".raw pre"),
    ):
        page.page.get_by_text(words).click()
        pressed = page.page.locator(place).locator("..").get_by_role("button")
        expect(pressed).to_have_text(button)
        pressed.click()
        expect(pressed).to_have_text("Copied")
        assert page.page.evaluate("navigator.clipboard.readText()") == page.page.locator(place).text_content()


# For everybody.


def test_keys_alone_are_enough(window, images):
    page = window()
    choosers: list[FileChooser] = []

    def note(chooser: FileChooser) -> None:
        choosers.append(chooser)

    page.page.on("filechooser", note)  # from here on, for a key press waits for nothing
    expect(page.policy).to_have_value("colours")

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
    page.until(lambda: choosers)
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
    expect(page.picture).to_have_css("filter", UNCOVERED)
    page.page.keyboard.press(" ")
    expect(page.picture).to_have_css("filter", COVERED)
    tab_to(page.page.locator(".raw summary"))
    page.page.keyboard.press("Enter")
    tab_to(page.page.locator(".raw pre"))
    tab_to(page.policy)
    page.page.keyboard.press("l")  # lenient, by its first letter
    page.says("safe", "red.png")


def test_a_phone_has_everything_and_is_shown_the_answer(window):
    phone = window("phone")
    expect(phone.policy).to_be_visible()
    phone.choose(("red.png", RED), ("w" * 200 + ".png", BLUE))
    result = phone.says("adult", "red.png")
    expect(phone.rows).to_contain_text(["adult", "unknown"])  # nothing moves any more
    expect(result.get_by_role("heading")).to_be_in_viewport()
    for control in phone.page.locator("main :is(button, input:not([hidden]), select, summary)").all():
        if control.is_visible():
            assert control.bounding_box()["height"] >= 44, control
    touch = phone.page.context.new_cdp_session(phone.page)
    phone.page.locator(".stage").scroll_into_view_if_needed()
    box = phone.page.locator(".stage").bounding_box()
    point = {"x": box["x"] + 100, "y": box["y"] + 60}
    touch.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [point]})
    expect(phone.picture).to_have_css("filter", UNCOVERED)
    touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    expect(phone.picture).to_have_css("filter", COVERED)


@pytest.mark.parametrize("size", SIZES)
def test_nothing_makes_the_page_wider_than_the_window(window, size):
    page = window(size)
    page.choose(("w" * 250 + ".png", GREEN), ("b.png", BLUE))
    expect(page.rows).to_have_count(2)
    page.page.get_by_label("Or the address of a picture").fill("http://" + "w" * 3000)
    page.page.keyboard.press("Enter")
    expect(page.rows).to_contain_text(["safe", "unknown", "unknown"])
    for number in range(3):
        page.rows.nth(number).get_by_role("button").click()
        for summary in page.page.locator(".result summary").all():
            summary.click()
        assert page.overflow <= 0, number


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
    assert page.overflow <= 0


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
    faults: dict[str, list[str]] = {}
    page = window(size, bypass_csp=True, color_scheme=scheme)  # for axe's own script

    def look(name: str) -> None:
        faults.update({f"{name}: {fault}": nodes for fault, nodes in page.faults(axe).items()})

    expect(page.policy).to_be_visible()
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
    with page.page.expect_console_message(lambda message: "form-action" in message.text):
        page.page.locator(form).evaluate("form => form.submit()")  # asks no listener
    assert not [line for line in page.asked if line.startswith("POST")]
    assert page.asked.count("GET /") == 1
    page.forgive("form-action|status of 401")
