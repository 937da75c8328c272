"""Who reviews: names, roles, passwords, and the secrets that stand for them. Pure: who stores it and who asks is not known here.

A password is guessed, so it is hashed slowly. A token is 256 random bits, so a plain SHA-256 is enough (see keys.py).
"""

from __future__ import annotations

import re
import secrets
import unicodedata
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from demure.errors import DemureError
from demure.keys import digest
from demure.reviews import Actor

MIN_PASSWORD, MAX_PASSWORD = 12, 1024  # characters
_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")  # as a key's; nothing that a page, a log or a shell would have to escape

FREE_FAILURES = 5
_FIRST_WAIT_S, _LONGEST_WAIT_S = 30, 15 * 60


class Unacceptable(DemureError):
    """A name, a password or preferences that cannot be."""

    code = "invalid_request"


class Role(StrEnum):
    REVIEWER = "reviewer"
    ADMIN = "admin"


@dataclass(frozen=True)
class User:
    name: str
    role: Role
    created_ms: int
    disabled: bool
    has_password: bool  # or has not used the link yet


@dataclass(frozen=True)
class Session:
    """Somebody who is signed in. `csrf` is a secret between our pages and us."""

    user: str
    role: Role
    csrf: str
    preferences: Mapping[str, Any]

    @property
    def is_admin(self) -> bool:
        return self.role is Role.ADMIN

    @property
    def actor(self) -> Actor:
        return Actor(f"user:{self.user}", self.is_admin)


@dataclass(frozen=True)
class SessionLimits:
    idle_s: int = 12 * 60 * 60
    absolute_s: int = 7 * 24 * 60 * 60
    touch_s: int = 60  # `seen` is written no more often


@dataclass(frozen=True)
class Verified:
    """`rehashed` is the same password under today's parameters, where it was kept under others."""

    right: bool
    rehashed: str | None = None


class Passwords:
    """argon2id with OWASP's second-smallest set of parameters (Password Storage Cheat Sheet): 19 MiB and about 30 ms each.

    RFC 9106 would have 64 MiB and more, of which a box of 1 GB has not two to spare.
    """

    def __init__(self, memory_kib: int = 19_456, passes: int = 2, lanes: int = 1) -> None:
        self._hasher = PasswordHasher(time_cost=passes, memory_cost=memory_kib, parallelism=lanes)
        # What nobody's password hashes to. To verify against it takes as long as against a real one.
        salt, tag = (b64encode(bytes(size)).decode().rstrip("=") for size in (16, 32))
        self._nobodys = f"$argon2id$v=19$m={memory_kib},t={passes},p={lanes}${salt}${tag}"

    def hash(self, password: str) -> str:
        """Raises Unacceptable for one that is too short or too long."""
        return self._hasher.hash(_prepared(check_password(password)))

    def verify(self, kept: str | None, password: str) -> Verified:
        """Takes the same time whether there is a hash or not."""
        too_long = len(password) > MAX_PASSWORD  # none that was ever taken is
        prepared = _prepared(password[:MAX_PASSWORD])
        try:
            right = self._hasher.verify(kept or self._nobodys, prepared)
        except (VerificationError, InvalidHashError):
            return Verified(right=False)
        if kept is None or too_long:
            return Verified(right=False)
        return Verified(right, self._hasher.hash(prepared) if self._hasher.check_needs_rehash(kept) else None)


def check_password(password: str) -> str:
    """Long enough, and nothing else is asked: rules of composition make no better passwords (NIST SP 800-63B, 3.1.1.2)."""
    if not MIN_PASSWORD <= len(password) <= MAX_PASSWORD:
        raise Unacceptable(
            f"a password has {MIN_PASSWORD} to {MAX_PASSWORD} characters; this one has {len(password)}. "
            "A few words that belong to no sentence are easy to remember"
        )
    return password


def is_name(name: str) -> bool:
    return _NAME.fullmatch(name) is not None


def check_name(name: str) -> str:
    if not is_name(name):
        raise Unacceptable("a user's name is 1 to 64 of A-Z, a-z, 0-9, dot, underscore and hyphen")
    return name


def make_token() -> tuple[str, str]:
    """A new secret, and what of it is kept."""
    secret = secrets.token_urlsafe(32)
    return secret, digest(secret)


def wait_s(failures: int) -> int:
    """How long after the last of so many wrong passwords in a row the next is not looked at."""
    if failures < FREE_FAILURES:
        return 0
    return min(_FIRST_WAIT_S << min(failures - FREE_FAILURES, 10), _LONGEST_WAIT_S)


def _prepared(password: str) -> bytes:
    """The same bytes for the same password, however a keyboard composes it: NFKC (NIST SP 800-63B, 3.1.1.2).

    RFC 8265 would have NFC, which keeps full-width letters apart; who types on a phone what they chose on a desk wants them one.
    """
    return unicodedata.normalize("NFKC", password).encode("utf-8", "surrogatepass")
