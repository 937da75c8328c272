"""A host of pictures none of whose answers is like another: each carries a comment with a number of its own.

    python bench/unique_images.py PORT FOLDER

`GET /NAME?anything` answers the file of that name. A cache by content or by address has nothing to remember, and the pixels, so
the work, stay the same. Connections are kept where the client keeps them.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

NOTE_BYTES = 16
Parts = tuple[bytes, bytes]
Build = Callable[[bytes], list[bytes]]


def main() -> None:
    port, folder = int(sys.argv[1]), Path(sys.argv[2])
    asyncio.run(serve(port, {path.name: uniquely(path.read_bytes()) for path in folder.iterdir()}))


async def serve(port: int, pictures: dict[str, Build]) -> None:
    numbers = itertools.count()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(pictures, numbers), "127.0.0.1", port, backlog=1000)
    await server.serve_forever()


class Connection(asyncio.Protocol):
    """One after another; a request has no body."""

    def __init__(self, pictures: dict[str, Build], numbers: itertools.count[int]) -> None:
        self._pictures, self._numbers = pictures, numbers
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        while b"\r\n\r\n" in self._received:
            head, _, self._received = self._received.partition(b"\r\n\r\n")
            self._answer(head)

    def _answer(self, head: bytes) -> None:
        name = head.split(b" ", 2)[1].partition(b"?")[0].lstrip(b"/").decode()
        body = self._pictures[name](b"%0*d" % (NOTE_BYTES, next(self._numbers)))
        length = sum(map(len, body))
        kind = Path(name).suffix[1:].replace("jpg", "jpeg").encode()
        self._transport.writelines(
            [b"HTTP/1.1 200 OK\r\nContent-Type: image/%s\r\nContent-Length: %d\r\n\r\n" % (kind, length), *body]
        )
        if b"connection: close" in head.lower():
            self._transport.close()


def uniquely(data: bytes) -> Build:
    """How to write this file with a note of NOTE_BYTES in it, without copying the rest."""
    if data.startswith(b"\xff\xd8"):
        return lambda note: [data[:2], jpeg_comment(note), memoryview(data)[2:]]
    if data.startswith(b"\x89PNG"):
        end = len(data) - 12  # IEND: length, name, checksum
        return lambda note: [memoryview(data)[:end], png_text(note), data[end:]]
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        mended = data[:4] + (len(data) - 8 + 8 + NOTE_BYTES).to_bytes(4, "little") + data[8:]
        return lambda note: [mended, b"note" + NOTE_BYTES.to_bytes(4, "little") + note]
    raise ValueError("not a JPEG, PNG or WebP")


def jpeg_comment(note: bytes) -> bytes:
    """A COM segment (ITU T.81, B.2.4.5); its length counts itself."""
    return b"\xff\xfe" + (2 + len(note)).to_bytes(2, "big") + note


def png_text(note: bytes) -> bytes:
    """A tEXt chunk (PNG specification, 11.3.3.2)."""
    chunk = b"tEXtComment\0" + note
    return (len(chunk) - 4).to_bytes(4, "big") + chunk + zlib.crc32(chunk).to_bytes(4, "big")


if __name__ == "__main__":
    main()
