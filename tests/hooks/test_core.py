"""What an answer means for a form, without a form."""

from __future__ import annotations

import io
import itertools
import json
import subprocess
import sys

import pytest

from demure.client import Answer
from demure.errors import InvalidSetting, UnknownPolicy
from demure.hooks.core import Labels, Rules, find_refusal, is_failure, read_upload, unfit
from demure.hooks.settings import Service, find_service


def answer(decision: str, code: str | None = None, **more: object) -> Answer:
    error = {} if code is None else {"error": {"code": code, "message": "for the log"}}
    return Answer.from_dict({"decision": decision, "reason": code or "a rule", **error, **more})


# By the words of the codes in docs/api.md: what is wrong with the image, and what is wrong with who judges.
OF_THE_IMAGE = {
    "empty_body": "demure_unreadable",
    "not_an_image": "demure_unreadable",
    "unsupported_format": "demure_unreadable",
    "undecodable": "demure_unreadable",
    "too_large": "demure_too_large",
    "too_many_pixels": "demure_too_large",
    "too_many_frames": "demure_too_large",
}
OF_THE_JUDGE = [
    "overloaded",
    "timed_out",
    "storage_full",
    "storage_unavailable",
    "rate_limited",
    "key_required",
    "not_permitted",
    "internal_error",
    "not_reached",
    "too_slow",
    "unexpected_answer",
    "a_code_of_a_later_version",
]
ALL_RULES = [Rules(unknown=u, on_failure=f) for u, f in itertools.product(("accept", "refuse"), repeat=2)]


def code_of(answer: Answer, rules: Rules) -> str | None:
    refusal = find_refusal(answer, rules)
    return None if refusal is None else refusal.code


@pytest.mark.parametrize("rules", ALL_RULES, ids=str)
def test_safe_passes_and_adult_does_not_whatever_the_rules(rules: Rules):
    assert code_of(answer("safe"), rules) is None
    assert code_of(answer("adult"), rules) == "demure_adult"
    assert code_of(answer("adult", "storage_full"), rules) == "demure_adult", "whatever else went wrong"


@pytest.mark.parametrize(("reason", "code"), OF_THE_IMAGE.items())
@pytest.mark.parametrize("rules", ALL_RULES, ids=str)
def test_an_image_that_cannot_be_judged_is_refused_whatever_the_rules(reason: str, code: str, rules: Rules):
    assert code_of(answer("unknown", reason), rules) == code
    assert not is_failure(answer("unknown", reason))


@pytest.mark.parametrize("code", OF_THE_JUDGE)
@pytest.mark.parametrize("unknown", ["accept", "refuse"])
def test_a_failure_goes_by_on_failure_alone(code: str, unknown: str):
    assert code_of(answer("unknown", code), Rules(unknown=unknown)) == "demure_unavailable"
    assert code_of(answer("unknown", code), Rules(unknown=unknown, on_failure="accept")) is None
    assert is_failure(answer("unknown", code))


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("invalid_request", InvalidSetting),
        ("unsupported_media_type", InvalidSetting),
        ("unknown_model", InvalidSetting),
        ("unknown_policy", UnknownPolicy),
    ],
)
@pytest.mark.parametrize("rules", ALL_RULES, ids=str)
def test_a_fault_of_the_question_goes_by_no_rule(code: str, kind: type[Exception], rules: Rules):
    with pytest.raises(kind, match=f"{code}.*for the log"):
        code_of(answer("unknown", code), rules)


@pytest.mark.parametrize(
    "labels",
    [
        {"subject": "x" * 257},
        {"metadata": {"note": "x" * 4085}},
        {"metadata": {"note": "\0"}},
    ],  # 11 bytes of JSON are around it
    ids=["subject", "metadata", "NUL"],
)
def test_labels_that_are_too_long_are_a_mistake_of_the_caller(labels: dict):
    with pytest.raises(ValueError, match=f"^{next(iter(labels))}: found"):
        Labels(**labels)


def test_labels_may_be_as_long_as_the_service_takes():
    assert len(json.dumps({"note": "x" * 4084})) == 4096
    Labels("x" * 1000, "x" * 256, {"note": "x" * 4084})


def test_a_review_that_could_not_be_opened_is_a_failure_though_there_are_scores():
    """docs/api.md, `POST /v1/moderate`: the item says so in `error` beside its scores."""
    unqueued = answer("unknown", "storage_full", score=0.5, scores={"neutral": 0.5})
    assert code_of(unqueued, Rules(review=True)) == "demure_unavailable"


@pytest.mark.parametrize("field", ["unknown", "on_failure"])
@pytest.mark.parametrize("word", ["open", "closed", "Accept", "", None, True])
def test_a_misspelled_choice_is_told_at_once(field: str, word: object):
    with pytest.raises(ValueError, match=f"^{field}: found .*; expected 'accept' or 'refuse'"):
        Rules(**{field: word})


@pytest.mark.parametrize(("size", "reason"), [(0, "empty_body"), (1, None), (10, None), (11, "too_large")])
def test_what_nobody_need_be_asked_about(size: int, reason: str | None):
    found = unfit(b"x" * size, 10)
    assert (found and found.reason) == reason


def test_an_upload_is_read_from_its_beginning_and_left_there():
    file = io.BytesIO(b"0123456789")
    file.seek(7)
    assert read_upload(file, 100) == b"0123456789"
    assert file.tell() == 0


def test_of_a_large_upload_no_more_is_read_than_shows_that_it_is_too_large():
    assert read_upload(io.BytesIO(b"0123456789"), 4) == b"01234"


@pytest.mark.parametrize(
    "upload", ["picture.png", b"bytes", None, 7, io.StringIO("text")], ids=lambda one: type(one).__name__
)
def test_what_is_no_binary_file_is_a_mistake_of_the_caller(upload: object):
    with pytest.raises(TypeError):
        read_upload(upload, 100)


CONFIGURED = {
    "nothing": (None, None, {}, None),
    "the environment": (None, None, {"DEMURE_URL": "http://a", "DEMURE_KEY": "k"}, Service("http://a", "k")),
    "the site's configuration": ("http://b", "s", {}, Service("http://b", "s")),
    "both": ("http://b", "s", {"DEMURE_URL": "http://a", "DEMURE_KEY": "k"}, Service("http://b", "s")),
    "a key alone": (None, "s", {}, None),
    "the site says: here": ("", None, {"DEMURE_URL": "http://a"}, None),
    "empty variables": (None, None, {"DEMURE_URL": "", "DEMURE_KEY": ""}, None),
    "no key": (None, None, {"DEMURE_URL": "http://a", "DEMURE_KEY": ""}, Service("http://a")),
}


@pytest.mark.parametrize(("url", "key", "environment", "service"), CONFIGURED.values(), ids=CONFIGURED)
def test_who_is_asked(url, key, environment, service, monkeypatch: pytest.MonkeyPatch):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert find_service(url, key) == service


def test_a_key_is_never_shown():
    assert "secret" not in repr(Service("http://a", "secret"))


def loaded_by(statement: str) -> set[str]:
    program = f"import sys; {statement}; print(*{{name.partition('.')[0] for name in sys.modules}})"
    return {*subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()}


FRAMEWORKS = {"django", "rest_framework", "flask", "werkzeug", "starlette", "fastapi"}
DEAR = {"onnxruntime", "numpy", "PIL", "sqlalchemy", "pydantic", "httpx2", "httpcore2"}


@pytest.mark.parametrize(
    ("module", "its_own"),
    [
        ("core", set()),
        ("judges", set()),
        ("django", {"django"}),
        ("flask", {"flask", "werkzeug"}),
        ("starlette", {"starlette"}),
    ],
)
def test_a_module_loads_its_own_framework_and_nothing_dear(module: str, its_own: set[str]):
    assert loaded_by(f"import demure.hooks.{module}") & (FRAMEWORKS | DEAR) == its_own
