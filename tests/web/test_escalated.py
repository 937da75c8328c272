"""An image that was escalated is hidden in all of its items, over the API and on the page."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from pictures import encode
from PIL import Image
from review_desk import ANNA, BERT, House, house_of

from demure.keys import make_key
from demure.reviews import Kind

SCOPES = ("classify", "review", "admin")
Ask = Callable[..., httpx.Response]


@pytest.fixture
def ask(quick) -> Iterator[Ask]:
    """Asks with the key of a scope: `ask("review", "GET", "/v1/reviews")`."""
    keys = {scope: make_key(scope, [scope]) for scope in SCOPES}
    with quick(DEMURE_API_KEYS="; ".join(str(key) for key, _ in keys.values())) as client:

        def ask(scope: str, method: str, path: str, body: object = None) -> httpx.Response:
            headers = {"authorization": f"Bearer {keys[scope][1]}"}
            return client.request(method, path, headers=headers, json=body)

        yield ask


def report(ask: Ask, colour: str = "blue", side: int = 64) -> str:
    """The item of a picture that somebody complains of. Blue is unknown to the tiny models, and green is safe."""
    picture = encode(Image.new("RGB", (side, side), colour), "PNG")
    body = {"kind": "report", "base64": base64.b64encode(picture).decode()}
    answer = ask("review", "POST", "/v1/reviews", body)
    assert answer.status_code == 201, answer.text
    return answer.json()["review"]["id"]


def move(ask: Ask, item: str, name: str, scope: str = "review", **more: object) -> None:
    version = ask("admin", "GET", f"/v1/reviews/{item}").json()["version"]
    ask(scope, "POST", f"/v1/reviews/{item}/{name}", {"version": version, **more}).raise_for_status()


def decision(ask: Ask, colour: str) -> tuple[str, str]:
    picture = encode(Image.new("RGB", (64, 64), colour), "PNG")
    body = {"items": [{"base64": base64.b64encode(picture).decode()}]}
    (item,) = ask("classify", "POST", "/v1/moderate", body).json()["items"]
    return item["decision"], item["reason"]


def settled(ask: Ask, scope: str) -> list[str]:
    return [item["id"] for item in ask(scope, "GET", "/v1/reviews?state=settled").json()["reviews"]]


def test_what_is_escalated_is_not_to_be_had_by_its_older_item(ask):
    old, other = report(ask), report(ask, side=65)
    for item in (old, other):
        move(ask, item, "verdict", verdict="safe")
    frozen = report(ask)
    assert frozen != old
    assert ask("review", "GET", f"/v1/reviews/{old}/pictures/0").status_code == 200
    move(ask, frozen, "escalate")
    for path in (f"/v1/reviews/{old}", f"/v1/reviews/{old}/pictures/0"):
        assert ask("review", "GET", path).json()["code"] == "not_permitted", path
    assert settled(ask, "review") == [other]
    # As of the escalated item itself: admins see what is said of it, and nobody its picture.
    assert settled(ask, "admin") == [old, other]
    assert ask("admin", "GET", f"/v1/reviews/{old}").json()["verdict"] == "safe"
    assert ask("admin", "GET", f"/v1/reviews/{old}/pictures/0").json()["code"] == "not_permitted"
    move(ask, frozen, "release", "admin")
    assert ask("review", "GET", f"/v1/reviews/{old}/pictures/0").status_code == 200
    assert settled(ask, "review") == [old, other]


def test_a_persons_verdict_outlasts_an_escalation_and_its_release(ask):
    assert decision(ask, "lime")[0] == "safe"
    move(ask, report(ask, "lime"), "verdict", verdict="adult")
    frozen = report(ask, "lime")
    move(ask, frozen, "escalate")
    assert decision(ask, "lime") == ("unknown", "escalated")
    move(ask, frozen, "release", "admin")
    assert decision(ask, "lime") == ("adult", "remembered")


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with house_of(tmp_path) as house:
        yield house


def test_the_page_shows_nothing_of_it_by_its_older_item(house):
    """Neither the picture, nor, to who sends the same verdict once more, what the machine had thought."""
    old = house.put("a")
    anna, root = house.enter("anna"), house.enter("root")
    said = {"version": old.version, "verdict": "safe"}
    for _ in range(2):
        assert "models_disagree" in anna.post(f"/review/{old.id}/settle", said).text
    assert root.get(f"/review/{old.id}/picture/0").status_code == 200
    frozen = house.put("a", kind=Kind.REPORT)
    house.reviews.escalate(frozen.id, BERT, frozen.version)
    again = anna.post(f"/review/{old.id}/settle", said)
    assert (again.status_code, again.json()["code"]) == (403, "not_permitted")
    assert root.get(f"/review/{old.id}/picture/0").status_code == 403
    assert house.reviews.get(old.id).verdict_by == str(ANNA)
