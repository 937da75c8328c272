"""`demure users`: who may review."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from demure.accounts import Role

if TYPE_CHECKING:
    from demure.store.users import Users

users_app = typer.Typer(no_args_is_help=True, help="Invite, list and disable those who review.")
_BY = "shell"


@users_app.command("create")
def create_user(
    name: Annotated[str, typer.Argument(help="What they sign in as.")],
    role: Annotated[Role, typer.Option(help="An admin may also do what concerns other reviewers.")] = Role.REVIEWER,
) -> None:
    """Invite somebody, and print on the last line the link by which they set their password: for one day, and once."""
    with _users() as users:
        if name in {user.name for user in users.list()}:
            from demure.errors import Conflict

            raise Conflict(f"the name {name!r} is taken; `demure users reset {name}` makes a new link for it")
        token = users.invite(name, role, _BY)
    _print_link(name, token)


@users_app.command("reset")
def reset_user(
    name: str,
    role: Annotated[Role | None, typer.Option(help="Another role than before, once the link is used.")] = None,
) -> None:
    """Make a new link for somebody who has lost the old one, or the password."""
    with _users() as users:
        token = users.reset(name, _BY, role)
    _print_link(name, token)


@users_app.command("list")
def list_users() -> None:
    """List names, roles, and who has not used the link yet or is disabled."""
    with _users() as users:
        for user in users.list():
            state = "disabled" if user.disabled else "active" if user.has_password else "invited"
            print(f"{user.name}\t{user.role}\t{state}")


@users_app.command("disable")
def disable_user(name: str) -> None:
    """End somebody's sessions and let them begin none."""
    with _users() as users:
        users.disable(name, _BY)
    print(f"Disabled {name!r}.")


@users_app.command("enable")
def enable_user(name: str) -> None:
    """Let somebody who was disabled sign in again."""
    with _users() as users:
        users.enable(name, _BY)
    print(f"Enabled {name!r}.")


def _print_link(name: str, token: str) -> None:
    print(
        f"{name!r} sets a password at this path of the service, once and within a day. Send it by a way that others cannot read:"
    )
    print(f"/review/set-up?token={token}")


@contextmanager
def _users() -> Iterator[Users]:
    from demure.settings import read_settings
    from demure.store import open_database
    from demure.store.users import Users

    database = open_database(read_settings())
    try:
        yield Users(database)
    finally:
        database.close()
