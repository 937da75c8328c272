"""Percentages: what somebody promised as they wrote it, and no bound rounded to the wrong side."""

from __future__ import annotations

import pytest

from demure.evaluation.shares import at_least, at_most, given_percent, percent

WRITTEN = [
    # share, as an estimate, at least, at most
    (0.0, "0 %", "0 %", "0 %"),
    (0.0101, "1.0 %", "1 %", "1.1 %"),
    (0.0125, "1.2 %", "1.2 %", "1.3 %"),
    (0.000012345, "0.001 %", "0.0012 %", "0.0013 %"),
    (0.123, "12.3 %", "12 %", "13 %"),
    (0.9996, "99.960 %", "99.96 %", "99.96 %"),
    (0.99964, "99.964 %", "99.964 %", "99.964 %"),
    (0.9212, "92.1 %", "92.1 %", "92.2 %"),
    (1.0, "100 %", "100 %", "100 %"),
]


@pytest.mark.parametrize(("share", "estimate", "low", "high"), WRITTEN)
def test_shares_are_written_in_percent(share: float, estimate: str, low: str, high: str):
    assert (at_least(share), at_most(share)) == (low, high)
    assert percent(share) == estimate


@pytest.mark.parametrize(("share", "written"), [(0.95, "95 %"), (0.0125, "1.25 %"), (0.001, "0.1 %"), (0.005, "0.5 %")])
def test_what_was_chosen_is_written_as_it_was(share: float, written: str):
    assert given_percent(share) == written


@pytest.mark.parametrize("share", [1e-7, 0.00049, 0.0999, 0.5001, 0.90001, 0.98765, 1 - 1e-6])
def test_a_bound_is_never_on_the_wrong_side(share: float):
    low, high = (float(text.removesuffix(" %")) / 100 for text in (at_least(share), at_most(share)))
    assert low <= share + 1e-12
    assert high >= share - 1e-12
