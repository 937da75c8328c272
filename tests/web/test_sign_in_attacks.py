"""Signing in, over real HTTP: what another site tries, what is no form, and who guesses."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

import pytest
from limits import RateLimitItemPerMinute
from sign_in_site import OTHER, TLS, WORDS, WRONG, Site, cookie_of, csrf_of, site_of
from starlette.requests import Request

from demure.accounts import Passwords, Role
from demure.web.problems import RateLimited
from demure.web.sessions import Accounts


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with site_of(tmp_path) as site:
        yield site


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
        answer = site.ask("POST", path, data=form, headers=sent)
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
        answer = site.ask("POST", "/review", headers=[*headers, *(("origin", o) for o in origins)])
        assert answer.status_code == status, origins
    for sites, status in ((["same-origin"], 200), (["same-origin", "cross-site"], 403)):
        answer = site.ask("POST", "/review", headers=[*headers, *(("sec-fetch-site", s) for s in sites)])
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
    assert site.ask("POST", "/review/sign-in", data=form, headers=headers).status_code == 303


def test_a_form_without_a_session_must_say_where_it_comes_from_and_one_with_a_token_need_not(site):
    token, session = site.users.sign_in("anna", WORDS)
    link = site.users.invite("bob", Role.REVIEWER, "test")
    for path, form in (
        ("/review/sign-in", {"name": "anna", "password": WORDS}),
        ("/review/set-up", {"token": link, "password": WORDS, "again": WORDS}),
    ):
        assert site.ask("POST", path, data=form).status_code == 403
    headers = {"cookie": f"demure={token}", "x-csrf-token": session.csrf}
    assert site.ask("POST", "/review", headers=headers).status_code == 200


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


@pytest.fixture
def accounts(site: Site) -> Iterator[Accounts]:
    """Three attempts for a name, thirty for an address."""
    made = Accounts(site.users, RateLimitItemPerMinute(3))
    yield made
    made.close()


def attempts(accounts: Accounts, names: Iterable[str]) -> list[bool]:
    """Whether each was let in, of one address."""
    request = Request({"type": "http", "client": ("192.0.2.1", 50_000), "headers": []})
    return [lets_in(accounts, request, name) for name in names]


def lets_in(accounts: Accounts, request: Request, name: str) -> bool:
    try:
        accounts.count_attempt(request, f"name {name}")
    except RateLimited:
        return False
    return True


def test_whoever_is_past_an_addresss_limit_leaves_no_counter_for_each_name_made_up(accounts):
    """Each takes some 400 bytes, and a timer walks through all of them."""
    assert sum(attempts(accounts, map(str, range(1000)))) == 30
    assert len(accounts._rate._storage.storage) == 30


def test_who_goes_on_with_one_name_past_its_limit_uses_nothing_up_that_others_have(accounts):
    assert sum(attempts(accounts, ["anna"] * 100)) == 3
    assert attempts(accounts, ["bob"]) == [True]


def test_no_more_than_two_passwords_are_looked_at_at_once(tmp_path):
    now, most, lock, go_on = 0, 0, threading.Lock(), threading.Event()

    class Slow(Passwords):
        def verify(self, kept, password):
            nonlocal now, most
            with lock:
                now += 1
                most = max(most, now)
            go_on.wait(60)
            with lock:
                now -= 1
            return super().verify(kept, password)

    with site_of(tmp_path) as site:
        site.users._passwords = Slow(memory_kib=8, passes=1)
        form = {"name": "nobody", "password": WRONG}
        with ThreadPoolExecutor(40) as pool:
            asked = [pool.submit(site.browser().post, "/review/sign-in", data=form) for _ in range(40)]
            try:
                told_at_once = next(as_completed(asked, timeout=25)).result().status_code
            finally:
                go_on.set()
            statuses = {answer.result().status_code for answer in asked}
    assert most == 2
    assert told_at_once == 503, "who would be one too many does not wait"
    assert statuses == {403, 503}
