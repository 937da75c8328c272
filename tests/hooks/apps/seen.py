"""What is sent to the sites of the tests, and what its sender and the view see of it; the same words for every framework."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

from pictures import encode, plain

# By the rules of tests/tiny_models.py: adult, safe and unknown.
RED, GREEN, BLUE = (encode(plain(colour), "PNG") for colour in ([255, 0, 0], [0, 255, 0], [0, 0, 255]))

# Each site has a form for each: what becomes of unknown pictures, and of those that nobody could judge.
FORMS = {f"/{unknown}/{failure}": (unknown, failure) for unknown, failure in product(("accept", "refuse"), repeat=2)}


@dataclass(frozen=True)
class Seen:
    """`sha256` is of what the view read of the file after the check; None where the upload was refused."""

    status: int
    code: str | None = None
    message: str | None = None
    decision: str | None = None
    sha256: str | None = None
    judged: str | None = None  # the sha256 in the answer

    @property
    def accepted(self) -> bool:
        return self.status == 200
