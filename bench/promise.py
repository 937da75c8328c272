"""How much more is left to people than an oracle that knows the truth would leave? Prints the table of docs/policy.md.

    python bench/promise.py

The worlds are those of tests/test_calibrate.py, where the truth is exact. Some minutes.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
import worlds
from worlds import CLEAR, GRAINED, ONE_USELESS, Sites, World

from demure.calibrate import Target
from demure.errors import TooFewLabels

LABELS = {10_000: 60, 100_000: 20}  # sites of each size
TARGETS = (Target(0.01, 0.005), Target(0.005, 0.002))


SHARES = (0.5, 0.2, 0.05)  # of adult images


def main() -> None:
    heads = [f"{labels:,}, {share:.0%} adult" for labels in LABELS for share in SHARES]
    print(f"| world | promise | {' | '.join(heads)} |\n|---|---|{'---|' * len(heads)}")
    for world in (CLEAR, ONE_USELESS, GRAINED):
        for target in TARGETS:
            cells = [_more(world, target, *size, share) for size in LABELS.items() for share in SHARES]
            promise = f"{100 * (target.max_missed or 0):g} %, {100 * (target.max_false_alarm or 0):g} %"
            print(f"| {world.name} | {promise} | {' | '.join(cells)} |", flush=True)


def _more(world: World, target: Target, labels: int, repetitions: int, share: float) -> str:
    """In percent points: what is found, and what could be if the best rules were known and labels only had to prove them."""
    adult = round(labels * share)
    sites = Sites(world, adult, labels - adult, target)
    try:
        found = worlds.run(sites, repetitions, seed=11)
    except TooFewLabels:
        return "refused"
    best = world.oracle(target, sites.base_rate)
    return f"{100 * (found.left - best):.1f} ({100 * (world.floor(target, sites.adult, sites.safe) - best):.1f})"


if __name__ == "__main__":
    main()
