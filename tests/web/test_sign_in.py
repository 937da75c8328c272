"""Signing in and out, links and passwords, over real HTTP; and what another site, a thief or a guesser tries."""

from __future__ import annotations

import contextlib
import re
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import httpx
import pytest
from databases import Clock, migrated, new_database
from fastapi import Depends, FastAPI, Request
from jinja2 import UndefinedError
from limits import RateLimitItem, RateLimitItemPerMinute
from service import NO_TLS, listening
from starlette.exceptions import HTTPException
from typer.testing import CliRunner

from demure.accounts import Passwords, Role, Session
from demure.cli.users import users_app
from demure.errors import DemureError, NotPermitted
from demure.keys import Key, make_key
from demure.store.users import Users
from demure.telemetry import Metrics
from demure.web import sign_in
from demure.web.auth import Access, Gate
from demure.web.envelope import Envelope
from demure.web.headers import PageHeaders
from demure.web.problems import KeyRequired
from demure.web.sessions import Accounts, is_tls, require_admin, signed_in
from demure.web.templates import render

WORDS, OTHER, WRONG = "four words of sense", "some other four words", "wrong words of sense"
TLS = {"x-forwarded-proto": "https"}
PAGE = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


class Keys(list[Key]):
    async def keys(self) -> tuple[Key, ...] | None:
        return tuple(self) or None


def build(users: Users, attempts: RateLimitItem, access: Access, keys: Keys) -> FastAPI:
    """The pages, some that stand for those of others, and what surrounds them."""
    app = FastAPI(openapi_url=None, redirect_slashes=False)
    app.state.accounts = Accounts(users, attempts)
    app.include_router(sign_in.router)

    @app.get("/review")
    @app.post("/review")
    async def home(session: Annotated[Session, Depends(signed_in)]) -> str:
        return session.user

    @app.post("/review/json")
    async def json(session: Annotated[Session, Depends(signed_in)], request: Request) -> Any:
        return await request.json()

    @app.get("/review/admin")
    async def admin(session: Annotated[Session, Depends(require_admin)]) -> str:
        return session.user

    @app.get("/elsewhere")
    async def elsewhere() -> None:
        raise NotPermitted("not here")

    async def raise_on(_: Request, error: Exception) -> None:
        raise error

    app.add_exception_handler(HTTPException, raise_on)
    app.add_exception_handler(DemureError, sign_in.answer_with_page)
    app.add_middleware(Gate, access=access, keyring=keys)
    app.add_middleware(Envelope, metrics=Metrics())
    app.add_middleware(PageHeaders)
    return app


@dataclass
class Site:
    """`browser()` gives a client with cookies of its own that says, as browsers do, where its forms come from."""

    url: str
    users: Users
    clock: Clock
    keys: Keys
    browser: Callable[[], httpx.Client]

    def enter(self, name: str = "anna", password: str = WORDS) -> httpx.Client:
        browser = self.browser()
        answer = browser.post("/review/sign-in", data={"name": name, "password": password})
        assert (answer.status_code, answer.headers["location"]) == (303, "/review")
        return browser


@contextlib.contextmanager
def site_of(
    tmp_path: Path, attempts: RateLimitItem = RateLimitItemPerMinute(10_000), access: Access = Access()
) -> Iterator[Site]:
    clock, keys = Clock(), Keys()
    with contextlib.ExitStack() as stack:
        database = stack.enter_context(migrated(stack.enter_context(new_database("sqlite", tmp_path)), clock))
        users = Users(database, Passwords(memory_kib=8, passes=1))
        users.set_up(users.invite("anna", Role.REVIEWER, "test"), WORDS)
        users.set_up(users.invite("root", Role.ADMIN, "test"), WORDS)
        app = build(users, attempts, access, keys)
        stack.callback(app.state.accounts.close)
        url = stack.enter_context(listening(app))

        def browser() -> httpx.Client:
            client = httpx.Client(
                base_url=url, headers={**PAGE, "origin": url}, trust_env=False, verify=NO_TLS, timeout=30
            )
            return stack.enter_context(client)

        yield Site(url, users, clock, keys, browser)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with site_of(tmp_path) as site:
        yield site


def csrf_of(browser: httpx.Client) -> str:
    page = browser.get("/review/account").text
    told = set(re.findall(r'name="csrf" value="([^"]+)"', page)) | set(
        re.findall(r'"csrf-token" content="([^"]+)"', page)
    )
    assert len(told) == 1
    return told.pop()


def cookie_of(browser: httpx.Client) -> str:
    return browser.cookies["demure"]


def with_cookie(site: Site, value: str, name: str = "demure", **headers: str) -> httpx.Response:
    return httpx.get(
        f"{site.url}/review", headers={"cookie": f"{name}={value}", **headers}, trust_env=False, verify=NO_TLS
    )


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
    assert httpx.get(f"{site.url}/review", headers=headers, trust_env=False, verify=NO_TLS).status_code == 401


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


# Another site.

POSTS = {
    "home": ("/review", {}),
    "sign-out": ("/review/sign-out", {}),
    "account": ("/review/account", {"old": WORDS, "password": OTHER, "again": OTHER}),
}


@pytest.mark.parametrize(("path", "form"), POSTS.values(), ids=POSTS)
def test_a_post_without_the_sessions_own_token_is_refused(site, path, form):
    browser = site.enter()
    others = csrf_of(site.enter())
    own = csrf_of(browser)
    for given in (None, "", "wrong", others, own[:-1], own + "a", cookie_of(browser), "ä"):
        sent = form if given is None else {**form, "csrf": given}
        assert browser.post(path, data=sent).status_code == 403, given
        headers = {} if given is None else {"x-csrf-token": given.encode("latin-1")}
        assert browser.post(path, data=form, headers=headers).status_code == 403, given
    assert browser.post(f"{path}?csrf={own}", data=form).status_code == 403
    assert browser.post(path, data={**form, "csrf": own}, headers={"x-csrf-token": "wrong"}).status_code == 403
    assert browser.get("/review").status_code == 200, "nothing has happened"
    site.enter()
    assert browser.post(path, data={**form, "csrf": own}).status_code < 400


ELSEWHERE = {
    "origin-elsewhere": {"origin": "https://evil.example"},
    "origin-null": {"origin": "null"},
    "origin-empty": {"origin": ""},
    "origin-another-port": {"origin": "http://127.0.0.1:1"},
    "origin-ours-as-a-prefix": {"origin": "{own}.evil.example"},
    "origin-ours-with-a-path": {"origin": "{own}/"},
    "cross-site": {"sec-fetch-site": "cross-site"},
    "same-site": {"sec-fetch-site": "same-site"},
    "sec-fetch-site-none": {"sec-fetch-site": "none"},
    "cross-site-with-our-origin": {"sec-fetch-site": "cross-site", "origin": "{own}"},
    "plain-http-to-tls": {"origin": "{own}", **TLS},
}


@pytest.mark.parametrize("headers", ELSEWHERE.values(), ids=ELSEWHERE)
def test_a_post_from_another_site_is_refused_even_with_the_token(site, headers):
    token, session = site.users.sign_in("anna", WORDS)
    link = site.users.invite("bob", Role.REVIEWER, "test")
    headers = {name: value.format(own=site.url) for name, value in headers.items()}
    sent = {"cookie": f"demure={token}; __Host-demure={token}", "x-csrf-token": session.csrf, **headers}
    for path, form in (
        *POSTS.values(),
        ("/review/sign-in", {"name": "anna", "password": WORDS}),
        ("/review/set-up", {"token": link, "password": WORDS, "again": WORDS}),
    ):
        answer = httpx.post(site.url + path, data=form, headers=sent, trust_env=False, verify=NO_TLS)
        assert (answer.status_code, answer.json()["code"]) == (403, "not_permitted"), path
        assert "set-cookie" not in answer.headers
    assert site.users.session(token)
    assert site.users.invited(link) == "bob"


def test_several_origins_are_not_ours_if_one_is_not(site):
    token, session = site.users.sign_in("anna", WORDS)
    headers = [("cookie", f"demure={token}"), ("x-csrf-token", session.csrf)]
    for origins, status in (
        ([site.url], 200),
        ([site.url, "https://evil.example"], 403),
        (["https://evil.example", site.url], 403),
    ):
        answer = httpx.post(
            f"{site.url}/review", headers=[*headers, *(("origin", o) for o in origins)], trust_env=False, verify=NO_TLS
        )
        assert answer.status_code == status, origins
    for sites, status in ((["same-origin"], 200), (["same-origin", "cross-site"], 403)):
        answer = httpx.post(
            f"{site.url}/review",
            headers=[*headers, *(("sec-fetch-site", s) for s in sites)],
            trust_env=False,
            verify=NO_TLS,
        )
        assert answer.status_code == status, sites


OWN = {
    "origin": {"origin": "{own}"},
    "origin-over-a-silent-proxy": {"origin": "https://{host}"},
    "same-origin": {"sec-fetch-site": "same-origin"},
    "same-origin-through-a-proxy-that-changes-host": {
        "sec-fetch-site": "same-origin",
        "origin": "https://public.example",
    },
}


@pytest.mark.parametrize("headers", OWN.values(), ids=OWN)
def test_a_post_from_our_own_page_is_taken(site, headers):
    headers = {
        name: value.format(own=site.url, host=site.url.removeprefix("http://")) for name, value in headers.items()
    }
    form = {"name": "anna", "password": WORDS}
    assert (
        httpx.post(f"{site.url}/review/sign-in", data=form, headers=headers, trust_env=False, verify=NO_TLS).status_code
        == 303
    )


def test_a_form_without_a_session_must_say_where_it_comes_from_and_one_with_a_token_need_not(site):
    token, session = site.users.sign_in("anna", WORDS)
    link = site.users.invite("bob", Role.REVIEWER, "test")
    for path, form in (
        ("/review/sign-in", {"name": "anna", "password": WORDS}),
        ("/review/set-up", {"token": link, "password": WORDS, "again": WORDS}),
    ):
        assert httpx.post(site.url + path, data=form, trust_env=False, verify=NO_TLS).status_code == 403
    headers = {"cookie": f"demure={token}", "x-csrf-token": session.csrf}
    assert httpx.post(f"{site.url}/review", headers=headers, trust_env=False, verify=NO_TLS).status_code == 200


def test_every_way_of_asking_that_could_change_something_needs_the_token(site):
    browser = site.enter()
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        assert browser.request(method, "/review").status_code in (403, 405)
    assert browser.get("/review/sign-out", headers={"accept": "*/*"}).status_code == 405
    assert browser.get("/review").status_code == 200


def test_json_is_taken_with_the_token_in_the_header(site):
    browser = site.enter()
    own = csrf_of(browser)
    assert browser.post("/review/json", json={"a": 1}, headers={"x-csrf-token": own}).json() == {"a": 1}
    assert browser.post("/review/json", json={"csrf": own}).status_code == 403


# Forms that are none.


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"", "", 415),
        (b"{}", "application/json", 415),
        (b"a=b", "application/x-www-form-urlencodedX", 415),
        (b"--a\r\n\r\n--a--", "multipart/form-data; boundary=a", 415),
        (b"name=%ff&password=x", "application/x-www-form-urlencoded", 400),
        (b"name=\xff", "application/x-www-form-urlencoded", 400),
        (b"a=b&" * 33, "application/x-www-form-urlencoded", 400),
        (b"name=" + b"a" * 65_536, "application/x-www-form-urlencoded", 413),
        (b"", "application/x-www-form-urlencoded", 403),
        (b"&&==&", "application/x-www-form-urlencoded", 403),
        (b"name=%00&password=%00", "application/x-www-form-urlencoded; charset=utf-8", 403),
        (b"name=anna&password=" + b"a" * 60_000, "application/x-www-form-urlencoded", 403),
    ],
)
def test_a_form_that_cannot_be_is_refused(site, content, kind, status):
    answer = site.browser().post("/review/sign-in", content=content, headers={"content-type": kind})
    assert answer.status_code == status
    assert (answer.headers.get("connection") == "close") is (status == 413), "what is too large is not read on"


def test_the_longest_password_fits_into_every_form(site):
    longest = "\U0001f511" * 1024  # 12 bytes each, percent-encoded
    token = site.users.invite("bob", Role.REVIEWER, "test")
    form = {"token": token, "password": longest, "again": longest}
    assert site.browser().post("/review/set-up", data=form).status_code == 303
    browser = site.enter("bob", longest)
    form = {"csrf": csrf_of(browser), "old": longest, "password": longest, "again": longest}
    assert browser.post("/review/account", data=form).status_code == 303


# Who guesses.


def test_whoever_guesses_is_shut_out_and_learns_nothing(site):
    site.users.disable("anna", "test")
    tries = [("root", WRONG)] * 7 + [("root", WORDS), ("nobody", WRONG), ("anna", WORDS), ("\0", "")]
    answers = [site.browser().post("/review/sign-in", data={"name": n, "password": p}) for n, p in tries]
    assert {answer.status_code for answer in answers} == {403}
    pages = {re.sub(r'value="[^"]*"', "", answer.text).replace(" autofocus", "") for answer in answers}
    assert len(pages) == 1
    site.clock.pass_s(120)
    site.enter("root")


def test_an_address_may_try_so_often_in_a_minute_and_a_page_says_so(tmp_path):
    with site_of(tmp_path, RateLimitItemPerMinute(3)) as site:
        browser = site.browser()
        form = {"name": "anna", "password": WRONG}
        assert [browser.post("/review/sign-in", data=form).status_code for _ in range(4)] == [403, 403, 403, 429]
        page = browser.post("/review/sign-in", data={"name": "anna", "password": WORDS})
        assert page.status_code == 429
        assert page.headers["content-type"].startswith("text/html")
        assert page.headers["retry-after"] == "60"
        assert "wait a minute" in page.text
        token, session = site.users.sign_in("anna", WORDS)
        sent = {"cookie": f"demure={token}", "x-csrf-token": session.csrf}
        assert browser.get("/review", headers=sent).status_code == 200, "who is signed in works on"


def test_who_tries_one_name_shuts_no_other_out_until_there_are_ten_times_as_many(tmp_path):
    """Behind a proxy all have one address."""
    with site_of(tmp_path, RateLimitItemPerMinute(3)) as site:
        browser = site.browser()
        wrong = {"name": "root", "password": WRONG}
        assert [browser.post("/review/sign-in", data=wrong).status_code for _ in range(4)] == [403, 403, 403, 429]
        right = {"name": "anna", "password": WORDS}
        assert browser.post("/review/sign-in", data=right).status_code == 303
        link = {"token": "x", "password": WORDS, "again": WORDS}
        assert [browser.post("/review/set-up", data=link).status_code for _ in range(4)] == [404, 404, 404, 429]
        others = [{"name": f"nobody{number}", "password": WRONG} for number in range(30)]
        assert browser.post("/review/sign-in", data=others.pop()).status_code == 403
        for other in others:
            last = browser.post("/review/sign-in", data=other).status_code
        assert last == 429


def test_no_more_than_two_passwords_are_looked_at_at_once(tmp_path):
    now, most, lock = 0, 0, threading.Lock()

    class Slow(Passwords):
        def verify(self, kept, password):
            nonlocal now, most
            with lock:
                now += 1
                most = max(most, now)
            time.sleep(0.05)
            with lock:
                now -= 1
            return super().verify(kept, password)

    with site_of(tmp_path) as site:
        site.users._passwords = Slow(memory_kib=8, passes=1)
        browsers = [site.browser() for _ in range(40)]
        with ThreadPoolExecutor(40) as pool:
            form = {"name": "nobody", "password": WRONG}
            statuses = list(pool.map(lambda b: b.post("/review/sign-in", data=form).status_code, browsers))
    assert most == 2
    assert {*statuses} == {403, 503}, "who would be one too many is told at once"


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
