"""What is kept, for programs: the feed of events, and the forgetting of images."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response

from demure.errors import SourceNotFound
from demure.store import deletion, events
from demure.store.deletion import Fate, forget_subject
from demure.web.openapi import problems
from demure.web.query import read_query
from demure.web.reviews import actor_of, desk_of
from demure.web.schemas import EventFacts, EventPage, ForgetAnswer, storable

router = APIRouter(tags=["records"])

_STORE = ("invalid_request", "storage_unavailable", "storage_full")
KeepMemory = Annotated[bool, Query(description="keep what a person decided, so that copies are answered as before")]


@router.get("/v1/events", responses=problems("any", "invalid_request", "storage_unavailable"))
async def list_events(
    request: Request,
    after: Annotated[int, Query(ge=0, le=2**63 - 1, description="the `next` of the page before")] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> EventPage:
    """What happened, in order: the same that webhooks tell. None is missed by who always asks after the last one seen."""
    desk = desk_of(request)
    found = await desk.run(lambda: desk.database.read(lambda c: events.feed(c, after, limit)))
    return EventPage(events=[EventFacts(**event.as_dict()) for event in found], next=found[-1].id if found else after)


@router.delete("/v1/images/{sha256}", status_code=204, responses=problems("any", "not_found", "conflict", *_STORE))
async def forget(
    request: Request,
    sha256: Annotated[str, Path(pattern="^[0-9a-f]{64}$")],
    keep_memory: KeepMemory = False,
) -> Response:
    """Forget an image: decision, reviews, previews, who sent it, and the verdict by which copies are answered.

    That it was deleted is kept, and when, and by whom. One that was escalated is frozen: `conflict`.
    """
    read_query(request, ("keep_memory",))
    desk, actor = desk_of(request), str(actor_of(request))
    digest = bytes.fromhex(sha256)
    if not await desk.run(lambda: deletion.forget(desk.database, digest, actor, keep_memory=keep_memory)):
        raise SourceNotFound("nothing is known of an image with this SHA-256")
    return Response(status_code=204)


@router.delete("/v1/images", responses=problems("any", *_STORE))
async def forget_all_of(
    request: Request,
    subject: Annotated[str, Query(min_length=1, max_length=256, description="whose images they are, as it was told")],
    keep_memory: KeepMemory = False,
) -> ForgetAnswer:
    """Forget every image that this subject sent. One that others sent as well stays, and is no longer this subject's."""
    read_query(request, ("subject", "keep_memory"))
    desk, actor = desk_of(request), str(actor_of(request))
    fates = await desk.run(lambda: forget_subject(desk.database, storable(subject), actor, keep_memory=keep_memory))
    by_fate = {fate: [one.sha256.hex() for one in fates if one.fate is fate] for fate in Fate}
    return ForgetAnswer(forgotten=by_fate[Fate.DELETED], shared=by_fate[Fate.SHARED], frozen=by_fate[Fate.FROZEN])
