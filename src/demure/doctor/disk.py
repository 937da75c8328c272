"""What the database's file lies on: whether locks hold there, whether it is kept, and how much room is left."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from demure.decode import MIB
from demure.doctor.finding import Finding, in_bytes, note, ok, problem
from demure.machine import is_ephemeral, mount
from demure.settings import platform_forgets

CHECK = "disk"
LEAST_BYTES, ENOUGH_BYTES = 64 * MIB, 1024 * MIB
# SQLite's WAL wants memory that all its processes share, and locks that hold: not over a network (sqlite.org/wal.html).
_NETWORKS = ("nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "ceph", "glusterfs", "lustre", "beegfs", "gfs2", "ocfs2")
_UNSURE = ("9p", "virtiofs", "vboxsf", "prl_fs")  # shared with a host
_KEPT = "put DEMURE_DATA_DIR on a volume that is kept, or set DEMURE_DATABASE_URL to a PostgreSQL"


@dataclass(frozen=True)
class Disk:
    """`folder` is the database's, or the nearest one above it that is there."""

    folder: Path
    kind: str  # the file system's; "" where it cannot be known
    read_only: bool
    forgets: bool
    free_bytes: int


def look(folder: Path, environment: Mapping[str, str], root: Path = Path("/")) -> Disk:
    there = nearest(folder)
    kind, options = mount(there, root)
    return Disk(
        folder=there,
        kind=kind,
        read_only="ro" in options,
        forgets=is_ephemeral(there, root) or platform_forgets(environment),
        free_bytes=shutil.disk_usage(there).free,
    )


def nearest(folder: Path) -> Path:
    """The folder itself, or the first above it that is there. One that may not be looked into counts as not there."""
    return next(path for path in (folder, *folder.parents) if os.path.isdir(path))  # noqa: PTH112  is_dir raises there


def check_disk(disk: Disk, database_bytes: int) -> Iterator[Finding]:
    told = f"{disk.folder}: {disk.kind or 'a disk'}, {in_bytes(disk.free_bytes)} free"
    found = [*_on_kind(disk), *_on_room(disk, told, database_bytes)]
    yield from found or [ok(CHECK, told)]


def _on_kind(disk: Disk) -> Iterator[Finding]:
    base = disk.kind.removeprefix("fuse.")
    if base in _NETWORKS or base == "sshfs":
        yield problem(
            CHECK,
            f"{disk.folder}: {disk.kind}, a network's file system, where SQLite's locks do not hold",
            "put DEMURE_DATA_DIR on a disk of this machine, or set DEMURE_DATABASE_URL to a PostgreSQL",
        )
    elif base in _UNSURE or disk.kind.startswith("fuse."):
        yield note(
            CHECK,
            f"{disk.folder}: {disk.kind}, which may not keep SQLite's locks",
            "put DEMURE_DATA_DIR on a disk of this machine, unless you know that it does",
        )
    if disk.read_only:
        yield problem(
            CHECK, f"{disk.folder}: mounted to be read only", "put DEMURE_DATA_DIR where the service may write"
        )
    elif disk.forgets:
        yield note(
            CHECK, f"{disk.folder}: {disk.kind or 'a disk'} that is likely to be gone after the next deployment", _KEPT
        )


def _on_room(disk: Disk, told: str, database_bytes: int) -> Iterator[Finding]:
    advice = "make room; DEMURE_KEEP_PREVIEWS_DAYS and the other DEMURE_KEEP_* say how long what is kept"
    if disk.free_bytes < LEAST_BYTES:
        yield problem(CHECK, f"{told}: soon no verdict can be kept", advice)
    elif disk.free_bytes < ENOUGH_BYTES:
        yield note(CHECK, told, advice)
    elif disk.free_bytes < database_bytes:
        yield note(
            CHECK, f"{told}: a backup of the database, {in_bytes(database_bytes)}, does not fit beside it", advice
        )
