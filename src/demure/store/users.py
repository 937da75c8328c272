"""Users, their sessions, and the links by which they set a password.

Nothing here tells whether there is a user of some name: a wrong name, a wrong password, a disabled user and one who has to wait
get the same answer after the same work. What is left to see is one row's update, which is not waited for until it is on the
disk, beside 30 ms of hashing.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, delete, insert, select, update

from demure.accounts import (
    Passwords,
    Role,
    Session,
    SessionLimits,
    Unacceptable,
    User,
    check_name,
    check_password,
    is_name,
    make_token,
    wait_s,
)
from demure.errors import Conflict, NotPermitted, SourceNotFound
from demure.keys import digest
from demure.store.audit import append
from demure.store.database import Database, insert_new
from demure.store.schema import invitations, sessions, users

INVITATION_S = 24 * 60 * 60
_AHEAD_MS = 60_000  # that another machine's clock may be ahead of ours
_MAX_PREFERENCES = 4096  # bytes of JSON
_REFUSED = (
    "the name or the password is wrong. After five wrong passwords in a row none is looked at for a while: half a minute at "
    "first, a quarter of an hour at most"
)
_DEAD_LINK = "this link has been used, is more than a day old, or a newer one was made; ask an admin for another"


class Users:
    """Thread-safe. Every change but a session's last use and preferences is in the audit log, `by` whom it says."""

    def __init__(
        self, database: Database, passwords: Passwords | None = None, limits: SessionLimits = SessionLimits()
    ) -> None:
        self._database = database
        self._passwords = passwords or Passwords()
        self._limits = limits

    def invite(self, name: str, role: Role, by: str) -> str:
        """A new link's token, for a new user or to set a known one's password and role; an older link is void.

        Raises Unacceptable for a name that cannot be; Conflict for a disabled user, and where no admin would be left.
        """
        check_name(name)
        token, kept = make_token()
        now_ms = self._database.now_ms()

        def work(connection: Connection) -> None:
            insert_new(users, connection, _new_user(name, role, now_ms))
            user = _locked(connection, name)
            if user.disabled_ms is not None:
                raise Conflict(f"{name} is disabled; `demure users enable {name}` first")
            if role is not Role.ADMIN:
                _keep_an_admin(connection, name)
            _make_invitation(connection, name, role, kept, now_ms)
            append(connection, now_ms, by, "user.invited", f"user:{name}", role=role)

        self._database.write(work)
        return token

    def invite_first(self, name: str, by: str) -> str | None:
        """A link for the first admin; None where there is an admin, or somebody has such a link already.

        Of several processes that start at once, one gets it.
        """
        token, kept = make_token()
        now_ms = self._database.now_ms()
        good = (invitations.c.role == Role.ADMIN) & (invitations.c.expires_ms > now_ms)

        def work(connection: Connection) -> bool:
            insert_new(users, connection, _new_user(name, Role.ADMIN, now_ms))  # others wait here for each other
            _locked(connection, name)
            asked = (_ACTIVE_ADMINS, select(invitations.c.token).where(good))
            if any(connection.execute(wanted).first() for wanted in asked):
                return False
            _make_invitation(connection, name, Role.ADMIN, kept, now_ms)
            append(connection, now_ms, by, "user.invited", f"user:{name}", role=Role.ADMIN)
            return True

        return token if self._database.write(work) else None

    def reset(self, name: str, by: str, role: Role | None = None) -> str:
        """As invite, for a user who is known, and with the role as it is unless another is given. Raises SourceNotFound."""
        user = next((user for user in self.list() if user.name == name), None)
        if user is None:
            raise _unknown(name)
        return self.invite(name, role or user.role, by)

    def invited(self, token: str) -> str | None:
        """The name that a link is for, while it is good."""
        good = select(invitations.c.user).where(_is_good(token, self._database.now_ms()))
        return self._database.read(lambda c: c.execute(good).scalar())

    def set_up(self, token: str, password: str) -> User:
        """Use a link up. Ends the user's sessions, and the waiting after wrong passwords.

        Raises Unacceptable for the password, which leaves the link as it was; SourceNotFound for a link that is not good;
        Conflict where no admin would be left.
        """
        check_password(password)
        name = self.invited(token)
        if name is None:  # before the work of hashing
            raise SourceNotFound(_DEAD_LINK)
        hashed = self._passwords.hash(password)
        now_ms = self._database.now_ms()

        def work(connection: Connection) -> User:
            user = _locked(connection, name)
            # Of two at once one deletes the row, and the other finds none.
            used = delete(invitations).where(_is_good(token, now_ms)).returning(invitations.c.role)
            role = connection.execute(used).scalar()
            if role is None or user.disabled_ms is not None:
                raise SourceNotFound(_DEAD_LINK)
            if role != Role.ADMIN:
                _keep_an_admin(connection, name)
            values = {"role": role, "password": hashed, "failures": 0, "failed_ms": None}
            connection.execute(update(users).where(users.c.name == name).values(values))
            connection.execute(delete(sessions).where(sessions.c.user == name))
            append(connection, now_ms, f"user:{name}", "user.password_set", f"user:{name}", role=role)
            return _user(_locked(connection, name))

        return self._database.write(work)

    def sign_in(self, name: str, password: str) -> tuple[str, Session]:
        """A new session's token, and the session. Raises NotPermitted, with one message for all causes.

        The attempt is counted before the password is looked at, so that many at once are no more guesses than one after another;
        and hashing holds no transaction open.
        """
        token, kept = make_token()
        user = self._begin_attempt(name)
        verified = self._passwords.verify(user.password if user else None, password)
        if user is None:
            raise NotPermitted(_REFUSED)
        if not verified.right:
            raise self._refused(name)
        now_ms, csrf = self._database.now_ms(), secrets.token_urlsafe(32)

        def work(connection: Connection) -> Session:
            self._end_attempt(connection, user, verified.rehashed)
            connection.execute(delete(sessions).where(~self._is_alive(now_ms)))
            session = {"token": kept, "user": name, "csrf": csrf, "created_ms": now_ms, "seen_ms": now_ms}
            connection.execute(insert(sessions).values(session))
            append(connection, now_ms, f"user:{name}", "user.signed_in", f"user:{name}")
            return Session(name, Role(user.role), csrf, user.preferences)

        return token, self._database.write(work)

    def change_password(self, name: str, old: str, new: str, token: str) -> None:
        """Ends the user's sessions but the one of this token.

        Raises NotPermitted as sign_in does, for a stolen session must not be a way to guess; Unacceptable for the new password.
        """
        check_password(new)
        user = self._begin_attempt(name)
        verified = self._passwords.verify(user.password if user else None, old)
        if user is None:
            raise NotPermitted(_REFUSED)
        if not verified.right:
            raise self._refused(name)
        hashed, now_ms = self._passwords.hash(new), self._database.now_ms()

        def work(connection: Connection) -> None:
            self._end_attempt(connection, user, hashed)
            others = (sessions.c.user == name) & (sessions.c.token != digest(token))
            connection.execute(delete(sessions).where(others))
            connection.execute(delete(invitations).where(invitations.c.user == name))
            append(connection, now_ms, f"user:{name}", "user.password_changed", f"user:{name}")

        self._database.write(work)

    def session(self, token: str) -> Session | None:
        """Who has this token, if the session has not ended and the user is not disabled."""
        now_ms, kept = self._database.now_ms(), digest(token)
        found = (
            select(sessions, users.c.role, users.c.preferences)
            .join(users, users.c.name == sessions.c.user)
            .where(sessions.c.token == kept, self._is_alive(now_ms), users.c.disabled_ms.is_(None))
        )
        row = self._database.read(lambda c: c.execute(found).one_or_none())
        if row is None:
            return None
        if now_ms - row.seen_ms >= self._limits.touch_s * 1000:
            seen = update(sessions).where(sessions.c.token == kept).values(seen_ms=now_ms)
            self._database.write(lambda c: c.execute(seen), durable=False)
        return Session(row.user, Role(row.role), row.csrf, row.preferences)

    def sign_out(self, token: str) -> None:
        now_ms = self._database.now_ms()
        ended = delete(sessions).where(sessions.c.token == digest(token)).returning(sessions.c.user)

        def work(connection: Connection) -> None:
            name = connection.execute(ended).scalar()
            if name is not None:
                append(connection, now_ms, f"user:{name}", "user.signed_out", f"user:{name}")

        self._database.write(work)

    def disable(self, name: str, by: str) -> None:
        """Ends the user's sessions at once, and voids the link. Raises SourceNotFound, and Conflict for the last active admin."""
        now_ms = self._database.now_ms()

        def work(connection: Connection) -> None:
            if _locked(connection, name).disabled_ms is not None:
                return
            _keep_an_admin(connection, name)
            connection.execute(update(users).where(users.c.name == name).values(disabled_ms=now_ms))
            connection.execute(delete(sessions).where(sessions.c.user == name))
            connection.execute(delete(invitations).where(invitations.c.user == name))
            append(connection, now_ms, by, "user.disabled", f"user:{name}")

        self._database.write(work)

    def enable(self, name: str, by: str) -> None:
        """With the password as it was. Raises SourceNotFound."""
        now_ms = self._database.now_ms()

        def work(connection: Connection) -> None:
            if _locked(connection, name).disabled_ms is None:
                return
            values = {"disabled_ms": None, "failures": 0, "failed_ms": None}
            connection.execute(update(users).where(users.c.name == name).values(values))
            append(connection, now_ms, by, "user.enabled", f"user:{name}")

        self._database.write(work)

    def list(self) -> tuple[User, ...]:
        """By name."""
        rows = self._database.read(lambda c: c.execute(select(users).order_by(users.c.name)).all())
        return tuple(map(_user, rows))

    def set_preferences(self, name: str, preferences: Mapping[str, Any]) -> None:
        """Replaces them. Raises Unacceptable for more than a page has reason to keep."""
        if len(json.dumps(dict(preferences))) > _MAX_PREFERENCES:
            raise Unacceptable(f"preferences are larger than {_MAX_PREFERENCES} bytes")
        kept = update(users).where(users.c.name == name).values(preferences=dict(preferences))
        self._database.write(lambda c: c.execute(kept), durable=False)

    def has_admin(self) -> bool:
        """Whether an admin can sign in."""
        return self._database.read(lambda c: c.execute(_ACTIVE_ADMINS).first()) is not None

    def _is_alive(self, now_ms: int) -> ColumnElement[bool]:
        """One that was seen in the future was kept alive by a clock that has been set back."""
        limits, seen_ms = self._limits, sessions.c.seen_ms
        is_young = sessions.c.created_ms > now_ms - limits.absolute_s * 1000
        return is_young & (seen_ms > now_ms - limits.idle_s * 1000) & (seen_ms <= now_ms + _AHEAD_MS)

    def _begin_attempt(self, name: str) -> Row[Any] | None:
        """Count a wrong password, which the right one takes back. None where no password would be right now."""
        now_ms = self._database.now_ms()

        def work(connection: Connection) -> Row[Any] | None:
            user = _find(connection, name)
            if user is None or user.disabled_ms is not None or _must_wait(user, now_ms):
                return None
            counted = {"failures": user.failures + 1, "failed_ms": now_ms}
            connection.execute(update(users).where(users.c.name == name).values(counted))
            return user

        # Lost when the machine fails, a few guesses are free.
        return self._database.write(work, durable=False)

    def _end_attempt(self, connection: Connection, user: Row[Any], hashed: str | None) -> None:
        """The password was right. Raises NotPermitted if it has changed since it was looked at, or its user was disabled."""
        same = (users.c.name == user.name) & (users.c.password == user.password) & users.c.disabled_ms.is_(None)
        values = {"failures": 0, "failed_ms": None, "password": hashed or user.password}
        if connection.execute(update(users).where(same).values(values)).rowcount != 1:
            raise NotPermitted(_REFUSED)

    def _refused(self, name: str) -> NotPermitted:
        """Only attempts that were looked at are logged: who floods us must not fill the log."""
        now_ms = self._database.now_ms()
        target = f"user:{name}"
        self._database.write(lambda c: append(c, now_ms, target, "user.sign_in_refused", target), durable=False)
        return NotPermitted(_REFUSED)


_IS_ACTIVE_ADMIN = (users.c.role == Role.ADMIN) & users.c.disabled_ms.is_(None) & users.c.password.is_not(None)
_ACTIVE_ADMINS = select(users.c.name).where(_IS_ACTIVE_ADMIN).order_by(users.c.name)


def _keep_an_admin(connection: Connection, name: str) -> None:
    """Raises Conflict if nobody but this one is an active admin. The rows are held: two cannot go at once."""
    if list(connection.execute(_ACTIVE_ADMINS.with_for_update()).scalars()) == [name]:
        raise Conflict(f"{name} is the last admin who can sign in; make another first")


def _must_wait(user: Row[Any], now_ms: int) -> bool:
    """A clock that was set back makes nobody wait for what it shows."""
    return user.failed_ms is not None and 0 <= now_ms - user.failed_ms < wait_s(user.failures) * 1000


def _find(connection: Connection, name: str) -> Row[Any] | None:
    """The user's row, which nobody else changes until the transaction ends."""
    if not is_name(name):  # PostgreSQL would not take every text
        return None
    return connection.execute(select(users).where(users.c.name == name).with_for_update()).one_or_none()


def _locked(connection: Connection, name: str) -> Row[Any]:
    """As _find. Raises SourceNotFound."""
    row = _find(connection, name)
    if row is None:
        raise _unknown(name)
    return row


def _unknown(name: str) -> SourceNotFound:
    return SourceNotFound(f"no user {name!r}; `demure users list` shows who there is")


def _new_user(name: str, role: Role, now_ms: int) -> dict[str, Any]:
    return {"name": name, "role": role, "created_ms": now_ms, "failures": 0, "preferences": {}}


def _make_invitation(connection: Connection, name: str, role: Role, kept: str, now_ms: int) -> None:
    connection.execute(delete(invitations).where(invitations.c.user == name))
    values = {"token": kept, "user": name, "role": role, "expires_ms": now_ms + INVITATION_S * 1000}
    connection.execute(insert(invitations).values(values))


def _is_good(token: str, now_ms: int) -> ColumnElement[bool]:
    return (invitations.c.token == digest(token)) & (invitations.c.expires_ms > now_ms)


def _user(row: Row[Any]) -> User:
    return User(row.name, Role(row.role), row.created_ms, row.disabled_ms is not None, row.password is not None)
