"""A host to fetch from, on loopback, that behaves in one way: a function of the request's head and the socket to answer on."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

Behaviour = Callable[[str, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Upstream:
    """`port` to ask, and the heads of the requests that came."""

    port: int = 0
    heads: list[str] = field(default_factory=list)

    @property
    def paths(self) -> list[str]:
        return [head.split(" ")[1] for head in self.heads]


@asynccontextmanager
async def serve(behaviour: Behaviour, context: ssl.SSLContext | None = None) -> AsyncIterator[Upstream]:
    upstream, handlers = Upstream(), set[asyncio.Task[None] | None]()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        handlers.add(asyncio.current_task())
        with suppress(ConnectionError, ssl.SSLError, asyncio.IncompleteReadError, asyncio.CancelledError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            upstream.heads.append(head)
            await behaviour(head, writer)
            await writer.drain()
        writer.close()
        with suppress(ConnectionError, ssl.SSLError, asyncio.CancelledError):
            await writer.wait_closed()

    server = await asyncio.start_server(handle, "127.0.0.1", 0, ssl=context)
    upstream.port = server.sockets[0].getsockname()[1]
    try:
        yield upstream
    finally:
        server.close()
        for handler in handlers:
            if handler is not None:
                handler.cancel()
        await asyncio.gather(*(handler for handler in handlers if handler), return_exceptions=True)


def response(body: bytes = b"", *headers: str, status: str = "200 OK") -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode("utf-8") + body


def redirect(location: str, status: str = "302 Found") -> bytes:
    return response(b"", f"Location: {location}", status=status)


def says(raw: bytes) -> Behaviour:
    """These bytes, whatever is asked, then the end."""

    async def behave(_head: str, writer: asyncio.StreamWriter) -> None:
        writer.write(raw)

    return behave


def says_and_waits(raw: bytes) -> Behaviour:
    """These bytes, and then neither more nor the end."""

    async def behave(_head: str, writer: asyncio.StreamWriter) -> None:
        writer.write(raw)
        await writer.drain()
        await asyncio.Event().wait()

    return behave


def pages(site: Mapping[str, bytes]) -> Behaviour:
    async def behave(head: str, writer: asyncio.StreamWriter) -> None:
        writer.write(site.get(head.split(" ")[1], response(status="404 Not Found")))

    return behave


def drips(start: bytes, drop: bytes, every_s: float = 0.02) -> Behaviour:
    """A drop now and then, for ever: no single wait is long."""

    async def behave(_head: str, writer: asyncio.StreamWriter) -> None:
        writer.write(start)
        while True:
            writer.write(drop)
            await writer.drain()
            await asyncio.sleep(every_s)

    return behave


def floods(start: bytes, piece: bytes, count: list[int]) -> Behaviour:
    """Pieces as fast as they are taken, for ever; `count` gets a number for each."""

    async def behave(_head: str, writer: asyncio.StreamWriter) -> None:
        writer.write(start)
        while True:
            writer.write(piece)
            count.append(len(piece))
            await writer.drain()

    return behave


def resets(start: bytes) -> Behaviour:
    """These bytes, then a TCP reset."""

    async def behave(_head: str, writer: asyncio.StreamWriter) -> None:
        writer.write(start)
        await writer.drain()
        await asyncio.sleep(0.02)
        raw = writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    return behave
