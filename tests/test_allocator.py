"""What a process keeps of blocks that it has freed, in a process of its own: the allocator cannot be set back."""

from __future__ import annotations

import subprocess
import sys

import pytest

# A large block is freed, which teaches glibc its size; then 50 MB in blocks of two are taken and freed.
PROGRAM = """
import sys
from demure.allocator import give_back_large_blocks
if sys.argv[1] == "set":
    give_back_large_blocks(1024 * 1024)
def held():
    return int(open("/proc/self/statm").read().split()[1]) * 4096
large = bytearray(b"x" * 33_000_000)
del large
before = held()
blocks = [bytearray(b"x" * 2_000_000) for _ in range(25)]
del blocks
print(held() - before)
"""


def kept_bytes(setting: str) -> int:
    done = subprocess.run([sys.executable, "-c", PROGRAM, setting], capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc, and glibc is Linux's")
def test_large_blocks_are_given_back_that_would_be_kept():
    assert kept_bytes("set") < 10_000_000
    assert kept_bytes("leave") > 30_000_000  # without this the test could pass for nothing
