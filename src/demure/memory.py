"""What people decided, found again: by the same bytes, and by nearly the same picture.

The verdicts are the store's. Those that are looked for by likeness are copied here, and the copy is brought up to date at each
question.
"""

from __future__ import annotations

import threading
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from demure.near import HASH_BYTES, NearIndex
from demure.pdq import MIN_QUALITY, Fingerprint
from demure.policy import Outcome
from demure.reviews import Review, Verdict
from demure.store import memory as entries

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from demure.store.database import Database

ESCALATED, REMEMBERED, NEAR_COPY, DISAGREES = "escalated", "remembered", "near_copy", "memory_disagrees"


@dataclass(frozen=True)
class NearCopy:
    """A picture that was judged before and looks the same."""

    verdict: Verdict
    distance: int  # bits of 256
    decided_ms: int


@dataclass(frozen=True)
class Recalled:
    """An answer that needs no look at the image."""

    decision: Outcome
    reason: str


class Memory:
    """Thread-safe. Raises what the database raises."""

    def __init__(self, database: Database, within: int) -> None:
        """`within` is the distance, in bits of 256, up to which two hashes are those of copies."""
        self._database = database
        self._within = within
        self._indexes = {verdict: NearIndex() for verdict in Verdict}
        self._lock = threading.Lock()
        self._change = 0

    def recall(self, sha256: bytes) -> Recalled | None:
        """What a person decided on these bytes. The copy for `weigh` is brought up to date as well."""
        change, known, frozen = self._database.read(
            lambda c: (entries.last_change(c), entries.recall(c, sha256), entries.is_escalated(c, sha256))
        )
        if change > self._change:
            self.refresh()
        if frozen:
            return Recalled(Outcome.UNKNOWN, ESCALATED)
        return Recalled(Outcome(known.verdict), REMEMBERED) if known is not None and known.verdict else None

    def refresh(self) -> None:
        """Take over what changed."""
        with self._lock:
            self._change = self._database.read(self._take_over)

    def weigh(
        self, decision: Outcome, fingerprints: Sequence[Fingerprint], *, is_still: bool = True
    ) -> Recalled | None:
        """What follows from pictures that look the same, for an image with one fingerprint a row; None if nothing does.

        One that shows several pictures is not safe because one of them is; nor one that moves, however few were looked at.
        """
        adult = self._nearest(Verdict.ADULT, fingerprints)
        safe = self._nearest(Verdict.SAFE, fingerprints) if is_still and len(fingerprints) == 1 else None
        return weigh(decision, near_adult=adult is not None, near_safe=safe is not None)

    def near_copies(self, review: Review) -> list[NearCopy]:
        """Those of a review's picture that were judged in other reviews, the nearest first."""
        if review.pdq is None:
            return []
        found = [
            (match.distance, match.key)
            for index in self._indexes.values()
            for match in index.search(bytes.fromhex(review.pdq), self._within)
        ]
        copies = self._database.read(lambda c: [(d, entries.entry(c, key)) for d, key in sorted(found)[:20]])
        return [
            NearCopy(entry.verdict, distance, entry.decided_ms)
            for distance, entry in copies
            if entry is not None and entry.verdict is not None and entry.review_id != review.id
        ]

    def __len__(self) -> int:
        """How many pictures are looked for by likeness."""
        return sum(map(len, self._indexes.values()))

    def _take_over(self, connection: Connection) -> int:
        """In one piece: the indexes are sorted anew, and a piece more would sort them once more."""
        change = entries.last_change(connection)
        ids: dict[Verdict | None, array[int]] = {verdict: array("q") for verdict in (None, *Verdict)}
        rows = {verdict: bytearray() for verdict in ids}
        for entry in entries.changes(connection, self._change):
            ids[entry.verdict].append(entry.id)
            rows[entry.verdict] += entry.hash
        for verdict, index in self._indexes.items():
            index.remove_many(np.concatenate([np.array(ids[other]) for other in ids if other is not verdict]))
            index.put_many(np.array(ids[verdict]), np.frombuffer(rows[verdict], np.uint8).reshape(-1, HASH_BYTES))
        return change

    def _nearest(self, verdict: Verdict, fingerprints: Iterable[Fingerprint]) -> int | None:
        index = self._indexes[verdict]
        matches = (index.search(f.hash, self._within) for f in fingerprints if f.quality >= MIN_QUALITY)
        return min((found[0].distance for found in matches if found), default=None)


def weigh(decision: Outcome, *, near_adult: bool, near_safe: bool) -> Recalled | None:
    """A copy of what was adult is adult; of what was safe it is safe, unless a model says adult: contradictions go to people."""
    if near_adult and near_safe:
        return Recalled(Outcome.UNKNOWN, DISAGREES)
    if near_adult:
        return Recalled(Outcome.ADULT, NEAR_COPY)
    if near_safe:
        contradicted = decision is Outcome.ADULT
        return Recalled(Outcome.UNKNOWN, DISAGREES) if contradicted else Recalled(Outcome.SAFE, NEAR_COPY)
    return None
