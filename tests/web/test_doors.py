"""All of other programs' calls at once: each answers what /v1/moderate does, under the same limits, and tells errors in its own words."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator

import httpx
import openai
import pytest
from doors import ADULT, BROKEN, DECISIONS, LARGE, SAFE, UNSURE, House, image_part, keyed
from pictures import EXAMPLE, encode
from PIL import Image
from service import serving, settings_for, wait_until_nobody_is_admitted

PATHS = ["/v1/detect-images", "/v1/moderations", "/classify", "/classify-many"]


@pytest.fixture(scope="module")
def house(tiny, tmp_path_factory) -> Iterator[House]:
    """For all who leave nothing behind."""
    with keyed(tmp_path_factory.mktemp("doors"), tiny) as house:
        yield house


@pytest.fixture
def own_house(tiny, tmp_path) -> Iterator[House]:
    with keyed(tmp_path, tiny) as house:
        yield house


def request_to(path: str, data: bytes) -> dict:
    """What httpx sends there for one image."""
    if path == "/v1/moderations":
        return {"json": {"input": [image_part(data)]}}
    field = {"/classify": "image", "/classify-many": "images"}.get(path, "image0")
    return {"files": {field: ("0.png", data, "image/png")}}


def ask(house: House, path: str, data: bytes, scope: str = "classify", **query: str) -> httpx.Response:
    return house.ask(scope, "POST", path, params=query, **request_to(path, data))


def message_of(path: str, answer: httpx.Response) -> str:
    """The text of an error, which must be in the words of the path's contract."""
    assert answer.headers["content-type"] == "application/json"
    told = answer.json()
    if path == "/v1/moderations":
        assert {*told} == {"error"}
        assert {*told["error"]} == {"message", "type", "param", "code"}
        return told["error"]["message"]
    if path == "/v1/detect-images":
        assert (told["success"], {*told}) == (False, {"success", "error"})
        assert {*told["error"]} == {"code", "message"}
        return told["error"]["message"]
    assert {*told} == {"error"}
    return told["error"]


# What each says of one image, as /v1/moderate's decision or an error's code.


def by_misskey(house: House, data: bytes, **query: str) -> str:
    (result,) = ask(house, "/v1/detect-images", data, **query).raise_for_status().json()["result"]["results"]
    return result["decision"]


def by_openai(house: House, data: bytes, **query: str) -> str:
    (result,) = house.openai().moderations.create(input=[image_part(data)], extra_query=query).results
    assert result.flagged == (result.decision == "adult")
    return result.decision


def by_classify(house: House, data: bytes, **query: str) -> str:
    return ask(house, "/classify", data, **query).raise_for_status().headers["demure-decision"]


def by_classify_many(house: House, data: bytes, **query: str) -> str:
    return ask(house, "/classify-many", data, **query).raise_for_status().headers["demure-decision"]


DOORS = {"misskey": by_misskey, "openai": by_openai, "classify": by_classify, "classify-many": by_classify_many}
each_door = pytest.mark.parametrize("door", DOORS.values(), ids=DOORS)
each_path = pytest.mark.parametrize("path", PATHS)
Door = Callable[..., str]


@each_door
@pytest.mark.parametrize(("data", "decision"), DECISIONS.values(), ids=DECISIONS)
def test_the_decision_is_that_of_moderate(house, door: Door, data: bytes, decision: str):
    assert house.moderate(data)["decision"] == decision
    assert door(house, data) == decision


@each_door
def test_the_query_chooses_the_policy_and_the_context(house, door: Door):
    assert door(house, ADULT, policy="lenient") == "safe"
    assert door(house, ADULT, context="chat") == "safe"
    assert door(house, ADULT, policy="colours", context="chat") == "adult"


@each_path
def test_an_unknown_policy_is_told_in_the_paths_own_words(house, path: str):
    answer = ask(house, path, ADULT, policy="strictest")
    assert answer.status_code == 404
    assert "lenient" in message_of(path, answer)  # it lists the known ones


@each_door
def test_an_image_larger_than_what_others_may_send_is_taken(house, door: Door):
    assert len(LARGE) > 128 * 1024
    assert door(house, LARGE) == house.moderate(LARGE)["decision"]


@each_path
def test_a_broken_image_is_never_answered_with_scores(house, path: str):
    assert house.moderate(BROKEN)["error"]["code"] == "undecodable"
    answer = ask(house, path, BROKEN)
    if path == "/v1/detect-images":
        (result,) = answer.json()["result"]["results"]
        assert (result["success"], result["decision"], result["reason"]) == (False, "unknown", "undecodable")
        assert "predictions" not in result
    else:
        assert answer.status_code == (400 if path == "/v1/moderations" else 422)
        assert message_of(path, answer)


# What people decided.


def told(house: House, data: bytes) -> tuple[str, float, dict[str, float], dict[str, float]]:
    """Of all doors: the decision, which is one; OpenAI's score; Misskey's classes; and nsfw-api's."""
    (result,) = house.openai().moderations.create(input=[image_part(data)]).results
    (found,) = ask(house, "/v1/detect-images", data).json()["result"]["results"]
    answer = ask(house, "/classify", data)
    assert found["decision"] == answer.headers["demure-decision"] == result.decision
    classes = {each["className"]: each["probability"] for each in found["predictions"]}
    return result.decision, result.category_scores.sexual, classes, answer.json()


@pytest.mark.parametrize(("verdict", "score", "whole"), [("adult", 1, "Porn"), ("safe", 0, "Neutral")])
def test_a_verdict_is_remembered_through_every_door(own_house, verdict: str, score: float, whole: str):
    own_house.settle(own_house.moderate(UNSURE, review=True)["review"]["id"], verdict)
    known = own_house.moderate(UNSURE)
    assert (known["decision"], known["remembered"], known["scores"]) == (verdict, True, None)
    decision, sexual, classes, five = told(own_house, UNSURE)
    assert (decision, sexual) == (verdict, score)
    assert next(iter(classes)) == whole
    assert classes == {"Drawing": 0, "Hentai": 0, "Neutral": 0, "Porn": 0, "Sexy": 0} | {whole: 1}
    assert five == {name.lower(): value for name, value in classes.items()}


def test_what_was_escalated_is_not_let_through_as_neutral(own_house):
    review = own_house.moderate(UNSURE, review=True)["review"]["id"]
    own_house.ask("review", "POST", f"/v1/reviews/{review}/escalate", json={"version": 1}).raise_for_status()
    decision, sexual, classes, _ = told(own_house, UNSURE)
    assert (decision, sexual) == ("unknown", 0.5)
    assert (classes["Sexy"], classes["Neutral"]) == (1, 0)


def test_a_copy_of_what_a_person_judged_is_told_by_the_verdict_and_not_by_its_scores(own_house):
    """The tiny models see colours alone: what makes them unsure is tinted blue."""
    with Image.open(EXAMPLE) as photograph:
        tinted = Image.blend(photograph.convert("RGB"), Image.new("RGB", photograph.size, "blue"), 0.5)
    own_house.settle(own_house.moderate(encode(tinted, "PNG"), review=True)["review"]["id"], "adult")
    smaller = io.BytesIO()
    tinted.resize((tinted.width // 2, tinted.height // 2)).save(smaller, "JPEG", quality=60)
    known = own_house.moderate(smaller.getvalue())
    assert (known["reason"], known["scores"]["porn"] < 0.5) == ("near_copy", True)
    decision, sexual, classes, _ = told(own_house, smaller.getvalue())
    assert (decision, sexual, classes["Porn"]) == ("adult", 1, 1)


@each_door
def test_a_door_asks_people_where_it_is_told_to(own_house, door: Door):
    assert door(own_house, UNSURE) == "unknown"
    assert own_house.ask("review", "GET", "/v1/reviews").json()["reviews"] == []
    assert door(own_house, UNSURE, review="true", id="post-7", subject="user-3") == "unknown"
    (review,) = own_house.ask("review", "GET", "/v1/reviews").json()["reviews"]
    opened = own_house.ask("review", "GET", f"/v1/reviews/{review['id']}").json()
    assert opened["submissions"] == [{"id": "post-7", "subject": "user-3", "metadata": None}]


@pytest.mark.parametrize(("path", "field"), [("/v1/detect-images", "image{}"), ("/classify-many", "images")])
def test_each_of_several_images_has_a_name_of_its_own(own_house, path: str, field: str):
    other = encode(Image.new("RGB", (50, 50), "blue"), "PNG")
    files = [(field.format(number), ("a.png", data, "image/png")) for number, data in enumerate([UNSURE, other])]
    own_house.ask("classify", "POST", path, params={"review": "true", "id": "post-7"}, files=files).raise_for_status()
    opened = own_house.ask("review", "GET", "/v1/reviews").json()["reviews"]
    told = [own_house.ask("review", "GET", f"/v1/reviews/{each['id']}").json()["submissions"] for each in opened]
    assert sorted(one["id"] for (one,) in told) == ["post-7-1", "post-7-2"]


def test_another_sender_of_what_was_escalated_hears_of_the_verdict_that_comes_yet(own_house):
    review = own_house.moderate(UNSURE, review=True)["review"]["id"]
    own_house.ask("review", "POST", f"/v1/reviews/{review}/escalate", json={"version": 1}).raise_for_status()
    item = {"base64": base64.b64encode(UNSURE).decode(), "id": "post-2", "metadata": {"board": "cats"}}
    own_house.ask("classify", "POST", "/v1/moderate", json={"items": [item], "review": True}).raise_for_status()
    told = own_house.client.app.state.desk.reviews
    assert {"id": "post-2", "subject": None, "metadata": {"board": "cats"}} in told.submissions(told.get(review))


@each_path
def test_asking_people_needs_a_key(service, path: str):
    answer = service.post(path, params={"review": "true"}, **request_to(path, UNSURE))
    assert answer.status_code == 401
    assert "demure keys create" in message_of(path, answer)


# Who may, and how much.


@each_path
def test_this_machine_may_ask_without_a_key_where_there_is_none(service, path: str):
    assert service.post(path, **request_to(path, SAFE)).status_code == 200


@each_path
@pytest.mark.parametrize(("scope", "status"), [("nobody", 401), ("review", 403)])
def test_a_key_that_may_not_is_refused(house, path: str, scope: str, status: int):
    answer = ask(house, path, SAFE, scope)
    assert answer.status_code == status
    assert message_of(path, answer)
    assert (answer.headers.get("www-authenticate") == "Bearer") == (status == 401)


@each_path
def test_a_path_is_not_asked_otherwise(house, path: str):
    answer = house.ask("classify", "GET", path)
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    assert message_of(path, answer)


def test_a_key_that_asks_too_often_is_told_so_through_every_door(tiny, tmp_path):
    with keyed(tmp_path, tiny, DEMURE_RATE_LIMIT="1/hour") as house:
        assert house.moderate(SAFE)["decision"] == "safe"
        for path in PATHS:
            answer = ask(house, path, SAFE)
            assert answer.status_code == 429
            assert answer.headers["retry-after"]
            assert message_of(path, answer)


def test_overload_is_told_through_every_door_and_every_place_is_given_back(tiny, tmp_path):
    with keyed(tmp_path, tiny, DEMURE_MAX_HELD_BYTES="1000") as house:
        for path in PATHS:
            answer = ask(house, path, SAFE + bytes(2000))
            assert answer.status_code == 503
            assert answer.headers["retry-after"]
            assert "max_held_bytes" in message_of(path, answer)
        wait_until_nobody_is_admitted(house.client)


@pytest.mark.parametrize(("path", "field"), [("/v1/detect-images", "a"), ("/classify-many", "images")])
def test_every_image_of_a_request_takes_a_place(tiny, tmp_path, images, path: str, field: str):
    files = [(field, ("0.png", SAFE))] * 2
    with keyed(tmp_path, tiny, DEMURE_THREADS="1", DEMURE_MAX_WAITING="1") as house:
        with images.holding():
            url = images.url("/doors/held", SAFE)
            held = threading.Thread(target=lambda: house.ask("classify", "POST", "/predict", params={"url": url}))
            held.start()
            while not house.client.app.state.engine.workers.admitted:
                time.sleep(0.01)
            answer = house.ask("classify", "POST", path, files=files)
            assert (answer.status_code, "max_waiting" in message_of(path, answer)) == (503, True)
        held.join()
        wait_until_nobody_is_admitted(house.client)
        assert house.ask("classify", "POST", path, files=files).status_code == 200


@pytest.fixture(scope="module")
def hasty(tiny, tmp_path_factory) -> Iterator[httpx.Client]:
    """Gives a request half a second."""
    variables = {**tiny, "DEMURE_REQUEST_TIMEOUT_S": "0.5"}
    with serving(settings_for(tmp_path_factory.mktemp("hasty"), **variables)) as client:
        yield client


@each_path
def test_a_body_that_drips_is_ended_by_the_requests_own_time(hasty, path: str):
    is_json = path == "/v1/moderations"
    kind = "application/json" if is_json else "multipart/form-data; boundary=x"
    start = "" if is_json else '--x\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n'
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\nContent-Length: 9999\r\n\r\n{start}"
    with socket.create_connection((hasty.base_url.host, hasty.base_url.port), timeout=0.1) as connection:
        connection.sendall(head.encode())
        answer = b""
        while b"}" not in answer:
            with contextlib.suppress(ConnectionError):  # the answer may be out, and the end of the connection too
                connection.sendall(b"-")
            with contextlib.suppress(TimeoutError):
                answer += connection.recv(1000)
    assert answer.startswith(b"HTTP/1.1 504 ")
    assert b"request_timeout_s" in answer
    wait_until_nobody_is_admitted(hasty)


def test_images_and_bodies_past_their_limits_are_refused(tiny, tmp_path):
    with keyed(tmp_path, tiny, DEMURE_MAX_IMAGE_BYTES="1000", DEMURE_MAX_BODY_BYTES="4000") as house:
        for path in PATHS:
            body = ask(house, path, SAFE + bytes(5000))
            assert body.status_code == (400 if path == "/v1/moderations" else 413)
            assert "4,000 bytes" in message_of(path, body)
            image = ask(house, path, SAFE + bytes(1500))
            if path == "/v1/detect-images":
                assert image.json()["result"]["results"][0]["error"]["code"] == "REQUEST_TOO_LARGE"
            else:
                assert image.status_code == body.status_code
                assert message_of(path, image)


@pytest.mark.parametrize(("path", "field"), [("/v1/detect-images", "a"), ("/classify-many", "images")])
def test_as_many_images_are_taken_as_by_moderate_and_no_more(tiny, tmp_path, path: str, field: str):
    with keyed(tmp_path, tiny, DEMURE_MAX_ITEMS="2") as house:
        for count, status in ((2, 200), (3, 413)):
            answer = house.ask("classify", "POST", path, files=[(field, ("0.png", SAFE))] * count)
            assert answer.status_code == status
        assert "max_items" in message_of(path, answer)


@each_path
def test_the_log_tells_the_decision_as_for_moderate(house, capfd, path: str):
    name = f"log{path.replace('/', '-')}"
    house.ask("classify", "POST", path, extra={"x-request-id": name}, **request_to(path, SAFE)).raise_for_status()
    written = ""
    deadline = time.monotonic() + 20
    while f"request_id={name}" not in written:  # the answer is out a moment before
        assert time.monotonic() < deadline, written
        written += capfd.readouterr().err
        time.sleep(0.01)
    (line,) = [line for line in written.splitlines() if name in line]
    assert all(field in line for field in ("event=screened", "decision=safe", "sha256=", f"route={path}"))


@each_path
def test_a_value_of_the_query_that_does_not_fit_is_refused(house, path: str):
    for query in ({"review": "perhaps"}, {"subject": "x" * 257}):
        answer = ask(house, path, SAFE, **query)
        assert answer.status_code == (410 if path.startswith("/classify") else 400)
        assert next(iter(query)) in message_of(path, answer)


# The document.


@each_path
def test_the_openapi_document_describes_the_route(service, path: str):
    operation = service.get("/openapi.json").json()["paths"][path]["post"]
    (kind,) = operation["requestBody"]["content"]
    assert kind == ("application/json" if path == "/v1/moderations" else "multipart/form-data")
    assert {each["name"] for each in operation["parameters"]} == {
        "policy",
        "context",
        "id",
        "subject",
        "review",
        "keep",
    }
    described = json.dumps(operation["responses"])
    assert all(f"`{code}`" in described for code in ("overloaded", "key_required", "undecodable", "too_large"))
    statuses = {
        status for status in operation["responses"] if "`undecodable`" in json.dumps(operation["responses"][status])
    }
    assert statuses == {"400" if path == "/v1/moderations" else "422"}


def test_the_openai_client_is_the_one_whose_types_the_door_cites():
    assert openai.__version__.split(".")[0] == "3"
