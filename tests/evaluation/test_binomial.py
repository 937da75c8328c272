"""Exact bounds: against published intervals, against fractions that are not rounded, and at the ends."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest

from demure.evaluation.binomial import at_most, fewest_images, lower, most_errors, rate, upper


def tail(count: int, of: int, share: float) -> Fraction:
    """P(Binomial(of, share) <= count), without rounding."""
    p = Fraction(share)
    return sum((math.comb(of, k) * p**k * (1 - p) ** (of - k) for k in range(count + 1)), Fraction(0))


# Newcombe, "Two-sided confidence intervals for the single proportion", Statistics in Medicine 17 (1998), 857-872, table I,
# method 5 (Clopper-Pearson), 95 %.
PUBLISHED = [(81, 263, 0.2527, 0.3676), (15, 148, 0.0578, 0.1617), (0, 20, 0.0, 0.1684), (1, 29, 0.0009, 0.1776)]


@pytest.mark.parametrize(("count", "of", "low", "high"), PUBLISHED)
def test_an_interval_is_the_published_one(count, of, low, high):
    found = rate(count, of)
    assert (round(found.low, 4), round(found.high, 4)) == (low, high)
    assert found.share == count / of


@pytest.mark.parametrize("share", [1e-6, 0.01, 0.3, 0.5, 0.77, 0.999])
@pytest.mark.parametrize("of", [1, 2, 17, 150])
def test_a_tail_is_the_sum_of_its_terms(of, share):
    for count in range(0, of, max(1, of // 10)):
        assert at_most(count, of, share) == pytest.approx(float(tail(count, of, share)), rel=1e-11)


@pytest.mark.parametrize(("count", "of"), [(0, 1), (0, 40), (1, 40), (20, 40), (39, 40), (3, 200)])
@pytest.mark.parametrize("error", [0.025, 0.05, 0.5])
def test_a_bound_is_where_the_tail_has_the_error(count, of, error):
    assert float(tail(count, of, upper(count, of, error))) == pytest.approx(error, rel=1e-9)
    assert float(1 - tail(of - count - 1, of, lower(of - count, of, error))) == pytest.approx(error, rel=1e-9)


# what, count, of, low, high at 95 %: with none of n, 1 - 0.025 ** (1 / n)
ENDS = [
    ("nothing", 0, 0, 0.0, 1.0),
    ("none of one", 0, 1, 0.0, 0.975),
    ("one of one", 1, 1, 0.025, 1.0),
    ("none of thirty", 0, 30, 0.0, 1 - 0.025 ** (1 / 30)),
    ("all of thirty", 30, 30, 0.025 ** (1 / 30), 1.0),
    ("none of a million", 0, 10**6, 0.0, -math.expm1(math.log(0.025) / 10**6)),
]


@pytest.mark.parametrize(("count", "of", "low", "high"), [row[1:] for row in ENDS], ids=[row[0] for row in ENDS])
def test_none_and_all_are_bounded_on_one_side(count, of, low, high):
    found = rate(count, of)
    assert (found.low, found.high) == (pytest.approx(low, rel=1e-8), pytest.approx(high, rel=1e-8))


def test_the_share_of_nothing_is_not_known():
    assert rate(0, 0).share is None
    assert rate(0, 5).share == 0


def test_more_confidence_takes_a_wider_interval():
    narrow, wide = rate(3, 50, 0.9), rate(3, 50, 0.99)
    assert wide.low < narrow.low < 3 / 50 < narrow.high < wide.high


@pytest.mark.parametrize(
    ("count", "share", "expected"), [(5, 0.0, 1), (5, 1.0, 0), (-1, 0.5, 0), (10, 0.5, 1), (11, 0.5, 1)]
)
def test_what_is_certain(count, share, expected):
    assert at_most(count, 10, share) == expected


@pytest.mark.parametrize("of", [10**5 + 1, 10**6 + 1])
def test_half_of_an_odd_number_of_even_chances_lies_on_each_side(of):
    assert at_most((of - 1) // 2, of, 0.5) == pytest.approx(0.5, rel=1e-7)
    assert at_most(of // 2 - 800, of, 0.5) + at_most(of // 2 + 800, of, 0.5) == pytest.approx(1, rel=1e-7)


def test_a_million_rare_chances_are_poissons():
    """The two differ by at most share * (mean of the count), Le Cam."""
    poisson = sum(math.exp(-3) * 3**k / math.factorial(k) for k in range(3))
    assert at_most(2, 10**6, 3e-6) == pytest.approx(poisson, abs=9e-6)


def test_a_very_small_share_keeps_its_digits():
    """1 - share has lost four of them."""
    assert at_most(0, 10**6, 1e-12) == pytest.approx(math.exp(-1e-6), abs=1e-13)


# The sizes of Wilks: of images, for a share and an error, at which so many errors are just allowed. 59, 93 and 124 are the
# three for 0.05 and 0.05 (Guba, Makai and Pal, Reliability Engineering and System Safety 80 (2003), 217-232).
SIZES = [
    (0.05, 0.05, 59, 0),
    (0.05, 0.05, 93, 1),
    (0.05, 0.05, 124, 2),
    (0.10, 0.05, 29, 0),
    (0.01, 0.05, 299, 0),
    (0.10, 0.10, 22, 0),
    (0.005, 0.05, 598, 0),
]


@pytest.mark.parametrize(("share", "error", "images", "errors"), SIZES)
def test_so_many_errors_are_allowed_from_this_size_on_and_not_before(share, error, images, errors):
    assert most_errors(images, share, error) == errors
    assert most_errors(images - 1, share, error) == errors - 1


@pytest.mark.parametrize("share", [0.003, 0.05, 0.5])
@pytest.mark.parametrize("error", [0.01, 0.05, 0.9])
def test_the_most_errors_are_the_last_that_prove_the_share(share, error):
    for of in (1, 10, 100):
        found = most_errors(of, share, error)
        assert found == -1 or tail(found, of, share) <= error
        assert tail(found + 1, of, share) > error


# none of n are wrong with probability (1 - share) ** n
@pytest.mark.parametrize(("share", "error"), [(0.005, 0.05), (0.01, 0.0125), (0.001, 0.0125), (0.5, 0.25), (0.9, 0.5)])
def test_the_fewest_images_prove_the_share_and_one_less_does_not(share, error):
    fewest = fewest_images(share, error)
    assert (1 - Fraction(share)) ** fewest <= error
    assert fewest == 1 or (1 - Fraction(share)) ** (fewest - 1) > error


@pytest.mark.parametrize("errors", [1, 3, 12])
@pytest.mark.parametrize(("share", "error"), [(0.01, 0.025), (0.2, 0.05), (0.5, 0.9)])
def test_with_errors_too_the_fewest_images_prove_the_share_and_one_less_does_not(share, error, errors):
    fewest = fewest_images(share, error, errors)
    assert tail(errors, fewest, share) <= error < tail(errors, fewest - 1, share)


@pytest.mark.parametrize(("share", "error"), [(0.5, 0.25), (0.001, 0.999), (0.12, 0.40867559636992)])
def test_where_the_logarithms_are_rounded_the_two_functions_still_agree(share, error):
    """The error is (1 - share) to the power of 2, 1 and 7, and the quotient of the logarithms that, or a last digit off."""
    fewest = fewest_images(share, error)
    assert most_errors(fewest, share, error) >= 0 > most_errors(fewest - 1, share, error)
