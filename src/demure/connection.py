"""A connection to an address that was checked: what fetches and posts go over. It does not know what is sent or brought.

The gate stands at connect: a name is resolved once, every answer is checked, and the number that was checked is the number
that is dialled. Whatever happens in resolving it earlier or otherwise is of no account.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import math
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from ipaddress import ip_address
from typing import Any, Protocol

import h11
import httpcore2

from demure import __version__
from demure.addresses import Address, Network, refusal
from demure.errors import (
    InvalidSetting,
    Overloaded,
    UpstreamProtocolError,
    UpstreamTimeout,
    UpstreamUnreachable,
    UrlNotAllowed,
)
from demure.urls import Target, is_public_name, literal_address, read_url

_log = logging.getLogger(__name__)

Resolve = Callable[[str, int], Awaitable[list[str]]]  # (host, port) -> numeric addresses, best first; OSError if none

_MAX_DIALS = 4  # addresses tried for one name: whoever answers for it could list a hundred of somebody else's
_RESOLVER_THREADS = 16
_MAX_HEAD_BYTES = 256 * 1024  # before the answer itself: a host could send interim ones without end
# What asyncio reads at once. httpcore2 asks for a quarter of it, and the rest is copied each time.
_BODY_READ_BYTES = 256 * 1024


class Reach(Protocol):
    """Where a connection may go and how long all that is done over it may take: the part that every kind's limits have."""

    @property
    def timeout_s(self) -> float: ...
    @property
    def max_url_chars(self) -> int: ...
    @property
    def ports(self) -> frozenset[int]: ...
    @property
    def allow_networks(self) -> tuple[Network, ...]: ...


def parse_url(text: str, reach: Reach) -> Target:
    """Take a URL apart and check all that can be checked without resolving its host. Raises UrlNotAllowed."""
    target = read_url(text, reach.max_url_chars)
    if target.port not in reach.ports:
        ports = ", ".join(map(str, sorted(reach.ports)))
        raise UrlNotAllowed(f"the URL's port is {target.port}; allowed are {ports} (ports)")
    if target.literal is None and not reach.allow_networks and not is_public_name(target.host):
        raise _refused(target.host, "not a public name")
    return target


def trusting_the_system() -> ssl.SSLContext:
    """Believes certificates that the system's authorities vouch for, or those of SSL_CERT_FILE or SSL_CERT_DIR in their place.

    Raises InvalidSetting where such a file cannot be read.
    """
    try:
        return httpcore2.default_ssl_context()
    except OSError as error:
        raise InvalidSetting(
            f"SSL_CERT_FILE, or the system's where it is not set: {error}; expected a file of certificates (PEM)"
        ) from error


@asynccontextmanager
async def deadline(timeout_s: float, late: str, task: str) -> AsyncIterator[None]:
    """One deadline for all that is done within, and this project's errors for the network's.

    Raises UpstreamTimeout (which says `late`), UpstreamProtocolError, UpstreamUnreachable, and Overloaded where this system
    has no socket left to do its `task` with.
    """
    try:
        async with asyncio.timeout(timeout_s):
            yield
    except (TimeoutError, httpcore2.TimeoutException) as error:
        raise UpstreamTimeout(f"{late} in {timeout_s:g} s (timeout_s)") from error
    except (httpcore2.ProtocolError, h11.ProtocolError) as error:
        raise UpstreamProtocolError("the host's answer is not valid HTTP/1.1") from error
    except (httpcore2.NetworkError, OSError, UnicodeError) as error:
        if _is_our_lack(error):
            raise Overloaded(f"no socket is left to {task} with; try again later") from error
        raise UpstreamUnreachable("the host has no address, does not answer or broke off; try later") from error


@asynccontextmanager
async def answered(
    gate: httpcore2.AsyncNetworkBackend,
    ssl_context: ssl.SSLContext,
    method: str,
    target: Target,
    headers: Sequence[tuple[str, str]],
    content: bytes | None = None,
) -> AsyncIterator[httpcore2.Response]:
    """One request, and its answer when the head has come. `headers` are those beside what every request says."""
    said = [
        ("Host", target.authority),
        ("User-Agent", f"demure/{__version__}"),
        *headers,
        ("Accept-Encoding", "identity"),
        ("Connection", "close"),
    ]
    url = httpcore2.URL(scheme=target.scheme, host=target.host, port=target.port, target=target.target)
    # A connection for each request, not a pool: no request can come by one that another request's gate opened.
    async with (
        httpcore2.AsyncHTTPConnection(url.origin, ssl_context, network_backend=gate) as connection,
        connection.stream(method, url, headers=said, content=content) as response,
    ):
        response.extensions["network_stream"].head_is_read()
        yield response


class Resolver:
    """The system's look-up of names."""

    def __init__(self) -> None:
        # Its own threads: slow DNS must not take those that everything else in the process waits for.
        self._threads = ThreadPoolExecutor(_RESOLVER_THREADS, thread_name_prefix="demure-dns")

    async def __call__(self, host: str, port: int) -> list[str]:
        loop = asyncio.get_running_loop()
        answers = await loop.run_in_executor(self._threads, _getaddrinfo, host, port)
        return [str(address[0]) for *_, address in answers]

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


class Gate(httpcore2.AsyncNetworkBackend):
    """Stands between HTTP and the network: resolves once, checks every answer, dials the number. URL, Host header, SNI and
    certificate checks keep the name."""

    def __init__(self, inner: httpcore2.AsyncNetworkBackend, resolve: Resolve, reach: Reach) -> None:
        self._inner, self._resolve = inner, resolve
        self._timeout_s, self._allowed = reach.timeout_s, reach.allow_networks

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ARG002  the deadline is for all of it
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        addresses = (await self._admit(host, port))[:_MAX_DIALS]
        # One that hangs leaves time for the next one and for the body.
        patience_s = self._timeout_s / (len(addresses) + 1)
        failure: Exception = OSError("no address")
        for address in addresses:
            try:
                stream = await self._inner.connect_tcp(str(address), port, patience_s, local_address, socket_options)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout, OSError) as error:
                failure = error
            else:
                await _check_peer(stream, host, (address, port))
                return Stream(stream)
        raise failure

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,  # noqa: ARG002
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,  # noqa: ARG002
    ) -> httpcore2.AsyncNetworkStream:
        raise _refused(path, "unix socket")

    async def sleep(self, seconds: float) -> None:
        await self._inner.sleep(seconds)

    async def _admit(self, host: str, port: int) -> list[Address]:
        """Every address of the host, all fit to be dialled: one that is not refuses the others as well."""
        answers = [host] if literal_address(host) else await self._resolve(host, port)
        try:
            addresses = [ip_address(answer) for answer in answers]
        except ValueError as error:
            raise _refused(host, "not an address") from error
        for address in addresses:
            why = self._why_not(host, address)
            if why is not None:
                raise _refused(host, why)
        return addresses

    def _why_not(self, host: str, address: Address) -> str | None:
        why = refusal(address, self._allowed)
        # A name that public DNS does not hold may be reached, but only where the operator said.
        local = literal_address(host) is None and not is_public_name(host)
        if why is None and local and not any(address in network for network in self._allowed):
            return "not a public name"
        return why


class Stream(httpcore2.AsyncNetworkStream):
    """A connection that brings an answer's head of so many bytes and no more, and whose socket is closed when the handshake on
    it is broken off: httpcore2 2.16.2 leaves it open when it is the deadline that breaks it off."""

    def __init__(self, inner: httpcore2.AsyncNetworkStream) -> None:
        self._inner = inner
        self._head_left: float = _MAX_HEAD_BYTES

    def head_is_read(self) -> None:
        self._head_left = math.inf

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        if self._head_left == math.inf:
            return await self._inner.read(_BODY_READ_BYTES, timeout)
        data = await self._inner.read(max_bytes, timeout)
        self._head_left -= len(data)
        if self._head_left < 0:
            raise UpstreamProtocolError(f"the host sends more than {_MAX_HEAD_BYTES // 1024} KiB before its answer")
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        await self._inner.write(buffer, timeout)

    async def aclose(self) -> None:
        await self._inner.aclose()

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.AsyncNetworkStream:
        try:
            return Stream(await self._inner.start_tls(ssl_context, server_hostname, timeout))
        except httpcore2.ConnectError as error:
            raise UpstreamUnreachable("TLS with the host failed: its certificate must be valid for its name") from error
        except BaseException:
            await self._inner.aclose()
            raise

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


async def _check_peer(stream: httpcore2.AsyncNetworkStream, host: str, dialled: tuple[Address, int]) -> None:
    """The last word is the socket's own: where it is connected to is where it was told to."""
    peer = stream.get_extra_info("server_addr")
    if peer is None or (ip_address(peer[0]), peer[1]) != dialled:
        await stream.aclose()
        raise _refused(host, "connected elsewhere than dialled")


def _refused(host: str, why: str) -> UrlNotAllowed:
    """Why goes to the log. The caller learns no more than that: the difference would map our network for them."""
    _log.info("refused host=%s reason=%r", host, why)
    return UrlNotAllowed(
        "the URL's host is not public, or not to be reached from here; the operator can open a network (allow_networks)"
    )


def _is_our_lack(error: BaseException | None) -> bool:
    """Whether it comes from a system call that found no descriptor or memory: that is not the host's fault."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
            return True
        error = error.__cause__ or error.__context__
    return False


def _getaddrinfo(host: str, port: int) -> list[Any]:
    return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
