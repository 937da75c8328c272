"""How much of the machine may this process use? Not how much the machine has.

Containers and service managers set limits by control groups: files in a folder for each group, and what is allowed is what every
group above allows as well. Source: Linux, Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/memory.rst.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path

_ROOT = Path("/")


def usable_processors(root: Path = _ROOT) -> int:
    """At least 1: the smaller of the affinity mask and the groups' limits, rounded up. `root` holds proc and sys."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quotas = [quota for text in _limits(root, "cpu.max") if (quota := _quota(text))]
    return max(1, min([allowed, *quotas]))


def usable_memory(root: Path = _ROOT) -> int:
    """Bytes: the smaller of what the machine has and the groups' limits."""
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    limits = [*_limits(root, "memory.max"), *_limits(root, "memory.limit_in_bytes", "memory")]
    return min([machine, *(int(text) for text in limits if text.isdigit())])


def _quota(cpu_max: str) -> int | None:
    """Processors, of "quota period" in microseconds; None for "max period"."""
    try:
        quota, period = map(int, cpu_max.split())
        return math.ceil(quota / period)
    except (ValueError, ZeroDivisionError):
        return None


def _limits(root: Path, file: str, controller: str = "") -> Iterator[str]:
    """What a file says in this process's group and in each above it. A container sees its own group as the uppermost."""
    folder = root / "sys/fs/cgroup" / controller
    path = Path(_group(root, controller).lstrip("/"))
    for group in (path, *path.parents):
        try:
            yield (folder / group / file).read_text().strip()
        except OSError:  # no such controller, no limit, or a group that is not seen from here
            continue


def _group(root: Path, controller: str) -> str:
    """The group's path: of version 1 by the controller's name, of version 2 without one."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return ""
    entries = (line.split(":", 2) for line in lines if line.count(":") >= 2)
    return next((path for _, names, path in entries if controller in names.split(",")), "")


def is_ephemeral(path: Path, root: Path = _ROOT) -> bool:
    """Whether what is written there is likely to be gone after the next deployment: memory, or a container's own layer."""
    try:
        mounts = (root / "proc/self/mountinfo").read_text().splitlines()
    except OSError:
        return False
    # proc(5): the fifth field is where it is mounted, and after a dash comes the file system's type.
    found = ((Path(line.split()[4]), line.partition(" - ")[2].split()[0]) for line in mounts)
    above = [(len(place.parts), kind) for place, kind in found if path.resolve().is_relative_to(place)]
    return bool(above) and max(above)[1] in ("overlay", "aufs", "tmpfs", "ramfs")
