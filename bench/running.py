"""One system as processes on chosen cores: starting it, asking it, and what its process tree did meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import signal
import subprocess
import time
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from load import Client, family, free_port
from rivals import BENCH, System

START_WITHIN_S = 180.0
STOP_WITHIN_S = 30.0
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
MODERATE = "/v1/moderate"
numbers = itertools.count()  # no address is asked for twice


class WrongAnswer(Exception):
    """The system did not answer with scores: there is nothing to compare."""


@dataclass(frozen=True)
class Running:
    system: System
    port: int
    pid: int
    cores: frozenset[int]
    started_in_s: float  # from its start to its first answer


@contextlib.contextmanager
def running(system: System, cores: set[int], images: str) -> Iterator[Running]:
    """From its first answer on. What it prints is in `.bench/<name>/server.log`."""
    port = free_port()
    (BENCH / system.name).mkdir(parents=True, exist_ok=True)
    command = ["taskset", "--cpu-list", ",".join(map(str, sorted(cores))), *system.command(port, len(cores))]
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("DEMURE_", "PYTHON"))}
    environment |= {"NO_PROXY": "127.0.0.1", **system.variables(len(cores))}
    with (BENCH / system.name / "server.log").open("wb") as log:
        started = time.perf_counter()
        process = subprocess.Popen(command, cwd=system.folder, env=environment, stdout=log, stderr=log)
        try:
            first_answer(system, port, process, images)
            yield Running(system, port, process.pid, frozenset(cores), time.perf_counter() - started)
        finally:
            stop(process)


def first_answer(system: System, port: int, process: subprocess.Popen[bytes], images: str) -> None:
    """Wait for it. A cup of coffee has to look like one: that the right network was loaded with the right weights."""
    request, deadline = predict(f"{images}/coffee.jpg?n={next(numbers)}"), time.monotonic() + START_WITHIN_S
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            status, body = asyncio.run(Client(port).exchange(request))
            scores = scores_of(system, status, body)
            if scores[system.harmless] < 0.5:
                raise WrongAnswer(f"{system.name}: a cup of coffee has the scores {scores}")
            return
        time.sleep(0.01)
    raise WrongAnswer(f"{system.name} does not start: see .bench/{system.name}/server.log")


def stop(process: subprocess.Popen[bytes]) -> None:
    """With all below it: a child may outlive its parent by a moment, or for good."""
    members = family(process.pid)
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(STOP_WITHIN_S)
        time.sleep(0.2)
    for member in members:
        with contextlib.suppress(ProcessLookupError):
            os.kill(member, signal.SIGKILL)
    process.wait()


# --- Asking ---------------------------------------------------------------------------------------------------------


def predict(url: str, path: str = "/predict") -> bytes:
    head = (
        f"POST {path}?url={urllib.parse.quote(url, safe='')} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n"
    )
    return head.encode()


def moderate(url: str) -> bytes:
    body = json.dumps({"items": [{"url": url}]})
    head = f"POST {MODERATE} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return (head + body).encode()


def scores_of(system: System, status: int, body: bytes) -> dict[str, float]:
    """Raises WrongAnswer unless they are this system's labels and their sum is 1."""
    if status != 200:
        raise WrongAnswer(f"{system.name} answers {status}: {body[:300]!r}")
    answer = json.loads(body)
    if "items" in answer:
        answer = answer["items"][0].get("scores") or answer
    if {*answer} != {*system.labels} or not 0.99 < sum(answer.values()) < 1.01:
        raise WrongAnswer(f"{system.name} answers {body[:300]!r}")
    return answer


@dataclass
class Asked:
    seconds: list[float] = field(default_factory=list)  # of each request that was answered
    refused: int = 0  # with 503
    took_s: float = 0.0  # all of it, to the last answer


async def ask(
    target: Running, path: str, picture: str, clients: int, *, seconds: float = 0.0, requests: int = 0
) -> Asked:
    """So many clients in turn, for so long or until so many requests. One who is refused waits as Retry-After asks: 1 s."""
    asked, request, sent = Asked(), moderate if path == MODERATE else partial(predict, path=path), 0
    started = time.perf_counter()

    async def one() -> None:
        nonlocal sent
        client = Client(target.port)
        while sent < requests or time.perf_counter() - started < seconds:
            sent += 1
            message, begun = request(f"{picture}?n={next(numbers)}"), time.perf_counter()
            try:
                status, body = await client.exchange(message)
            except (OSError, asyncio.IncompleteReadError) as error:
                raise WrongAnswer(f"{target.system.name} does not answer: {error!r}") from error
            if status == 503:
                asked.refused += 1
                await asyncio.sleep(1)
                continue
            asked.seconds.append(time.perf_counter() - begun)
            scores_of(target.system, status, body)

    await asyncio.gather(*(one() for _ in range(clients)))
    asked.took_s = time.perf_counter() - started
    return asked


# --- Watching -------------------------------------------------------------------------------------------------------


def cpu_s(pid: int) -> float:
    """Processor seconds of a process, all below it, and their children that ended (proc_pid_stat(5), fields 14 to 17)."""
    ticks = 0
    for member in family(pid):
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{member}/stat").read_text().rpartition(")")[2].split()
            ticks += sum(map(int, fields[11:15]))
    return ticks / TICKS_PER_S


def escaped(target: Running) -> set[int]:
    """Cores that a thread of it may use and should not."""
    allowed: set[int] = set()
    for member in family(target.pid):
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{member}/task").iterdir():
                allowed |= os.sched_getaffinity(int(task.name))
    return allowed - target.cores
