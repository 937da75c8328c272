"""Lists of verdicts come and go as CSV."""

from __future__ import annotations

import io
import random

import pytest

from demure.errors import InvalidList, StorageUnavailable
from demure.memory import Memory
from demure.pdq import Fingerprint
from demure.policy import Outcome
from demure.store import memory
from demure.store.lists import take_in, write_out

SHA, PDQ = "ab" * 32, "0f" * 32


def lines(*rows: str) -> list[str]:
    return ["hash,kind,verdict\n", *(f"{row}\n" for row in rows)]


def exported(database) -> list[str]:
    file = io.StringIO()
    write_out(database, file)
    return file.getvalue().splitlines()[1:]


def test_a_list_is_remembered_and_written_out_again(database):
    assert take_in(database, lines(f"{SHA},sha256,adult", f"{PDQ.upper()},PDQ,safe", ""), "shell") == 2
    assert exported(database) == [f"{SHA},sha256,adult", f"{PDQ},pdq,safe"]
    assert database.read(lambda c: memory.recall(c, bytes.fromhex(SHA))).verdict == "adult"


def test_columns_may_stand_in_any_order_and_the_last_line_of_a_hash_counts(database):
    rows = ["Verdict,hash,kind\n", f"safe,{SHA},sha256\n", f"adult,{SHA},sha256\n"]
    take_in(database, rows, "shell")
    assert exported(database) == [f"{SHA},sha256,adult"]


WRONG = {
    "no-header": ([f"{SHA},sha256,adult\n"], "line 1"),
    "empty": ([], "line 1"),
    "kind": (lines(f"{SHA},md5,adult"), "line 2: kind"),
    "verdict": (lines(f"{SHA},sha256,perhaps"), "line 2: verdict"),
    "short": (lines(f"{SHA},sha256,adult", f"{SHA[1:]},sha256,adult"), "line 3: hash"),
    "no-hexadecimal": (lines(f"{SHA[:-1]}g,sha256,adult"), "line 2: hash"),
    "too-few-columns": (lines(f"{SHA},sha256"), "line 2: verdict"),
}


@pytest.mark.parametrize(("rows", "hint"), WRONG.values(), ids=WRONG)
def test_a_list_with_one_wrong_line_changes_nothing(database, rows, hint: str):
    with pytest.raises(InvalidList, match=hint):
        take_in(database, rows, "shell")
    assert exported(database) == []


def test_a_wrong_line_far_down_changes_nothing_either(database):
    rows = lines(*(f"{number:064x},sha256,adult" for number in range(12_000)), "x,sha256,adult")
    with pytest.raises(InvalidList, match="line 12002"):
        take_in(database, rows, "shell")
    assert exported(database) == []


def test_another_process_finds_near_copies_of_what_was_imported(database):
    """Its copy of the memory is older than the list."""
    other = Memory(database, within=31)
    other.refresh()
    hashes = [random.Random(seed).randbytes(32) for seed in range(100)]
    take_in(database, lines(*(f"{digest.hex()},pdq,adult" for digest in hashes)), "shell")
    near = Fingerprint(bytes([hashes[7][0] ^ 0xFF]) + hashes[7][1:], 100)
    assert other.weigh(Outcome.SAFE, [near]) is None
    assert other.recall(bytes(32)) is None  # any question brings the copy up to date
    assert other.weigh(Outcome.SAFE, [near]).decision is Outcome.ADULT
    assert len(other) == 100


def test_a_try_that_another_writer_ended_is_not_taken_for_the_whole(database):
    """The lines are read by then: what is left of them would be remembered as if it were all."""
    write = database.write

    def twice(work, **more):
        with database.engine.connect() as connection:
            work(connection)
        return write(work, **more)

    database.write = twice
    with pytest.raises(StorageUnavailable):
        take_in(database, lines(f"{SHA},sha256,adult"), "shell")
    database.write = write
    assert exported(database) == []
