"""How much of a request's body is read, and for how long we wait for more of it."""

from __future__ import annotations

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from demure.budget import Budget
from demure.decode import MIB
from demure.errors import TimedOut, TooLarge

_WITH_IMAGES = {
    *("/v1/moderate", "/v1/reviews"),
    *("/v1/detect-images", "/v1/moderations", "/classify", "/classify-many"),
}
_SMALL_BYTES = 64 * 1024  # three passwords of 1,024 characters, each percent-encoded, and some more


class BodyLimits:
    """Counts bytes as they come in. A length that is told and too large is refused before a byte is read, and who sends nothing
    for `idle_s` must not hold a place.

    Leaves the request's share of the budget in its state, for those who make more of the bytes. Raises TooLarge, Overloaded
    and TimedOut, for the envelope to answer.
    """

    def __init__(self, app: ASGIApp, *, max_body_bytes: int, idle_s: float, budget: Budget) -> None:
        self._app = app
        self._max_body_bytes = max_body_bytes
        self._idle_s = idle_s
        self._budget = budget

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        # What holds no image is small, and is parsed without more ado: by the framework, before a session is asked for.
        most = self._max_body_bytes if scope["path"] in _WITH_IMAGES else min(_SMALL_BYTES, self._max_body_bytes)
        told = dict(scope["headers"]).get(b"content-length", b"0")
        if told.isdigit() and int(told) > most:
            raise _too_large(most)
        read, complete = 0, False

        async def receive_counted() -> Message:
            nonlocal read, complete
            if complete:  # what comes now is that the client leaves
                return await receive()
            try:
                async with asyncio.timeout(self._idle_s):
                    message = await receive()
            except TimeoutError:
                raise self._too_slow() from None
            complete = message["type"] != "http.request" or not message.get("more_body", False)
            size = len(message.get("body", b""))
            read += size
            if read > most:
                raise _too_large(most)
            share.take(size)
            return message

        with self._budget.share() as share:
            scope["state"]["share"] = share
            await self._app(scope, receive_counted, send)

    def _too_slow(self) -> TimedOut:
        return TimedOut(f"no byte of the body came for {self._idle_s:g} s (client_timeout_s); send it without pauses")


def _too_large(most: int) -> TooLarge:
    limit = f"{most / MIB:.0f} MiB (max_body_bytes)" if most >= MIB else f"{most:,} bytes"
    return TooLarge(f"the request's body is larger than {limit}")
