"""What happened, in the one form that the site is told it, whether it is sent or asked for. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any


@dataclass(frozen=True)
class Event:
    """`id` counts up in the order in which events were committed, so it is the feed's cursor as well."""

    id: int
    type: str
    at_ms: int
    data: Mapping[str, Any]

    def as_dict(self) -> dict[str, Any]:
        return {"id": self.id, "type": self.type, "timestamp": timestamp_of(self.at_ms), "data": self.data}


def timestamp_of(ms: int) -> str:
    """ISO 8601 in UTC, to the millisecond."""
    at = datetime.fromtimestamp(ms // 1000, UTC).replace(microsecond=ms % 1000 * 1000)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
