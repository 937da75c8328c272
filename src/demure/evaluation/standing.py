"""How do the policies stand? What verdicts say of each, whether it keeps what it promised, and whether other images come.

For operators all that is known at this moment; for those who judge only what cannot tell them what waits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from demure.evaluation.drift import BINS, Drift, drift
from demure.evaluation.live import Count, Estimate, LiveRates, Stratum, live_rates
from demure.policy import Outcome, Policy
from demure.promise import Promise
from demure.settings import Settings
from demure.store.checks import Decider, InUse, first_waiting_day_ms, policies_in_use, score_bins, strata
from demure.store.schema import DAY_MS

DAYS = 30
_MOST_POLICIES = 5  # told of: those that decided most
_NONE = (0,) * BINS


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
    since_ms, before_ms = _since_ms(now_ms), now_ms + DAY_MS
    found, due = strata(connection, since_ms, before_ms), strata(connection, since_ms, now_ms - DAY_MS)
    return _known(connection, since_ms, before_ms, found, due, policies, default)


def known_to_all(connection: Connection, now_ms: int, policies: Mapping[str, Policy], default: InUse) -> Known:
    """Without today, the days of which an item waits, and images that may come to wait yet: or else a count would tell what an
    item is that somebody judges.
    """
    since_ms, before_ms = _since_ms(now_ms), first_waiting_day_ms(connection, now_ms)
    found = strata(connection, since_ms, before_ms, to_all=True)
    return _known(connection, since_ms, before_ms, found, found, policies, default)


def default_of(policies: Mapping[str, Policy], settings: Settings) -> InUse:
    """The one that is told of in any case, under its own name: a setting may name a file."""
    policy = policies[settings.policy]
    return InUse(settings.model, policy.name, policy.version, 0)


def _since_ms(now_ms: int) -> int:
    return (now_ms // DAY_MS - DAYS) * DAY_MS


def _known(
    connection: Connection,
    since_ms: int,
    before_ms: int,
    found: Mapping[Decider, Sequence[Stratum]],
    due: Mapping[Decider, Sequence[Stratum]],
    policies: Mapping[str, Policy],
    default: InUse,
) -> Known:
    bins = score_bins(connection, since_ms, before_ms)
    others = [used for used in policies_in_use(connection, since_ms) if used.by != default.by]
    told = (default, *others[: _MOST_POLICIES - 1])
    standings = [
        _standing(u, _promise(u, policies), found.get(u.by, ()), due.get(u.by, ()), bins.get(u.by, _NONE)) for u in told
    ]
    return Known(since_ms, before_ms, tuple(standings))


def _standing(
    used: InUse, promise: Promise | None, found: Sequence[Stratum], due: Sequence[Stratum], bins: Sequence[int]
) -> Standing:
    rates = live_rates(found)
    return Standing(
        model=used.model,
        policy=used.policy,
        version=used.policy_version,
        rates=rates,
        missed=Kept("missed", rates.missed, promise.max_missed if promise else None),
        false_alarm=Kept("false_alarm", rates.false_alarm, promise.max_false_alarm if promise else None),
        checks=Count.of(s for s in found if s.decision is not Outcome.UNKNOWN),
        left=Count.of(s for s in found if s.decision is Outcome.UNKNOWN),
        due=Count.of(due),
        promise=promise,
        drift=drift(bins, promise.adult_scores, promise.safe_scores) if promise else None,
    )


def _promise(used: InUse, policies: Mapping[str, Policy]) -> Promise | None:
    """What was promised of these very bounds and this model."""
    promise: Promise | None = getattr(policies.get(used.policy), "promise", None)
    if promise is None or (promise.version, promise.model) != (used.policy_version, used.model):
        return None
    return promise
