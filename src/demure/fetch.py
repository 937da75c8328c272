"""URL to bytes: over HTTP and HTTPS, from public addresses only, within limits. It does not look at what it brings.

The caller names the URL, so the caller could name our own metadata server. Every connection therefore passes the gate of
connection.py, and each redirect passes the same way.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import dataclass

import httpcore2

from demure.addresses import Network
from demure.connection import Gate, Resolve, Resolver, answered, deadline, parse_url, trusting_the_system
from demure.errors import (
    TooLarge,
    TooManyRedirects,
    UpstreamBadRedirect,
    UpstreamEncoding,
    UpstreamProtocolError,
    UpstreamStatus,
    UrlNotAllowed,
)
from demure.urls import Target, join, read_url

MIB = 1024 * 1024

OnBytes = Callable[[int], None]

_ACCEPT = ("Accept", "image/*, */*;q=0.1")
_REDIRECTS = (301, 302, 303, 307, 308)
_MAX_PIECES = 50_000  # of one body: 20 MiB in chunks of a byte would keep the event loop busy for minutes
_HOST_WITHIN = 2048  # characters of a URL that are looked at for the log


@dataclass(frozen=True)
class FetchLimits:
    """What one fetch may cost and where it may go. Past it, the error that is named."""

    max_bytes: int = 20 * MIB  # too_large
    timeout_s: float = 10.0  # in all: DNS, connecting, redirects, body; upstream_timeout
    max_redirects: int = 3  # too_many_redirects
    max_url_chars: int = 2048  # url_not_allowed, like the rest
    ports: frozenset[int] = frozenset({80, 443})
    allow_networks: tuple[Network, ...] = ()  # reachable though not public


class Fetcher:
    """Fetches URLs. Holds the TLS context and the resolver's threads; `async with` it, or call aclose()."""

    def __init__(
        self,
        limits: FetchLimits = FetchLimits(),
        *,
        resolve: Resolve | None = None,
        backend: httpcore2.AsyncNetworkBackend | None = None,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        """`resolve` turns a name into numbers and `backend` dials them; tests put their own in both places."""
        self._limits = limits
        self._resolver = Resolver()
        self._gate: httpcore2.AsyncNetworkBackend = Gate(
            backend or httpcore2.AnyIOBackend(), resolve or self._resolver, limits
        )
        self._ssl_context = ssl_context or trusting_the_system()

    async def __aenter__(self) -> Fetcher:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        self._resolver.close()

    async def fetch(self, url: str, on_bytes: OnBytes = lambda _: None) -> bytes:
        """The body that the URL leads to, which may be empty. `on_bytes` is told how many come, as they come, and may raise.

        Raises UrlNotAllowed, TooManyRedirects, TooLarge and the Upstream… errors, and Overloaded where this system has no
        socket left.
        """
        async with deadline(self._limits.timeout_s, "the image did not arrive", "fetch"):
            return await self._follow(parse_url(url, self._limits), on_bytes)

    async def _follow(self, target: Target, on_bytes: OnBytes) -> bytes:
        for _ in range(self._limits.max_redirects + 1):
            answer = await self._get(target, on_bytes)
            if isinstance(answer, bytes):
                return answer
            target = parse_url(join(target, answer), self._limits)
        raise TooManyRedirects(f"the URL redirects more than {self._limits.max_redirects} times (max_redirects)")

    async def _get(self, target: Target, on_bytes: OnBytes) -> bytes | str:
        """One request: the body, or the Location that it redirects to."""
        async with answered(self._gate, self._ssl_context, "GET", target, [_ACCEPT]) as response:
            if response.status in _REDIRECTS:
                return _location(response)
            _check(response, self._limits)
            return await _read_body(response, self._limits, on_bytes)


def host_of(url: str) -> str:
    """The host alone, for the log, or "" where there is none to be read. Never raises."""
    try:
        return read_url(url[:_HOST_WITHIN], _HOST_WITHIN).host
    except UrlNotAllowed:
        return ""


def _location(response: httpcore2.Response) -> str:
    locations = _values(response, b"location")
    if len(locations) != 1:
        raise UpstreamBadRedirect(
            f"the host answered {response.status} with {len(locations)} Location headers; one is due"
        )
    try:
        return locations[0].decode("utf-8")
    except UnicodeDecodeError as error:
        raise UpstreamBadRedirect("the redirect's Location is not text (UTF-8)") from error


def _check(response: httpcore2.Response, limits: FetchLimits) -> None:
    if response.status != 200:
        raise UpstreamStatus(f"the host answered {response.status}; only 200 brings an image", response.status)
    encodings = {value.lower() for value in _values(response, b"content-encoding")}
    if encodings - {b"", b"identity"}:
        raise UpstreamEncoding("the body is compressed (Content-Encoding), which was not asked for; serve it as it is")
    for length in _values(response, b"content-length"):
        _check_size(int(length), limits)  # h11 has seen to it that this is one number, of 20 digits at most


async def _read_body(response: httpcore2.Response, limits: FetchLimits, on_bytes: OnBytes) -> bytes:
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


def _values(response: httpcore2.Response, name: bytes) -> list[bytes]:
    return [value for key, value in response.headers if key.lower() == name]
