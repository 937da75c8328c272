"""API keys in the store. A revoked one stays, so that the store knows that keys are asked for here."""

from __future__ import annotations

import logging
from contextlib import suppress
from pathlib import Path

from sqlalchemy import Connection, insert, select, update

from demure.errors import InvalidSetting
from demure.keys import Key, Scope, parse_keys
from demure.store.audit import append
from demure.store.database import Database, upsert
from demure.store.schema import api_keys

_log = logging.getLogger(__name__)


class Keys:
    """What `demure keys` and the service's gate ask."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def read(self) -> tuple[Key, ...] | None:
        """Those that are good now; None where there never was one."""
        rows = self._database.read(lambda c: c.execute(select(api_keys).order_by(api_keys.c.name)).all())
        good = (row for row in rows if row.revoked_ms is None)
        return tuple(Key(r.name, frozenset(map(Scope, r.scopes.split(","))), r.sha256) for r in good) if rows else None

    def add(self, key: Key, by: str = "shell") -> None:
        """Raises InvalidSetting if the name is taken; that of a revoked key is free."""
        now_ms = self._database.now_ms()

        def work(connection: Connection) -> None:
            taken = select(api_keys).where(api_keys.c.name == key.name, api_keys.c.revoked_ms.is_(None))
            if connection.execute(taken).first():
                raise InvalidSetting(f"the name {key.name!r} is taken; revoke that key first, or choose another name")
            upsert(api_keys, connection, {**_row(key, now_ms), "revoked_ms": None}, ["name"])
            append(connection, now_ms, by, "key.created", f"key:{key.name}", scopes=sorted(key.scopes))

        self._database.write(work)

    def revoke(self, name: str, by: str = "shell") -> bool:
        """Whether there was such a key."""
        now_ms = self._database.now_ms()
        good = (api_keys.c.name == name) & api_keys.c.revoked_ms.is_(None)

        def work(connection: Connection) -> bool:
            found = connection.execute(update(api_keys).where(good).values(revoked_ms=now_ms)).rowcount == 1
            if found:
                append(connection, now_ms, by, "key.revoked", f"key:{name}")
            return found

        return self._database.write(work)

    def take_in(self, file: Path) -> None:
        """Move the keys of a file in here, where they were kept before there was a store. Raises InvalidSetting."""
        try:
            text = file.read_text("utf-8")
        except FileNotFoundError:
            return
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidSetting(f"{file}: cannot be read ({error})") from error
        keys, now_ms = parse_keys(text, str(file)), self._database.now_ms()

        def work(connection: Connection) -> None:
            known = set(connection.execute(select(api_keys.c.name)).scalars())
            new = [_row(key, now_ms) for key in keys if key.name not in known]
            if not keys and not known:  # all were revoked: they are asked for all the same
                new = [{"name": "-", "scopes": "classify", "sha256": "-", "created_ms": now_ms, "revoked_ms": now_ms}]
            if new:
                connection.execute(insert(api_keys), new)

        self._database.write(work)
        with suppress(OSError):  # where it cannot be, it is read again, and holds nothing new
            file.replace(file.with_suffix(".moved"))
        _log.info("keys moved from file=%s keys=%d", file, len(keys))


def _row(key: Key, now_ms: int) -> dict[str, object]:
    return {"name": key.name, "scopes": ",".join(sorted(key.scopes)), "sha256": key.sha256, "created_ms": now_ms}
