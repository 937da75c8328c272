"""Which images are to be scanned? Folders, patterns, lists and URLs to one stream of paths and URLs; no image is opened.

Nothing is held but the way down to the folder that is being read, so ten million files take no more memory than ten: they come
in the order that the disk gives them in. Hidden files and what systems leave in folders are no images; see demure.folders.
"""

from __future__ import annotations

import hashlib
import logging
import os
import sys
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from itertools import chain
from pathlib import Path
from typing import TextIO

from demure.bulk.output import FIRST_COLUMNS, plain
from demure.bulk.patterns import Choice, Pattern, is_pattern, split_pattern
from demure.errors import InvalidLabels, InvalidList, SourceNotFound
from demure.evaluation.labels import is_url
from demure.folders import is_junk, leads_inside
from demure.listing import CSV, JSON_LINES, Listing, Row, shown

TEXT = (".txt",)
STANDARD_INPUT = "-"
COLUMNS = ("path", "url", "id")  # where none is named, the first of these that a row has a value of

_MOST_DEPTH = 100  # folders within each other; each that is being read holds a file descriptor
_MAX_LINE = 1 << 16  # bytes; a path has 4,096 at most

_log = logging.getLogger(__name__)


def list_sources(
    given: Sequence[str],
    *,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    column: str | None = None,
    stdin: TextIO | None = None,
) -> Sources:
    """Each image's path or URL, as a stream. Whatever comes twice, comes twice.

    Each of `given` is, in this order: `-`, lines of standard input; an http(s) URL; a folder, all that is below it; a list by its
    ending, *.txt of a path or URL a line, or *.csv, *.jsonl, *.ndjson with it in the column (`column`, or COLUMNS); any other
    file, which is an image; a pattern (demure.bulk.patterns). In a .txt, empty lines are nothing, nor are those that begin with
    a #; a file of such a name is written ./#1.jpg, and one with a line's end in its name goes by .jsonl. A relative path in a
    list begins at the list's folder, one of standard input here.

    `include` and `exclude` are patterns too. They choose among what a folder or a pattern holds, by the path below that folder,
    and among the lines of a list, as they are written; not among images that are given themselves.

    A link is followed if it leads to a file in the same folder or below it. Paths are text as os.fsdecode makes it: os.fsencode
    gives back the name, whatever its bytes.

    Raises SourceNotFound and InvalidList, for what is not there or cannot be read, before the first image; for a wrong line when
    it is reached. A folder further down that cannot be read is logged, counted, and the listing goes on.
    """
    return Sources(given, Choice(include, exclude), column, stdin or sys.stdin)


def lists_among(given: Sequence[str]) -> dict[str, str]:
    """Of each list on disk among them, what it says: its SHA-256. Raises SourceNotFound."""
    found = {}
    for source in given:
        path = Path(source)
        if not is_url(source) and path.suffix.lower() in (*TEXT, *CSV, *JSON_LINES) and path.is_file():
            try:
                with path.open("rb") as file:
                    found[source] = hashlib.file_digest(file, "sha256").hexdigest()
            except OSError as error:
                raise _unreadable(source, error) from error
    return found


class Sources(Iterator[str]):
    """The stream, and what is not in it so far; the counts are whole when it has ended. Close it to stop before."""

    def __init__(self, given: Sequence[str], choice: Choice, column: str | None, stdin: TextIO) -> None:
        self.unread = 0  # folders of which images are missing, for they could not be read to their end
        self.links = 0  # that lead out of the folder, to a folder or nowhere
        self.empty = 0  # rows of lists without a value
        self._choice = choice
        self._column = column
        self._stdin = stdin
        if list(given).count(STANDARD_INPUT) > 1:
            raise InvalidList(f"{STANDARD_INPUT} is there twice; standard input can be read once")
        self._stream = self._all([self._begin(source) for source in given])

    def __next__(self) -> str:
        return next(self._stream)

    def close(self) -> None:
        self._stream.close()

    def _all(self, parts: list[Iterator[str]]) -> Generator[str, None, None]:
        for part in parts:
            yield from part
        if self.unread:
            _log.warning("%d folders could not be read; their images are not in the listing", self.unread)
        if self.links:
            _log.warning("%d links were not followed: they lead out of the folder, to a folder or nowhere", self.links)
        if self.empty:
            _log.warning("%d rows of lists have no path or URL and were passed over", self.empty)

    def _begin(self, given: str) -> Iterator[str]:
        """Nothing is read yet but what tells that it can be."""
        if given == STANDARD_INPUT:
            return self._lines("standard input", getattr(self._stdin, "buffer", self._stdin).readline, "")
        if is_url(given):
            return iter([given])
        try:
            return self._on_disk(given, Path(given))
        except OSError as error:
            raise _unreadable(given, error) from error

    def _on_disk(self, given: str, path: Path) -> Iterator[str]:
        if given and path.is_dir():
            os.scandir(path).close()
            return self._walk(str(path), str(path))
        if path.is_file():
            return self._file(given, path)
        if is_pattern(given):
            return self._pattern(given)
        what = "it is neither a file nor a folder" if given and path.exists() else "no such file or folder"
        raise SourceNotFound(f"{given or repr(given)}: {what}")

    def _file(self, given: str, path: Path) -> Iterator[str]:
        ending = path.suffix.lower()
        read = {**dict.fromkeys(TEXT, self._text), **dict.fromkeys((*CSV, *JSON_LINES), self._table)}.get(ending)
        if read is None:
            return iter([given])
        with closing(read(path)) as rows:  # and opened anew in its turn: there may be more lists than files may be open
            next(rows, None)
        self.empty = 0
        return read(path)

    # --- Folders ------------------------------------------------------------------------------------------------------

    def _pattern(self, given: str) -> Iterator[str]:
        folder, rest = split_pattern(given)
        found = self._walk(folder or ".", folder and str(Path(folder)), Pattern(rest, anywhere=False))
        first = next(found, None)
        if first is None:
            raise SourceNotFound(f"{given}: no file matches, of those that are not hidden, left out or behind a link")
        return chain([first], found)

    def _walk(self, root: str, prefix: str, pattern: Pattern | None = None) -> Iterator[str]:
        for path in self._below(root, "", pattern, _MOST_DEPTH):
            if (pattern is None or pattern.matches(path)) and self._choice.takes(path):
                yield os.path.join(prefix, path)  # noqa: PTH118 - text, whatever it looks like

    def _below(self, root: str, folder: str, pattern: Pattern | None, depth: int) -> Iterator[str]:
        """Files below root/folder by their paths from root on; `folder` is "" or ends in a slash."""
        try:
            with os.scandir(os.path.join(root, folder)) as entries:  # noqa: PTH118
                for entry in entries:
                    path = folder + entry.name
                    if is_junk(entry.name):
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        if self._is_entered(path, pattern, depth):
                            yield from self._below(root, path + "/", pattern, depth - 1)
                    elif entry.is_file(follow_symlinks=False) or (entry.is_symlink() and self._follows(root, path)):
                        yield path
        except OSError as error:
            if not folder:
                raise _unreadable(root, error) from error
            if not isinstance(error, FileNotFoundError):  # folders go while we look
                self._miss(root + "/" + folder, error.strerror)

    def _is_entered(self, folder: str, pattern: Pattern | None, depth: int) -> bool:
        if self._choice.leaves_out(folder) or not (pattern is None or pattern.may_match_below(folder)):
            return False
        if not depth:
            self._miss(folder, f"it is {_MOST_DEPTH} folders down; give it itself as well")
        return depth > 0

    def _follows(self, root: str, link: str) -> bool:
        try:
            follows = leads_inside(Path(root, link), Path(root))
        except OSError:
            follows = False
        self.links += not follows
        return follows

    def _miss(self, folder: str, why: str | None) -> None:
        self.unread += 1
        _log.warning("%r: cannot be read (%s)", folder, why)

    # --- Lists --------------------------------------------------------------------------------------------------------

    def _text(self, path: Path) -> Generator[str, None, None]:
        try:
            with path.open("rb") as file:
                yield from self._lines(str(path), file.readline, _folder(path))
        except OSError as error:
            raise _unreadable(path, error) from error

    def _lines(self, name: str, readline: Callable[[int], str | bytes], folder: str) -> Generator[str, None, None]:
        number = 0
        while raw := readline(_MAX_LINE):
            number += 1
            line = os.fsdecode(raw).removesuffix("\n").removesuffix("\r")
            if number == 1:
                line = line.removeprefix("\ufeff")
            if len(raw) >= _MAX_LINE or "\0" in line:
                raise InvalidList(
                    f"{name}, line {number}: expected one path or URL a line, in UTF-8, found {shown(line)}"
                )
            if line.strip() and not line.startswith("#") and self._choice.takes(line):
                yield _placed(line, folder)

    def _table(self, path: Path) -> Generator[str, None, None]:
        listing = Listing(path)
        column = self._column.strip().lower() if self._column and listing.is_csv else self._column
        try:
            with closing(listing.rows([column] if column else [])) as rows:
                for row in rows:
                    source = _value(listing, row, [column] if column else COLUMNS)
                    if not source.strip():
                        self.empty += 1
                    elif self._choice.takes(source):
                        yield _placed(source, _folder(path))
        except InvalidLabels as error:
            raise InvalidList(error.message) from error


def _value(listing: Listing, row: Row, columns: Sequence[str]) -> str:
    """As it is written, its spaces too: they may be a name's. "" where there is none."""
    there = [name for name in columns if name in row]
    if not there:
        hint = "" if columns is not COLUMNS else "; name the one with the paths (--column)"
        raise listing.error(f"expected a column {' or '.join(columns)}, found {shown(','.join(row))}{hint}")
    values = (row[name] if isinstance(row[name], str) else listing.text(row, name) for name in there)
    text = next(filter(str.strip, values), "")
    if listing.is_csv and tuple(row)[: len(FIRST_COLUMNS)] == FIRST_COLUMNS:  # a scan's
        text = plain(text)
    try:
        os.fsencode(text)
    except UnicodeEncodeError as error:
        raise listing.error(f"expected a file's name, found half of a surrogate pair in {shown(text)}") from error
    return text


def _placed(written: str, folder: str) -> str:
    return written if is_url(written) else os.path.join(folder, written)  # noqa: PTH118


def _folder(path: Path) -> str:
    return "" if path.parent == Path() else str(path.parent)


def _unreadable(path: Path | str, error: OSError) -> SourceNotFound:
    return SourceNotFound(f"{path}: cannot be read ({error.strerror})")
