"""What a decoder gives up before the first untrusted byte arrives: files, the network, other processes, memory without end.

Nothing can be had back, by whoever takes the decoder over either. Limits hold on every POSIX system; Landlock is Linux's
(5.13 and later; 6.12 for all that is asked here) and needs neither root nor a package: three system calls whose numbers and
structures are part of the kernel's stable interface (linux/landlock.h, Documentation/userspace-api/landlock.rst).
"""

from __future__ import annotations

import ctypes
import os
import resource
import sys

_DESCRIPTORS = 3  # the socket to the parent, and two that lead nowhere

# The numbers are the same on every architecture (include/uapi/asm-generic/unistd.h).
_CREATE_RULESET, _RESTRICT_SELF = 444, 446
_VERSION_ONLY = 1  # LANDLOCK_CREATE_RULESET_VERSION
_NO_NEW_PRIVILEGES = 38  # linux/prctl.h; without it only root may restrict itself

# By the first version of the interface that knows them: how many rights to files there are in all. The lower bits are the older.
_FILE_RIGHTS = {1: 13, 2: 14, 3: 15, 5: 16}
_TCP_SINCE, _TCP = 4, 0b11  # bind, connect
_SCOPES_SINCE, _SCOPES = 6, 0b11  # abstract Unix sockets, signals


class _Ruleset(ctypes.Structure):
    """struct landlock_ruleset_attr: what is forbidden where no rule allows it. We add none."""

    _fields_ = (("files", ctypes.c_uint64), ("network", ctypes.c_uint64), ("scopes", ctypes.c_uint64))


def confine(memory_bytes: int) -> None:
    """For ever: no file, socket or program more; `memory_bytes` of address space. What will be imported must be, already.

    Threads and forks are left: libheif starts a thread for every picture, and RLIMIT_NPROC tells the two not apart.
    Raises OSError if the system knows a restriction and refuses it. An older kernel gives what it has.
    """
    for limit, value in (
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        _lower(limit, value)
    if landlock_version():
        _forbid_everything(landlock_version())
    # Last, for the ruleset is a descriptor while it is made. From here on nothing can be opened, and no socket made.
    _lower(resource.RLIMIT_NOFILE, _DESCRIPTORS)


def landlock_version() -> int:
    """Of the kernel's interface: 0 where there is none."""
    if sys.platform != "linux":
        return 0
    return max(0, int(_libc().syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(_VERSION_ONLY))))


def _forbid_everything(version: int) -> None:
    """No file by path, no TCP, no signal, no look into the memory of a process that is not confined as we are."""
    rights = max(bits for since, bits in _FILE_RIGHTS.items() if since <= version)
    ruleset = _Ruleset(
        (1 << rights) - 1,
        _TCP if version >= _TCP_SINCE else 0,
        _SCOPES if version >= _SCOPES_SINCE else 0,
    )
    libc = _libc()
    size = ctypes.c_size_t(ctypes.sizeof(ruleset))
    descriptor = _checked(libc.syscall(_CREATE_RULESET, ctypes.byref(ruleset), size, ctypes.c_uint32(0)))
    try:
        _checked(libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0))
        _checked(libc.syscall(_RESTRICT_SELF, ctypes.c_int(descriptor), ctypes.c_uint32(0)))
    finally:
        os.close(descriptor)


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _checked(result: int) -> int:
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def _lower(limit: int, value: int) -> None:
    hard = resource.getrlimit(limit)[1]  # the operator's own may be lower, and cannot be raised
    bound = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(limit, (bound, bound))
