"""/v1 over real HTTP, from an image server to the answer."""

from __future__ import annotations

import base64
import gc
import hashlib
import re
import socket
import threading
import time
from pathlib import Path

import httpx
import numpy as np
import pytest
from pictures import EXAMPLE, animation, encode
from service import ImageServer, serving, settings_for

import demure

RED, GREEN, BLUE = ([255, 0, 0], [0, 255, 0], [0, 0, 255])


def plain(colour: list[int], side: int = 64) -> np.ndarray:
    return np.full((side, side, 3), colour, np.uint8)


ADULT, SAFE, UNSURE = (encode(plain(c), "PNG") for c in (RED, GREEN, BLUE))


def by_url(client: httpx.Client, images: ImageServer, data: bytes, **query: str) -> dict:
    url = images.url(f"/{hashlib.sha256(data).hexdigest()}", data)
    return client.post("/v1/moderate", json={"items": [{"url": url}], **query}).raise_for_status().json()


def by_base64(client: httpx.Client, images: ImageServer, data: bytes, **query: str) -> dict:
    items = [{"base64": base64.b64encode(data).decode()}]
    return client.post("/v1/moderate", json={"items": items, **query}).raise_for_status().json()


def by_form(client: httpx.Client, images: ImageServer, data: bytes, **query: str) -> dict:
    return client.post("/v1/moderate", files={"any": ("p.bin", data)}, data=query).raise_for_status().json()


def by_bytes(client: httpx.Client, images: ImageServer, data: bytes, **query: str) -> dict:
    answer = client.post("/v1/moderate", content=data, headers={"content-type": "image/png"}, params=query)
    return answer.raise_for_status().json()


FORMS = {"url": by_url, "base64": by_base64, "form": by_form, "bytes": by_bytes}
HEIC = (Path(__file__).parent.parent / "data" / "gradient-96x64.heic").read_bytes()
THIRD_IS_BAD = animation([plain(c) for c in (GREEN, [0, 254, 0], RED, [0, 250, 0])])
FILES = {
    "png": (SAFE, "safe", "image/png", 0),
    "webp": (encode(plain(GREEN), "WEBP"), "safe", "image/webp", 0),
    "avif": (encode(plain(GREEN), "AVIF"), "safe", "image/avif", 0),
    "heic": (HEIC, "unknown", "image/heic", 0),
    "third-frame-is-bad": (THIRD_IS_BAD, "adult", "image/gif", 2),
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize(("data", "decision", "kind", "worst"), FILES.values(), ids=FILES)
def test_every_form_answers_for_every_format(service, images, form, data, decision, kind, worst):
    answer = form(service, images, data)
    assert {*answer} == {"id", "model", "policy", "policy_version", "items"}
    assert (answer["model"], answer["policy"]) == ("colour", "colours")
    (item,) = answer["items"]
    assert (item["decision"], item["media"]["type"], item["media"]["worst_frame"]) == (decision, kind, worst)
    assert item["sha256"] == hashlib.sha256(data).hexdigest()
    assert "error" not in item


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_every_form_takes_a_policy(service, images, form):
    assert form(service, images, ADULT)["items"][0]["decision"] == "adult"
    answer = form(service, images, ADULT, policy="lenient")
    assert (answer["policy"], answer["items"][0]["decision"]) == ("lenient", "safe")


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_an_image_that_cannot_be_read_is_an_unknown_item_in_every_form(service, images, form):
    (item,) = form(service, images, SAFE[:60])["items"]
    assert (item["decision"], item["reason"], item["error"]["code"]) == ("unknown", "undecodable", "undecodable")
    assert item["scores"] is None


def test_a_batch_of_32_with_three_bad_items_answers_each_in_its_place(service, images):
    good = images.url("/good", SAFE)
    items = [{"id": str(i), "url": good} for i in range(32)]
    items[3] = {"id": "3", "url": images.url("/absent")}
    items[17] = {"id": "17", "base64": base64.b64encode(b"no image").decode()}
    items[31] = {"id": "31", "url": "http://10.0.0.1/"}
    answer = service.post("/v1/moderate", json={"items": items}).raise_for_status().json()
    assert [item["id"] for item in answer["items"]] == [str(i) for i in range(32)]
    errors = {item["id"]: item["error"]["code"] for item in answer["items"] if "error" in item}
    assert errors == {"3": "upstream_status", "17": "not_an_image", "31": "url_not_allowed"}
    assert [item["decision"] for item in answer["items"]].count("safe") == 29


def test_an_item_is_the_object_of_the_library(service, images):
    (item,) = by_url(service, images, ADULT)["items"]
    keys = {*demure.screen(EXAMPLE).as_dict()}
    assert {*item} == keys
    assert {*item["timings_ms"]} == {"fetch", "decode", "classify", "total"}


def test_context_chooses_the_policy_of_an_item(service):
    encoded = base64.b64encode(ADULT).decode()
    items = [{"base64": encoded}, {"base64": encoded, "context": "chat"}, {"base64": encoded, "context": "elsewhere"}]
    answer = service.post("/v1/moderate", json={"items": items}).json()
    assert [item["decision"] for item in answer["items"]] == ["adult", "safe", "adult"]
    named = service.post("/v1/moderate", json={"items": items, "policy": "colours"}).json()
    assert [item["decision"] for item in named["items"]] == ["adult", "adult", "adult"]


def test_a_form_may_carry_several_files(service):
    files = [("a", ("one.png", ADULT)), ("a", ("two.png", SAFE)), ("b", ("three.png", UNSURE))]
    answer = service.post("/v1/moderate", files=files).json()
    found = [(item["id"], item["decision"]) for item in answer["items"]]
    assert found == [("one.png", "adult"), ("two.png", "safe"), ("three.png", "unknown")]


def test_base64_may_stand_in_a_data_url(service):
    item = {"base64": "data:image/png;base64," + base64.b64encode(SAFE).decode()}
    assert service.post("/v1/moderate", json={"items": [item]}).json()["items"][0]["decision"] == "safe"


def test_an_empty_raw_body_is_an_unknown_item(service):
    answer = service.post("/v1/moderate", content=b"", headers={"content-type": "image/png"})
    assert (answer.status_code, answer.json()["items"][0]["reason"]) == (200, "empty_body")


JSON = {"content-type": "application/json"}
MALFORMED = {
    "no-json": (b"{", JSON, 400, "invalid_request"),
    "not-an-object": (b"[]", JSON, 400, "invalid_request"),
    "no-items": (b"{}", JSON, 400, "invalid_request"),
    "empty-items": (b'{"items": []}', JSON, 400, "invalid_request"),
    "unknown-key": (b'{"items": [{"url": "http://a.b/"}], "polcy": "x"}', JSON, 400, "invalid_request"),
    "unknown-item-key": (b'{"items": [{"uri": "http://a.b/"}]}', JSON, 400, "invalid_request"),
    "id-is-a-number": (b'{"items": [{"id": 3, "url": "http://a.b/"}]}', JSON, 400, "invalid_request"),
    "deep": (b"[" * 100_000, JSON, 400, "invalid_request"),
    "million-items": (b'{"items": [' + b"{}," * 1_000_000 + b"{}]}", JSON, 413, "too_large"),
    "million-numbers": (b'{"items": [' + b"1," * 1_000_000 + b"1]}", JSON, 413, "too_large"),
    "million-parts-of-metadata": (
        b'{"items": [{"metadata": {"a": [' + b"[]," * 500_000 + b"[]]}}]}",
        JSON,
        413,
        "too_large",
    ),
    "unknown-policy": (b'{"items": [{"base64": ""}], "policy": "nope"}', JSON, 404, "unknown_policy"),
    "path-as-policy": (b'{"items": [{"base64": ""}], "policy": "/etc/x.toml"}', JSON, 404, "unknown_policy"),
    "review": (b'{"items": [{"base64": ""}], "review": true}', JSON, 400, "invalid_request"),
    "too-many-items": (b'{"items": [' + b",".join([b'{"base64": ""}'] * 33) + b"]}", JSON, 413, "too_large"),
    "curl-default": (b"x", {"content-type": "application/x-www-form-urlencoded"}, 415, "unsupported_media_type"),
    "no-type": (b"x", {}, 415, "unsupported_media_type"),
    "form-without-boundary": (b"x", {"content-type": "multipart/form-data"}, 400, "invalid_request"),
    "form-garbage": (b"x", {"content-type": "multipart/form-data; boundary=b"}, 400, "invalid_request"),
    "form-without-file": (b"--b--\r\n", {"content-type": "multipart/form-data; boundary=b"}, 400, "invalid_request"),
}


@pytest.mark.parametrize(("body", "headers", "status", "code"), MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_request_is_a_problem_document(service, body, headers, status, code):
    answer = service.post("/v1/moderate", content=body, headers=headers)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    problem = answer.json()
    assert {*problem} == {"type", "title", "status", "detail", "code", "request_id"}
    assert (problem["code"], problem["status"]) == (code, status)
    assert problem["request_id"] == answer.headers["x-request-id"]


@pytest.mark.parametrize("text", ["é", "AAA", "A" * 5, "====", "\\u0000"])
def test_base64_that_is_none_is_the_items_own_error(service, text):
    good = base64.b64encode(SAFE).decode()
    answer = (
        service.post("/v1/moderate", json={"items": [{"base64": text}, {"base64": good}]}).raise_for_status().json()
    )
    assert [item.get("error", {}).get("code") for item in answer["items"]] == ["invalid_request", None]


def test_a_batch_larger_than_all_places_is_answered_when_nobody_else_is_there(quick):
    items = [{"base64": base64.b64encode(SAFE).decode()}] * 6
    with quick(DEMURE_THREADS="1", DEMURE_MAX_WAITING="2") as client:
        answer = client.post("/v1/moderate", json={"items": items})
        assert [item["decision"] for item in answer.json()["items"]] == ["safe"] * 6
        wait_until_nobody_is_admitted(client)


def test_fetched_bytes_are_held_by_requests_too(quick, images):
    with quick(DEMURE_MAX_HELD_BYTES="5000") as client:
        large, small = images.url("/held-large", SAFE + bytes(6000)), images.url("/held-small", SAFE)
        answer = client.post("/v1/moderate", json={"items": [{"url": large}, {"url": small}]}).json()
        assert answer["items"][0]["reason"] == "overloaded"
        answer = client.post("/predict", params={"url": large})
        assert (answer.status_code, answer.json()["code"]) == (503, "overloaded")
        assert client.post("/predict", params={"url": small}).status_code == 200  # all was given back


def test_a_body_that_goes_on_past_its_limit_while_a_url_is_fetched_is_told_so(quick, images):
    with quick(DEMURE_MAX_BODY_BYTES="1000") as client, images.holding():
        url = images.url("/slow-body", SAFE)
        answer = client.post("/predict", params={"url": url}, content=iter([b"x" * 900] * 3))
        assert (answer.status_code, answer.json()["code"]) == (413, "too_large")


def test_a_client_that_leaves_in_mid_upload_is_no_fault_of_ours(quick, capfd):
    with quick() as client:
        host, port = client.base_url.host, client.base_url.port
        with socket.create_connection((host, port)) as half:
            half.sendall(
                b"POST /v1/moderate HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\nContent-Length: 1000\r\n\r\nab"
            )
            workers = client.app.state.engine.workers
            while not workers.admitted:
                time.sleep(0.01)
        wait_until_nobody_is_admitted(client)
    log = capfd.readouterr().err
    assert "client=gone" in log
    assert "level=error" not in log


def test_clients_that_leave_in_numbers_leave_no_traceback(quick, images, capfd):
    with quick() as client, images.holding():
        items = [{"url": images.url("/left-2", SAFE)}] * 3
        for _ in range(5):
            with pytest.raises(httpx.ReadTimeout):
                client.post("/v1/moderate", json={"items": items}, timeout=0.1)
        wait_until_nobody_is_admitted(client)
        gc.collect()
    assert "never retrieved" not in capfd.readouterr().err


def test_a_name_in_a_path_cannot_forge_a_log_line(service, capfd):
    service.post("/models/x%0d%0aevent=forged%1b[31m/predict", params={"url": "http://a.com/"})
    log = capfd.readouterr().err
    assert "forged" not in log
    assert "\x1b" not in log


def test_health_may_be_asked_by_head_and_a_wrong_method_is_told_the_right_ones(service):
    for path in ("/health", "/livez"):
        answer = service.head(path)
        assert (answer.status_code, answer.content) == (200, b"")
    assert service.get("/predict").headers["allow"] == "POST"


def test_an_unknown_field_of_a_form_is_refused(service):
    answer = service.post("/v1/moderate", files={"a": SAFE}, data={"polcy": "x"})
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")
    assert "'polcy'" in answer.json()["detail"]


def test_models_are_listed(service):
    listed = {model["name"]: model for model in service.get("/v1/models").json()}
    assert {*listed} >= {"mobilenet_v2_140", "open_nsfw", "colour", "redness"}
    assert [name for name, model in listed.items() if model["default"]] == ["colour"]
    assert listed["redness"]["kind"] == "witness"


def test_policies_are_listed_with_their_rules(service):
    listed = {policy["name"]: policy for policy in service.get("/v1/policies").json()}
    assert {*listed} == {"balanced", "strict", "permissive", "original", "colours", "lenient"}
    assert listed["colours"]["adult"] == "porn >= 0.8 and redness >= 0.8"
    assert listed["lenient"]["adult"] == "never"


def test_it_lives_and_is_ready(service):
    assert service.get("/livez").json() == {"status": "ok"}
    assert service.get("/readyz").json() == {"ready": True, "weights": True, "sandbox": True}


def test_a_service_without_decoders_is_not_ready(quick):
    with quick() as client:
        client.app.state.engine.sandbox.close()
        answer = client.get("/readyz")
        assert (answer.status_code, answer.json()["sandbox"]) == (503, False)


def test_a_request_id_is_taken_over_or_made(service):
    assert service.get("/health", headers={"x-request-id": "mine-1"}).headers["x-request-id"] == "mine-1"
    made = service.get("/health", headers={"x-request-id": "a b\x7f"}).headers["x-request-id"]
    assert len(made) == 16


def test_a_deadline_that_passes_is_an_unknown_item(quick, images):
    with quick(DEMURE_REQUEST_TIMEOUT_S="2") as client, images.holding():
        items = [{"url": images.url("/slow", SAFE)}, {"base64": "AA=="}]
        answer = client.post("/v1/moderate", json={"items": items})
    assert [item["reason"] for item in answer.json()["items"]] == ["timed_out", "not_an_image"]


def wait_until_nobody_is_admitted(client: httpx.Client) -> None:
    """An answer is out a moment before its places are given back."""
    workers = client.app.state.engine.workers
    deadline = time.monotonic() + 20
    while workers.admitted:
        assert time.monotonic() < deadline, f"{workers.admitted} places are held"
        time.sleep(0.01)


def hold(client: httpx.Client, images: ImageServer, count: int) -> list[threading.Thread]:
    """So many requests that wait for a slow image."""
    url = images.url("/held", SAFE)
    threads = [
        threading.Thread(
            target=lambda: httpx.post(f"{client.base_url}/predict", params={"url": url}, timeout=30), daemon=True
        )
        for _ in range(count)
    ]
    for thread in threads:
        thread.start()
    workers = client.app.state.engine.workers
    while workers.admitted < count:
        time.sleep(0.01)
    return threads


def answer_to_head(client: httpx.Client, content_type: str, length: int) -> str:
    """All that comes back for a request whose body is announced and never sent."""
    head = f"POST /v1/moderate HTTP/1.1\r\nHost: localhost\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n\r\n"
    with socket.create_connection((client.base_url.host, client.base_url.port), timeout=30) as connection:
        connection.sendall(head.encode())
        with connection.makefile("rb") as answer:
            return answer.read().decode()


def test_overload_is_answered_at_once_before_the_body_is_read(quick, images):
    with quick(DEMURE_THREADS="1", DEMURE_MAX_WAITING="1") as client:
        with images.holding():
            threads = hold(client, images, 2)
            answer = answer_to_head(client, "image/png", 1_000_000)
            assert answer.startswith("HTTP/1.1 503 ")
            assert re.search(r"^retry-after: [1-9]", answer, re.MULTILINE)
            assert '"code": "overloaded"' in answer
            assert client.get("/health").status_code == 200
            assert client.app.state.engine.workers.admitted == 2  # they waited all the while
        for thread in threads:
            thread.join()
        wait_until_nobody_is_admitted(client)
        assert client.post("/v1/moderate", content=SAFE, headers={"content-type": "image/png"}).status_code == 200


def test_a_client_that_leaves_gives_its_place_back(quick, images):
    with quick() as client, images.holding():
        with pytest.raises(httpx.ReadTimeout):
            client.post("/predict", params={"url": images.url("/left", SAFE)}, timeout=0.3)
        wait_until_nobody_is_admitted(client)  # though the image never came


def test_a_body_past_its_limit_is_refused_before_it_is_read(quick):
    with quick(DEMURE_MAX_BODY_BYTES="1000") as client:
        told = answer_to_head(client, "application/json", 1001)
        assert told.startswith("HTTP/1.1 413 ")
        assert '"code": "too_large"' in told

        def chunks():
            for _ in range(50):
                yield b"x" * 100

        untold = client.post("/v1/moderate", content=chunks(), headers={"content-type": "application/json"})
        assert (untold.status_code, untold.json()["code"]) == (413, "too_large")
        assert client.get("/health").status_code == 200


def test_a_raw_image_past_its_limit_is_refused_told_or_not(quick):
    with quick(DEMURE_MAX_IMAGE_BYTES="1000") as client:
        for content in (b"x" * 1001, iter([b"x" * 600, b"x" * 600])):
            answer = client.post("/v1/moderate", content=content, headers={"content-type": "image/png"})
            assert (answer.status_code, answer.json()["code"]) == (413, "too_large")


def test_bytes_held_by_all_requests_have_a_limit(quick):
    with quick(DEMURE_MAX_HELD_BYTES="2000") as client:
        answer = client.post("/v1/moderate", content=b"x" * 3000, headers={"content-type": "image/png"})
        assert (answer.status_code, answer.json()["code"]) == (503, "overloaded")
        wait_until_nobody_is_admitted(client)
        answer = client.post("/v1/moderate", content=b"x" * 1500, headers={"content-type": "image/png"})
        assert answer.status_code == 200  # what the first one held was given back


def test_a_fault_of_ours_is_a_problem_that_tells_nothing(quick, tiny, tmp_path):
    with quick() as client:
        client.app.state.engine._screeners.clear()
        client.app.state.engine.policies["colours"] = None
        answer = client.post("/v1/moderate", content=SAFE, headers={"content-type": "image/png"})
    assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
    assert "NoneType" not in answer.text


def test_a_path_that_is_not_there_needs_a_key_to_be_told(service):
    assert service.get("/v1/nothing").status_code == 401
    assert service.get("/models/x/nothing").json()["code"] == "not_found"
    answer = service.get("/predict")
    assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed")


def test_the_real_models_over_http(tmp_path, images):
    with serving(settings_for(tmp_path)) as client:
        url = images.url("/coffee.jpg", EXAMPLE.read_bytes())
        (item,) = client.post("/v1/moderate", json={"items": [{"url": url}]}).json()["items"]
        expected = demure.screen(EXAMPLE).as_dict()
        for key in ("decision", "reason", "score", "scores", "witnesses", "media", "sha256"):
            assert item[key] == expected[key]
        assert client.post("/predict", params={"url": url}).json() == expected["scores"]
