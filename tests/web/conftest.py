"""One service with tiny models for all tests that do not set it up otherwise: red is adult, green safe, blue unknown."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from processes import ROOT
from service import ImageServer, serving, settings_for
from tiny_models import FIVE, RULES, WITNESS, add_model, tiny_graph

LENIENT = 'name = "lenient"\n[safe]\nhentai = { at_most = 0.5 }'


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The variables that make the tiny models and rules the defaults."""
    folder = tmp_path_factory.mktemp("tiny")
    models, policies = folder / "models", folder / "policies"
    models.mkdir()
    policies.mkdir()
    add_model(models, "colour", tiny_graph(5), FIVE)
    add_model(models, "redness", tiny_graph(2), WITNESS)
    (policies / "colours.toml").write_text(RULES)
    (policies / "lenient.toml").write_text(LENIENT)
    return {
        "DEMURE_MODELS_DIR": str(models),
        "DEMURE_POLICIES_DIR": str(policies),
        "DEMURE_MODEL": "colour",
        "DEMURE_POLICY": "colours",
        "DEMURE_CONTEXTS": "chat=lenient",
    }


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
