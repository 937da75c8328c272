"""URL to bytes: over HTTP and HTTPS, from public addresses only, within limits. It does not look at what it brings.

The caller names the URL, so the caller could name our own metadata server. The gate therefore stands at connect: a name
is resolved once, every answer is checked, and the number that was checked is the number that is dialled. Whatever happens
in resolving it earlier or otherwise is of no account. Each redirect passes the same way.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import math
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Any

import h11
import httpcore

from demure import __version__
from demure.addresses import Address, refusal
from demure.errors import (
    Overloaded,
    TooLarge,
    TooManyRedirects,
    UpstreamBadRedirect,
    UpstreamEncoding,
    UpstreamProtocolError,
    UpstreamStatus,
    UpstreamTimeout,
    UpstreamUnreachable,
    UrlNotAllowed,
)
from demure.urls import Target, is_public_name, join, literal_address, read_url

MIB = 1024 * 1024
_log = logging.getLogger(__name__)

OnBytes = Callable[[int], None]
Resolve = Callable[[str, int], Awaitable[list[str]]]  # (host, port) -> numeric addresses, best first; OSError if none

_REDIRECTS = (301, 302, 303, 307, 308)
_MAX_DIALS = 4  # addresses tried for one name: whoever answers for it could list a hundred of somebody else's
_MAX_PIECES = 50_000  # of one body: 20 MiB in chunks of a byte would keep the event loop busy for minutes
_RESOLVER_THREADS = 16
_MAX_HEAD_BYTES = 256 * 1024  # before the answer itself: a host could send interim ones without end
# What asyncio reads at once. httpcore asks for a quarter of it, and the rest is copied each time.
_BODY_READ_BYTES = 256 * 1024
_HOST_WITHIN = 2048  # characters of a URL that are looked at for the log


@dataclass(frozen=True)
class FetchLimits:
    """What one fetch may cost and where it may go. Past it, the error that is named."""

    max_bytes: int = 20 * MIB  # too_large
    timeout_s: float = 10.0  # in all: DNS, connecting, redirects, body; upstream_timeout
    max_redirects: int = 3  # too_many_redirects
    max_url_chars: int = 2048  # url_not_allowed, like the rest
    ports: frozenset[int] = frozenset({80, 443})
    allow_networks: tuple[IPv4Network | IPv6Network, ...] = ()  # reachable though not public


class Fetcher:
    """Fetches URLs. Holds the TLS context and the resolver's threads; `async with` it, or call aclose()."""

    def __init__(
        self,
        limits: FetchLimits = FetchLimits(),
        *,
        resolve: Resolve | None = None,
        backend: httpcore.AsyncNetworkBackend | None = None,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        """`resolve` turns a name into numbers and `backend` dials them; tests put their own in both places."""
        self._limits = limits
        # Its own threads: slow DNS must not take those that everything else in the process waits for.
        self._threads = ThreadPoolExecutor(_RESOLVER_THREADS, thread_name_prefix="demure-dns")
        self._gate = _Gate(backend or httpcore.AnyIOBackend(), resolve or self._resolve, limits)
        self._ssl_context = ssl_context or httpcore.default_ssl_context()

    async def __aenter__(self) -> Fetcher:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def fetch(self, url: str, on_bytes: OnBytes = lambda _: None) -> bytes:
        """The body that the URL leads to, which may be empty. `on_bytes` is told how many come, as they come, and may raise.

        Raises UrlNotAllowed, TooManyRedirects, TooLarge and the Upstream… errors, and Overloaded where this system has no
        socket left.
        """
        try:
            async with asyncio.timeout(self._limits.timeout_s):
                return await self._follow(parse_url(url, self._limits), on_bytes)
        except (TimeoutError, httpcore.TimeoutException) as error:
            raise UpstreamTimeout(f"the image did not arrive in {self._limits.timeout_s:g} s (timeout_s)") from error
        except (httpcore.ProtocolError, h11.ProtocolError) as error:
            raise UpstreamProtocolError("the host's answer is not valid HTTP/1.1") from error
        except (httpcore.NetworkError, OSError, UnicodeError) as error:
            if _is_our_lack(error):
                raise Overloaded("no socket is left to fetch with; try again later") from error
            raise UpstreamUnreachable("the host has no address, does not answer or broke off; try later") from error

    async def _follow(self, target: Target, on_bytes: OnBytes) -> bytes:
        for _ in range(self._limits.max_redirects + 1):
            answer = await self._get(target, on_bytes)
            if isinstance(answer, bytes):
                return answer
            target = parse_url(join(target, answer), self._limits)
        raise TooManyRedirects(f"the URL redirects more than {self._limits.max_redirects} times (max_redirects)")

    async def _get(self, target: Target, on_bytes: OnBytes) -> bytes | str:
        """One request: the body, or the Location that it redirects to."""
        url = httpcore.URL(scheme=target.scheme, host=target.host, port=target.port, target=target.target)
        # A connection for each request, not a pool: no request can come by one that another request's gate opened.
        async with (
            httpcore.AsyncHTTPConnection(url.origin, self._ssl_context, network_backend=self._gate) as connection,
            connection.stream("GET", url, headers=_headers(target)) as response,
        ):
            response.extensions["network_stream"].head_is_read()
            if response.status in _REDIRECTS:
                return _location(response)
            _check(response, self._limits)
            return await _read_body(response, self._limits, on_bytes)

    async def _resolve(self, host: str, port: int) -> list[str]:
        loop = asyncio.get_running_loop()
        answers = await loop.run_in_executor(self._threads, _getaddrinfo, host, port)
        return [str(address[0]) for *_, address in answers]


def parse_url(text: str, limits: FetchLimits) -> Target:
    """Take a URL apart and check all that can be checked without resolving its host. Raises UrlNotAllowed."""
    target = read_url(text, limits.max_url_chars)
    if target.port not in limits.ports:
        ports = ", ".join(map(str, sorted(limits.ports)))
        raise UrlNotAllowed(f"the URL's port is {target.port}; allowed are {ports} (ports)")
    if target.literal is None and not limits.allow_networks and not is_public_name(target.host):
        raise _refused(target.host, "not a public name")
    return target


def host_of(url: str) -> str:
    """The host alone, for the log, or "" where there is none to be read. Never raises."""
    try:
        return read_url(url[:_HOST_WITHIN], _HOST_WITHIN).host
    except UrlNotAllowed:
        return ""


class _Gate(httpcore.AsyncNetworkBackend):
    """Stands between HTTP and the network: resolves once, checks every answer, dials the number. URL, Host header, SNI and
    certificate checks keep the name."""

    def __init__(self, inner: httpcore.AsyncNetworkBackend, resolve: Resolve, limits: FetchLimits) -> None:
        self._inner, self._resolve = inner, resolve
        self._timeout_s, self._allowed = limits.timeout_s, limits.allow_networks

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ARG002  the deadline is the fetch's own
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        addresses = (await self._admit(host, port))[:_MAX_DIALS]
        # One that hangs leaves time for the next one and for the body.
        patience_s = self._timeout_s / (len(addresses) + 1)
        failure: Exception = OSError("no address")
        for address in addresses:
            try:
                stream = await self._inner.connect_tcp(str(address), port, patience_s, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout, OSError) as error:
                failure = error
            else:
                await _check_peer(stream, host, (address, port))
                return _Stream(stream)
        raise failure

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,  # noqa: ARG002
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,  # noqa: ARG002
    ) -> httpcore.AsyncNetworkStream:
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


class _Stream(httpcore.AsyncNetworkStream):
    """A connection that brings an answer's head of so many bytes and no more, and whose socket is closed when the handshake on
    it is broken off: httpcore 1.0.9 leaves it open when it is the deadline that breaks it off."""

    def __init__(self, inner: httpcore.AsyncNetworkStream) -> None:
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
    ) -> httpcore.AsyncNetworkStream:
        try:
            return _Stream(await self._inner.start_tls(ssl_context, server_hostname, timeout))
        except httpcore.ConnectError as error:
            raise UpstreamUnreachable("TLS with the host failed: its certificate must be valid for its name") from error
        except BaseException:
            await self._inner.aclose()
            raise

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


async def _check_peer(stream: httpcore.AsyncNetworkStream, host: str, dialled: tuple[Address, int]) -> None:
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


def _headers(target: Target) -> list[tuple[str, str]]:
    return [
        ("Host", target.authority),
        ("User-Agent", f"demure/{__version__}"),
        ("Accept", "image/*, */*;q=0.1"),
        ("Accept-Encoding", "identity"),
        ("Connection", "close"),
    ]


def _location(response: httpcore.Response) -> str:
    locations = _values(response, b"location")
    if len(locations) != 1:
        raise UpstreamBadRedirect(
            f"the host answered {response.status} with {len(locations)} Location headers; one is due"
        )
    try:
        return locations[0].decode("utf-8")
    except UnicodeDecodeError as error:
        raise UpstreamBadRedirect("the redirect's Location is not text (UTF-8)") from error


def _check(response: httpcore.Response, limits: FetchLimits) -> None:
    if response.status != 200:
        raise UpstreamStatus(f"the host answered {response.status}; only 200 brings an image", response.status)
    encodings = {value.lower() for value in _values(response, b"content-encoding")}
    if encodings - {b"", b"identity"}:
        raise UpstreamEncoding("the body is compressed (Content-Encoding), which was not asked for; serve it as it is")
    for length in _values(response, b"content-length"):
        _check_size(int(length), limits)  # h11 has seen to it that this is one number, of 20 digits at most


async def _read_body(response: httpcore.Response, limits: FetchLimits, on_bytes: OnBytes) -> bytes:
    pieces: list[bytes] = []
    size = 0
    async for piece in response.aiter_stream():
        on_bytes(len(piece))
        pieces.append(piece)
        size += len(piece)
        _check_size(size, limits)
        if len(pieces) > _MAX_PIECES:
            raise UpstreamProtocolError(f"the body comes in more than {_MAX_PIECES:,} pieces; send larger chunks")
    return b"".join(pieces)


def _check_size(size: int, limits: FetchLimits) -> None:
    if size > limits.max_bytes:
        raise TooLarge(
            f"the image is {size / MIB:.1f} MiB or more; the limit is {limits.max_bytes / MIB:.1f} MiB (max_bytes)"
        )


def _values(response: httpcore.Response, name: bytes) -> list[bytes]:
    return [value for key, value in response.headers if key.lower() == name]


def _getaddrinfo(host: str, port: int) -> list[Any]:
    return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
