"""Who judges an upload: models in this process, or a service over HTTP. Both are built once, by the first upload.

A process that was forked builds its own: neither decoders nor connections can be shared with the parent.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import logging
import os
import threading
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Protocol

from demure.client import Answer, AsyncClient, Client, ClientError
from demure.client.labels import cut_id
from demure.errors import InvalidSetting
from demure.hooks.core import Labels, Rules, is_failure, undecided, unfit
from demure.hooks.settings import KEY, URL, Service, find_service

if TYPE_CHECKING:
    from demure.pipeline import Screener
    from demure.settings import Settings

# For a call in all, with the client's attempts. Below the 30 s after which gunicorn ends a worker that says nothing. In process
# no stage begins afterwards, but one that has begun is finished: decoding may take its own 5 s more.
TIMEOUT_S = 20.0
_THREADS = (os.cpu_count() or 1) + 4  # of asyncio's uploads in process; those that wait for their turn wait in one
_log = logging.getLogger(__name__)


class Judge(Protocol):
    """Gives the answer for an image's bytes, whatever goes wrong with it. Thread-safe. Raises SetupError and UnknownPolicy."""

    def judge(self, data: bytes, rules: Rules, labels: Labels) -> Answer: ...

    def close(self) -> None: ...


class Models:
    """The models in this process, and decoders in child processes of it, by the settings that a service would have."""

    def __init__(self, settings: Settings, timeout_s: float = TIMEOUT_S) -> None:
        from demure.classifier import Classifiers
        from demure.models import Registry
        from demure.policy_file import known_policies
        from demure.sandbox import Sandbox

        self._settings = settings
        self._classifiers = Classifiers(Registry(settings.models_dir))
        self._policies = known_policies(self._classifiers.registry.witnesses, settings.policies_dir, settings.policy)
        self._sandbox = Sandbox(settings.threads, settings.sandbox_limits)
        self._turns = threading.Semaphore(settings.threads)
        self._timeout_s = timeout_s
        self._screeners: dict[str, Screener] = {}  # by policy

    def judge(self, data: bytes, rules: Rules, labels: Labels) -> Answer:
        from demure.deadline import Deadline

        if rules.review:
            raise InvalidSetting(f"review=True asks a service to put an image before a person; {URL} names none")
        policy = rules.policy or self._settings.contexts.get(rules.context or "", self._settings.policy)
        screener, deadline = self._screener(policy), Deadline(self._timeout_s)
        # Turns are taken here and not at the decoders, which would be waited for without end.
        if not self._turns.acquire(timeout=deadline.remaining_s):
            return undecided("overloaded", f"no turn came within {self._timeout_s:g} s: others were being judged", data)
        try:
            screening = screener.screen(data, id=cut_id(labels.id), deadline=deadline)
        finally:
            self._turns.release()
        return Answer.from_dict(screening.as_dict())

    def close(self) -> None:
        self._sandbox.close()

    def _screener(self, policy: str) -> Screener:
        """Raises UnknownPolicy."""
        from demure.pipeline import Screener

        # Not locked: what two threads build at once is the same, and the weights are the Classifiers'.
        if policy not in self._screeners:
            self._screeners[policy] = Screener(
                self._policies.get(policy, policy),
                model=self._settings.model,
                sandbox=self._sandbox,
                limits=self._settings.decode_limits,
                classifiers=self._classifiers,
            )
        return self._screeners[policy]


class Remote:
    """A service."""

    def __init__(self, service: Service) -> None:
        with _named_setting():
            self._client = Client(service.url, service.key, timeout_s=TIMEOUT_S)

    def judge(self, data: bytes, rules: Rules, labels: Labels) -> Answer:
        try:
            return self._client.moderate(data, **_asked(rules, labels))
        except ClientError as error:
            return _undecided(error, data)

    def close(self) -> None:
        self._client.close()


class Judges:
    """One a process and service."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._built: dict[Service | None, Judge] = {}
        self._pool: ThreadPoolExecutor | None = None
        self._abandoned: list[object] = []

    def at(self, service: Service | None) -> Judge:
        """Raises SetupError for settings that do not hold."""
        with self._lock:
            if service not in self._built:
                self._built[service] = _build(service)
            return self._built[service]

    def pool(self) -> ThreadPoolExecutor:
        """Where asyncio's uploads are judged in this process. In asyncio's own all else of the site would wait behind them."""
        with self._lock:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(_THREADS, "demure")
            return self._pool

    def close(self) -> None:
        """The next upload builds them anew."""
        with self._lock:
            (built, self._built), (pool, self._pool) = (self._built, {}), (self._pool, None)
        if pool is not None:
            pool.shutdown(wait=False, cancel_futures=True)
        for judge in built.values():
            judge.close()

    def forget(self) -> None:
        """In a child after a fork. Not closed: decoders and connections are the parent's, and closing would end them there."""
        self._abandoned.append((self._built, self._pool))
        self._lock, self._built, self._pool = threading.Lock(), {}, None


judges = Judges()
atexit.register(judges.close)
os.register_at_fork(after_in_child=judges.forget)


def _build(service: Service | None) -> Judge:
    if service is not None:
        return Remote(service)
    from demure.settings import read_settings

    return Models(read_settings())


def judge(data: bytes, rules: Rules, labels: Labels = Labels(), service: Service | None = None) -> Answer:
    """By that service, or else in this process. As Judge.judge."""
    return unfit(data, rules.max_bytes) or _logged(judges.at(service).judge(data, rules, labels))


_Key = tuple[asyncio.AbstractEventLoop, Service]


class _Kept:
    """A client for an event loop. It is closed when the loop ends, which cancels what is left to do."""

    def __init__(self, key: _Key) -> None:
        service = key[1]
        with _named_setting():
            self.client = AsyncClient(service.url, service.key, timeout_s=TIMEOUT_S)
        self._keeper = asyncio.create_task(self._keep(key))

    async def _keep(self, key: _Key) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            _kept.pop(key, None)
            await self.client.aclose()


_kept: dict[_Key, _Kept] = {}


async def judge_async(data: bytes, rules: Rules, labels: Labels) -> Answer:
    """By the service that the environment names, or else in a thread of this process. As Judge.judge; for asyncio."""
    answer = unfit(data, rules.max_bytes)
    if answer is not None:
        return answer
    service = find_service()
    if service is None:
        return await _in_a_thread(judges.pool(), data, rules, labels)
    key = (asyncio.get_running_loop(), service)
    if key not in _kept:
        _kept[key] = _Kept(key)
    try:
        answer = await _kept[key].client.moderate(data, **_asked(rules, labels))
    except ClientError as error:
        answer = _undecided(error, data)
    return _logged(answer)


async def _in_a_thread(
    pool: Executor, data: bytes, rules: Rules, labels: Labels, timeout_s: float = TIMEOUT_S
) -> Answer:
    """The time counts from here, with what it waits for a thread."""
    judging = asyncio.get_running_loop().run_in_executor(pool, judge, data, rules, labels)
    try:
        return await asyncio.wait_for(judging, timeout_s)
    except TimeoutError:
        return _logged(undecided("timed_out", f"it was not judged within {timeout_s:g} s", data))


def _asked(rules: Rules, labels: Labels) -> dict[str, Any]:
    wishes = {"policy": rules.policy, "context": rules.context, "review": rules.review}
    return {**wishes, "id": labels.id, "subject": labels.subject, "metadata": labels.metadata}


def _undecided(error: ClientError, data: bytes) -> Answer:
    return undecided(error.code, error.message, data)


def _logged(answer: Answer) -> Answer:
    """A person should look where nobody could judge: no other sees why an upload was refused, or let pass as unknown.

    Raises as is_failure.
    """
    if answer.error is not None and is_failure(answer):
        _log.warning("an upload could not be judged code=%s: %s", answer.error.code, answer.error.message)
    return answer


@contextlib.contextmanager
def _named_setting() -> Iterator[None]:
    """What the client says of its URL or key, as of the setting that they came by."""
    try:
        yield
    except ValueError as error:
        raise InvalidSetting(f"{URL} or {KEY}: {error}") from error
