"""`POST /v1/detect-images`: Misskey's detector of sensitive media.

The contract: misskey-dev/sensitive-detector, docs/api-detect-images.md (bee8566) and apps/server/src/routes/detect-images.ts
(e2b7035). Who asks: misskey-dev/misskey, packages/backend/src/core/SensitiveMediaDetectionService.ts (85c64ee), since its #17570.

Ours differs in that the type which a part claims is not believed, and that every type is taken which is read here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Request
from starlette.datastructures import UploadFile
from starlette.responses import JSONResponse

from demure.checker import within
from demure.errors import DemureError
from demure.screening import Screening
from demure.web.admission import admitted
from demure.web.compat.asked import MAX_TEXTS, QUERY, Asked, judged, media_type_of, read_asked
from demure.web.compat.nsfwjs import CLASSES, probabilities
from demure.web.compat.refusals import described
from demure.web.form import read_form
from demure.web.problems import RequestError, UnsupportedMediaType
from demure.web.submission import Image

router = APIRouter(tags=["calls of other programs"])

_CODES = {
    "key_required": "AUTHENTICATION_REQUIRED",
    "not_permitted": "AUTHENTICATION_REQUIRED",
    "invalid_request": "INVALID_REQUEST",
    "unknown_policy": "INVALID_REQUEST",
    "method_not_allowed": "INVALID_REQUEST",
    "empty_body": "INVALID_REQUEST",
    "unsupported_media_type": "UNSUPPORTED_MEDIA_TYPE",
    "unsupported_format": "UNSUPPORTED_MEDIA_TYPE",
    "too_large": "REQUEST_TOO_LARGE",
    "too_many_pixels": "REQUEST_TOO_LARGE",
    "too_many_frames": "REQUEST_TOO_LARGE",
    "not_an_image": "IMAGE_DECODE_FAILED",
    "undecodable": "IMAGE_DECODE_FAILED",
}
_ANY_OTHER = "DETECTION_FAILED"


def _object(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": [*properties]}


_TEXT = {"type": "string"}
_REFUSAL = _object(success={"const": False}, error=_object(code=_TEXT, message=_TEXT))
_FOUND = _object(
    success={"const": True},
    predictions={
        "type": "array",
        "items": _object(className={"enum": [*CLASSES.values()]}, probability={"type": "number"}),
    },
    decision={"enum": ["adult", "unknown", "safe"]},
    reason=_TEXT,
)
_ANSWER = _object(
    success={"const": True}, result=_object(results={"type": "array", "items": {"oneOf": [_FOUND, _REFUSAL]}})
)
_FORM = {
    "type": "object",
    "minProperties": 1,
    "additionalProperties": {"type": "string", "format": "binary"},
    "description": "an image in each part, under any name",
}


def refusal(problem: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
    """An error of the request as a whole."""
    return problem["status"], {"success": False, "error": _error(problem["code"], problem["detail"])}


def _error(code: str, message: str) -> dict[str, str]:
    return {"code": _CODES.get(code, _ANY_OTHER), "message": message}


@router.post(
    "/v1/detect-images",
    responses={
        200: {"description": "A result for each part", "content": {"application/json": {"schema": _ANSWER}}},
        **described(refusal, _REFUSAL),
    },
    openapi_extra={
        "parameters": QUERY,
        "requestBody": {"required": True, "content": {"multipart/form-data": {"schema": _FORM}}},
    },
)
async def detect_images(request: Request) -> JSONResponse:
    """Five classes for each image of a form, in their order, as Misskey asks. One that cannot be judged fails no other."""
    with admitted(request) as engine:
        asked = read_asked(request)
        images = await within(request.state.deadline, _read_images(request, asked))
        screenings = await judged(request, engine, images, asked)
        return JSONResponse({"success": True, "result": {"results": [_result(each) for each in screenings]}})


async def _read_images(request: Request, asked: Asked) -> list[Image]:
    """One for every part, be it an image or not: results are matched with parts by their places."""
    media_type = media_type_of(request)
    if media_type != "multipart/form-data":
        raise UnsupportedMediaType(f"the content type is {media_type or 'not given'}; expected multipart/form-data")
    async with read_form(request, MAX_TEXTS) as form:
        parts = [value for _, value in form.multi_items()]
        if not parts:
            raise RequestError("the multipart form has no parts; expected an image in each")
        return [await _image(part, asked) for part in parts]


async def _image(part: UploadFile | str, asked: Asked) -> Image:
    if isinstance(part, str):
        return asked.image(RequestError("the part is not a file: it has no filename"))
    return asked.image(await part.read(), part.filename)


def _result(screening: Screening) -> dict[str, Any]:
    """With the decision and its reason, which Misskey does not read and others may."""
    told = {"decision": str(screening.decision), "reason": screening.reason}
    try:
        found = probabilities(screening)
    except DemureError as error:
        return {"success": False, "error": _error(error.code, error.message), **told}
    return {"success": True, "predictions": [{"className": n, "probability": p} for n, p in found.items()], **told}
