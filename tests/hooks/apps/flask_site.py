"""The same in Flask."""

from __future__ import annotations

import hashlib
import io

from flask import Flask, jsonify, request
from hooks.apps.seen import FORMS, Seen

from demure.hooks import Rules
from demure.hooks.flask import Demure, PictureNotJudged, PictureRefused


def create_app(**config: str) -> Flask:
    app = Flask(__name__)
    app.config.update(config)
    checks = {form: Demure(app, Rules(unknown=u, on_failure=f)) for form, (u, f) in FORMS.items()}

    @app.post("/<unknown>/<failure>")
    def submit(unknown: str, failure: str):
        file = request.files["image"]
        answer = checks[f"/{unknown}/{failure}"].check(file, id="post-7")
        digest = hashlib.sha256(file.read()).hexdigest()
        return jsonify(decision=answer.decision, sha256=digest, judged=answer.sha256)

    @app.errorhandler(PictureRefused)
    @app.errorhandler(PictureNotJudged)
    def refuse(error: PictureRefused | PictureNotJudged):
        return jsonify(code=error.refusal.code, message=error.description), error.code

    return app


class Site:
    def __init__(self, **config: str) -> None:
        self._app = create_app(**config)

    def post(self, form: str, data: bytes) -> Seen:
        answer = self._app.test_client().post(form, data={"image": (io.BytesIO(data), "picture.png")})
        answer.request.environ["wsgi.input"].close()  # a large form is a file, which the test client leaves open
        return Seen(answer.status_code, **answer.json)
