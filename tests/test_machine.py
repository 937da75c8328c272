from __future__ import annotations

import os
from pathlib import Path

import pytest

from demure.machine import is_ephemeral, usable_memory, usable_processors

ALLOWED = len(os.sched_getaffinity(0))
MACHINE = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
MIB = 1024 * 1024


def system(root: Path, group: str, files: dict[str, str]) -> Path:
    """A root whose process is in this group, as /proc/self/cgroup says it, with these files under /sys/fs/cgroup."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(group)
    for name, text in files.items():
        path = root / "sys/fs/cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    return root


# cgroup v2, cpu.max: "quota period" in microseconds; a limit of 1.5 processors is worth two threads.
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("100000 100000", 1),
        ("50000 100000", 1),
        ("150000 100000", 2),
        ("max 100000", ALLOWED),
        ("6400000 100000", ALLOWED),
        ("", ALLOWED),
        ("1 0", ALLOWED),
    ],
)
def test_a_containers_limit_on_processors_is_kept(tmp_path: Path, text: str, expected: int):
    root = system(tmp_path, "0::/", {"cpu.max": text})
    assert usable_processors(root) == min(expected, ALLOWED)


def test_without_groups_the_machine_counts(tmp_path: Path):
    assert usable_processors(tmp_path) == ALLOWED
    assert usable_memory(tmp_path) == MACHINE


UNIT = "0::/system.slice/demure.service"
OF_VERSION_1 = "9:name=systemd:/\n4:memory:/docker/abc\n1:cpu,cpuacct:/"
MEMORY = {
    "container": ("0::/", {"memory.max": str(512 * MIB)}, 512 * MIB),
    "service": (UNIT, {"system.slice/demure.service/memory.max": str(700 * MIB)}, 700 * MIB),
    "slice-above": (
        UNIT,
        {"system.slice/demure.service/memory.max": "max", "system.slice/memory.max": str(600 * MIB)},
        600 * MIB,
    ),
    "smaller-above": (
        UNIT,
        {"system.slice/demure.service/memory.max": str(700 * MIB), "system.slice/memory.max": str(600 * MIB)},
        600 * MIB,
    ),
    "neighbour": (UNIT, {"system.slice/other.service/memory.max": str(100 * MIB)}, MACHINE),
    "no-limit": ("0::/", {"memory.max": "max"}, MACHINE),
    "more-than-there-is": ("0::/", {"memory.max": str(1 << 60)}, MACHINE),
    "version-1": (OF_VERSION_1, {"memory/docker/abc/memory.limit_in_bytes": str(800 * MIB)}, 800 * MIB),
    "version-1-in-a-container": (OF_VERSION_1, {"memory/memory.limit_in_bytes": str(800 * MIB)}, 800 * MIB),
    "version-1-no-limit": (OF_VERSION_1, {"memory/memory.limit_in_bytes": "9223372036854771712"}, MACHINE),
    "nonsense": ("nonsense", {"memory.max": "nonsense"}, MACHINE),
}


@pytest.mark.parametrize(("group", "files", "expected"), MEMORY.values(), ids=MEMORY)
def test_the_smallest_limit_on_memory_counts(tmp_path: Path, group: str, files: dict[str, str], expected: int):
    assert usable_memory(system(tmp_path, group, files)) == expected


MOUNTS = """22 1 0:21 / / rw,relatime - overlay overlay rw
30 22 0:25 / /data rw,relatime shared:1 - ext4 /dev/sda1 rw
31 22 0:26 / /run rw - tmpfs tmpfs rw
32 30 0:27 / /data/scratch rw - tmpfs tmpfs rw
"""


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/app/demure.db", True),
        ("/data/demure.db", False),
        ("/run/x", True),
        ("/data/scratch/x", True),
        ("/database", True),
    ],
)
def test_a_containers_own_layer_and_memory_are_forgotten_and_a_volume_is_not(tmp_path: Path, path: str, expected: bool):
    """The lines are of proc(5)'s form; the first is what Docker mounts."""
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/mountinfo").write_text(MOUNTS)
    assert is_ephemeral(Path(path), tmp_path) is expected


def test_where_mounts_cannot_be_read_nothing_is_claimed(tmp_path: Path):
    assert not is_ephemeral(Path("/app/demure.db"), tmp_path)
