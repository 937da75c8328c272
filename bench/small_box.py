#!/usr/bin/env python3
"""A box of one gigabyte and one processor, imitated by a control group: nothing may be killed under large and hostile images.

    sudo .venv/bin/python bench/small_box.py [--images 3000] [--memory 830]

A rented gigabyte shows 961 MiB, of which the system itself takes some 130: the service has the rest, and no swap. It reckons with
961, as it would there. Eight clients ask in turn; half of what they send are pictures of 12 megapixels and more, half is
hostile (tests/hostile). Exit 1 if the kernel killed anything or a request has no answer.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import soak
from load import ROOT, service
from rich.console import Console

from demure.settings import decoder_memory_bytes, held_bytes

sys.path.insert(0, str(ROOT / "tests"))
from hostile import HOSTILE

MIB = 1024 * 1024
CLIENTS = 8
SHOWN_MIB = 961
TWELVE, FIFTY = (4032, 3024), (8160, 6120)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, default=3000)
    parser.add_argument("--memory", type=int, default=830, help="MiB for the service's processes together")
    options = parser.parse_args()
    first, *others = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {*others} or {first})
    settings = {
        "DEMURE_DECODER_MEMORY_BYTES": str(decoder_memory_bytes(SHOWN_MIB * MIB, threads=1)),
        "DEMURE_MAX_HELD_BYTES": str(held_bytes(SHOWN_MIB * MIB)),
    }
    with group(options.memory) as box:
        with service({first}, under=box.enter, **settings) as (port, pid):
            load = soak.Soak(port, pid, (large(), hostile()), options.images, CLIENTS)
            asyncio.run(load.run())
            bad, _ = load.report()
            alive = Path(f"/proc/{pid}/cmdline").read_bytes() != b""
        killed = box.killed()
        console = Console(width=100)
        console.print(f"most memory of the group: {box.most_mib():.0f} of {options.memory} MiB")
        console.print(f"killed by the kernel: {killed}; the service is {'still there' if alive else 'GONE'}")
    sys.exit(int(bool(bad or killed) or not alive))


@dataclass(frozen=True)
class Group:
    """A control group of memory, of either version."""

    folder: Path
    is_version_2: bool

    @property
    def enter(self) -> tuple[str, ...]:
        """A command that runs another inside."""
        return ("sh", "-c", f'echo $$ > {self.folder}/cgroup.procs && exec "$@"', "sh")

    def most_mib(self) -> float:
        name = "memory.peak" if self.is_version_2 else "memory.max_usage_in_bytes"
        return int((self.folder / name).read_text()) / MIB

    def killed(self) -> int:
        text = (self.folder / ("memory.events" if self.is_version_2 else "memory.oom_control")).read_text()
        return int(dict(line.split() for line in text.splitlines())["oom_kill"])


@contextlib.contextmanager
def group(limit_mib: int) -> Iterator[Group]:
    root = Path("/sys/fs/cgroup")
    is_version_2 = (root / "cgroup.controllers").exists()
    box = Group(root / ("" if is_version_2 else "memory") / f"demure-bench-{os.getpid()}", is_version_2)
    box.folder.mkdir()
    try:
        limits = ["memory.max", "memory.swap.max"] if is_version_2 else ["memory.limit_in_bytes"]
        for name in limits:
            (box.folder / name).write_text("0" if "swap" in name else str(limit_mib * MIB))
        yield box
    finally:
        box.folder.rmdir()


def large() -> list[bytes]:
    """As a phone makes them, and as large as is let in."""
    forms = [("JPEG", {}), ("JPEG", {"progressive": True}), ("WEBP", {"method": 0}), ("AVIF", {"speed": 10})]
    pictures = [soak.good(kind, TWELVE, **how) for kind, how in forms]
    pictures += [soak.good("JPEG", FIFTY, **how) for how in ({}, {"progressive": True})]
    pictures.append(soak.good("PNG", TWELVE, compress_level=1))
    return [soak.raw(data) for data in pictures]


def hostile() -> list[bytes]:
    files = [file.build() for file in HOSTILE.values() if "too_large" not in file.ends]
    return [soak.raw(data) for data in [*files, soak.good("WEBP", FIFTY, method=0), soak.good("AVIF", FIFTY, speed=10)]]


if __name__ == "__main__":
    main()
