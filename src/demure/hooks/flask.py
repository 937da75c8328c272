"""For Flask.

    demure = Demure(app)
    answer = demure.check(request.files["image"])  # or 422, or 503

DEMURE_URL and DEMURE_KEY are of the app's configuration, or variables of the environment.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import Flask, current_app
from werkzeug.datastructures import FileStorage
from werkzeug.exceptions import ServiceUnavailable, UnprocessableEntity

from demure.client import Answer
from demure.hooks.core import Labels, Refusal, Rules, find_refusal, read_upload
from demure.hooks.judges import judge
from demure.hooks.settings import KEY, URL, find_service


class PictureRefused(UnprocessableEntity):
    """422: the image is not accepted. `refusal` has the code and the answer, `description` words for the sender."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


class PictureNotJudged(ServiceUnavailable):
    """503: nobody could judge it; the same upload may be accepted later."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


class Demure:
    """One set of rules; an app may have several."""

    def __init__(self, app: Flask | None = None, rules: Rules = Rules()) -> None:
        self.rules = rules
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        app.extensions["demure"] = self

    def check(
        self,
        file: FileStorage,
        *,
        id: str | None = None,
        subject: str | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> Answer:
        """The answer for an upload that is accepted: if it `is_unknown`, hold it back. `id` and the others are as in Labels.

        The file stands at its beginning afterwards. Raises PictureRefused and PictureNotJudged, which Flask answers.
        """
        service = find_service(current_app.config.get(URL), current_app.config.get(KEY))
        data = read_upload(file, self.rules.max_bytes)
        answer = judge(data, self.rules, Labels(id, subject, metadata), service)
        refusal = find_refusal(answer, self.rules)
        if refusal is not None:
            raise PictureNotJudged(refusal) if refusal.is_passing else PictureRefused(refusal)
        return answer
