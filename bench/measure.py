"""The four parts of the comparison: speed, memory, start and install. Each gives plain values, as they are written to JSON."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from load import free_port, percentile, tree_mib
from PIL import Image, ImageOps
from rivals import DEMURE, PICTURE, RIVALS, SYSTEMS, System, installed_bytes, lean_bytes, tree_bytes
from running import MODERATE, Asked, Running, WrongAnswer, ask, cpu_s, escaped, running
from stages import SIZES

MAX_OF_CORES = 1.05
MAX_IDLE = 0.05  # of a core, for a system that is not asked; the clock has 10 ms
MB_PER_MIB = 1.048576
MEMORY_CLIENTS = 2
SAMPLES = 100

Step = Callable[[str], None]  # told what was just done


@dataclass(frozen=True)
class Picture:
    title: str
    file: str
    size: str
    format: str = "JPEG"


PICTURES = (
    *(Picture(f"{size} JPEG", f"{size.replace(' ', '').lower()}.jpg", size) for size in SIZES),
    Picture("2 MP PNG", "2mp.png", "2 MP", "PNG"),
    Picture("2 MP WebP", "2mp.webp", "2 MP", "WEBP"),
)


@dataclass(frozen=True)
class Line:
    """One line of a table: a system and what it is asked."""

    name: str
    title: str
    system: System
    path: str = "/predict"


LINES = (
    Line("demure", "demure `/predict`", DEMURE),
    Line("moderate", "demure `/v1/moderate`", DEMURE, MODERATE),
    Line("int8", "demure `/predict`, int8", DEMURE, "/models/mobilenet_v2_140_int8/predict"),
    *(Line(system.name, system.title, system) for system in RIVALS),
)


@dataclass(frozen=True)
class Plan:
    """How much is measured."""

    turn_s: float = 4.0
    rounds: int = 3
    clients: tuple[int, ...] = (1, 2, 8)
    warm_s: float = 3.0
    starts: int = 5
    requests: int = 20_000
    watched: tuple[str, ...] = tuple(system.name for system in SYSTEMS)  # whose memory is
    quick: bool = False  # a smoke test


QUICK = Plan(turn_s=0.4, rounds=1, clients=(1, 8), warm_s=1.0, starts=1, requests=120, quick=True)


# --- Pictures -------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def image_host(cores: set[int]) -> Iterator[str]:
    """Every answer has other bytes; gives its address."""
    port, program = free_port(), Path(__file__).parent / "unique_images.py"
    with tempfile.TemporaryDirectory() as folder:
        write_pictures(Path(folder))
        command = ["taskset", "--cpu-list", listed(cores), sys.executable, str(program), str(port), folder]
        with subprocess.Popen(command) as process:
            time.sleep(1)
            try:
                yield f"http://127.0.0.1:{port}"
            finally:
                process.terminate()


def write_pictures(folder: Path) -> None:
    with Image.open(PICTURE) as image:
        photograph = image.convert("RGB")
    (folder / "coffee.jpg").write_bytes(PICTURE.read_bytes())
    for picture in PICTURES:
        buffer = io.BytesIO()
        tiled(photograph, SIZES[picture.size]).save(buffer, picture.format, quality=85)
        (folder / picture.file).write_bytes(buffer.getvalue())


def tiled(photograph: Image.Image, size: tuple[int, int]) -> Image.Image:
    """The photograph and its mirror images side by side: as many bytes a pixel as it has, which one made larger has not."""
    canvas = Image.new("RGB", size)
    for row, top in enumerate(range(0, size[1], photograph.height)):
        for column, left in enumerate(range(0, size[0], photograph.width)):
            tile = ImageOps.mirror(photograph) if column % 2 else photograph
            canvas.paste(ImageOps.flip(tile) if row % 2 else tile, (left, top))
    return canvas


def listed(cores: set[int]) -> str:
    return ",".join(map(str, sorted(cores)))


# --- Speed ----------------------------------------------------------------------------------------------------------


def speed(plan: Plan, first: int, second: int, step: Step) -> dict[str, Any]:
    """On one core the servers have `second`, and the load and the pictures' host `first`; on two all have both."""
    cells = []
    for servers, loads in (({second}, {first}), ({first, second}, {first, second})):
        os.sched_setaffinity(0, loads)
        with contextlib.ExitStack() as stack:
            images = stack.enter_context(image_host(loads))
            up = {system: stack.enter_context(running(system, servers, images)) for system in SYSTEMS}
            warm_up(up, images, plan.warm_s)
            cells += [cell for picture in PICTURES for cell in of_picture(plan, up, images, picture, step)]
    return {"cells": cells}


def warm_up(up: dict[System, Running], images: str, seconds: float) -> None:
    for line in LINES:
        for clients in (1, 4):
            asyncio.run(ask(up[line.system], line.path, f"{images}/{PICTURES[0].file}", clients, seconds=seconds / 2))


def of_picture(
    plan: Plan, up: dict[System, Running], images: str, picture: Picture, step: Step
) -> Iterator[dict[str, Any]]:
    for clients in plan.clients:
        turns: dict[str, list[Turn]] = {line.name: [] for line in LINES}
        for number in range(plan.rounds):
            for line in rotated(LINES, number):
                turns[line.name].append(take_turn(line, up, f"{images}/{picture.file}", clients, plan.turn_s))
                step(f"{line.name}, {picture.title}, {clients} clients, {len(up[line.system].cores)} cores")
        for line in LINES:
            cores = len(up[line.system].cores)
            named = {"cores": cores, "picture": picture.title, "clients": clients, "line": line.name}
            yield named | summary(turns[line.name])


def rotated(lines: Sequence[Line], by: int) -> Sequence[Line]:
    return [*lines[by % len(lines) :], *lines[: by % len(lines)]]


@dataclass
class Turn:
    asked: Asked
    cores_used: float  # processor seconds a second
    faults: list[str]


def take_turn(line: Line, up: dict[System, Running], picture: str, clients: int, seconds: float) -> Turn:
    target = up[line.system]
    before = {system: cpu_s(other.pid) for system, other in up.items()}
    asked = asyncio.run(ask(target, line.path, picture, clients, seconds=seconds))
    used = {system: (cpu_s(other.pid) - before[system]) / asked.took_s for system, other in up.items()}
    if not asked.seconds:
        raise WrongAnswer(f"{line.name}: no answer in {seconds:g} s")
    faults = []
    if used[line.system] > len(target.cores) * MAX_OF_CORES:
        faults.append(f"used {used[line.system]:.2f} cores of {len(target.cores)}")
    if cores := escaped(target):
        faults.append(f"has threads that may use the cores {sorted(cores)}")
    faults += [
        f"{system.name} was not idle meanwhile: {share:.2f} cores"
        for system, share in used.items()
        if system is not line.system and share > MAX_IDLE + 0.02 / asked.took_s
    ]
    return Turn(asked, used[line.system], faults)


def summary(turns: list[Turn]) -> dict[str, Any]:
    """Requests a second and p50 are medians over the rounds, p99 is of the requests of all rounds."""
    rates = [len(turn.asked.seconds) / turn.asked.took_s for turn in turns]
    together = [taken for turn in turns for taken in turn.asked.seconds]
    return {
        "per_second": statistics.median(rates),
        "rounds": rates,
        "p50_ms": statistics.median(percentile(turn.asked.seconds, 0.5) for turn in turns) * 1000,
        "p99_ms": percentile(together, 0.99) * 1000,
        "answered": len(together),
        "refused": sum(turn.asked.refused for turn in turns),
        "cores_used": statistics.median(turn.cores_used for turn in turns),
        "faults": sorted({fault for turn in turns for fault in turn.faults}),
    }


# --- Memory, start, install -----------------------------------------------------------------------------------------


def memory(plan: Plan, first: int, second: int, step: Step) -> dict[str, Any]:
    """MB of each process tree, one system at a time, on both cores."""
    both = {first, second}
    os.sched_setaffinity(0, both)
    with image_host(both) as images:
        watched = [system for system in SYSTEMS if system.name in plan.watched]
        return {"systems": {system.name: memory_of(system, both, images, plan.requests, step) for system in watched}}


def memory_of(system: System, cores: set[int], images: str, requests: int, step: Step) -> dict[str, Any]:
    with running(system, cores, images) as target:

        def grow(requests: int) -> float:
            asyncio.run(ask(target, "/predict", f"{images}/{PICTURES[0].file}", MEMORY_CLIENTS, requests=requests))
            return tree_mib(target.pid) * MB_PER_MIB

        time.sleep(1)
        idle = grow(0)
        after_100 = grow(100)
        samples = []
        for number in range(SAMPLES):
            due = (requests - 100) * (number + 1) // SAMPLES - (requests - 100) * number // SAMPLES
            samples.append(grow(due))
            step(f"{system.name}, {100 + (requests - 100) * (number + 1) // SAMPLES:,} requests")
    return {"idle": idle, "after_100": after_100, "after_all": samples[-1], "samples": samples, "requests": requests}


def start(plan: Plan, first: int, second: int, step: Step) -> dict[str, Any]:
    """Seconds from exec to the first answer, on one core; the files are in the system's cache."""
    os.sched_setaffinity(0, {first})
    taken: dict[str, list[float]] = {system.name: [] for system in SYSTEMS}
    with image_host({first}) as images:
        for number in range(plan.starts + 1):
            for system in SYSTEMS:
                with running(system, {second}, images) as target:
                    if number:  # the first reads the files from the disk
                        taken[system.name].append(target.started_in_s)
                step(f"{system.name}, start {number}")
    return {"systems": {name: {"median_s": statistics.median(times), "s": times} for name, times in taken.items()}}


def install(_plan: Plan, _first: int, _second: int, step: Step) -> dict[str, Any]:
    """Bytes on disk. Raises CalledProcessError if an install fails."""
    sizes = {}
    for system in SYSTEMS:
        system.install()
        beside = {name: tree_bytes(path) for name, path in system.beside.items()}
        sizes[system.name] = {"bytes": installed_bytes(system), "beside": beside}
        step(system.name)
    sizes[DEMURE.name]["lean"] = lean_bytes()
    return {"systems": sizes}
