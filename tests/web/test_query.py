"""Wishes where they are not read, or twice: who asked would take them for granted, so they are refused."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator

import httpx
import pytest
from doors import UNSURE, House, keyed

ENCODED = base64.b64encode(UNSURE).decode()
WISHES = {"policy": "lenient", "context": "chat", "id": "a", "subject": "user-3", "review": "true", "keep": "false"}
DOORS = {
    "/v1/detect-images": {"files": {"image0": UNSURE}},
    "/v1/moderations": {
        "json": {"input": [{"type": "image_url", "image_url": {"url": f"data:image/png;base64,{ENCODED}"}}]}
    },
    "/classify": {"files": {"image": UNSURE}},
    "/classify-many": {"files": {"images": UNSURE}},
}
REFUSED = {"/v1/detect-images": 400, "/v1/moderations": 400, "/classify": 410, "/classify-many": 410}
each_wish = pytest.mark.parametrize(("name", "value"), WISHES.items(), ids=WISHES)
each_door = pytest.mark.parametrize("path", DOORS)


@pytest.fixture(scope="module")
def house(tiny, tmp_path_factory) -> Iterator[House]:
    with keyed(tmp_path_factory.mktemp("query"), tiny) as house:
        yield house


def by_json(house: House, query: str) -> httpx.Response:
    return house.ask("classify", "POST", f"/v1/moderate?{query}", json={"items": [{"base64": ENCODED}]})


def by_form(house: House, query: str) -> httpx.Response:
    return house.ask("classify", "POST", f"/v1/moderate?{query}", files={"file": ("a.png", UNSURE)})


def by_bytes(house: House, query: str) -> httpx.Response:
    kind = {"content-type": "image/png"}
    return house.ask("classify", "POST", f"/v1/moderate?{query}", extra=kind, content=UNSURE)


FORMS = {"json": by_json, "form": by_form, "bytes": by_bytes}
Ask = Callable[[House, str], httpx.Response]


def refusal(answer: httpx.Response) -> str:
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request"), answer.text
    return answer.json()["detail"]


PLACES = {
    "json": (by_json, dict.fromkeys(("policy", "review", "keep"), "in the body"), "in the body's items"),
    "form": (by_form, {"id": "in the file's name"}, "in a field of the form"),
}


@pytest.mark.parametrize(("ask", "places", "else_"), PLACES.values(), ids=PLACES)
@each_wish
def test_a_wish_in_the_query_of_json_or_a_form_is_told_where_it_belongs(
    house, ask: Ask, places: dict[str, str], else_: str, name: str, value: str
):
    detail = refusal(ask(house, f"{name}={value}"))
    assert detail.startswith(f"{name}: ")
    assert detail.endswith(f"it belongs {places.get(name, else_)}")


@pytest.mark.parametrize("ask", FORMS.values(), ids=FORMS)
def test_a_word_of_the_query_that_is_not_known_is_refused(house, ask: Ask):
    """As in JSON and in a form: a wish that was misspelt."""
    assert refusal(ask(house, "kepe=false")).startswith("kepe: ")


@each_wish
def test_with_the_bytes_of_an_image_a_wish_stands_in_the_query_once(house, name: str, value: str):
    assert by_bytes(house, f"{name}={value}").status_code == 200
    assert refusal(by_bytes(house, f"{name}={value}&{name}={value}")).startswith(f"{name}: it stands twice")


@pytest.mark.parametrize("name", [name for name in WISHES if name != "id"])
def test_a_field_that_stands_twice_in_a_form_is_refused(house, name: str):
    files = [("file", ("a.png", UNSURE)), *[(name, (None, WISHES[name]))] * 2]
    assert refusal(house.ask("classify", "POST", "/v1/moderate", files=files)).startswith(f"{name}: it stands twice")
    assert house.ask("classify", "POST", "/v1/moderate", files=files[:-1]).status_code == 200


# Calls of other programs: what of a query is not ours is theirs.


def asked(house: House, path: str, query: str) -> httpx.Response:
    return house.ask("classify", "POST", f"{path}?{query}", **DOORS[path])


def forgotten(house: House, subject: str) -> int:
    """How many images were known to be the subject's; others may have sent them as well."""
    answer = house.ask("admin", "DELETE", "/v1/images", params={"subject": subject}).raise_for_status().json()
    return len(answer["forgotten"]) + len(answer["shared"])


@each_door
def test_nothing_is_kept_where_a_door_is_told_so(house, path: str):
    forgotten(house, "user-9")
    assert asked(house, path, "subject=user-9&keep=false").status_code == 200
    assert forgotten(house, "user-9") == 0
    assert asked(house, path, "subject=user-9").status_code == 200
    assert forgotten(house, "user-9") == 1


@each_door
def test_what_a_person_is_to_look_at_is_kept(house, path: str):
    answer = asked(house, path, "review=true&keep=false")
    assert answer.status_code == REFUSED[path]
    assert "must be kept" in answer.text


@each_door
@each_wish
def test_a_wish_that_stands_twice_is_refused_at_a_door(house, path: str, name: str, value: str):
    answer = asked(house, path, f"{name}={value}&{name}={value}")
    assert answer.status_code == REFUSED[path]
    assert f"{name}: it stands twice" in answer.text


@each_door
def test_what_else_stands_in_a_doors_query_is_the_callers_own(house, path: str):
    assert asked(house, path, "theirs=1&theirs=2").status_code == 200


# What cannot be taken back.


def test_the_images_of_two_subjects_are_not_forgotten_by_one_request(house):
    for subject in ("one", "two"):
        house.ask(
            "classify", "POST", "/v1/moderate", json={"items": [{"base64": ENCODED, "subject": subject}]}
        ).raise_for_status()
    answer = house.ask("admin", "DELETE", "/v1/images?subject=one&subject=two")
    assert refusal(answer).startswith("subject: it stands twice")
    answer = house.ask("admin", "DELETE", "/v1/images", params={"subject": "one"}).json()
    assert len(answer["shared"]) == 1, "nothing has happened"


@pytest.mark.parametrize("path", ["/v1/images?subject=nobody&", f"/v1/images/{'0' * 64}?"])
@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("keep_memroy=true", "keep_memroy: not known"),
        ("keep_memory=true&keep_memory=false", "keep_memory: it stands twice"),
    ],
)
def test_a_wish_to_keep_the_memory_is_not_misread(house, path: str, query: str, said: str):
    assert refusal(house.ask("admin", "DELETE", path + query)).startswith(said)
