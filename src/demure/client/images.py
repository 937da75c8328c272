"""What may be given as an image, and its bytes or its URL."""

from __future__ import annotations

import os
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, Protocol


class Readable(Protocol):
    """A file that is open in binary mode, an upload of a web framework's."""

    def read(self) -> bytes: ...


ImageSource = bytes | bytearray | memoryview | os.PathLike[str] | Readable | str


def load(image: ImageSource) -> bytes | str:
    """The bytes, or the URL as text, which the service fetches. A file is read from where it stands, and put back there.

    Raises OSError for a file that cannot be read; TypeError and ValueError for what is no image.
    """
    match image:
        case str():
            return _checked_url(image)
        case bytes() | bytearray() | memoryview():
            return bytes(image)
        case os.PathLike():
            return Path(image).read_bytes()
    if not hasattr(image, "read"):
        raise TypeError(f"image: found {type(image).__name__}; expected bytes, a Path, an open file or a URL")
    return _read(image)


def _checked_url(text: str) -> str:
    if not text.lower().startswith(("http://", "https://")):
        raise ValueError(f"image: found the text {text[:32]!r}; expected an http(s) URL, or for a file its Path")
    return text


def _read(file: Any) -> bytes:
    start = file.tell() if hasattr(file, "seekable") and file.seekable() else None
    data = file.read()
    if isinstance(data, Coroutine):
        data.close()
        raise TypeError("image: the file is read by await; pass the bytes that its read() gives")
    if not isinstance(data, bytes):
        raise TypeError("image: the file gives text; open it in binary mode")
    if start is not None:
        file.seek(start)
    return data
