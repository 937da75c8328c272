"""The original service's contract, as its README and program give it."""

from __future__ import annotations

import numpy as np
import pytest
from pictures import EXAMPLE, animation, encode

FIVE = ["drawings", "hentai", "neutral", "porn", "sexy"]


def plain(colour: list[int]) -> np.ndarray:
    return np.full((40, 40, 3), colour, np.uint8)


def test_health_answers_exactly_as_it_did(service):
    answer = service.get("/health")
    assert (answer.status_code, answer.content) == (200, b'{"status":"ok"}')


def test_predict_answers_exactly_five_scores(service, images):
    answer = service.post("/predict", params={"url": images.url("/r.png", encode(plain([255, 0, 0]), "PNG"))})
    assert answer.status_code == 200
    assert [*answer.json()] == FIVE
    assert answer.json()["porn"] == pytest.approx(1, abs=1e-4)


def test_a_url_that_was_not_quoted_is_taken_as_it_stands(service, images):
    url = images.url("/a/b.png", encode(plain([0, 255, 0]), "PNG"))
    answer = service.post(f"/predict?url={url}")
    assert answer.json()["neutral"] == pytest.approx(1, abs=1e-4)


def test_predict_gives_the_frame_with_the_most_risk(service, images):
    frames = [plain([0, 255, 0]), plain([0, 0, 255]), plain([255, 0, 0]), plain([0, 254, 0])]
    answer = service.post("/predict", params={"url": images.url("/f.gif", animation(frames))})
    assert answer.json()["porn"] == pytest.approx(1, abs=1e-4)


def test_another_model_is_asked_by_its_name(service, images):
    url = images.url("/coffee.jpg", EXAMPLE.read_bytes())
    five = service.post("/models/mobilenet_v2/predict", params={"url": url}).json()
    assert [*five] == FIVE
    assert sum(five.values()) == pytest.approx(1, abs=1e-5)
    assert [*service.post("/models/open_nsfw/predict", params={"url": url}).json()] == ["open_nsfw"]


@pytest.mark.parametrize(
    ("path", "params", "status", "code"),
    [
        ("/predict", {}, 400, "invalid_request"),
        ("/predict", {"url": ""}, 422, "url_not_allowed"),
        ("/predict", {"url": "ftp://example.org/a.jpg"}, 422, "url_not_allowed"),
        ("/predict", {"url": "http://169.254.169.254/latest/meta-data/"}, 422, "url_not_allowed"),
        ("/models/nope/predict", {"url": "http://127.0.0.1/"}, 404, "unknown_model"),
    ],
)
def test_a_bad_request_has_its_code(service, path, params, status, code):
    answer = service.post(path, params=params)
    assert (answer.status_code, answer.json()["code"]) == (status, code)


@pytest.mark.parametrize(
    ("data", "status", "code"),
    [
        (b"", 422, "empty_body"),
        (b"hello", 422, "not_an_image"),
        (b"<svg/>", 422, "unsupported_format"),
        (EXAMPLE.read_bytes()[:3000], 422, "undecodable"),
        (None, 422, "upstream_status"),
    ],
)
def test_an_image_that_cannot_be_judged_is_a_problem_and_no_score(service, images, data, status, code):
    path = f"/bad/{code}"
    answer = service.post("/predict", params={"url": images.url(path, data)})
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"
