"""Whether there is a service to ask: the site's own configuration, or else DEMURE_URL and DEMURE_KEY. Else this process judges.

Apart from demure.settings, which is what a service is made of, and dear to import for a site that only asks one.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field

URL, KEY = "DEMURE_URL", "DEMURE_KEY"


@dataclass(frozen=True)
class Service:
    """Where it is, and the site's key for it."""

    url: str
    key: str | None = field(default=None, repr=False)


def find_service(url: str | None = None, key: str | None = None) -> Service | None:
    """`url` and `key` are what the framework's configuration says, None where it is silent; an empty URL means in process."""
    if url is None:
        url = os.environ.get(URL, "")
    if key is None:
        key = os.environ.get(KEY)
    return Service(url, key or None) if url else None
