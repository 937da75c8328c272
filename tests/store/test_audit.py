"""The audit log is written with what it tells of, each record chained to the one before; what was done to it shows."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import delete, insert, select, update
from waiting import PATIENCE_S

from demure.audit import START, Break, Fault, Head, Record, parse_head
from demure.audit import verify as walk
from demure.errors import InvalidSetting
from demure.store.audit import append, head, records, sweep, swept, verify
from demure.store.schema import audit, audit_head


def hashed(previous: str, seq: int, at_ms: int, actor: str, action: str, target: str, details: str) -> str:
    """What a record's hash must be, by the format that the documents tell: JSON as Python writes it, in ASCII."""
    covered = json.dumps([previous, seq, at_ms, actor, action, target, details])
    return hashlib.sha256(covered.encode("ascii")).hexdigest()


def write(database, clock, count: int = 5, pass_s: float = 1.0) -> None:
    """Records 1, 2, … of anna's, a second apart."""

    def work(c):
        last = head(c).seq
        for number in range(last + 1, last + 1 + count):
            append(c, clock(), "user:anna", "review.viewed", f"review:{number}", number=number)
            clock.pass_s(pass_s)

    database.write(work)


def change(database, seq: int, **values) -> None:
    database.write(lambda c: c.execute(update(audit).where(audit.c.seq == seq).values(values)))


def stored(database) -> list[Record]:
    return database.read(lambda c: list(records(c)))


def sweep_before(database, clock, before_ms: int, **more) -> int | Break:
    return database.write(lambda c: sweep(c, clock(), before_ms, **more))


def test_the_first_hash_is_the_one_computed_by_hand(database, clock):
    database.write(lambda c: append(c, clock(), "user:anna", "viewed", "review:1", number=0))
    covered = f'["{"0" * 64}", 1, {clock()}, "user:anna", "viewed", "review:1", "{{\\"number\\":0}}"]'
    row = database.read(lambda c: c.execute(select(audit)).one())
    assert (row.seq, row.details) == (1, '{"number":0}')
    assert row.hash == hashlib.sha256(covered.encode()).hexdigest()
    assert database.read(lambda c: c.execute(select(audit_head.c.seq, audit_head.c.hash)).one()) == (1, row.hash)


def test_an_untouched_log_holds_and_ends_where_its_head_says(database, clock):
    write(database, clock)
    found = verify(database)
    assert (found.swept, found.head.seq) == (Head(0, "0" * 64), 5)
    assert found.head == database.read(head)


def test_an_empty_log_holds(database):
    assert verify(database).head == Head(0, "0" * 64)


def test_more_records_than_are_fetched_at_once_hold(database, clock):
    write(database, clock, 2500, pass_s=0)
    assert verify(database).head.seq == 2500
    change(database, 2400, actor="user:bert")
    assert verify(database) == Break(2400, Fault.CHANGED)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("at_ms", 1),
        ("actor", "user:bert"),
        ("action", "review.settled"),
        ("target", "review:9"),
        ("details", '{"number":4}'),
        ("hash", "f" * 64),
    ],
)
def test_a_changed_column_is_found(database, clock, column, value):
    write(database, clock)
    change(database, 3, **{column: value})
    assert verify(database) == Break(3, Fault.CHANGED)


def test_a_record_that_was_changed_and_hashed_anew_is_found_by_the_next(database, clock):
    write(database, clock)
    before, old = stored(database)[1:3]
    forged = hashed(before.hash, 3, old.at_ms, "user:bert", old.action, old.target, old.details)
    change(database, 3, actor="user:bert", hash=forged)
    assert verify(database) == Break(4, Fault.CHANGED)


@pytest.mark.parametrize(("seq", "found_at"), [(1, 1), (3, 3), (5, 5)], ids=["first", "middle", "last"])
def test_a_missing_record_is_found(database, clock, seq, found_at):
    write(database, clock)
    database.write(lambda c: c.execute(delete(audit).where(audit.c.seq == seq)))
    assert verify(database) == Break(found_at, Fault.MISSING)


def test_a_record_past_the_head_is_found(database, clock):
    write(database, clock)
    last = stored(database)[-1]
    more = {"seq": 6, "at_ms": 1, "actor": "a", "action": "b", "target": "c", "details": "{}"}
    more["hash"] = hashed(last.hash, *more.values())
    database.write(lambda c: c.execute(insert(audit).values(more)))
    assert verify(database) == Break(6, Fault.SURPLUS)


def test_records_in_another_order_are_found(database, clock):
    write(database, clock, 3)
    one, two, three = stored(database)
    assert walk([one, two, three], Head(0, START)) == Head(3, three.hash)
    assert walk([one, two, two, three], Head(0, START)) == Break(2, Fault.OUT_OF_ORDER)
    assert walk([two, one, three], Head(0, START)) == Break(1, Fault.MISSING)


def test_a_whole_new_chain_is_found_only_by_who_kept_a_head(database, clock):
    write(database, clock)
    kept = database.read(head)

    def forge(c):
        c.execute(delete(audit))
        c.execute(update(audit_head).values(seq=0, hash="0" * 64))
        for _ in range(7):
            append(c, clock(), "user:anna", "review.viewed", "review:innocent")

    database.write(forge)
    assert verify(database).head.seq == 7
    assert verify(database, kept) == Break(5, Fault.ANOTHER)


def test_a_kept_head_is_found_in_the_chain_that_went_on(database, clock):
    write(database, clock)
    kept = database.read(head)
    write(database, clock)
    found = verify(database, kept)
    assert (found.head.seq, found.seen) == (10, True)


def test_a_log_that_ends_before_the_kept_head_was_cut_short(database, clock):
    write(database, clock)
    kept = database.read(head)

    def cut(c):
        c.execute(delete(audit).where(audit.c.seq > 3))
        c.execute(
            update(audit_head).values(seq=3, hash=c.execute(select(audit.c.hash).where(audit.c.seq == 3)).scalar())
        )

    database.write(cut)
    assert verify(database).head.seq == 3
    assert verify(database, kept) == Break(4, Fault.MISSING)


def test_a_sweep_deletes_the_beginning_and_says_through_where(database, clock):
    write(database, clock)  # at 0, 1, 2, 3, 4 s
    third = stored(database)[2]
    assert sweep_before(database, clock, third.at_ms + 1) == 3  # the third is older than that, by a millisecond
    left = stored(database)
    assert [record.seq for record in left] == [4, 5, 6]
    assert (left[-1].actor, left[-1].action) == ("demure", "audit.swept")
    assert json.loads(left[-1].details) == {"through": 3, "hash": third.hash}
    assert database.read(swept) == Head(3, third.hash)
    assert (verify(database).swept, verify(database).head.seq) == (Head(3, third.hash), 6)


def test_a_record_exactly_as_old_as_the_limit_stays(database, clock):
    write(database, clock)
    assert sweep_before(database, clock, stored(database)[0].at_ms) == 0
    assert [record.seq for record in stored(database)] == [
        1,
        2,
        3,
        4,
        5,
    ]  # and nothing is written of a sweep of nothing


def test_a_sweep_of_everything_leaves_its_own_record(database, clock):
    write(database, clock)
    assert sweep_before(database, clock, clock()) == 5
    assert [record.action for record in stored(database)] == ["audit.swept"]
    assert verify(database).head.seq == 6


def test_what_follows_a_record_that_is_young_stays_however_its_clock_went(database, clock):
    write(database, clock, 2)
    clock.pass_s(-100)
    write(database, clock, 1)
    third = stored(database)[2]
    assert sweep_before(database, clock, third.at_ms + 1) == 0
    assert len(stored(database)) == 3


def test_a_sweep_takes_no_more_than_it_is_told_to(database, clock):
    write(database, clock)
    assert sweep_before(database, clock, clock(), at_most=2) == 2
    assert [record.seq for record in stored(database)] == [3, 4, 5, 6]
    assert verify(database).head.seq == 6


def test_a_sweep_stops_at_what_is_held(database, clock):
    write(database, clock)
    assert sweep_before(database, clock, clock(), held={"review:3"}) == 2
    assert [record.seq for record in stored(database)] == [3, 4, 5, 6]


def test_a_part_that_does_not_hold_is_not_swept(database, clock):
    write(database, clock)
    change(database, 2, actor="user:bert")
    assert sweep_before(database, clock, clock()) == Break(2, Fault.CHANGED)
    assert len(stored(database)) == 5


def test_a_beginning_that_was_taken_away_without_a_record_of_a_sweep_is_found(database, clock):
    write(database, clock)
    third = stored(database)[2]

    def take_away(c):
        c.execute(delete(audit).where(audit.c.seq <= 3))
        c.execute(update(audit_head).values(swept_seq=3, swept_hash=third.hash))

    database.write(take_away)
    assert verify(database) == Break(3, Fault.NOT_SWEPT)


def test_a_changed_checkpoint_is_found(database, clock):
    write(database, clock)
    sweep_before(database, clock, clock())
    database.write(lambda c: c.execute(update(audit_head).values(swept_hash="f" * 64)))
    assert verify(database) == Break(6, Fault.CHANGED)


@pytest.mark.parametrize(("seq", "seen"), [(2, False), (3, True), (4, True)], ids=["before", "the-last-swept", "after"])
def test_a_kept_head_is_looked_for_in_what_is_left_and_else_that_is_said(database, clock, seq, seen):
    write(database, clock)
    kept = stored(database)[seq - 1]
    sweep_before(database, clock, stored(database)[2].at_ms + 1)  # through 3
    assert verify(database, Head(seq, kept.hash)).seen is seen
    if seen:
        assert verify(database, Head(seq, "f" * 64)) == Break(seq, Fault.ANOTHER)


def test_two_that_sweep_at_once_leave_one_checkpoint(database, clock):
    """Both stand behind somebody who appends: the second must not look before the first is done."""
    write(database, clock, 50)
    before_ms, began, go_on = clock(), threading.Event(), threading.Event()

    def view(c):
        append(c, before_ms, "user:anna", "review.viewed", "review:1")
        began.set()
        go_on.wait(PATIENCE_S)

    with ThreadPoolExecutor(3) as pool:
        viewing = pool.submit(database.write, view)
        assert began.wait(PATIENCE_S)
        sweeping = [pool.submit(sweep_before, database, clock, before_ms) for _ in range(2)]
        time.sleep(0.5)
        go_on.set()
        viewing.result()
        assert sorted(future.result() for future in sweeping) == [0, 50]
    assert [record.action for record in stored(database)] == ["review.viewed", "audit.swept"]


@pytest.mark.parametrize(
    "text", ["", "1", "1:", "1:abc", f"x:{'0' * 64}", f"-1:{'0' * 64}", f"1:{'G' * 64}", f"1:{'0' * 65}"]
)
def test_a_head_of_another_form_is_refused(text):
    with pytest.raises(InvalidSetting, match="expected SEQ:HASH"):
        parse_head(text)


def test_a_head_is_read_as_it_is_written():
    assert parse_head(f"12:{'ab' * 32}\n") == Head(12, "ab" * 32)
    assert str(Head(12, "ab" * 32)) == f"12:{'ab' * 32}"
