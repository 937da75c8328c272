"""The ledger: what is in it stays, whole; and only the same question goes on."""

from __future__ import annotations

import secrets
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from demure.bulk.ledger import Ledger, Shard, read_status
from demure.errors import Conflict, InvalidSetting, StorageFull, StorageUnavailable

QUESTION = {"policy": "p1", "model": "m1", "sources": ["folder"]}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "out.jsonl.ledger"


def add(ledger: Ledger, sources: list[str], shard_images: int = 2) -> None:
    ledger.add(iter(sources), shard_images, threading.Event())


def shards(ledger: Ledger) -> Iterator[Shard]:
    while (shard := ledger.take()) is not None:
        yield shard


def finish(ledger: Ledger, shard: Shard) -> None:
    rows = [{"id": source, "decision": "safe"} for source in shard.sources]
    ledger.finish(shard, rows, {"safe": len(rows)}, {})


def test_sources_come_in_shards_and_each_is_taken_once(path: Path):
    with Ledger(path, QUESTION) as ledger:
        add(ledger, list("abcde"))
        assert [shard.sources for shard in shards(ledger)] == [("a", "b"), ("c", "d"), ("e",)]


@pytest.mark.parametrize("names", [list("abab"), list("abcab"), ["a", "a"]], ids="".join)
def test_a_source_that_comes_twice_counts_once(path: Path, names: list[str]):
    with Ledger(path, QUESTION) as ledger:
        add(ledger, names)
        assert [source for shard in shards(ledger) for source in shard.sources] == sorted({*names})


@pytest.mark.parametrize("name", ["b\udcff.jpg", "two\nlines", "ü 🙂", " "])
def test_odd_names_survive(path: Path, name: str):
    with Ledger(path, QUESTION) as ledger:
        add(ledger, [name])
        (shard,) = shards(ledger)
        finish(ledger, shard)
        assert [row["id"] for row in ledger.rows()] == [name] == [*shard.sources]


def test_what_was_finished_is_not_taken_again_and_the_rest_is(path: Path):
    with Ledger(path, QUESTION) as ledger:
        add(ledger, list("abcde"))
        first, *_ = shards(ledger)
        finish(ledger, first)
    with Ledger(path, QUESTION) as ledger:
        assert ledger.status().done == 2
        for shard in shards(ledger):
            finish(ledger, shard)
        assert [row["id"] for row in ledger.rows()] == list("abcde")


def test_a_listing_that_was_broken_off_begins_again_and_knows_what_it_had(path: Path):
    stop = threading.Event()

    def broken() -> Iterator[str]:
        yield from "abc"
        stop.set()
        yield "d"

    with Ledger(path, QUESTION) as ledger:
        ledger.add(broken(), 2, stop)
        assert (ledger.status().listed, ledger.status().all_listed) == (2, False)
    with Ledger(path, QUESTION) as ledger:
        add(ledger, list("abcde"))
        assert sorted(source for shard in shards(ledger) for source in shard.sources) == list("abcde")
        assert (ledger.status().listed, ledger.status().all_listed) == (5, True)


def test_rows_come_in_the_order_of_the_listing_whoever_is_done_first(path: Path):
    with Ledger(path, QUESTION) as ledger:
        add(ledger, list("abcdef"))
        for shard in reversed([*shards(ledger)]):
            finish(ledger, shard)
        assert [row["id"] for row in ledger.rows()] == list("abcdef")


def test_answers_are_kept_with_the_shard_that_made_them(path: Path):
    with Ledger(path, QUESTION) as ledger:
        add(ledger, ["a"])
        (shard,) = shards(ledger)
        ledger.finish(shard, [], {}, {b"d" * 32: {"decision": "safe"}})
        assert ledger.answer(b"d" * 32) == {"decision": "safe"}
        assert ledger.answer(b"e" * 32) is None


@pytest.mark.parametrize("changed", ["policy", "model", "sources"])
def test_another_question_is_refused_by_name(path: Path, changed: str):
    Ledger(path, QUESTION).close()
    with pytest.raises(Conflict, match=rf"with another {changed}; ask as before to go on, or add --anew"):
        Ledger(path, {**QUESTION, changed: "other"})


def test_anew_forgets_what_was_there(path: Path):
    with Ledger(path, QUESTION) as ledger:
        add(ledger, list("abc"))
    with Ledger(path, {**QUESTION, "policy": "p2"}, anew=True) as ledger:
        assert ledger.status().listed == 0
        assert ledger.take() is None


def test_two_at_once_are_refused_and_a_dead_one_holds_nothing(path: Path):
    hold = f"from demure.bulk.ledger import Ledger; import pathlib, time; held = Ledger(pathlib.Path({str(path)!r}), {QUESTION!r}); print('up', flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", hold], stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        try:
            with pytest.raises(Conflict, match="another scan is at work"):
                Ledger(path, QUESTION)
        finally:
            other.kill()
    Ledger(path, QUESTION).close()


def test_the_status_can_be_read_while_somebody_works(path: Path):
    assert read_status(path) is None
    with Ledger(path, QUESTION) as ledger:
        add(ledger, list("abc"))
        finish(ledger, next(shards(ledger)))
        status = read_status(path)
        assert status is not None
        assert (status.listed, status.all_listed, status.done, dict(status.counts)) == (3, True, 2, {"safe": 2})
        assert not status.written
        ledger.note_written()
        assert ledger.status().written


@pytest.mark.parametrize("content", [b"no database at all, but long enough", b"SQLite format 3\0" + b"\1" * 200])
def test_a_file_that_is_no_ledger_is_refused(path: Path, content: bytes):
    path.write_bytes(content)
    with pytest.raises((StorageUnavailable, InvalidSetting), match=str(path)):
        Ledger(path, QUESTION)
    with pytest.raises(StorageUnavailable, match=str(path)):
        read_status(path)


def test_a_folder_that_is_not_there_is_told(tmp_path: Path):
    with pytest.raises(InvalidSetting, match="cannot be written"):
        Ledger(tmp_path / "absent" / "out.ledger", QUESTION)


def test_a_full_disk_loses_nothing_that_was_done(path: Path):
    """A limit on the database's pages is what SQLite knows as a full disk."""
    with Ledger(path, QUESTION) as ledger:
        add(ledger, [f"{number:0200}" for number in range(64)], 32)
        first, second = shards(ledger)
        finish(ledger, first)
        pages = ledger._connection.execute("PRAGMA page_count").fetchone()[0]
        ledger._connection.execute(f"PRAGMA max_page_count = {pages}")
        noise = {bytes([n]) * 32: {"noise": secrets.token_hex(4000)} for n in range(50)}
        with pytest.raises(StorageFull, match="make room and run the same command again"):
            ledger.finish(second, [], {}, noise)
        ledger._connection.execute("PRAGMA max_page_count = 1000000")
        assert ledger.status().done == 32
    with Ledger(path, QUESTION) as ledger:
        assert [shard.sources for shard in shards(ledger)] == [second.sources]
