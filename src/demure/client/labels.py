"""The site's own names for an image, within what the service takes (demure.web.schemas). Found here, an excess is told to whoever
wrote the call, and not as an answer that seems to be about the image."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

MOST_CHARS = 256  # of an id or a subject
MOST_METADATA_BYTES = 4096  # of its JSON


def cut_id(id: str | None) -> str | None:
    """Its first 256 characters, as the service cuts that of a file: often it is the file's name, which the sender chose."""
    _check_text("id", id)
    return None if id is None else id[:MOST_CHARS]


def check_labels(subject: str | None, metadata: Mapping[str, Any] | None) -> None:
    """Raises ValueError, or TypeError for what is no text or no JSON. Neither is cut: two people must not become one."""
    _check_text("subject", subject)
    if subject is not None and len(subject) > MOST_CHARS:
        raise ValueError(f"subject: found {len(subject):,} characters; expected {MOST_CHARS} at most")
    if metadata is None:
        return
    text = json.dumps(metadata, allow_nan=False, ensure_ascii=False)
    size = len(text.encode(errors="replace"))
    if size > MOST_METADATA_BYTES:
        raise ValueError(f"metadata: found {size:,} bytes of JSON; expected {MOST_METADATA_BYTES:,} at most")
    if "\\u0000" in text:
        raise ValueError("metadata: found a NUL character; PostgreSQL takes none")


def _check_text(name: str, value: object) -> None:
    if value is not None and not isinstance(value, str):
        raise TypeError(f"{name}: found {type(value).__name__}; expected text")
