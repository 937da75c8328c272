"""Labelled images, one by one, into the columns of a LabelledSet; and what comes twice is settled. It reads no file.

Rows go into flat arrays as they come, so that a hundred thousand of them are a few megabytes and not as many objects.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Collection, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from demure.evaluation.labelled import Gathering, LabelledSet
from demure.near import HASH_BYTES, NearIndex
from demure.scores import Category

T = TypeVar("T")

NO_GROUP = "—"  # of an image of which none is told
NEAR_BITS = 31  # of 256: as far apart may two hashes be that are those of copies (settings.memory_distance)

Column = tuple[str, str]  # the model, and the name of its score


def columns_of(models: Collection[str], witnesses: Collection[str]) -> tuple[Column, ...]:
    """What one row of scores holds, in order: five of each five-class model, one of each witness."""
    return (
        *((model, str(category)) for model in models for category in Category),
        *((name, name) for name in witnesses),
    )


class Collected:
    """What was gathered so far. Not thread-safe: one thread adds what others made."""

    def __init__(self, columns: Sequence[Column], *, grouped: bool, fingerprinted: bool) -> None:
        """With `fingerprinted`, near copies are counted: all that have a fingerprint come with it."""
        self._columns = columns
        self._fingerprinted = fingerprinted
        self._values = array("d")  # row after row
        self._first_row = array("q")
        self._is_adult, self._is_small = bytearray(), bytearray()
        self._ids: list[str] = []
        self._keys: list[str | None] = []
        self._sha256s: list[str | None] = []
        self._groups: list[str] | None = [] if grouped else None
        self._hashes, self._hashed = bytearray(), array("q")  # and which images they are of
        self._failures: Counter[str] = Counter()
        self._thinned = 0

    def add(
        self,
        values: Sequence[float],
        *,
        is_adult: bool,
        is_small: bool,
        id: str,
        sha256: str | None,
        key: str | None,
        group: str = NO_GROUP,
        pdq: bytes | None = None,
    ) -> None:
        """One image. `values` are its rows, end to end, each as the columns; two with one `key` are the same image."""
        if pdq is not None:
            self._hashes += pdq
            self._hashed.append(len(self._ids))
        self._first_row.append(len(self._values) // len(self._columns))
        self._values.extend(values)
        self._is_adult.append(is_adult)
        self._is_small.append(is_small)
        self._ids.append(id)
        self._keys.append(key)
        self._sha256s.append(sha256)
        if self._groups is not None:
            self._groups.append(group)

    def thin(self) -> None:
        """One label that is left out so that each image had the same chance."""
        self._thinned += 1

    def fail(self, code: str) -> None:
        """One image that has no scores, and the error's code."""
        self._failures[code] += 1

    def labelled_set(self) -> LabelledSet:
        """All that can be used, in the order it came."""
        kept, duplicates, contradictions = self._settle()
        first_row, kept_rows = self._rows(kept)
        table = np.frombuffer(self._values, np.float64).reshape(-1, len(self._columns))[kept_rows]
        scores: dict[str, dict[str, NDArray[np.float64]]] = {}
        for number, (model, name) in enumerate(self._columns):
            scores.setdefault(model, {})[name] = np.ascontiguousarray(table[:, number])
        return LabelledSet(
            is_adult=np.frombuffer(self._is_adult, np.bool_)[kept],
            first_row=first_row,
            scores=scores,
            is_small=np.frombuffer(self._is_small, np.bool_)[kept],
            ids=_where(self._ids, kept),
            sha256s=_where(self._sha256s, kept),
            groups=None if self._groups is None else _where(self._groups, kept),
            gathering=Gathering(
                duplicates, contradictions, self._near_copies(kept), dict(self._failures), self._thinned
            ),
        )

    def _settle(self) -> tuple[NDArray[np.bool_], int, tuple[str, ...]]:
        """Which images are kept, (n,); how often one came again; the ids of what stands under both labels."""
        kept = np.ones(len(self._ids), np.bool_)
        first: dict[str, int] = {}
        disputed: set[str] = set()
        for number, key in enumerate(self._keys):
            if key is not None and (earlier := first.setdefault(key, number)) != number:
                kept[number] = False
                if self._is_adult[number] != self._is_adult[earlier]:
                    disputed.add(key)
        against = [number for number, key in enumerate(self._keys) if key in disputed]
        duplicates = int(np.count_nonzero(~kept)) - (len(against) - len(disputed))
        kept[against] = False
        return kept, duplicates, tuple(self._ids[number] for number in against)

    def _rows(self, kept: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Where the rows of the kept images begin once the others are gone, (k,), and which rows are kept, (r,)."""
        starts = np.frombuffer(self._first_row, np.int64)
        counts = np.diff(starts, append=len(self._values) // len(self._columns))
        begins = np.concatenate([[0], np.cumsum(counts[kept])[:-1]]) if kept.any() else counts[kept]
        return begins.astype(np.int64), np.repeat(kept, counts)

    def _near_copies(self, kept: NDArray[np.bool_]) -> int | None:
        if not self._fingerprinted:
            return None
        hashes = np.frombuffer(self._hashes, np.uint8).reshape(-1, HASH_BYTES)
        return count_near(hashes[kept[np.frombuffer(self._hashed, np.int64)]])


def count_near(hashes: NDArray[np.uint8], within: int = NEAR_BITS) -> int:
    """How many of these, (n, 32), are within so many bits of one before them."""
    # The same hash again is near by itself: a hundred frames of one still must not be compared each with each.
    first = np.unique(hashes, axis=0, return_index=True)[1]
    index = NearIndex()
    index.put_many(first, hashes[first])
    found = (any(match.key < key for match in index.search(hashes[key].tobytes(), within)) for key in first.tolist())
    return len(hashes) - len(first) + sum(found)


def _where(values: Sequence[T], kept: NDArray[np.bool_]) -> list[T]:
    return [values[number] for number in np.flatnonzero(kept).tolist()]
