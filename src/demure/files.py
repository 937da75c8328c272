"""Files that people asked for: read within a limit, and written whole or not at all."""

from __future__ import annotations

import errno
import io
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from demure.errors import Conflict, InvalidSetting, SourceNotFound, StorageFull, TooLarge

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_BUFFER_BYTES = 1 << 18


def read_file(path: Path, max_bytes: int, *, regular: bool = False) -> bytes:
    """All of it. With `regular`, as for what a list names, no pipe and no device: it could keep whoever reads it for ever.

    Raises SourceNotFound and TooLarge.
    """
    try:
        with open(path, "rb", opener=_open_regular if regular else None) as file:
            data = file.read(max_bytes + 1)
    except OSError as error:
        hint = "; a URL is fetched by `demure classify` and by the service" if ":/" in str(path) else ""
        raise SourceNotFound(f"{path}: {error.strerror or error}{hint}") from error
    except ValueError as error:  # a NUL in the name
        raise SourceNotFound(f"{str(path)!r}: {error}") from error
    if len(data) > max_bytes:
        raise TooLarge(f"{path} has more than {max_bytes:,} bytes, the limit (max_bytes)")
    return data


def _open_regular(path: str, flags: int) -> int:
    handle = os.open(path, flags | os.O_NONBLOCK)  # or to open a pipe would wait for who writes to it
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError("it is no regular file")
    return handle


def replace_file(path: Path, text: str) -> None:
    """Write a file, in place of one that is there. Raises what new_draft raises."""
    with new_draft(path) as file:
        file.write(text.encode())


@contextmanager
def new_draft(path: Path) -> Iterator[BinaryIO]:
    """A file to write, hidden beside `path`. When the block ends it is on the disk and has that name; if it raises, it is gone.

    Its mode is that of any new file; a link stays one. Who is killed meanwhile leaves the draft behind, a `.*.new`.

    Raises InvalidSetting where it cannot be written, and StorageFull; so do the writes. What else the block raises passes.
    """
    raw = _Draft(path)
    try:
        with io.BufferedWriter(raw, _BUFFER_BYTES) as file:
            yield file
            file.flush()
            raw.sync()
        raw.take_name()
    finally:
        raw.remove()


def check_new(path: Path, *, replace: bool) -> None:
    """Before the work is done that the file is for. Raises Conflict for one that is there, unless it may be replaced."""
    if path.exists() and not replace:
        raise Conflict(f"{path}: is there already; name another file, or add --replace")


def check_place(path: Path) -> None:
    """Before the work is done that the file is for. Raises InvalidSetting where none can be made, and StorageFull."""
    with _Draft(path) as raw:
        raw.remove()


class _Draft(io.FileIO):
    """Its writes raise our errors, whoever does them: the libraries in between let them pass."""

    def __init__(self, path: Path) -> None:
        self._asked = path
        with _told(path):
            self._target = path.resolve()
            if self._target.exists() and not self._target.is_file():
                raise OSError(errno.EINVAL, "it is there, and not a file")
            self._path = self._target.with_name(f".{secrets.token_hex(8)}.new")
            super().__init__(self._path, "xb")

    def write(self, data: ReadableBuffer, /) -> int:
        with _told(self._asked):
            return super().write(data)

    def sync(self) -> None:
        with _told(self._asked):
            os.fsync(self.fileno())

    def take_name(self) -> None:
        with _told(self._asked):
            self._path.rename(self._target)
            _sync_folder(self._target.parent)

    def remove(self) -> None:
        """Where it has its name already, there is nothing to remove."""
        self._path.unlink(missing_ok=True)


def _sync_folder(path: Path) -> None:
    """So that the new name is on the disk as well."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        kind = StorageFull if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) else InvalidSetting
        raise kind(f"{path}: cannot be written ({error.strerror})") from error
