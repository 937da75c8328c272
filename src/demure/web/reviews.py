"""The queue for programs: /v1/reviews. The page for people is review_page.py; both ask the same store."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response

from demure.checker import within
from demure.desk import Desk
from demure.errors import NotPermitted
from demure.keys import Scope
from demure.reviews import Actor, Kind, Order, Review, State, Verdict
from demure.web.admission import admitted, engine_of
from demure.web.engine import Job
from demure.web.openapi import json_body, problems
from demure.web.schemas import (
    ClaimNextRequest,
    ClaimRequest,
    Dispute,
    Item,
    MoveRequest,
    NextReview,
    ReviewDetails,
    ReviewFacts,
    ReviewPage,
    Sender,
    VerdictRequest,
    Who,
)
from demure.web.submission import image_of, read_json

router = APIRouter(tags=["review"])

ReviewId = Annotated[str, Path(pattern="^[0-9a-f]{1,64}$")]
_HIDDEN = NotPermitted("what was escalated is seen by admins alone")
_MOVE = problems("any", "invalid_request", "not_found", "conflict", "storage_unavailable", "storage_full")


@router.get("/v1/reviews", responses=problems("any", "invalid_request", "not_found", "storage_unavailable"))
async def list_reviews(
    request: Request,
    state: State = State.OPEN,
    after: Annotated[str | None, Query(pattern="^[0-9a-f]{1,64}$", description="the `next` of the page before")] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> ReviewPage:
    """The items in one state, the oldest first. Those whose image was escalated are for keys with the scope `admin`."""
    desk, is_admin = desk_of(request), actor_of(request).is_admin
    if state is State.ESCALATED and not is_admin:
        raise _HIDDEN
    found = await desk.run(lambda: desk.reviews.page([state], after, limit, frozen=is_admin))
    return ReviewPage(reviews=[facts_of(r) for r in found], next=found[-1].id if len(found) == limit else None)


@router.post(
    "/v1/reviews",
    response_model=Item,
    status_code=201,
    responses=problems("dispute", "conflict", "storage_full"),
    openapi_extra=json_body(Dispute),
)
async def dispute(request: Request) -> dict[str, Any]:
    """Put an image before a person though it was decided: a `report` of somebody who saw it, an `appeal` of who sent it.

    Answers as an item of `/v1/moderate`, with its place in the queue.
    """
    with admitted(request) as engine:
        body = await within(request.state.deadline, read_json(request, Dispute))
        image = image_of(body)
        wish = image.wish(review=True, kind=Kind(body.kind), note=body.note)
        job = Job(image.source, engine.screener(body.policy, body.context), body.id, wish)
        (screening,) = await engine.judge(request, [job])
    if screening.error is not None:
        raise screening.error
    return screening.as_dict()


@router.post("/v1/reviews/claim", responses=_MOVE)
async def claim_next(request: Request, body: ClaimNextRequest) -> NextReview:
    """Hold the item that comes next: nobody else gets it until the lease ends. Appeals come first, whatever the order."""
    desk, actor = desk_of(request), actor_of(request, body)
    review = await desk.run(lambda: desk.reviews.claim_next(actor, Order(body.order), body.lease_s))
    return NextReview(review=None if review is None else await _details(desk, review))


@router.get("/v1/reviews/{id}", responses=problems("any", "invalid_request", "not_found", "storage_unavailable"))
async def get_review(request: Request, id: ReviewId) -> ReviewDetails:
    """One item, with those who sent it."""
    desk, actor = desk_of(request), actor_of(request)
    return await _details(desk, await desk.run(lambda: desk.reviews.shown(id, actor)))


@router.get(
    "/v1/reviews/{id}/pictures/{number}",
    response_class=Response,
    responses={
        200: {"content": {"image/jpeg": {}}},
        **problems("any", "invalid_request", "not_found", "storage_unavailable"),
    },
)
async def get_picture(request: Request, id: ReviewId, number: Annotated[int, Path(ge=0, le=64)]) -> Response:
    """A small picture of an item: 0 is the worst frame. That it was looked at is written into the audit log."""
    desk, actor = desk_of(request), actor_of(request)
    picture = await desk.run(lambda: desk.reviews.preview(id, number, actor))
    return Response(picture.data, media_type=picture.type, headers={"cache-control": "no-store"})


@router.post("/v1/reviews/{id}/claim", responses=_MOVE)
async def claim(request: Request, id: ReviewId, body: ClaimRequest) -> ReviewDetails:
    """Hold an item, or hold it longer."""
    desk, actor = desk_of(request), actor_of(request, body)
    return await _details(desk, await desk.run(lambda: desk.reviews.claim(id, actor, body.lease_s)))


@router.post("/v1/reviews/{id}/verdict", responses=_MOVE)
async def settle(request: Request, id: ReviewId, body: VerdictRequest) -> ReviewFacts:
    """A person's verdict. The same image is answered by it from now on."""
    desk, actor, verdict = desk_of(request), actor_of(request, body), Verdict(body.verdict)
    return facts_of(await desk.run(lambda: desk.reviews.settle(id, actor, verdict, body.version, body.note)))


@router.post("/v1/reviews/{id}/skip", responses=_MOVE)
async def skip(request: Request, id: ReviewId, body: MoveRequest) -> ReviewFacts:
    """Pass an item on to others."""
    desk, actor = desk_of(request), actor_of(request, body)
    return facts_of(await desk.run(lambda: desk.reviews.skip(id, actor, body.version)))


@router.post("/v1/reviews/{id}/undo", responses=_MOVE)
async def undo(request: Request, id: ReviewId, body: MoveRequest) -> ReviewFacts:
    """Take a verdict back, within the time that the operator gave (DEMURE_REVIEW_UNDO_S)."""
    desk, actor = desk_of(request), actor_of(request, body)
    return facts_of(await desk.run(lambda: desk.reviews.undo(id, actor, body.version)))


@router.post("/v1/reviews/{id}/escalate", responses=_MOVE)
async def escalate(request: Request, id: ReviewId, body: MoveRequest) -> ReviewFacts:
    """Hide and freeze an item until an admin releases it."""
    desk, actor = desk_of(request), actor_of(request, body)
    return facts_of(await desk.run(lambda: desk.reviews.escalate(id, actor, body.version, body.note)))


@router.post("/v1/reviews/{id}/release", responses=_MOVE)
async def release(request: Request, id: ReviewId, body: MoveRequest) -> ReviewFacts:
    """Put an escalated item back into the queue; for keys with the scope `admin`."""
    desk, actor = desk_of(request), actor_of(request, body)
    return facts_of(await desk.run(lambda: desk.reviews.release(id, actor, body.version)))


def desk_of(request: Request) -> Desk:
    return engine_of(request).desk


def facts_of(review: Review) -> ReviewFacts:
    return ReviewFacts(**_fields(review))


async def _details(desk: Desk, review: Review) -> ReviewDetails:
    senders, pictures = await desk.run(
        lambda: (desk.reviews.senders(review), [number for number, *_ in desk.reviews.pictures(review.id)])
    )
    return ReviewDetails(
        **_fields(review),
        submissions=[Sender(**one) for one in senders.first],
        submissions_total=senders.total,
        pictures=pictures,
    )


def _fields(review: Review) -> dict[str, Any]:
    return {
        **{name: getattr(review, name) for name in ("id", "state", "version", "priority", "note", "claimed_by")},
        "kind": review.told_kind,
        **{name: getattr(review, name) for name in ("sha256", "verdict", "verdict_by", "verdict_note")},
        **vars(review.judgement),
        "opened": iso(review.opened_ms),
        "claimed_until": iso(review.claimed_until_ms),
        "verdict_at": iso(review.verdict_ms),
    }


def iso(ms: int | None) -> Any:
    """ISO 8601 in UTC, to the millisecond."""
    return None if ms is None else datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds")


def actor_of(request: Request, body: Who | None = None) -> Actor:
    """The key, and which of the site's people, if it says so."""
    key = request.state.key
    reviewer = f"/{body.reviewer}" if body is not None and body.reviewer else ""
    return Actor(f"key:{key.name}{reviewer}", is_admin=key.may(Scope.ADMIN))
