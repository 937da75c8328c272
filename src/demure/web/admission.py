"""What routes ask of a request before their own work: the engine, and a place among the images at work.

Plain calls: the framework's dependencies took as long as all else of refusing a request.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from fastapi import Request

from demure.deadline import Deadline
from demure.web.engine import Engine


def engine_of(request: Request) -> Engine:
    engine: Engine = request.app.state.engine
    return engine


@contextmanager
def admitted(request: Request) -> Iterator[Engine]:
    """A place for one image, before a byte of the body is read, until the answer is made. Raises Overloaded."""
    engine = engine_of(request)
    with engine.workers.admit() as places:
        request.state.places = places
        request.state.deadline = Deadline(engine.settings.request_timeout_s)
        yield engine
