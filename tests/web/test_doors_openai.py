"""OpenAI's moderation, asked by OpenAI's own client."""

from __future__ import annotations

import hashlib

import openai
import pytest
from doors import ADULT, BROKEN, SAFE, UNSURE, image_part, keyed
from openai.types import ModerationCreateResponse
from openai.types.moderation import Categories, CategoryAppliedInputTypes, CategoryScores
from pydantic import BaseModel


@pytest.fixture(scope="module")
def house(tiny, tmp_path_factory):
    with keyed(tmp_path_factory.mktemp("openai"), tiny) as house:
        yield house


def by_url(url: object) -> dict:
    return {"type": "image_url", "image_url": {"url": url}}


def names(model: type[BaseModel]) -> set[str]:
    return {field.alias or name for name, field in model.model_fields.items()}


@pytest.mark.parametrize(("data", "flagged", "score"), [(ADULT, True, 1), (SAFE, False, 0), (UNSURE, False, 0.5)])
def test_the_client_reads_the_answer(house, data: bytes, flagged: bool, score: float):
    """The tiny models' risk: red, and half of blue."""
    answer = house.openai().moderations.create(model="omni-moderation-latest", input=[image_part(data)])
    assert isinstance(answer, ModerationCreateResponse)
    assert answer.id.startswith("modr-")
    assert answer.model == "colour"
    (result,) = answer.results
    assert (result.flagged, result.categories.sexual) == (flagged, flagged)
    assert result.category_scores.sexual == pytest.approx(score, abs=1e-4)
    assert result.category_applied_input_types.sexual == ["image"]
    item = house.moderate(data)
    assert (result.decision, result.reason, result.sha256) == (item["decision"], item["reason"], item["sha256"])
    assert result.category_scores.sexual == item["score"]
    assert answer._request_id


def test_every_key_of_the_clients_types_is_there_and_nothing_else_is_said_of_them(house):
    raw = house.openai().moderations.with_raw_response.create(input=[image_part(ADULT)]).http_response.json()
    (result,) = raw["results"]
    for key, model, nothing in (
        ("categories", Categories, False),
        ("category_scores", CategoryScores, 0.0),
        ("category_applied_input_types", CategoryAppliedInputTypes, []),
    ):
        assert {*result[key]} == names(model)
        assert all(value == nothing for name, value in result[key].items() if name != "sexual")


def test_an_image_is_fetched_from_its_url(house, images):
    url = images.url("/openai/red.png", ADULT)
    (result,) = house.openai().moderations.create(input=[by_url(url)]).results
    item = house.ask("classify", "POST", "/v1/moderate", json={"items": [{"url": url}]}).json()["items"][0]
    assert (result.flagged, result.decision, result.sha256) == (True, item["decision"], item["sha256"])
    assert result.sha256 == hashlib.sha256(ADULT).hexdigest()


def test_a_review_is_told_with_its_place(house):
    query = {"review": "true", "id": "post-7"}
    (result,) = house.openai().moderations.create(input=[image_part(UNSURE)], extra_query=query).results
    assert result.review["state"] == "open"
    house.settle(result.review["id"], "safe")
    (again,) = house.openai().moderations.create(input=[image_part(UNSURE)]).results
    assert (again.decision, again.category_scores.sexual, again.review) == ("safe", 0.0, None)


INPUTS = {
    "text": ("is this fine?", "text is not judged"),
    "texts": (["one", "two"], "text is not judged"),
    "text-part": ([{"type": "text", "text": "hello"}], "text is not judged"),
    "text-beside-an-image": ([{"type": "text", "text": "hello"}, image_part(SAFE)], "text is not judged"),
    "nothing": ([], "number of images is 0"),
    "as-many-as-are-looked-at": ([""] * 100, "text is not judged"),
    "one-more": ([""] * 101, "number of parts is 101"),
    "as-many-as-json-may-have": ([""] * 80_000, "number of parts is 80000"),
    "two-images": ([image_part(SAFE), image_part(SAFE)], "number of images is 2"),
    "no-url": ([{"type": "image_url", "image_url": {}}], "url"),
    "no-image": ([{"type": "image_url"}], "image_url"),
    "bare-url": ([{"type": "image_url", "image_url": "https://example.org/a.png"}], "image_url"),
    "url-is-a-number": ([by_url(3)], "url"),
    "another-type": ([{"type": "video_url", "video_url": {"url": "https://example.org/"}}], "type"),
    "an-object": ({"type": "image_url"}, "input"),
    "null": (None, "input"),
}


@pytest.mark.parametrize(("given", "said"), INPUTS.values(), ids=INPUTS)
def test_what_is_not_one_image_is_a_bad_request_and_never_unflagged(house, given: object, said: str):
    with pytest.raises(openai.BadRequestError, match=said) as refused:
        house.openai().moderations.create(input=given)
    error = refused.value
    assert (error.code, error.type, error.param) == ("invalid_request", "invalid_request_error", "input")


IMAGES = {
    "cut-short": (image_part(BROKEN), "undecodable"),
    "no-image": (image_part(b"hello"), "not_an_image"),
    "empty": (by_url("data:image/png;base64,"), "empty_body"),
    "svg": (image_part(b"<svg/>", "image/svg+xml"), "unsupported_format"),
    "not-base64": (by_url("data:image/png;base64,%%%"), "invalid_request"),
    "in-capitals": (by_url("DATA:image/png;base64,eHh4"), "not_an_image"),
    "private-address": (by_url("http://169.254.169.254/latest/meta-data/"), "url_not_allowed"),
    "another-scheme": (by_url("file:///etc/passwd"), "url_not_allowed"),
    "no-scheme": (by_url("example.org/a.png"), "url_not_allowed"),
}


@pytest.mark.parametrize(("part", "code"), IMAGES.values(), ids=IMAGES)
def test_an_image_that_cannot_be_judged_is_a_bad_request(house, part: dict, code: str):
    with pytest.raises(openai.BadRequestError) as refused:
        house.openai().moderations.create(input=[part])
    assert (refused.value.code, refused.value.param) == (code, "input")
    assert refused.value.body["message"]


def test_a_url_that_gives_nothing_is_a_bad_request(house, images):
    with pytest.raises(openai.BadRequestError) as refused:
        house.openai().moderations.create(input=[by_url(images.url("/openai/absent"))])
    assert refused.value.code == "upstream_status"
    with pytest.raises(openai.BadRequestError) as refused:
        house.openai().moderations.create(input=[by_url("http://127.0.0.1:9/a.png")])
    assert refused.value.code == "upstream_unreachable"


@pytest.mark.parametrize("media_type", ["text/plain", "multipart/form-data; boundary=x", "image/png"])
def test_another_type_of_body_is_a_bad_request(house, media_type: str):
    answer = house.ask("classify", "POST", "/v1/moderations", content=b"{}", extra={"content-type": media_type})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "unsupported_media_type")


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"{}", b'{"input": [' * 20000])
def test_what_is_no_json_of_this_form_is_a_bad_request(house, body: bytes):
    answer = house.ask("classify", "POST", "/v1/moderations", content=body, extra={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["error"]["type"]) == (400, "invalid_request_error")


# Each refusal as the exception that the client has for it.


@pytest.mark.parametrize(
    ("scope", "kind", "code"),
    [("nobody", openai.AuthenticationError, "key_required"), ("review", openai.PermissionDeniedError, "not_permitted")],
)
def test_a_key_that_may_not_raises_the_clients_own_exception(house, scope: str, kind: type, code: str):
    with pytest.raises(kind) as refused:
        house.openai(scope).moderations.create(input=[image_part(SAFE)])
    assert (refused.value.code, refused.value.type) == (code, "invalid_request_error")


def test_an_unknown_policy_is_not_found(house):
    with pytest.raises(openai.NotFoundError) as refused:
        house.openai().moderations.create(input=[image_part(SAFE)], extra_query={"policy": "strictest"})
    assert refused.value.code == "unknown_policy"


def test_too_many_requests_raise_rate_limit_error(tiny, tmp_path):
    with keyed(tmp_path, tiny, DEMURE_RATE_LIMIT="1/hour") as house:
        client = house.openai()
        client.moderations.create(input=[image_part(SAFE)])
        with pytest.raises(openai.RateLimitError) as refused:
            client.moderations.create(input=[image_part(SAFE)])
    assert (refused.value.code, refused.value.response.headers["retry-after"]) == ("rate_limited", "1")


def test_overload_raises_internal_server_error_which_the_client_tries_again(tiny, tmp_path):
    with keyed(tmp_path, tiny, DEMURE_MAX_HELD_BYTES="1000") as house:
        with pytest.raises(openai.InternalServerError) as refused:
            house.openai().with_options(max_retries=1).moderations.create(input=[image_part(SAFE + bytes(2000))])
        assert (refused.value.code, refused.value.type) == ("overloaded", "server_error")
        assert refused.value.request.headers["x-stainless-retry-count"] == "1"
