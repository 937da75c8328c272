"""How many processors may this process use? Not how many the machine has."""

from __future__ import annotations

import math
import os
from pathlib import Path

_CPU_MAX = Path("/sys/fs/cgroup/cpu.max")  # cgroup v2: "quota period" in microseconds, or "max period"


def usable_processors(cpu_max: Path = _CPU_MAX) -> int:
    """At least 1: the smaller of the affinity mask and the container's CPU limit, rounded up."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(allowed, _quota(cpu_max) or allowed))


def _quota(cpu_max: Path) -> int | None:
    try:
        quota, period = cpu_max.read_text().split()
        return math.ceil(int(quota) / int(period))
    except (OSError, ValueError, ZeroDivisionError):  # no cgroup v2, or no limit
        return None
