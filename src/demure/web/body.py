"""How much of a request's body is read: never more than its limit, nor more over all requests than memory was set aside for."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from demure.decode import MIB
from demure.errors import Overloaded, TooLarge
from demure.web.problems import send_problem


class BodyLimits:
    """Counts bytes as they come in. A length that is told and too large is refused before a byte is read."""

    def __init__(self, app: ASGIApp, *, max_body_bytes: int, max_held_bytes: int) -> None:
        self._app = app
        self._max_body_bytes = max_body_bytes
        self._max_held_bytes = max_held_bytes
        self._held_bytes = 0  # by all requests that are not answered yet

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        told = dict(scope["headers"]).get(b"content-length", b"0")
        if told.isdigit() and int(told) > self._max_body_bytes:
            await send_problem(self._too_large(), scope, send)
            return
        read = 0

        async def receive_counted() -> Message:
            nonlocal read
            message = await receive()
            size = len(message.get("body", b""))
            read += size
            self._held_bytes += size
            if read > self._max_body_bytes:
                raise self._too_large()
            if self._held_bytes > self._max_held_bytes:
                raise Overloaded(f"requests hold more than {self._max_held_bytes / MIB:.0f} MiB (max_held_bytes)")
            return message

        try:
            await self._app(scope, receive_counted, send)
        finally:
            self._held_bytes -= read

    def _too_large(self) -> TooLarge:
        return TooLarge(f"the request's body is larger than {self._max_body_bytes / MIB:.0f} MiB (max_body_bytes)")
