from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from findings import told

from demure.decode import MIB
from demure.doctor import (
    machine,
)
from demure.settings import Settings

SMALL = machine.Machine(
    processors=1,
    memory_bytes=961 * MIB,
    swap_bytes=0,
    open_files=4096,
    large_pages="always [madvise] never",
    shm_writable=True,
    temporary=Path("/tmp"),
    temporary_writable=True,
)
# docs/operating.md: a rented gigabyte shows 961 MiB; requests get 120 of them and the decoder 480.
FITTING = {"threads": 1, "max_held_bytes": 120 * MIB, "decoder_memory_bytes": 480 * MIB}
AT_EASE = [
    ("ok", "1 thread on 1 processor"),
    ("ok", "961 MiB of memory, no swap; demure takes 380 MiB idle, 960 MiB at its limits"),
]
MACHINES = {
    "a-gigabyte": (SMALL, {}, {}, AT_EASE),
    "with-swap": (
        replace(SMALL, swap_bytes=1536 * MIB),
        {},
        {},
        [AT_EASE[0], ("ok", "961 MiB of memory, 1.5 GiB of swap; demure takes 380 MiB idle, 960 MiB at its limits")],
    ),
    "more-threads-than-processors": (
        SMALL,
        {"threads": 2, "decoder_memory_bytes": 240 * MIB},
        {},
        [
            ("note", "2 threads on 1 processor", "more threads than processors only take memory: DEMURE_THREADS=1"),
            ("ok", "961 MiB of memory, no swap; demure takes 400 MiB idle, 960 MiB at its limits"),
        ],
    ),
    "fewer-threads-than-processors": (
        replace(SMALL, processors=8),
        {},
        {},
        [("ok", "1 thread on 8 processors"), AT_EASE[1]],
    ),
    "limits-that-do-not-fit": (
        SMALL,
        {"decoder_memory_bytes": 482 * MIB},
        {},
        [
            AT_EASE[0],
            (
                "note",
                "961 MiB of memory, no swap; demure takes 380 MiB idle, 962 MiB at its limits",
                "turn DEMURE_THREADS, DEMURE_DECODER_MEMORY_BYTES or DEMURE_MAX_HELD_BYTES down; docs/operating.md has the price",
            ),
        ],
    ),
    "too-small": (
        replace(SMALL, memory_bytes=379 * MIB),
        {},
        {},
        [
            AT_EASE[0],
            (
                "problem",
                "379 MiB of memory, no swap; demure takes 380 MiB idle, 960 MiB at its limits",
                "more memory, or fewer DEMURE_THREADS",
            ),
        ],
    ),
    "just-not-too-small": (
        replace(SMALL, memory_bytes=380 * MIB),
        {},
        {},
        [
            AT_EASE[0],
            (
                "note",
                "380 MiB of memory, no swap; demure takes 380 MiB idle, 960 MiB at its limits",
                "turn DEMURE_THREADS, DEMURE_DECODER_MEMORY_BYTES or DEMURE_MAX_HELD_BYTES down; docs/operating.md has the price",
            ),
        ],
    ),
    "few-open-files": (
        replace(SMALL, open_files=1024),
        {},
        {},
        [
            *AT_EASE,
            (
                "note",
                "1,024 files may be open: 512 connections and not 1,000",
                "raise the limit (systemd: LimitNOFILE=4096; docker: --ulimit nofile=4096)",
            ),
        ],
    ),
    "no-large-pages": (
        replace(SMALL, large_pages="always madvise [never]"),
        {},
        {},
        [
            *AT_EASE,
            (
                "note",
                "the kernel gives no large pages: decoding takes longer",
                "echo madvise | sudo tee /sys/kernel/mm/transparent_hugepage/enabled",
            ),
        ],
    ),
    "no-folder-for-what-passes": (
        replace(SMALL, temporary_writable=False),
        {},
        {},
        [
            *AT_EASE,
            (
                "note",
                "/tmp: cannot be written; images do not pass through it, other things may",
                "TMPDIR names another: for gunicorn without --worker-tmp-dir, metrics of workers, restoring an older backup",
            ),
        ],
    ),
}
TWO = replace(SMALL, processors=2, memory_bytes=2048 * MIB)
TWO_FIT = [
    ("ok", "2 workers of 1 thread on 2 processors"),
    ("ok", "2.0 GiB of memory, no swap; demure takes 650 MiB idle, 1.8 GiB at its limits"),
]
MACHINES |= {
    "workers-that-count-together": (
        TWO,
        {},
        {"WEB_CONCURRENCY": "2", "PROMETHEUS_MULTIPROC_DIR": "/run/demure"},
        [*TWO_FIT, ("ok", "several workers count into PROMETHEUS_MULTIPROC_DIR")],
    ),
    "workers-that-count-alone": (
        TWO,
        {},
        {"WEB_CONCURRENCY": "2"},
        [
            *TWO_FIT,
            (
                "note",
                "several workers without PROMETHEUS_MULTIPROC_DIR: each tells of itself alone",
                "start them with this repository's gunicorn.conf.py, which sets it, or set it to an empty folder",
            ),
        ],
    ),
    "workers-without-shared-memory": (
        replace(TWO, shm_writable=False),
        {},
        {"WEB_CONCURRENCY": "2"},
        [
            *TWO_FIT,
            (
                "note",
                "several workers, and /dev/shm cannot be written: their metrics go to the disk for temporary files",
                "mount a tmpfs there, or set PROMETHEUS_MULTIPROC_DIR to a folder in memory",
            ),
        ],
    ),
    "workers-of-too-many-threads": (
        TWO,
        {"threads": 2, "decoder_memory_bytes": 128 * MIB},
        {"WEB_CONCURRENCY": "2", "PROMETHEUS_MULTIPROC_DIR": "/run/demure"},
        [
            (
                "note",
                "2 workers of 2 threads on 2 processors",
                "one process uses them all: take WEB_CONCURRENCY out, or divide DEMURE_THREADS by it",
            ),
            # 110 + 2 * (250 + 2 * 20) and 110 + 2 * (250 + 120 + 2 * 128)
            ("ok", "2.0 GiB of memory, no swap; demure takes 690 MiB idle, 1.3 GiB at its limits"),
            ("ok", "several workers count into PROMETHEUS_MULTIPROC_DIR"),
        ],
    ),
    "too-small-for-so-many-workers": (
        replace(TWO, memory_bytes=649 * MIB),
        {},
        {"WEB_CONCURRENCY": "2", "PROMETHEUS_MULTIPROC_DIR": "/run/demure"},
        [
            TWO_FIT[0],
            (
                "problem",
                "649 MiB of memory, no swap; demure takes 650 MiB idle, 1.8 GiB at its limits",
                "more memory, or fewer DEMURE_THREADS or workers",
            ),
            ("ok", "several workers count into PROMETHEUS_MULTIPROC_DIR"),
        ],
    ),
    "a-number-of-workers-without-end": (SMALL, {}, {"WEB_CONCURRENCY": "9" * 5000}, AT_EASE),
    "a-number-of-workers-that-is-none": (SMALL, {}, {"WEB_CONCURRENCY": "auto"}, AT_EASE),
}


@pytest.mark.parametrize(("found", "given", "environment", "expected"), MACHINES.values(), ids=MACHINES)
def test_machine(found: machine.Machine, given: dict, environment: dict[str, str], expected: list[tuple[str, ...]]):
    settings = Settings(**{**FITTING, **given})
    assert told(machine.check_machine(found, settings, environment)) == expected


def test_the_machine_is_read_from_where_the_kernel_tells(tmp_path: Path):
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text("0::/\n")
    (tmp_path / "proc/meminfo").write_text("MemTotal:  1000 kB\nSwapTotal:  2048 kB\nSwapFree: 1 kB\n")
    for name, text in {
        "fs/cgroup/memory.max": "314572800\n",
        "fs/cgroup/cpu.max": "100000 100000\n",
        "kernel/mm/transparent_hugepage/enabled": "always madvise [never]\n",
    }.items():
        (tmp_path / "sys" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "sys" / name).write_text(text)
    looked = machine.look({"TMPDIR": str(tmp_path / "absent")}, tmp_path)
    assert (looked.processors, looked.memory_bytes, looked.swap_bytes) == (1, 300 * MIB, 2 * MIB)
    assert looked.large_pages == "always madvise [never]"
    assert (looked.temporary, looked.temporary_writable) == (tmp_path / "absent", False)


def test_where_the_kernel_tells_nothing_nothing_is_claimed(tmp_path: Path):
    looked = machine.look({"TMPDIR": str(tmp_path)}, tmp_path)
    assert (looked.swap_bytes, looked.large_pages, looked.temporary_writable) == (0, "", True)
