"""The composition root: every part of the service is built here, in order, and every route is added here."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NoReturn

import structlog
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from limits import RateLimitItem, parse
from starlette.exceptions import HTTPException
from starlette.requests import Request

from demure import __version__
from demure.allocator import give_back_large_blocks
from demure.budget import Budget
from demure.checker import Checker
from demure.classifier import Classifiers
from demure.connection import trusting_the_system
from demure.decode import MIB
from demure.desk import Desk, open_desk
from demure.errors import DemureError, InvalidSetting
from demure.fetch import Fetcher
from demure.keys import Keyring
from demure.models import Registry
from demure.policy import Policy
from demure.policy_file import known_policies
from demure.sandbox import Sandbox
from demure.settings import Settings, read_settings
from demure.store.keys import Keys
from demure.telemetry import Metrics, configure_logging
from demure.web import api, compat, dashboard, docs, records, review_page, reviews, sign_in, try_page
from demure.web.auth import Access, Gate
from demure.web.body import BodyLimits
from demure.web.chores import Chores
from demure.web.engine import Engine
from demure.web.envelope import Envelope
from demure.web.headers import PageHeaders
from demure.web.openapi import describe
from demure.web.problems import RequestError
from demure.web.sessions import Accounts
from demure.web.sign_in import announce_set_up, answer_with_page
from demure.workers import Workers

_PAGES = (sign_in.router, dashboard.router, review_page.router)


def create_app(settings: Settings | None = None) -> FastAPI:
    """Build the service from its settings, or from the environment's. Raises SetupError for what does not hold."""
    settings = settings or read_settings()
    configure_logging(settings.log_format)
    give_back_large_blocks(4 * MIB)
    metrics = Metrics()
    classifiers = Classifiers(Registry(settings.models_dir))
    if classifiers[settings.model].spec.is_witness:
        raise InvalidSetting(f"DEMURE_MODEL: found {settings.model!r}, a witness; expected a five-class model")
    check_served(settings, classifiers)
    policies, access = load_policies(settings, classifiers), read_access(settings)
    desk = open_desk(settings, lambda code: metrics.lost_records.labels(code).inc())
    keyring = Keyring(settings.api_keys, lambda: desk.run(Keys(desk.database).read))
    tls = trusting_the_system()  # one for both who connect
    fetcher = Fetcher(settings.fetch_limits, ssl_context=tls)
    sandbox = Sandbox(settings.threads, settings.sandbox_limits, on_restart=metrics.restarts.inc)
    workers = Workers(settings.threads, settings.threads * settings.max_waiting, metrics.admitted.set)
    checker = Checker(fetcher, workers, desk, lambda code: metrics.lost_checks.labels(code).inc())
    engine = Engine(settings, classifiers, policies, sandbox, workers, checker, desk, metrics)
    engine.screener(None)  # an unknown default policy or model is found now and not by the first request

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        started = time.perf_counter()
        await asyncio.to_thread(engine.load)
        await asyncio.to_thread(_announce, app, desk)
        structlog.get_logger().info("ready", version=__version__, seconds=round(time.perf_counter() - started, 2))
        async with Chores(desk, metrics, tls, policies).running():
            yield
        await checker.finish()
        await asyncio.to_thread(workers.close)
        await fetcher.aclose()
        sandbox.close()
        accounts.close()
        desk.close()

    app = FastAPI(
        title="demure",
        version=__version__,
        description="Tells whether an image is adult, safe, or something that a person must look at.",
        docs_url=None,  # ours loads nothing from elsewhere
        redoc_url=None,
        redirect_slashes=False,  # one path each, and no answer that names a Host
        lifespan=lifespan,
    )
    app.state.engine, app.state.desk, app.state.policies = engine, desk, policies
    app.state.accounts = accounts = Accounts(desk.users)
    for router in (compat.router, api.router, reviews.router, records.router, docs.router, *_PAGES):
        app.include_router(router)
    if settings.try_page == "on":
        app.include_router(try_page.router)
    app.openapi = describe(app)  # type: ignore[method-assign]
    app.add_exception_handler(HTTPException, _raise_on)
    app.add_exception_handler(RequestValidationError, _raise_as_ours)
    app.add_exception_handler(DemureError, answer_with_page)
    # The last added is the first to see a request.
    app.add_middleware(
        BodyLimits,
        max_body_bytes=settings.max_body_bytes,
        idle_s=settings.client_timeout_s,
        whole_s=settings.request_timeout_s,
        budget=Budget(settings.max_held_bytes),
    )
    app.add_middleware(Gate, access=access, keyring=keyring)
    app.add_middleware(Envelope, metrics=metrics, refusals=compat.REFUSALS)
    app.add_middleware(PageHeaders)
    return app


def _announce(app: FastAPI, desk: Desk) -> None:
    """What the operator should know at the start."""
    log = structlog.get_logger()
    for warning in app.state.engine.warnings:
        log.warning("set up", detail=warning)
    link = announce_set_up(desk.users, getattr(app.state, "base_url", ""))
    if link is not None:  # not into the log, which others may read
        is_whole = link.startswith("http")
        how = "Open this link" if is_whole else "Put the address of this service before this path, and open it"
        print(f"Nobody can review yet. {how} to make the first account, within a day: {link}", flush=True)


def check_served(settings: Settings, classifiers: Classifiers) -> None:
    """Raises InvalidSetting for a model that is to be asked by name and is not there."""
    for name in settings.served_models:
        if name not in classifiers.registry:
            known = ", ".join(classifiers.registry)
            raise InvalidSetting(f"DEMURE_SERVED_MODELS: no model {name!r}; known: {known}")


def load_policies(settings: Settings, classifiers: Classifiers) -> dict[str, Policy]:
    """Those that a request may name; it never names a path. Raises InvalidSetting for a context that names none."""
    policies = known_policies(classifiers.registry.witnesses, settings.policies_dir, settings.policy)
    for context, name in settings.contexts.items():
        if name not in policies:
            raise InvalidSetting(f"DEMURE_CONTEXTS: {context}={name}: no such policy; known: {', '.join(policies)}")
    return policies


def read_access(settings: Settings) -> Access:
    """Raises InvalidSetting for a rate limit that cannot be read."""
    hosts = frozenset(host.lower() for host in settings.hosts)
    return Access(hosts, settings.public == "yes-without-keys", _rate_limit(settings.rate_limit))


def _rate_limit(text: str) -> RateLimitItem | None:
    if text in ("", "none"):
        return None
    try:
        return parse(text)
    except ValueError as error:
        raise InvalidSetting(
            f"DEMURE_RATE_LIMIT: found {text!r}; expected a number a time, such as 600/minute, or none"
        ) from error


async def _raise_on(_: Request, error: Exception) -> NoReturn:
    raise error  # to the envelope, which writes all problem documents


async def _raise_as_ours(_: Request, error: Any) -> NoReturn:
    first = error.errors()[0]
    where = ".".join(map(str, first["loc"]))
    raise RequestError(f"{where}: {first['msg']}")
