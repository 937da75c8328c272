"""Where the database is to be, and who may read it there: all that can be said before it is opened."""

from __future__ import annotations

import os
import pwd
import shlex
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import URL
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from demure.doctor.disk import nearest
from demure.doctor.finding import Finding, note, ok, problem
from demure.settings import Settings

CHECK = "database"
_MEND = "mend DEMURE_DATABASE_URL, or leave it out for SQLite in DEMURE_DATA_DIR"
_OWN_FOLDER = "put it in a folder of its own (DEMURE_DATA_DIR)"
_FORM = (
    "DEMURE_DATABASE_URL: expected sqlite:///path, sqlite:// (nothing is kept) or postgresql://user:password@host/name"
)
_POSTGRES = ("postgres", "postgresql", "postgresql+psycopg")


class Unreadable(Exception):
    """Why, in words that are fit to show, and what to do."""

    def __init__(self, found: str, advice: str) -> None:
        super().__init__(found)
        self.found = found
        self.advice = advice


@dataclass(frozen=True)
class Target:
    """What DEMURE_DATABASE_URL and DEMURE_DATA_DIR name. `where` holds no password and no user."""

    url: URL
    where: str
    path: Path | None = None  # of SQLite
    in_memory: bool = False


@dataclass(frozen=True)
class Access:
    """What the system says of a SQLite file to who asks, named `by`."""

    by: str
    exists: bool
    is_file: bool  # what exists: a regular one, and no folder or device
    hidden: bool  # the folder is somebody's who lets nobody look: whether it exists is not known
    readable: bool
    writable: bool  # with its folder
    owner: str
    mode: int
    folder: Path  # or the nearest one above that is there
    folder_mode: int
    own_folder: bool  # it is who asks's, and there for demure alone
    old_keys: bool  # keys.txt, of an older version

    @property
    def is_missing(self) -> bool:
        return not (self.exists or self.hidden)

    @property
    def is_shut(self) -> bool:
        """To who asks: what is in it cannot be told."""
        return self.hidden or (self.exists and not (self.readable and self.is_file))


def target_of(settings: Settings) -> Target:
    """Raises Unreadable."""
    try:
        url = make_url(settings.database_url or f"sqlite:///{settings.data_dir.expanduser() / 'demure.db'}")
    except (ArgumentError, ValueError):
        raise Unreadable(_FORM, _MEND) from None  # what was wrong may be a password
    if url.drivername in _POSTGRES:
        host = url.host or str(url.query.get("host", "a socket"))
        port = f":{url.port}" if url.port else ""
        return Target(url.set(drivername=_POSTGRES[-1]), f"PostgreSQL at {host}{port}, {url.database or ''}")
    if url.drivername != "sqlite":
        raise Unreadable(_FORM, _MEND)
    if not url.database or url.database == ":memory:":
        return Target(url, "SQLite in memory", in_memory=True)
    path = Path(url.database).expanduser()
    return Target(url, f"SQLite, {path}", path)


def look_at_file(path: Path, data_dir: Path) -> Access:
    # os.path's own functions: those of Path raise where they may not look.
    folder, exists = nearest(path.parent), os.path.exists(path)  # noqa: PTH110
    found = (path if exists else folder).stat()
    return Access(
        by=_name(os.geteuid()),
        exists=exists,
        is_file=os.path.isfile(path),  # noqa: PTH113
        hidden=not os.access(folder, os.X_OK),
        readable=os.access(path if exists else folder, os.R_OK),
        writable=os.access(folder, os.W_OK | os.X_OK) and (not exists or os.access(path, os.W_OK)),
        owner=_name(found.st_uid),
        mode=stat.S_IMODE(found.st_mode) if exists else 0o600,
        folder=folder,
        folder_mode=stat.S_IMODE(folder.stat().st_mode) if folder == path.parent else 0o700,
        own_folder=folder == path.parent and _is_own(folder, path.name, data_dir),
        old_keys=os.path.exists(data_dir / "keys.txt"),  # noqa: PTH110
    )


def _is_own(folder: Path, file: str, data_dir: Path) -> bool:
    """Whether its rights can be changed without harm to others. Never /, /tmp, /var/lib or a home, were they DEMURE_DATA_DIR."""
    found = folder.stat()
    if found.st_uid != os.geteuid() or found.st_mode & stat.S_ISVTX:
        return False
    try:
        names = os.listdir(folder)  # noqa: PTH208
    except OSError:
        return False
    path = folder.resolve()
    if path in (Path("/"), Path.home().resolve()):
        return False
    ours = {"keys.txt", *(file + ending for ending in ("", "-wal", "-shm", "-journal"))}
    is_below = len(path.parts) > 3  # /var/lib/demure, and not /var/lib
    return (is_below and path == data_dir.resolve()) or (file in names and ours.issuperset(names))


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"


def check_access(access: Access, path: Path) -> Iterator[Finding]:
    if access.exists and not access.is_file:
        yield problem(
            CHECK,
            f"{path}: is a folder or a device, and no file",
            "name a file in DEMURE_DATABASE_URL, or leave it out for demure.db in DEMURE_DATA_DIR",
        )
        return
    if access.is_shut or not access.writable:
        yield _not_allowed(access, path)
    elif not access.exists:
        yield ok(CHECK, f"SQLite, {path}: not there yet; the first start makes it")
    if access.exists and access.mode & 0o077:
        yield problem(
            CHECK,
            f"{path}: open to others than {access.owner} (mode {access.mode:o}), and pictures are in it",
            f"chmod 600 {_quoted(path)}*",
        )
    others_may = "write into it" if access.folder_mode & 0o022 else "look into it" if access.folder_mode & 0o055 else ""
    if others_may:
        yield (problem if access.folder_mode & 0o022 else note)(
            CHECK,
            f"{access.folder}: others can {others_may} (mode {access.folder_mode:o})",
            f"chmod 700 {_quoted(access.folder)}" if access.own_folder else _OWN_FOLDER,
        )
    if access.old_keys:
        yield note(CHECK, "keys.txt, of an older version, is in DEMURE_DATA_DIR", "nothing: the next start takes it in")


def _not_allowed(access: Access, path: Path) -> Finding:
    if (access.exists or access.hidden) and access.owner != access.by:
        may = "written" if access.readable and not access.hidden else "read"
        return note(
            CHECK,
            f"{path}: it or its folder is {access.owner}'s, and cannot be {may} by {access.by}",
            f"if the service runs as {access.owner}, ask as that (sudo -u {access.owner}); if as {access.by}, give it the folder",
        )
    if access.exists:
        found = f"{path}: cannot be {'written' if access.readable else 'read'} by {access.by}, whose it is"
        return problem(CHECK, found, f"{_give_back(access, path)}; or the disk is mounted to be read only")
    return problem(
        CHECK,
        f"{path}: not there, and cannot be made by {access.by}: {access.folder} is {access.owner}'s",
        "let the user that the service runs as write there, or set DEMURE_DATA_DIR to a folder of its own",
    )


def _give_back(access: Access, path: Path) -> str:
    if access.own_folder:
        return f"chmod u+rwX {_quoted(access.folder)} {_quoted(path)}"
    return f"chmod u+rw {_quoted(path)}, and {_OWN_FOLDER}"


def _quoted(path: Path) -> str:
    return shlex.quote(str(path))
