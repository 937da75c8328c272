"""A multipart form, read whole. What its fields mean is for those who ask for it."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from python_multipart.multipart import parse_options_header
from starlette.datastructures import FormData
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from demure.web.problems import RequestError


@asynccontextmanager
async def read_form(request: Request, max_texts: int) -> AsyncIterator[FormData]:
    """The form, closed at the end; a file that is read from its beginning is held once, by its reader and the form together.

    Raises RequestError for one that cannot be read, or has more than `max_texts` fields that are no files.
    """
    _check_charset(request.headers["content-type"])
    parser = _Parser(request.headers, request.stream(), max_files=1000, max_fields=max_texts, max_part_size=1024)
    try:
        form = await parser.parse()
    except (MultiPartException, KeyError, UnicodeDecodeError) as error:
        raise RequestError(f"the multipart form cannot be read ({error})") from error
    try:
        yield form
    finally:
        await form.close()


class _File(io.BytesIO):
    """Gives its bytes away and not a copy of them: the budget counts them once, as they come in."""

    _rolled = False  # what Starlette looks for: it is in memory, and no thread is needed to read it

    def read(self, size: int | None = -1, /) -> bytes:
        if self.tell() or (size is not None and size >= 0):
            return super().read(size)
        # CPython hands out its own buffer here (Modules/_io/bytesio.c); its read() does only where none of that is spare.
        whole = self.getvalue()
        self.seek(len(whole))
        return whole


class _Parser(MultiPartParser):
    """Keeps files in memory, whatever their size: the body's own limit holds, and the disk may be read-only."""

    spool_max_size = 0  # without end

    def on_headers_finished(self) -> None:
        super().on_headers_finished()
        if (part := self._current_part.file) is not None:
            part.file.close()
            part.file = _File()


def _check_charset(content_type: str) -> None:
    """A form's texts are UTF-8 (RFC 7578, 5.1). Starlette would decode them by any codec of Python's that the client names, and
    some make of bytes what is no text (utf-7: half surrogate pairs) or raise what it does not expect (undefined, idna)."""
    charset = parse_options_header(content_type)[1].get(b"charset", b"utf-8")
    if charset.lower() not in (b"utf-8", b"us-ascii"):
        raise RequestError("the multipart form's charset is not utf-8; send its texts as UTF-8, and no charset")
