"""What people said comes first, and what the models cannot tell comes before people, once and under each of its names."""

from __future__ import annotations

import hashlib
import random
import string
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from databases import KINDS, Clock, migrated, new_database
from pictures import encode, noise, plain
from tiny_models import RULES

from demure.bulk.job import Row, run_shard
from demure.bulk.judges import ModelsAndPeople
from demure.classifier import Classifiers
from demure.desk import Desk
from demure.errors import SourceNotFound, StorageFull, Undecodable
from demure.memory import Memory
from demure.models import Registry
from demure.pipeline import Screener
from demure.policy_file import find_policy
from demure.reviews import Actor, Kind, State, Verdict
from demure.settings import Settings
from demure.store import checks, memory
from demure.store.deletion import forget_image
from demure.store.memory import HashKind
from demure.store.reviews import Reviews
from demure.store.users import Users

RED, GREEN, BLUE = (encode(plain(colour, 64), "PNG") for colour in ([255, 0, 0], [0, 255, 0], [0, 0, 255]))
ANNA, ROOT = Actor("user:anna"), Actor("user:root", is_admin=True)


@pytest.fixture(params=KINDS)
def desk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Desk]:
    """With spot checks of every decision, which a scan must not draw."""
    settings = Settings.model_validate({"data_dir": tmp_path, "spot_checks": "adult=1,safe=1"})
    with new_database(request.param, tmp_path / "db") as url, migrated(url, Clock()) as database:
        made = Desk(settings, database, Reviews(database), Users(database), Memory(database, settings.memory_distance))
        yield made
        made.close()


@pytest.fixture
def screener(models_dir: Path, tmp_path: Path) -> Screener:
    (tmp_path / "colours.toml").write_text(RULES)
    classifiers = Classifiers(Registry(models_dir))
    return Screener(find_policy(str(tmp_path / "colours.toml"), {"redness"}), model="colour", classifiers=classifiers)


@pytest.fixture
def judge(screener: Screener, desk: Desk) -> ModelsAndPeople:
    return ModelsAndPeople(screener, desk)


def scan(judge: ModelsAndPeople, known: dict[bytes, Row] | None = None, **sources: bytes) -> list[Row]:
    return list(run_shard(sources, sources.__getitem__, judge, {} if known is None else known))


def queue(desk: Desk) -> list[tuple[str, list[str]]]:
    """The decision of each that waits, and its names."""
    items = desk.reviews.page([State.OPEN])
    return [(item.judgement.decision, [each["id"] for each in desk.reviews.submissions(item)]) for item in items]


def test_what_is_unknown_waits_and_nothing_else_does(judge: ModelsAndPeople, desk: Desk):
    rows = scan(judge, red=RED, green=GREEN, blue=BLUE, broken=b"no image")
    assert [row["decision"] for row in rows] == ["adult", "safe", "unknown", "unknown"]
    assert queue(desk) == [("unknown", ["blue"])]
    (item,) = desk.reviews.page([State.OPEN])
    assert rows[2]["review"] == {"id": item.id, "state": "open"}
    assert [name for name in rows if "review" in name] == [rows[2]]
    assert item.sha256 == hashlib.sha256(BLUE).hexdigest() == rows[2]["sha256"]
    assert (item.kind, item.judgement.reason, item.judgement.model) == (Kind.UNKNOWN, rows[2]["reason"], "colour")
    assert desk.reviews.pictures(item.id) == [(0, 0, 64, 64)]


def test_no_decision_is_drawn_or_counted_for_the_rates(judge: ModelsAndPeople, desk: Desk):
    scan(judge, red=RED, green=GREEN, blue=BLUE)
    (item,) = desk.reviews.page([State.OPEN])
    desk.reviews.settle(item.id, ANNA, Verdict.SAFE, None)
    assert desk.database.read(lambda c: checks.strata_by_day(c, "colour")) == {}


def test_what_a_person_said_comes_first(judge: ModelsAndPeople, desk: Desk):
    scan(judge, blue=BLUE)
    (item,) = desk.reviews.page([State.OPEN])
    desk.reviews.settle(item.id, ANNA, Verdict.ADULT, None)
    (row,) = scan(judge, again=BLUE)
    assert (row["decision"], row["reason"], row["remembered"], "review" in row) == (
        "adult",
        "remembered",
        True,
        False,
    )
    assert queue(desk) == []


def test_what_is_escalated_stays_frozen(judge: ModelsAndPeople, desk: Desk):
    scan(judge, blue=BLUE)
    (item,) = desk.reviews.page([State.OPEN])
    desk.reviews.escalate(item.id, ANNA, None)
    (row,) = scan(judge, again=BLUE)
    assert (row["decision"], row["reason"], "review" in row) == ("unknown", "escalated", False)
    assert queue(desk) == []


def test_another_name_of_what_is_escalated_is_told_with_the_verdict_that_comes_yet(judge: ModelsAndPeople, desk: Desk):
    scan(judge, a=BLUE)
    (item,) = desk.reviews.page([State.OPEN])
    desk.reviews.escalate(item.id, ANNA, None)
    scan(judge, b=BLUE)
    assert [each["id"] for each in desk.reviews.submissions(item)] == ["a", "b"]


def test_of_a_very_long_path_the_end_is_told(judge: ModelsAndPeople, desk: Desk):
    """No database index takes all of it; of random characters, for PostgreSQL packs others."""
    name = "".join(random.Random(1).choices(string.ascii_letters, k=4000)) + "/ü.png"
    (row,) = scan(judge, **{name: BLUE})
    ((_, [told]),) = queue(desk)
    assert row["id"] == name
    assert told == "…" + name[-1999:]  # two bytes are the ü


def test_a_copy_of_what_was_judged_is_known_by_its_looks(judge: ModelsAndPeople, desk: Desk, screener: Screener):
    picture = noise(128, 128, 3)
    picture[..., :2] //= 8  # bluish: unknown
    scan(judge, one=encode(picture, "PNG"))
    (item,) = desk.reviews.page([State.OPEN])
    assert item.pdq == fingerprint_of(screener, encode(picture, "PNG"))
    desk.reviews.settle(item.id, ANNA, Verdict.SAFE, None)
    (row,) = scan(judge, other=encode(picture, "JPEG", quality=95))
    assert (row["decision"], row["reason"]) == ("safe", "near_copy")


def fingerprint_of(screener: Screener, data: bytes) -> str:
    return screener.screen(data, fingerprints=True).fingerprints[0].hash.hex()


def test_each_name_of_an_image_is_told_with_one_item(judge: ModelsAndPeople, desk: Desk):
    known: dict[bytes, Row] = {}
    rows = scan(judge, known, a=BLUE, b=BLUE) + scan(judge, known, c=BLUE)
    assert queue(desk) == [("unknown", ["a", "b", "c"])]
    assert [(row["id"], row["review"]["id"]) for row in rows] == [
        (name, desk.reviews.page([State.OPEN])[0].id) for name in "abc"
    ]


def test_a_verdict_that_came_between_two_names_is_the_second_ones_answer(judge: ModelsAndPeople, desk: Desk):
    known: dict[bytes, Row] = {}
    scan(judge, known, a=BLUE)
    (item,) = desk.reviews.page([State.OPEN])
    desk.reviews.settle(item.id, ANNA, Verdict.ADULT, None)
    (row,) = scan(judge, known, b=BLUE)
    assert (row["id"], row["decision"], row["reason"]) == ("b", "adult", "remembered")


def test_a_shard_that_is_judged_again_after_a_kill_opens_no_second_item(judge: ModelsAndPeople, desk: Desk):
    scan(judge, a=BLUE)
    scan(judge, a=BLUE)
    assert queue(desk) == [("unknown", ["a"])]


def test_several_threads_that_meet_the_same_image_open_one_item(judge: ModelsAndPeople, desk: Desk):
    with ThreadPoolExecutor(8) as threads:
        rows = list(threads.map(lambda name: scan(judge, **{name: BLUE})[0], "abcdefgh"))
    (item,) = desk.reviews.page([State.OPEN])
    assert {row["review"]["id"] for row in rows} == {item.id}
    assert sorted(queue(desk)[0][1]) == list("abcdefgh")


@pytest.mark.parametrize(
    ("name", "told"),
    [(b"a\xff.png", r"a\xff.png"), (rb"a\b", r"a\x5cb"), ("ü ÿ.png".encode(), "ü ÿ.png"), (b"=1+1", "=1+1")],
)
def test_any_name_is_told(judge: ModelsAndPeople, desk: Desk, name: bytes, told: str):
    given = name.decode("utf-8", "surrogateescape")
    (row,) = scan(judge, **{given: BLUE})
    assert (row["id"], queue(desk)) == (given, [("unknown", [told])])


def test_an_image_that_cannot_be_shown_is_told_so_and_nobody_is_asked(
    judge: ModelsAndPeople, desk: Desk, screener: Screener, monkeypatch: pytest.MonkeyPatch
):
    def fail(*_: object) -> None:
        raise Undecodable("the second time")

    monkeypatch.setattr(screener, "previews", fail)
    (row,) = scan(judge, blue=BLUE)
    assert (row["decision"], row["error"]["code"], "review" in row) == ("unknown", "undecodable", False)
    assert queue(desk) == []


def test_a_full_disk_ends_the_scan(judge: ModelsAndPeople, desk: Desk, monkeypatch: pytest.MonkeyPatch):
    def fail(*_: object) -> None:
        raise StorageFull("no space left")

    monkeypatch.setattr(desk.reviews, "open", fail)
    with pytest.raises(StorageFull):
        scan(judge, blue=BLUE)


def test_what_could_not_be_read_is_a_row(judge: ModelsAndPeople, desk: Desk):
    def read(_: str) -> bytes:
        raise SourceNotFound("gone")

    (row,) = run_shard(["a"], read, judge, {})
    assert (row["id"], row["decision"], row["error"]["code"]) == ("a", "unknown", "not_found")
    assert queue(desk) == []


# --- What people did between two copies of one run --------------------------------------------------------------------


def test_each_copy_of_what_was_escalated_is_told(judge: ModelsAndPeople, desk: Desk):
    """All three names, in the verdict's event: of the first, and of two copies in a later run."""
    scan(judge, a=BLUE)
    (item,) = desk.reviews.page([State.OPEN])
    desk.reviews.escalate(item.id, ANNA, None)
    assert [row["reason"] for row in scan(judge, b=BLUE, c=BLUE)] == ["escalated", "escalated"]
    assert [each["id"] for each in desk.reviews.submissions(item)] == ["a", "b", "c"]


def test_a_copy_of_what_was_escalated_and_released_is_as_people_say_now(judge: ModelsAndPeople, desk: Desk):
    known: dict[bytes, Row] = {}
    scan(judge, a=BLUE)
    (item,) = desk.reviews.page([State.OPEN])
    desk.reviews.escalate(item.id, ANNA, None)
    (frozen,) = scan(judge, known, b=BLUE)
    desk.reviews.release(item.id, ROOT, None)
    (waiting,) = scan(judge, known, c=BLUE)
    desk.reviews.settle(item.id, ANNA, Verdict.ADULT, None)
    (settled,) = scan(judge, known, d=BLUE)
    assert [(row["reason"], "review" in row) for row in (frozen, settled)] == [
        ("escalated", False),
        ("remembered", False),
    ]
    assert waiting["review"]["id"] == item.id
    assert settled["decision"] == "adult"


def test_a_copy_of_what_the_machine_was_sure_of_is_as_people_say_now(judge: ModelsAndPeople, desk: Desk):
    known: dict[bytes, Row] = {}
    scan(judge, known, a=GREEN)
    digest = hashlib.sha256(GREEN).digest()
    desk.database.write(lambda c: memory.remember(c, 1, [(HashKind.SHA256, digest)], Verdict.ADULT, "test"))
    (row,) = scan(judge, known, b=GREEN)
    assert (row["decision"], row["reason"], row["id"]) == ("adult", "remembered", "b")


def test_an_item_that_is_not_in_the_queue_is_put_there_anew(judge: ModelsAndPeople, desk: Desk):
    """Forgotten, or in a database that is no longer there: nobody would ever be asked."""
    known: dict[bytes, Row] = {}
    (first,) = scan(judge, known, a=BLUE)
    digest = hashlib.sha256(BLUE).digest()
    desk.database.write(lambda c: forget_image(c, 1, digest, "test", keep_memory=False))
    (second,) = scan(judge, known, b=BLUE)
    assert second["review"]["id"] != first["review"]["id"]
    assert queue(desk) == [("unknown", ["b"])]
