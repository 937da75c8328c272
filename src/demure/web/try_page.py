"""/, where one tries it: drop a picture, and see what the service says of it.

A shell that is the same for everybody and tells nothing of this service but its limits. What the page asks, its script asks at
/v1 with a key where one is needed, as any other client does (auth.py).
"""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from demure.web.admission import engine_of
from demure.web.templates import render

router = APIRouter(include_in_schema=False)


@router.head("/")
@router.get("/")
async def show(request: Request) -> Response:
    settings = engine_of(request).settings
    return render(request, "try.html", max_items=settings.max_items, max_image_bytes=settings.max_image_bytes)
