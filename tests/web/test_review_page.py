"""The page for people over real HTTP: who may see what, and that nothing of the machine's opinion is told before the verdict."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from review_desk import ANNA, BERT, ROOT, SECRETS, UNSURE, House, house_of
from review_told import actions, id_and_version

from demure.reviews import Judgement, Kind, State, Submission, Verdict
from demure.web.facts import duration, thought_of
from demure.web.review_page import DEFAULT_PROCEDURE


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with house_of(tmp_path) as house:
        yield house


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
