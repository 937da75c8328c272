"""How the service is asked, without any input or output: generators yield steps, and whoever drives them does what they say.

Written once for the client that blocks and the one that awaits, as httpx does for its auth flows.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

from demure.client.answer import Answer
from demure.client.errors import ClientError, Refused, TooSlow, Unavailable
from demure.client.images import ImageSource
from demure.client.labels import check_labels, cut_id
from demure.client.request import Item, Reply, Request, Wishes, error_of, is_passing, read_answers, to_request

T = TypeVar("T")

MIB = 1024 * 1024
# Of one request with several images. Far below what the service takes by default (32 items, 64 MiB): it holds a body of base64
# three times, and lets so many in at once only while few others ask.
BATCH_ITEMS = 8
BATCH_BYTES = 8 * MIB
# A larger body is not sent. The service would refuse it, and end the connection when so much has come of what it refused, which
# may take its answer along (demure.web.connections).
MOST_BODY_BYTES = 64 * MIB
_FIRST_WAIT_S = 0.25
_LONGEST_WAIT_S = 8.0


@dataclass(frozen=True)
class Load:
    """Read an image; give back its bytes or its URL."""

    image: ImageSource


@dataclass(frozen=True)
class Send:
    """Send this, within this time; give back the Reply, or what was in its way."""

    request: Request
    timeout_s: float


@dataclass(frozen=True)
class Wait:
    """Do nothing for so long."""

    seconds: float


Step = Load | Send | Wait
Flow = Generator[Step, Any, T]  # what is sent in depends on the step that was yielded


@dataclass(frozen=True)
class Patience:
    """How long a request may take in all, and how often it is asked again; with the clocks and the luck that this goes by."""

    timeout_s: float
    retries: int
    monotonic: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time
    luck: Callable[[], float] = random.random  # in [0, 1)


def moderate(image: ImageSource, item: Mapping[str, Any], wishes: Wishes, patience: Patience) -> Flow[Answer]:
    """`item` is what Item has beside its source. Raises ClientError, and what `load` and `check_labels` raise."""
    check_labels(item["subject"], item["metadata"])
    fitting = {**item, "id": cut_id(item["id"])}
    loaded = Item((yield Load(image)), **fitting)
    (answer,) = yield from _batch([loaded], wishes, patience, patience.monotonic() + patience.timeout_s)
    return answer


def moderate_many(images: Iterable[ImageSource], wishes: Wishes, patience: Patience) -> Flow[list[Answer]]:
    """In their order. One batch is in memory at a time, and each has the whole time."""
    answers: list[Answer] = []
    batch: list[Item] = []
    for image in images:
        item = Item((yield Load(image)))
        if batch and not _fits(batch, item):
            answers += yield from _batch(batch, wishes, patience, patience.monotonic() + patience.timeout_s)
            batch = []
        batch.append(item)
    if batch:
        answers += yield from _batch(batch, wishes, patience, patience.monotonic() + patience.timeout_s)
    return answers


def _fits(batch: list[Item], item: Item) -> bool:
    return len(batch) < BATCH_ITEMS and sum(len(i.source) for i in (*batch, item)) <= BATCH_BYTES


def _batch(items: list[Item], wishes: Wishes, patience: Patience, until: float) -> Flow[list[Answer]]:
    """What is too large together is asked in halves; what is too large alone cannot be judged, as any such image."""
    try:
        reply = yield from _exchange(to_request(items, wishes), patience, until)
    except Refused as error:
        if error.code != "too_large":
            raise
        if len(items) == 1:
            return [Answer.undecided(error, items[0].id)]
    else:
        return read_answers(reply, len(items))
    middle = len(items) // 2
    first = yield from _batch(items[:middle], wishes, patience, until)
    return first + (yield from _batch(items[middle:], wishes, patience, until))


def _exchange(request: Request, patience: Patience, until: float) -> Flow[Reply]:
    """Ask until there is an answer, an error that stays, or no time left for another attempt. Raises ClientError.

    To judge an image twice changes nothing: its review is opened once, and who sent it is noted once (`upsert`, in
    demure.store.images). So it does not matter whether an attempt that failed was judged.
    """
    if len(request.body) > MOST_BODY_BYTES:
        raise _too_large(len(request.body))
    last: ClientError = TooSlow(f"no time was left to ask (timeout_s={patience.timeout_s:g})")
    for attempt in range(patience.retries + 1):
        left_s = until - patience.monotonic()
        if left_s <= 0:
            break
        result: Reply | Unavailable = yield Send(request, left_s)
        if isinstance(result, Unavailable):
            last, passing = result, True
        elif error := error_of(result):
            last, passing = error, is_passing(result)
        else:
            return result
        wait_s = _wait_s(result, attempt, patience)
        if not passing or attempt == patience.retries or patience.monotonic() + wait_s >= until:
            break
        yield Wait(wait_s)
    raise last


def _too_large(size: int) -> Refused:
    message = f"a body of {size / MIB:.0f} MiB is not sent; {MOST_BODY_BYTES / MIB:.0f} MiB is the most"
    return Refused(message, code="too_large", status=413, retryable=False)


def _wait_s(result: Reply | Unavailable, attempt: int, patience: Patience) -> float:
    """What the service asks for and a little more, since others were told the same; else twice as long each time."""
    luck = patience.luck()
    told_s = retry_after_s(result.headers, patience.wall()) if isinstance(result, Reply) else None
    if told_s is not None:
        return told_s + _FIRST_WAIT_S * luck
    return float(min(_LONGEST_WAIT_S, _FIRST_WAIT_S * 2**attempt) * (1 + luck) / 2)


def retry_after_s(headers: Mapping[str, str], now: float) -> float | None:
    """Retry-After as seconds or as a date (RFC 9110, 10.2.3), which is compared with the answer's own; None: not told."""
    told = headers.get("retry-after", "").strip()
    if told.isascii() and told.isdigit():
        return float(told[:9])  # 30 years are for ever
    then, dated = _time(told), _time(headers.get("date", ""))
    return None if then is None else max(0.0, then - (now if dated is None else dated))


def _time(date: str) -> float | None:
    try:
        return parsedate_to_datetime(date).timestamp()
    except (ValueError, OverflowError):
        return None
