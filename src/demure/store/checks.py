"""What rates are reckoned from: how many images came, who of them was chosen by lot, and what people said of those.

An image is counted once, the first time that it is sent for review; one that comes again after its record was swept (90 days)
counts anew. A tally is the last row that a transaction takes, and the only one of its kind: no two wait for each other.
"""

from __future__ import annotations

import secrets
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Connection,
    FromClause,
    Row,
    ScalarSelect,
    Select,
    and_,
    case,
    func,
    or_,
    select,
    update,
)

from demure.checks import SEED_BYTES, Draw, SpotChecks, is_chosen
from demure.evaluation.drift import BINS, bin_of
from demure.evaluation.live import Day, Stratum
from demure.policy import Outcome
from demure.reviews import Judgement, Kind, State, Verdict
from demure.store.database import insert_into, insert_new
from demure.store.schema import DAY_MS, images, reviews, seeds, tallies

DECISION = (
    "model",
    "policy",
    "policy_version",
    "decision",
)  # of a judgement: where they are the same, so is the decision
_RECENT, _STAND_INS = 1000, 100  # items that are looked through, scores that are drawn from


@dataclass(frozen=True)
class Turn:
    """What chance says of an image that is sent for review."""

    chance: float
    is_chosen: bool
    tally: int | None  # the row that it is counted in; None for one that is to be counted
    waits: bool  # it came before people by this chance, and is among the items still


class Decider(NamedTuple):
    """By what an image was decided."""

    model: str
    policy_version: str


@dataclass(frozen=True)
class InUse:
    """A policy by which images were decided, and how many."""

    model: str
    policy: str
    policy_version: str
    images: int

    @property
    def by(self) -> Decider:
        return Decider(self.model, self.policy_version)


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
    pictures: int | None  # that were judged of it: frames, grounds; None of one too small for the models


def seed(connection: Connection) -> bytes:
    """The one by which this database's spot checks are drawn; it is made when it is first asked for."""
    insert_new(seeds, connection, {"id": 1, "seed": secrets.token_bytes(SEED_BYTES)})
    return bytes(connection.execute(select(seeds.c.seed).where(seeds.c.id == 1)).scalar_one())


def turn(connection: Connection, sha256: bytes, judgement: Judgement, share: float, seed: bytes) -> Turn | None:
    """What chance says of an image that is recorded and sent for review; `share` is that of what its decision is now.

    It keeps the chance with which it was counted, however often it comes, until it has come before people by it. None for one
    that has, and for one that was counted as another decision: its verdict would count for images among which it is not.
    """
    tally, chance = connection.execute(_counted(judgement).where(images.c.sha256 == sha256)).one()
    if tally is None:
        return Turn(share, is_chosen(seed, sha256, share), None, waits=False)
    if chance is None or not share or not is_chosen(seed, sha256, chance):
        return None
    items = select(reviews.c.tally, reviews.c.state).where(reviews.c.sha256 == sha256)
    state = {row.tally: row.state for row in connection.execute(items)}.get(tally)
    return Turn(chance, True, tally, waits=state is not None) if state in (None, State.OPEN) else None


def take(
    connection: Connection,
    now_ms: int,
    sha256: bytes,
    judgement: Judgement,
    turn: Turn,
    shares: SpotChecks,
    priority: float,
) -> Draw | None:
    """Count the image if it comes for the first time. What is to be put into the queue, unless it waits there already: that
    comes forward, as an unknown does that is sent again.
    """
    if turn.waits:
        here = (reviews.c.sha256 == sha256) & (reviews.c.tally == turn.tally) & (reviews.c.state == State.OPEN)
        connection.execute(update(reviews).where(here, reviews.c.priority < priority).values(priority=priority))
        return None
    tally = turn.tally
    if tally is None:
        tally = _count(connection, now_ms, judgement, turn, shares)
        connection.execute(update(images).where(images.c.sha256 == sha256).values(tally=tally))
    return Draw(turn.chance, tally) if turn.is_chosen else None


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
    connection: Connection, since_ms: int, before_ms: int | None = None, *, to_all: bool = False
) -> dict[Decider, list[Stratum]]:
    """What was decided on the days from that of `since_ms` on, and before that of `before_ms`.

    What people said of an image is what they said last, also where somebody asked for that second look. Who was chosen and has
    no verdict (it waits, is escalated, expired, was lost or forgotten) counts as chosen and not as judged. `to_all` tells only
    of those chosen ones that people were done with, by a verdict or by letting it expire. The others may come before somebody
    yet, and where the day is told of already, the stratum that lacks a verdict would tell what such an item is; so they are
    left out as if they had not come. They are few: rates move by no more than their share.
    Of a decision that is checked, days on which it was not are left out, for all decisions: nothing was learned of them.
    """
    cells = _cells(connection, _window(since_ms, before_ms))
    blind = _blind_days(cells)
    total: defaultdict[tuple[Decider, Outcome, float], list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    for cell, (came, chosen, judged, adult, done) in cells.items():
        if (cell.by, cell.day) not in blind:
            hidden = chosen - done if to_all else 0
            counts = (came - hidden, chosen - hidden, judged, adult)
            alike = (cell.by, cell.decision, cell.chance)
            total[alike] = [a + b for a, b in zip(total[alike], counts, strict=True)]
    found: defaultdict[Decider, list[Stratum]] = defaultdict(list)
    for by, decision, chance in sorted(total, key=lambda alike: (alike[1].gravity, alike[2])):
        if any(summed := total[by, decision, chance]):
            found[by].append(Stratum(decision, chance, *summed))
    return found


def score_bins(connection: Connection, since_ms: int, before_ms: int | None = None) -> dict[Decider, tuple[int, ...]]:
    """How many images came, by drift.bin_of their score; the days as for strata."""
    by = (tallies.c.model, tallies.c.policy_version)
    wanted = select(*by, tallies.c.bin, func.sum(tallies.c.images)).where(_window(since_ms, before_ms))
    found: defaultdict[Decider, list[int]] = defaultdict(lambda: [0] * BINS)
    for model, version, number, count in connection.execute(wanted.group_by(*by, tallies.c.bin)):
        found[Decider(model, version)][number] = int(count)
    return {by: tuple(counts) for by, counts in found.items()}


def policies_in_use(connection: Connection, since_ms: int) -> list[InUse]:
    """Those by which an image was decided since that day, the most used first."""
    names = (tallies.c.model, tallies.c.policy, tallies.c.policy_version)
    came = func.sum(tallies.c.images)
    wanted = select(*names, came).where(tallies.c.day >= since_ms // DAY_MS).group_by(*names)
    return [InUse(*row[:3], int(row[3])) for row in connection.execute(wanted.order_by(came.desc(), *names))]


def first_waiting_day_ms(connection: Connection, now_ms: int) -> int:
    """When the first day began of which an item waits still, today at the latest: that on which its image was counted, or else
    that on which it was opened. What is told of the days before it cannot tell what somebody is about to judge.

    Every item that waits holds back days, counted or not: which one does not must not tell what the others are.
    """
    day = func.coalesce(tallies.c.day, reviews.c.opened_ms // DAY_MS)
    waiting = select(func.min(day)).select_from(reviews).outerjoin(tallies, tallies.c.id == reviews.c.tally)
    first = connection.execute(waiting.where(reviews.c.state == State.OPEN)).scalar()
    today = now_ms // DAY_MS
    return DAY_MS * (today if first is None else min(first, today))


def strata_by_day(connection: Connection, model: str) -> dict[Day, list[Stratum]]:
    """What this model decided each day, by each version of a policy, and what people said of it; also decisions of which none
    came, for with what chance those were checked is known too."""
    found: defaultdict[Day, list[Stratum]] = defaultdict(list)
    for cell, (*counts, _) in _cells(connection, tallies.c.model == model).items():
        found[cell.by.policy_version, cell.day].append(Stratum(cell.decision, cell.chance, *counts))
    return dict(found)


def labelled_rows(connection: Connection, model: str, days: Collection[Day]) -> Iterator[LabelledRow]:
    """What people said last of what chance put before them on these days, in the order in which it came."""
    last_words = {row.id: row.last for row in connection.execute(_looked_at_again(tallies.c.model == model))}
    columns = [reviews.c[name] for name in LabelledRow.__dataclass_fields__]
    wanted = (
        select(tallies.c.policy_version, tallies.c.day, reviews.c.id, *columns)
        .join(tallies, tallies.c.id == reviews.c.tally)
        .where(reviews.c.state == State.SETTLED, reviews.c.model == model)
        .order_by(reviews.c.opened_ms, reviews.c.id)
    )
    found = connection.execution_options(yield_per=1000).execute(wanted)
    for version, day, item, sha256, first, decision, *rest in found:
        verdict = last_words.get(item, first)
        if (version, day) in days and verdict is not None:
            yield LabelledRow(bytes(sha256), Verdict(verdict), Outcome(decision), *rest)


_CELL = tuple(tallies.c[name] for name in ("model", "policy_version", "day", "decision", "chance"))


class _Cell(NamedTuple):
    by: Decider
    day: int
    decision: Outcome
    chance: float


def _cells(connection: Connection, window: ColumnElement[bool]) -> Mapping[_Cell, list[int]]:
    """How many images came, were chosen, were judged, were adult; and how many of those chosen nobody is to judge any more."""
    came = select(*_CELL, func.sum(tallies.c.images), func.sum(tallies.c.chosen)).where(window).group_by(*_CELL)
    # Without a condition on the state: SQLite would go through all settled items, of whatever day.
    adult, done = reviews.c.verdict == Verdict.ADULT, reviews.c.state.in_((State.SETTLED, State.EXPIRED))
    said = (
        select(*_CELL, func.count(reviews.c.verdict), *(func.sum(case((if_, 1), else_=0)) for if_ in (adult, done)))
        .join(reviews, reviews.c.tally == tallies.c.id)
        .where(window)
        .group_by(*_CELL)
    )
    found: defaultdict[_Cell, list[int]] = defaultdict(lambda: [0, 0, 0, 0, 0])
    for at, wanted in ((slice(0, 2), came), (slice(2, 5), said)):
        for row in connection.execute(wanted):
            found[_cell(row)][at] = map(int, row[len(_CELL) :])
    for row in connection.execute(_looked_at_again(window)):
        counts = found[_cell(row)]
        counts[2] -= row.last is None
        counts[3] += (row.last == Verdict.ADULT) - (row.first == Verdict.ADULT)
    return found


def _cell(row: Row[*tuple[Any, ...]]) -> _Cell:
    return _Cell(Decider(row.model, row.policy_version), row.day, Outcome(row.decision), row.chance)


def _looked_at_again(window: ColumnElement[bool]) -> Select[Any]:
    """Items that chance had put before people, of images that somebody asked to look at again: what was said first, and last.

    It begins at those second looks, which nobody drew and which are few: not at each image, for a look at its others. So here
    too nothing is asked of the first one's state; only what is settled has a verdict.
    """
    said = reviews.c.state.in_((State.SETTLED, State.ESCALATED))
    again = select(reviews.c.sha256).where(reviews.c.tally.is_(None), said).distinct().subquery()
    first = reviews.alias()
    return (
        select(*_CELL, first.c.id, first.c.verdict.label("first"), _last_word(first).label("last"))
        .select_from(again)
        .join(first, first.c.sha256 == again.c.sha256)
        .join(tallies, tallies.c.id == first.c.tally)
        .where(window, first.c.verdict.is_not(None))
    )


def _last_word(of: FromClause) -> ScalarSelect[Any]:
    """The last verdict on the bytes of a review; none where they are escalated, which makes no label and withdraws an older."""
    other = reviews.alias()
    is_frozen = other.c.state == State.ESCALATED
    return (
        select(other.c.verdict)
        .where(other.c.sha256 == of.c.sha256, or_(other.c.state == State.SETTLED, is_frozen))
        .order_by(case((is_frozen, 0), else_=1), other.c.verdict_ms.desc(), other.c.opened_ms.desc())
        .limit(1)
        .scalar_subquery()
    )


def _blind_days(cells: Iterable[_Cell]) -> set[tuple[Decider, int]]:
    """The days on which a policy's decision was not checked that is on others."""
    checked = {(cell.by, cell.decision) for cell in cells if cell.chance > 0}
    return {(cell.by, cell.day) for cell in cells if cell.chance == 0 and (cell.by, cell.decision) in checked}


def _counted(judgement: Judgement) -> Select[Any]:
    """The row in which an image is counted; and the chance, if the decision was the same."""
    same = and_(tallies.c.id == images.c.tally, *(tallies.c[name] == getattr(judgement, name) for name in DECISION))
    return select(images.c.tally, tallies.c.chance).outerjoin(tallies, same)


def _count(connection: Connection, now_ms: int, judgement: Judgement, turn: Turn, shares: SpotChecks) -> int:
    """One image more: the id of the row that it is counted in.

    With the first in a row the day's other decisions get rows as well, of no image: with what chance they were checked is
    known then even if none came.
    """
    day = {"day": now_ms // DAY_MS, **{name: getattr(judgement, name) for name in DECISION}}
    score = {"chance": turn.chance, "bin": bin_of(judgement.score or 0.0)}
    one = {**day, **score, "images": 1, "chosen": int(turn.is_chosen)}
    row, counted = connection.execute(_one_more(connection.dialect.name), one).one()
    if counted == 1:
        for decision in Outcome:
            none = {"decision": decision, "chance": shares.chance(decision), "bin": 0, "images": 0, "chosen": 0}
            insert_new(tallies, connection, {**day, **none})
    return int(row)


@cache
def _one_more(dialect: str) -> Any:
    """Made once: to put it together takes longer than to carry it out."""
    statement = insert_into(tallies, dialect)
    key = ("day", "model", "policy", "policy_version", "decision", "chance", "bin")
    more = {name: tallies.c[name] + statement.excluded[name] for name in ("images", "chosen")}
    return statement.on_conflict_do_update(index_elements=key, set_=more).returning(tallies.c.id, tallies.c.images)


def _window(since_ms: int, before_ms: int | None) -> ColumnElement[bool]:
    since = tallies.c.day >= since_ms // DAY_MS
    return since if before_ms is None else and_(since, tallies.c.day < before_ms // DAY_MS)
