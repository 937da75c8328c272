"""Which paths a pattern means. It looks at no disk.

A pattern is names between slashes. In a name, `*` is any text, `?` one character, `[ab]` one of these, `[!ab]` one of all others,
and none of them is a slash; capitals count. The name `**` is any number of names, none as well. A pattern without a slash begins
at any depth: `*.jpg` is `**/*.jpg`. What means a folder means all that is in it: `thumbs` or `thumbs/**`, it is the same.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Sequence

from demure.errors import InvalidList

ANY_NAMES = "**"
_MAGIC = frozenset("*?[")
_Place = frozenset[int]  # how many of the pattern's names may be behind us


class Pattern:
    """Matched against paths with forward slashes, relative to where the pattern begins."""

    def __init__(self, text: str, *, anywhere: bool = True) -> None:
        """With `anywhere`, a pattern without a slash begins at any depth. Raises InvalidList for one that means nothing."""
        names = _names(text)
        if not names or ".." in names:
            raise InvalidList(f"{text!r}: expected a pattern such as *.jpg or thumbs/**, relative to the folder")
        if anywhere and "/" not in text:
            names.insert(0, ANY_NAMES)
        self._matchers = [None if name == ANY_NAMES else _matcher(name) for name in names]
        self._start = self._reached(0)

    def matches(self, path: str) -> bool:
        """The path itself, or a folder that it is in."""
        return len(self._matchers) in self._after(path)

    def may_match_below(self, folder: str) -> bool:
        """Whether it is worth to look into that folder."""
        return bool(self._after(folder))

    def _after(self, path: str) -> _Place:
        place = self._start
        for name in _names(path):
            place = frozenset().union(*(self._next(number, name) for number in place))
        return place

    def _next(self, number: int, name: str) -> _Place:
        if number == len(self._matchers):
            return frozenset([number])  # below what was meant, all is
        matches = self._matchers[number]
        if matches is None:
            return self._reached(number)
        return self._reached(number + 1) if matches(name) else frozenset()

    def _reached(self, number: int) -> _Place:
        """With what is reached along with it, as ** may be no name."""
        end = number
        while end < len(self._matchers) and self._matchers[end] is None:
            end += 1
        return frozenset(range(number, end + 1))


def is_pattern(text: str) -> bool:
    return not _MAGIC.isdisjoint(text)


def split_pattern(text: str) -> tuple[str, str]:
    """The folder that a pattern begins with, "" where it is this one, and the rest, from the first name with a * ? or [ on."""
    names = text.split("/")
    first = next(number for number, name in enumerate(names) if is_pattern(name))
    folder = "/".join(names[:first])
    return folder or ("/" if first else ""), "/".join(names[first:])


def _names(path: str) -> list[str]:
    return [name for name in path.split("/") if name not in ("", ".")]


def _matcher(name: str) -> Callable[[str], object]:
    return re.compile(fnmatch.translate(name)).match


class Choice:
    """What is taken: all of `include`, or, where there is none, everything; without what is of `exclude`."""

    def __init__(self, include: Sequence[str] = (), exclude: Sequence[str] = ()) -> None:
        self._include = [Pattern(text) for text in include]
        self._exclude = [Pattern(text) for text in exclude]

    def takes(self, path: str) -> bool:
        included = not self._include or any(pattern.matches(path) for pattern in self._include)
        return included and not self.leaves_out(path)

    def leaves_out(self, path: str) -> bool:
        """Of a folder: with all that is in it."""
        return any(pattern.matches(path) for pattern in self._exclude)
