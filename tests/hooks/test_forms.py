"""An upload form of each framework: what passes, what does not, and what the view finds in its hands."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator

import pytest
from hooks.apps.seen import BLUE, FORMS, GREEN, RED, Seen
from service import listening

SITES = ("django", "rest_framework", "flask", "starlette", "fastapi")
CLOSED, OPEN, STRICT = "/accept/refuse", "/accept/accept", "/refuse/refuse"
BROKEN = {
    "text": b"no picture",
    "half a picture": GREEN[:-60],
    "HTML": b"<html><body>hello</body></html>",
}


@pytest.fixture(scope="module", params=SITES)
def site(request: pytest.FixtureRequest) -> Iterator[object]:
    # Imported here: Django is set up by the import, once for the process.
    if request.param == "django":
        from hooks.apps import django_site

        yield django_site.Site()
    elif request.param == "rest_framework":
        from hooks.apps import rest_site

        yield rest_site.Site()
    elif request.param == "flask":
        from hooks.apps import flask_site

        yield flask_site.Site()
    else:
        from hooks.apps import starlette_site

        with listening(starlette_site.APPS[request.param]) as url:
            yield starlette_site.Site(url)


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.mark.usefixtures("somebody_judges")
@pytest.mark.parametrize("form", FORMS)
def test_a_safe_picture_is_accepted_and_the_view_reads_all_of_it(site, form: str):
    assert site.post(form, GREEN) == Seen(200, None, None, "safe", digest(GREEN), digest(GREEN))


@pytest.mark.usefixtures("somebody_judges")
@pytest.mark.parametrize("form", FORMS)
def test_an_adult_picture_is_refused_by_every_form(site, form: str):
    seen = site.post(form, RED)
    assert not seen.accepted
    assert (seen.code, seen.message) == (
        "demure_adult",
        "This picture looks like adult content, which is not allowed here.",
    )


@pytest.mark.usefixtures("somebody_judges")
def test_an_unknown_picture_is_accepted_and_marked(site):
    assert site.post(CLOSED, BLUE) == Seen(200, None, None, "unknown", digest(BLUE), digest(BLUE))


@pytest.mark.usefixtures("somebody_judges")
def test_an_unknown_picture_is_refused_where_the_form_says_so(site):
    seen = site.post(STRICT, BLUE)
    assert (seen.accepted, seen.code) == (False, "demure_unknown")


@pytest.mark.usefixtures("somebody_judges")
@pytest.mark.parametrize("data", BROKEN.values(), ids=BROKEN)
@pytest.mark.parametrize("form", FORMS)
def test_what_cannot_be_read_is_refused_by_every_form(site, form: str, data: bytes):
    seen = site.post(form, data)
    assert not seen.accepted
    assert (seen.code, seen.message) == ("demure_unreadable", "This file is no picture that we can read.")


def test_where_nobody_can_judge_a_closed_form_refuses(site, nobody_judges: str, caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.WARNING, "demure.hooks"):
        seen = site.post(CLOSED, GREEN)
    assert (seen.accepted, seen.code) == (False, "demure_unavailable")
    assert nobody_judges not in str(seen), "the cause is for the log, not for whoever uploads"
    assert nobody_judges in caplog.text
    assert "demure_wrong" not in caplog.text, "the key"


@pytest.mark.parametrize("data", [GREEN, RED], ids=["safe", "adult"])
def test_where_nobody_can_judge_an_open_form_accepts_and_marks_it_unknown(site, data: bytes, nobody_judges: str):
    assert site.post(OPEN, data) == Seen(200, None, None, "unknown", digest(data), digest(data))


@pytest.mark.usefixtures("in_process")
def test_what_is_larger_than_the_limit_is_refused(site):
    seen = site.post(OPEN, GREEN + b"\0" * 20 * 1024 * 1024)
    assert (seen.accepted, seen.code) == (False, "demure_too_large")
