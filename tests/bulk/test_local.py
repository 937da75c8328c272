"""Threads over a ledger: each source once, whoever takes it; what goes wrong ends all of it."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from bulk_judge import Judge, Sources
from waiting import wait_until

from demure.bulk.ledger import Ledger
from demure.bulk.local import LocalScan, Stopped
from demure.errors import InvalidModel, SourceNotFound
from demure.policy import Outcome

QUESTION = {"policy": "p"}


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger(tmp_path / "ledger", QUESTION) as ledger:
        yield ledger


def scan(ledger: Ledger, sources: dict[str, bytes], judge: Judge, threads: int = 4, **more) -> LocalScan:
    return LocalScan(ledger, Sources(sources), judge, threads=threads, shard_images=3, **more)


FILES = {f"{n:03}": f"{'asu'[n % 3]}{n}".encode() for n in range(100)}


@pytest.mark.parametrize("threads", [1, 4])
def test_each_source_has_one_row_in_the_order_of_the_listing(ledger: Ledger, threads: int):
    counts: Counter[str] = Counter()
    scan(ledger, FILES, Judge(), threads, on_progress=counts.update).run(iter(FILES))
    assert [row["id"] for row in ledger.rows()] == [*FILES]
    assert counts == Counter(adult=34, safe=33, unknown=33) == Counter(ledger.status().counts)


def test_only_the_wanted_decisions_have_rows_and_all_are_counted(ledger: Ledger):
    scan(ledger, FILES, Judge(), only={Outcome.ADULT}).run(iter(FILES))
    assert {row["decision"] for row in ledger.rows()} == {"adult"}
    assert ledger.status().done == 100


def test_a_failed_image_is_counted_as_failed(ledger: Ledger):
    scan(ledger, {"a": b"a"}, Judge()).run(iter(["a", "gone"]))
    assert dict(ledger.status().counts) == {"adult": 1, "failed": 1}
    assert [row["reason"] for row in ledger.rows()] == ["rule", SourceNotFound.code]


def test_the_same_bytes_are_judged_once_also_by_threads_that_meet_them_at_once(ledger: Ledger):
    judge = Judge(delay_s=0.02)
    sources = {f"{n:03}": b"same" if n % 2 else b"other" for n in range(60)}
    scan(ledger, sources, judge, threads=8).run(iter(sources))
    assert sorted(judge.asked) == [b"other", b"same"]
    assert len([*ledger.rows()]) == 60


def test_bytes_that_could_not_be_judged_by_one_thread_do_not_block_another(ledger: Ledger):
    judge = Judge(delay_s=0.01, out_of_time=b"slow")
    sources = {f"{n:03}": b"slow" for n in range(12)}
    scan(ledger, sources, judge).run(iter(sources))
    assert len(judge.asked) == 12
    assert dict(ledger.status().counts) == {"failed": 12}


def test_a_slow_listing_is_worked_on_while_it_comes(ledger: Ledger):
    judge, seen = Judge(), []

    def listing() -> Iterator[str]:
        yield from [*FILES][:6]
        wait_until(lambda: len(judge.asked) >= 6)
        seen.append(len(judge.asked))
        yield from [*FILES][6:]

    scan(ledger, FILES, judge).run(listing())
    assert seen == [6]
    assert ledger.status().done == 100


class Broken(Judge):
    def screen(self, source: bytes, **more):
        if source == b"a30":
            raise InvalidModel("the weights are gone")
        return super().screen(source, **more)


def test_what_is_wrong_with_the_installation_ends_all_threads_and_is_raised(ledger: Ledger):
    with pytest.raises(InvalidModel):
        scan(ledger, FILES, Broken()).run(iter(FILES))
    assert ledger.status().done < 100
    assert all(not thread.name.startswith("scan-") for thread in threading.enumerate())


def test_a_listing_that_fails_ends_it_too(ledger: Ledger):
    def listing() -> Iterator[str]:
        yield from "abc"
        raise SourceNotFound("no such folder")

    with pytest.raises(SourceNotFound):
        scan(ledger, FILES, Judge()).run(listing())
    assert not ledger.status().all_listed


def test_stopped_it_keeps_what_is_finished_and_goes_on_from_there(tmp_path: Path):
    with Ledger(tmp_path / "ledger", QUESTION) as ledger:
        # As soon as one shard of three is done: the others that are under way then are dropped, or are the last.
        job = scan(ledger, FILES, Judge(), on_progress=lambda _: job.stop())
        with pytest.raises(Stopped):
            job.run(iter(FILES))
        before = ledger.status().done
        assert 0 < before < 100
    rest = Judge()
    with Ledger(tmp_path / "ledger", QUESTION) as ledger:
        scan(ledger, FILES, rest).run(iter(FILES))
        assert [row["id"] for row in ledger.rows()] == [*FILES]
    assert len(rest.asked) == 100 - before
