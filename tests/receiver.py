"""A site's endpoint for webhooks, on loopback: it keeps what it gets, and behaves as it is told."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import suppress
from dataclasses import dataclass

from upstream import Behaviour, response, says

OK = says(response(status="204 No Content"))


@dataclass
class Received:
    head: str
    body: bytes

    @property
    def headers(self) -> dict[str, str]:
        lines = self.head.splitlines()[1:-1]
        return dict(line.split(": ", 1) for line in lines)


class Receiver:
    """Takes whole requests and meets each with the next behaviour, of which the last one stays."""

    def __init__(self, *behaviours: Behaviour, context: ssl.SSLContext | None = None) -> None:
        self.requests: list[Received] = []
        self.port = 0
        self.most_at_once = 0
        self._behaviours = list(behaviours) or [OK]
        self._context = context
        self._handlers = set[asyncio.Task[None]]()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    @property
    def ids(self) -> list[str]:
        return [request.headers["webhook-id"] for request in self.requests]

    async def __aenter__(self) -> Receiver:
        self._server = await asyncio.start_server(self._handle, "127.0.0.1", 0, ssl=self._context)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for handler in self._handlers:
            handler.cancel()
        await asyncio.gather(*self._handlers, return_exceptions=True)

    async def _handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._handlers.add(task)
        self.most_at_once = max(self.most_at_once, len(self._handlers))
        try:
            with suppress(ConnectionError, ssl.SSLError, asyncio.IncompleteReadError, asyncio.CancelledError):
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                length = int(head.lower().partition("content-length: ")[2].partition("\r\n")[0])
                self.requests.append(Received(head, await reader.readexactly(length)))
                await self._next()(head, writer)
                await writer.drain()
            writer.close()
            with suppress(ConnectionError, ssl.SSLError, asyncio.CancelledError):
                await writer.wait_closed()
        finally:
            self._handlers.discard(task)

    def _next(self) -> Behaviour:
        return self._behaviours.pop(0) if len(self._behaviours) > 1 else self._behaviours[0]
