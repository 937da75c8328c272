"""STAND-IN until the index is here: brute force."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Match:
    key: int
    distance: int


class NearIndex:
    def __init__(self) -> None:
        self._hashes: dict[int, int] = {}

    def put_many(self, keys: Iterable[Any], hashes: Any) -> None:
        for key, row in zip(keys, hashes, strict=True):
            self._hashes[int(key)] = int.from_bytes(row.tobytes())

    def remove(self, key: int) -> None:
        self._hashes.pop(key, None)

    def __len__(self) -> int:
        return len(self._hashes)

    def search(self, hash: bytes, within: int) -> list[Match]:
        wanted = int.from_bytes(hash)
        found = [Match(k, (h ^ wanted).bit_count()) for k, h in self._hashes.items()]
        return sorted((m for m in found if m.distance <= within), key=lambda m: (m.distance, m.key))
