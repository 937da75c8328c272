"""/review, the page for people: one picture, one verdict, and only then what the machine had thought.

The browser is given pieces of HTML and the version of each item; what may happen to an item is decided in reviews.py. The API
for programs is reviews.py beside this.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.responses import JSONResponse, Response

from demure.accounts import Session
from demure.desk import Desk
from demure.errors import Conflict, NotPermitted, SourceNotFound
from demure.reviews import Order, Review, State, Verdict
from demure.store.custody import held_by
from demure.store.figures import escalated
from demure.web.facts import Facts, facts_of, thought_of
from demure.web.schemas import storable
from demure.web.sessions import signed_in
from demure.web.templates import render

MOST_HELD = 8  # items at once, of one reviewer: the one that is shown, the next, and what was taken back
DEFAULT_PROCEDURE = """\
Stop looking at it. Do not copy, save, print or forward it, not even as evidence.
Tell the operator of this service, or whom the operator named, and nobody else.
What has to be done now, to whom it is to be reported and how soon, is a matter of the law where you and the operator are.
The operator can put their own procedure here (DEMURE_ESCALATION_TEXT)."""

router = APIRouter(prefix="/review", include_in_schema=False)


def desk_of(request: Request) -> Desk:
    desk: Desk = request.app.state.desk
    return desk


async def _desk(request: Request) -> Desk:
    return desk_of(request)


AtDesk = Annotated[Desk, Depends(_desk)]
SignedIn = Annotated[Session, Depends(signed_in)]
ReviewId = Annotated[str, Path(pattern="^[0-9a-f]{1,64}$")]


class _Wire(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Preferences(_Wire):
    """How a reviewer likes the page."""

    order: Order = Order.OLDEST
    blur: Annotated[int, Field(ge=8, le=80)] = 28  # CSS pixels
    grey: bool = True
    light: bool = False
    keys: bool = True  # WCAG 2.2, 2.1.4: keys of one character can be turned off


class Shown(_Wire):
    """What the page has already."""

    have: Annotated[list[Annotated[str, Field(max_length=64)]], Field(max_length=MOST_HELD)] = []


class Seen(_Wire):
    """The version of the item that was looked at."""

    version: int


class Judging(Seen):
    verdict: Verdict


class Escalating(Seen):
    note: Annotated[str, Field(max_length=2000)] = ""


@router.get("")
def show(request: Request, session: SignedIn, desk: AtDesk) -> Response:
    preferences = _preferences(session)
    return render(
        request,
        "review.html",
        item=_item_or_none(desk, session, ()),
        preferences=preferences,
        orders=Order,
        lease_s=desk.reviews.times.lease_s,
        break_minutes=desk.settings.review_break_minutes,
        procedure=procedure(desk),
        escalated=desk.database.read(escalated) if session.is_admin else 0,
    )


@router.post("/next")
def claim_next(request: Request, shown: Shown, session: SignedIn, desk: AtDesk) -> Response:
    item = _item_or_none(desk, session, shown.have)
    return Response(status_code=204) if item is None else render(request, "_item.html", item=item)


@router.post("/preferences")
def keep_preferences(preferences: Preferences, session: SignedIn, desk: AtDesk) -> Response:
    desk.users.set_preferences(session.user, {**session.preferences, **preferences.model_dump(mode="json")})
    return Response(status_code=204)


@router.get("/{id}/picture/{number}")
def picture(id: ReviewId, number: Annotated[int, Path(ge=0, le=64)], session: SignedIn, desk: AtDesk) -> Response:
    """For who holds the item, or an admin; for nobody while it is escalated. The store notes that it was seen."""
    review = desk.reviews.get(id)
    if review.holder(desk.database.now_ms()) != str(session.actor) and not session.is_admin:
        raise NotPermitted("only who holds this review sees its picture")
    preview = desk.reviews.preview(id, number, session.actor)
    # The type is ours and not the row's: a preview is never anything else.
    return Response(preview.data, media_type="image/jpeg", headers={"cache-control": "no-store"})


@router.post("/{id}/hold")
def hold(id: ReviewId, session: SignedIn, desk: AtDesk) -> Response:
    """The lease begins anew; the item's version is another then."""
    return JSONResponse({"version": desk.reviews.claim(id, session.actor).version})


@router.post("/{id}/settle")
def settle(request: Request, id: ReviewId, said: Judging, session: SignedIn, desk: AtDesk) -> Response:
    try:
        review = desk.reviews.settle(id, session.actor, said.verdict, said.version)
    except Conflict:
        review = _said_before(desk, id, said, session)
    now_ms = desk.database.now_ms()
    desk.memory.refresh()
    return render(request, "_thought.html", thought=thought_of(review, desk.memory.near_copies(review), now_ms))


@router.post("/{id}/skip")
def skip(id: ReviewId, seen: Seen, session: SignedIn, desk: AtDesk) -> Response:
    desk.reviews.skip(id, session.actor, seen.version)
    return Response(status_code=204)


@router.post("/{id}/escalate")
def escalate(request: Request, id: ReviewId, said: Escalating, session: SignedIn, desk: AtDesk) -> Response:
    """There is no verdict, and so nothing is told of what the machine thought."""
    desk.reviews.escalate(id, session.actor, said.version, storable(said.note.strip()) or None)
    return render(request, "_escalated.html", procedure=procedure(desk))


@router.post("/{id}/undo")
def undo(request: Request, id: ReviewId, seen: Seen, session: SignedIn, desk: AtDesk) -> Response:
    review = desk.reviews.undo(id, session.actor, seen.version)
    return render(request, "_item.html", item=_facts(desk, review))


def procedure(desk: Desk) -> str:
    """What to do about an escalated item: the operator's text."""
    return desk.settings.escalation_text.strip() or DEFAULT_PROCEDURE


def _preferences(session: Session) -> Preferences:
    known = {name: value for name, value in session.preferences.items() if name in Preferences.model_fields}
    try:
        return Preferences.model_validate(known)
    except ValidationError:  # of another version; nothing is lost that a slider does not bring back
        return Preferences()


def _item_or_none(desk: Desk, session: Session, have: Any) -> Facts | None:
    """One that the reviewer holds and the page has not: after a reload it is there again. Or else the next."""
    actor = session.actor
    held = desk.database.read(lambda c: held_by(c, actor, desk.database.now_ms(), MOST_HELD))
    for mine in held:
        if mine not in have:
            try:
                return _facts(desk, desk.reviews.claim(mine, actor))
            except (Conflict, SourceNotFound):  # the lease ended, or the item is gone
                continue
    if len(held) >= MOST_HELD:
        return None
    review = desk.reviews.claim_next(actor, _preferences(session).order)
    return None if review is None else _facts(desk, review)


def _facts(desk: Desk, review: Review) -> Facts:
    senders = len(desk.reviews.submissions(review))
    return facts_of(review, desk.reviews.pictures(review.id), senders, desk.database.now_ms())


def _said_before(desk: Desk, id: str, said: Judging, session: Session) -> Review:
    """The same verdict by the same person on the same version: its answer was lost on the way. Raises Conflict otherwise."""
    review = desk.reviews.shown(id, session.actor)
    mine = review.verdict_by == str(session.actor) and review.verdict is said.verdict
    if review.state is State.SETTLED and mine and review.version == said.version + 1:
        return review
    raise Conflict("somebody else was first, or this item is not yours any more; your verdict was not recorded")
