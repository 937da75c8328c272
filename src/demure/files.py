"""Files that people asked for, written whole or not at all."""

from __future__ import annotations

import errno
import os
import secrets
from pathlib import Path

from demure.errors import Conflict, InvalidSetting, StorageFull


def replace_file(path: Path, text: str) -> None:
    """Write a file, in place of one that is there. Its mode is that of any new file; a link stays one.

    Raises InvalidSetting where it cannot be written, and StorageFull.
    """
    try:
        _replace(path.resolve(), text)
    except OSError as error:
        kind = StorageFull if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) else InvalidSetting
        raise kind(f"{path}: cannot be written ({error.strerror})") from error


def check_new(path: Path, *, replace: bool) -> None:
    """Before the work is done that the file is for. Raises Conflict for one that is there, unless it may be replaced."""
    if path.exists() and not replace:
        raise Conflict(f"{path}: is there already; name another file, or add --replace")


def _replace(path: Path, text: str) -> None:
    """A draft beside it, then a new name for the draft."""
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "it is there, and not a file")
    draft = path.with_name(f".{secrets.token_hex(8)}.new")
    try:
        with draft.open("x", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        draft.rename(path)
    finally:
        draft.unlink(missing_ok=True)
