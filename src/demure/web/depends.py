"""What routes ask of a request before their own work: the engine, and a place among the images at work."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends, Request

from demure.deadline import Deadline
from demure.web.engine import Engine


async def engine_of(request: Request) -> Engine:  # not async, it would be called in a thread
    engine: Engine = request.app.state.engine
    return engine


EngineOf = Annotated[Engine, Depends(engine_of)]


async def admit(request: Request, engine: EngineOf) -> AsyncIterator[None]:
    """A place for one image, before a byte of the body is read. Raises Overloaded."""
    with engine.workers.admit() as places:
        request.state.places = places
        request.state.deadline = Deadline(engine.settings.request_timeout_s)
        yield


ADMITTED = Depends(admit)
