"""Both clients asked alike, and a server on loopback that says what it is told to: whole requests in, scripted answers out."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from receiver import Receiver
from upstream import Behaviour, response, says

from demure.client import Answer, AsyncClient, Client

SAFE = {"decision": "safe", "reason": "risk <= 0.25"}


class Blocking:
    """A Client that notes its waits and does not wait."""

    def __init__(self, url: str, key: str | None = None, **options: Any) -> None:
        self.waits: list[float] = []
        self.client = Client(url, key, sleep=self.waits.append, **options)

    def moderate(self, *args: Any, **named: Any) -> Answer:
        return self.client.moderate(*args, **named)

    def moderate_many(self, *args: Any, **named: Any) -> list[Answer]:
        return self.client.moderate_many(*args, **named)

    def close(self) -> None:
        self.client.close()


class Awaiting:
    """An AsyncClient in a loop of its own, which it waits for."""

    def __init__(self, url: str, key: str | None = None, **options: Any) -> None:
        self.waits: list[float] = []
        self._runner = asyncio.Runner()
        self.client = AsyncClient(url, key, sleep=self._sleep, **options)

    async def _sleep(self, seconds: float) -> None:
        self.waits.append(seconds)

    def moderate(self, *args: Any, **named: Any) -> Answer:
        return self._runner.run(self.client.moderate(*args, **named))

    def moderate_many(self, *args: Any, **named: Any) -> list[Answer]:
        return self._runner.run(self.client.moderate_many(*args, **named))

    def close(self) -> None:
        self._runner.run(self.client.aclose())
        self._runner.close()


Asker = Blocking | Awaiting
Connect = Callable[..., Asker]
KINDS = {"blocking": Blocking, "awaiting": Awaiting}


@contextmanager
def askers(kind: type[Asker]) -> Iterator[Connect]:
    """Makes clients of a kind, with the arguments of Client, and closes them at the end."""
    made: list[Asker] = []

    def connect(url: str, key: str | None = None, **options: Any) -> Asker:
        made.append(kind(url, key, **options))
        return made[-1]

    try:
        yield connect
    finally:
        for asker in made:
            asker.close()


def told(body: object, *headers: str, status: str = "200 OK") -> Behaviour:
    """An answer of JSON, or of text as it stands, over a connection that ends with it."""
    text = body if isinstance(body, str) else json.dumps(body)
    return says(response(text.encode(), "Connection: close", *headers, status=status))


def judged(*items: dict[str, Any]) -> Behaviour:
    return told({"id": "a", "model": "m", "policy": "p", "policy_version": "1", "items": [*items]})


def problem(status: str, code: str, *headers: str) -> Behaviour:
    """As web/problems.py writes it."""
    document = {"type": f"/docs#{code}", "title": "?", "status": int(status[:3]), "detail": "so it is", "code": code}
    return told({**document, "request_id": "abc"}, "Content-Type: application/problem+json", *headers, status=status)


@contextmanager
def answering(*behaviours: Behaviour) -> Iterator[Receiver]:
    """Each whole request is met with the next behaviour, of which the last one stays."""
    up: list[tuple[Receiver, asyncio.AbstractEventLoop, asyncio.Event]] = []
    started = threading.Event()

    async def serve() -> None:
        stop = asyncio.Event()
        async with Receiver(*behaviours) as receiver:
            up.append((receiver, asyncio.get_running_loop(), stop))
            started.set()
            await stop.wait()

    thread = threading.Thread(target=asyncio.run, args=(serve(),), daemon=True)
    thread.start()
    started.wait()
    receiver, loop, stop = up[0]
    try:
        yield receiver
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()


def url_of(receiver: Receiver) -> str:
    return f"http://127.0.0.1:{receiver.port}"
