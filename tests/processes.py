"""The service as a process, for tests of what only a process shows: signals, crashes, limits of the system."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
from service import LOOPBACK, NO_TLS

ROOT = Path(__file__).parent.parent
BIN = Path(sys.executable).parent


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
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
            reader.join(timeout=5)


def wait_until_healthy(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(f"http://127.0.0.1:{port}/health", trust_env=False, verify=NO_TLS).status_code == 200:
                return
        if process.poll() is not None:
            break
        time.sleep(0.05)
    raise AssertionError("".join(process.lines))


def serve(port: int) -> list[str]:
    return [str(BIN / "demure"), "serve", "--port", str(port)]


COMMANDS = {
    "demure-serve": serve,
    "gunicorn": lambda port: [str(BIN / "gunicorn"), "app:app"],
    "the-original-command": lambda port: [str(BIN / "gunicorn"), "--worker-tmp-dir", "/dev/shm", "app:app"],
}


def descendants(pid: int) -> list[int]:
    children = [
        int(child) for task in Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()
    ]
    return [*children, *(grandchild for child in children for grandchild in descendants(child))]


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
