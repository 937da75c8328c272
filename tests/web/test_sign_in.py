"""Signing in and out, links and passwords, the cookie and the session, over real HTTP; the first admin, and the shell."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from databases import Clock, migrated
from fastapi import Request
from jinja2 import UndefinedError
from sign_in_site import OTHER, TLS, WORDS, WRONG, Site, cookie_of, csrf_of, site_of, with_cookie
from typer.testing import CliRunner

from demure.accounts import Passwords, Role
from demure.cli.users import users_app
from demure.errors import DemureError
from demure.keys import make_key
from demure.store.users import Users
from demure.web import sign_in
from demure.web.sessions import is_tls
from demure.web.templates import render


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with site_of(tmp_path) as site:
        yield site


# The way of somebody who reviews.


def test_sign_in_review_and_sign_out(site):
    browser = site.browser()
    page = browser.get("/review")
    assert (page.status_code, page.headers["location"]) == (303, "/review/sign-in")
    assert "Sign in" in browser.get("/review/sign-in").text
    browser = site.enter()
    assert browser.get("/review").json() == "anna"
    answer = browser.post("/review/sign-out", data={"csrf": csrf_of(browser)})
    assert (answer.status_code, answer.headers["location"]) == (303, "/review/sign-in?notice=signed-out")
    assert "demure" not in browser.cookies
    assert "You are signed out." in browser.get(answer.headers["location"]).text


def test_a_link_sets_a_password_once(site):
    browser, token = site.browser(), site.users.invite("bob", Role.REVIEWER, "test")
    page = browser.get("/review/set-up", params={"token": token})
    assert page.status_code == 200
    assert "bob" in page.text
    form = {"token": token, "password": WORDS, "again": WORDS}
    answer = browser.post("/review/set-up", data=form)
    assert (answer.status_code, answer.headers["location"]) == (303, "/review/sign-in?notice=set-up")
    assert "Your password is set" in browser.get(answer.headers["location"]).text
    site.enter("bob")
    for again in (browser.post("/review/set-up", data=form), browser.get("/review/set-up", params={"token": token})):
        assert again.status_code == 404
        assert "has been used" in again.text
        assert token not in again.text


def test_a_link_used_twice_at_once_works_once(site):
    token = site.users.invite("bob", Role.REVIEWER, "test")
    passwords = [f"password number {number}" for number in range(8)]
    browsers = [site.browser() for _ in passwords]

    def send(browser: httpx.Client, password: str) -> int:
        form = {"token": token, "password": password, "again": password}
        return browser.post("/review/set-up", data=form).status_code

    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(send, browsers, passwords))
    assert sorted(statuses) == [303] + [404] * 7
    site.enter("bob", passwords[statuses.index(303)])


def test_a_link_that_is_a_day_old_is_dead(site):
    token = site.users.invite("bob", Role.REVIEWER, "test")
    site.clock.pass_s(86400)
    assert site.browser().get("/review/set-up", params={"token": token}).status_code == 404
    form = {"token": token, "password": WORDS, "again": WORDS}
    assert site.browser().post("/review/set-up", data=form).status_code == 404


def test_a_password_that_is_not_taken_leaves_the_link_good(site):
    browser, token = site.browser(), site.users.invite("bob", Role.REVIEWER, "test")
    for form, words in (
        ({"password": "short", "again": "short"}, "12 to 1024 characters"),
        ({"password": WORDS, "again": OTHER}, "not typed the same twice"),
        ({"password": WORDS}, "not typed the same twice"),
    ):
        page = browser.post("/review/set-up", data={"token": token, **form})
        assert page.status_code == 400
        assert words in page.text
        assert WORDS not in page.text
    assert site.users.invited(token) == "bob"


def test_changing_the_password_ends_the_sessions_elsewhere(site):
    here, there = site.enter(), site.enter()
    form = {"csrf": csrf_of(here), "old": WORDS, "password": OTHER, "again": OTHER}
    for wrong, status in (
        ({"old": WRONG}, 403),
        ({"old": ""}, 403),
        ({"again": WORDS}, 400),
        ({"password": "a", "again": "a"}, 400),
    ):
        assert here.post("/review/account", data={**form, **wrong}).status_code == status
    assert there.get("/review").status_code == 200
    answer = here.post("/review/account", data=form)
    assert (answer.status_code, answer.headers["location"]) == (303, "/review/account?notice=changed")
    assert "Your password is changed" in here.get(answer.headers["location"]).text
    assert there.get("/review").status_code == 303
    site.enter(password=OTHER)


def test_a_page_for_admins_is_refused_to_others(site):
    assert site.enter("root").get("/review/admin").json() == "root"
    page = site.enter().get("/review/admin")
    assert page.status_code == 403
    assert "only an admin" in page.text.lower()
    assert site.browser().get("/review/admin").headers["location"] == "/review/sign-in"


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_script_is_answered_401_and_a_page_is_sent_to_sign_in(site, method):
    answer = site.browser().request(method, "/review", headers={"accept": "*/*"})
    assert (answer.status_code, answer.json()["code"]) == (401, "key_required")
    answer = site.browser().request(method, "/review")
    assert (answer.status_code, answer.headers["location"]) == (303, "/review/sign-in")


def test_an_error_of_another_path_stays_a_problem_document_for_a_browser_too(site):
    answer = site.browser().get("/review/../elsewhere")
    assert answer.status_code == 401, "the gate"
    key, secret = make_key("root", ["admin"])
    site.keys.append(key)
    answer = site.browser().get("/elsewhere", headers={"authorization": f"Bearer {secret}"})
    assert (answer.status_code, answer.headers["content-type"]) == (403, "application/problem+json")


def test_a_page_that_is_not_given_all_it_shows_is_a_fault():
    with pytest.raises(UndefinedError):
        render(Request({"type": "http", "path": "/review", "headers": [], "state": {}}), "sign_in.html")


# The cookie.


def test_the_cookie_over_http_and_over_tls(site):
    form = {"name": "anna", "password": WORDS}
    plain = site.browser().post("/review/sign-in", data=form).headers.get_list("set-cookie")
    assert [re.sub("=[^;]{43};", "=…;", cookie) for cookie in plain] == ["demure=…; HttpOnly; Path=/; SameSite=strict"]
    headers = {**TLS, "origin": site.url.replace("http:", "https:")}
    tls = site.browser().post("/review/sign-in", data=form, headers=headers).headers.get_list("set-cookie")
    assert [re.sub("=[^;]{43};", "=…;", cookie) for cookie in tls] == [
        "__Host-demure=…; HttpOnly; Path=/; SameSite=strict; Secure"
    ]


@pytest.mark.parametrize(("headers", "secure"), [({}, False), (TLS, True)])
def test_the_cookie_is_taken_away_under_the_name_it_was_given(site, headers, secure):
    token, session = site.users.sign_in("anna", WORDS)
    name = "__Host-demure" if secure else "demure"
    sent = {"cookie": f"{name}={token}", "x-csrf-token": session.csrf, "sec-fetch-site": "same-origin", **headers}
    answer = site.browser().post("/review/sign-out", headers=sent)
    assert answer.status_code == 303
    (cookie,) = answer.headers.get_list("set-cookie")
    assert cookie.startswith(f'{name}="";')
    assert "Max-Age=0" in cookie
    assert ("Secure" in cookie) is secure


def test_each_cookie_counts_only_where_it_can_have_been_set(site):
    token, _ = site.users.sign_in("anna", WORDS)
    assert with_cookie(site, token).status_code == 200
    assert with_cookie(site, token, "__Host-demure", **TLS).status_code == 200
    assert with_cookie(site, token, "demure", **TLS).status_code == 401
    assert with_cookie(site, token, "__Host-demure").status_code == 401


@pytest.mark.parametrize(
    ("scheme", "forwarded", "tls"),
    [
        ("http", [], False),
        ("https", [], True),
        ("https", ["http"], True),
        ("http", ["http"], False),
        ("http", ["https"], True),
        ("http", ["HTTPS"], True),
        ("http", ["https, http"], True),
        ("http", ["http", "https"], True),
        ("http", ["nothttps"], False),
    ],
)
def test_one_word_of_tls_is_enough(scheme, forwarded, tls):
    headers = [(b"x-forwarded-proto", value.encode()) for value in forwarded]
    scope = {"type": "http", "scheme": scheme, "path": "/", "query_string": b"", "headers": headers, "server": ("a", 1)}
    assert is_tls(Request(scope)) is tls


@pytest.mark.parametrize("value", ["", "a", "a" * 5000, '"', "%00", "=", "\xe4", "'; DROP TABLE sessions;--"], ids=repr)
def test_a_cookie_that_is_none_of_ours_is_no_session(site, value):
    headers = {"cookie": f"demure={value}".encode("latin-1")}
    assert site.ask("GET", "/review", headers=headers).status_code == 401


# Who would use another's session.


def test_a_token_from_before_the_sign_in_is_worth_nothing_after(site):
    browser = site.browser()
    browser.cookies.set("demure", "planted" * 6)
    answer = browser.post("/review/sign-in", data={"name": "anna", "password": WORDS})
    (cookie,) = answer.headers.get_list("set-cookie")
    assert "planted" not in cookie
    assert with_cookie(site, "planted" * 6).status_code == 401


def test_signing_in_anew_ends_the_session_that_was_there(site):
    browser = site.enter("root")
    before = cookie_of(browser)
    browser.post("/review/sign-in", data={"name": "anna", "password": WORDS})
    assert cookie_of(browser) != before
    assert browser.get("/review").json() == "anna"
    assert with_cookie(site, before).status_code == 401


def test_a_failed_sign_in_leaves_the_session_that_was_there(site):
    browser = site.enter("root")
    answer = browser.post("/review/sign-in", data={"name": "anna", "password": WRONG})
    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers
    assert browser.get("/review").json() == "root"


def test_signing_out_ends_the_session_here_and_not_only_in_the_browser(site):
    browser = site.enter()
    token = cookie_of(browser)
    assert with_cookie(site, token).status_code == 200
    browser.post("/review/sign-out", data={"csrf": csrf_of(browser)})
    assert with_cookie(site, token).status_code == 401


def test_a_disabled_users_session_is_dead_at_the_next_request(site):
    browser = site.enter()
    csrf = csrf_of(browser)
    site.users.disable("anna", "test")
    assert browser.get("/review").status_code == 303
    assert browser.post("/review", headers={"accept": "*/*", "x-csrf-token": csrf}).status_code == 401


def test_a_session_ends_by_itself(site):
    browser = site.enter()
    site.clock.pass_s(12 * 3600)
    assert browser.get("/review").status_code == 303


# The first admin.


def test_the_first_start_makes_a_link_and_there_is_no_password_before(tmp_path):
    with migrated(f"sqlite:///{tmp_path / 'demure.db'}", Clock()) as database:
        users = Users(database, Passwords(memory_kib=8, passes=1))
        first = sign_in.announce_set_up(users, "http://127.0.0.1:8080/")
        assert sign_in.announce_set_up(users, "http://127.0.0.1:8080") is None, "another process voids no link"
        start = "http://127.0.0.1:8080/review/set-up?token="
        assert first.startswith(start)
        token = first.removeprefix(start)
        for password in ("", "admin", "password", "demure"):
            with pytest.raises(DemureError):
                users.sign_in("admin", password)
        assert users.set_up(token, WORDS).role is Role.ADMIN
        assert sign_in.announce_set_up(users, "http://127.0.0.1:8080") is None


# The shell.


@pytest.fixture
def shell(tmp_path, monkeypatch):
    monkeypatch.setenv("DEMURE_DATA_DIR", str(tmp_path))

    def run(*words: str) -> list[str]:
        result = CliRunner().invoke(users_app, list(words), catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.stdout.splitlines()  # a service of another test may write its log to the other

    run.users = lambda: migrated(f"sqlite:///{tmp_path / 'demure.db'}", Clock(time.time_ns() // 1_000_000))
    return run


def test_the_shell_makes_lists_resets_disables_and_enables(shell):
    link = shell("create", "anna", "--role", "admin")[-1]
    assert re.fullmatch(r"/review/set-up\?token=[\w-]{43}", link)
    assert shell("list") == ["anna\tadmin\tinvited"]
    with shell.users() as database:
        Users(database).set_up(link.partition("=")[2], WORDS)
    shell("create", "bob")
    assert shell("list") == ["anna\tadmin\tactive", "bob\treviewer\tinvited"]
    assert shell("reset", "bob")[-1].startswith("/review/set-up?token=")
    shell("disable", "bob")
    assert shell("list")[1] == "bob\treviewer\tdisabled"
    shell("enable", "bob")
    assert shell("list")[1] == "bob\treviewer\tinvited"


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("create", "anna"), "conflict"),
        (("create", "<b>"), "invalid_request"),
        (("reset", "nobody"), "not_found"),
        (("disable", "nobody"), "not_found"),
        (("enable", "nobody"), "not_found"),
    ],
)
def test_the_shell_refuses_what_cannot_be(shell, words, code):
    shell("create", "anna")
    with pytest.raises(DemureError) as caught:
        shell(*words)
    assert caught.value.code == code
