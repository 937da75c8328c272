#!/usr/bin/env python3
"""demure beside its rivals, on the same pictures, in turns: speed, memory, start and install.

    make bench
    python bench/compare.py [--parts speed,memory,start,install] [--quick] [--turn 4] [--report docs/performance.md]
    python bench/compare.py --parts memory [--requests 20000] [--watch demure,post,…]

Installs each rival into `.bench/<name>/` first; what is there and unchanged is kept. A part's results replace those of its last
run in `.bench/results.json` (of memory, those of the systems that were watched), and the report is written from all that is
there, each with its own date. A quick run is a smoke
test: its results go to `.bench/quick.json` and its report to `.bench/performance.md`.

Exit 1 if a system answers anything but scores, uses more than its cores or has threads that may, or does not rest while
another is measured. One thing is let pass and counted: an answer of 503, which says that the caller should wait.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import platform
import shlex
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from subprocess import CalledProcessError
from typing import Any

import measure
import performance
from measure import LINES, PICTURES, QUICK, SAMPLES, Plan
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rivals import BENCH, DEMURE, ROOT, SYSTEMS, versions
from running import WrongAnswer
from stages import processor

PARTS = {"install": measure.install, "start": measure.start, "speed": measure.speed, "memory": measure.memory}
# For the estimate of time alone: what a request and a start take, all systems added up.
SECONDS_A_REQUEST, SECONDS_A_START = 0.13, 25


def main() -> int:
    options = arguments()
    console = Console(width=max(160, Console().width))
    if len(cores := sorted(os.sched_getaffinity(0))) < 2:
        sys.exit("two cores are needed: one for the servers, one for the load")
    plan = QUICK if options.quick else Plan()
    asked = {"requests": options.requests, "turn_s": options.turn, "watched": options.watch}
    plan = dataclasses.replace(plan, **{name: value for name, value in asked.items() if value})
    store = BENCH / ("quick.json" if options.quick else "results.json")
    report = options.report or (BENCH / "performance.md" if options.quick else ROOT / "docs" / "performance.md")
    try:
        install_missing(console, options.parts)
        for part in options.parts:
            save(store, part, measured(console, part, plan, cores[:2]))
    except (WrongAnswer, CalledProcessError) as error:
        sys.exit(f"{error}: nothing is compared")
    results = json.loads(store.read_text())
    for table in performance.tables(results):
        console.print(table)
    performance.write(report, results)
    console.print(f"written: {report}")
    return complain(console, {part: results[part] for part in options.parts})


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", type=chosen, default=list(PARTS), help="of speed,memory,start,install; all of them")
    parser.add_argument(
        "--quick", action="store_true", help="a smoke test of three minutes, whose figures mean nothing"
    )
    parser.add_argument("--turn", type=float, help="seconds that a system is asked before the next; 4")
    parser.add_argument("--requests", type=int, help="how many the memory is watched for; 20000, or 120 with --quick")
    parser.add_argument("--watch", type=lambda text: tuple(text.split(",")), help="whose memory; by default all")
    parser.add_argument(
        "--report", type=Path, help="the file to write; docs/performance.md, .bench/performance.md with --quick"
    )
    return parser.parse_args()


def chosen(text: str) -> list[str]:
    if unknown := {*text.split(",")} - {*PARTS}:
        raise argparse.ArgumentTypeError(f"unknown: {', '.join(unknown)}; expected some of {','.join(PARTS)}")
    return [part for part in PARTS if part in text.split(",")]


def install_missing(console: Console, parts: list[str]) -> None:
    if parts == ["install"]:
        return  # it does so itself
    for system in SYSTEMS:
        if system is not DEMURE:  # which is run from where this runs
            console.print(f"installing {system.title}, where it is not yet")
            system.install()


def measured(console: Console, part: str, plan: Plan, cores: list[int]) -> dict[str, Any]:
    steps, minutes = size_of(part, plan)
    console.print(f"{part}: about {minutes:.0f} minutes")
    columns = (TextColumn("{task.description:60}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=console) as progress:
        bar = progress.add_task(part, total=steps)

        def step(done: str) -> None:
            progress.update(bar, advance=1, description=done)

        run: Callable[..., dict[str, Any]] = PARTS[part]
        result = run(plan, *cores, step)
    return about(plan) | result


def size_of(part: str, plan: Plan) -> tuple[int, float]:
    """Steps, and minutes."""
    turns = 2 * len(PICTURES) * len(plan.clients) * len(LINES) * plan.rounds
    return {
        "speed": (turns, (turns * (plan.turn_s + 0.5) + 4 * SECONDS_A_START) / 60),
        "memory": (len(plan.watched) * SAMPLES, (plan.requests * SECONDS_A_REQUEST + SECONDS_A_START) / 60),
        "start": (len(SYSTEMS) * (plan.starts + 1), (plan.starts + 1) * SECONDS_A_START / 60),
        "install": (len(SYSTEMS), 1),
    }[part]


def about(plan: Plan) -> dict[str, Any]:
    """What a figure is worth nothing without."""
    return {
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "command": shlex.join(["python", "bench/compare.py", *sys.argv[1:]]),
        "processor": processor(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.release().partition('-')[0]}",
        "python": platform.python_version(),
        "versions": {system.name: versions(system) for system in SYSTEMS},
        "quick": plan.quick,
        "turn_s": plan.turn_s,
        "rounds": plan.rounds,
    }


def save(store: Path, part: str, result: dict[str, Any]) -> None:
    results = json.loads(store.read_text()) if store.exists() else {}
    if part == "memory":  # it takes long, and not all need be watched again
        result["systems"] = results.get(part, {}).get("systems", {}) | result["systems"]
    store.parent.mkdir(exist_ok=True)
    store.write_text(json.dumps(results | {part: result}, indent=1))


def complain(console: Console, results: dict[str, Any]) -> int:
    """1 if a server did what makes a row worthless."""
    faults = [
        f"{cell['line']}, {cell['picture']}, {cell['clients']} clients, {cell['cores']} cores: {fault}"
        for cell in results.get("speed", {}).get("cells", [])
        for fault in cell["faults"]
    ]
    for fault in faults:
        console.print(fault, style="red")
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main())
