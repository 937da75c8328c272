"""How the queue is doing, in counts: what waits, what was judged, whether people and the machine agree. Reads only.

Each question costs as much as the days that it looks back, or as MOST_WAITING; none walks the whole history. Days and hours are
UTC's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, case, func, select

from demure.reviews import DISPUTES, Kind, State, Verdict
from demure.store.schema import DAY_MS, events, reviews

HOUR_MS = 3_600_000
HOURS, DAYS = 24, 30
MOST_WAITING = 100_000  # counted; past it, "or more"
_MOST_REASONS = 8  # named; the others are one
OTHERS = "other reasons"

_CLOSED = {"review.settled": 1, "review.escalated": 1, "review.expired": 1, "review.undone": -1}


@dataclass(frozen=True)
class Waiting:
    """What is open, held by somebody or not."""

    by_kind: Mapping[Kind, int]
    oldest_ms: int | None  # how long the oldest has waited
    is_cut: bool = False  # there may be more

    @property
    def total(self) -> int:
        return sum(self.by_kind.values())


@dataclass(frozen=True)
class Today:
    """Verdicts since midnight. Of people other than the one who asks only how many there are, so that nobody races."""

    mine: int
    all: int
    people: int


@dataclass(frozen=True)
class Share:
    """`count` of `judged` items that have `name` in common."""

    name: str
    judged: int
    count: int


@dataclass(frozen=True)
class Agreement:
    """Over the last DAYS. What the machine had decided: by kind, how many were upheld. What it had not: by reason, how many
    are adult.
    """

    upheld: tuple[Share, ...]
    adult: tuple[Share, ...]


@dataclass(frozen=True)
class Series:
    """One reason's count on each day."""

    name: str
    counts: tuple[int, ...]


@dataclass(frozen=True)
class Unknowns:
    """Items that the machine could not decide, by the day on which they were opened; the last day is today."""

    days: tuple[date, ...]
    reasons: tuple[Series, ...]  # the most frequent first, OTHERS last


@dataclass(frozen=True)
class Flow:
    """What came into the queue and what left it: judged, escalated or expired, less what was taken back."""

    opened: int
    closed: int

    @property
    def growth(self) -> int:
        return self.opened - self.closed


@dataclass(frozen=True)
class Figures:
    now_ms: int
    waiting: Waiting
    verdicts_by_hour: tuple[int, ...]  # HOURS of them; the last is the one that has begun
    today: Today
    agreement: Agreement
    unknowns: Unknowns
    last_hour: Flow
    last_day: Flow


def figures(connection: Connection, now_ms: int, reviewer: str) -> Figures:
    """All of them, as one reviewer (an actor's name) is told."""
    return Figures(
        now_ms,
        waiting(connection, now_ms),
        verdicts_by_hour(connection, now_ms),
        today(connection, now_ms, reviewer),
        agreement(connection, now_ms),
        unknowns(connection, now_ms),
        flow(connection, now_ms - HOUR_MS),
        flow(connection, now_ms - DAY_MS),
    )


def waiting(connection: Connection, now_ms: int, at_most: int = MOST_WAITING) -> Waiting:
    is_open = reviews.c.state == State.OPEN
    some = select(reviews.c.kind).where(is_open).limit(at_most).subquery()
    counts = {row.kind: row.n for row in connection.execute(select(some.c.kind, _n()).group_by(some.c.kind))}
    ranks = [
        connection.execute(select(func.min(reviews.c.opened_ms)).where(is_open, reviews.c.rank == rank)).scalar()
        for rank in (0, 1)  # as the index has it: two look-ups, and no walk through all that is open
    ]
    oldest = min((ms for ms in ranks if ms is not None), default=None)
    # Not to be told apart while they wait.
    counts[Kind.UNKNOWN] = counts.get(Kind.UNKNOWN, 0) + counts.pop(Kind.CHECK, 0)
    by_kind = {kind: counts.get(kind, 0) for kind in (Kind.UNKNOWN, *DISPUTES)}
    is_cut = sum(counts.values()) == at_most
    return Waiting(by_kind, None if oldest is None else max(0, now_ms - oldest), is_cut)


def escalated(connection: Connection) -> int:
    """How many items are frozen until an admin releases them."""
    count: int = connection.execute(select(_n()).where(reviews.c.state == State.ESCALATED)).scalar_one()
    return count


def verdicts_by_hour(connection: Connection, now_ms: int) -> tuple[int, ...]:
    first = now_ms // HOUR_MS - (HOURS - 1)
    hour = reviews.c.verdict_ms // HOUR_MS
    rows = connection.execute(
        select(hour.label("hour"), _n()).where(reviews.c.verdict_ms >= first * HOUR_MS).group_by(hour)
    )
    counts = {int(row.hour): row.n for row in rows}
    return tuple(counts.get(first + number, 0) for number in range(HOURS))


def today(connection: Connection, now_ms: int, reviewer: str) -> Today:
    since = reviews.c.verdict_ms >= now_ms // DAY_MS * DAY_MS
    mine = func.sum(case((reviews.c.verdict_by == reviewer, 1), else_=0))
    row = connection.execute(select(mine, _n(), func.count(reviews.c.verdict_by.distinct())).where(since)).one()
    return Today(int(row[0] or 0), row[1], row[2])


def agreement(connection: Connection, now_ms: int) -> Agreement:
    since = reviews.c.verdict_ms >= now_ms - DAYS * DAY_MS
    decided = reviews.c.decision.in_((Verdict.ADULT, Verdict.SAFE))
    upheld = _count_if(reviews.c.verdict == reviews.c.decision)
    adult = _count_if(reviews.c.verdict == Verdict.ADULT)
    of_decided = select(reviews.c.kind, _n(), upheld).where(since, decided).group_by(reviews.c.kind)
    of_unknown = (
        select(reviews.c.reason, _n(), adult)
        .where(since, ~decided)
        .group_by(reviews.c.reason)
        .order_by(_n().desc(), reviews.c.reason)
    )
    return Agreement(
        tuple(sorted(_shares(connection, of_decided), key=lambda share: share.name)),
        _most(_shares(connection, of_unknown)),
    )


def unknowns(connection: Connection, now_ms: int) -> Unknowns:
    """Of items that do not wait any more: the reason of one that does would tell its reviewer what the machine thinks."""
    first = now_ms // DAY_MS - (DAYS - 1)
    day = reviews.c.opened_ms // DAY_MS
    rows = connection.execute(
        select(reviews.c.reason, day.label("day"), _n())
        .where(
            reviews.c.opened_ms >= first * DAY_MS,
            reviews.c.decision.not_in((Verdict.ADULT, Verdict.SAFE)),
            reviews.c.state.in_((State.SETTLED, State.EXPIRED)),
        )
        .group_by(reviews.c.reason, day)
    ).all()
    total: Counter[str] = Counter()
    for row in rows:
        total[row.reason] += row.n
    named = sorted(total, key=lambda reason: (-total[reason], reason))
    shown = named if len(named) <= _MOST_REASONS else [*named[: _MOST_REASONS - 1], OTHERS]
    counts: Counter[tuple[str, int]] = Counter()
    for row in rows:
        counts[row.reason if row.reason in shown else OTHERS, int(row.day)] += row.n
    start = datetime.fromtimestamp(first * DAY_MS / 1000, UTC).date()
    return Unknowns(
        tuple(start + timedelta(days=number) for number in range(DAYS)),
        tuple(Series(name, tuple(counts[name, first + number] for number in range(DAYS))) for name in shown),
    )


def flow(connection: Connection, since_ms: int) -> Flow:
    opened = connection.execute(select(_n()).where(reviews.c.opened_ms >= since_ms)).scalar_one()
    told = connection.execute(
        select(events.c.type, _n())
        .where(events.c.at_ms >= since_ms, events.c.type.in_(_CLOSED))
        .group_by(events.c.type)
    )
    return Flow(opened, sum(_CLOSED[row.type] * row.n for row in told))


def _n() -> Any:
    return func.count().label("n")


def _count_if(condition: Any) -> Any:
    return func.sum(case((condition, 1), else_=0)).label("hits")


def _shares(connection: Connection, wanted: Any) -> list[Share]:
    return [Share(row[0], row.n, int(row.hits)) for row in connection.execute(wanted)]


def _most(shares: list[Share]) -> tuple[Share, ...]:
    """The first ones, and all others as one."""
    if len(shares) <= _MOST_REASONS:
        return tuple(shares)
    named, rest = shares[: _MOST_REASONS - 1], shares[_MOST_REASONS - 1 :]
    return (*named, Share(OTHERS, sum(share.judged for share in rest), sum(share.count for share in rest)))
