"""What Flask adds: its configuration, its errors, several sets of rules."""

from __future__ import annotations

import io

import pytest
from flask import Flask, request
from hooks.apps.flask_site import Site
from hooks.apps.seen import BLUE, GREEN, RED

from demure.hooks import Rules
from demure.hooks.flask import Demure


def app_with(demure: Demure) -> Flask:
    app = Flask(__name__)
    demure.init_app(app)

    @app.post("/")
    def submit() -> str:
        return str(demure.check(request.files["image"], id="post-8", subject="user-3", metadata={"a": 1}).review)

    return app


def post(app: Flask, data: bytes):
    return app.test_client().post("/", data={"image": (io.BytesIO(data), "picture.png")})


def test_the_apps_configuration_comes_before_the_environment(service, key, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DEMURE_URL", "http://127.0.0.1:1")
    site = Site(DEMURE_URL=str(service.base_url), DEMURE_KEY=key[1])
    assert site.post("/accept/refuse", GREEN).decision == "safe"


@pytest.mark.usefixtures("by_service")
def test_flask_answers_a_refusal_by_itself():
    answer = post(app_with(Demure()), RED)
    assert answer.status_code == 422
    assert "This picture looks like adult content, which is not allowed here." in answer.text


def test_flask_answers_503_where_nobody_can_judge(nobody_judges: str):
    answer = post(app_with(Demure()), GREEN)
    assert answer.status_code == 503
    assert "Pictures cannot be checked at the moment. Please try again later." in answer.text


@pytest.mark.usefixtures("by_service")
def test_a_handler_for_the_status_is_found():
    app = app_with(Demure())
    app.register_error_handler(422, lambda error: (f"ours: {error.refusal.code}", 422))
    assert post(app, RED).text == "ours: demure_adult"


@pytest.mark.usefixtures("by_service")
def test_an_unknown_one_goes_to_review_under_the_sites_own_names(service, reviewer):
    told = post(app_with(Demure(rules=Rules(review=True))), BLUE).text
    assert told.startswith("Ticket(id=")
    found = service.get(
        f"/v1/reviews/{told.split(chr(39))[1]}", headers={"Authorization": f"Bearer {reviewer[1]}"}
    ).json()
    assert {"id": "post-8", "subject": "user-3", "metadata": {"a": 1}} in found["submissions"]


def test_the_extension_is_where_extensions_are():
    app, demure = Flask(__name__), Demure()
    demure.init_app(app)
    assert app.extensions["demure"] is demure


@pytest.mark.usefixtures("by_service")
def test_a_form_without_a_file_is_flasks_own_error_and_an_empty_one_is_refused():
    app = app_with(Demure())
    assert app.test_client().post("/", data={"image": "picture.png"}).status_code == 400
    assert post(app, b"").status_code == 422
