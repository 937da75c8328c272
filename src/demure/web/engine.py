"""All that a request needs, built once: screeners by policy, workers, fetcher, sandbox. Knows nothing of HTTP but the client."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from starlette.requests import Request

from demure.checker import Checker, Url
from demure.classifier import Classifiers
from demure.desk import Desk, Wish
from demure.errors import DemureError, UnknownModel, UnknownPolicy
from demure.fetch import host_of
from demure.pipeline import Screener
from demure.policy import Policy
from demure.sandbox import Sandbox
from demure.screening import Screening
from demure.settings import Settings
from demure.telemetry import Metrics
from demure.web.envelope import ClientGone
from demure.workers import Workers

T = TypeVar("T")


@dataclass(frozen=True)
class Job:
    """One image of a request, or what is wrong with it already; which policy judges it is settled."""

    source: Url | bytes | DemureError
    screener: Screener
    id: str | None = None
    wish: Wish | None = None


@dataclass
class Engine:
    """The parts in one hand. `loaded` turns true when the weights are in memory."""

    settings: Settings
    classifiers: Classifiers
    policies: Mapping[str, Policy]
    sandbox: Sandbox
    workers: Workers
    checker: Checker
    desk: Desk
    metrics: Metrics
    loaded: bool = False
    _screeners: dict[str, Screener] = field(default_factory=dict)  # by policy
    _scorers: dict[str, Screener] = field(default_factory=dict)  # by model

    @property
    def warnings(self) -> list[str]:
        """What the operator should know, at the start and whenever they ask."""
        promised = {policy.name: policy.promise for policy in self.policies.values() if policy.promise is not None}
        model = self.settings.model
        return [
            *self.desk.warnings,
            *(why for name, promise in promised.items() if (why := promise.void_with(f"the policy {name}", model))),
        ]

    def screener(self, policy: str | None, context: str | None = None) -> Screener:
        """By the request's policy, else by the image's context, else the default. Raises UnknownPolicy."""
        name = policy or self.settings.contexts.get(context or "", self.settings.policy)
        if name not in self.policies:
            raise UnknownPolicy(f"no policy {name[:64]!r}; known: {', '.join(self.policies)}")
        if name not in self._screeners:
            self._screeners[name] = self._build(self.policies[name], self.settings.model)
        return self._screeners[name]

    def load(self) -> None:
        """Load what the default policy asks, and start the decoders: the first request should not wait for it."""
        self.screener(None).load()
        self.sandbox.start()
        self.desk.memory.refresh()
        self.metrics.capacity.set(self.workers.capacity)
        self.loaded = True

    async def judge(self, request: Request, jobs: Iterable[Job]) -> list[Screening]:
        """Side by side, in their order. Raises ClientGone."""
        screenings = await while_connected(request, _all(self._check(request, job) for job in jobs))
        for screening in screenings:
            self.metrics.observe_decision(screening)
            self.metrics.observe_work(screening)
        return screenings

    async def _check(self, request: Request, job: Job) -> Screening:
        if isinstance(job.source, DemureError):
            return job.screener.failed(job.source, id=job.id)
        deadline, share = request.state.deadline, request.state.share
        return await self.checker.check(
            job.source, job.screener, id=job.id, deadline=deadline, on_bytes=share.take, wish=job.wish
        )

    async def predict(self, request: Request, model: str, url: str) -> Mapping[str, float]:
        """One model's scores. Raises UnknownModel, and what goes wrong with the URL or the image."""
        self._check_served(model)
        job = Job(Url(url), self._scorer(model))
        request.state.log.update(host=host_of(url), model=model)
        screening = await while_connected(request, self._check(request, job))
        self.metrics.observe_work(screening)
        if screening.error is not None:
            raise screening.error
        return screening.scores or screening.witnesses or {}

    def _check_served(self, model: str) -> None:
        """Raises UnknownModel for one that is not to be asked by name: whoever asks it loads it, and it stays."""
        served = dict.fromkeys((self.settings.model, *self.settings.served_models))
        if self.settings.served_models and model not in served:
            raise UnknownModel(f"no model {model[:64]!r}; known: {', '.join(served)}")

    def _scorer(self, model: str) -> Screener:
        """Runs one model and decides nothing."""
        if model not in self._scorers:
            is_witness = self.classifiers[model].spec.is_witness
            no_rules = Policy("scores alone", "", {}, (), (), frozenset({model} if is_witness else ()))
            self._scorers[model] = self._build(no_rules, model)
        return self._scorers[model]

    def _build(self, policy: Policy, model: str) -> Screener:
        limits, classifiers = self.settings.decode_limits, self.classifiers
        return Screener(
            policy,
            model=model,
            sandbox=self.sandbox,
            limits=limits,
            classifiers=classifiers,
            side_by_side=self.workers.side_by_side,
        )


async def _all(answers: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Side by side; if one fails, the others are cancelled before its error is raised."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(answer) for answer in answers]
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from None
    return [task.result() for task in tasks]


async def while_connected(request: Request, answer: Coroutine[Any, Any, T]) -> T:
    """Await an answer for as long as the client does. Raises ClientGone; the work is cancelled then."""
    working = asyncio.create_task(answer)
    leaving = asyncio.create_task(_disconnected(request))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        leaving.result()  # a body that goes on past its limit is no leaving
        raise ClientGone
    finally:
        leaving.cancel()
        working.cancel()
        await asyncio.wait({working, leaving})


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
