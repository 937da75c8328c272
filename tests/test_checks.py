"""Who is chosen by lot: the same ones again, as many as was asked for, and nobody can foresee it without the seed."""

from __future__ import annotations

import hashlib
import hmac
import itertools
import math

import pytest

from demure.checks import SpotChecks, is_chosen, place, unknown_range
from demure.policy import Outcome
from demure.policy_file import find_policy, parse_policy

SEED, OTHER = b"s" * 32, b"t" * 32
IMAGES = [hashlib.sha256(str(number).encode()).digest() for number in range(20_000)]
SHARES = (0.0, 0.001, 0.01, 0.05, 0.3, 0.999, 1.0)


def chosen(share: float, seed: bytes = SEED) -> set[bytes]:
    return {sha256 for sha256 in IMAGES if is_chosen(seed, sha256, share)}


def near(count: int, share: float, of: int = len(IMAGES)) -> bool:
    """Within five standard deviations of a binomial: once in two million, were it by chance."""
    return abs(count - share * of) <= 5 * math.sqrt(of * share * (1 - share))


def test_who_is_chosen_at_one_share_is_chosen_at_every_larger_one():
    sets = [chosen(share) for share in SHARES]
    assert all(smaller < larger for smaller, larger in itertools.pairwise(sets))


@pytest.mark.parametrize("share", SHARES)
def test_as_many_are_chosen_as_was_asked_for(share: float):
    assert near(len(chosen(share)), share)


def test_nobody_is_chosen_at_nought_and_everybody_at_one():
    assert (len(chosen(0.0)), len(chosen(1.0))) == (0, len(IMAGES))


def test_the_choice_is_a_keyed_hash_compared_with_the_share():
    """As the standard library reckons it: the first 53 bits, over 2**53."""
    for sha256 in IMAGES[:100]:
        digest = hmac.new(SEED, b"choice" + sha256, hashlib.sha256).digest()
        lot = (int.from_bytes(digest, "big") >> (256 - 53)) / 2**53
        assert is_chosen(SEED, sha256, math.nextafter(lot, 1))
        assert not is_chosen(SEED, sha256, lot)


def test_another_seed_chooses_others():
    assert near(len(chosen(0.3) & chosen(0.3, OTHER)), 0.09)


def test_a_place_is_drawn_from_the_scores_of_unknown_items_whoever_was_chosen():
    scores = [0.3, 0.5, 0.5, 0.9]
    for images in (IMAGES, [*chosen(0.3)]):
        places = [place(SEED, sha256, (0.2, 1.0), scores) for sha256 in images]
        assert {*places} == {*scores}
        assert near(places.count(0.5), 0.5, len(images))


def test_without_unknown_items_a_place_is_anywhere_between_the_ends():
    places = [place(SEED, sha256, (0.2, 1.0), []) for sha256 in IMAGES]
    assert min(places) >= 0.2
    assert max(places) < 1.0
    assert near(sum(p < 0.4 for p in places), 0.25)


def test_scores_that_may_be_unknown_begin_at_the_strictest_bound_of_safe():
    # balanced: risk <= 0.25 and open_nsfw <= 0.20, and the larger of the two is the score
    assert unknown_range(find_policy("balanced", {"open_nsfw"})) == (0.2, 1.0)
    assert unknown_range(parse_policy('name = "x"\n[safe]\nneutral = { at_least = 0.5 }', "x", ())) == (0.0, 1.0)


def test_each_decision_has_its_own_share_and_what_is_unknown_goes_to_people_in_any_case():
    shares = SpotChecks(adult=0.05, safe=0.01)
    assert {outcome: shares.chance(outcome) for outcome in Outcome} == {
        Outcome.ADULT: 0.05,
        Outcome.SAFE: 0.01,
        Outcome.UNKNOWN: 1.0,
    }
