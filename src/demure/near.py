"""Which known hashes differ from this one in a few bits? An index in memory; it knows nothing of pictures.

A hash is 16 words of 16 bits. Two that differ in at most 31 bits have a word in which they differ in at most one (the pigeonhole
principle: 16 words with two bits each are 32), so it is enough to look at the hashes which share a word with the one that is
asked for, or have it but for one bit: 16 x 17 look-ups. Meta's ThreatExchange has the same in pdq/cpp/index/mih.h.

A million hashes take 104 MiB, of which 68 are the order of the words; with what Python keeps of the memory that sorting takes,
the process grows by 150 to 210, and by 270 for a moment (bench/near.py).
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

HASH_BYTES = 32
MOST_UNSORTED = 4096  # new hashes are compared one by one, 0.03 ms; past so many all are sorted, 0.6 s for a million

_WORDS = 16
_VALUES = 1 << 16  # of a word
_WORTH_SORTING = 8  # a look-up in the words costs as much as comparing this many hashes in a row
_CHUNK = 16384  # hashes compared at a time, so that they stay in the processor's cache

_WORD = np.arange(_WORDS)[:, np.newaxis]
_FLIPS = np.array([0, *(1 << bit for bit in range(16))], np.uint16)  # a word's value itself first, then each bit turned

Found = tuple[NDArray[np.int64], NDArray[np.uint16]]  # keys and distances


@dataclass(frozen=True, order=True)
class Match:
    distance: int  # bits that differ, 0 to 256
    key: int


class NearIndex:
    """Hashes of 256 bits by key.

    May be used from several threads. A change makes new arrays and puts them in the place of the old at once, under a lock; a
    search takes no lock and sees all of a change or nothing of it.
    """

    def __init__(self, most_unsorted: int = MOST_UNSORTED) -> None:
        self._most_unsorted = most_unsorted
        self._lock = threading.Lock()
        self._state = _State.of(_Rows.of([], np.empty((0, HASH_BYTES), np.uint8)))

    def __len__(self) -> int:
        return len(self._state)

    def put(self, key: int, hash: bytes) -> None:
        """In place of the hash that the key had, if any. Raises ValueError if it is not of 32 bytes."""
        self.put_many([key], np.frombuffer(hash, np.uint8)[np.newaxis])

    def put_many(self, keys: Sequence[int] | NDArray[np.int64], hashes: NDArray[np.uint8]) -> None:
        """`hashes` has shape (len(keys), 32). Of a key that comes twice the last counts.

        Each call with more than MOST_UNSORTED sorts all: a million takes 0.6 s at once, and 14 s by ten thousands.
        """
        added = _Rows.of(keys, hashes)
        with self._lock:
            changed = self._state.without(added.keys).plus(added)
            self._state = changed if len(changed.tail) <= self._most_unsorted else changed.sorted()

    def remove(self, key: int) -> None:
        """Nothing happens if it is not there."""
        self.remove_many([key])

    def remove_many(self, keys: Sequence[int] | NDArray[np.int64]) -> None:
        with self._lock:
            self._state = self._state.without(np.asarray(keys, np.int64))

    def search(self, hash: bytes, within: int) -> list[Match]:
        """All hashes that differ in at most `within` bits, the nearest first. Fast up to 31; past it each hash is compared."""
        needle = _quads(np.frombuffer(hash, np.uint8)[np.newaxis])[0]
        keys, distances = self._state.search(needle, within)
        return sorted(map(Match, distances.tolist(), keys.tolist()))


@dataclass(frozen=True)
class _Rows:
    """Hashes in no order but that of their keys."""

    keys: NDArray[np.int64]  # (n,), none twice
    quads: NDArray[np.uint64]  # (n, 4): the 256 bits

    @classmethod
    def of(cls, keys: Sequence[int] | NDArray[np.int64], hashes: NDArray[np.uint8]) -> _Rows:
        backwards = np.asarray(keys, np.int64)[::-1]
        quads = _quads(hashes)
        if len(backwards) != len(quads):
            raise ValueError(f"{len(backwards)} keys and {len(quads)} hashes; expected as many")
        unique, last = np.unique(backwards, return_index=True)
        return cls(unique, quads[::-1][last])

    def __len__(self) -> int:
        return len(self.keys)

    def where(self, kept: NDArray[np.bool_]) -> _Rows:
        return _Rows(self.keys[kept], self.quads[kept])

    def plus(self, other: _Rows) -> _Rows:
        """`other` has none of these keys."""
        keys, quads = np.concatenate([self.keys, other.keys]), np.concatenate([self.quads, other.quads])
        order = np.argsort(keys, kind="stable")
        return _Rows(keys[order], quads[order])

    def search(self, needle: NDArray[np.uint64], within: int) -> tuple[NDArray[np.intp], NDArray[np.uint16]]:
        """The positions of those within, in their order, and their distances."""
        positions, distances = [np.empty(0, np.intp)], [np.empty(0, np.uint16)]
        for start in range(0, len(self), _CHUNK):
            distance = _distances(self.quads[start : start + _CHUNK], needle)
            near = np.flatnonzero(distance <= within)
            positions.append(near + start)
            distances.append(distance[near])
        return np.concatenate(positions), np.concatenate(distances)


@dataclass(frozen=True)
class _Sorted:
    """Hashes, and for each of the 16 words their positions in the order of that word's value."""

    rows: _Rows
    order: NDArray[np.uint32]  # (16, n)
    starts: NDArray[np.uint32]  # (16, 65537): where in `order` a value begins, and so where the one before it ends

    @classmethod
    def of(cls, rows: _Rows) -> _Sorted:
        order = np.empty((_WORDS, len(rows)), np.uint32)
        starts = np.zeros((_WORDS, _VALUES + 1), np.uint32)
        for number, column in enumerate(rows.quads.view(np.uint16).T):
            words = np.ascontiguousarray(column)
            order[number] = np.argsort(words, kind="stable")  # by radix, as for all numbers of 16 bits
            np.cumsum(np.bincount(words, minlength=_VALUES), out=starts[number, 1:])
        return cls(rows, order, starts)

    def search(self, needle: NDArray[np.uint64], within: int) -> tuple[NDArray[np.intp], NDArray[np.uint16]]:
        candidates = self._candidates(needle, within)
        if candidates is None:
            return self.rows.search(needle, within)
        distances = _distances(self.rows.quads.take(candidates, axis=0), needle)
        near = distances <= within
        positions, first = np.unique(candidates[near], return_index=True)
        return positions.astype(np.intp), distances[near][first]

    def _candidates(self, needle: NDArray[np.uint64], within: int) -> NDArray[np.uint32] | None:
        """The positions of all that may be within, some of them often; None if it is cheaper to compare each hash.

        Real hashes crowd at some values of a word, so that a few look-ups may name a large part of all.
        """
        if within >= 2 * _WORDS:
            return None
        flips = _FLIPS if within >= _WORDS else _FLIPS[:1]
        values = (needle.view(np.uint16)[:, np.newaxis] ^ flips).astype(np.intp)
        starts = self.starts[_WORD, values].astype(np.intp)
        counts = (self.starts[_WORD, values + 1] - starts).ravel()
        total = counts.sum()
        if total * _WORTH_SORTING > len(self.rows):
            return None
        begins = (starts + _WORD * len(self.rows)).ravel()
        places = np.repeat(begins - counts.cumsum() + counts, counts) + np.arange(total)
        candidates: NDArray[np.uint32] = self.order.ravel()[places]
        return candidates


@dataclass(frozen=True)
class _State:
    """What a search sees. Nothing in it is ever written to."""

    base: _Sorted
    alive: NDArray[np.bool_]  # of the base's rows; those removed stay until it is sorted again
    tail: _Rows  # what came since

    @classmethod
    def of(cls, rows: _Rows) -> _State:
        return cls(_Sorted.of(rows), np.ones(len(rows), np.bool_), rows.where(np.zeros(len(rows), np.bool_)))

    def __len__(self) -> int:
        return int(np.count_nonzero(self.alive)) + len(self.tail)

    def without(self, keys: NDArray[np.int64]) -> _State:
        return _State(self.base, self._alive_without(keys), self.tail.where(~np.isin(self.tail.keys, keys)))

    def _alive_without(self, keys: NDArray[np.int64]) -> NDArray[np.bool_]:
        known = self.base.rows.keys
        if not len(known):
            return self.alive
        positions = np.minimum(np.searchsorted(known, keys), len(known) - 1)
        positions = positions[known[positions] == keys]
        if not len(positions):
            return self.alive
        alive = self.alive.copy()
        alive[positions] = False
        return alive

    def plus(self, added: _Rows) -> _State:
        """`added` has none of the keys that are here."""
        return _State(self.base, self.alive, self.tail.plus(added))

    def sorted(self) -> _State:
        return _State.of(self.base.rows.where(self.alive).plus(self.tail))

    def search(self, needle: NDArray[np.uint64], within: int) -> Found:
        positions, distances = self.base.search(needle, within)
        alive = self.alive[positions]
        late, late_distances = self.tail.search(needle, within)
        keys = np.concatenate([self.base.rows.keys[positions[alive]], self.tail.keys[late]])
        return keys, np.concatenate([distances[alive], late_distances])


def _quads(hashes: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """(n, 32) bytes as (n, 4) numbers. Their order does not matter, as long as it is always the same."""
    if hashes.ndim != 2 or hashes.shape[1] != HASH_BYTES:
        raise ValueError(f"hashes have shape {hashes.shape}; expected (n, {HASH_BYTES}) bytes")
    return np.ascontiguousarray(hashes, np.uint8).view(np.uint64)


def _distances(quads: NDArray[np.uint64], needle: NDArray[np.uint64]) -> NDArray[np.uint16]:
    """Bits that differ, of each row of (n, 4)."""
    total = np.zeros(len(quads), np.uint16)  # 256 is past a byte
    for column, quad in zip(quads.T, needle, strict=True):
        total += np.bitwise_count(column ^ quad)
    return total
