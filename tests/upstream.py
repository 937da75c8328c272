"""A host to fetch from, on loopback, and ways in which it may behave: functions of the request's head and the socket to answer on."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import struct
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from ipaddress import ip_network

import trustme

from demure.errors import DemureError
from demure.fetch import Fetcher, FetchLimits

Behaviour = Callable[[str, asyncio.StreamWriter], Awaitable[None]]

NAME = "www.example.org"
LOOPBACK = (ip_network("127.0.0.0/8"),)
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # where nothing is trusted: the real one takes 20 ms to build


@dataclass
class Upstream:
    """`port` to ask, and the heads of the requests that came."""

    port: int = 0
    heads: list[str] = field(default_factory=list)

    @property
    def paths(self) -> list[str]:
        return [head.split(" ")[1] for head in self.heads]


@asynccontextmanager
async def serve(
    behaviour: Behaviour, context: ssl.SSLContext | None = None, *, reads: bool = True
) -> AsyncIterator[Upstream]:
    """A host that waits for a request and then behaves, or, if it does not read, behaves as soon as somebody comes."""
    upstream, handlers = Upstream(), set[asyncio.Task[None] | None]()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        handlers.add(asyncio.current_task())
        with suppress(ConnectionError, ssl.SSLError, asyncio.IncompleteReadError, asyncio.CancelledError):
            if reads:
                upstream.heads.append((await reader.readuntil(b"\r\n\r\n")).decode("latin-1"))
            await behaviour(upstream.heads[-1] if reads else "", writer)
            await writer.drain()
            if not reads:
                await reader.read(65_536)  # what is closed with bytes unread is reset
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


def fetched(
    behaviour: Behaviour,
    path: str = "/",
    *,
    name: str = NAME,
    client: ssl.SSLContext = NO_TLS,
    server: ssl.SSLContext | None = None,
    scheme: str = "http",
    reads: bool = True,
    max_bytes: int = 100_000,
    timeout_s: float = 5,
) -> tuple[bytes | DemureError, Upstream]:
    """What the fetch ends in, a body or an error, and the host that was asked. Every name leads to it."""

    async def resolve(_host: str, _port: int) -> list[str]:
        return ["127.0.0.1"]

    async def fetch() -> tuple[bytes | DemureError, Upstream]:
        async with serve(behaviour, server, reads=reads) as upstream:
            limits = FetchLimits(max_bytes, timeout_s, ports=frozenset({upstream.port}), allow_networks=LOOPBACK)
            url = f"{scheme}://{name}:{upstream.port}{path}"
            async with Fetcher(limits, resolve=resolve, ssl_context=client) as fetcher:
                try:
                    return await fetcher.fetch(url), upstream
                except DemureError as error:
                    return error, upstream

    return asyncio.run(fetch())


# What it says.


def response(body: bytes = b"", *headers: str, status: str = "200 OK") -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode("utf-8") + body


def raw(*headers: str, body: str = "", status: str = "HTTP/1.1 200 OK") -> bytes:
    """As it stands: no header is added."""
    return "\r\n".join([status, *headers, "", body]).encode("latin-1")


def redirect(location: str, status: str = "302 Found") -> bytes:
    return response(b"", f"Location: {location}", status=status)


def chunked(*pieces: bytes, end: bytes = b"0\r\n\r\n") -> bytes:
    return raw("Transfer-Encoding: chunked") + b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + end


ENDLESS = raw()  # no length: up to the end of the connection


# How it says it.


def says(answer: bytes) -> Behaviour:
    """These bytes, whatever is asked, then the end."""

    async def behave(_head: str, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)

    return behave


def says_and_waits(answer: bytes) -> Behaviour:
    """These bytes, and then neither more nor the end."""

    async def behave(_head: str, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        await writer.drain()
        await asyncio.Event().wait()

    return behave


def says_and_turns_away(answer: bytes) -> Behaviour:
    """These bytes, and the end of its own side alone; the other stays open."""

    async def behave(_head: str, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        writer.write_eof()
        await asyncio.Event().wait()

    return behave


def pages(site: Mapping[str, bytes]) -> Behaviour:
    async def behave(head: str, writer: asyncio.StreamWriter) -> None:
        writer.write(site.get(head.split(" ")[1], response(status="404 Not Found")))

    return behave


def sends_to(*urls: str) -> Behaviour:
    """From each of these URLs to the next, and from the last to the first; {port} in one is the host's own."""

    async def behave(head: str, writer: asyncio.StreamWriter) -> None:
        authority = head.partition("\r\nHost: ")[2].partition("\r\n")[0]
        here = f"http://{authority}{head.split(' ')[1]}"
        places = [url.format(port=authority.rpartition(":")[2]) for url in urls]
        following = places[(places.index(here) + 1) % len(places)] if here in places else places[0]
        writer.write(redirect(following))

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


def floods(start: bytes, piece: bytes, count: list[int] | None = None) -> Behaviour:
    """Pieces as fast as they are taken, for ever; `count` gets a number for each."""

    async def behave(_head: str, writer: asyncio.StreamWriter) -> None:
        writer.write(start)
        while True:
            writer.write(piece)
            if count is not None:
                count.append(len(piece))
            await writer.drain()
            await asyncio.sleep(0)

    return behave


def resets(start: bytes) -> Behaviour:
    """These bytes, then a TCP reset."""

    async def behave(_head: str, writer: asyncio.StreamWriter) -> None:
        writer.write(start)
        await writer.drain()
        await asyncio.sleep(0.02)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    return behave


def says_and_drops_tls(answer: bytes) -> Behaviour:
    """These bytes, then the end of TCP without TLS's own (RFC 8446, 6.1: close_notify)."""

    async def behave(_head: str, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        await writer.drain()
        writer.transport.abort()

    return behave


def leaves_tls(answer: bytes, garbage: bytes) -> Behaviour:
    """These bytes, then some that TLS did not encrypt."""

    async def behave(_head: str, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        await writer.drain()
        os.write(writer.get_extra_info("socket").fileno(), garbage)
        await asyncio.sleep(0.1)

    return behave


# Who it says it is.

Certificate = Callable[[], ssl.SSLContext]


@cache
def authority() -> trustme.CA:
    return trustme.CA()


@cache
def trusting() -> ssl.SSLContext:
    """A client that trusts the authority, and no other."""
    client = ssl.create_default_context()
    authority().configure_trust(client)
    return client


def certified(*names: str, common_name: str | None = None, until: datetime | None = None) -> Certificate:
    def server() -> ssl.SSLContext:
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority().issue_cert(*names, common_name=common_name, not_after=until).configure_cert(made)
        return made

    return server


def of_a_stranger() -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert(NAME).configure_cert(made)
    return made


def self_signed() -> ssl.SSLContext:
    """An authority that answers for itself."""
    made, alone = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), trustme.CA()
    with alone.cert_pem.tempfile() as certificate, alone.private_key_pem.tempfile() as key:
        made.load_cert_chain(certificate, key)
    return made


def in_tls_1_1() -> ssl.SSLContext:
    made = VALID()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        made.minimum_version, made.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    made.set_ciphers("ALL:@SECLEVEL=0")
    return made


def in_tls_1_2() -> ssl.SSLContext:
    made = VALID()
    made.maximum_version = ssl.TLSVersion.TLSv1_2
    return made


VALID = certified(NAME)
