"""What is in a database that bears on who may do what: names, dates and counts, and no secret's hash."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, func, select

from demure.accounts import Role
from demure.keys import Scope
from demure.store.schema import api_keys, deliveries, reviews, users


@dataclass(frozen=True)
class KeptKey:
    name: str
    scopes: frozenset[Scope]
    created_ms: int


@dataclass(frozen=True)
class Contents:
    """As an empty database has it."""

    keys: tuple[KeptKey, ...] = ()  # those that are good
    had_keys: bool = False  # those that were revoked count too
    admins: int = 0  # who can sign in
    reviewers: int = 0
    waiting: int = 0  # for a person
    dead_letters: int = 0


def read_contents(connection: Connection) -> Contents:
    """Of tables that are up to date."""
    rows = connection.execute(select(api_keys).order_by(api_keys.c.name)).all()
    good = (row for row in rows if row.revoked_ms is None)
    is_active = users.c.disabled_ms.is_(None) & users.c.password.is_not(None)
    by_role = select(users.c.role, func.count()).where(is_active).group_by(users.c.role)
    people = {row[0]: row[1] for row in connection.execute(by_role)}
    waiting = select(func.count()).select_from(reviews).where(reviews.c.state == "open")
    dead = select(func.count()).select_from(deliveries).where(deliveries.c.state == "dead")
    return Contents(
        keys=tuple(KeptKey(r.name, frozenset(map(Scope, r.scopes.split(","))), r.created_ms) for r in good),
        had_keys=bool(rows),
        admins=people.get(Role.ADMIN, 0),
        reviewers=people.get(Role.REVIEWER, 0),
        waiting=connection.execute(waiting).scalar_one(),
        dead_letters=connection.execute(dead).scalar_one(),
    )
