"""The documents promise what there is: a heading for every route, setting and code, and examples that work."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from pictures import EXAMPLE
from service import serving, settings_for

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


def examples() -> list[tuple[str, str]]:
    """Each command, and the JSON that the next block says it answers, if it says so at once."""
    blocks = re.findall(r"```console\n\$ (.+?)\n```(?:\n\n```json\n(.+?)\n```)?", API + SETTINGS, re.DOTALL)
    assert len(blocks) >= 11
    return blocks


@pytest.fixture(scope="module")
def real_service(tmp_path_factory):
    with serving(settings_for(tmp_path_factory.mktemp("documents"))) as client:
        yield client


@pytest.mark.parametrize(
    ("command", "answer"), examples(), ids=lambda text: text[:60] if text.startswith("curl") else ""
)
def test_an_example_works_and_answers_as_written(real_service, images, tmp_path, command: str, answer: str):
    assert shutil.which("curl"), "most examples are curl commands"
    shutil.copy(EXAMPLE, tmp_path / "picture.jpg")
    shutil.copy(EXAMPLE, tmp_path / "another.png")
    is_request = command.startswith("curl")
    command = command.replace("http://localhost:8080", str(real_service.base_url).rstrip("/"))
    command = command.replace("https://example.org/picture.jpg", images.url("/picture.jpg", EXAMPLE.read_bytes()))
    command += " --fail --silent --show-error" if is_request else ""
    bin_first = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": bin_first, "DEMURE_DATA_DIR": str(tmp_path / "data")}
    done = subprocess.run(
        command, shell=True, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    if is_request:
        found = json.loads(done.stdout)
        assert not answer or found == pytest.approx(json.loads(answer), abs=1e-4)
    else:
        assert done.stdout


def test_the_readmes_program_runs_and_its_request_answers_as_printed(real_service):
    readme = (ROOT / "README.md").read_text()
    (program,) = re.findall(r"```python\n(.+?)\n```", readme, re.DOTALL)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    (command,) = re.findall(r"^    (curl .+)$", readme, re.MULTILINE)
    (printed,) = re.findall(r"```json\n(.+?)\n```", readme, re.DOTALL)
    command = command.replace("http://127.0.0.1:8080", str(real_service.base_url).rstrip("/"))
    found = json.loads(subprocess.run(command, shell=True, cwd=ROOT, capture_output=True, text=True, check=True).stdout)
    written = json.loads(printed)
    assert {*found} == {*written}
    for key in ("decision", "reason", "score", "scores", "witnesses", "remembered"):
        assert found["items"][0][key] == pytest.approx(written["items"][0][key], abs=1e-4)
    assert {*found["items"][0]} == {*written["items"][0]}


def test_the_long_answer_is_what_the_first_example_gives(real_service, images):
    (written,) = [json.loads(b) for b in re.findall(r"```json\n(.+?)\n```", API, re.DOTALL) if '"items"' in b]
    item = {"id": "avatar-7", "url": images.url("/picture.jpg", EXAMPLE.read_bytes())}
    found = real_service.post("/v1/moderate", json={"items": [item], "policy": "strict"}).json()
    for answer in (written, found):
        del answer["id"], answer["items"][0]["timings_ms"]
    assert found["items"][0].pop("scores") == pytest.approx(written["items"][0].pop("scores"), abs=1e-4)
    assert found["items"][0].pop("witnesses") == pytest.approx(written["items"][0].pop("witnesses"), abs=1e-4)
    assert found["items"][0].pop("score") == pytest.approx(written["items"][0].pop("score"), abs=1e-4)
    assert found == written


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
