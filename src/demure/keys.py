"""API keys: how one is made, hashed, written down and found again. Only hashes are kept.

A key is 256 random bits, so a plain SHA-256 is enough: there is nothing to guess that a slow hash would protect.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import hmac
import os
import re
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from demure.errors import InvalidSetting, StorageFull

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


class KeyFile:
    """Keys in a file of one entry a line, read anew when it changes, so that keys can be rotated under a running service."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._stamp: tuple[int, int, int] | None = None
        self._keys: tuple[Key, ...] = ()

    def keys(self) -> tuple[Key, ...]:
        """Raises InvalidSetting if the file does not hold."""
        return self.read() or ()

    def read(self) -> tuple[Key, ...] | None:
        """As keys(), but None where there is no file."""
        try:
            status = self.path.stat()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise InvalidSetting(f"{self.path}: cannot be read ({error.strerror})") from error
        stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
        if stamp != self._stamp:
            try:
                text = self.path.read_text("utf-8")
            except (OSError, UnicodeDecodeError) as error:
                raise InvalidSetting(f"{self.path}: cannot be read ({error})") from error
            self._keys, self._stamp = parse_keys(text, str(self.path)), stamp
        return self._keys

    def add(self, key: Key) -> None:
        """Raises InvalidSetting if the name is taken."""
        if any(known.name == key.name for known in self.keys()):
            raise InvalidSetting(f"{self.path}: the name {key.name!r} is taken; revoke it first, or choose another")
        self._write([*self.keys(), key])

    def remove(self, name: str) -> bool:
        """Whether there was such a key."""
        kept = [key for key in self.keys() if key.name != name]
        found = len(kept) < len(self.keys())
        if found:
            self._write(kept)
        return found

    def _write(self, keys: Sequence[Key]) -> None:
        """In one step, readable by its owner alone. Raises StorageFull or InvalidSetting; the old file stands then."""
        draft = self.path.with_suffix(".new")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            draft.unlink(missing_ok=True)
            with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.writelines(f"{key}\n" for key in keys)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(self.path)
        except OSError as error:
            with contextlib.suppress(OSError):
                draft.unlink(missing_ok=True)
            kind = StorageFull if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) else InvalidSetting
            raise kind(f"{self.path}: cannot be written ({error.strerror})") from error


class Keyring:
    """All keys that are known now: those of the environment, and those of the file as it stands."""

    def __init__(self, fixed: Sequence[Key], file: KeyFile) -> None:
        self._fixed = tuple(fixed)
        self._file = file

    def keys(self) -> tuple[Key, ...] | None:
        """None where none was ever configured: then none is asked for.

        A file whose last key was revoked is still a file: revoking must not open the door. Raises InvalidSetting if it does
        not hold.
        """
        kept = self._file.read()
        return None if kept is None and not self._fixed else (*self._fixed, *(kept or ()))
