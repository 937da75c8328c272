"""The page at / in a real Chromium: what it shows of an answer, the ways in for pictures and addresses, and when it covers them.

Every test also fails for an error on the console, a breach of the content security policy, a request to another host, and
anything that the browser keeps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import httpx
import pytest
from pictures import animation, plain
from playwright.sync_api import Browser, Route, expect
from try_window import BLUE, GREEN, RED, TryWindow, try_windows
from windows import COVERED, UNCOVERED


@pytest.fixture
def window(chromium: Browser, service: httpx.Client) -> Iterator[Callable[..., TryWindow]]:
    with try_windows(chromium, service) as open_window:
        yield open_window


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
    policy = page.policy
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
    expect(page.page.locator(".result")).to_have_count(0)  # what is taken is there before anything else is done
    page.drag("paste", {"image.png": GREEN})
    page.says("safe", "image.png")


def test_several_are_judged_in_their_order_and_each_can_be_looked_at(window):
    page = window()
    page.choose(("red.png", RED), ("green.png", GREEN), ("blue.png", BLUE))
    expect(page.rows).to_have_text(["red.pngadult", "green.pngsafe", "blue.pngunknown"])
    page.says("adult", "red.png")
    page.rows.nth(1).get_by_role("button").click()
    page.says("safe", "green.png")
    expect(page.picture).to_have_css("filter", UNCOVERED)
    expect(page.rows.nth(1).get_by_role("button")).to_have_attribute("aria-pressed", "true")
    page.rows.nth(0).get_by_role("button").click()
    page.says("adult", "red.png")
    expect(page.picture).to_have_css("filter", COVERED)  # each anew
    page.page.get_by_role("button", name="Clear").click()
    expect(page.page.locator(".result")).to_have_count(0)
    expect(page.rows).to_have_count(0)


def test_no_more_than_the_services_own_number_are_taken(window, quick):
    with quick(DEMURE_MAX_ITEMS="2") as client, window(of=client) as page:
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
    expect(page.picture).to_have_css("filter", COVERED)
    page.page.locator(".stage").hover()
    page.page.mouse.down()
    expect(page.picture).to_have_css("filter", UNCOVERED)
    page.page.mouse.up()
    expect(page.picture).to_have_css("filter", COVERED)
    uncover.click()
    expect(page.picture).to_have_css("filter", UNCOVERED)
    expect(uncover).to_have_attribute("aria-pressed", "true")
    page.page.evaluate("dispatchEvent(new Event('blur'))")
    expect(page.picture).to_have_css("filter", COVERED)
    expect(uncover).to_have_attribute("aria-pressed", "false")


def test_it_is_covered_until_the_service_has_said_that_it_is_safe(window):
    page = window()
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    page.page.route("**/v1/moderate", hold)
    page.choose(("green.png", GREEN))
    page.says("looking …", "green.png")
    expect(page.picture).to_be_visible()
    page.until(lambda: held)
    expect(page.picture).to_have_css("filter", COVERED)
    held[0].continue_()
    page.says("safe", "green.png")
    expect(page.picture).to_have_css("filter", UNCOVERED)
    expect(page.page.get_by_role("button", name="Uncover")).to_be_hidden()
