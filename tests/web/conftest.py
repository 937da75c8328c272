"""One service with tiny models for all tests that do not set it up otherwise: red is adult, green safe, blue unknown."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from processes import ROOT
from service import ImageServer, serving, settings_for


@pytest.fixture(scope="session")
def images() -> Iterator[ImageServer]:
    with ImageServer() as server:
        yield server


@pytest.fixture(scope="session")
def service(tiny: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    with serving(settings_for(tmp_path_factory.mktemp("service"), **tiny)) as client:
        yield client


@pytest.fixture
def quick(tiny: dict[str, str], tmp_path: Path):
    """Starts a service with other settings: `with quick(DEMURE_MAX_ITEMS="3") as client`."""
    return lambda **variables: serving(settings_for(tmp_path, **{**tiny, **variables}))


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """What a platform has: the repository's files, its requirements installed, and the package itself not."""
    for name in ("app.py", "gunicorn.conf.py", "src"):
        (tmp_path / name).symlink_to(ROOT / name)
    return tmp_path
