"""Every test of the store runs over both databases."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from databases import KINDS, Clock, migrated, new_database

from demure.store.database import Database


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=KINDS)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    with new_database(request.param, tmp_path) as url:
        yield url


@pytest.fixture
def database(url: str, clock: Clock) -> Iterator[Database]:
    with migrated(url, clock) as database:
        yield database
