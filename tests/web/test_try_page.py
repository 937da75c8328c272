"""The page at / over HTTP: who gets it, what it tells, and what the service keeps of what it is asked there."""

from __future__ import annotations

import hashlib
import re
import socket

import pytest
from pictures import encode, plain
from sqlalchemy import func, select

from demure.errors import InvalidSetting
from demure.keys import make_key
from demure.settings import read_settings
from demure.store.schema import images as kept_images
from demure.store.schema import reviews, submissions
from demure.telemetry import configure_logging

GREEN = encode(plain([0, 255, 0]), "PNG")
HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
    "form-action 'none'; base-uri 'none'; frame-ancestors 'none'",
    "referrer-policy": "same-origin",
    "x-content-type-options": "nosniff",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}


def test_the_page_is_answered_with_the_headers_that_keep_others_out(service):
    answer = service.get("/")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    for name, value in HEADERS.items():
        assert answer.headers.get_list(name) == [value], name
    for name in ("set-cookie", "access-control-allow-origin"):
        assert name not in answer.headers


def test_what_is_not_asked_that_way_is_refused_with_the_same_headers(service):
    answer = service.post("/", data={"key": "demure_x"})
    assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed")
    for name, value in HEADERS.items():
        assert answer.headers.get_list(name) == [value], name


def test_head_is_answered_as_get_without_the_page(service):
    head = f"HEAD / HTTP/1.1\r\nHost: {service.base_url.host}\r\nConnection: close\r\n\r\n"
    with socket.create_connection((service.base_url.host, service.base_url.port), timeout=30) as connection:
        connection.sendall(head.encode())
        with connection.makefile("rb") as answer:
            told, _, body = answer.read().partition(b"\r\n\r\n")
    assert told.startswith(b"HTTP/1.1 200 ")
    assert body == b""
    assert f"content-length: {len(service.get('/').content)}".encode() in told


def test_the_other_pages_keep_a_policy_of_their_own(service):
    told = service.get("/review/sign-in").headers["content-security-policy"]
    assert "blob:" not in told
    assert "form-action 'self'" in told


def test_the_page_asks_for_nothing_that_is_not_ours_and_holds_no_script_or_style(service):
    page = service.get("/").text
    targets = re.findall(r'(?:href|src|action)="([^"]*)"', page)
    files = [target for target in targets if target.startswith("/review/static/")]
    assert len(files) == 5
    for name in files:
        assert service.get(name).headers["cache-control"] == "no-cache", name
    assert {*targets} - {*files} == {"/", "/review", "#main", "#mark-adult", "#mark-safe", "#mark-unknown"}
    assert not re.search(r"<style|\sstyle=|<script(?![^>]* src=)|\son[a-z]+=|javascript:|url\(|@import", page)


@pytest.mark.parametrize("name", ["try.js", "try_service.js", "try_result.js", "try.css"])
def test_its_scripts_ask_nobody_else_and_use_no_storage(service, name):
    text = service.get(f"/review/static/{name}").raise_for_status().text
    assert not re.search(r"https?://(?!example\.org)|localStorage|sessionStorage|indexedDB|document\.cookie", text)
    assert not re.search(r"innerHTML|insertAdjacentHTML|outerHTML|document\.write|eval\(", text)


# Who gets it.


def test_the_shell_is_the_same_for_all_and_tells_nothing(quick):
    key, secret = make_key("site", ["classify"])
    with quick(DEMURE_API_KEYS=str(key)) as client:
        pages = [
            client.get("/", headers=headers).raise_for_status().text
            for headers in (
                {},
                {"authorization": f"Bearer {secret}"},
                {"authorization": "Bearer demure_wrong"},
                {"x-forwarded-for": "203.0.113.7"},
                {"host": "evil.example"},
                {"origin": "https://evil.example"},
            )
        ]
        pages.append(client.get("/?key=demure_x&url=http://evil.example").text)
        assert {*pages} == {pages[0]}
        for told in ("colours", "lenient", "balanced", "strict", "redness", "mobilenet", "evil", secret, "0.1.0"):
            assert told not in pages[0]
        for path in ("/v1/policies", "/v1/models"):
            assert client.get(path).json()["code"] == "key_required"
        assert client.post("/v1/moderate", files={"file": GREEN}).json()["code"] == "key_required"


def test_it_goes_by_our_names_alone_where_there_are_some(quick):
    with quick(DEMURE_HOSTS="img.example.org") as client:
        answer = client.get("/", headers={"host": "evil.example"})
        assert (answer.status_code, answer.json()["code"]) == (403, "not_permitted")
        assert client.get("/", headers={"host": "img.example.org:8080"}).status_code == 200


def test_a_name_that_was_rebound_to_this_machine_gets_the_shell_and_no_answer(service):
    rebound = {"host": "evil.example", "origin": "http://evil.example"}
    assert service.get("/", headers=rebound).status_code == 200
    for answer in (
        service.get("/v1/policies", headers=rebound),
        service.post("/v1/moderate", headers=rebound, files={"file": GREEN}),
    ):
        assert (answer.status_code, answer.json()["code"]) == (403, "not_permitted")


@pytest.mark.parametrize("word", ["off", "no", "0", "FALSE"])
def test_it_can_be_turned_off(quick, word):
    with quick(DEMURE_TRY_PAGE=word) as client:
        for method in ("GET", "HEAD", "POST"):
            assert client.request(method, "/").status_code == 404
        assert client.get("/").json()["code"] == "not_found"
        assert client.get("/review/sign-in").status_code == 200


@pytest.mark.parametrize(("word", "meant"), [("on", "on"), ("yes", "on"), ("1", "on"), ("True", "on"), ("off", "off")])
def test_the_setting_is_a_switch(word, meant):
    assert read_settings({"DEMURE_TRY_PAGE": word}).try_page == meant


def test_the_setting_in_a_file_may_be_a_truth_value(tmp_path):
    config = tmp_path / "demure.toml"
    config.write_text("try_page = false")
    assert read_settings({"DEMURE_CONFIG": str(config)}).try_page == "off"


def test_another_word_stops_the_start():
    with pytest.raises(InvalidSetting, match=r"DEMURE_TRY_PAGE: found 'maybe'; .*'on' or 'off'"):
        read_settings({"DEMURE_TRY_PAGE": "maybe"})


# What it says.

REASONS = {
    *("uncertain", "models_disagree", "too_small"),
    *("remembered", "near_copy", "memory_disagrees", "escalated"),
}  # docs/api.md, on `reason`
OURS = {"rule", "no_answer", "too_slow", "no_problem", "unreadable_file", "storage_full"}


def test_there_are_plain_words_for_every_reason_and_every_code_that_can_be_met(service):
    words = dict(re.findall(r'<p data-code="(\w+)">(.+)</p>', service.get("/").text))
    paths = service.get("/openapi.json").json()["paths"]
    answers = [answer for path in ("/v1/moderate", "/predict") for answer in paths[path]["post"]["responses"].values()]
    codes = {code for answer in answers for code in re.findall(r"`(\w+)`", answer["description"])}
    assert len(codes) >= 25
    assert {*words} == REASONS | OURS | codes
    assert all(text[0].isupper() and text[-1] in ".?" for text in words.values())


def test_the_page_is_told_the_limits_that_hold(quick):
    with quick(DEMURE_MAX_ITEMS="3", DEMURE_MAX_IMAGE_BYTES="5000") as client:
        page = client.get("/").text
    assert 'data-most-items="3" data-most-bytes="5000"' in page


def test_nothing_is_kept_of_what_the_page_asks_as_it_says(quick, capfd):
    """And in the log no name, but the hash, the decision and an address's host."""
    with quick() as client:
        configure_logging("text")
        form = {"files": {"file": ("the-name.png", GREEN)}, "data": {"keep": "false"}}
        client.post("/v1/moderate", **form).raise_for_status()
        url = "http://203.0.113.9:1/path-of-it?query-of-it"
        client.post("/v1/moderate", json={"items": [{"url": url}], "keep": False}).raise_for_status()
        kept = [
            client.app.state.desk.database.read(
                lambda c, t=table: c.execute(select(func.count()).select_from(t)).scalar()
            )
            for table in (kept_images, submissions, reviews)
        ]
    sha256 = hashlib.sha256(GREEN).digest()
    assert kept == [0, 0, 0]
    log = "".join(capfd.readouterr())
    assert "decision=safe" in log
    assert sha256.hex() in log
    assert "host=203.0.113.9" in log
    for private in ("the-name", "path-of-it", "query-of-it"):
        assert private not in log
