"""One shard: rows in order, the same bytes judged once, and one bad image is one bad row."""

from __future__ import annotations

import hashlib

import pytest

from demure.bulk.job import Row, run_shard
from demure.errors import DemureError, InvalidModel, SourceNotFound, TimedOut, Undecodable, UpstreamStatus
from demure.policy import Outcome
from demure.screening import Screening


class CountingJudge:
    """Decides by the first letter of the bytes, and remembers what it was asked."""

    def __init__(self, fails: dict[bytes, DemureError] | None = None) -> None:
        self.asked: list[bytes] = []
        self._fails = fails or {}

    def screen(self, source: bytes, *, id: str, sha256: str) -> Screening:
        self.asked.append(source)
        assert sha256 == hashlib.sha256(source).hexdigest()
        if (error := self._fails.get(source)) is not None:
            return self.failed(error, id=id)
        decided = {b"a": Outcome.ADULT, b"s": Outcome.SAFE}.get(source[:1], Outcome.UNKNOWN)
        return Screening(decided, "rule", "p", "v1", id=id, sha256=sha256)

    def again(self, row: Row, *, id: str) -> Row:
        return {**row, "id": f"{id}, known"}

    def failed(self, error: DemureError, *, id: str) -> Screening:
        return Screening(Outcome.UNKNOWN, error.code, "p", "v1", id=id, error=error)


def run(sources: dict[str, bytes | DemureError], judge: CountingJudge, known=None) -> list[tuple]:
    def read(source: str) -> bytes:
        given = sources[source]
        if isinstance(given, DemureError):
            raise given
        return given

    rows = run_shard(sources, read, judge, {} if known is None else known)
    return [(row["id"], row["decision"], row["reason"]) for row in rows]


def test_each_source_has_its_row_in_order():
    judge = CountingJudge()
    assert run({"1": b"a", "2": b"s", "3": b"u"}, judge) == [
        ("1", "adult", "rule"),
        ("2", "safe", "rule"),
        ("3", "unknown", "rule"),
    ]


def test_the_same_bytes_are_judged_once_and_each_row_has_its_own_name():
    judge = CountingJudge()
    assert [row[0] for row in run({"1": b"a", "2": b"s", "3": b"a"}, judge)] == ["1", "2", "3, known"]
    assert judge.asked == [b"a", b"s"]


def test_what_is_known_from_before_is_not_judged_again():
    judge, known = CountingJudge(), {}
    run({"1": b"a"}, judge, known)
    assert run({"2": b"a"}, judge, known) == [("2, known", "adult", "rule")]
    assert judge.asked == [b"a"]


@pytest.mark.parametrize("error", [SourceNotFound("gone"), UpstreamStatus("503", 503)])
def test_what_cannot_be_read_is_a_row_with_its_code(error: DemureError):
    assert run({"1": error, "2": b"s"}, CountingJudge()) == [("1", "unknown", error.code), ("2", "safe", "rule")]


@pytest.mark.parametrize(("error", "times"), [(Undecodable("damaged"), 1), (TimedOut("slow"), 2)])
def test_a_damaged_image_is_judged_once_and_one_that_had_no_time_again(error: DemureError, times: int):
    judge = CountingJudge({b"x": error})
    assert [row[2] for row in run({"1": b"x", "2": b"x"}, judge)] == [error.code] * 2
    assert len(judge.asked) == times


def test_what_is_wrong_with_the_installation_ends_it():
    class Broken(CountingJudge):
        def screen(self, source: bytes, **_: object) -> Screening:
            raise InvalidModel("no")

    with pytest.raises(InvalidModel):
        run({"1": b"a"}, Broken())
