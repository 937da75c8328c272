from __future__ import annotations

import os
from pathlib import Path

import pytest

from demure.processors import usable_processors

ALLOWED = len(os.sched_getaffinity(0))


# cgroup v2, cpu.max: "quota period" in microseconds; a limit of 1.5 processors is worth two threads.
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("100000 100000", 1),
        ("50000 100000", 1),
        ("150000 100000", 2),
        ("max 100000", ALLOWED),
        ("6400000 100000", ALLOWED),
        ("", ALLOWED),
        ("1 0", ALLOWED),
    ],
)
def test_a_containers_limit_is_kept(tmp_path: Path, text: str, expected: int):
    path = tmp_path / "cpu.max"
    path.write_text(text)
    assert usable_processors(path) == min(expected, ALLOWED)


def test_without_a_container_the_affinity_counts(tmp_path: Path):
    assert usable_processors(tmp_path / "absent") == ALLOWED
