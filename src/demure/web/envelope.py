"""What surrounds every request: its id, its log line and its count, and every error turned into a problem document.

At some paths the contract is not ours: there errors are told in its words (compat/refusals.py).
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Mapping
from typing import Any

import structlog
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from demure.errors import DemureError, SetupError, SourceNotFound
from demure.telemetry import Metrics
from demure.web.problems import InternalError, MethodNotAllowed, Refusal, RequestError, send_problem

_SAFE_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_QUIET = {"/health", "/livez", "/readyz", "/metrics"}  # asked every few seconds: counted, not logged


class ClientGone(Exception):
    """Whoever asked has hung up; there is nobody to answer."""


class Envelope:
    """The outermost part of the application, for HTTP alone."""

    def __init__(self, app: ASGIApp, metrics: Metrics, refusals: Mapping[str, Refusal] | None = None) -> None:
        """`refusals`: by path, for those whose errors are not told as problem documents."""
        self._app = app
        self._metrics = metrics
        self._refusals = refusals or {}
        self._log = structlog.get_logger()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = dict(scope["headers"]).get(b"x-request-id", b"").decode("latin-1")
        request_id = given if _SAFE_ID.fullmatch(given) else secrets.token_hex(8)
        state: dict[str, Any] = scope.setdefault("state", {})
        state.update(request_id=request_id, log={}, started=time.perf_counter())
        status = 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", request_id.encode())]
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        except (ClientGone, ClientDisconnect):
            state["log"]["client"] = "gone"
        except Exception as error:
            if status:  # too late to answer otherwise
                raise
            refusal = self._refusals.get(scope["path"])
            await send_problem(self._translated(error, request_id), scope, send_with_id, refusal)
        finally:
            self._account(scope, status, state)

    def _translated(self, error: Exception, request_id: str) -> DemureError:
        match error:
            case SetupError():
                self._log.error("not set up", request_id=request_id, code=error.code, detail=error.message)
                return error
            case DemureError():
                return error
            case HTTPException(status_code=404):
                return SourceNotFound("there is nothing at this path; /docs lists what there is")
            case HTTPException(status_code=405, headers=headers):
                return MethodNotAllowed(
                    "this path is not asked that way; /docs lists how", (headers or {}).get("Allow", "")
                )
            case HTTPException():
                return RequestError(str(error.detail))
        self._log.error("failed", request_id=request_id, exc_info=error)
        return InternalError("a fault of ours; the log of the service says more under this request_id")

    def _account(self, scope: Scope, status: int, state: dict[str, Any]) -> None:
        took = time.perf_counter() - state["started"]
        # The pattern and not the path: names in paths are without number.
        route = getattr(scope.get("route"), "path", "unmatched")
        self._metrics.requests.labels(route, status or "gone").inc()
        self._metrics.request_seconds.labels(route).observe(took)
        if route not in _QUIET:
            event = state["log"].pop("event", "answered")
            fields = {"request_id": state["request_id"], "method": scope["method"], "route": route, "status": status}
            write = self._log.error if status >= 500 and status not in (502, 503, 504) else self._log.info
            write(event, **fields, **state["log"], ms=round(took * 1000, 1))
