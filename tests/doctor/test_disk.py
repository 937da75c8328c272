from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from findings import told

from demure.decode import MIB
from demure.doctor import (
    disk,
)

HOME = disk.Disk(Path("/data"), "ext4", read_only=False, forgets=False, free_bytes=20 * 1024 * MIB)
ROOM = "make room; DEMURE_KEEP_PREVIEWS_DAYS and the other DEMURE_KEEP_* say how long what is kept"
LOCAL = "put DEMURE_DATA_DIR on a disk of this machine, or set DEMURE_DATABASE_URL to a PostgreSQL"
VOLUME = "put DEMURE_DATA_DIR on a volume that is kept, or set DEMURE_DATABASE_URL to a PostgreSQL"
DISKS = {
    "a-disk": (HOME, 0, [("ok", "/data: ext4, 20.0 GiB free")]),
    "not-known": (replace(HOME, kind=""), 0, [("ok", "/data: a disk, 20.0 GiB free")]),
    "read-only": (
        replace(HOME, read_only=True),
        0,
        [("problem", "/data: mounted to be read only", "put DEMURE_DATA_DIR where the service may write")],
    ),
    "a-containers-layer": (
        replace(HOME, kind="overlay", forgets=True),
        0,
        [("note", "/data: overlay that is likely to be gone after the next deployment", VOLUME)],
    ),
    "nearly-full": (
        replace(HOME, free_bytes=1023 * MIB),
        0,
        [("note", "/data: ext4, 1023 MiB free", ROOM)],
    ),
    "full": (
        replace(HOME, free_bytes=63 * MIB),
        0,
        [("problem", "/data: ext4, 63 MiB free: soon no verdict can be kept", ROOM)],
    ),
    "no-room-for-a-backup": (
        HOME,
        21 * 1024 * MIB,
        [("note", "/data: ext4, 20.0 GiB free: a backup of the database, 21.0 GiB, does not fit beside it", ROOM)],
    ),
}
for kind in ("nfs4", "cifs", "fuse.sshfs", "fuse.glusterfs"):
    DISKS[kind] = (
        replace(HOME, kind=kind),
        0,
        [("problem", f"/data: {kind}, a network's file system, where SQLite's locks do not hold", LOCAL)],
    )
for kind in ("9p", "virtiofs", "fuse.grpcfuse"):
    DISKS[kind] = (
        replace(HOME, kind=kind),
        0,
        [
            (
                "note",
                f"/data: {kind}, which may not keep SQLite's locks",
                "put DEMURE_DATA_DIR on a disk of this machine, unless you know that it does",
            )
        ],
    )


@pytest.mark.parametrize(("found", "database_bytes", "expected"), DISKS.values(), ids=DISKS)
def test_disk(found: disk.Disk, database_bytes: int, expected: list[tuple[str, ...]]):
    assert told(disk.check_disk(found, database_bytes)) == expected


# proc(5): the fifth field is where, the sixth how, and after the dash comes the type. A space is written as \040.
MOUNTS = """22 1 0:21 / / rw,relatime - overlay overlay rw
30 22 0:25 / {root} rw,relatime shared:1 - ext4 /dev/sda1 rw
31 30 0:26 / {root}/shared\\040pictures ro,nosuid - nfs4 host:/x rw
"""


def test_a_folder_is_on_the_file_system_that_was_mounted_nearest_above(tmp_path: Path):
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/mountinfo").write_text(MOUNTS.format(root=tmp_path))
    (tmp_path / "shared pictures").mkdir()
    shared = disk.look(tmp_path / "shared pictures" / "demure", {}, tmp_path)
    assert (shared.folder, shared.kind, shared.read_only, shared.forgets) == (
        tmp_path / "shared pictures",
        "nfs4",
        True,
        False,
    )
    ours = disk.look(tmp_path, {}, tmp_path)
    assert (ours.kind, ours.read_only, ours.forgets) == ("ext4", False, False)
    assert disk.look(tmp_path, {"DYNO": "web.1"}, tmp_path).forgets
    above = disk.look(tmp_path.parent, {}, tmp_path)
    assert (above.kind, above.forgets) == ("overlay", True)


def test_where_mounts_cannot_be_read_the_kind_is_not_known(tmp_path: Path):
    assert (disk.look(tmp_path, {}, tmp_path).kind, disk.look(tmp_path, {}, tmp_path).read_only) == ("", False)
