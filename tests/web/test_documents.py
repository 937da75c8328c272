"""The documents promise what there is: a heading for every route, setting and code. Their examples: test_documents_run.py."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from demure.settings import PREFIX, Settings
from demure.web.problems import SETUP_CODES, STATUS

ROOT = Path(__file__).parent.parent.parent
DOCS = ROOT / "docs"
API, SETTINGS = ((DOCS / name).read_text() for name in ("api.md", "settings.md"))


def headings(text: str) -> set[str]:
    return set(re.findall(r"^### (.+)$", text, re.MULTILINE))


def test_every_setting_has_a_heading_and_no_other_has():
    assert headings(SETTINGS) == {PREFIX + name.upper() for name in Settings.model_fields}


@pytest.mark.parametrize(
    "name",
    [n for n, f in Settings.model_fields.items() if isinstance(f.default, int | float | str) and f.default != ""],
)
def test_a_settings_default_is_the_documented_one(name: str):
    section = SETTINGS.partition(f"### {PREFIX}{name.upper()}\n")[2].partition("\n###")[0]
    default = Settings.model_fields[name].default
    written = f"{default:g}" if isinstance(default, float) else str(default)
    assert re.search(rf"Default `?{re.escape(written)}\b", section), section


def test_every_route_and_every_code_has_a_heading_and_no_other_has(service):
    document = service.get("/openapi.json").json()
    routes = {f"{method.upper()} {path}" for path, methods in document["paths"].items() for method in methods}
    assert headings(API) == routes | {*STATUS}


@pytest.mark.parametrize("code", STATUS)
def test_a_codes_status_is_the_documented_one(code: str):
    section = API.partition(f"### {code}\n")[2]
    assert section.strip().startswith(str(STATUS[code]))


def test_every_error_has_a_status():
    from demure.errors import by_code

    assert {*by_code()} - SETUP_CODES | {"invalid_request"} == {*STATUS}


def test_the_documents_page_explains_every_code_and_loads_nothing(service):
    page = service.get("/docs")
    assert page.headers["content-security-policy"].startswith("default-src 'none'")
    for code in STATUS:
        assert f"id='{code}'" in page.text
    assert not re.search(r"""(src|href)=["'](https?:)?//""", page.text)


def test_no_reference_of_the_openapi_document_leads_nowhere(service):
    document = service.get("/openapi.json").json()
    for reference in re.findall(r'"\$ref": "#/([^"]+)"', json.dumps(document)):
        place = document
        for part in reference.split("/"):
            place = place[part]


def test_the_openapi_document_names_every_error_of_a_route(service):
    document = service.get("/openapi.json").json()
    answers = document["paths"]["/v1/moderate"]["post"]["responses"]
    described = " ".join(answer["description"] for answer in answers.values())
    for code in ("overloaded", "too_large", "unsupported_media_type", "key_required", "timed_out", "unknown_policy"):
        assert f"`{code}`" in described
    bodies = document["paths"]["/v1/moderate"]["post"]["requestBody"]["content"]
    assert {*bodies} == {"application/json", "multipart/form-data", "image/*", "application/octet-stream"}


@pytest.mark.parametrize(
    ("method", "path", "codes"),
    [
        ("post", "/v1/reviews", ("url_not_allowed", "not_an_image", "upstream_timeout", "unsupported_media_type")),
        ("get", "/v1/reviews/{id}", ("invalid_request", "not_found")),
    ],
)
def test_the_openapi_document_names_what_may_be_wrong_with_a_review(service, method, path, codes):
    answers = service.get("/openapi.json").json()["paths"][path][method]["responses"]
    described = " ".join(answer["description"] for answer in answers.values())
    assert [code for code in codes if f"`{code}`" not in described] == []


def moderate_bodies(service) -> dict:
    document = service.get("/openapi.json").json()
    return document["paths"]["/v1/moderate"]["post"]["requestBody"]["content"]


def test_the_openapi_document_forbids_a_form_that_would_be_refused(service):
    schema = moderate_bodies(service)["multipart/form-data"]["schema"]
    assert schema["properties"]["file"]["minItems"] == 1
    assert schema["additionalProperties"] is False
    assert service.post("/v1/moderate", files={"policy": (None, "strict")}).status_code == 400
    assert service.post("/v1/moderate", files={"file": b"x", "colour": (None, "red")}).status_code == 400


@pytest.mark.parametrize(("review", "status"), [(False, 200), (True, 401), (0, 400), ("false", 400), (None, 400)])
def test_the_openapi_document_and_the_service_take_the_same_for_review(service, review, status: int):
    schema = moderate_bodies(service)["application/json"]["schema"]["properties"]["review"]
    assert schema["type"] == "boolean"
    body = {"items": [{"base64": "aGVsbG8="}], "review": review}
    assert service.post("/v1/moderate", json=body).status_code == status


def test_the_openapi_document_says_which_operations_always_need_a_key(service):
    document = service.get("/openapi.json").json()
    assert document["components"]["securitySchemes"]["key"]["scheme"] == "bearer"
    needs = {(path, method): op["security"] for path, ops in document["paths"].items() for method, op in ops.items()}
    assert needs["/health", "get"] == []
    assert needs["/v1/moderate", "post"] == [{}, {"key": []}]
    always = [(path, method) for (path, method), security in needs.items() if security == [{"key": []}]]
    assert len(always) >= 15
    for path, method in always:
        assert service.request(method, path.replace("{", "").replace("}", "")).json()["code"] == "key_required", path
