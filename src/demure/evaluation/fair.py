"""Of which days are verdicts a fair sample of what came? Pure.

Of those on which every decision had a chance to come before people, and people are done with what did. Who judges what looks
worst first, and does not come to the end, judges no sample; nor is it one of which the checks were lost.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from demure.errors import InvalidLabels
from demure.evaluation.live import ENOUGH, Count, Day, Stratum
from demure.policy import Outcome

Days = Mapping[Day, Sequence[Stratum]]


@dataclass(frozen=True)
class Sample:
    """Days that are used."""

    days: frozenset[Day]
    least: float  # in (0, 1]: the chance to which all larger ones are thinned
    unjudged: int  # images that were chosen on these days, and have no verdict
    unfinished: int  # verdicts that are left out, for they are of days that are not done


def fair_sample(days: Days, model: str, today: int) -> Sample:
    """Today is never used: what came in its last hours nobody judged yet. Raises InvalidLabels where no day is left."""
    fair = {day: strata for day, strata in days.items() if _least(strata) > 0}
    if not fair:
        raise InvalidLabels(
            f"nobody was asked about what {model} had decided itself, and verdicts on what was unknown say nothing of that: "
            "set DEMURE_SPOT_CHECKS for both decisions, and let people judge for a while"
        )
    over = {day: strata for day, strata in fair.items() if day[1] < today}
    done = {day: strata for day, strata in over.items() if _is_done(strata)}
    if not done:
        raise _unfinished(_all(over))
    least = _best_chance(done)
    used = {day: strata for day, strata in done.items() if _least(strata) >= least}
    count = Count.of(_all(used))
    left = Count.of(_all({day: strata for day, strata in over.items() if day not in done}))
    return Sample(frozenset(used), least, count.chosen - count.judged, left.judged)


def _is_done(strata: Sequence[Stratum]) -> bool:
    """Both of what was unknown and of what was checked, for a day's many unknown ones would hide that its checks were lost."""
    unknown = Count.of(s for s in strata if s.decision is Outcome.UNKNOWN)
    checked = Count.of(s for s in strata if s.decision is not Outcome.UNKNOWN)
    return unknown.chosen + checked.chosen > 0 and not (unknown.is_short or checked.is_short)


def _best_chance(days: Days) -> float:
    """The one that leaves most labels, where each is kept by lot so that all had the same.

    A day with a smaller one is left out: one on which a share was tiny would else thin all others to it.
    """

    def left(least: float) -> float:
        return sum(s.judged * least / s.chance for strata in days.values() if _least(strata) >= least for s in strata)

    return max(map(_least, days.values()), key=left)


def _least(strata: Sequence[Stratum]) -> float:
    """The least chance that a decision had, whether it came or not."""
    return min(s.chance for s in strata)


def _all(days: Days) -> Iterable[Stratum]:
    return [s for strata in days.values() for s in strata]


def _unfinished(strata: Iterable[Stratum]) -> InvalidLabels:
    count = Count.of(strata)
    return InvalidLabels(
        f"of {count.chosen:,} images that chance put before people on the days before this one, {count.judged:,} have a "
        f"verdict, and {count.chosen - count.judged:,} have none: they wait, or expired. It takes {100 * ENOUGH:g} % of a day's, "
        "of what was unknown and of what was checked, as what is judged first is no fair sample: judge the rest. What comes "
        "today counts tomorrow (UTC)"
    )
