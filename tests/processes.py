"""The service as a process, for tests of what only a process shows: signals, crashes, limits of the system."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
from service import LOOPBACK, NO_TLS
from waiting import wait_until

ROOT = Path(__file__).parent.parent
BIN = Path(sys.executable).parent


_kept: list[socket.socket] = []


def free_port() -> int:
    """One that nobody else is given while the tests run.

    It stays bound, without anybody who listens: the system gives it to no other then, and who sets SO_REUSEADDR, as servers
    do, may still bind it (socket(7)). Were it let go, another process of the tests might have it before the service.
    """
    probe = socket.socket()
    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    probe.bind(("127.0.0.1", 0))
    _kept.append(probe)
    return probe.getsockname()[1]


@contextlib.contextmanager
def running(command: list[str], port: int, cwd: Path, **variables: str) -> Iterator[subprocess.Popen[bytes]]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("DEMURE_", "PROMETHEUS_"))}
    environment = {**kept, **LOOPBACK, "DEMURE_DATA_DIR": str(cwd / "data"), "PORT": str(port), **variables}
    with subprocess.Popen(
        command, cwd=cwd, env=environment, stderr=subprocess.STDOUT, stdout=subprocess.PIPE
    ) as process:
        lines: list[str] = []
        reader = threading.Thread(target=lambda: lines.extend(line.decode() for line in process.stdout), daemon=True)
        reader.start()
        process.lines = lines
        try:
            wait_until_healthy(port, process)
            yield process
        finally:
            process.terminate()
            try:
                process.wait(timeout=40)
            except subprocess.TimeoutExpired:
                process.kill()
            reader.join(timeout=60)


def wait_until_healthy(port: int, process: subprocess.Popen[bytes]) -> None:
    wait_until(lambda: process.poll() is not None or answers(port, "/health"), lambda: "".join(process.lines))
    assert process.poll() is None, "".join(process.lines)


def answers(port: int, path: str) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}{path}", trust_env=False, verify=NO_TLS).status_code == 200
    except httpx.TransportError:
        return False


def serve(port: int) -> list[str]:
    return [str(BIN / "demure"), "serve", "--port", str(port)]


COMMANDS = {
    "demure-serve": serve,
    "gunicorn": lambda port: [str(BIN / "gunicorn"), "app:app"],
    "the-original-command": lambda port: [str(BIN / "gunicorn"), "--worker-tmp-dir", "/dev/shm", "app:app"],
}


def descendants(pid: int) -> list[int]:
    """Without those of processes that end meanwhile."""
    children: list[int] = []
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                children += map(int, (task / "children").read_text().split())
    return [*children, *(grandchild for child in children for grandchild in descendants(child))]


def kill(pid: int) -> None:
    """It may have ended by itself just now."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):  # also of one that ends while it is looked at
        return False
