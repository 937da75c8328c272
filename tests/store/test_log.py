"""SQLite writes into a log beside the database first: what was deleted is to be in neither file."""

from __future__ import annotations

import hashlib
import random
import threading
from pathlib import Path

import pytest
from databases import Clock, migrated, new_database
from sqlalchemy import select
from waiting import PATIENCE_S

from demure.previews import Preview
from demure.reviews import Judgement, Opening, Submission
from demure.store.database import Database
from demure.store.deletion import forget, forget_subject
from demure.store.retention import Keep, sweep
from demure.store.reviews import Reviews
from demure.store.schema import submissions

UNSURE = Judgement("unknown", "uncertain", 0.5, {"porn": 0.5}, None, None, "tiny", "colours", "1")
PIXELS = random.Random(1).randbytes(20_000)  # as many pages as a preview has
SUBJECT = "somebody-who-wants-to-be-forgotten"
SHA = hashlib.sha256(b"a").digest()
WEEK_S = 7 * 86_400


@pytest.fixture
def url(tmp_path: Path):
    with new_database("sqlite", tmp_path) as url:
        yield url


@pytest.fixture
def database(url: str, clock: Clock):
    """And one who is connected all along: the last to go would empty the log by itself."""
    with migrated(url, clock) as other, migrated(url, clock) as database:
        other.read(lambda c: c.execute(select(submissions)).all())
        Reviews(database).open(
            Opening(SHA, UNSURE, Submission("post", SUBJECT)), [Preview(0, 0, 2, 1, "image/jpeg", PIXELS)]
        )
        yield database


def left(database: Database) -> set[str]:
    """The files in which something of the image stands."""
    tells = (SUBJECT.encode(), *(PIXELS[at : at + 64] for at in range(0, len(PIXELS), 1000)))
    files = database.path.parent.glob("demure.db*")
    return {file.name for file in files if any(tell in file.read_bytes() for tell in tells)}


def forget_it(database: Database) -> None:
    assert forget(database, SHA, "key:forum", keep_memory=False)


def forget_all(database: Database) -> None:
    assert forget_subject(database, SUBJECT, "key:forum", keep_memory=False)


@pytest.mark.parametrize("ask", [forget_it, forget_all])
def test_nothing_of_what_was_forgotten_is_left_in_a_file(database, ask):
    assert left(database)
    ask(database)
    assert left(database) == set()


def test_nothing_of_what_was_swept_is_left_in_a_file(database, clock):
    clock.pass_s(91 * 86_400)
    assert sweep(database, Keep()).deleted["previews"] == 1
    assert left(database) == set()


def test_who_reads_keeps_nobody_waiting_and_the_next_sweep_does_it(url, clock, database):
    reading, go_on = threading.Event(), threading.Event()

    def read(connection) -> None:
        connection.execute(select(submissions)).all()
        reading.set()
        assert go_on.wait(PATIENCE_S)

    with migrated(url, clock) as other:
        reader = threading.Thread(target=other.read, args=(read,))
        reader.start()
        try:
            assert reading.wait(PATIENCE_S)
            forget_it(database)  # while somebody still sees what was there
            assert not database.empty_log()
            assert left(database)
        finally:
            go_on.set()
            reader.join()
    sweep(database, Keep())
    assert left(database) == set()


def test_a_log_that_cannot_be_emptied_fails_nothing(tmp_path, clock):
    """One whose folder is gone, as when a disk was taken away."""
    folder = tmp_path / "gone"
    folder.mkdir()
    with new_database("sqlite", folder) as url, migrated(url, clock) as database:
        folder.rename(tmp_path / "elsewhere")
        assert not database.empty_log()
        assert not folder.exists()


def test_a_database_in_memory_has_no_log(clock):
    with migrated("sqlite://", clock) as database:
        assert database.empty_log()
