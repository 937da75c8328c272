"""Who may: decided for every request before anything else of it is read, under any server.

Open to all: /health and /livez. With no key configured, the machine itself (and nobody through a proxy) may classify.
Everything else needs a key, and with keys configured so does everything. The pages under /review are asked for by people,
who have no key: there each route asks for a session (sessions.py). The page at / holds nothing, and asks the service with a
key like everybody else.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_address

from limits import RateLimitItem
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter
from starlette.types import ASGIApp, Receive, Scope, Send

from demure.errors import NotPermitted
from demure.keys import NEW_S, Key, Keyring, find_key
from demure.keys import Scope as KeyScope
from demure.web.problems import KeyRequired, RateLimited

OPEN = {"/health", "/livez"}
# What a key-less caller on this machine may ask, and the scope that a key needs for it.
_CLASSIFY_PREFIXES = (
    "/predict",
    "/models/",
    "/v1/moderate",
    "/v1/moderations",
    "/v1/detect-images",
    "/classify",
    "/classify-many",
    "/v1/models",
    "/v1/policies",
    "/docs",
    "/openapi.json",
    "/readyz",
)
_PROXY_HEADERS = (b"forwarded", b"x-forwarded-", b"x-real-ip", b"via")
_CLOCK_JUMP_S = 1.0
_LOOPBACK_HOSTS = {"localhost", "127.0.0.1", "[::1]"}


@dataclass(frozen=True)
class Access:
    """What the operator decided about callers."""

    hosts: frozenset[str] = frozenset()  # names that are ours; empty: any with a key, this machine's without
    public_without_keys: bool = False
    rate_limit: RateLimitItem | None = None  # a key


class Rate:
    """So many in a time for each name; None: without end."""

    def __init__(self, limit: RateLimitItem | None) -> None:
        self._limit = limit
        self._storage = MemoryStorage()
        self._limiter = FixedWindowRateLimiter(self._storage)
        self._clock_offset = time.time() - time.monotonic()

    def takes(self, name: str) -> bool:
        """Count one more, and say whether it is within the limit."""
        if self._limit is None:
            return True
        self._keep_with_the_clock()
        return self._limiter.hit(self._limit, name)

    def has_room(self, name: str) -> bool:
        """Whether one more would be within the limit. A name of which nothing is known leaves nothing behind."""
        if self._limit is None:
            return True
        self._keep_with_the_clock()
        return self._limiter.test(self._limit, name)

    def _keep_with_the_clock(self) -> None:
        """The library counts by the wall clock: when that is set anew, so are the counts. A name could be shut out for days."""
        offset = time.time() - time.monotonic()
        if abs(offset - self._clock_offset) > _CLOCK_JUMP_S:
            self._clock_offset = offset
            self._storage.reset()


class Gate:
    """Lets a request pass with the name of its key, or raises what the envelope answers."""

    def __init__(self, app: ASGIApp, access: Access, keyring: Keyring) -> None:
        self._app = app
        self._access = access
        self._keyring = keyring
        self._rate = Rate(access.rate_limit)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":  # there is none to be asked
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] == "http" and scope["path"] not in OPEN:
            key = await self._admit(scope)
            if key is not None:
                scope["state"]["log"]["key"] = key.name
                scope["state"]["key"] = key
        await self._app(scope, receive, send)

    async def _admit(self, scope: Scope) -> Key | None:
        """The request's key, or None where it needs none. Raises KeyRequired, NotPermitted or RateLimited."""
        host = _header(scope, b"host")
        if self._access.hosts and _without_port(host) not in self._access.hosts:
            raise NotPermitted("this service does not go by that Host; the operator lists its names in DEMURE_HOSTS")
        if is_page(scope["path"]):
            return None
        keys = await self._keyring.keys()
        needed = needed_scope(scope["path"])
        secret = _bearer(scope)
        if secret is not None:
            key = find_key(keys or (), secret) or find_key(await self._keyring.keys(NEW_S) or (), secret)
            return self._checked(key, needed)
        if needed is not KeyScope.CLASSIFY or keys is not None:
            raise KeyRequired("send a key as Authorization: Bearer …; the operator makes one with `demure keys create`")
        if not self._access.public_without_keys:
            self._check_local(scope, host)
        return None

    def _checked(self, key: Key | None, needed: KeyScope) -> Key:
        if key is None:
            raise KeyRequired("the key is not known here; it may have been revoked")
        if not key.may(needed):
            raise NotPermitted(f"the key {key.name!r} has no scope {needed}; make one that has")
        if not self._rate.takes(key.sha256):
            raise RateLimited(f"more than {self._access.rate_limit} for the key {key.name!r}; slow down")
        return key

    def _check_local(self, scope: Scope, host: str) -> None:
        if not is_local(scope):
            raise KeyRequired(
                "no key is configured, so only this machine itself is answered, and not through a proxy; "
                "make a key with `demure keys create`, or set DEMURE_PUBLIC=yes-without-keys"
            )
        # A page in a browser on this machine comes from loopback too: through a name that was rebound to it, or by a
        # request to another origin.
        if not self._access.hosts and not _is_loopback_host(host):
            raise NotPermitted("without a key, Host must be localhost or a loopback address; see DEMURE_HOSTS")
        origins = {value.decode("latin-1").strip().lower() for value in _values(scope["headers"], b"origin")}
        if origins - {"", f"http://{host}", f"https://{host}"}:
            raise NotPermitted("a page of another origin may not ask without a key")


def is_page(path: str) -> bool:
    """Whether a browser asks for it to show it to a person, who has no key: / to try it, and all that reviewers see."""
    return path in ("/", "/review") or path.startswith("/review/")


def needed_scope(path: str) -> KeyScope:
    """What is not known to be harmless needs the highest."""
    if path == "/metrics":
        return KeyScope.METRICS
    if any(path == prefix.rstrip("/") or path.startswith(prefix.rstrip("/") + "/") for prefix in _CLASSIFY_PREFIXES):
        return KeyScope.CLASSIFY
    if path.startswith(("/v1/reviews", "/v1/events")):
        return KeyScope.REVIEW
    return KeyScope.ADMIN


def is_local(scope: Scope) -> bool:
    """Whether both ends of the connection are on this machine and no proxy says that it stands between."""
    if any(name.startswith(_PROXY_HEADERS) for name, _ in scope["headers"]):
        return False
    ends = (scope.get("client"), scope.get("server"))
    return all(end is not None and is_loopback(end[0]) for end in ends)


@lru_cache(maxsize=1024)
def is_loopback(address: str) -> bool:
    try:
        return ip_address(address).is_loopback
    except ValueError:  # a Unix socket's path: who stands behind it cannot be told
        return False


def _is_loopback_host(host: str) -> bool:
    name = _without_port(host)
    return name in _LOOPBACK_HOSTS or is_loopback(name.strip("[]"))


def _without_port(host: str) -> str:
    """Host is name[:port] or [address][:port] (RFC 9110, 7.2)."""
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdigit() else host


def _header(scope: Scope, name: bytes) -> str:
    """The one value of a header, in lower case; several values are no value."""
    values = _values(scope["headers"], name)
    return values[0].decode("latin-1").strip().lower() if len(values) == 1 else ""


def _bearer(scope: Scope) -> str | None:
    """RFC 6750, 2.1."""
    values = _values(scope["headers"], b"authorization")
    if len(values) != 1:
        return None
    scheme, _, secret = values[0].decode("latin-1").partition(" ")
    return secret.strip() if scheme.lower() == "bearer" else None


def _values(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> list[bytes]:
    return [value for key, value in headers if key == name]
