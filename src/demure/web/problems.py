"""Errors of a request as RFC 9457 problem documents. The only place that knows an HTTP status code for an error."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

from starlette.types import Scope, Send

from demure.errors import DemureError, SetupError, UpstreamStatus, by_code

PROBLEM_TYPE = "application/problem+json"
RETRY_AFTER_S = 1
# How a contract that is not ours tells an error: of a problem document, its status and its body.
Refusal = Callable[[Mapping[str, Any]], tuple[int, dict[str, Any]]]

STATUS: dict[str, int] = {
    "invalid_request": 400,
    "key_required": 401,
    "not_permitted": 403,
    "not_found": 404,
    "unknown_model": 404,
    "unknown_policy": 404,
    "method_not_allowed": 405,
    "conflict": 409,
    "too_large": 413,
    "unsupported_media_type": 415,
    "empty_body": 422,
    "not_an_image": 422,
    "unsupported_format": 422,
    "undecodable": 422,
    "too_many_pixels": 422,
    "too_many_frames": 422,
    "url_not_allowed": 422,
    "too_many_redirects": 422,
    "upstream_status": 422,  # 502 where the other side failed
    "upstream_encoding": 422,
    "rate_limited": 429,
    "internal_error": 500,
    "upstream_protocol_error": 502,
    "upstream_unreachable": 502,
    "upstream_bad_redirect": 502,
    "overloaded": 503,
    "storage_unavailable": 503,
    "upstream_timeout": 504,
    "timed_out": 504,
    "storage_full": 507,
}
# Found when the service starts; in a request they are a fault of ours.
SETUP_CODES = {code for code, kind in by_code().items() if issubclass(kind, SetupError)}


class RequestError(DemureError):
    """What is wrong with a request before any image of it is looked at."""

    code = "invalid_request"


class KeyRequired(RequestError):
    code = "key_required"


class MethodNotAllowed(RequestError):
    """`allow` lists the methods that would be (RFC 9110, 15.5.6)."""

    code = "method_not_allowed"

    def __init__(self, message: str, allow: str = "") -> None:
        super().__init__(message)
        self.allow = allow


class UnsupportedMediaType(RequestError):
    code = "unsupported_media_type"


class RateLimited(RequestError):
    code = "rate_limited"
    retryable = True


class InternalError(RequestError):
    code = "internal_error"


def status_of(error: DemureError) -> int:
    if isinstance(error, UpstreamStatus) and error.status >= 500:
        return HTTPStatus.BAD_GATEWAY
    return STATUS.get(error.code, HTTPStatus.INTERNAL_SERVER_ERROR)


def problem(error: DemureError, request_id: str) -> dict[str, Any]:
    """The body of the answer. The type is where /docs explains the code."""
    if error.code in SETUP_CODES:  # its message may name files
        error = InternalError("the service is not set up as it should be; its log says more")
    status = status_of(error)
    return {
        "type": f"/docs#{error.code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": error.message,
        "code": error.code,
        "request_id": request_id,
    }


def _has_body(scope: Scope) -> bool:
    told = dict(scope["headers"])
    return b"transfer-encoding" in told or told.get(b"content-length", b"0") != b"0"


async def send_problem(error: DemureError, scope: Scope, send: Send, refusal: Refusal | None = None) -> None:
    """Answer a request with an error, whatever of its body has not been read."""
    document = problem(error, scope["state"]["request_id"])
    status, content = (document["status"], document) if refusal is None else refusal(document)
    body = json.dumps(content).encode()
    headers = [
        (b"content-type", (PROBLEM_TYPE if refusal is None else "application/json").encode()),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
    ]
    if error.code in ("overloaded", "rate_limited", "storage_unavailable"):
        headers.append((b"retry-after", str(RETRY_AFTER_S).encode()))
    if isinstance(error, MethodNotAllowed):
        headers.append((b"allow", error.allow.encode()))
    if error.code == "key_required":
        headers.append((b"www-authenticate", b"Bearer"))
    if error.code in ("too_large", "overloaded") and _has_body(scope):
        headers.append((b"connection", b"close"))  # or the server would read the rest to reach the next request
    scope["state"]["log"]["code"] = error.code
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})
