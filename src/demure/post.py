"""Bytes to a URL: one POST over a checked connection, and the status that it is answered with. Nothing is followed or believed.

The operator names the URL, but not what its name resolves to, nor what stands next door: without a network that was opened
for it, a post goes to public addresses only, as a fetch does.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass

import httpcore2

from demure.addresses import Network
from demure.connection import Gate, Resolve, Resolver, answered, deadline, parse_url, trusting_the_system
from demure.errors import DemureError

_MAX_ANSWER_BYTES = 64 * 1024
_MIN_PIECE_BYTES = 64  # what a smaller piece counts as: a body in chunks of a byte is given up after a thousand


@dataclass(frozen=True)
class PostLimits:
    """What one post may cost and where it may go."""

    timeout_s: float = 15.0  # in all; Standard Webhooks 1.0.0 recommends 15 to 30
    max_url_chars: int = 2048
    ports: frozenset[int] = frozenset({80, 443})
    allow_networks: tuple[Network, ...] = ()  # reachable though not public


class Poster:
    """Posts to URLs. Holds the TLS context and the resolver's threads; `async with` it, or call aclose()."""

    def __init__(
        self,
        limits: PostLimits = PostLimits(),
        *,
        resolve: Resolve | None = None,
        backend: httpcore2.AsyncNetworkBackend | None = None,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        """`resolve` turns a name into numbers and `backend` dials them; tests put their own in both places."""
        self._limits = limits
        self._resolver = Resolver()
        self._gate = Gate(backend or httpcore2.AnyIOBackend(), resolve or self._resolver, limits)
        self._ssl_context = ssl_context or trusting_the_system()

    async def __aenter__(self) -> Poster:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        self._resolver.close()

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> int:
        """The status that the receiver answers. A redirect's is one like any other: it is not followed.

        Raises UrlNotAllowed, UpstreamTimeout, UpstreamProtocolError, UpstreamUnreachable, and Overloaded where this system has
        no socket left.
        """
        status = 0
        try:
            async with deadline(self._limits.timeout_s, "the receiver did not answer", "post"):
                target = parse_url(url, self._limits)
                async with answered(
                    self._gate, self._ssl_context, "POST", target, [*headers.items()], body
                ) as response:
                    status = response.status
                    await _discard(response)
        except DemureError:
            # Once the status was told, it counts, however the rest of the answer ends.
            if not status:
                raise
        return status


async def _discard(response: httpcore2.Response) -> None:
    """Take a short body: a connection that is closed with bytes unread looks like a failure to who sent them."""
    taken = 0
    async for piece in response.aiter_stream():
        taken += max(len(piece), _MIN_PIECE_BYTES)
        if taken > _MAX_ANSWER_BYTES:
            return
