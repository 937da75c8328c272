"""Decisions that are drawn by lot for review, over HTTP: the caller's answer stays as it was, and no check is lost in silence."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
from pictures import encode
from PIL import Image
from sqlalchemy import select
from waiting import wait_until

from demure.errors import StorageFull
from demure.keys import make_key
from demure.store.database import Database
from demure.store.reviews import Reviews
from demure.store.schema import reviews

KEY, SECRET = make_key("site", ["admin"])
ASK = {"authorization": f"Bearer {SECRET}"}
COLOURS = {"red": "adult", "lime": "safe", "blue": "unknown"}


def plain(colour: str, side: int = 64) -> bytes:
    return encode(Image.new("RGB", (side, side), colour), "PNG")


def moderate(client: httpx.Client, *pictures: bytes) -> list[dict]:
    items = [{"base64": base64.b64encode(p).decode(), "id": f"post-{n}"} for n, p in enumerate(pictures)]
    answer = client.post("/v1/moderate", json={"items": items, "review": True}, headers=ASK)
    assert answer.status_code == 200, answer.text
    return answer.json()["items"]


def waiting(client: httpx.Client) -> list[dict]:
    return client.get("/v1/reviews", headers=ASK).json()["reviews"]


def until(found: Callable[[], list], count: int) -> list:
    """A spot check gets into the queue a moment after the answer."""
    wait_until(lambda: len(found()) >= count, lambda: str(found()))
    return found()


# Over HTTP.


def test_a_stream_is_checked_judged_overturned_and_known(quick):
    pictures = [plain(colour) for colour in COLOURS]
    with quick(DEMURE_API_KEYS=str(KEY), DEMURE_SPOT_CHECKS="1") as client:
        items = moderate(client, *pictures)
        assert [item["decision"] for item in items] == [*COLOURS.values()]
        assert ["review" in item for item in items] == [False, False, True]
        listed = until(lambda: waiting(client), 3)
        assert {review["kind"] for review in listed} == {"unknown"}
        assert sorted(review["decision"] for review in listed) == ["adult", "safe", "unknown"]
        assert len(moderate(client, *pictures)) == len(waiting(client)) == 3  # an image stands in the queue once
        for review in listed:
            shown = client.get(f"/v1/reviews/{review['id']}/pictures/0", headers=ASK)
            assert shown.headers["content-type"] == "image/jpeg"
            said = {"verdict": "safe", "version": 1}
            settled = client.post(f"/v1/reviews/{review['id']}/verdict", json=said, headers=ASK).json()
            assert settled["kind"] == ("unknown" if review["decision"] == "unknown" else "check")
        told = {e["data"]["decision"]: e["data"] for e in client.get("/v1/events", headers=ASK).json()["events"]}
        assert (told["adult"]["kind"], told["adult"]["overturned"]) == ("check", True)
        assert (told["safe"]["kind"], told["safe"]["overturned"]) == ("check", False)
        known = moderate(client, pictures[0])[0]
        assert (known["decision"], known["reason"]) == ("safe", "remembered")


def test_an_answer_is_the_same_with_and_without_a_check(quick):
    def answered(share: str, *, review: str) -> list[str]:
        with quick(DEMURE_API_KEYS=str(KEY), DEMURE_SPOT_CHECKS=share, DEMURE_DATABASE_URL="sqlite://") as client:
            answers = []
            for colour in ("red", "lime"):
                sent = {**ASK, "content-type": "image/png"}
                answer = client.post(f"/v1/moderate?review={review}", content=plain(colour), headers=sent)
                text = re.sub(r'"timings_ms":\{[^}]*\}', "", answer.text)
                answers.append(text.replace(answer.json()["id"], ""))
            if share == "1" and review == "true":
                until(lambda: waiting(client), 2)
            return answers

    checked = answered("1", review="true")
    assert checked == answered("0", review="true") == answered("1", review="false")
    assert set(json.loads(checked[0].replace('"remembered":false,', '"remembered":false'))["items"][0]) == {
        *("id", "sha256", "decision", "reason", "score", "scores", "witnesses", "media", "remembered")
    }


class Queue(Reviews):
    """The queue of a service that runs, with what a test does before an item is opened."""

    def __init__(self, real: Reviews, before: Callable[[], None]) -> None:
        self.__dict__.update(vars(real))
        self._before = before

    def open(self, *opening):
        self._before()
        return super().open(*opening)


def meanwhile(client: httpx.Client, before: Callable[[], None]) -> None:
    desk = client.app.state.desk
    desk.reviews = Queue(desk.reviews, before)


def test_a_check_that_cannot_be_opened_is_counted_and_nobody_elses_trouble(quick, capfd):
    def full() -> None:
        raise StorageFull("the disk is full")

    with quick(DEMURE_API_KEYS=str(KEY), DEMURE_SPOT_CHECKS="1") as client:
        meanwhile(client, full)
        lost = 'demure_spot_checks_lost_total{code="storage_full"} 1.0'
        (item,) = moderate(client, plain("lime"))
        assert (item["decision"], "error" in item, "review" in item) == ("safe", False, False)
        until(lambda: [line for line in client.get("/metrics", headers=ASK).text.splitlines() if line == lost], 1)
        assert "a spot check was lost code=storage_full" in capfd.readouterr().err
        assert waiting(client) == []


def test_a_check_is_not_lost_when_the_service_stops(quick, tmp_path):
    with quick(DEMURE_API_KEYS=str(KEY), DEMURE_SPOT_CHECKS="1") as client:
        desk, checker, is_stopping = client.app.state.desk, client.app.state.engine.checker, threading.Event()
        open_check, finish = desk.open_check, checker.finish

        async def late(*check: object) -> None:
            while not is_stopping.is_set():
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.1)
            await open_check(*check)

        async def finishing() -> None:
            is_stopping.set()
            await finish()

        desk.open_check, checker.finish = late, finishing
        moderate(client, plain("lime"))  # the answer does not wait for it
        assert waiting(client) == []
    database = Database(f"sqlite:///{tmp_path / 'data' / 'demure.db'}")
    assert database.read(lambda c: c.execute(select(reviews.c.kind)).scalars().all()) == ["check"]
    database.close()


@contextlib.contextmanager
def stuck(client: httpx.Client) -> Iterator[Callable[[], int]]:
    """No check gets into the queue meanwhile: how many are on their way there."""
    desk, go_on, under_way = client.app.state.desk, threading.Event(), []
    open_check = desk.open_check

    async def wait(*check: object) -> None:
        under_way.append(check)
        while not go_on.is_set():
            await asyncio.sleep(0.02)
        await open_check(*check)

    desk.open_check = wait
    try:
        yield lambda: len(under_way)
    finally:
        go_on.set()


def test_past_some_checks_a_thread_one_more_is_lost_and_its_answer_is_not_late(quick):
    with quick(DEMURE_API_KEYS=str(KEY), DEMURE_SPOT_CHECKS="1", DEMURE_THREADS="1") as client:
        with stuck(client):
            moderate(client, *(plain("lime", 64 + n) for n in range(4)))
            (item,) = moderate(client, plain("lime", 80))  # answered, while none of the others comes to an end
            assert item["decision"] == "safe"
            assert 'demure_spot_checks_lost_total{code="overloaded"} 1.0' in client.get("/metrics", headers=ASK).text
        until(lambda: waiting(client), 4)
        moderate(client, plain("lime", 80))  # what was lost is drawn again when it comes again
        until(lambda: waiting(client), 5)


def test_a_batch_of_checks_finds_its_places_in_a_moment(quick):
    with quick(DEMURE_API_KEYS=str(KEY), DEMURE_SPOT_CHECKS="1", DEMURE_THREADS="1") as client:
        moderate(client, *(plain("lime", 64 + n) for n in range(8)))
        until(lambda: waiting(client), 8)


def test_clients_that_leave_do_not_add_to_what_is_held(quick):
    with (
        quick(DEMURE_API_KEYS=str(KEY), DEMURE_SPOT_CHECKS="1", DEMURE_THREADS="1") as client,
        stuck(client) as under_way,
    ):
        moderate(client, *(plain("lime", 64 + n) for n in range(4)))
        sent = {**ASK, "content-type": "image/png"}

        def leave(n: int) -> None:  # within the half second that an answer waits for a place
            with contextlib.suppress(httpx.TimeoutException):
                client.post("/v1/moderate?review=true", content=plain("lime", 80 + n), headers=sent, timeout=0.4)

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(leave, range(4)))
        # Behind whatever they left, for there is one thread; then it waits for a place too, in vain.
        moderate(client, plain("lime", 96))
        assert under_way() <= 4


def test_an_image_that_waits_already_is_not_decoded_again_for_its_check(quick):
    with quick(DEMURE_API_KEYS=str(KEY), DEMURE_SPOT_CHECKS="1") as client:
        moderate(client, plain("lime"))
        until(lambda: waiting(client), 1)
        opened: list[None] = []
        meanwhile(client, lambda: opened.append(None))
        for _ in range(5):
            moderate(client, plain("lime"))
        with stuck(client) as under_way:
            moderate(client, plain("lime"))
            moderate(client, plain("lime", 65))  # a new one, behind it
            until(lambda: [None] * under_way(), 1)
            assert (under_way(), opened) == (1, [])
