"""Pages from the templates beside this file. Everything that is put into one is escaped."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse


def render(request: Request, name: str, /, status: int = 200, **context: Any) -> HTMLResponse:
    """A page. It also knows `session`, or None where nobody is signed in, and `path`, for the link to where we are."""
    session = getattr(request.state, "session", None)
    page = _environment().get_template(name)
    return HTMLResponse(page.render(session=session, path=request.url.path, **context), status)


@cache
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
