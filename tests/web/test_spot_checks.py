"""Decisions that are drawn by lot for review: the caller's answer stays as it was, reviewers cannot tell, operators are told."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import itertools
import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import httpcore
import httpx
import pytest
from pictures import encode, gradient
from PIL import Image
from review_desk import ANNA, ROOT, UNSURE, House, house_of, preview
from sqlalchemy import insert, select
from structlog.testing import capture_logs

from demure.checks import Draw
from demure.decode import Media
from demure.desk import Wish
from demure.errors import StorageFull
from demure.evaluation.drift import BINS
from demure.keys import make_key
from demure.policy import Outcome
from demure.policy_file import find_policy
from demure.promise import Promise
from demure.reviews import Judgement, Submission, Verdict
from demure.scores import Scores
from demure.screening import Screening
from demure.store.database import Database
from demure.store.reviews import Reviews
from demure.store.schema import DAY_MS, reviews, tallies
from demure.telemetry import Metrics
from demure.web.chores import Chores

BALANCED = find_policy("balanced", {"open_nsfw"})
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
    end = time.monotonic() + 20
    while len(rows := found()) < count:
        assert time.monotonic() < end, rows
        time.sleep(0.02)
    return rows


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
        desk = client.app.state.desk
        open_check = desk.open_check

        async def slowly(*check: object) -> None:
            await asyncio.sleep(0.7)
            await open_check(*check)

        desk.open_check = slowly
        began = time.monotonic()
        moderate(client, plain("lime"))
        assert time.monotonic() - began < 0.7  # the answer does not wait for it
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
            began = time.monotonic()
            (item,) = moderate(client, plain("lime", 80))
            assert item["decision"] == "safe"
            assert time.monotonic() - began < 5  # half a second, on a machine that has nothing else to do
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
        sent = {**ASK, "content-type": "image/png"}
        for n in range(12):
            with contextlib.suppress(httpx.TimeoutException):
                client.post("/v1/moderate?review=true", content=plain("lime", 64 + n), headers=sent, timeout=0.2)
        time.sleep(0.6)  # for who waits for a place yet
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
            assert (under_way(), opened) == (0, [])


# On the page.


def put(house: House, decision: str, name: str = "a", animated: bool = False) -> str:
    """An image that a site sent, all the way into the queue: the item's id."""
    desk, (reason, score) = (
        house.desk,
        {"adult": ("explicit >= 0.85", 0.9917)}.get(decision, ("models_disagree", 0.7391)),
    )
    judged = Screening(
        Outcome(decision),
        reason,
        BALANCED.name,
        BALANCED.version,
        sha256=hashlib.sha256(name.encode()).hexdigest(),
        score=score,
        scores=Scores({"porn": score}),
        witnesses={"open_nsfw": score / 2},
        media=Media("image/gif", 640, 480, 12, 12) if animated else Media("image/jpeg", 1280, 960, 1, 1),
        worst_frame=0,
    )
    wish = Wish(review=True, submission=Submission("post-1", "user-7"))
    pictures = [preview(n, gradient(160, 120)) for n in range(6 if animated else 1)]

    async def send() -> None:
        draw = await desk.record(judged, desk.settings.model, wish)
        assert isinstance(draw, Draw)
        if wish.wants(judged):
            await desk.open_review(judged, desk.settings.model, wish, pictures, draw)
        else:
            await desk.open_check(judged, desk.settings.model, BALANCED, wish, pictures, draw)

    # In a thread of its own: a browser of another test may have a loop in this one.
    with ThreadPoolExecutor(1) as thread:
        thread.submit(lambda: asyncio.run(send())).result()
    return house.reviews.claim_next(ANNA).id


def settled(house: House, item: str, verdict: Verdict) -> None:
    review = house.reviews.get(item)
    house.reviews.settle(review.id, ANNA, verdict, review.version)


@pytest.mark.parametrize("animated", [False, True])
def test_the_page_is_the_same_for_an_unknown_item_and_a_check(tmp_path, animated):
    def seen(decision: str) -> list[str]:
        folder = tmp_path / decision
        folder.mkdir()
        with house_of(folder, spot_checks=1.0) as house:
            item = put(house, decision, animated=animated)
            anna = house.enter()
            pages = [anna.get(path).text for path in ("/review", "/review/dashboard")]
            pages.append(anna.get(f"/review/{item}/picture/0").headers["content-length"])
            house.clock.pass_s(3 * 86_400)
            pages += [anna.get(path).text for path in ("/review", "/review/dashboard")]
            return [page.replace(item, "ITEM").replace(anna.csrf, "CSRF") for page in pages]

    assert seen("unknown") == seen("adult")


def test_after_the_verdict_it_is_told_that_the_machine_had_decided_and_what(tmp_path):
    with house_of(tmp_path, spot_checks=1.0) as house:
        item = put(house, "adult")
        anna = house.enter()
        answer = anna.post(f"/review/{item}/settle", {"version": 2, "verdict": "safe"})
        assert answer.status_code == 200, answer.text
        for words in ("You decided otherwise.", "0.992", "explicit &gt;= 0.85"):
            assert words in answer.text
        again = anna.post(f"/review/{item}/undo", {"version": 3}).text
        assert "Undecided" in again
        assert "check" not in again


# What it is good for.


def promise(**more: object) -> Promise:
    kept = {"max_missed": 0.005, "max_false_alarm": 0.01, "left": 0.04, "base_rate": 0.1, "confidence": 0.95}
    made = {"version": BALANCED.version, "model": "mobilenet_v2_140", "adult": 500, "safe": 500, "data": "0" * 64}
    alike = (500,) + (0,) * (BINS - 1)
    return Promise(**{**made, **kept, "adult_scores": alike, "safe_scores": alike, **more})


def stock(house: House, judged_of_safe: int = 100, **of: object) -> None:
    """Yesterday's images. 1,000 safe at 0.1, of which 100 were chosen and 10 are adult; 40 adult at 1, all of them so; 50
    unknown, half of them adult. So of 100 + 40 + 25 adult ones 100 were missed, and of 900 + 25 safe ones none was flagged.
    """
    day = house.clock() // DAY_MS - 1
    alike = {"model": "mobilenet_v2_140", "policy": "balanced", "policy_version": BALANCED.version, **of}

    def work(c) -> None:
        for decision, chance, images, chosen, judged, adult in (
            ("safe", 0.1, 1000, 100, judged_of_safe, 10),
            ("adult", 1.0, 40, 40, 40, 40),
            ("unknown", 1.0, 50, 50, 50, 25),
        ):
            cell = {"day": day, "decision": decision, "chance": chance, "bin": 0, "images": images, "chosen": chosen}
            (tally,) = c.execute(insert(tallies).values(**cell, **alike)).inserted_primary_key
            rows = [
                {
                    **vars(Judgement(**{**vars(UNSURE), **alike, "decision": decision})),
                    "id": f"{decision}{n}",
                    "sha256": hashlib.sha256(f"{decision}{n}".encode()).digest(),
                    "kind": "check",
                    "state": "settled" if n < judged else "expired",
                    "version": 1,
                    "rank": 1,
                    "priority": 0.0,
                    "opened_ms": day * DAY_MS,
                    "chance": chance,
                    "tally": tally,
                    "verdict": None if n >= judged else "adult" if n < adult else "safe",
                }
                for n in range(chosen)
            ]
            c.execute(insert(reviews), rows)

    house.desk.database.write(work)


def section(house: House) -> str:
    page = house.enter().get("/review/dashboard").text
    found = page.partition('aria-labelledby="checks"')[2].partition("</section>")[0]
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", found))


@pytest.fixture
def stocked(tmp_path: Path):
    numbers = itertools.count()

    def stocked(made: Promise | None = None, **more: object):
        folder = tmp_path / str(next(numbers))
        folder.mkdir()
        policies = {"balanced": replace(BALANCED, promise=made)}
        return house_of(folder, policies, **{"spot_checks": 0.1, **more})

    return stocked


def test_with_checks_off_one_line_says_what_it_would_take(stocked):
    with stocked(spot_checks=0.0) as house:
        assert "Spot checks are off" in section(house)
        assert "DEMURE_SPOT_CHECKS=0.01" in section(house)
        assert "Best guess" not in section(house)


def test_the_dashboard_tells_rates_in_words_and_what_was_promised_beside(stocked):
    with stocked(promise()) as house:
        stock(house)
        told = section(house)
        # 100 / 165, 0 / 925, 50 / 1090
        assert re.search(
            r"Adult pictures called safe 60\.6 % surely between \d+ % and \d+ % promised: at most 0\.5 %", told
        )
        assert re.search(r"Safe pictures called adult 0 % surely between 0 % and [\d.]+ % promised: at most 1 %", told)
        assert "Left to people 4.6 % counted expected: 4.0 %" in told
        assert (
            "1,090 pictures were sent for review. People judged 50 of 50 that the machine could not decide, and 140 of 140"
            in told
        )
        assert "The live rate has left the promise. Of all adult pictures at least" in told
        assert told.count("has left the promise") == 1


def test_a_guess_above_the_promise_that_chance_may_explain_is_told_softly(stocked):
    with stocked(promise(max_missed=0.6)) as house:
        stock(house)
        told = section(house)
        assert "Of all adult pictures, 60.6 % are called safe by the best guess" in told
        assert "left the promise" not in told


def test_no_promise_and_one_of_other_bounds_are_no_promise(stocked):
    for made in (None, promise(version="of before"), promise(model="another")):
        with stocked(made) as house:
            stock(house)
            told = section(house)
            assert told.count("promise") == told.count("nothing is promised") == 2


def test_chosen_images_that_nobody_judged_are_told_of(stocked):
    """Of 190 that were chosen, 170 are 89.5 %, and 171 are 90 %."""
    for judged, is_told in ((80, True), (81, False)):
        with stocked() as house:
            stock(house, judged)
            house.clock.pass_s(86_400)
            assert (f"Of 190 pictures that were to be judged, {90 + judged} were." in section(house)) is is_told


def test_images_unlike_those_that_bounds_were_chosen_from_are_told_of(stocked):
    unlike = (0,) * (BINS - 1) + (500,)
    with stocked(promise(adult_scores=unlike, safe_scores=unlike)) as house:
        stock(house)  # all of them in the first bin
        assert "Other pictures come than those that balanced was made from." in section(house)


def test_another_policy_in_use_is_told_of_as_well_and_the_default_first(stocked):
    with stocked() as house:
        stock(house, policy="of a file", policy_version="f" * 12)
        told = section(house)
        assert told.index("balanced version") < told.index("of a file version ffffffffffff")
        assert "not known yet" in told


def test_figures_end_before_the_day_of_what_waits_and_today_never_counts(stocked):
    with stocked(spot_checks=1.0) as house:
        item = put(house, "adult")
        house.clock.pass_s(86_400)
        assert "0 pictures were sent for review" in section(house)
        assert "of later ones something still waits" in section(house)
        settled(house, item, Verdict.SAFE)
        assert "1 picture was sent for review" in section(house)
        assert "of later ones" not in section(house)


@pytest.mark.parametrize("lost", [False, True])
def test_the_dashboard_does_not_tell_a_check_from_an_unknown_whatever_becomes_of_it(tmp_path, lost):
    def seen(decision: str) -> list[str]:
        folder = tmp_path / decision
        folder.mkdir()
        with house_of(folder, spot_checks=1.0) as house:
            told = []
            if lost:  # on its way into the queue, and sent again a day later
                open_item, house.desk.reviews.open = house.desk.reviews.open, lambda *_: None
                with contextlib.suppress(AttributeError):
                    put(house, decision)
                house.desk.reviews.open = open_item
                house.clock.pass_s(86_400)
                told.append(section(house))
            item = put(house, decision)
            house.clock.pass_s(86_400)
            told.append(section(house))
            house.reviews.escalate(item, ANNA, house.reviews.get(item).version)
            told.append(section(house))
            house.clock.pass_s(86_400)
            told.append(section(house))
            house.reviews.release(item, ROOT, house.reviews.get(item).version)
            told.append(section(house))
            settled(house, item, Verdict.SAFE)
            assert "1 picture was sent for review" in section(house)
            return told

    told = seen("unknown")
    assert told == seen("adult")
    assert all("0 pictures were sent for review" in text for text in told)


def chores(house: House, metrics: Metrics, policies: dict) -> Chores:
    return Chores(house.desk, metrics, httpcore.default_ssl_context(), policies)


def test_metrics_and_the_log_tell_the_same_the_log_once_a_day(stocked):
    policies = {
        "balanced": replace(BALANCED, promise=promise(adult_scores=(0,) * 19 + (500,), safe_scores=(0,) * 19 + (500,)))
    }
    with stocked() as house, capture_logs() as logged:
        stock(house, 70)
        metrics = Metrics()
        watching = chores(house, metrics, policies)
        for day_s in (0, 0, 86_400):
            house.clock.pass_s(day_s)
            watching.watch()
        lines = metrics.render().decode().splitlines()
    told = [(line["event"], line["policy"]) for line in logged]
    broken, drifts, late = "a promise is broken", "scores drift", "chosen images are not judged"
    assert told == [(event, "balanced") for event in (broken, drifts, broken, drifts, late)]
    assert (logged[0]["promise"], logged[0]["promised"], logged[-1]["log_level"]) == ("missed", 0.005, "warning")
    values = {line.partition(" ")[0]: float(line.partition(" ")[2]) for line in lines if not line.startswith("#")}
    # 10 of 70 safe ones that were judged: 1000 / 7 of 1000 / 7 + 65
    assert values['demure_live_missed{bound="estimate",policy="balanced"}'] == pytest.approx(1000 / (1000 + 7 * 65))
    assert values['demure_live_missed{bound="low",policy="balanced"}'] > 0.005
    assert values['demure_live_false_alarm{bound="estimate",policy="balanced"}'] == 0
    assert values['demure_spot_checks{policy="balanced",state="chosen"}'] == 140
    assert values['demure_spot_checks{policy="balanced",state="judged"}'] == 110
    assert values['demure_promise_broken{policy="balanced",promise="missed"}'] == 1
    assert values['demure_promise_broken{policy="balanced",promise="false_alarm"}'] == 0
    assert values['demure_score_drift{policy="balanced"}'] > values['demure_score_drift_allowed{policy="balanced"}'] > 0


def test_a_policy_that_is_in_use_no_more_has_no_number(stocked):
    with stocked() as house:
        stock(house, policy="of a file", policy_version="f" * 12)
        metrics = Metrics()
        watching = chores(house, metrics, {"balanced": BALANCED})
        watching.watch()
        assert 'demure_spot_checks{policy="of a file",state="chosen"} 140.0' in metrics.render().decode()
        house.clock.pass_s(40 * 86_400)
        watching.watch()
        assert 'demure_spot_checks{policy="of a file",state="chosen"} NaN' in metrics.render().decode()
        assert 'demure_live_missed{bound="estimate",policy="balanced"} NaN' in metrics.render().decode()
