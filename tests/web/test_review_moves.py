"""The page for people over real HTTP: verdicts and other moves, what strangers write, and the dashboard."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from html import escape
from pathlib import Path

import pytest
from review_desk import ANIMATED, ANNA, SECRETS, UNSURE, House, house_of
from review_told import actions, id_and_version

from demure.reviews import Judgement, Kind, Order, State, Submission, Verdict
from demure.store.events import Delivery, emit, failed, feed
from demure.web.review_page import MOST_HELD, Preferences

HOSTILE = "<img src=x onerror=alert(1)>\"'><script>alert(2)</script>{{ 7 * 7 }}\u202e"


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with house_of(tmp_path) as house:
        yield house


# The moves.


def test_a_verdict_is_recorded_and_can_be_taken_back(house):
    house.put("a")
    anna = house.enter()
    item, version = id_and_version(anna.get("/review").text)
    thought = anna.post(f"/review/{item}/settle", {"version": version, "verdict": "safe"})
    assert house.reviews.get(item).verdict is Verdict.SAFE
    same, version = id_and_version(thought.text)
    again = anna.post(f"/review/{same}/undo", {"version": version})
    assert id_and_version(again.text)[0] == item
    assert not [secret for secret in SECRETS if secret in again.text]
    assert house.reviews.get(item).state is State.OPEN
    assert anna.get(f"/review/{item}/picture/0").status_code == 200  # it is held again


def test_who_comes_second_gets_409_and_changes_nothing(house):
    house.put("a")
    anna, bert = house.enter("anna"), house.enter("bert")
    item, version = id_and_version(anna.get("/review").text)
    for move, more in (("settle", {"verdict": "safe"}), ("skip", {}), ("escalate", {})):
        assert bert.post(f"/review/{item}/{move}", {"version": version, **more}).status_code == 409
    assert bert.post(f"/review/{item}/hold").status_code == 409
    assert anna.post(f"/review/{item}/settle", {"version": version - 1, "verdict": "safe"}).status_code == 409
    house.clock.pass_s(301)
    other, version = id_and_version(bert.get("/review").text)
    assert other == item
    bert.post(f"/review/{item}/settle", {"version": version, "verdict": "adult"})
    refused = anna.post(f"/review/{item}/settle", {"version": version, "verdict": "safe"})
    assert (refused.status_code, refused.json()["code"]) == (409, "conflict")
    assert not [secret for secret in SECRETS if secret in refused.text]
    assert anna.post(f"/review/{item}/undo", {"version": version + 1}).status_code == 403
    assert house.reviews.get(item).verdict is Verdict.ADULT


def test_the_same_verdict_sent_again_is_answered_again(house):
    """Its answer was lost on the way. Another verdict, another person and a later state are conflicts."""
    house.put("a")
    anna, bert = house.enter("anna"), house.enter("bert")
    item, version = id_and_version(anna.get("/review").text)
    said = {"version": version, "verdict": "safe"}
    first = anna.post(f"/review/{item}/settle", said)
    again = anna.post(f"/review/{item}/settle", said)
    assert (again.status_code, id_and_version(again.text)) == (200, id_and_version(first.text))
    assert actions(house).count(("user:anna", "review.settle")) == 1
    assert anna.post(f"/review/{item}/settle", {**said, "verdict": "adult"}).status_code == 409
    assert bert.post(f"/review/{item}/settle", said).status_code == 409
    anna.post(f"/review/{item}/undo", {"version": version + 1})
    assert anna.post(f"/review/{item}/settle", said).status_code == 409
    held = house.reviews.get(item)
    anna.post(f"/review/{item}/settle", {"version": held.version, "verdict": "safe"})
    assert anna.post(f"/review/{item}/settle", said).status_code == 409  # of the version before the undo


def test_a_reload_gives_back_what_was_held_and_the_next_is_another(house):
    for name in "abc":
        house.put(name)
    anna = house.enter()
    first, _ = id_and_version(anna.get("/review").text)
    second, _ = id_and_version(anna.post("/review/next", {"have": [first]}).text)
    assert first != second
    assert id_and_version(anna.get("/review").text)[0] == first
    assert id_and_version(anna.post("/review/next", {"have": [first]}).text)[0] == second
    assert id_and_version(house.enter("bert").get("/review").text)[0] not in (first, second)


def test_nobody_hoards(house):
    for number in range(MOST_HELD + 1):
        house.put(str(number))
    anna, have = house.enter(), []
    for _ in range(MOST_HELD):
        have.append(id_and_version(anna.post("/review/next", {"have": have}).text)[0])
    assert anna.post("/review/next", {"have": have}).status_code == 204
    assert "data-id" in house.enter("bert").get("/review").text


def test_an_empty_queue_has_no_next(house):
    anna = house.enter()
    assert "Nothing waits" in anna.get("/review").text
    assert anna.post("/review/next").status_code == 204


def test_holding_makes_the_lease_longer_and_tells_the_version(house):
    house.put("a")
    anna = house.enter()
    item, version = id_and_version(anna.get("/review").text)
    house.clock.pass_s(200)
    assert anna.post(f"/review/{item}/hold").json() == {"version": version + 1}
    house.clock.pass_s(200)
    assert anna.get(f"/review/{item}/picture/0").status_code == 200
    assert anna.post(f"/review/{item}/skip", {"version": version + 1}).status_code == 204
    assert house.reviews.get(item).claimed_by is None


def test_the_order_is_the_reviewers_choice_and_kept(house):
    for number, score in enumerate((0.1, 0.9, 0.5)):
        house.put(str(number), judgement=Judgement(**{**vars(UNSURE), "score": score}))
    anna = house.enter()
    page = anna.get("/review").text
    assert 'value="oldest" checked' in page
    assert "hints at its score" in page  # the caution, beside the choice
    house.clock.pass_s(301)
    assert (
        anna.post("/review/preferences", {"order": "risk", "blur": 44, "grey": False, "keys": False}).status_code == 204
    )
    page = house.enter("anna").get("/review").text
    assert 'value="risk" checked' in page
    assert 'value="44"' in page
    assert 'name="grey" type="checkbox">' in page
    assert 'name="keys" type="checkbox">' in page
    riskiest = hashlib.sha256(b"1").hexdigest()
    assert house.reviews.get(id_and_version(page)[0]).sha256 == riskiest


def test_preferences_that_cannot_be_are_refused_and_old_ones_forgiven(house):
    anna = house.enter()
    for wrong in ({"blur": 0}, {"blur": 81}, {"blur": "much"}, {"order": "random"}, {"colour": "pink"}):
        assert anna.post("/review/preferences", wrong).status_code == 400
    house.desk.users.set_preferences("anna", {"order": "by taste", "theme": "kept"})
    assert 'value="oldest" checked' in anna.get("/review").text
    anna.post("/review/preferences", Preferences(order=Order.PRIORITY).model_dump(mode="json"))
    _, session = house.desk.users.sign_in("anna", "four words of sense")
    assert session.preferences["theme"] == "kept"


@pytest.mark.parametrize(
    ("move", "body"),
    [
        ("settle", {"version": 1}),
        ("settle", {"version": 1, "verdict": "unknown"}),
        ("settle", {"version": "x", "verdict": "safe"}),
        ("settle", {"version": 1, "verdict": "safe", "more": 1}),
        ("escalate", {"version": 1, "note": "n" * 2001}),
        ("skip", {}),
        ("undo", []),
    ],
)
def test_a_malformed_move_is_refused(house, move, body):
    review = house.put("a")
    answer = house.enter().client.post(
        f"/review/{review.id}/{move}", json=body, headers={"x-csrf-token": house.enter().csrf}
    )
    assert answer.status_code in (400, 403)
    anna = house.enter()
    assert anna.post(f"/review/{review.id}/{move}", body or {}).status_code == 400
    assert house.reviews.get(review.id).version == review.version


# What others write.


def test_what_strangers_write_is_shown_as_they_wrote_it(house):
    house.put("a", kind=Kind.REPORT, note=HOSTILE)
    anna, root = house.enter("anna"), house.enter("root")
    page = anna.get("/review").text
    item, version = id_and_version(page)
    anna.post(f"/review/{item}/escalate", {"version": version, "note": HOSTILE})
    house.put(
        "b",
        submission=Submission(HOSTILE, HOSTILE),
        judgement=Judgement(**{**vars(UNSURE), "reason": HOSTILE, "model": HOSTILE}),
    )
    other, version = id_and_version(anna.get("/review").text)
    thought = anna.post(f"/review/{other}/settle", {"version": version, "verdict": "safe"}).text
    review = house.put("c", submission=Submission(HOSTILE, HOSTILE))
    house.reviews.escalate(review.id, ANNA, review.version, HOSTILE)
    media = {**ANIMATED, "type": f"image/{HOSTILE}"}
    house.put("d", judgement=Judgement(**{**vars(UNSURE), "media": media}))
    for text in (
        page,
        thought,
        root.get("/review/escalated").text,
        root.get("/review/dashboard").text,
        anna.get("/review").text,
    ):
        assert "<img src=x" not in text.lower()
        assert "<script>" not in text.lower()
        assert "49" not in re.findall(r"script&gt;(.{8})", text)
        assert escape("<img src=x", quote=False) in text or "&lt;IMG SRC=X" in text


# The dashboard.


def test_the_dashboard_shows_the_figures_and_an_alert_past_the_limit(tmp_path):
    with house_of(tmp_path, review_alert=2) as house:
        house.put("a")
        house.put("b")
        anna = house.enter()
        page = anna.get("/review/dashboard").text
        assert "More wait than should." not in page
        assert "2 undecided, 0 reported, 0 appealed" in page
        house.put("c", kind=Kind.APPEAL)
        page = anna.get("/review/dashboard").text
        assert "More wait than should." in page
        assert "3 items wait; the limit is 2" in page
        review = house.put("d")
        house.reviews.settle(review.id, ANNA, Verdict.SAFE, review.version)
        page = anna.get("/review/dashboard").text
        assert page.count("<rect") >= 2
        assert "models_disagree" in page
        assert "in all, by" not in page
        assert "1 in all, by 1 person" in house.enter("root").get("/review/dashboard").text


def test_admins_see_what_the_site_could_not_be_told_without_the_secret_in_its_address(house):
    endpoint = "https://hooks.example/T0P/SECRET"

    def die(connection):
        emit(connection, 1, [endpoint], "review.settled", {})
        (event,) = feed(connection, 0, 10)
        failed(connection, Delivery(event, endpoint, 0), 2, None, "answered 500 <b>")

    house.desk.database.write(die)
    page = house.enter("root").get("/review/dashboard").text
    assert "hooks.example" in page
    assert "answered 500 &lt;b&gt;" in page
    assert "SECRET" not in page
    assert "hooks.example" not in house.enter("anna").get("/review/dashboard").text
