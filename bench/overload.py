#!/usr/bin/env python3
"""Ten times what the service can do, for five minutes: who is answered, how soon, and with how much memory.

    python bench/overload.py [--seconds 300] [--times 10] [--upload]

The service has one core to itself, and the load and the host of the pictures the others. Capacity is what eight clients get who
ask in turn; idle is one client alone. Then requests come as the clock says, and twenty times a second somebody asks /livez.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
import time
from pathlib import Path

from load import ROOT, Answers, Client, at_rate, image_server, in_turn, percentile, service, tree_mib
from PIL import Image
from rich.console import Console
from rich.table import Table
from stages import processor


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--times", type=float, default=10)
    parser.add_argument("--upload", action="store_true", help="send the picture rather than its URL")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        picture = Path(folder) / "picture.jpg"
        with Image.open(ROOT / "examples" / "coffee.jpg") as coffee:
            coffee.convert("RGB").resize((1632, 1224)).save(picture, quality=85)
        first, *others = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {*others} or {first})
        with image_server(picture) as images, service({first}) as (port, pid):
            request = upload(picture.read_bytes()) if options.upload else predict(images)
            asyncio.run(measure(port, pid, request, options.seconds, options.times))


def predict(images: str) -> bytes:
    return f"POST /predict?url={images}/i.jpg HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n".encode()


def upload(data: bytes) -> bytes:
    head = "POST /v1/moderate HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/jpeg\r\nContent-Length: "
    return f"{head}{len(data)}\r\n\r\n".encode() + data


async def measure(port: int, pid: int, request: bytes, seconds: float, times: float) -> None:
    await in_turn(port, request, 2, 3)  # warm
    idle = await in_turn(port, request, 1, 15)
    full = await in_turn(port, request, 8, 15)
    capacity = len(full.seconds[200]) / 15
    before = tree_mib(pid)
    lives, memory = Answers(), [before]
    watching = asyncio.create_task(watch(port, pid, lives, memory))
    load = await at_rate(port, request, capacity * times, seconds)
    watching.cancel()
    after = tree_mib(pid)
    report(idle, load, lives, capacity, times, seconds, (before, max(memory), after))


async def watch(port: int, pid: int, lives: Answers, memory: list[float]) -> None:
    client = Client(port)
    asked = 0
    while True:
        await client.timed(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n", lives)
        asked += 1
        if asked % 100 == 0:
            memory.append(await asyncio.to_thread(tree_mib, pid))
        await asyncio.sleep(0.05)


def report(
    idle: Answers,
    load: Answers,
    lives: Answers,
    capacity: float,
    times: float,
    seconds: float,
    memory: tuple[float, float, float],
) -> None:
    console = Console(width=110)
    console.print(
        f"{time.strftime('%Y-%m-%d')}, {processor()}, {os.cpu_count()} cores; capacity {capacity:.1f} a second"
    )
    table = Table("", "answers", "p50 ms", "p99 ms", "most ms", title=f"{times:g} times capacity for {seconds:g} s")
    rows = {"idle, 200": idle.seconds.get(200, []), "/livez under load": lives.seconds.get(200, [])}
    rows |= {f"under load, {status or 'none'}": taken for status, taken in sorted(load.seconds.items())}
    for name, taken in rows.items():
        figures = (percentile(taken, 0.5), percentile(taken, 0.99), max(taken, default=0.0))
        table.add_row(name, f"{len(taken):,}", *(f"{figure * 1000:.1f}" for figure in figures))
    console.print(table)
    ratio = percentile(load.seconds.get(200, []), 0.99) / percentile(idle.seconds[200], 0.99)
    console.print(f"accepted p99 / idle p99: {ratio:.2f}")
    console.print("memory of the process tree, MiB: before {:.0f}, most {:.0f}, after {:.0f}".format(*memory))


if __name__ == "__main__":
    main()
