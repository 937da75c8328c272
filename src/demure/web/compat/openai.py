"""`POST /v1/moderations`: OpenAI's moderation, of images.

The contract: openai/openai-python 3.54.0, types/moderation*.py, and _exceptions.py for its errors. That a request carries one
image, and how another is refused: an answer of OpenAI's, quoted in antiwork/gumroad#4709.

It has no third state, and it knows text. What cannot be judged here is an error, therefore, and never "not flagged".
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, BeforeValidator
from pydantic_core import PydanticCustomError
from starlette.responses import JSONResponse

from demure.checker import within
from demure.policy import Outcome
from demure.screening import Screening
from demure.web.admission import admitted
from demure.web.compat.asked import QUERY, Asked, judged, media_type_of, read_asked
from demure.web.compat.nsfwjs import is_verdict
from demure.web.compat.refusals import described
from demure.web.problems import RequestError, UnsupportedMediaType
from demure.web.schemas import ModerateItem
from demure.web.submission import Image, image_of, read_json

router = APIRouter(tags=["calls of other programs"])

# Nothing but the first is looked at; of the others, empty lists of input types say so.
SEXUAL = "sexual"
OTHERS = (
    *("harassment", "harassment/threatening", "hate", "hate/threatening", "illicit", "illicit/violent"),
    *("self-harm", "self-harm/instructions", "self-harm/intent", "sexual/minors", "violence", "violence/graphic"),
)
_MAX_PARTS = 100  # of which one is judged: up to here a message can say what is wrong with them
_SEND_ONE = "send 1 a request, or ask /v1/moderate"
# What a person decided has no score, or another; what was escalated has none.
_VERDICT = {Outcome.ADULT: 1.0, Outcome.UNKNOWN: 0.5, Outcome.SAFE: 0.0}


class ImageUrl(BaseModel):
    """http, https, or data: with base64."""

    url: str


class Part(BaseModel):
    """One of the input's list."""

    type: Literal["image_url", "text"]
    image_url: ImageUrl | None = None


def _as_parts(given: object) -> object:
    """A string, alone or in the list, is text. A list that is far too long is refused before anything is made of it."""
    if isinstance(given, str):
        given = [given]
    if not isinstance(given, list):
        return given
    if len(given) > _MAX_PARTS:
        raise PydanticCustomError("parts", f"the number of parts is {len(given)}; {_SEND_ONE}")
    return [{"type": "text"} if isinstance(one, str) else one for one in given]


class ModerationsRequest(BaseModel):
    """What else a client sends changes nothing, `model` among it."""

    input: Annotated[list[Part], BeforeValidator(_as_parts)]


class Result(BaseModel):
    """`flagged` is true where the decision is `adult`. The last four are ours: OpenAI's answer has no words for them."""

    flagged: bool
    categories: dict[str, bool]
    category_scores: dict[str, float]
    category_applied_input_types: dict[str, list[str]]
    decision: Literal["adult", "unknown", "safe"]
    reason: str
    sha256: str | None
    review: dict[str, str] | None


class ModerationsAnswer(BaseModel):
    """One result, for there is one image."""

    id: str
    model: str
    results: list[Result]


_PART = {
    "type": "object",
    "properties": {"type": {"const": "image_url"}, "image_url": ImageUrl.model_json_schema()},
    "required": ["type", "image_url"],
}
_BODY = {
    "type": "object",
    "properties": {
        "input": {"type": "array", "items": _PART, "minItems": 1, "maxItems": 1},
        "model": {"type": "string", "description": "not heeded; the answer names the model that was asked"},
    },
    "required": ["input"],
}
_ERROR = {
    "type": "object",
    "properties": {
        "message": {"type": "string"},
        "type": {"type": "string"},
        "param": {"type": ["string", "null"]},
        "code": {"type": "string"},
    },
}


def refusal(problem: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
    """400 for an image or a URL that gave nothing, as there: the client raises its BadRequestError, and does not ask again."""
    status, code = problem["status"], problem["code"]
    if status in (413, 415, 422) or code.startswith("upstream_"):
        status = 400
    kind = "server_error" if status >= 500 else "requests" if status == 429 else "invalid_request_error"
    param = "input" if status == 400 else None
    return status, {"error": {"message": problem["detail"], "type": kind, "param": param, "code": code}}


@router.post(
    "/v1/moderations",
    response_model=ModerationsAnswer,
    responses=described(refusal, {"type": "object", "properties": {"error": _ERROR}}),
    openapi_extra={
        "parameters": QUERY,
        "requestBody": {"required": True, "content": {"application/json": {"schema": _BODY}}},
    },
)
async def moderations(request: Request) -> JSONResponse:
    """Judge one image as OpenAI's client asks for it. `flagged` is whether the decision is `adult`: false is not yet `safe`."""
    with admitted(request) as engine:
        asked = read_asked(request)
        image = await within(request.state.deadline, _read_image(request, asked))
        (screening,) = await judged(request, engine, [image], asked)
        if screening.error is not None:
            raise screening.error
        return JSONResponse(
            {"id": f"modr-{secrets.token_hex(12)}", "model": engine.settings.model, "results": [_result(screening)]}
        )


async def _read_image(request: Request, asked: Asked) -> Image:
    media_type = media_type_of(request)
    if media_type != "application/json":
        raise UnsupportedMediaType(f"the content type is {media_type or 'not given'}; expected application/json")
    url = _url_of((await read_json(request, ModerationsRequest)).input)
    item = ModerateItem.model_validate({"base64" if url[:5].lower() == "data:" else "url": url})
    # Megabytes of base64 are decoded in a thread, so that others are answered meanwhile.
    return asked.image((await asyncio.to_thread(image_of, item)).source)


def _url_of(parts: list[Part]) -> str:
    """Raises RequestError for what is not one image. Text beside an image is not left out: it would seem to be judged."""
    if any(part.type == "text" for part in parts):
        raise RequestError(
            "input: text is not judged here; send one part of type image_url alone, and the text elsewhere"
        )
    if len(parts) != 1:
        raise RequestError(f"input: the number of images is {len(parts)}; {_SEND_ONE}")
    (part,) = parts
    if part.image_url is None:
        raise RequestError("input.0.image_url: expected an object with a url")
    return part.image_url.url


def _result(screening: Screening) -> dict[str, Any]:
    flagged, item = screening.decision is Outcome.ADULT, screening.as_dict()
    return {
        "flagged": flagged,
        "categories": {**dict.fromkeys(OTHERS, False), SEXUAL: flagged},
        "category_scores": {**dict.fromkeys(OTHERS, 0.0), SEXUAL: _score(screening)},
        "category_applied_input_types": {**{name: [] for name in OTHERS}, SEXUAL: ["image"]},
        "decision": item["decision"],
        "reason": item["reason"],
        "sha256": item["sha256"],
        "review": item.get("review"),
    }


def _score(screening: Screening) -> float:
    if screening.score is None or is_verdict(screening):
        return _VERDICT[screening.decision]
    return screening.score
