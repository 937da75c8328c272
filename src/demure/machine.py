"""How much of the machine may this process use? Not how much the machine has.

Containers and service managers set limits by control groups: files in a folder for each group, and what is allowed is what every
group above allows as well. Source: Linux, Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/memory.rst.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator
from pathlib import Path

_ROOT = Path("/")
_OCTAL = re.compile(r"\\([0-7]{3})")


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


def mount(path: Path, root: Path = _ROOT) -> tuple[str, tuple[str, ...]]:
    """The type and the options of the file system that a path lies on: the last that was mounted over a folder above. proc(5)."""
    try:
        lines = (root / "proc/self/mountinfo").read_text().splitlines()
    except OSError:
        return "", ()
    path = path.resolve()
    found: tuple[int, str, tuple[str, ...]] = (0, "", ())
    for line in lines:
        # The fifth field is where it is mounted, a space in it \040; after a dash comes the file system's type.
        before, _, after = line.partition(" - ")
        place = Path(_OCTAL.sub(lambda found: chr(int(found[1], 8)), before.split()[4]))
        if path.is_relative_to(place) and len(place.parts) >= found[0]:
            found = len(place.parts), after.split()[0], tuple(before.split()[5].split(","))
    return found[1:]


def is_ephemeral(path: Path, root: Path = _ROOT) -> bool:
    """Whether what is written there is likely to be gone after the next deployment: memory, or a container's own layer."""
    return mount(path, root)[0] in ("overlay", "aufs", "tmpfs", "ramfs")
