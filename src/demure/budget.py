"""How many bytes all requests may hold together. Each takes a share as its bytes come in, and gives it back when answered."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from demure.errors import Overloaded


class Budget:
    """To be used from one event loop."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.held_bytes = 0

    @contextmanager
    def share(self) -> Iterator[Share]:
        share = Share(self)
        try:
            yield share
        finally:
            self.held_bytes -= share.bytes


class Share:
    """What one request holds."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self.bytes = 0

    def take(self, size: int) -> None:
        """Raises Overloaded if all shares together would be more than the budget."""
        if self._budget.held_bytes + size > self._budget.max_bytes:
            raise Overloaded(
                f"requests hold more than {self._budget.max_bytes:,} bytes (max_held_bytes); try again later"
            )
        self.bytes += size
        self._budget.held_bytes += size
