from __future__ import annotations

import pytest

from demure.budget import Budget
from demure.errors import Overloaded


def test_shares_add_up_and_are_given_back():
    budget = Budget(100)
    with budget.share() as one:
        one.take(60)
        with budget.share() as other:
            other.take(40)
            with pytest.raises(Overloaded, match="max_held_bytes"):
                other.take(1)
            assert (budget.held_bytes, other.bytes) == (100, 40)
        assert budget.held_bytes == 60
    assert budget.held_bytes == 0


def test_a_share_is_given_back_when_the_request_fails():
    budget = Budget(100)

    def fail() -> None:
        with budget.share() as share:
            share.take(60)
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        fail()
    assert budget.held_bytes == 0
