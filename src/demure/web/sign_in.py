"""How somebody begins a session, ends it, and sets a password: the only pages that are open to who is not signed in."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from starlette.responses import RedirectResponse, Response
from starlette.staticfiles import StaticFiles

from demure.accounts import MIN_PASSWORD, Session, Unacceptable
from demure.errors import DemureError, NotPermitted, SetupError, SourceNotFound, TooLarge
from demure.store.users import Users
from demure.web.auth import is_page
from demure.web.problems import RETRY_AFTER_S, problem, status_of
from demure.web.sessions import (
    SIGN_IN,
    SignInRequired,
    accounts_of,
    check_origin,
    clear_cookie,
    read_form,
    session_token,
    set_cookie,
    signed_in,
)
from demure.web.templates import render

SET_UP = "/review/set-up"
_ACCOUNT = "/review/account"
_HOME = "/review"  # where everybody lands: no address that a request names is ever redirected to
_NOTICES = {
    "set-up": "Your password is set. Sign in with it.",
    "signed-out": "You are signed out.",
    "changed": "Your password is changed. Your other sessions have ended.",
}
_NOT_TWICE = Unacceptable("the new password was not typed the same twice")
_static = StaticFiles(directory=Path(__file__).parent / "static", check_dir=False)

router = APIRouter(include_in_schema=False)


@router.get(SIGN_IN)
async def show_sign_in(request: Request) -> Response:
    return render(request, "sign_in.html", notice=_notice(request), error=None, name="")


@router.post(SIGN_IN)
async def sign_in(request: Request) -> Response:
    check_origin(request, demanded=True)
    accounts = accounts_of(request)
    form = await read_form(request)
    name = form.get("name", "").strip()
    accounts.count_attempt(request, f"name {name[:64]}")
    try:
        token, session = await accounts.hashing(partial(accounts.users.sign_in, name, form.get("password", "")))
    except NotPermitted as error:
        return render(request, "sign_in.html", status_of(error), notice=None, error=error.message, name=name[:64])
    await _end_session(request)
    request.state.log["user"] = session.user
    response = _redirect(_HOME)
    set_cookie(request, response, token)
    return response


@router.post("/review/sign-out")
async def sign_out(request: Request, _: Annotated[Session, Depends(signed_in)]) -> Response:
    await _end_session(request)
    response = _redirect(f"{SIGN_IN}?notice=signed-out")
    clear_cookie(request, response)
    return response


@router.get(SET_UP)
async def show_set_up(request: Request) -> Response:
    """Looking does not use the link up: programs that preview links look too."""
    return await _set_up_page(request, request.query_params.get("token", ""))


@router.post(SET_UP)
async def set_up(request: Request) -> Response:
    check_origin(request, demanded=True)
    accounts = accounts_of(request)
    form = await read_form(request)
    accounts.count_attempt(request, f"link {form.get('token', '')[:64]}")
    token, password = form.get("token", ""), form.get("password", "")
    try:
        if password != form.get("again"):
            raise _NOT_TWICE
        user = await accounts.hashing(partial(accounts.users.set_up, token, password))
    except Unacceptable as error:
        return await _set_up_page(request, token, error)
    request.state.log["user"] = user.name
    return _redirect(f"{SIGN_IN}?notice=set-up")


@router.get(_ACCOUNT)
async def show_account(request: Request, _: Annotated[Session, Depends(signed_in)]) -> Response:
    return _account_page(request)


@router.post(_ACCOUNT)
async def change_password(request: Request, session: Annotated[Session, Depends(signed_in)]) -> Response:
    accounts = accounts_of(request)
    accounts.count_attempt(request, f"account {session.user}")
    form = await read_form(request)
    old, new = form.get("old", ""), form.get("password", "")
    try:
        if new != form.get("again"):
            raise _NOT_TWICE
        change = partial(accounts.users.change_password, session.user, old, new, session_token(request) or "")
        await accounts.hashing(change)
    except (NotPermitted, Unacceptable) as error:
        return _account_page(request, error)
    return _redirect(f"{_ACCOUNT}?notice=changed")


@router.get("/review/static/{name}")
async def static(request: Request, name: str) -> Response:
    """A file of ours. A browser asks each time whether it has changed, and after an upgrade it has."""
    response = await _static.get_response(name, request.scope)
    response.headers["cache-control"] = "no-cache"
    return response


async def answer_with_page(request: Request, error: Exception) -> Response:
    """An error under /review, to a browser that shows a page; any other goes on to the envelope. To be added as a handler."""
    wants_page = is_page(request.url.path) and "text/html" in request.headers.get("accept", "")
    # A body that is too large is not read on, and a fault of the set-up is logged there.
    if not wants_page or not isinstance(error, DemureError) or isinstance(error, SetupError | TooLarge):
        raise error
    request.state.log["code"] = error.code
    if isinstance(error, SignInRequired):
        return _redirect(SIGN_IN)
    told = problem(error, request.state.request_id)
    response = render(request, "error.html", told["status"], title=told["title"], detail=told["detail"])
    if error.retryable:
        response.headers["retry-after"] = str(60 if error.code == "rate_limited" else RETRY_AFTER_S)
    return response


def announce_set_up(users: Users, base_url: str) -> str | None:
    """A link that makes the first admin, the first time that it is asked for; None where there is one, or a link is out."""
    if users.has_admin():
        return None
    token = users.invite_first("admin", "start")
    return None if token is None else set_up_link(base_url, token)


def set_up_link(base_url: str, token: str) -> str:
    return f"{base_url.rstrip('/')}{SET_UP}?token={token}"


async def _set_up_page(request: Request, token: str, error: DemureError | None = None) -> Response:
    name = await asyncio.to_thread(accounts_of(request).users.invited, token)
    if name is None:
        raise SourceNotFound(
            "this link has been used, is more than a day old, or a newer one was made; ask for another"
        )
    return render(
        request,
        "set_up.html",
        status_of(error) if error else 200,
        name=name,
        token=token,
        error=error.message if error else None,
        min_password=MIN_PASSWORD,
    )


def _account_page(request: Request, error: DemureError | None = None) -> Response:
    return render(
        request,
        "account.html",
        status_of(error) if error else 200,
        notice=_notice(request) if error is None else None,
        error=error.message if error else None,
        min_password=MIN_PASSWORD,
    )


async def _end_session(request: Request) -> None:
    if token := session_token(request):
        await asyncio.to_thread(accounts_of(request).users.sign_out, token)


def _notice(request: Request) -> str | None:
    return _NOTICES.get(request.query_params.get("notice", ""))


def _redirect(path: str) -> RedirectResponse:
    return RedirectResponse(path, 303)
