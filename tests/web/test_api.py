"""/v1 over real HTTP, from an image server to the answer."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

import httpx
import pytest
from pictures import EXAMPLE, animation, encode, plain
from service import ImageServer, serving, settings_for
from sqlalchemy import func, select

import demure
from demure.reviews import Verdict
from demure.store.memory import HashKind, remember
from demure.store.schema import images as kept_images
from demure.store.schema import submissions

RED, GREEN, BLUE = ([255, 0, 0], [0, 255, 0], [0, 0, 255])


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
def test_every_form_may_ask_that_nothing_is_kept(quick, images, form):
    with quick() as client:

        def kept() -> int:
            count = select(func.count()).select_from(kept_images)
            return client.app.state.desk.database.read(lambda c: c.execute(count).scalar())

        no = False if form in (by_url, by_base64) else "false"
        assert form(client, images, SAFE, keep=no)["items"][0]["decision"] == "safe"
        assert kept() == 0
        form(client, images, SAFE)
        assert kept() == 1


def test_what_a_person_decided_answers_who_keeps_nothing_and_nothing_of_it_is_noted(quick, images):
    with quick() as client:
        database = client.app.state.desk.database
        entry = [(HashKind.SHA256, hashlib.sha256(UNSURE).digest())]
        database.write(lambda c: remember(c, 1, entry, Verdict.ADULT, "user:anna", None))
        (item,) = by_base64(client, images, UNSURE, keep=False)["items"]
        assert (item["decision"], item["reason"]) == ("adult", "remembered")
        encoded = base64.b64encode(UNSURE).decode()
        body = {"items": [{"base64": encoded, "subject": "member-9"}], "keep": False}
        client.post("/v1/moderate", json=body).raise_for_status()
        assert database.read(lambda c: c.execute(select(func.count()).select_from(submissions)).scalar()) == 0


@pytest.mark.parametrize("form", [by_form, by_bytes])
@pytest.mark.parametrize("word", ["true", "1", "yes", "on", "TRUE"])
def test_a_wish_in_words_means_what_it_says(quick, images, form, word):
    with quick() as client:
        form(client, images, SAFE, keep=word)
        count = select(func.count()).select_from(kept_images)
        assert client.app.state.desk.database.read(lambda c: c.execute(count).scalar()) == 1


@pytest.mark.parametrize("name", ["review", "keep"])
@pytest.mark.parametrize("word", ["maybe", "y", "-1"])
def test_a_wish_that_could_mean_either_is_refused(service, name, word):
    for answer in (
        service.post("/v1/moderate", files={"a": SAFE}, data={name: word}),
        service.post("/v1/moderate", content=SAFE, headers={"content-type": "image/png"}, params={name: word}),
    ):
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")
        assert answer.json()["detail"] == f"{name}: found {word!r}; expected true or false"


def test_a_review_of_what_is_not_kept_is_refused(service):
    encoded = base64.b64encode(UNSURE).decode()
    answer = service.post("/v1/moderate", json={"items": [{"base64": encoded}], "review": True, "keep": False})
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")


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
    "review": (b'{"items": [{"base64": ""}], "review": "yes"}', JSON, 400, "invalid_request"),
    "too-many-items": (b'{"items": [' + b",".join([b'{"base64": ""}'] * 33) + b"]}", JSON, 413, "too_large"),
    "curl-default": (b"x", {"content-type": "application/x-www-form-urlencoded"}, 415, "unsupported_media_type"),
    "no-type": (b"x", {}, 415, "unsupported_media_type"),
    "form-without-boundary": (b"x", {"content-type": "multipart/form-data"}, 400, "invalid_request"),
    "form-garbage": (b"x", {"content-type": "multipart/form-data; boundary=b"}, 400, "invalid_request"),
    **{
        f"form-in-{codec}": (
            b'--b\r\nContent-Disposition: form-data; name="f"; filename="+2AA-"\r\n\r\nx\r\n--b--\r\n',
            {"content-type": f"multipart/form-data; boundary=b; charset={codec}"},
            400,
            "invalid_request",
        )
        for codec in ("utf-7", "undefined", "unicode_escape", "idna", "latin-1")
    },
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
    ready = service.get("/readyz").json()
    assert ready | {"warnings": []} == {
        "ready": True,
        "weights": True,
        "sandbox": True,
        "storage": True,
        "warnings": [],
    }


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
