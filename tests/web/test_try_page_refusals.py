"""The page at / in a real Chromium: how it asks for a key, and what it tells and does when a picture or the service fails.

Every test also fails for an error on the console that it did not bring about itself, a breach of the content security policy,
a request to another host, and anything that the browser keeps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import httpx
import pytest
from playwright.sync_api import Browser, expect
from try_window import GREEN, RED, TryWindow, problem, try_windows
from waiting import wait_until

from demure.keys import make_key
from demure.store.keys import Keys


@pytest.fixture
def window(chromium: Browser, service: httpx.Client) -> Iterator[Callable[..., TryWindow]]:
    with try_windows(chromium, service) as open_window:
        yield open_window


@pytest.fixture
def keyed(quick) -> Iterator[tuple[httpx.Client, str]]:
    """A service that wants a key, and the key."""
    key, secret = make_key("site", ["classify"])
    with quick(DEMURE_API_KEYS=str(key)) as client:
        yield client, secret


# The key.


def test_a_key_is_asked_for_kept_for_the_page_alone_and_forgotten(window, keyed):
    client, secret = keyed
    with window(of=client) as page:
        field = page.page.get_by_label("Key", exact=True)
        expect(page.page.get_by_text("Send a key as Authorization: Bearer …")).to_be_visible()
        assert (field.get_attribute("type"), field.get_attribute("autocomplete")) == ("password", "current-password")
        expect(page.policy).to_be_hidden()
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
        expect(page.policy).to_have_value("colours")
        page.page.get_by_role("button", name="Forget it").click()
        expect(field).to_be_focused()
        page.choose(("red.png", RED))
        page.says("waiting", "red.png")
        page.forgive("status of 401")


def test_a_key_is_not_there_any_more_when_the_page_is_loaded_anew(window, keyed):
    client, secret = keyed
    with window(of=client) as page:
        page.page.get_by_label("Key", exact=True).fill(secret)
        page.page.keyboard.press("Enter")
        expect(page.page.get_by_text("Asked with your key.")).to_be_visible()
        page.page.reload()
        expect(page.page.get_by_label("Key", exact=True)).to_have_value("")
        page.forgive("status of 401")


def test_a_key_that_may_not_classify_is_told_so(window, quick):
    key, secret = make_key("watch", ["metrics"])
    with quick(DEMURE_API_KEYS=str(key)) as client, window(of=client) as page:
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
    with window(of=client) as page:
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
    with quick() as client, window(of=client) as page:
        page.choose(("a.png", GREEN))
        page.says("safe", "a.png")
        key, secret = make_key("site", ["classify"])
        Keys(client.app.state.desk.database).add(key)
        field = page.page.get_by_label("Key", exact=True)
        wait_until(lambda: client.get("/v1/policies").status_code == 401)  # keys are read anew once a second
        page.choose(("b.png", GREEN))
        page.says("waiting", "b.png")
        field.fill(secret)
        page.page.keyboard.press("Enter")
        expect(page.rows.last).to_contain_text("safe")
        page.forgive("status of 401")


# When things fail.


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
    with quick(DEMURE_MAX_IMAGE_BYTES="5000") as client, window(of=client) as page:
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
    with quick(DEMURE_API_KEYS=str(key), DEMURE_RATE_LIMIT="2/hour") as client, window(of=client) as page:
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
    expect(page.policy).to_have_value("colours")  # else it may be the first question that is cut off
    page.page.route("**/v1/policies", lambda route: route.abort(), times=1)
    page.page.reload()
    expect(page.notice).to_contain_text("The service does not answer.")
    page.notice.get_by_role("button", name="Try again").click()
    expect(page.policy).to_have_value("colours")
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
