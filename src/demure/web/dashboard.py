"""How the queue is doing, for those who review; and for admins what is frozen, and what the site could not be told."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any
from urllib.parse import urlsplit

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import RedirectResponse, Response

from demure.accounts import Session
from demure.checks import SpotChecks
from demure.evaluation.shares import at_least, at_most, given_percent, percent
from demure.evaluation.standing import DAYS, default_of, known_to_all
from demure.reviews import Kind, Review, State
from demure.store.custody import Escalation, escalations
from demure.store.events import DeadLetter, dead_letters
from demure.store.figures import HOURS, escalated, figures
from demure.store.schema import DAY_MS
from demure.web.facts import duration
from demure.web.problems import RequestError
from demure.web.review_page import AtDesk, ReviewId, SignedIn, desk_of, procedure
from demure.web.sessions import read_form, require_admin
from demure.web.templates import render

_PAGE = 50  # items
_DEAD_LETTERS = 20
_SENDERS = 5  # named
_ESCALATED = "/review/escalated"
_KINDS = {Kind.UNKNOWN: "undecided", Kind.REPORT: "reported", Kind.APPEAL: "appealed"}

router = APIRouter(prefix="/review", include_in_schema=False)

Admin = Annotated[Session, Depends(require_admin)]


@router.get("/dashboard")
def show_dashboard(request: Request, session: SignedIn, desk: AtDesk) -> Response:
    now_ms = desk.database.now_ms()
    policies = request.app.state.policies
    default = default_of(policies, desk.settings)
    found, known = desk.database.read(
        lambda c: (figures(c, now_ms, str(session.actor)), known_to_all(c, now_ms, policies, default))
    )
    frozen, letters = (0, list[DeadLetter]())
    if session.is_admin:
        frozen, letters = desk.database.read(lambda c: (escalated(c), dead_letters(c, _DEAD_LETTERS)))
    oldest = found.waiting.oldest_ms
    return render(
        request,
        "dashboard.html",
        figures=found,
        kinds=[(_KINDS[kind], count) for kind, count in found.waiting.by_kind.items()],
        standings=known.standings,
        checks_are_on=desk.settings.spot_checks != SpotChecks(),
        known_days=DAYS,
        known_until=_date(known.before_ms - DAY_MS)[:10],
        is_behind=known.before_ms < now_ms // DAY_MS * DAY_MS,
        percent=percent,
        given_percent=given_percent,
        at_least=at_least,
        at_most=at_most,
        oldest=None if oldest is None else duration(oldest),
        alert=desk.settings.review_alert,
        hours=[_clock(now_ms - number * 3_600_000) for number in reversed(range(HOURS))],
        escalated=frozen,
        letters=[_letter(letter) for letter in letters],
        now=_date(now_ms),
    )


@router.get("/escalated")
def show_escalated(
    request: Request,
    _: Admin,
    desk: AtDesk,
    after: Annotated[str | None, Query(max_length=64)] = None,
) -> Response:
    frozen = desk.reviews.page([State.ESCALATED], after, _PAGE)
    who = desk.database.read(lambda c: escalations(c, frozen))
    return render(
        request,
        "escalated.html",
        items=[_frozen(review, who.get(review.id), desk.reviews.submissions(review)) for review in frozen],
        next=frozen[-1].id if len(frozen) == _PAGE else None,
        procedure=procedure(desk),
    )


@router.post("/{id}/release")
async def release(request: Request, id: ReviewId, session: Admin) -> Response:
    version = (await read_form(request)).get("version", "")
    if not version.isdecimal() or len(version) > 9:
        raise RequestError("version: expected the number of the version that was looked at")
    desk = desk_of(request)
    await desk.run(lambda: desk.reviews.release(id, session.actor, int(version)))
    return RedirectResponse(_ESCALATED, 303)


def _frozen(review: Review, escalation: Escalation | None, senders: list[dict[str, Any]]) -> dict[str, Any]:
    named = [sender for sender in senders if sender["id"] or sender["subject"]]
    return {
        "id": review.id,
        "sha256": review.sha256,
        "version": review.version,
        "kind": _KINDS[review.told_kind],
        "opened": _date(review.opened_ms),
        "by": escalation.by.removeprefix("user:") if escalation else None,
        "at": _date(escalation.at_ms) if escalation else None,
        "note": review.verdict_note,
        "senders": named[:_SENDERS],
        "more": max(0, len(named) - _SENDERS),
    }


def _letter(letter: DeadLetter) -> dict[str, Any]:
    # Of the address only whom it leads to: the rest may be a secret.
    return {
        "type": letter.event.type,
        "id": letter.event.id,
        "host": urlsplit(letter.endpoint).hostname or "",
        "attempts": letter.attempts,
        "failure": letter.failure,
        "died": _date(letter.died_ms),
    }


def _date(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M")


def _clock(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%H:00")
