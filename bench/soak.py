#!/usr/bin/env python3
"""20,000 mixed images, good and hostile, through the service: how each ended, and the memory of the process tree meanwhile.

    make soak

The hostile ones are those of tests/hostile/ and every tenth of its truncations. Four clients, half of the good pictures
by URL. Exit 1 if a request has no answer or a 5xx other than 503, or if memory at the end is 5 % or more above the start. The
start is when the first twentieth is done: pools, caches and the allocator have grown to their size then.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import os
import random
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from load import ROOT, Client, image_server, service, tree_mib
from PIL import Image
from rich.console import Console
from rich.progress import Progress
from stages import processor

sys.path.insert(0, str(ROOT / "tests"))
from hostile import HOSTILE, truncations

CLIENTS = 4
MAX_DRIFT = 0.05
SIZES = ((320, 240), (640, 480), (1280, 960), (1632, 1224), (4032, 3024))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, default=20_000)
    images = parser.parse_args().images
    with tempfile.TemporaryDirectory() as folder:
        picture = Path(folder) / "picture.jpg"
        picture.write_bytes(good("JPEG", SIZES[1]))
        with image_server(picture) as address, service() as (port, pid):
            soak = Soak(port, pid, requests(address), images, CLIENTS)
            asyncio.run(soak.run())
            bad, drift = soak.report()
            sys.exit(int(bool(bad) or drift >= MAX_DRIFT))


def requests(address: str) -> tuple[list[bytes], list[bytes]]:
    """Good and hostile ones, whole as they go over the wire."""
    uploads = [raw(good(kind, size)) for kind in ("JPEG", "PNG", "WEBP", "GIF", "AVIF") for size in SIZES[:4]]
    uploads.append(raw(good("JPEG", SIZES[4])))
    body = json.dumps({"items": [{"url": f"{address}/i.jpg"}]}).encode()
    by_url = [request("application/json", body)] * len(uploads)
    files = [file.build() for name, file in HOSTILE.items() if "too_large" not in file.ends]
    cut = [data for number, (_, data) in enumerate(truncations()) if number % 10 == 0]
    return uploads + by_url, [raw(data) for data in files + cut]


def good(kind: str, size: tuple[int, int], **how: Any) -> bytes:
    buffer = io.BytesIO()
    with Image.open(ROOT / "examples" / "coffee.jpg") as coffee:
        coffee.convert("RGB").resize(size).save(buffer, kind, **how)
    return buffer.getvalue()


def raw(data: bytes) -> bytes:
    return request("image/png", data)  # whatever it is: the type that is told is not believed


def request(kind: str, body: bytes) -> bytes:
    head = (
        f"POST /v1/moderate HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


class Soak:
    """Requests in a random order, always the same; memory every hundredth of the way."""

    def __init__(
        self, port: int, pid: int, requests: tuple[list[bytes], list[bytes]], images: int, clients: int
    ) -> None:
        self._port, self._pid, self._images, self._clients = port, pid, images, clients
        self._good, self._hostile = requests
        self._chance = random.Random(1)
        self._left = images
        self.answers: Counter[str] = Counter()
        self.memory: list[float] = []

    async def run(self) -> None:
        started = time.monotonic()
        with Progress(console=Console(stderr=True)) as progress:
            bar = progress.add_task("images", total=self._images)
            await asyncio.gather(*(self._ask(lambda: progress.advance(bar)) for _ in range(self._clients)))
        self.took_s = time.monotonic() - started

    async def _ask(self, advance: Callable[[], None]) -> None:
        client = Client(self._port)
        while self._left > 0:
            self._left -= 1
            if self._left % max(1, self._images // 100) == 0:
                self.memory.append(await asyncio.to_thread(tree_mib, self._pid))
            chosen = self._chance.choice(self._chance.choice((self._good, self._hostile)))
            try:
                status, body = await client.exchange(chosen)
                self.answers[end_of(status, body)] += 1
            except (OSError, asyncio.IncompleteReadError):
                self.answers["no answer"] += 1
            advance()

    def report(self) -> tuple[int, float]:
        """Prints; the number of requests without an answer or with an error of ours, and how far memory rose."""
        console = Console(width=100)
        console.print(f"{time.strftime('%Y-%m-%d')}, {processor()}, {os.cpu_count()} cores, {self.took_s:.0f} s")
        for end, count in self.answers.most_common():
            console.print(f"{count:7,}  {end}")
        count = len(self.memory)
        windows = {"start": (0.05, 0.15), "middle": (0.45, 0.55), "end": (0.9, 1.0)}
        level = {
            name: statistics.median(self.memory[int(a * count) : max(int(a * count) + 1, int(b * count))])
            for name, (a, b) in windows.items()
        }
        console.print("memory of the process tree, MiB:", ", ".join(f"{k} {v:.1f}" for k, v in level.items()))
        drift = level["end"] / level["start"] - 1
        console.print(f"most {max(self.memory):.1f}; from start to end {drift:+.1%}")
        bad = sum(n for end, n in self.answers.items() if end == "no answer" or (end.startswith("5") and end != "503"))
        return bad, drift


def end_of(status: int, body: bytes) -> str:
    if status != 200:
        return str(status)
    (item,) = json.loads(body)["items"]
    return item["error"]["code"] if "error" in item else "classified"


if __name__ == "__main__":
    main()
