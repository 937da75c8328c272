"""What in a folder of uploads is nobody's picture: what systems put there, and links that lead elsewhere."""

from __future__ import annotations

from pathlib import Path

# What systems put beside pictures; hidden files are left out anyway.
_JUNK = {"thumbs.db", "desktop.ini", "ehthumbs.db", "@eadir", "__macosx"}


def is_junk(name: str) -> bool:
    """Of a file or a folder, by its own name."""
    return name.startswith(".") or name.lower() in _JUNK


def leads_inside(link: Path, folder: Path) -> bool:
    """To a file, that is: folders are walked by their own names, so that none is walked twice, or for ever."""
    return link.is_file() and link.resolve().is_relative_to(folder.resolve())
