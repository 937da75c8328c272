"""A network with nothing in it but loopback, for a page whose commands are to reach nobody."""

from __future__ import annotations

import contextlib
import fcntl
import functools
import socket
import struct
import subprocess
import sys
from pathlib import Path

_RUNNER = [sys.executable, str(Path(__file__).parent / "document_run.py")]


def follow(page: Path, folder: Path, *options: str) -> str:
    """Run a page's blocks in a network of their own. Returns what was wrong: nothing, where all is as the page says."""
    if not alone():
        return follow_here(page, folder, *options)
    return _told([*alone(), *_RUNNER, "--alone", *options, str(page), str(folder)])


def follow_here(page: Path, folder: Path, *options: str) -> str:
    """The same in this machine's network, as where the system gives nobody one of their own."""
    return _told([*_RUNNER, *options, str(page), str(folder)])


@functools.cache
def alone() -> list[str]:
    """What to start a program with so that it has a network of its own; empty where the system allows none."""
    command = ["unshare", "--user", "--map-root-user", "--net"]
    return command if subprocess.run([*command, "true"], capture_output=True, check=False).returncode == 0 else []


def raise_loopback() -> None:
    """A new network has its loopback down. By netdevice(7): SIOCSIFFLAGS, IFF_UP."""
    with contextlib.closing(socket.socket()) as any_socket:
        fcntl.ioctl(any_socket, 0x8914, struct.pack("16sh14x", b"lo", 1))


def _told(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert not done.stderr, done.stderr
    assert (done.returncode == 0) == (not done.stdout), done.stdout
    return done.stdout
