"""What cannot be kept costs nobody an answer, and is told to whom it concerns."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from demure.desk import Desk, Wish, open_desk
from demure.errors import DemureError, StorageFull, StorageUnavailable
from demure.memory import Recalled
from demure.policy import Outcome
from demure.reviews import Submission
from demure.screening import Screening
from demure.settings import Settings
from demure.telemetry import Metrics

SHA256 = hashlib.sha256(b"a picture").hexdigest()
SAFE = Screening(Outcome.SAFE, "rule", "colours", sha256=SHA256, policy_version="v1")
KNOWN = Recalled(Outcome.SAFE, "remembered")
WISH = Wish(submission=Submission(subject="user-7"))
ERRORS = pytest.mark.parametrize("error", [StorageFull("no room"), StorageUnavailable("away")], ids=["full", "away"])


@pytest.fixture
def lost() -> list[str]:
    return []


@pytest.fixture
def desk(tmp_path: Path, lost: list[str]) -> Iterator[Desk]:
    with closing(open_desk(Settings.model_validate({"data_dir": tmp_path}), lost.append)) as desk:
        yield desk


class ReadOnly:
    """A database that takes nothing more."""

    def __init__(self, real: Any, error: DemureError) -> None:
        self._real, self._error = real, error

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def write(self, *_: object, **__: object) -> None:
        raise self._error


def record(desk: Desk) -> None:
    assert asyncio.run(desk.record(SAFE, "tiny", WISH)) is None


def note_sender(desk: Desk) -> None:
    asyncio.run(desk.note_sender(SHA256, WISH, KNOWN))


KEEPING = pytest.mark.parametrize("keep", [record, note_sender], ids=["a decision", "a sender"])


@ERRORS
@KEEPING
def test_what_was_not_kept_is_told_with_its_code(
    desk: Desk, lost: list[str], keep: Callable[[Desk], None], error: DemureError, caplog: pytest.LogCaptureFixture
):
    desk.database = ReadOnly(desk.database, error)
    keep(desk)
    assert lost == [error.code]
    assert f"an image's record was not kept code={error.code}" in caplog.text


@KEEPING
def test_what_was_kept_is_not_told(desk: Desk, lost: list[str], keep: Callable[[Desk], None]):
    keep(desk)
    assert lost == []


def test_both_causes_are_counted_from_nought():
    """A series that begins with its first count would hide that one from increase()."""
    metrics = Metrics()
    lines = metrics.render().decode().splitlines()
    for code in ("storage_full", "storage_unavailable"):
        assert f'demure_records_lost_total{{code="{code}"}} 0.0' in lines
    metrics.lost_records.labels("storage_full").inc()
    assert 'demure_records_lost_total{code="storage_full"} 1.0' in metrics.render().decode().splitlines()
