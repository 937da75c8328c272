"""The pages of signing in over real HTTP, with two who may: anna reviews, root is admin."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import httpx
from databases import Clock, migrated, new_database
from fastapi import Depends, FastAPI, Request
from limits import RateLimitItem, RateLimitItemPerMinute
from service import NO_TLS, listening
from starlette.exceptions import HTTPException

from demure.accounts import Passwords, Role, Session
from demure.errors import DemureError, NotPermitted
from demure.keys import Key
from demure.store.users import Users
from demure.telemetry import Metrics
from demure.web import sign_in
from demure.web.auth import Access, Gate
from demure.web.envelope import Envelope
from demure.web.headers import PageHeaders
from demure.web.sessions import Accounts, require_admin, signed_in

WORDS, OTHER, WRONG = "four words of sense", "some other four words", "wrong words of sense"
TLS = {"x-forwarded-proto": "https"}
_PAGE = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


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

    def ask(self, method: str, path: str, **given: Any) -> httpx.Response:
        """Once, with nothing that a browser would add."""
        return httpx.request(method, self.url + path, trust_env=False, verify=NO_TLS, timeout=30, **given)

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
                base_url=url, headers={**_PAGE, "origin": url}, trust_env=False, verify=NO_TLS, timeout=30
            )
            return stack.enter_context(client)

        yield Site(url, users, clock, keys, browser)


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
    return site.ask("GET", "/review", headers={"cookie": f"{name}={value}", **headers})
