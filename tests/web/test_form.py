"""A form's files are held once: the budget counts a body's bytes as they come in, and once."""

from __future__ import annotations

import asyncio
import hashlib
import io
import tracemalloc
from collections.abc import Iterator

import pytest
from starlette.datastructures import UploadFile
from starlette.requests import Request

from demure.decode import MIB
from demure.web.form import read_form

PIECE = 64 * 1024
BOUNDARY = b"apart"


def request_of(pieces: Iterator[bytes]) -> Request:
    async def receive() -> dict[str, object]:
        piece = next(pieces, None)
        return {"type": "http.request", "body": piece or b"", "more_body": piece is not None}

    headers = [(b"content-type", b"multipart/form-data; boundary=" + BOUNDARY)]
    return Request({"type": "http", "method": "POST", "headers": headers}, receive)


def form_of(*files: int) -> Iterator[bytes]:
    """The body of a form with files of so many bytes, made as it is asked for. Of each the pieces are numbered."""
    for size in files:
        yield b"--" + BOUNDARY + b'\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n'
        yield from pieces_of(size)
        yield b"\r\n"
    yield b"--" + BOUNDARY + b"--\r\n"


def pieces_of(size: int) -> Iterator[bytes]:
    for start in range(0, size, PIECE):
        yield bytes([start // PIECE % 251]) * min(PIECE, size - start)


async def read_all(request: Request) -> list[bytes]:
    async with read_form(request, 1) as form:
        return [await file.read() for file in form.getlist("file") if isinstance(file, UploadFile)]


@pytest.mark.parametrize("files", [(24 * MIB,), (8 * MIB, 8 * MIB, 8 * MIB)], ids=["one", "three"])
def test_what_a_form_holds_is_held_once(files: tuple[int, ...]):
    """Its size and less than a quarter more: a buffer that grows has an eighth to spare."""

    async def work() -> tuple[list[int], int, int]:
        tracemalloc.start()
        try:
            found = await read_all(request_of(form_of(*files)))
            kept, most = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        return [len(data) for data in found], kept, most

    sizes, kept, most = asyncio.run(work())
    assert sizes == [*files]
    assert most < 1.25 * sum(files)
    assert kept < 1.05 * sum(files)


# Around the size of a piece, and past a megabyte, where Starlette would use a file.
@pytest.mark.parametrize("size", [0, 1, PIECE - 1, PIECE, PIECE + 1, 3 * MIB + 7])
def test_a_file_is_read_as_it_was_sent(size: int):
    expected = b"".join(pieces_of(size))
    (data,) = asyncio.run(read_all(request_of(form_of(size))))
    assert hashlib.sha256(data).digest() == hashlib.sha256(expected).digest()


def test_a_file_can_be_read_in_parts_and_again():
    async def work() -> tuple[list[bytes], io.BytesIO]:
        async with read_form(request_of(form_of(100_000)), 1) as form:
            file = form["file"]
            assert isinstance(file, UploadFile)
            parts = [await file.read(10), await file.read(), await file.read()]
            await file.seek(0)
            return [*parts, await file.read(), await file.read()], file.file

    expected = b"".join(pieces_of(100_000))
    found, file = asyncio.run(work())
    assert found == [expected[:10], expected[10:], b"", expected, b""]
    assert file.closed


def test_what_was_read_stays_when_the_form_is_closed():
    (data,) = asyncio.run(read_all(request_of(form_of(200_000))))
    assert data == b"".join(pieces_of(200_000))
