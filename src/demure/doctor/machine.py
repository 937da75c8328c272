"""Whether the machine has what the settings ask for: processors, memory, open files, folders for what is passing.

The figures are those of docs/operating.md.
"""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from demure.decode import MIB
from demure.doctor.finding import Finding, counted, in_bytes, note, ok, problem
from demure.machine import usable_memory, usable_processors
from demure.settings import Settings

CHECK = "machine"
SERVICE_BYTES, DECODER_BYTES, SYSTEM_BYTES = (
    250 * MIB,
    20 * MIB,
    110 * MIB,
)  # a process with two models, an idle decoder, the rest
_MOST_DIGITS = 6
_SHM = "/dev/shm"  # noqa: S108  looked at, and nothing written to it


@dataclass(frozen=True)
class Machine:
    """What this process may use of it."""

    processors: int
    memory_bytes: int
    swap_bytes: int
    open_files: int  # the hard limit
    large_pages: str  # as the kernel writes it; "" where it does not
    shm_writable: bool
    temporary: Path
    temporary_writable: bool


def look(environment: Mapping[str, str], root: Path = Path("/")) -> Machine:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    temporary = Path(environment.get("TMPDIR") or "/tmp")  # noqa: S108  as above
    return Machine(
        processors=usable_processors(root),
        memory_bytes=usable_memory(root),
        swap_bytes=_swap(_text(root / "proc/meminfo")),
        open_files=1 << 20 if hard == resource.RLIM_INFINITY else hard,
        large_pages=_text(root / "sys/kernel/mm/transparent_hugepage/enabled").strip(),
        shm_writable=os.access(_SHM, os.W_OK),
        temporary=temporary,
        temporary_writable=os.access(temporary, os.W_OK | os.X_OK),
    )


def workers_of(environment: Mapping[str, str]) -> int:
    """Processes that gunicorn.conf.py would start."""
    told = environment.get("WEB_CONCURRENCY", "")
    # What is longer is no number of processes, and int() refuses a text of thousands of digits.
    return max(1, int(told)) if told.isdecimal() and len(told) <= _MOST_DIGITS else 1


def check_machine(machine: Machine, settings: Settings, environment: Mapping[str, str]) -> Iterator[Finding]:
    workers = workers_of(environment)
    yield _processors(machine, settings.threads, workers)
    yield _memory(machine, settings, workers)
    yield from _open_files(machine, settings)
    yield from _large_pages(machine)
    if not machine.temporary_writable:
        yield note(
            CHECK,
            f"{machine.temporary}: cannot be written; images do not pass through it, other things may",
            "TMPDIR names another: for gunicorn without --worker-tmp-dir, metrics of workers, restoring an older backup",
        )
    if workers > 1:
        yield _metrics(machine, environment)


def _processors(machine: Machine, threads: int, workers: int) -> Finding:
    share = (
        f"{counted(workers, 'worker')} of {counted(threads, 'thread')}" if workers > 1 else counted(threads, "thread")
    )
    found = f"{share} on {counted(machine.processors, 'processor')}"
    if workers * threads <= machine.processors:
        return ok(CHECK, found)
    if workers > 1:
        return note(CHECK, found, "one process uses them all: take WEB_CONCURRENCY out, or divide DEMURE_THREADS by it")
    return note(CHECK, found, f"more threads than processors only take memory: DEMURE_THREADS={machine.processors}")


def _memory(machine: Machine, settings: Settings, workers: int) -> Finding:
    """Problem: it does not start, or is killed soon. Note: it may be, when all that is allowed comes together."""
    threads, memory = settings.threads, machine.memory_bytes
    least = SYSTEM_BYTES + workers * (SERVICE_BYTES + threads * DECODER_BYTES)
    most = SYSTEM_BYTES + workers * (SERVICE_BYTES + settings.max_held_bytes + threads * settings.decoder_memory_bytes)
    swap = f", {in_bytes(machine.swap_bytes)} of swap" if machine.swap_bytes else ", no swap"
    found = f"{in_bytes(memory)} of memory{swap}; demure takes {in_bytes(least)} idle, {in_bytes(most)} at its limits"
    if memory < least:
        return problem(CHECK, found, f"more memory, or fewer DEMURE_THREADS{' or workers' if workers > 1 else ''}")
    if memory < most:
        return note(
            CHECK,
            found,
            "turn DEMURE_THREADS, DEMURE_DECODER_MEMORY_BYTES or DEMURE_MAX_HELD_BYTES down; docs/operating.md has the price",
        )
    return ok(CHECK, found)


def _open_files(machine: Machine, settings: Settings) -> Iterator[Finding]:
    from demure.web.connections import max_connections

    fitting = max_connections(settings.max_connections, machine.open_files)
    if fitting < settings.max_connections:
        yield note(
            CHECK,
            f"{machine.open_files:,} files may be open: {counted(fitting, 'connection')} and not {settings.max_connections:,}",
            "raise the limit (systemd: LimitNOFILE=4096; docker: --ulimit nofile=4096)",
        )


def _large_pages(machine: Machine) -> Iterator[Finding]:
    if "[never]" in machine.large_pages:
        yield note(
            CHECK,
            "the kernel gives no large pages: decoding takes longer",
            "echo madvise | sudo tee /sys/kernel/mm/transparent_hugepage/enabled",
        )


def _metrics(machine: Machine, environment: Mapping[str, str]) -> Finding:
    if "PROMETHEUS_MULTIPROC_DIR" in environment:
        return ok(CHECK, "several workers count into PROMETHEUS_MULTIPROC_DIR")
    if not machine.shm_writable:
        return note(
            CHECK,
            f"several workers, and {_SHM} cannot be written: their metrics go to the disk for temporary files",
            "mount a tmpfs there, or set PROMETHEUS_MULTIPROC_DIR to a folder in memory",
        )
    return note(
        CHECK,
        "several workers without PROMETHEUS_MULTIPROC_DIR: each tells of itself alone",
        "start them with this repository's gunicorn.conf.py, which sets it, or set it to an empty folder",
    )


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def _swap(meminfo: str) -> int:
    """proc_meminfo(5): SwapTotal, in kB that are KiB."""
    found = (line.split()[1] for line in meminfo.splitlines() if line.startswith("SwapTotal:"))
    return int(next(found, "0")) * 1024
