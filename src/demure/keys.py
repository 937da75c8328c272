"""API keys: how one is made, hashed and found again. Only hashes are kept.

A key is 256 random bits, so a plain SHA-256 is enough: there is nothing to guess that a slow hash would protect.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import math
import re
import secrets
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from demure.errors import InvalidSetting, StorageUnavailable

FRESH_S = 1.0  # for so long a revoked key may still be good
NEW_S = 0.1  # and a new one not yet known
_PREFIX = "demure_"  # so that a scanner for leaked secrets can find one
_ENTRY = re.compile(r"([A-Za-z0-9._-]{1,64}):([a-z]+(?:,[a-z]+)*):([0-9a-f]{64})")
_FORM = "name:scopes:sha256hex, with scopes among classify,review,metrics,admin"


class Scope(StrEnum):
    """What a key may do. `admin` may do everything."""

    CLASSIFY = "classify"
    REVIEW = "review"
    METRICS = "metrics"
    ADMIN = "admin"


@dataclass(frozen=True)
class Key:
    """A key that is known here, by the hash of its secret."""

    name: str
    scopes: frozenset[Scope]
    sha256: str

    def may(self, scope: Scope) -> bool:
        return scope in self.scopes or Scope.ADMIN in self.scopes

    def __str__(self) -> str:
        return f"{self.name}:{','.join(s for s in Scope if s in self.scopes)}:{self.sha256}"


def make_key(name: str, scopes: Iterable[str]) -> tuple[Key, str]:
    """A new key and its secret, which is shown once. Raises InvalidSetting for a name or scope that cannot be."""
    secret = _PREFIX + secrets.token_urlsafe(32)
    return parse_key(f"{name}:{','.join(scopes)}:{digest(secret)}", "the new key"), secret


def digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def find_key(keys: Sequence[Key], secret: str) -> Key | None:
    """The key whose secret this is. All are compared, each in constant time."""
    given, found = digest(secret), None
    for key in keys:
        if hmac.compare_digest(key.sha256, given):
            found = key
    return found


def parse_keys(text: str, origin: str) -> tuple[Key, ...]:
    """Entries of name:scopes:sha256hex, apart by white space or semicolons. Raises InvalidSetting."""
    return tuple(parse_key(entry, origin) for entry in re.split(r"[\s;]+", text) if entry)


def parse_key(entry: str, origin: str) -> Key:
    match = _ENTRY.fullmatch(entry)
    if match is None or {*match[2].split(",")} - {*Scope}:
        # The entry itself is not shown: somebody may have put the secret there.
        raise InvalidSetting(f"{origin}: an entry is not of the form {_FORM}")
    return Key(match[1], frozenset(map(Scope, match[2].split(","))), match[3])


class Keyring:
    """All keys that are known now: those of the environment, and those of the store, which is asked again after a second."""

    def __init__(
        self,
        fixed: Sequence[Key],
        read: Callable[[], Awaitable[tuple[Key, ...] | None]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`read` gives the keys of the store, or None where there never was one."""
        self._fixed = tuple(fixed)
        self._read = read
        self._clock = clock
        self._kept: tuple[Key, ...] | None = None
        self._was_read = False
        self._read_at = -math.inf
        self._reading = asyncio.Lock()

    async def keys(self, fresh_s: float = FRESH_S) -> tuple[Key, ...] | None:
        """As of `fresh_s` ago, or later. None where none was ever configured: then none is asked for.

        A store whose last key was revoked still knows of it: revoking must not open the door. Raises what `read` raises; a store
        that is away keeps the keys that it had.
        """
        if self._clock() >= self._read_at + fresh_s:
            async with self._reading:
                if self._clock() >= self._read_at + fresh_s:  # others may have waited for the same
                    await self._refresh()
        return None if self._kept is None and not self._fixed else (*self._fixed, *(self._kept or ()))

    async def _refresh(self) -> None:
        try:
            self._kept = await self._read()
            self._was_read = True
        except StorageUnavailable:
            if not self._was_read:
                raise
            # Those that were good a moment ago stay so: what needs no store goes on without it.
        self._read_at = self._clock()
