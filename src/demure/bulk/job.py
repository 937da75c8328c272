"""One shard: some sources to as many rows. Whoever runs many of them, in threads or on other machines, is not known here.

What goes wrong with one image is its row; what goes wrong with the installation is raised.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

from demure.errors import DemureError, FetchError, ImageError, Overloaded, SourceError
from demure.screening import Screening

Row = dict[str, Any]  # an item object: Screening.as_dict()
Read = Callable[[str], bytes]  # of a path or URL; raises SourceError, FetchError and Overloaded


class Judge(Protocol):
    """Those of judges.py."""

    def screen(self, source: bytes, *, id: str, sha256: str) -> Screening: ...

    def again(self, row: Row, *, id: str) -> Row | None:
        """The row of bytes that were judged before, under another name then; None where they are to be judged anew."""

    def failed(self, error: DemureError, *, id: str) -> Screening:
        """The answer for what could not be read."""


class Known(Protocol):
    """Rows by the SHA-256 of the bytes, so that the same bytes are judged once. A dict is one."""

    def get(self, digest: bytes, /) -> Row | None: ...

    def __setitem__(self, digest: bytes, row: Row, /) -> None: ...


def run_shard(sources: Iterable[str], read: Read, judge: Judge, known: Known) -> Iterator[Row]:
    """Each source's row, in order."""
    for source in sources:
        yield _row(source, read, judge, known)


def _row(source: str, read: Read, judge: Judge, known: Known) -> Row:
    try:
        data = read(source)
    except (SourceError, FetchError, Overloaded) as error:
        return judge.failed(error, id=source).as_dict()
    digest = hashlib.sha256(data)
    before = known.get(digest.digest())
    if before is not None and (row := judge.again(before, id=source)) is not None:
        return row
    screening = judge.screen(data, id=source, sha256=digest.hexdigest())
    row = screening.as_dict()
    # Another error (no decoder free, out of time) may be none the next time.
    if screening.error is None or isinstance(screening.error, ImageError):
        known[digest.digest()] = row
    return row
