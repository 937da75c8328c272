"""How much of a request's body is read, for how long we wait for more of it, and for how long for all of it."""

from __future__ import annotations

import asyncio

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from demure.budget import Budget, Share
from demure.deadline import Deadline
from demure.decode import MIB
from demure.errors import DemureError, TimedOut, TooLarge

_WITH_IMAGES = {
    *("/v1/moderate", "/v1/reviews"),
    *("/v1/detect-images", "/v1/moderations", "/classify", "/classify-many"),
}
_SMALL_BYTES = 64 * 1024  # three passwords of 1,024 characters, each percent-encoded, and some more


class BodyLimits:
    """Counts bytes as they come in. A length that is told and too large is refused before a byte is read, and who sends nothing
    for `idle_s`, or not all within `whole_s`, must not hold a place.

    Leaves the request's share of the budget in its state, for those who make more of the bytes. Raises TooLarge, Overloaded
    and TimedOut, for the envelope to answer.
    """

    def __init__(self, app: ASGIApp, *, max_body_bytes: int, idle_s: float, whole_s: float, budget: Budget) -> None:
        self._app = app
        self._max_body_bytes = max_body_bytes
        self._idle_s = idle_s
        self._whole_s = whole_s
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
        with self._budget.share() as share:
            scope["state"]["share"] = share
            body = _Body(receive, most, share, self._idle_s, Deadline(self._whole_s))
            try:
                await self._app(scope, body.receive, send)
            except HTTPException:
                # The framework takes all that happens while it reads JSON for an error of the JSON.
                if body.refusal is not None:
                    raise body.refusal from None
                raise


class _Body:
    """One request's, as it comes in."""

    def __init__(self, receive: Receive, most: int, share: Share, idle_s: float, deadline: Deadline) -> None:
        self.refusal: DemureError | None = None
        self._receive = receive
        self._most = most
        self._share = share
        self._idle_s = idle_s
        self._deadline = deadline
        self._read = 0
        self._complete = False

    async def receive(self) -> Message:
        if self._complete:  # what comes now is that the client leaves
            return await self._receive()
        try:
            message = await self._next()
            self._count(len(message.get("body", b"")))
        except DemureError as error:
            self.refusal = error
            raise
        return message

    async def _next(self) -> Message:
        remaining_s = self._deadline.remaining_s
        try:
            async with asyncio.timeout(min(self._idle_s, remaining_s)):
                message = await self._receive()
        except TimeoutError:
            error = self._paused() if self._idle_s < remaining_s else self._too_slow()
            raise error from None
        self._complete = message["type"] != "http.request" or not message.get("more_body", False)
        return message

    def _count(self, size: int) -> None:
        self._read += size
        if self._read > self._most:
            raise _too_large(self._most)
        self._share.take(size)

    def _paused(self) -> TimedOut:
        return TimedOut(f"no byte of the body came for {self._idle_s:g} s (client_timeout_s); send it without pauses")

    def _too_slow(self) -> TimedOut:
        limit = f"{self._deadline.seconds:g} s (request_timeout_s)"
        return TimedOut(f"the body was not whole after {limit}; send less at once, or over a faster line")


def _too_large(most: int) -> TooLarge:
    limit = f"{most / MIB:.0f} MiB (max_body_bytes)" if most >= MIB else f"{most:,} bytes"
    return TooLarge(f"the request's body is larger than {limit}")
