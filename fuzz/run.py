"""`make fuzz`: every target for FUZZ_SECONDS (60), one after the other; `python fuzz/run.py urls decode` runs those alone.

One line a target: runs, seconds, the edges of Python code that were covered, the inputs that the corpus holds, findings.
Exits with 1 if anything was found; .fuzz/findings has the inputs, .fuzz/logs what the fuzzers said.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
WORK = HERE.parent / ".fuzz"
API = "api"
TARGETS = [*sorted(path.stem.removeprefix("fuzz_") for path in HERE.glob("fuzz_*.py")), API]


def main(names: list[str]) -> int:
    unknown = {*names} - {*TARGETS}
    if unknown:
        sys.exit(f"no target {', '.join(sorted(unknown))}; known: {', '.join(TARGETS)}")
    seconds = int(os.environ.get("FUZZ_SECONDS", "60"))
    results = [run(name, seconds) for name in names or TARGETS]  # all of them, whatever the first ones find
    return 0 if all(results) else 1


def run(name: str, seconds: int) -> bool:
    """Whether nothing was found."""
    (WORK / "logs").mkdir(parents=True, exist_ok=True)
    log = WORK / "logs" / f"{name}.log"
    started = time.monotonic()
    program = [f"{name}.py", str(seconds)] if name == API else [f"fuzz_{name}.py", f"-max_total_time={seconds}", *STATS]
    with log.open("wb") as output:
        done = subprocess.run(
            [sys.executable, "-W", "ignore", HERE / program[0], *program[1:]], stdout=output, stderr=output, check=False
        )
    text = log.read_text("utf-8", "replace")
    took = round(time.monotonic() - started)
    print(f"{name}: {facts(name, text)} seconds={took} findings={int(done.returncode != 0)}", flush=True)
    if done.returncode:
        print(f"  see {log} and {WORK / 'findings'}", flush=True)
    return done.returncode == 0


STATS = ["-print_final_stats=1"]


def facts(name: str, log: str) -> str:
    if name == API:
        return f"runs={last(r'runs=([0-9]+)', log)}"
    runs = last(r"number_of_executed_units: ([0-9]+)", log) or last(r"^#([0-9]+)", log)
    edges, inputs = last(r"cov: ([0-9]+)", log), len(list((WORK / "corpus" / f"fuzz_{name}").glob("*")))
    return f"runs={runs} edges={edges} corpus={inputs}"


def last(pattern: str, text: str) -> str:
    return ([*re.findall(pattern, text, re.MULTILINE)] or [""])[-1]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
