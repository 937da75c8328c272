"""A request's query. A wish that stands in it twice, or where it is not read, is refused: who asked would take it for granted."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from starlette.requests import Request

from demure.web.problems import RequestError

_TOLD_CHARS = 64


def read_query(request: Request, known: Collection[str]) -> dict[str, str]:
    """Raises RequestError for what is not known, or is there twice."""
    for name in request.query_params:
        if name not in known:
            raise RequestError(f"{name[:_TOLD_CHARS]}: not known in the query; expected {', '.join(known) or 'none'}")
    return read_of_query(request, known)


def read_of_query(request: Request, known: Collection[str]) -> dict[str, str]:
    """As read_query, where what else stands there is the caller's own."""
    found: dict[str, str] = {}
    for name, value in request.query_params.multi_items():
        if name in found:
            raise RequestError(f"{name}: it stands twice in the query; send it once")
        if name in known:
            found[name] = value
    return found


def refuse_in_query(request: Request, places: Mapping[str, str]) -> None:
    """Where no query is read. `places` tells of each name where it belongs. Raises RequestError."""
    for name in request.query_params:
        if name in places:
            raise RequestError(f"{name}: found in the query, which is not read here; it belongs {places[name]}")
    read_query(request, ())
