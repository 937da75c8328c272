"""A moving picture of which one frame is judged is no still picture: nothing is known of the others."""

from __future__ import annotations

import base64

import numpy as np
import pytest
from pictures import EXAMPLE, animation, encode
from PIL import Image
from service import serving, settings_for

from demure.keys import make_key


@pytest.fixture
def ask(tiny, tmp_path):
    """Asks a service that samples one frame, with a key that may do everything."""
    key, secret = make_key("all", ["admin"])
    settings = settings_for(tmp_path, **{**tiny, "DEMURE_API_KEYS": str(key), "DEMURE_MAX_SAMPLED_FRAMES": "1"})
    with serving(settings) as client:

        def ask(method: str, path: str, body: dict | None = None) -> dict:
            answer = client.request(method, path, json=body, headers={"authorization": f"Bearer {secret}"})
            answer.raise_for_status()
            return answer.json()

        yield ask


@pytest.fixture
def moderate(ask):
    def moderate(data: bytes) -> dict:
        body = {"items": [{"base64": base64.b64encode(data).decode()}], "review": True}
        return ask("POST", "/v1/moderate", body)["items"][0]

    return moderate


@pytest.fixture
def settle(ask):
    def settle(item: dict, verdict: str) -> None:
        review = ask("GET", f"/v1/reviews/{item['review']['id']}")
        ask("POST", f"/v1/reviews/{review['id']}/verdict", {"verdict": verdict, "version": review["version"]})

    return settle


def tinted(colour: str, size: int = 256) -> np.ndarray:
    photo = Image.open(EXAMPLE).convert("RGB").resize((size, size))
    return np.asarray(Image.blend(photo, Image.new("RGB", photo.size, colour), 0.5))


def film(first: np.ndarray) -> bytes:
    """Its other frames are adult to the tiny models."""
    return animation([first, *(np.full_like(first, [255 - i, 0, 0]) for i in range(4))])


def test_a_film_that_begins_like_a_safe_picture_is_not_safe(moderate, settle):
    still = moderate(encode(tinted("blue"), "PNG"))
    assert still["decision"] == "unknown"
    settle(still, "safe")
    smaller = moderate(encode(tinted("blue", 200), "JPEG"))
    assert (smaller["decision"], smaller["reason"]) == ("safe", "near_copy")  # so it is one that is found
    found = moderate(film(tinted("blue")))
    assert (found["media"]["frames"], found["media"]["sampled"]) == (5, 1)
    assert (found["decision"], found["remembered"]) == ("unknown", False)


def test_a_film_that_begins_like_an_adult_picture_is_adult(moderate, settle):
    settle(moderate(encode(tinted("blue"), "PNG")), "adult")
    found = moderate(film(tinted("blue")))
    assert (found["decision"], found["reason"]) == ("adult", "near_copy")


@pytest.mark.parametrize("verdict", ["safe", "adult"])
def test_a_verdict_on_a_film_is_none_on_its_first_frame(moderate, settle, verdict: str):
    moving = film(tinted("blue"))
    settle(moderate(moving), verdict)
    still = moderate(encode(tinted("blue"), "PNG"))
    assert (still["decision"], still["remembered"]) == ("unknown", False)
    again = moderate(moving)
    assert (again["decision"], again["reason"]) == (verdict, "remembered")
