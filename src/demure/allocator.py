"""Gives large blocks back to the system when they are freed. What is in them is nobody's business here.

glibc takes freed blocks for a sign that more of their size will come, and keeps them in its heap from then on: a process that
once held a few large images stays large. A fixed threshold turns that off (mallopt(3), NOTES).
"""

from __future__ import annotations

import ctypes

_MMAP_THRESHOLD, _TRIM_THRESHOLD = -3, -1  # malloc.h


def give_back_large_blocks(large_bytes: int) -> None:
    """For this process, from now on; each such block costs some page faults more. Other C libraries keep their ways."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_MMAP_THRESHOLD, large_bytes)
        mallopt(_TRIM_THRESHOLD, large_bytes)
