#!/usr/bin/env python3
"""How each hostile host of tests/upstream.py ends, after how many seconds, and how much memory it makes the process take.

    python bench/upstreams.py

Limits are the defaults but for a deadline of 2 s. The host runs in the same process and on the same event loop, so that what
it costs is counted as well. Memory is resident: the peak while it ran (VmHWM of /proc) above what there was before.
"""

from __future__ import annotations

import os
import platform
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from behaviours import CASES, Case
from upstream import trusting

from demure.fetch import FetchLimits

TIMEOUT_S = 2.0
MAX_BYTES = FetchLimits().max_bytes
ALLOWED_S = 0.5  # past the deadline
MIB = 1024 * 1024


def main() -> int:
    console = Console(width=max(110, Console().width))
    console.print(
        f"{datetime.now(UTC):%Y-%m-%d}, {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, "
        f"deadline {TIMEOUT_S:g} s, limit {MAX_BYTES / MIB:g} MiB"
    )
    trusting(), CASES[0].fetched()  # what is loaded once
    before = memory("VmRSS")
    table = Table("behaviour", "ends in", "as listed", "seconds", "memory MiB", title=f"{len(CASES)} hosts")
    overruns, growths, wrong = {}, {}, []
    for case in CASES:
        ended, took, growth = measure(case)
        overruns[case.name], growths[case.name] = took - TIMEOUT_S, growth
        if ended != case.ends:
            wrong.append(case.name)
        table.add_row(case.name, words(ended), "no" if ended != case.ends else "", f"{took:.3f}", f"{growth / MIB:.1f}")
    console.print(table)
    late, hungry = max(overruns, key=overruns.__getitem__), max(growths, key=growths.__getitem__)
    console.print(f"worst overrun: {overruns[late]:.3f} s past the deadline ({late}); allowed {ALLOWED_S:g} s")
    console.print(f"most memory: {growths[hungry] / MIB:.1f} MiB ({hungry})")
    console.print(f"resident: {before / MIB:.1f} MiB before, {memory('VmRSS') / MIB:.1f} MiB after all of them")
    console.print(f"not as listed: {', '.join(wrong) or 'none'}")
    return 1 if wrong or overruns[late] > ALLOWED_S else 0


def measure(case: Case) -> tuple[str | bytes, float, int]:
    """What it ends in, seconds, and bytes of memory at the peak above what there was before."""
    Path("/proc/self/clear_refs").write_text("5")  # proc(5): sets the peak back to what is resident now
    before, started = memory("VmRSS"), time.perf_counter()
    outcome, _ = case.fetched(max_bytes=MAX_BYTES, timeout_s=TIMEOUT_S)
    took = time.perf_counter() - started
    return outcome if isinstance(outcome, bytes) else outcome.code, took, memory("VmHWM") - before


def memory(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{field}:"))


def words(ended: str | bytes) -> str:
    return ended if isinstance(ended, str) else f"a body of {len(ended):,} bytes"


if __name__ == "__main__":
    sys.exit(main())
