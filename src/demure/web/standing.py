"""How do the policies stand? What verdicts say of each, whether it keeps what it promised, and whether other images come.

For operators all that is known at this moment; for those who judge only what cannot tell them what waits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from demure.drift import Drift, drift
from demure.live import Estimate, LiveRates, Stratum, live_rates
from demure.policy import Outcome, Policy
from demure.promise import Promise
from demure.settings import Settings
from demure.store.checks import DAY_MS, InUse, first_waiting_day_ms, policies_in_use, score_bins, strata

DAYS = 30
ENOUGH = 0.9  # of those that were chosen, judged after a day: fewer, and who is left out may be another kind
_MOST_POLICIES = 5  # told of: those that decided most


@dataclass(frozen=True)
class Kept:
    """One promise, and what is seen of it."""

    name: str  # missed or false_alarm
    live: Estimate
    promised: float | None  # None where there is no promise

    @property
    def is_broken(self) -> bool:
        """Chance does not explain it."""
        return self.promised is not None and self.live.low > self.promised

    @property
    def is_doubtful(self) -> bool:
        """The best guess is above it; chance may explain that."""
        value = self.live.value
        return self.promised is not None and value is not None and value > self.promised and not self.is_broken


@dataclass(frozen=True)
class Count:
    chosen: int
    judged: int

    @property
    def is_short(self) -> bool:
        return self.judged < ENOUGH * self.chosen


@dataclass(frozen=True)
class Standing:
    model: str
    policy: str
    version: str
    rates: LiveRates
    missed: Kept
    false_alarm: Kept
    checks: Count  # decisions that were chosen by lot
    left: Count  # unknown ones that went to review
    due: Count  # both, of which nothing needs to wait any more: decided a day ago or earlier
    promise: Promise | None
    drift: Drift | None

    @property
    def is_checked(self) -> bool:
        return self.checks.chosen > 0

    @property
    def is_drifting(self) -> bool:
        return self.drift is not None and self.drift.is_drifting


@dataclass(frozen=True)
class Known:
    """Of the days from `since_ms` on and before that of `before_ms`."""

    since_ms: int
    before_ms: int
    standings: tuple[Standing, ...]


def known_now(connection: Connection, now_ms: int, policies: Mapping[str, Policy], default: InUse) -> Known:
    """All that is known."""
    return _known(connection, now_ms, now_ms + DAY_MS, now_ms - DAY_MS, policies, default)


def known_to_all(connection: Connection, now_ms: int, policies: Mapping[str, Policy], default: InUse) -> Known:
    """Without the days of which an item waits, and today: or else a count would tell what an item is that somebody judges."""
    before_ms = first_waiting_day_ms(connection, now_ms)
    return _known(connection, now_ms, before_ms, before_ms, policies, default)


def default_of(policies: Mapping[str, Policy], settings: Settings) -> InUse:
    """The one that is told of in any case, under its own name: a setting may name a file."""
    policy = policies[settings.policy]
    return InUse(settings.model, policy.name, policy.version, 0)


def _known(
    connection: Connection,
    now_ms: int,
    before_ms: int,
    due_ms: int,
    policies: Mapping[str, Policy],
    default: InUse,
) -> Known:
    since_ms = (now_ms // DAY_MS - DAYS) * DAY_MS
    others = [used for used in policies_in_use(connection, since_ms) if not _is_same(used, default)]
    standings = [
        _standing(connection, used, policies, since_ms, before_ms, due_ms)
        for used in (default, *others[: _MOST_POLICIES - 1])
    ]
    return Known(since_ms, before_ms, tuple(standings))


def _standing(
    connection: Connection, used: InUse, policies: Mapping[str, Policy], since_ms: int, before_ms: int, due_ms: int
) -> Standing:
    these = (used.model, used.policy_version)
    found = strata(connection, since_ms, *these, before_ms)
    rates = live_rates(found)
    promise = _promise(used, policies)
    bins = score_bins(connection, since_ms, *these, before_ms)
    return Standing(
        model=used.model,
        policy=used.policy,
        version=used.policy_version,
        rates=rates,
        missed=Kept("missed", rates.missed, promise.max_missed if promise else None),
        false_alarm=Kept("false_alarm", rates.false_alarm, promise.max_false_alarm if promise else None),
        checks=_count([s for s in found if s.decision is not Outcome.UNKNOWN]),
        left=_count([s for s in found if s.decision is Outcome.UNKNOWN]),
        due=_count(found if due_ms == before_ms else strata(connection, since_ms, *these, due_ms)),
        promise=promise,
        drift=drift(bins, promise.adult_scores, promise.safe_scores) if promise else None,
    )


def _promise(used: InUse, policies: Mapping[str, Policy]) -> Promise | None:
    """What was promised of these very bounds and this model."""
    promise: Promise | None = getattr(policies.get(used.policy), "promise", None)
    if promise is None or (promise.version, promise.model) != (used.policy_version, used.model):
        return None
    return promise


def _count(found: Sequence[Stratum]) -> Count:
    return Count(sum(s.chosen for s in found), sum(s.judged for s in found))


def _is_same(one: InUse, other: InUse) -> bool:
    return (one.model, one.policy_version) == (other.model, other.policy_version)
