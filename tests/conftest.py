"""Shared parts: an operator's folder of tiny models, and one sandbox for all who do not break it."""

from __future__ import annotations

import compileall
from collections.abc import Iterator
from pathlib import Path

import pytest
from databases import postgres
from tiny_models import FIVE, WITNESS, add_model, tiny_graph

import demure
from demure.sandbox import Sandbox


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(workers=2) as shared:
        yield shared


@pytest.fixture(scope="session", autouse=True)
def _compile_package() -> None:
    """For the processes that tests start: what nobody keeps (PYTHONDONTWRITEBYTECODE), each of them compiles anew."""
    compileall.compile_dir(Path(demure.__file__).parent, quiet=2)


@pytest.fixture
def models_dir(tmp_path: Path) -> Path:
    """An operator's folder: `colour` has five classes, `redness` is a witness."""
    folder = tmp_path / "models"
    folder.mkdir()
    add_model(folder, "colour", tiny_graph(5), FIVE)
    add_model(folder, "redness", tiny_graph(2), WITNESS)
    return folder


@pytest.fixture(scope="session", autouse=True)
def _stop_postgres() -> Iterator[None]:
    yield
    if postgres.cache_info().currsize:
        postgres().close()
