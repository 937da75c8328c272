"""The queue: items are opened, claimed, judged and taken back, each in one transaction with its event and its audit record."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, delete, exists, insert, select, update
from sqlalchemy.exc import IntegrityError

from demure.errors import Conflict, NotPermitted, SourceNotFound, StorageUnavailable
from demure.previews import Preview
from demure.reviews import DISPUTES, Actor, Judgement, Kind, Move, Opening, Order, Review, State, Verdict, after
from demure.store import memory
from demure.store.audit import append
from demure.store.checks import DECISION, unknown_scores
from demure.store.custody import is_frozen, is_held
from demure.store.database import Database, insert_new
from demure.store.events import emit
from demure.store.images import Senders, is_kept, note_submission, senders_of
from demure.store.memory import HashKind
from demure.store.schema import previews, reviews, skips


@dataclass(frozen=True)
class Times:
    """How long what lasts."""

    lease_s: float = 300.0  # a claim, unless it is made anew
    undo_s: float = 600.0  # a verdict can be taken back; its preview is kept until then
    preview_s: float = 7 * 86400.0


class Reviews:
    """Thread-safe. What goes wrong is raised as the move's own error (reviews.after), SourceNotFound, or the database's."""

    def __init__(self, database: Database, times: Times = Times(), endpoints: Sequence[str] = ()) -> None:
        """`endpoints` are the URLs that events are sent to; `on_event` is called when there is something to send."""
        self.times = times
        self.on_event: Callable[[], None] = lambda: None
        self._database = database
        self._endpoints = tuple(endpoints)

    def open(self, opening: Opening, pictures: Sequence[Preview]) -> Review:
        """Put an image into the queue, or add its sender to the item that is there already."""
        now_ms = self._database.now_ms()

        def work(connection: Connection) -> Review:
            if opening.kind is Kind.CHECK and not is_kept(connection, opening.sha256):  # it comes after the answer
                raise SourceNotFound("this image was forgotten meanwhile")
            if (
                opening.kind is not Kind.CHECK
            ):  # of that, it is noted with the decision: who is forgotten meanwhile stays so
                note_submission(connection, now_ms, opening.sha256, opening.submission)
            place = (
                opening.judgement.score or 0.0 if opening.place is None else opening.place(unknown_scores(connection))
            )
            found = self._insert(connection, opening, place, now_ms) or self._join(connection, opening)
            if found is None:  # it was settled while we waited for it
                found = self._insert(connection, opening, place, now_ms)
            if found is None:
                raise StorageUnavailable("this image's review is changing at this moment; try again")
            if State(found.state) is State.OPEN:
                self._keep_previews(connection, found.id, pictures, now_ms)
            return _review(found)

        return self._database.write(work)

    def claim(self, id: str, actor: Actor, lease_s: float | None = None) -> Review:
        """Hold an item, or hold it longer."""
        return self._move(id, actor, Move.CLAIM, None, lambda _c, _r, now_ms: self._lease(actor, now_ms, lease_s))

    def claim_next(self, actor: Actor, order: Order = Order.OLDEST, lease_s: float | None = None) -> Review | None:
        """Hold the item that comes next, or None where none is free. Those that the actor skipped come last."""
        now_ms = self._database.now_ms()
        free = (reviews.c.state == State.OPEN) & ~is_held(now_ms)
        skipped = exists().where(skips.c.review_id == reviews.c.id, skips.c.reviewer == str(actor))

        def take(connection: Connection, wanted: ColumnElement[bool]) -> Row[Any] | None:
            turn = select(reviews.c.id).where(free, wanted).order_by(reviews.c.rank, *_by(order)).limit(1)
            # PostgreSQL passes over rows that others are about to take; SQLite lets one writer in at a time.
            claimed = (
                update(reviews)
                .where(reviews.c.id == turn.with_for_update(skip_locked=True).scalar_subquery(), free)
                .values(version=reviews.c.version + 1, **self._lease(actor, now_ms, lease_s))
                .returning(reviews)
            )
            return connection.execute(claimed).one_or_none()

        def work(connection: Connection) -> Review | None:
            row = take(connection, ~skipped) or take(connection, skipped)
            return None if row is None else _review(row)

        return self._database.write(work, durable=False)

    def settle(self, id: str, actor: Actor, verdict: Verdict, version: int | None, note: str | None = None) -> Review:
        """A person's verdict: remembered from now on, told to the site, and its preview on the way out."""

        def change(connection: Connection, review: Review, now_ms: int) -> dict[str, Any]:
            before = memory.remember(connection, now_ms, _hashes(review), verdict, str(actor), review.id)
            self._delete_previews(connection, id, now_ms + self._ms(self.times.undo_s))
            said = {"verdict": verdict, "verdict_by": str(actor), "verdict_ms": now_ms, "verdict_note": note}
            return {**said, "replaced": before, **_NOBODY}

        return self._move(id, actor, Move.SETTLE, version, change)

    def undo(self, id: str, actor: Actor, version: int | None) -> Review:
        """Take a verdict back, and hold the item again. What the memory said before, it says again."""

        def change(connection: Connection, review: Review, now_ms: int) -> dict[str, Any]:
            if now_ms > (review.verdict_ms or 0) + self._ms(self.times.undo_s):
                raise Conflict("it is too late to take this verdict back; send the image anew as an appeal")
            if connection.execute(select(reviews.c.id).where(_in_queue(bytes.fromhex(review.sha256)))).first():
                raise Conflict("the image stands in the queue again; judge it there")
            _put_back(connection, now_ms, id)
            self._delete_previews(connection, id, now_ms + self._ms(self.times.preview_s))
            unsaid = dict.fromkeys(("verdict", "verdict_by", "verdict_ms", "verdict_note", "replaced"))
            return {**unsaid, **self._lease(actor, now_ms, None)}

        return self._move(id, actor, Move.UNDO, version, change)

    def skip(self, id: str, actor: Actor, version: int | None) -> Review:
        """Pass an item on: to this actor it comes back last."""

        def change(connection: Connection, _review: Review, _now_ms: int) -> dict[str, Any]:
            insert_new(skips, connection, {"review_id": id, "reviewer": str(actor)})
            return _NOBODY

        return self._move(id, actor, Move.SKIP, version, change)

    def escalate(self, id: str, actor: Actor, version: int | None, note: str | None = None) -> Review:
        """Hide and freeze an item: no label, no memory, not even an older one; nothing of it is swept until it is released.
        What the memory said before, it says again then."""

        def change(connection: Connection, review: Review, now_ms: int) -> dict[str, Any]:
            before = memory.withdraw(connection, now_ms, _hashes(review), str(actor), review.id)
            self._delete_previews(connection, id, None)
            return {"verdict_note": note, "replaced": before, **_NOBODY}

        return self._move(id, actor, Move.ESCALATE, version, change)

    def release(self, id: str, actor: Actor, version: int | None) -> Review:
        """Put an escalated item back into the queue. For admins."""

        def change(connection: Connection, _review: Review, now_ms: int) -> dict[str, Any]:
            _put_back(connection, now_ms, id)
            self._delete_previews(connection, id, now_ms + self._ms(self.times.preview_s))
            return {"verdict_note": None, "replaced": None}

        return self._move(id, actor, Move.RELEASE, version, change)

    def get(self, id: str) -> Review:
        return self._database.read(lambda c: _review(_found(c, _by_id(id))))

    def shown(self, id: str, actor: Actor) -> Review:
        """One item. Raises NotPermitted for who is no admin where its image is escalated, by whatever item."""

        def work(connection: Connection) -> Review:
            review = _review(_found(connection, _by_id(id)))
            if not actor.is_admin and memory.is_escalated(connection, bytes.fromhex(review.sha256)):
                raise NotPermitted("what was escalated is seen by admins alone")
            return review

        return self._database.read(work)

    def page(
        self, states: Sequence[State], after: str | None = None, at_most: int = 50, *, frozen: bool = True
    ) -> list[Review]:
        """Items in those states, the oldest first; `after` is the id of the last one that was told. Without `frozen`, none whose
        image is escalated."""
        page = select(reviews).where(reviews.c.state.in_(states)).order_by(reviews.c.opened_ms, reviews.c.id)
        page = page if frozen else page.where(~is_frozen())

        def work(connection: Connection) -> list[Review]:
            wanted = page
            if after is not None:
                last = _found(connection, _by_id(after))
                later = (reviews.c.opened_ms == last.opened_ms) & (reviews.c.id > last.id)
                wanted = page.where((reviews.c.opened_ms > last.opened_ms) | later)
            return [_review(row) for row in connection.execute(wanted.limit(at_most))]

        return self._database.read(work)

    def submissions(self, review: Review) -> list[dict[str, Any]]:
        """The first hundred of those who sent it."""
        return self.senders(review).first

    def senders(self, review: Review) -> Senders:
        return self._database.read(lambda c: senders_of(c, bytes.fromhex(review.sha256)))

    def preview(self, id: str, number: int, actor: Actor) -> Preview:
        """A picture of an item. That it was seen is noted. Raises NotPermitted where its image is escalated, by whatever item."""
        now_ms = self._database.now_ms()
        wanted = select(previews).where(_kept(id, now_ms), previews.c.number == number)

        def work(connection: Connection) -> Preview:
            if memory.is_escalated(connection, bytes(_found(connection, _by_id(id)).sha256)):
                raise NotPermitted("this image is escalated: nobody sees its picture until an admin releases it")
            row = _found(connection, wanted)
            append(connection, now_ms, str(actor), "review.viewed", f"review:{id}", number=number)
            return Preview(row.number, row.frame, row.width, row.height, row.type, bytes(row.data))

        return self._database.write(work, durable=False)

    def pictures(self, id: str) -> list[tuple[int, int, int, int]]:
        """(number, frame, width, height) of each picture there is of an item."""
        columns = (previews.c.number, previews.c.frame, previews.c.width, previews.c.height)
        wanted = select(*columns).where(_kept(id, self._database.now_ms())).order_by(previews.c.number)
        return [tuple(row) for row in self._database.read(lambda c: c.execute(wanted).all())]

    def _move(
        self,
        id: str,
        actor: Actor,
        move: Move,
        version: int | None,
        change: Callable[[Connection, Review, int], dict[str, Any]],
    ) -> Review:
        """One legal move: what it changes beside the state, then its event, then the audit record."""
        now_ms = self._database.now_ms()

        def work(connection: Connection) -> Review:
            if move in _REMEMBERED:
                memory.hold(connection)
            before = _review(_found(connection, _by_id(id).with_for_update()))
            state = after(before, move, actor, version, now_ms)
            values = {"state": state, "version": before.version + 1, **change(connection, before, now_ms)}
            moved = _review(
                connection.execute(update(reviews).where(reviews.c.id == id).values(values).returning(reviews)).one()
            )
            if move in _TOLD:
                emit(connection, now_ms, self._endpoints, _TOLD[move], _event(connection, before, moved))
            if move is not Move.CLAIM:
                verdict = {"verdict": moved.verdict} if moved.verdict else {}
                append(connection, now_ms, str(actor), f"review.{move}", f"review:{id}", sha256=moved.sha256, **verdict)
            return moved

        try:
            moved = self._database.write(work, durable=move not in (Move.CLAIM, Move.SKIP))
        except IntegrityError as error:  # one_review_an_image
            raise Conflict("the image stands in the queue again; judge it there") from error
        if move in _TOLD:
            self.on_event()
        return moved

    def _insert(self, connection: Connection, opening: Opening, place: float, now_ms: int) -> Row[Any] | None:
        """A new item, unless the image stands in the queue."""
        values = {
            "id": secrets.token_hex(12),
            "sha256": opening.sha256,
            "kind": opening.kind,
            "state": State.OPEN,
            "version": 1,
            "rank": _rank(opening.kind),
            "priority": opening.priority,
            "place": place,
            **_drawn(opening),
            "opened_ms": now_ms,
            "note": opening.note,
            **vars(opening.judgement),
            "score": opening.judgement.score or 0.0,
            "pdq": opening.pdq,
            "pictures": opening.pictures,
        }
        return insert_new(reviews, connection, values)

    def _join(self, connection: Connection, opening: Opening) -> Row[Any] | None:
        """The item that the image has; an appeal brings it forward. None where it has none any more."""
        here = select(reviews).where(_in_queue(opening.sha256)).with_for_update()
        found = connection.execute(here).one_or_none()
        if found is None or found.state == State.ESCALATED:  # that is frozen
            return found
        news: dict[str, Any] = {"priority": max(found.priority, opening.priority)}
        if found.tally is None and _is_same_decision(found, opening.judgement):
            news |= _drawn(opening)
        if opening.kind in DISPUTES and _rank(opening.kind) <= found.rank:
            news |= {"kind": opening.kind, "rank": _rank(opening.kind), "note": opening.note or found.note}
        changed = update(reviews).where(reviews.c.id == found.id).values(news).returning(reviews)
        return connection.execute(changed).one()

    def _keep_previews(self, connection: Connection, id: str, pictures: Sequence[Preview], now_ms: int) -> None:
        if not pictures or connection.execute(select(previews.c.number).where(_kept(id, now_ms))).first():
            return
        connection.execute(delete(previews).where(previews.c.review_id == id))  # those that are due, and not swept yet
        kept = {"review_id": id, "delete_ms": now_ms + self._ms(self.times.preview_s)}
        connection.execute(insert(previews), [{**kept, **vars(picture)} for picture in pictures])

    def _delete_previews(self, connection: Connection, id: str, when_ms: int | None) -> None:
        mine = previews.c.review_id == id
        if when_ms is not None and when_ms <= self._database.now_ms():
            connection.execute(delete(previews).where(mine))
        else:
            connection.execute(update(previews).where(mine).values(delete_ms=when_ms))

    def _lease(self, actor: Actor, now_ms: int, lease_s: float | None) -> dict[str, Any]:
        return {"claimed_by": str(actor), "claimed_until_ms": now_ms + self._ms(lease_s or self.times.lease_s)}

    @staticmethod
    def _ms(seconds: float) -> int:
        return int(seconds * 1000)


_NOBODY: dict[str, Any] = {"claimed_by": None, "claimed_until_ms": None}
_REMEMBERED = (Move.SETTLE, Move.UNDO, Move.ESCALATE, Move.RELEASE)
_TOLD = {Move.SETTLE: "review.settled", Move.UNDO: "review.undone", Move.ESCALATE: "review.escalated"}


def _kept(id: str, now_ms: int) -> ColumnElement[bool]:
    """An item's pictures that have not had their time."""
    is_kept = previews.c.delete_ms.is_(None) | (previews.c.delete_ms > now_ms)
    return (previews.c.review_id == id) & is_kept


def _in_queue(sha256: bytes) -> ColumnElement[bool]:
    return (reviews.c.sha256 == sha256) & reviews.c.state.in_((State.OPEN, State.ESCALATED))


def _rank(kind: Kind) -> int:
    return 0 if kind is Kind.APPEAL else 1


def _drawn(opening: Opening) -> dict[str, Any]:
    draw = opening.draw
    return {"chance": None, "tally": None} if draw is None else {"chance": draw.chance, "tally": draw.tally}


def _is_same_decision(found: Row[Any], judgement: Judgement) -> bool:
    return all(getattr(found, name) == getattr(judgement, name) for name in DECISION)


def _by(order: Order) -> list[ColumnElement[Any]]:
    first = {Order.OLDEST: [], Order.RISK: [reviews.c.place.desc()], Order.PRIORITY: [reviews.c.priority.desc()]}[order]
    return [*first, reviews.c.opened_ms, reviews.c.id]


def _put_back(connection: Connection, now_ms: int, id: str) -> None:
    before = connection.execute(select(reviews.c.replaced).where(reviews.c.id == id)).scalar_one()
    if before:
        memory.put_back(connection, now_ms, id, before)


def _hashes(review: Review) -> list[tuple[HashKind, bytes]]:
    known = [(HashKind.SHA256, bytes.fromhex(review.sha256))]
    return known if review.pdq is None else [*known, (HashKind.PDQ, bytes.fromhex(review.pdq))]


def _event(connection: Connection, before: Review, moved: Review) -> dict[str, Any]:
    """What the site is told: enough to find its own record, and nothing of the picture."""
    senders = senders_of(connection, bytes.fromhex(moved.sha256))
    return {
        "review": moved.id,
        "kind": (moved if moved.verdict else before).told_kind,
        "sha256": moved.sha256,
        "decision": moved.judgement.decision,
        "verdict": moved.verdict,
        "withdrawn": before.verdict if moved.verdict is None else None,
        "overturned": moved.overturns,
        "by": moved.verdict_by,
        "note": moved.verdict_note,
        "submissions": senders.first,
        "submissions_total": senders.total,
    }


def _by_id(id: str) -> Select[Any]:
    return select(reviews).where(reviews.c.id == id)


def _found(connection: Connection, wanted: Select[Any]) -> Row[Any]:
    row = connection.execute(wanted).one_or_none()
    if row is None:
        raise SourceNotFound("there is no such review, or nothing of it is left to be seen")
    return row


def _review(row: Row[Any]) -> Review:
    judgement = Judgement(**{name: getattr(row, name) for name in Judgement.__dataclass_fields__})
    return Review(
        id=row.id,
        sha256=bytes(row.sha256).hex(),
        kind=Kind(row.kind),
        state=State(row.state),
        version=row.version,
        priority=row.priority,
        opened_ms=row.opened_ms,
        note=row.note,
        claimed_by=row.claimed_by,
        claimed_until_ms=row.claimed_until_ms,
        judgement=judgement,
        pdq=None if row.pdq is None else bytes(row.pdq).hex(),
        verdict=None if row.verdict is None else Verdict(row.verdict),
        verdict_by=row.verdict_by,
        verdict_ms=row.verdict_ms,
        verdict_note=row.verdict_note,
    )
