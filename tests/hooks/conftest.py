"""Tiny models in this process and behind a service, and what the environment says of who is to judge."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import httpx
import pytest
from processes import free_port
from service import serving, settings_for

from demure.hooks.judges import judges
from demure.keys import make_key


@pytest.fixture(scope="session")
def key() -> tuple[str, str]:
    """The site's, as the service is told of it, and the secret itself. It may ask for reviews, and not see or decide any."""
    key, secret = make_key("my-shop", ["classify"])
    return str(key), secret


@pytest.fixture(scope="session")
def reviewer() -> tuple[str, str]:
    """The key of whoever looks at reviews."""
    key, secret = make_key("reviewer", ["review"])
    return str(key), secret


@pytest.fixture(scope="session")
def service(
    tiny: dict[str, str], key: tuple[str, str], reviewer: tuple[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[httpx.Client]:
    """It wants the key."""
    with serving(
        settings_for(tmp_path_factory.mktemp("service"), **tiny, DEMURE_API_KEYS=f"{key[0]}; {reviewer[0]}")
    ) as client:
        yield client


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("DEMURE_")]:
        monkeypatch.delenv(name)


@pytest.fixture(scope="module", autouse=True)
def _close_judges() -> Iterator[None]:
    yield
    judges.close()


@pytest.fixture
def in_process(tiny: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in tiny.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def by_service(service: httpx.Client, key: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEMURE_URL", str(service.base_url))
    monkeypatch.setenv("DEMURE_KEY", key[1])


@pytest.fixture(params=["in process", "by a service"])
def somebody_judges(request: pytest.FixtureRequest) -> None:
    request.getfixturevalue("in_process" if request.param == "in process" else "by_service")


@pytest.fixture(params=["service away", "wrong key"])
def nobody_judges(request: pytest.FixtureRequest, service: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> str:
    """The code of what is wrong."""
    away = request.param == "service away"
    monkeypatch.setenv("DEMURE_URL", f"http://127.0.0.1:{free_port()}" if away else str(service.base_url))
    monkeypatch.setenv("DEMURE_KEY", "demure_wrong")
    return "not_reached" if away else "key_required"


@pytest.fixture
def images_asked(service: httpx.Client) -> Callable[[], float]:
    """How many images the service has been asked about so far."""
    decisions = service.app.state.engine.metrics.decisions

    def count() -> float:
        return sum(s.value for metric in decisions.collect() for s in metric.samples if s.name.endswith("_total"))

    return count
