"""Text that others chose, made fit for a line that we write: a file's name may hold an escape sequence or a line's end."""

from __future__ import annotations

import codecs

# Loaded now: the line that says that no more files can be opened must not have to open one.
codecs.lookup("unicode_escape")


def printable(text: str) -> str:
    """The text with everything that is not printable written as an escape."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "backslashreplace").decode() for c in text)
