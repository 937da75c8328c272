"""Decisions that are drawn by lot for review: reviewers cannot tell which, operators are told what comes of them."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import itertools
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import httpcore2
import pytest
from pictures import gradient
from review_desk import ANNA, ROOT, UNSURE, House, house_of, preview
from sqlalchemy import insert
from structlog.testing import capture_logs

from demure.checks import Draw
from demure.decode import Media
from demure.desk import Wish
from demure.evaluation.drift import BINS
from demure.policy import Outcome
from demure.policy_file import find_policy
from demure.promise import Promise
from demure.reviews import Judgement, Submission, Verdict
from demure.scores import Scores
from demure.screening import Screening
from demure.store.schema import DAY_MS, reviews, tallies
from demure.telemetry import Metrics
from demure.web.chores import Chores

BALANCED = find_policy("balanced", {"open_nsfw"})


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
        assert "Left to people 4.6 % counted expected: 4.0 %, where 10.0 % are adult" in told
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
    return Chores(house.desk, metrics, httpcore2.default_ssl_context(), policies)


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
