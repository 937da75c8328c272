"""What follows from copies, and that the copy of the memory follows the store."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from databases import Clock, migrated

from demure.memory import Memory, weigh
from demure.pdq import MIN_QUALITY, Fingerprint
from demure.policy import Outcome
from demure.reviews import Verdict
from demure.store import memory as entries
from demure.store.database import Database
from demure.store.memory import HashKind

ADULT, UNKNOWN, SAFE = Outcome.ADULT, Outcome.UNKNOWN, Outcome.SAFE
# (near an adult one, near a safe one, what the machine says) -> what follows, or None
RULES = {
    "nothing-near": (False, False, UNKNOWN, None),
    "near-adult-and-safe-to-the-machine": (True, False, SAFE, (ADULT, "near_copy")),
    "near-adult-and-unknown": (True, False, UNKNOWN, (ADULT, "near_copy")),
    "near-safe-and-unknown": (False, True, UNKNOWN, (SAFE, "near_copy")),
    "near-safe-and-safe": (False, True, SAFE, (SAFE, "near_copy")),
    "near-safe-and-adult-to-the-machine": (False, True, ADULT, (UNKNOWN, "memory_disagrees")),
    "near-both": (True, True, SAFE, (UNKNOWN, "memory_disagrees")),
    "near-both-and-adult-to-the-machine": (True, True, ADULT, (UNKNOWN, "memory_disagrees")),
}


@pytest.mark.parametrize(("adult", "safe", "decision", "expected"), RULES.values(), ids=RULES)
def test_what_follows_from_copies(adult: bool, safe: bool, decision: Outcome, expected):
    found = weigh(decision, near_adult=adult, near_safe=safe)
    assert (found and (found.decision, found.reason)) == expected


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with migrated(f"sqlite:///{tmp_path / 'demure.db'}", Clock()) as database:
        yield database


def digest(seed: int) -> bytes:
    return random.Random(seed).randbytes(32)


def remember(database: Database, verdict: Verdict, *seeds: int) -> None:
    known = [(HashKind.PDQ, digest(seed)) for seed in seeds]
    database.write(lambda c: entries.remember(c, 0, known, verdict, "somebody"))


def seen(seed: int, *, flipped: int = 0, quality: int = 100) -> Fingerprint:
    turned = int.from_bytes(digest(seed)) ^ ((1 << flipped) - 1)
    return Fingerprint(turned.to_bytes(32), quality)


def decided(memory: Memory, *fingerprints: Fingerprint, machine: Outcome = UNKNOWN) -> Outcome | None:
    memory.refresh()
    found = memory.weigh(machine, fingerprints)
    return found and found.decision


def test_a_verdict_that_changes_changes_what_its_copies_are(database):
    memory = Memory(database, within=31)
    assert decided(memory, seen(1)) is None
    remember(database, Verdict.ADULT, 1, 2)
    assert (decided(memory, seen(1)), decided(memory, seen(2))) == (ADULT, ADULT)
    remember(database, Verdict.SAFE, 1)
    assert (decided(memory, seen(1)), decided(memory, seen(2))) == (SAFE, ADULT)
    before = database.read(lambda c: entries.known_of(c, [(HashKind.PDQ, digest(1))]))
    nothing = [{**before[0], "verdict": None}]
    database.write(lambda c: entries.remember(c, 0, [(HashKind.PDQ, digest(1))], Verdict.SAFE, "x", "review"))
    database.write(lambda c: entries.put_back(c, 0, "review", nothing))
    assert decided(memory, seen(1)) is None
    assert len(memory) == 1


def test_copies_are_those_within_the_distance(database):
    memory = Memory(database, within=31)
    remember(database, Verdict.ADULT, 1)
    assert decided(memory, seen(1, flipped=31)) is ADULT
    assert decided(memory, seen(1, flipped=32)) is None


def test_a_hash_that_says_little_is_not_looked_for(database):
    memory = Memory(database, within=31)
    remember(database, Verdict.ADULT, 1)
    assert decided(memory, seen(1, quality=MIN_QUALITY)) is ADULT
    assert decided(memory, seen(1, quality=MIN_QUALITY - 1)) is None


def test_of_several_pictures_in_a_file_one_makes_it_adult_and_none_makes_it_safe(database):
    memory = Memory(database, within=31)
    remember(database, Verdict.ADULT, 1)
    remember(database, Verdict.SAFE, 2)
    assert decided(memory, seen(2)) is SAFE
    assert decided(memory, seen(2), seen(3)) is None
    assert decided(memory, seen(3), seen(1), seen(4)) is ADULT
    assert decided(memory, seen(2), seen(1)) is ADULT


def test_many_hashes_are_taken_over(database):
    """They are read ten thousand at a time."""
    known = ((HashKind.PDQ, number.to_bytes(32), Verdict.ADULT) for number in range(25_000))
    database.write(lambda c: entries.remember_many(c, 0, known, "list"))
    memory = Memory(database, within=0)
    memory.refresh()
    assert len(memory) == 25_000
    assert memory.weigh(SAFE, [Fingerprint((24_999).to_bytes(32), 100)]).decision is ADULT
    assert memory.weigh(SAFE, [Fingerprint((25_000).to_bytes(32), 100)]) is None
