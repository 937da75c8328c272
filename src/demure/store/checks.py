"""What rates are reckoned from: how many images came, who of them was chosen by lot, and what people said of those.

An image is counted once, the first time that it is sent for review; one that comes again after its record was swept (90 days)
counts anew. A tally is the last row that a transaction takes, and the only one of its kind: no two wait for each other.
"""

from __future__ import annotations

import secrets
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, case, func, select

from demure.checks import SEED_BYTES
from demure.drift import BINS, bin_of
from demure.live import Stratum
from demure.policy import Outcome
from demure.reviews import Judgement, Kind, State, Verdict
from demure.store.database import insert_into, insert_new
from demure.store.schema import reviews, seeds, tallies

DAY_MS = 86_400_000
_RECENT, _STAND_INS = 1000, 100  # items that are looked through, scores that are drawn from


@dataclass(frozen=True)
class InUse:
    """A policy by which images were decided, and how many."""

    model: str
    policy: str
    policy_version: str
    images: int


@dataclass(frozen=True)
class LabelledRow:
    """What the machine and a person said of an image that chance, and nobody's wish, put before that person."""

    sha256: bytes
    verdict: Verdict
    decision: Outcome
    chance: float  # in (0, 1]
    scores: Mapping[str, float] | None  # of the worst row alone
    witnesses: Mapping[str, float] | None
    media: Mapping[str, Any] | None


def seed(connection: Connection) -> bytes:
    """The one by which this database's spot checks are drawn; it is made when it is first asked for."""
    insert_new(seeds, connection, {"id": 1, "seed": secrets.token_bytes(SEED_BYTES)})
    return bytes(connection.execute(select(seeds.c.seed).where(seeds.c.id == 1)).scalar_one())


def count(connection: Connection, now_ms: int, judgement: Judgement, chance: float, *, is_chosen: bool) -> int:
    """One image more: the id of the row that it is counted in."""
    row = {
        "day": now_ms // DAY_MS,
        "model": judgement.model,
        "policy": judgement.policy,
        "policy_version": judgement.policy_version,
        "decision": judgement.decision,
        "chance": chance,
        "bin": bin_of(judgement.score or 0.0),
        "images": 1,
        "chosen": int(is_chosen),
    }
    counted: int = connection.execute(_one_more(connection.dialect.name), row).scalar_one()
    return counted


def unknown_scores(connection: Connection) -> list[float]:
    """Of items that the machine could not decide, the last first: among them a spot check does not stand out."""
    last = (
        select(reviews.c.kind, reviews.c.decision, reviews.c.score, reviews.c.opened_ms)
        .order_by(reviews.c.opened_ms.desc())
        .limit(_RECENT)
        .subquery()
    )
    unknown = select(last.c.score).where(last.c.kind == Kind.UNKNOWN, last.c.decision == Outcome.UNKNOWN)
    return list(connection.execute(unknown.order_by(last.c.opened_ms.desc()).limit(_STAND_INS)).scalars())


def strata(
    connection: Connection, since_ms: int, model: str, policy_version: str, before_ms: int | None = None
) -> list[Stratum]:
    """What was decided by this policy on the days from that of `since_ms` on, and before that of `before_ms`.

    Who was chosen and has no verdict (it waits, is escalated, expired, was forgotten) counts as chosen and not as judged. Of
    a decision that is checked, days on which it was not are left out, for all decisions: nothing was learned of them.
    """
    window = _window(since_ms, before_ms, model, policy_version)
    cell = (tallies.c.day, tallies.c.decision, tallies.c.chance)
    came = select(*cell, func.sum(tallies.c.images), func.sum(tallies.c.chosen)).where(window).group_by(*cell)
    is_adult = func.sum(case((reviews.c.verdict == Verdict.ADULT, 1), else_=0))
    said = (
        select(*cell, func.count(), is_adult)
        .join(reviews, reviews.c.tally == tallies.c.id)
        .where(window, reviews.c.state == State.SETTLED)
        .group_by(*cell)
    )
    counts: defaultdict[tuple[int, str, float], list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    for first, wanted in ((0, came), (2, said)):
        for row in connection.execute(wanted):
            counts[row[0], row[1], row[2]][first : first + 2] = map(int, row[3:])
    blind = _blind_days(counts)
    total: defaultdict[tuple[Outcome, float], list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    for (day, decision, chance), found in counts.items():
        if day not in blind:
            alike = total[Outcome(decision), chance]
            total[Outcome(decision), chance] = [a + b for a, b in zip(alike, found, strict=True)]
    return [Stratum(*alike, *total[alike]) for alike in sorted(total, key=lambda key: (key[0].gravity, key[1]))]


def score_bins(
    connection: Connection, since_ms: int, model: str, policy_version: str, before_ms: int | None = None
) -> tuple[int, ...]:
    """How many images came, by drift.bin_of their score; the days as for strata."""
    window = _window(since_ms, before_ms, model, policy_version)
    wanted = select(tallies.c.bin, func.sum(tallies.c.images)).where(window).group_by(tallies.c.bin)
    found = {row[0]: int(row[1]) for row in connection.execute(wanted)}
    return tuple(found.get(number, 0) for number in range(BINS))


def policies_in_use(connection: Connection, since_ms: int) -> list[InUse]:
    """Those by which an image was decided since that day, the most used first."""
    names = (tallies.c.model, tallies.c.policy, tallies.c.policy_version)
    images = func.sum(tallies.c.images)
    wanted = select(*names, images).where(tallies.c.day >= since_ms // DAY_MS).group_by(*names)
    return [InUse(*row[:3], int(row[3])) for row in connection.execute(wanted.order_by(images.desc(), *names))]


def first_waiting_day_ms(connection: Connection, now_ms: int) -> int:
    """When the first day began of which an item waits still, today at the latest.

    What is told of the days before it cannot tell what somebody is about to judge.
    """
    waiting = select(func.min(tallies.c.day)).join(reviews, reviews.c.tally == tallies.c.id)
    first = connection.execute(waiting.where(reviews.c.state == State.OPEN)).scalar()
    today = now_ms // DAY_MS
    return DAY_MS * (today if first is None else min(first, today))


def labelled_rows(connection: Connection, model: str) -> Iterator[LabelledRow]:
    """All that people said of what chance put before them, in the order in which it came.

    Without days on which some decision by the same policy had no chance to come before them: who came then is no fair sample.
    """
    blind = {(version, day) for version, day, chance in _chances(connection, model) if chance == 0}
    day = func.coalesce(tallies.c.day, reviews.c.opened_ms // DAY_MS)
    columns = [reviews.c[name] for name in LabelledRow.__dataclass_fields__]
    drawn = (reviews.c.state == State.SETTLED) & reviews.c.chance.is_not(None) & (reviews.c.model == model)
    wanted = (
        select(reviews.c.policy_version, day, *columns)
        .outerjoin(tallies, tallies.c.id == reviews.c.tally)
        .where(drawn)
        .order_by(reviews.c.opened_ms, reviews.c.id)
    )
    for version, came, sha256, verdict, decision, *rest in connection.execution_options(yield_per=1000).execute(wanted):
        if (version, came) not in blind:
            yield LabelledRow(bytes(sha256), Verdict(verdict), Outcome(decision), *rest)


def least_chance(connection: Connection, model: str) -> float | None:
    """Of an image that labelled_rows could tell of, to be among them; None where it could tell of none."""
    found = _chances(connection, model)
    blind = {(version, day) for version, day, chance in found if chance == 0}
    return min((chance for version, day, chance in found if (version, day) not in blind), default=None)


def _chances(connection: Connection, model: str) -> list[tuple[str, int, float]]:
    """By each policy's version and day, the chances that its decisions had."""
    cell = (tallies.c.policy_version, tallies.c.day, tallies.c.chance)
    wanted = select(*cell).where(tallies.c.model == model).distinct()
    return [(version, day, chance) for version, day, chance in connection.execute(wanted)]


def _blind_days(cells: Iterable[tuple[int, str, float]]) -> set[int]:
    """Of (day, decision, chance): the days on which a decision was not checked that is on others."""
    known = list(cells)
    checked = {decision for _, decision, chance in known if chance > 0}
    return {day for day, decision, chance in known if chance == 0 and decision in checked}


@cache
def _one_more(dialect: str) -> Any:
    """Made once: to put it together takes longer than to carry it out."""
    statement = insert_into(tallies, dialect)
    key = ("day", "model", "policy", "policy_version", "decision", "chance", "bin")
    more = {name: tallies.c[name] + statement.excluded[name] for name in ("images", "chosen")}
    return statement.on_conflict_do_update(index_elements=key, set_=more).returning(tallies.c.id)


def _window(since_ms: int, before_ms: int | None, model: str, policy_version: str) -> ColumnElement[bool]:
    of_policy = and_(tallies.c.model == model, tallies.c.policy_version == policy_version)
    since = and_(of_policy, tallies.c.day >= since_ms // DAY_MS)
    return since if before_ms is None else and_(since, tallies.c.day < before_ms // DAY_MS)
