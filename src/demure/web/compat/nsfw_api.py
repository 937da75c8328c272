"""`POST /classify` and `POST /classify-many`: nsfwjs as a service.

The contract: arnidan/nsfw-api, README.md (0155c89), src/controllers/NsfwController.ts and src/NsfwImageClassifier.ts (5fa4b71).

An answer is scores and nothing else, and one image that cannot be judged fails the whole, as there. Ours differs in that what is
a 500 there has a status of its own, and that as many images are taken as by /v1/moderate, and not ten.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from typing import Any

from fastapi import APIRouter, Request
from starlette.datastructures import FormData, UploadFile
from starlette.responses import JSONResponse

from demure.checker import within
from demure.errors import DemureError
from demure.screening import Screening
from demure.web.admission import admitted
from demure.web.compat.asked import MAX_TEXTS, QUERY, Asked, judged, media_type_of, read_asked
from demure.web.compat.nsfwjs import CLASSES, probabilities
from demure.web.compat.refusals import described
from demure.web.form import read_form
from demure.web.problems import RequestError
from demure.web.submission import Image

router = APIRouter(tags=["calls of other programs"])

_BINARY = {"type": "string", "format": "binary"}
_SCORES = {"type": "object", "properties": {name.lower(): {"type": "number"} for name in CLASSES.values()}}
_REFUSAL = {"type": "object", "properties": {"error": {"type": "string"}}}


def refusal(problem: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
    """410 is what a request without an image is answered there."""
    status = 410 if problem["code"] in ("invalid_request", "unsupported_media_type") else problem["status"]
    return status, {"error": problem["detail"]}


def _documented(field: str, files: Mapping[str, Any], answer: Mapping[str, Any]) -> dict[str, Any]:
    form = {"type": "object", "properties": {field: files}, "required": [field]}
    return {
        "responses": {
            200: {"description": "The likeliest first", "content": {"application/json": {"schema": answer}}},
            **described(refusal, _REFUSAL),
        },
        "openapi_extra": {
            "parameters": QUERY,
            "requestBody": {"required": True, "content": {"multipart/form-data": {"schema": form}}},
        },
    }


@router.post("/classify", **_documented("image", _BINARY, _SCORES))
async def classify(request: Request) -> JSONResponse:
    """Five scores for the file in the field `image`, as nsfw-api answers them."""
    screenings = await _judged(request, "image", most=1)
    return _answer(screenings, _scores(screenings)[0])


@router.post(
    "/classify-many", **_documented("images", {"type": "array", "items": _BINARY}, {"type": "array", "items": _SCORES})
)
async def classify_many(request: Request) -> JSONResponse:
    """The same for each file in the field `images`, in their order. One that cannot be judged fails all."""
    screenings = await _judged(request, "images")
    return _answer(screenings, _scores(screenings))


async def _judged(request: Request, field: str, most: int | None = None) -> list[Screening]:
    with admitted(request) as engine:
        asked = read_asked(request)
        images = await within(request.state.deadline, _read_images(request, field, asked))
        if most is not None and len(images) > most:
            raise RequestError(f"{len(images)} files in the field {field}; send {most}, or ask /classify-many")
        return await judged(request, engine, images, asked)


async def _read_images(request: Request, field: str, asked: Asked) -> list[Image]:
    if media_type_of(request) != "multipart/form-data":
        raise _missing(field)
    async with read_form(request, MAX_TEXTS) as form:
        return [asked.image(await file.read(), file.filename) for file in _files(form, field)]


def _files(form: FormData, field: str) -> list[UploadFile]:
    """Raises RequestError where there is none, and for one in another field: it would seem to be judged."""
    files = [(name, value) for name, value in form.multi_items() if isinstance(value, UploadFile)]
    if not files:
        raise _missing(field)
    for name, _ in files:
        if name != field:
            raise RequestError(f"Specify {field}: a file came in the field {name[:64]!r}")
    return [file for _, file in files]


def _missing(field: str) -> RequestError:
    return RequestError(f"Specify {field}")


def _scores(screenings: list[Screening]) -> list[dict[str, float]]:
    """Raises the first error that there is, telling which image it is of several."""
    for number, screening in enumerate(screenings, 1):
        if screening.error is not None:
            raise screening.error if len(screenings) == 1 else _numbered(screening.error, number)
    return [{name.lower(): value for name, value in probabilities(each).items()} for each in screenings]


def _numbered(error: DemureError, number: int) -> DemureError:
    numbered = copy(error)
    numbered.message = f"image {number}: {error.message}"
    return numbered


def _answer(screenings: list[Screening], scores: object) -> JSONResponse:
    """With the decisions in a header, for who can read it: among the scores there is no place for them."""
    return JSONResponse(scores, headers={"demure-decision": ", ".join(str(each.decision) for each in screenings)})
