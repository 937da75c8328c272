"""Who is signed in: the cookie that says so, and that a request which changes something comes from a page of ours.

A route under /review asks `Depends(signed_in)` or `Depends(require_admin)`; both check every method but GET and HEAD against
forgery, so that no route can forget to. Two things hold there. The session's own token, in the header X-CSRF-Token or the form
field `csrf`, is a secret that only our pages are told. And where the browser says which page a request comes from, it is one
of ours: by Sec-Fetch-Site, which no page can write, or else by Origin (the order of Go's http.CrossOriginProtection).
SameSite=Strict keeps the cookie itself out of other sites' requests.
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv6Address, ip_address
from typing import Annotated, TypeVar
from urllib.parse import parse_qsl

from fastapi import Depends, Request
from limits import RateLimitItem, RateLimitItemPerMinute
from starlette.responses import Response

from demure.accounts import Session
from demure.errors import NotPermitted, Overloaded, TooLarge
from demure.store.users import Users
from demure.web.auth import Rate
from demure.web.problems import KeyRequired, RateLimited, RequestError, UnsupportedMediaType

T = TypeVar("T")

SIGN_IN = "/review/sign-in"
_FORM = "application/x-www-form-urlencoded"
_MAX_FORM_BYTES = 64 * 1024  # three passwords of 1,024 characters, each percent-encoded, and some more
_HASHING, _MAX_WAITING = 2, 32  # 19 MiB each
# A name has a limit of its own in the store. Behind a proxy everybody has one address: it is a generous one.
_ATTEMPTS = RateLimitItemPerMinute(30)
_TIMES = 10  # so many more from one address, for whatever names and links


class SignInRequired(KeyRequired):
    """There is no session, or it has ended. A browser is sent to the page where one begins, others are answered 401."""


class Accounts:
    """The store of users, as the event loop asks it; to be kept as `app.state.accounts`."""

    def __init__(self, users: Users, attempts: RateLimitItem = _ATTEMPTS) -> None:
        self.users = users
        self._rate = Rate(attempts)
        self._all = Rate(RateLimitItemPerMinute(_TIMES * attempts.amount))
        self._hashing = ThreadPoolExecutor(_HASHING, thread_name_prefix="passwords")
        self._waiting = 0

    def count_attempt(self, request: Request, of: str) -> None:
        """Of one who tells a password or a link: by address, and by what it is for. Behind a proxy all have one address, and
        nobody is to be shut out by those who try something else. Raises RateLimited.
        """
        address = _neighbourhood(request.client.host if request.client else "")
        # The address's limit is asked first, or whoever is past it would leave a counter for each name that it makes up; it is
        # counted last, or who goes on with one name past that name's limit would use up what the others have.
        if not (self._all.has_room(address) and self._rate.takes(f"{address} {of}") and self._all.takes(address)):
            raise RateLimited("too many attempts from this address; wait a minute")

    async def hashing(self, call: Callable[[], T]) -> T:
        """Something that hashes a password: two at once, and as many wait as a box can hold. Raises Overloaded."""
        if self._waiting >= _MAX_WAITING:
            raise Overloaded("too many sign in at this moment; try again in a few seconds")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._hashing, call)
        finally:
            self._waiting -= 1

    def close(self) -> None:
        self._hashing.shutdown()


def accounts_of(request: Request) -> Accounts:
    accounts: Accounts = request.app.state.accounts
    return accounts


async def signed_in(request: Request) -> Session:
    """Who asks. Raises SignInRequired, and NotPermitted for a request that another site may have made."""
    token = session_token(request)
    session = await asyncio.to_thread(accounts_of(request).users.session, token) if token else None
    if session is None:
        raise SignInRequired(f"nobody is signed in, or not any more; sign in at {SIGN_IN}")
    if request.method not in ("GET", "HEAD"):
        await _check_not_forged(request, session)
    request.state.session = session
    request.state.log["user"] = session.user
    return session


async def require_admin(session: Annotated[Session, Depends(signed_in)]) -> Session:
    """As signed_in. Raises NotPermitted for a reviewer."""
    if not session.is_admin:
        raise NotPermitted("only an admin may do this")
    return session


def is_tls(request: Request) -> bool:
    """Whether the browser came over TLS. A proxy's word, or anybody's, is enough: it only makes the cookie stricter."""
    told = ",".join(request.headers.getlist("x-forwarded-proto")).lower().split(",")
    return request.url.scheme == "https" or "https" in map(str.strip, told)


def session_token(request: Request) -> str | None:
    """What the one cookie says that counts here: over TLS, one that was set without it may be another's work."""
    return request.cookies.get(_cookie_name(request))


def set_cookie(request: Request, response: Response, token: str) -> None:
    """It ends with the browser; how long the session lasts is the store's to say. `__Host-`: RFC 6265bis, 4.1.3.2."""
    response.set_cookie(
        _cookie_name(request), token, path="/", secure=is_tls(request), httponly=True, samesite="strict"
    )


def clear_cookie(request: Request, response: Response) -> None:
    response.delete_cookie(_cookie_name(request), path="/", secure=is_tls(request), httponly=True, samesite="strict")


def check_origin(request: Request, *, demanded: bool) -> None:
    """Raises NotPermitted for what a page of another site sent, or, where it is `demanded`, for what no page says it sent.

    Forms that begin a session have no token yet to know them by, and this is enough: what is to be stopped is another site that
    signs somebody in under its own name, in their browser, and every browser since 2020 names the origin of a POST.
    """
    if site := request.headers.getlist("sec-fetch-site"):
        ours = site == ["same-origin"]
    elif origins := request.headers.getlist("origin"):
        host = request.headers.get("host", "").lower()
        # A proxy may have ended TLS and said nothing of it.
        own = {f"https://{host}"} if is_tls(request) else {f"https://{host}", f"http://{host}"}
        ours = {origin.lower() for origin in origins} <= own
    else:
        ours = not demanded
    if not ours:
        raise NotPermitted("this request does not come from a page of this service; open the page anew and try again")


async def read_form(request: Request) -> dict[str, str]:
    """The fields of a page's form; of several of one name, the last. Raises RequestError, UnsupportedMediaType and TooLarge."""
    form: dict[str, str]
    if hasattr(request.state, "form"):
        form = request.state.form
        return form
    if not _has_form(request):
        raise UnsupportedMediaType(f"a page's form is sent as {_FORM}")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MAX_FORM_BYTES:
            raise TooLarge(f"a form is not larger than {_MAX_FORM_BYTES // 1024} KiB")
    try:
        fields = parse_qsl(body.decode(), keep_blank_values=True, errors="strict", max_num_fields=32)
    except ValueError as error:
        raise RequestError("the form cannot be read") from error
    form = request.state.form = dict(fields)
    return form


async def _check_not_forged(request: Request, session: Session) -> None:
    check_origin(request, demanded=False)
    given = request.headers.get("x-csrf-token")
    if given is None and _has_form(request):
        given = (await read_form(request)).get("csrf")
    if not hmac.compare_digest((given or "").encode("utf-8", "replace"), session.csrf.encode()):
        raise NotPermitted("this page is older than your session; open it anew and try again")


def _has_form(request: Request) -> bool:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower() == _FORM


def _cookie_name(request: Request) -> str:
    return "__Host-demure" if is_tls(request) else "demure"


def _neighbourhood(host: str) -> str:
    """An IPv6 customer has 2^64 addresses or more, and is counted as one."""
    try:
        address = ip_address(host)
    except ValueError:
        return host
    if isinstance(address, IPv6Address) and address.ipv4_mapped is None:
        return f"{int(address) >> 64:x}::"
    return host
