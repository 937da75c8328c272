"""Paths of rules: nested, with short limits, and counted by what they keep out."""

from __future__ import annotations

import numpy as np
import pytest

from demure.evaluation.nested import Axis, Path, paths
from demure.policy import Bound

SAFE, ADULT = Bound("porn", "at_most", 0.5), Bound("porn", "at_least", 0.5)


def values(*numbers: float) -> np.ndarray:
    return np.array(numbers)


def test_a_limit_costs_the_share_of_wanted_values_that_it_keeps_out():
    axis = Axis.of(SAFE, values(0.1, 0.2, 0.2, 0.7), 1.0)
    assert axis.costs.tolist() == pytest.approx([0.75, 0.25, 0.0])


def test_limits_are_the_shortest_numbers_between_wanted_values():
    axis = Axis.of(SAFE, values(0.1234567, 0.1234999, 0.17, 0.75), 1.0)
    assert axis.limits.tolist() == [0.12346, 0.13, 0.2, 0.8]


def test_an_adult_limit_lets_in_what_is_larger():
    axis = Axis.of(ADULT, values(0.91234, 0.85, 0.2), 1.0)
    assert axis.limits.tolist() == [0.9, 0.8, 0.2]
    assert axis.costs.tolist() == pytest.approx([2 / 3, 1 / 3, 0])


@pytest.mark.parametrize(
    ("bound", "wanted", "largest", "loosest"),
    [
        (SAFE, (0.1, 1.0), 1.0, 0.2),
        (SAFE, (0.1, 0.99999999), 1.0, 0.2),
        (ADULT, (0.9, 0.0), 1.0, 0.9),
        (SAFE, (2.49, 2.5), 2.5, 2.49),
    ],
    ids=["at most 1", "nearly 1", "at least 0", "a sum's largest"],
)
def test_a_limit_that_would_hold_always_is_none(
    bound: Bound, wanted: tuple[float, ...], largest: float, loosest: float
):
    """Policies refuse it. 0.1 and the shortest number after it that is below the next."""
    axis = Axis.of(bound, values(*wanted), largest)
    assert axis.limits[-1] == pytest.approx(loosest, abs=0.11)
    assert (axis.limits < largest).all()
    assert (axis.limits > 0).all()


def test_a_value_gets_in_with_the_strictest_limit_that_lets_it():
    """Limits 0.1, 0.2 and 0.7 cost 0.75, 0.25 and 0."""
    axis = Axis.of(SAFE, values(0.1, 0.2, 0.2, 0.7), 1.0)
    assert axis.limits.tolist() == [0.1, 0.2, 0.7]
    costs = axis.cost(values(0.0, 0.1, 0.10001, 0.2, 0.5, 0.7, 0.71))
    assert costs.tolist() == pytest.approx([0.75, 0.75, 0.25, 0.25, 0.0, 0.0, -1.0])


def test_the_loosest_limit_that_costs_more():
    axis = Axis.of(SAFE, values(0.1, 0.2, 0.2, 0.7), 1.0)
    assert [axis.limit(more) for more in (-0.5, 0.0, 0.25, 0.3, 0.75)] == [0.7, 0.2, 0.1, 0.1, None]


def random_rows(rows: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(9)
    return {"porn": np.round(random.random(rows), 2), "open_nsfw": random.random(rows)}


@pytest.mark.parametrize("relation", ["at_most", "at_least"])
def test_what_a_rule_lets_in_is_what_its_path_says(relation: str):
    """By the bounds themselves, as a policy asks them."""
    rows, others = random_rows(300), random_rows(50)
    axes = tuple(Axis.of(Bound(name, relation, 0.5), rows[name], 1.0) for name in rows)
    costs = np.stack([axis.cost(others[axis.bound.name]) for axis in axes])
    for path in paths(axes):
        entries = path.entries(costs)
        for strictness in [-1.0, 0.0, *np.sort(entries)[::7], 0.5]:
            rule = path.rule(stricter_than=strictness)
            inside = [
                rule is not None and all(b.holds({n: c[i] for n, c in others.items()}) for b in rule) for i in range(50)
            ]
            assert inside == (entries > strictness).tolist()


def test_each_rule_of_a_path_lets_in_what_the_stricter_ones_do():
    rows = random_rows(300)
    axes = tuple(Axis.of(Bound(name, "at_most", 0.5), rows[name], 1.0) for name in rows)
    for path in paths(axes):
        rules = [path.rule(stricter_than=s) for s in np.linspace(0.99, 0, 40)]
        limits = np.array([[b.limit for b in rule] for rule in rules if rule is not None])
        assert len(limits) > 20
        assert (np.diff(limits, axis=0) >= 0).all()


@pytest.mark.parametrize(("bounds", "expected"), [(1, 1), (2, 17), (3, 61), (4, 65), (6, 63)])
def test_paths_go_in_different_directions(bounds: int, expected: int):
    """Of k ** n combinations those with one difference are one direction: 9 - (-9 + 1) + … = 17; 125 - 64; 81 - 16; 64 - 1."""
    axes = tuple(Axis.of(SAFE, values(0.1, 0.2), 1.0) for _ in range(bounds))
    found = paths(axes)
    assert len({path.weights for path in found}) == len(found) == expected
    assert found[0].weights == (1.0,) * bounds
    assert all(max(path.weights) == 1.0 for path in found)


def test_what_no_rule_lets_in_never_enters_whatever_the_weights():
    axes = tuple(Axis.of(SAFE, values(0.1, 0.2), 1.0) for _ in range(2))
    costs = np.stack([axes[0].cost(values(0.9, 0.1)), axes[1].cost(values(0.05, 0.1))])
    assert [path.entries(costs)[0] for path in paths(axes)] == [-1.0] * 17


def test_a_path_without_a_rule_lets_nothing_in():
    path = Path((Axis.of(SAFE, values(1.0, 1.0), 1.0),), (1.0,))
    assert path.rule(stricter_than=-1.0) is None
    assert path.entries(np.stack([path.axes[0].cost(values(0.0, 0.5))])).tolist() == [-1.0, -1.0]
