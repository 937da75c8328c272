"""Shared parts: an operator's folder of tiny models, one sandbox for all who do not break it, and a browser."""

from __future__ import annotations

import compileall
import fcntl
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
from databases import postgres
from playwright.sync_api import Browser, expect, sync_playwright
from tiny_models import FIVE, LENIENT, RULES, WITNESS, add_model, tiny_graph

import demure
from demure.sandbox import Sandbox

# A machine that stands still for a moment is no fault of the code's.
hypothesis.settings.register_profile(
    "unhurried", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("unhurried")

_BROWSER = Path(__file__).parent / "browser"
_LONG = (
    "test_calibrate",
    "test_documents_run",
    "web/test_faults",
    "web/test_server",
    "web/test_replicas",
    "cli/test_scan",
    "test_sandbox",
    "test_hostile",
    "web/test_two_services",
    "web/test_review_judging",
    "web/test_try_page_everybody",
    "test_documentation_site",
    "web/test_review_looking",
    "web/test_try_page_answers",
    "web/test_try_page_refusals",
    "test_document_run",
    "store/test_backup",
    "test_upstreams",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first: one file is one process's, and no process should begin a long one when the others are done."""
    here = Path(__file__).parent
    order = {here / f"{name}.py": number for number, name in enumerate(_LONG)}
    items.sort(key=lambda item: order.get(item.path, len(order)))


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


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The variables that make the tiny models and their rules a service's defaults."""
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


@pytest.fixture(scope="session", autouse=True)
def _stop_postgres() -> Iterator[None]:
    yield
    if postgres.cache_info().currsize:
        postgres().close()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """Debian's, or whatever goes by that name. One a module: Playwright keeps a loop in this thread, which other tests need."""
    path = shutil.which("chromium")
    assert path, "the pages are tested in Chromium: install the system's package of that name"
    expect.set_options(timeout=30_000)  # as long as Playwright waits for all else; 5 s are short where two browsers run
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def axe() -> str:
    """The source of axe-core, from the lock file's version; installed once."""
    script = _BROWSER / "node_modules" / "axe-core" / "axe.min.js"
    with (_BROWSER / "package.json").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not script.exists():
            command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
            subprocess.run(command, cwd=_BROWSER, check=True, capture_output=True, timeout=120)
    return script.read_text()
