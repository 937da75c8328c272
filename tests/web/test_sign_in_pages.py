"""The pages of signing in: what they say and to whom, their headers, their files, their colours; and what the log says."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from sign_in_site import WORDS, WRONG, Site, csrf_of, site_of

from demure.accounts import Role
from demure.web import sign_in
from demure.web.auth import Access
from demure.web.problems import KeyRequired


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with site_of(tmp_path) as site:
        yield site


# What the pages say, and to whom.

HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "referrer-policy": "same-origin",
    "x-content-type-options": "nosniff",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}


def test_every_answer_has_the_headers_an_error_too(site):
    browser = site.enter()
    out = site.browser()
    link = site.users.invite("bob", Role.REVIEWER, "test")
    answers = [
        *(browser.get(path) for path in ("/review", "/review/account", "/review/admin", "/review/nothing", "/review/")),
        *(out.get(path) for path in ("/review", "/review/sign-in", f"/review/set-up?token={link}", "/review/set-up")),
        *(out.post(path) for path in ("/review", "/review/sign-in", "/review/sign-out", "/review/static/review.css")),
        out.get("/review", headers={"accept": "*/*"}),
        out.get("/review/static/nothing.css"),
        out.get("/review/sign-in", headers={"host": "x y"}),
    ]
    assert {answer.status_code for answer in answers} >= {200, 303, 401, 403, 404, 405, 415}
    for answer in answers:
        for name, value in HEADERS.items():
            assert answer.headers.get_list(name) == [value], (answer.request.url, name)
        assert "camera=()" in answer.headers["permissions-policy"]
        assert "x-request-id" in answer.headers
        assert "access-control-allow-origin" not in answer.headers


def test_other_paths_have_headers_of_their_own(site):
    assert "content-security-policy" not in site.browser().get("/reviewing").headers


def test_static_files_are_ours_alone_and_asked_for_anew(site):
    browser = site.browser()
    for name, kind in (("review.css", "text/css"), ("icon.svg", "image/svg+xml")):
        answer = browser.get(f"/review/static/{name}")
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith(kind)
        assert answer.headers["cache-control"] == "no-cache"
        assert "set-cookie" not in answer.headers
        fresh = browser.get(f"/review/static/{name}", headers={"if-none-match": answer.headers["etag"]})
        assert fresh.status_code == 304
    for name in (
        "",
        "nothing.css",
        "../sign_in.py",
        "..%2fsign_in.py",
        "%2e%2e/sign_in.py",
        "%2e%2e",
        "%2e",
        "a%00b",
        "%2fetc%2fpasswd",
        "a" * 300,
    ):
        assert browser.get(f"/review/static/{name}").status_code == 404, name


def test_a_page_asks_for_nothing_that_is_not_ours_and_holds_no_script_or_style(site):
    browser, out = site.enter("root"), site.browser()
    link = site.users.invite("bob", Role.REVIEWER, "test")
    pages = [
        browser.get("/review/account"),
        out.get("/review/sign-in"),
        out.get("/review/set-up", params={"token": link}),
    ]
    pages += [out.get("/review/set-up"), out.post("/review/sign-in", data={"name": "anna", "password": ""})]
    for page in pages:
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        targets = re.findall(r'(?:href|src|action)="([^"]*)"', page.text)
        assert targets
        for target in targets:
            assert target == "#main" or (target.startswith("/review") and not target.startswith("//")), target
        assert not re.search(r"<style|\sstyle=|<script(?![^>]* src=)|\son[a-z]+=|javascript:|url\(|@import", page.text)
    for file in (Path(sign_in.__file__).parent / "static").glob("*.css"):
        assert not re.search(r"url\(|@import|@font-face", file.read_text()), file


def test_the_links_token_stands_in_the_form_alone(site):
    link = site.users.invite("bob", Role.REVIEWER, "test")
    page = site.browser().get("/review/set-up", params={"token": link})
    assert page.text.count(link) == 1
    assert f'<input type="hidden" name="token" value="{link}">' in page.text
    assert link not in str(page.headers)


def test_nothing_that_is_told_to_us_goes_unescaped_into_a_page(site):
    attack = '"><script>alert(1)</script>'
    browser = site.browser()
    pages = [
        browser.post("/review/sign-in", data={"name": attack, "password": attack}),
        browser.get("/review/sign-in", params={"notice": attack, "name": attack, "error": attack}),
        browser.get("/review/set-up", params={"token": attack}),
        browser.post("/review/set-up", data={"token": attack, "password": WORDS, "again": WORDS}),
        browser.post("/review/set-up", data={"token": attack, "password": attack, "again": ""}),
    ]
    for page in pages:
        assert "<script>" not in page.text
    assert "&#34;&gt;&lt;script&gt;" in pages[0].text, "the name is given back, escaped"


@pytest.mark.parametrize("name", ["next", "redirect", "return_to", "url", "from", "notice"])
def test_nobody_is_sent_elsewhere(site, name):
    for elsewhere in ("https://evil.example", "//evil.example", "/\\evil.example", "/review/account"):
        form = {"name": "anna", "password": WORDS, name: elsewhere}
        form |= {"name": "anna"}
        answer = site.browser().post(
            "/review/sign-in", params={name: elsewhere}, data=form, headers={"referer": elsewhere}
        )
        assert answer.headers["location"] == "/review"
        answer = site.browser().get("/review", params={name: elsewhere}, headers={"x-forwarded-host": "evil.example"})
        assert answer.headers["location"] == "/review/sign-in"


def test_the_log_names_who_and_holds_no_secret(site, capfd):
    from demure.telemetry import configure_logging

    configure_logging("text")
    link = site.users.invite("bob", Role.REVIEWER, "test")
    site.browser().get("/review/set-up", params={"token": link})
    site.browser().post("/review/set-up", data={"token": link, "password": WORDS, "again": WORDS})
    browser = site.enter("bob")
    csrf = csrf_of(browser)
    browser.post("/review/sign-in", data={"name": "bob", "password": WRONG})
    browser.post("/review/sign-out", data={"csrf": csrf})
    out, err = capfd.readouterr()
    log = out + err
    assert "user=bob" in log
    assert "/review/set-up" in log
    for secret in (link, WORDS, WRONG, csrf):
        assert secret not in log


def test_a_host_that_is_not_ours_is_refused_on_the_pages_too(tmp_path):
    with site_of(tmp_path, access=Access(hosts=frozenset({"img.example.org"}))) as site:
        for path in ("/review", "/review/sign-in", "/review/static/review.css"):
            answer = site.browser().get(path, headers={"accept": "*/*"})
            assert (answer.status_code, answer.json()["code"]) == (403, "not_permitted")
        assert site.browser().get("/review/sign-in", headers={"host": "img.example.org:8080"}).status_code == 200


# The colours.


def test_the_colours_can_be_told_apart_in_both_schemes():
    """WCAG 2.2, 1.4.3: 4.5 to 1 for text; 1.4.11: 3 to 1 for the edge of a field."""
    css = (Path(sign_in.__file__).parent / "static" / "review.css").read_text()
    dark, light = (
        dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", block))
        for block in re.findall(r":root(?:\.light)? \{(.*?)\}", css, re.DOTALL)
    )
    for colours in (dark, light):
        for under in ("ground", "surface"):
            for text in ("text", "muted", "accent", "adult", "safe", "unknown"):
                assert contrast(colours[text], colours[under]) >= 4.5, (text, under)
            assert contrast(colours["edge"], colours[under]) >= 3, under
        assert contrast(colours["on-button"], colours["button"]) >= 4.5


def contrast(first: str, second: str) -> float:
    brighter, darker = sorted((luminance(first), luminance(second)), reverse=True)
    return (brighter + 0.05) / (darker + 0.05)


def luminance(colour: str) -> float:
    parts = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    linear = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def test_the_contrast_is_the_standards():
    assert contrast("#ffffff", "#000000") == pytest.approx(21)
    assert contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.01)


def test_a_missing_session_is_a_kind_of_missing_key():
    from demure.web.sessions import SignInRequired

    assert issubclass(SignInRequired, KeyRequired)
