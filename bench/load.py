"""What the benches share: the service and an image server as processes, a load, and the memory of a process tree."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parent.parent
IMAGE_SERVER = """
import asyncio, sys, pathlib
data = pathlib.Path(sys.argv[2]).read_bytes()
head = b"HTTP/1.1 200 OK\\r\\nContent-Length: %d\\r\\nConnection: close\\r\\n\\r\\n" % len(data)
async def answer(reader, writer):
    try:
        await reader.readuntil(b"\\r\\n\\r\\n")
        writer.write(head + data)
        await writer.drain()
    except (ConnectionError, asyncio.IncompleteReadError):
        pass
    writer.close()
async def main():
    server = await asyncio.start_server(answer, "127.0.0.1", int(sys.argv[1]), backlog=1000)
    await server.serve_forever()
asyncio.run(main())
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def image_server(picture: Path) -> Iterator[str]:
    """Answers every path with one picture; gives its address."""
    port = free_port()
    with subprocess.Popen([sys.executable, "-c", IMAGE_SERVER, str(port), str(picture)]) as process:
        time.sleep(0.5)
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


@contextlib.contextmanager
def service(cores: set[int] | None = None, under: tuple[str, ...] = (), **variables: str) -> Iterator[tuple[int, int]]:
    """`demure serve` with its defaults, but for loopback, which it may fetch from; gives its port and process id.

    `under` is a command that runs the one behind it in its own place.
    """
    port = free_port()
    environment = {k: v for k, v in os.environ.items() if not k.startswith("DEMURE_")}
    environment |= {"DEMURE_FETCH_ALLOW_NETWORKS": "127.0.0.0/8", "DEMURE_FETCH_PORTS": "1-65535", **variables}
    command = [str(Path(sys.executable).parent / "demure"), "serve", "--port", str(port)]
    command = [*under, *command]
    if cores:
        command = ["taskset", "--cpu-list", ",".join(map(str, sorted(cores))), *command]
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as process:
        try:
            wait_until_ready(port)
            yield port, process.pid
        finally:
            process.terminate()


def wait_until_ready(port: int) -> None:
    for _ in range(600):
        with contextlib.suppress(OSError):
            urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5)
            return
        time.sleep(0.05)
    raise RuntimeError("the service does not answer")


def tree_mib(pid: int) -> float:
    """Proportional memory (PSS) of a process and all below it: shared pages are counted once."""
    total = 0
    for member in family(pid):
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{member}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1])
    return total / 1024


def family(pid: int) -> list[int]:
    members = [pid]
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                members += family(int(child))
    return members


@dataclass
class Answers:
    """Seconds by status; 0 stands for no answer."""

    seconds: dict[int, list[float]] = field(default_factory=dict)

    def add(self, status: int, took_s: float) -> None:
        self.seconds.setdefault(status, []).append(took_s)

    def counts(self) -> dict[int, int]:
        return {status: len(seconds) for status, seconds in sorted(self.seconds.items())}


def percentile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")


class Client:
    """Raw HTTP/1.1 over connections that are kept: a client library would cost as much as the service."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def ask(self, request: bytes) -> int:
        """The answer's status. Raises OSError or IncompleteReadError where there is none."""
        return (await self.exchange(request))[0]

    async def exchange(self, request: bytes) -> tuple[int, bytes]:
        """The answer's status and body."""
        kept = bool(self._idle)
        reader, writer = self._idle.pop() if kept else await asyncio.open_connection("127.0.0.1", self._port)
        try:
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
            body = await reader.readexactly(length)
        except (OSError, asyncio.IncompleteReadError):
            writer.close()
            if kept:  # it may have been closed as idle just as we used it
                return await self.exchange(request)
            raise
        if b"connection: close" in head.lower():
            writer.close()
        else:
            self._idle.append((reader, writer))
        return int(head.split(b" ", 2)[1]), body

    async def timed(self, request: bytes, answers: Answers) -> None:
        started = time.perf_counter()
        try:
            status = await self.ask(request)
        except (OSError, asyncio.IncompleteReadError):
            status = 0
        answers.add(status, time.perf_counter() - started)


async def in_turn(port: int, request: bytes, clients: int, seconds: float) -> Answers:
    """So many clients, each asking anew as soon as it is answered."""
    answers, end = Answers(), time.monotonic() + seconds

    async def one() -> None:
        client = Client(port)
        while time.monotonic() < end:
            await client.timed(request, answers)

    await asyncio.gather(*(one() for _ in range(clients)))
    return answers


async def at_rate(port: int, request: bytes, per_second: float, seconds: float) -> Answers:
    """Requests as the clock says, whether the earlier ones are answered or not."""
    answers, client, started = Answers(), Client(port), time.monotonic()
    asked: set[asyncio.Task[None]] = set()
    sent = 0
    while (elapsed := time.monotonic() - started) < seconds:
        while sent < elapsed * per_second:
            task = asyncio.create_task(client.timed(request, answers))
            asked.add(task)
            task.add_done_callback(asked.discard)
            sent += 1
        await asyncio.sleep(0.002)
    await asyncio.gather(*asked)
    return answers
