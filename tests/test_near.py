"""The index of hashes against plain integers: all that is near, nothing else, through puts, replacements, removals and sortings."""

from __future__ import annotations

import random
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from demure.near import MOST_UNSORTED, Match, NearIndex

BITS = 256
Hashes = dict[int, bytes]


def nearest(hashes: Hashes, hash: bytes, within: int) -> list[tuple[int, int]]:
    """(key, distance), by plain integers."""
    asked = int.from_bytes(hash)
    apart = [((int.from_bytes(known) ^ asked).bit_count(), key) for key, known in hashes.items()]
    return [(key, distance) for distance, key in sorted(apart) if distance <= within]


def found(index: NearIndex, hash: bytes, within: int) -> list[tuple[int, int]]:
    return [(match.key, match.distance) for match in index.search(hash, within)]


def flipped(hash: bytes, bits: int, chance: random.Random) -> bytes:
    """With so many of its bits turned."""
    turned = sum(1 << bit for bit in chance.sample(range(BITS), bits))
    return (int.from_bytes(hash) ^ turned).to_bytes(32)


def uniform(count: int, seed: int = 1) -> Hashes:
    chance = random.Random(seed)
    return {key: chance.randbytes(32) for key in range(count)}


def crowded(count: int, seed: int = 2) -> Hashes:
    """Hashes around four others, in random places, so that most share their words with a quarter of all."""
    chance = random.Random(seed)
    centres = [chance.randbytes(32) for _ in range(4)]
    return {key: flipped(chance.choice(centres), chance.randint(0, 60), chance) for key in range(count)}


def filled(hashes: Hashes) -> NearIndex:
    index = NearIndex()
    index.put_many(list(hashes), np.array([list(known) for known in hashes.values()], np.uint8).reshape(-1, 32))
    return index


SETS = {"uniform": uniform, "crowded": crowded}


@pytest.fixture(scope="module", params=SETS)
def hashes(request: pytest.FixtureRequest) -> Hashes:
    """More than are left unsorted."""
    return SETS[request.param](5000)


@pytest.mark.parametrize("within", [0, 1, 15, 16, 17, 30, 31, 32, 47, 64, 128, 255, 256, 1000, -1])
def test_a_search_finds_all_that_is_near_and_nothing_else(hashes: Hashes, within: int):
    index, chance = filled(hashes), random.Random(3)
    for asked in [*(flipped(hashes[key], key % 40, chance) for key in range(0, 5000, 500)), chance.randbytes(32)]:
        assert found(index, asked, within) == nearest(hashes, asked, within)


@pytest.mark.parametrize("within", [0, 1, 15, 16, 31, 32, 100])
def test_one_bit_decides(within: int):
    hashes, chance = uniform(5000), random.Random(4)
    index = filled(hashes)
    for key in range(0, 5000, 100):
        assert (key, within) in found(index, flipped(hashes[key], within, chance), within)
        assert key not in [k for k, _ in found(index, flipped(hashes[key], within + 1, chance), within)]


def spread(bits: int) -> bytes:
    """So many bits, two in a word as long as they last, then all in the first words: the most that the words can hide."""
    order = [16 * word + bit for bit in range(16) for word in range(16)]
    return sum(1 << bit for bit in order[:bits]).to_bytes(32)


def test_bits_that_differ_as_evenly_as_they_can_are_found():
    """15 over 16 words leave one with none, 31 leave one with one bit, and 32 leave two bits in each."""
    hashes = uniform(5000)
    index = filled(hashes)
    for bits in (15, 16, 31, 32):
        asked = bytes(a ^ b for a, b in zip(hashes[7], spread(bits), strict=True))
        assert found(index, asked, bits) == [(7, bits)]


def test_the_opposite_hash_is_256_bits_away():
    index = NearIndex()
    index.put(1, bytes(32))
    assert found(index, b"\xff" * 32, 256) == [(1, 256)]
    assert found(index, b"\xff" * 32, 255) == []


def test_words_at_both_ends_of_their_range_are_found():
    ends = {0: bytes(32), 1: b"\xff" * 32, 2: b"\x00\x00\xff\xff" * 8}
    hashes = uniform(5000, seed=5) | ends
    index = filled(hashes)
    for key, end in ends.items():
        assert found(index, end, 31) == [(key, 0)]


def test_the_nearest_comes_first_and_of_equals_the_lower_key():
    index, zero = NearIndex(), bytes(32)
    for key, bits in [(5, 3), (9, 0), (2, 3), (4, 1)]:
        index.put(key, spread(bits))
    assert index.search(zero, 31) == [Match(0, 9), Match(1, 4), Match(3, 2), Match(3, 5)]


@pytest.mark.parametrize("count", [0, 1, MOST_UNSORTED, MOST_UNSORTED + 1, 20_000])
def test_an_index_of_any_size_is_searched(count: int):
    hashes = uniform(count)
    index = filled(hashes)
    assert len(index) == count
    for asked in [*list(hashes.values())[-3:], bytes(32)]:
        for within in (31, 100):
            assert found(index, asked, within) == nearest(hashes, asked, within)


def test_a_key_has_one_hash_the_last(hashes: Hashes):
    index, other = filled(hashes), uniform(3, seed=6)
    for key in (0, 4999):  # sorted already
        index.put(key, other[0])
        index.put(key, other[1])  # not yet
        assert found(index, hashes[key], 0) == nearest({k: h for k, h in hashes.items() if k != key}, hashes[key], 0)
        assert found(index, other[0], 0) == []
        assert (key, 0) in found(index, other[1], 0)
    assert len(index) == 5000


def test_of_a_key_given_twice_at_once_the_last_counts():
    index = NearIndex()
    index.put_many([1, 2, 1], np.array([[0] * 32, [1] * 32, [2] * 32], np.uint8))
    assert len(index) == 2
    assert found(index, bytes([2] * 32), 0) == [(1, 0)]
    assert found(index, bytes(32), 0) == []


def test_what_is_removed_is_not_found(hashes: Hashes):
    index, chance = filled(hashes), random.Random(7)
    index.put(6000, chance.randbytes(32))
    left = dict(hashes)
    for key in [0, 17, 4999]:
        index.remove(key)
        del left[key]
        assert found(index, hashes[key], 31) == nearest(left, hashes[key], 31)
    index.remove(6000)
    assert len(index) == 4997


def test_several_are_removed_at_once(hashes: Hashes):
    index = filled(hashes)
    index.put(6000, bytes(32))
    index.remove_many([0, 17, 6000, 9999])
    index.remove_many([])
    assert len(index) == 4998
    assert all(key not in [k for k, _ in found(index, hashes[key], 0)] for key in (0, 17))


def test_what_is_removed_stays_so_when_the_rest_is_sorted_again():
    hashes = uniform(5000)
    index = filled(hashes)
    index.remove(17)
    more = {key + 10_000: added for key, added in uniform(4200, seed=8).items()}
    for key, added in more.items():
        index.put(key, added)
    assert len(index) == 9199
    assert found(index, hashes[17], 0) == []
    assert found(index, hashes[18], 0) == [(18, 0)]
    assert found(index, more[10_000], 0) == [(10_000, 0)]
    assert found(index, more[14_199], 0) == [(14_199, 0)]


def test_an_unknown_key_is_removed_in_peace():
    index = filled(uniform(5000))
    index.remove(-1)
    index.remove(9999)
    NearIndex().remove(1)
    assert len(index) == 5000


@pytest.mark.parametrize("hash", [b"", bytes(31), bytes(33), bytes(64)])
def test_a_hash_of_another_length_is_refused(hash: bytes):
    index = NearIndex()
    with pytest.raises(ValueError, match=r"expected \(n, 32\) bytes"):
        index.put(1, hash)
    with pytest.raises(ValueError, match=r"expected \(n, 32\) bytes"):
        index.search(hash, 31)
    assert len(index) == 0


def test_keys_and_hashes_that_do_not_go_together_are_refused():
    with pytest.raises(ValueError, match="2 keys and 3 hashes"):
        NearIndex().put_many([1, 2], np.zeros((3, 32), np.uint8))


def test_crowded_hashes_are_compared_one_by_one_rather_than_looked_up():
    """So a search never costs much more than comparing all: the words would name each of 5,000 equal hashes sixteen times."""
    index = filled(dict.fromkeys(range(5000), bytes(32)))
    needle = np.zeros(4, np.uint64)
    assert index._state.base._candidates(needle, 31) is None
    assert index._state.base._candidates(~needle, 31) is not None
    assert len(index.search(bytes(32), 31)) == 5000


def test_a_search_that_began_before_a_change_sees_nothing_of_it(hashes: Hashes):
    index = filled(hashes)
    before = index._state
    index.put(1, bytes(32))
    index.remove(2)
    assert (len(before), len(index)) == (5000, 4999)
    for key in (1, 2):
        keys, distances = before.search(np.frombuffer(hashes[key], np.uint64), 0)
        assert dict(zip(keys.tolist(), distances.tolist(), strict=True))[key] == 0


def test_several_threads_may_change_and_search():
    """Two replace the hash of one key, and add and remove others, over many sortings, while this one searches."""
    steady, moving = uniform(500), uniform(2, seed=9)
    index = NearIndex(most_unsorted=50)
    for key, known in (steady | {-1: moving[0]}).items():
        index.put(key, known)
    stop, done = threading.Event(), []

    def change(first: int) -> None:
        number = first
        while not stop.is_set():
            number += 1
            index.put(-1, moving[number % 2])
            index.put(number, moving[number % 2])
            index.remove(number - 100)
        done.append(number - first)

    threads = [threading.Thread(target=change, args=(first,)) for first in (10_000_000, 20_000_000)]
    for thread in threads:
        thread.start()
    try:
        for key in list(steady)[:200]:
            assert found(index, steady[key], 31) == [(key, 0)]
            assert [k for k, _ in found(index, moving[0], 256)].count(-1) == 1
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert len(index) == 501 + sum(min(number, 100) for number in done)


# Few keys and few hashes, so that steps meet; each hash of two bytes, sixteen times, so that words crowd.
KEYS = st.integers(0, 30)
SMALL = st.integers(0, 7).map(lambda n: bytes([n, 0]) * 16)
STEPS = st.lists(st.one_of(st.tuples(KEYS, SMALL), KEYS), max_size=80)


@settings(max_examples=200, deadline=None)
@given(steps=STEPS, asked=SMALL, within=st.integers(0, 60), most_unsorted=st.integers(0, 9))
def test_any_changes_leave_what_a_dictionary_would(steps, asked, within, most_unsorted):
    hashes: Hashes = {}
    index = NearIndex(most_unsorted)
    for step in steps:
        if isinstance(step, int):
            index.remove(step)
            hashes.pop(step, None)
        else:
            index.put(*step)
            hashes[step[0]] = step[1]
    assert len(index) == len(hashes)
    assert found(index, asked, within) == nearest(hashes, asked, within)
    assert found(index, bytes(32), 256) == nearest(hashes, bytes(32), 256)
