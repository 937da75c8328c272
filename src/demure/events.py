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
        at = datetime.fromtimestamp(self.at_ms // 1000, UTC).replace(microsecond=self.at_ms % 1000 * 1000)
        timestamp = at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return {"id": self.id, "type": self.type, "timestamp": timestamp, "data": self.data}
