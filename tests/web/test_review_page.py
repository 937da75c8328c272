"""The page for people over real HTTP: who may see what, and that nothing of the machine's opinion is told before the verdict."""

from __future__ import annotations

import hashlib
import re
from html import escape
from pathlib import Path

import pytest
from review_desk import ANIMATED, ANNA, BERT, ROOT, SECRETS, UNSURE, House, house_of

from demure.reviews import Judgement, Kind, Order, State, Submission, Verdict
from demure.store.events import Delivery, emit, failed, feed
from demure.store.schema import audit
from demure.web.facts import duration, thought_of
from demure.web.review_page import DEFAULT_PROCEDURE, MOST_HELD, Preferences

HOSTILE = "<img src=x onerror=alert(1)>\"'><script>alert(2)</script>{{ 7 * 7 }}\u202e"


@pytest.fixture
def house(tmp_path: Path):
    with house_of(tmp_path) as house:
        yield house


def id_and_version(html: str) -> tuple[str, int]:
    found = re.search(r'data-id="([0-9a-f]+)" data-version="(\d+)"', html)
    assert found, html
    return found[1], int(found[2])


def actions(house: House) -> list[tuple[str, str]]:
    return [
        tuple(row)
        for row in house.desk.database.read(lambda c: c.execute(audit.select().order_by(audit.c.seq)).all())
        for row in [(row.actor, row.action)]
    ]


# What is told when.


def test_nothing_that_the_machine_thought_is_told_before_the_verdict_and_all_of_it_after(house):
    house.put("a", note="please look", kind=Kind.REPORT)
    house.put_animation("b")
    house.put("c")
    anna = house.enter()
    page = anna.get("/review")
    first, version = id_and_version(page.text)
    following = anna.post("/review/next", {"have": [first]})
    second, other = id_and_version(following.text)
    before = [
        page,
        following,
        anna.post(f"/review/{first}/hold"),
        anna.get(f"/review/{first}/picture/0"),
        anna.post(f"/review/{second}/skip", {"version": other}),
        anna.post("/review/preferences", {"order": "risk"}),
        anna.post("/review/next", {"have": [first, second]}),
        anna.get("/review"),
        anna.get("/review/no such thing"),
    ]
    for answer in before:
        told = f"{answer.text} {answer.headers}"
        assert not [secret for secret in SECRETS if secret in told], answer.request.url
    version = id_and_version(before[-2].text)[1]
    thought = anna.post(f"/review/{first}/settle", {"version": version, "verdict": "adult"})
    assert thought.status_code == 200
    for told in (
        "models_disagree",
        "0.613",
        "0.253",
        "0.185",
        "open_nsfw",
        "balanced_quirk",
        "c0ffee5eed",
        "mobilenet_quirk",
    ):
        assert told in thought.text


def test_an_escalated_item_got_no_verdict_and_so_nothing_is_told_of_it(house):
    house.put("a")
    anna = house.enter()
    item, version = id_and_version(anna.get("/review").text)
    answer = anna.post(f"/review/{item}/escalate", {"version": version, "note": "see for yourself"})
    listed = house.enter("root").get("/review/escalated")
    for page in (answer, listed):
        assert not [secret for secret in SECRETS if secret in page.text]
    with pytest.raises(ValueError, match="after the verdict"):
        thought_of(house.reviews.get(item), [], 0)


def test_what_may_be_told_is_told(house):
    house.put_animation("a", kind=Kind.APPEAL, note="it is a zebra")
    house.put_animation("a", submission=Submission("another post"))
    house.clock.pass_s(3 * 3600)
    page = house.enter().get("/review").text
    for told in (
        "Appealed",
        "it is a zebra",
        "GIF",
        "640 \u00d7 480",
        "animated, 12 frames",
        "waiting 3 hours",
        "sent 2 times",
    ):
        assert told in page
    assert len(re.findall(r'<button type="button" data-src="/review/[0-9a-f]+/picture/\d"', page)) == 6


def test_an_item_without_a_picture_says_so(house):
    house.put("a", [], judgement=Judgement(**{**vars(UNSURE), "media": None}))
    review = house.reviews.get(house.reviews.page([State.OPEN])[0].id)
    house.desk.database.write(lambda c: c.exec_driver_sql("DELETE FROM previews"))
    page = house.enter().get("/review").text
    assert review.id in page
    assert "There is no picture of it" in page
    assert "/picture/" not in page


def test_after_the_verdict_it_says_whether_the_machine_had_decided_likewise(house):
    anna = house.enter()
    adult = Judgement(**{**vars(UNSURE), "decision": "adult", "reason": "explicit >= 0.85"})
    for name, verdict, words in (("a", "adult", "You agree."), ("b", "safe", "You decided otherwise.")):
        review = house.put(name, kind=Kind.APPEAL, judgement=adult)
        answer = anna.post(f"/review/{review.id}/settle", {"version": review.version, "verdict": verdict})
        assert words in answer.text
        assert "explicit &gt;= 0.85" in answer.text
    review = house.put("c", judgement=Judgement(**{**vars(UNSURE), "scores": None, "witnesses": None}))
    answer = anna.post(f"/review/{review.id}/settle", {"version": review.version, "verdict": "safe"})
    assert "It could not decide" in answer.text
    assert "There are no scores." in answer.text


def test_near_copies_that_were_judged_before_are_told_after_the_verdict(house):
    for name, pdq, verdict in (("old", bytes(32), Verdict.ADULT), ("other", b"\xff" * 32, Verdict.SAFE)):
        review = house.put(name, pdq=pdq)
        house.reviews.settle(review.id, BERT, verdict, review.version)
    house.clock.pass_s(2 * 3600)
    house.put("new", pdq=bytes(31) + b"\x07")  # 3 bits from the first, 253 from the other
    anna = house.enter()
    item, version = id_and_version(anna.get("/review").text)
    told = anna.post(f"/review/{item}/settle", {"version": version, "verdict": "safe"}).text
    (near,) = re.findall(r"<li>(.*?)</li>", told)
    assert re.sub(r"<.*?>", "", near) == "adult 2 hours ago 3 of 256 bits differ"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "less than a minute"),
        (59, "less than a minute"),
        (60, "1 minute"),
        (119, "1 minute"),
        (120, "2 minutes"),
        (7199, "119 minutes"),
        (7200, "2 hours"),
        (172_799, "47 hours"),
        (172_800, "2 days"),
    ],
)
def test_a_duration_is_told_in_the_largest_unit_of_which_there_are_two(seconds, words):
    assert duration(seconds * 1000) == words


# Who may.


@pytest.mark.parametrize("path", ["/review", "/review/dashboard", "/review/escalated", "/review/0/picture/0"])
def test_nobody_sees_anything_without_a_session(house, path):
    client = house.visitor()
    assert client.get(path).status_code == 401
    assert client.get(path, headers={"accept": "text/html"}).headers["location"] == "/review/sign-in"


@pytest.mark.parametrize(
    "move", ["next", "preferences", "0/settle", "0/skip", "0/escalate", "0/undo", "0/hold", "0/release"]
)
def test_nothing_is_changed_without_a_session_or_by_another_sites_page(house, move):
    assert house.visitor().post(f"/review/{move}", json={"version": 1, "verdict": "safe"}).status_code == 401
    root = house.enter("root")
    answer = root.client.post(f"/review/{move}", json={}, headers={"x-csrf-token": "guessed"})
    assert answer.status_code in (400, 403)
    if answer.status_code == 400:  # the body is read first; a good one is refused too
        body = {"version": 1, "verdict": "safe"} if "settle" in move else {"version": 1}
        assert root.client.post(f"/review/{move}", json=body, headers={"x-csrf-token": "guessed"}).status_code == 403


def test_the_picture_is_for_who_holds_the_item_and_for_admins_and_each_look_is_noted(house):
    house.put("a")
    anna, bert, root = (house.enter(name) for name in ("anna", "bert", "root"))
    item, _ = id_and_version(anna.get("/review").text)
    path = f"/review/{item}/picture/0"
    assert bert.get(path).status_code == 403
    for visitor in (anna, root):
        answer = visitor.get(path)
        assert (answer.status_code, answer.headers["content-type"]) == (200, "image/jpeg")
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.content == house.reviews.preview(item, 0, ROOT).data
    assert ("user:anna", "review.viewed") in actions(house)
    assert ("user:bert", "review.viewed") not in actions(house)
    house.clock.pass_s(301)
    assert anna.get(path).status_code == 403  # the lease has ended
    assert anna.get(f"/review/{item}/picture/7").status_code == 403
    assert root.get(f"/review/{item}/picture/7").status_code == 404
    assert root.get("/review/abc/picture/0").status_code == 404


def test_the_type_of_a_picture_is_ours_whatever_the_row_says(house):
    house.put("a")
    house.desk.database.write(lambda c: c.exec_driver_sql("UPDATE previews SET type = 'text/html', data = x'3c623e'"))
    anna = house.enter()
    item, _ = id_and_version(anna.get("/review").text)
    assert anna.get(f"/review/{item}/picture/0").headers["content-type"] == "image/jpeg"


def test_nobody_sees_the_picture_of_an_escalated_item(house):
    review = house.put("a")
    frozen = house.reviews.escalate(review.id, ANNA, review.version)
    root = house.enter("root")
    assert root.get(f"/review/{review.id}/picture/0").status_code == 403
    house.reviews.release(review.id, ROOT, frozen.version)
    assert root.get(f"/review/{review.id}/picture/0").status_code == 200


def test_what_is_escalated_is_listed_for_admins_alone_and_released_by_them(house):
    review = house.put("a", submission=Submission("post-17", "user-4"))
    house.reviews.escalate(review.id, ANNA, review.version, "call the operator")
    anna, root = house.enter("anna"), house.enter("root")
    for path in ("/review/escalated",):
        assert anna.get(path).status_code == 403
    page = root.get("/review/escalated").text
    for told in (review.id, "call the operator", "anna", "post-17", "user-4", house.reviews.get(review.id).sha256):
        assert told in page
    assert "/picture/" not in page
    assert all(paragraph in page for paragraph in DEFAULT_PROCEDURE.splitlines())
    form = {"csrf": anna.csrf, "version": "2"}
    assert anna.client.post(f"/review/{review.id}/release", data=form).status_code == 403
    assert anna.client.post("/review/no-such/release", data=form).status_code == 403  # and nothing is looked up
    for wrong in ("", "two", "1" * 10, "²"):
        form = {"csrf": root.csrf, "version": wrong}
        assert root.client.post(f"/review/{review.id}/release", data=form).status_code == 400
    form = {"csrf": root.csrf, "version": "1"}
    assert root.client.post(f"/review/{review.id}/release", data=form).status_code == 409
    answer = root.client.post(f"/review/{review.id}/release", data={"csrf": root.csrf, "version": "2"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/review/escalated")
    assert house.reviews.get(review.id).state is State.OPEN
    assert "Nothing is escalated." in root.get("/review/escalated").text


def test_admins_are_told_of_what_is_escalated_where_they_are(house):
    review = house.put("a")
    house.reviews.escalate(review.id, ANNA, review.version)
    for path in ("/review", "/review/dashboard"):
        assert "1 escalated item" in house.enter("root").get(path).text
        assert "escalated item" not in house.enter("anna").get(path).text


def test_a_long_list_of_what_is_escalated_has_pages(house):
    for number in range(51):
        review = house.put(str(number))
        house.reviews.escalate(review.id, ANNA, review.version)
    root = house.enter("root")
    first = root.get("/review/escalated").text
    (more,) = re.findall(r'href="(/review/escalated\?after=[0-9a-f]+)"', first)
    rest = root.get(more).text
    listed = [re.findall(r'id="item-([0-9a-f]+)"', page) for page in (first, rest)]
    assert [len(ids) for ids in listed] == [50, 1]
    assert len({*listed[0], *listed[1]}) == 51
    assert "after=" not in rest


def test_the_operators_own_procedure_is_shown_in_place_of_ours(tmp_path):
    with house_of(tmp_path, escalation_text="Ring the bell.\nThen wait.") as house:
        house.put("a")
        anna, root = house.enter("anna"), house.enter("root")
        page = anna.get("/review").text
        item, version = id_and_version(page)
        answer = anna.post(f"/review/{item}/escalate", {"version": version})
        for text in (page, answer.text, root.get("/review/escalated").text):
            assert "Ring the bell.\nThen wait." in text
            assert DEFAULT_PROCEDURE.splitlines()[0] not in text


def test_no_page_claims_that_anything_was_detected(house):
    review = house.put("a")
    house.reviews.escalate(review.id, ANNA, review.version)
    root = house.enter("root")
    for path in ("/review", "/review/escalated", "/review/dashboard"):
        words = root.get(path).text.lower()
        assert not [word for word in ("detect", "csam", "child", "illegal", "abuse") if word in words]


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
