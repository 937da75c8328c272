"""What a door passes on to be judged, and the words that its own contract lacks: they may stand in the query."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any

from pydantic import BaseModel, Field, ValidationError
from starlette.requests import Request

from demure.checker import Url
from demure.errors import TooLarge
from demure.screening import Screening
from demure.web.api import log_fields
from demure.web.engine import Engine
from demure.web.problems import KeyRequired, RequestError
from demure.web.query import read_of_query
from demure.web.schemas import Name
from demure.web.submission import Image, Submission, check_kept, describe

MAX_TEXTS = 100  # fields of a form that are no files
_MAX_NAME_CHARS = 256


class Asked(BaseModel):
    """As with the bytes of one image at /v1/moderate. What else stands in the query is the caller's own."""

    policy: str | None = Field(None, description="the policy's name")
    context: Annotated[str, Field(max_length=64)] | None = Field(
        None, description="what it is for, to choose the policy by (DEMURE_CONTEXTS)"
    )
    id: Name | None = Field(
        None, description="your own name for the image, of several with -1, -2 and so on; without it, a file's is taken"
    )
    subject: Name | None = Field(None, description="whose it is, to find it when it is to be forgotten")
    review: bool = Field(False, description="true asks a person where the machine cannot tell")
    keep: bool = Field(True, description="false leaves nothing of it in the database; not with review")

    def image(self, source: Url | bytes | RequestError, name: str | None = None) -> Image:
        return Image(source, self.id or (name or "")[:_MAX_NAME_CHARS] or None, subject=self.subject)


QUERY: list[dict[str, Any]] = [
    {"name": name, "in": "query", "required": False, "schema": {"type": "string"}, "description": field.description}
    for name, field in Asked.model_fields.items()
]


def read_asked(request: Request) -> Asked:
    """Raises RequestError for a value that does not fit or is there twice, and KeyRequired for a review without a key."""
    try:
        found = read_of_query(request, Asked.model_fields)
        asked = Asked.model_validate({name: value for name, value in found.items() if value})
    except ValidationError as error:
        raise RequestError(describe(error)) from error
    check_kept(review=asked.review, keep=asked.keep)
    if asked.review and not hasattr(request.state, "key"):
        raise KeyRequired("review: a key is needed to ask people; make one with `demure keys create`")
    return asked


def media_type_of(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def judged(request: Request, engine: Engine, images: list[Image], asked: Asked) -> list[Screening]:
    """The answers of /v1/moderate, in their order. Raises TooLarge, UnknownPolicy and Overloaded for all together."""
    most = engine.settings.max_items
    if len(images) > most:
        raise TooLarge(f"{len(images)} images; the limit is {most} (max_items); send fewer")
    if asked.id and len(images) > 1:  # each has a name of its own
        images = [replace(image, id=f"{asked.id}-{number}") for number, image in enumerate(images, 1)]
    jobs = Submission(images, asked.policy, asked.context, asked.review, asked.keep).jobs(engine)
    request.state.places.grow(len(jobs) - 1)  # one is held since before the body was read
    screenings = await engine.judge(request, jobs)
    request.state.log.update(log_fields(jobs, screenings))
    return screenings
