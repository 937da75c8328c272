"""The queue over HTTP: an image is unknown, a person judges it, and it is known from then on."""

from __future__ import annotations

import base64
import hashlib
import io
import json

import httpx
import pytest
from pictures import EXAMPLE, encode
from PIL import Image
from service import serving, settings_for

from demure.keys import make_key
from demure.reviews import Submission
from demure.store.images import note_submission

SCOPES = ("classify", "review", "admin")


@pytest.fixture(scope="module")
def keys() -> dict[str, tuple[str, str]]:
    made = {scope: make_key(scope, [scope]) for scope in SCOPES}
    return {scope: (str(key), secret) for scope, (key, secret) in made.items()}


@pytest.fixture
def client(quick, keys):
    with quick(DEMURE_API_KEYS="; ".join(entry for entry, _ in keys.values())) as client:
        yield client


@pytest.fixture(scope="module")
def refusing(tiny, keys, tmp_path_factory):
    """One service for all who are refused: they leave nothing behind."""
    variables = {**tiny, "DEMURE_API_KEYS": "; ".join(entry for entry, _ in keys.values())}
    with serving(settings_for(tmp_path_factory.mktemp("refusing"), **variables)) as client:
        yield client


@pytest.fixture
def ask(client, keys):
    """Asks with the key of a scope: `ask("review", "GET", "/v1/reviews")`."""
    return asking(client, keys)


def asking(client: httpx.Client, keys: dict[str, tuple[str, str]]):
    def ask(scope: str, method: str, path: str, extra: dict[str, str] | None = None, **more) -> httpx.Response:
        headers = {"authorization": f"Bearer {keys[scope][1]}", **(extra or {})}
        return client.request(method, path, headers=headers, **more)

    return ask


@pytest.fixture
def moderate(ask):
    def moderate(data: bytes, *, review: bool = True, **more) -> dict:
        item = {"base64": base64.b64encode(data).decode(), **more}
        answer = ask("classify", "POST", "/v1/moderate", json={"items": [item], "review": review})
        assert answer.status_code == 200, answer.text
        return answer.json()["items"][0]

    return moderate


def blue(side: int = 64) -> bytes:
    """Unknown to the tiny models."""
    return encode(Image.new("RGB", (side, side), "blue"), "PNG")


def test_an_unknown_image_waits_is_claimed_and_judged_and_known_from_then_on(moderate, ask):
    picture = blue()
    item = moderate(picture, id="post-7", subject="user-3", metadata={"board": "cats"})
    assert (item["decision"], item["remembered"]) == ("unknown", False)
    assert item["review"]["state"] == "open"
    again = moderate(picture, id="post-8")
    assert again["review"] == item["review"]
    (listed,) = ask("review", "GET", "/v1/reviews").json()["reviews"]
    assert listed["id"] == item["review"]["id"]

    claimed = ask("review", "POST", "/v1/reviews/claim", json={"reviewer": "anna"}).json()["review"]
    assert (claimed["claimed_by"], claimed["sha256"]) == ("key:review/anna", hashlib.sha256(picture).hexdigest())
    assert claimed["submissions"] == [
        {"id": "post-7", "subject": "user-3", "metadata": {"board": "cats"}},
        {"id": "post-8", "subject": None, "metadata": None},
    ]
    shown = ask("review", "GET", f"/v1/reviews/{claimed['id']}/pictures/0")
    assert (shown.headers["content-type"], shown.headers["cache-control"]) == ("image/jpeg", "no-store")
    pixel = Image.open(io.BytesIO(shown.content)).convert("RGB").getpixel((32, 32))
    assert pixel == pytest.approx((0, 0, 255), abs=8)

    verdict = {"verdict": "adult", "version": claimed["version"], "reviewer": "anna"}
    settled = ask("review", "POST", f"/v1/reviews/{claimed['id']}/verdict", json=verdict)
    assert (settled.status_code, settled.json()["state"]) == (200, "settled")
    known = moderate(picture)
    assert (known["decision"], known["reason"], known["remembered"]) == ("adult", "remembered", True)
    assert known["media"] is None  # before any decoding
    assert "review" not in known
    assert ask("review", "GET", "/v1/reviews").json()["reviews"] == []


@pytest.mark.parametrize("count", [100, 101])
def test_more_senders_than_are_told_of_are_counted(moderate, ask, client, count: int):
    item = moderate(blue(), id="post-1")
    sha256, database = bytes.fromhex(item["sha256"]), client.app.state.desk.database

    def send(connection) -> None:
        for number in range(2, count + 1):
            note_submission(connection, database.now_ms(), sha256, Submission(f"post-{number}"))

    database.write(send)
    opened = ask("review", "GET", f"/v1/reviews/{item['review']['id']}").json()
    assert (len(opened["submissions"]), opened["submissions_total"]) == (100, count)
    claimed = ask("review", "POST", "/v1/reviews/claim", json={}).json()["review"]
    assert (claimed["submissions"], claimed["submissions_total"]) == (opened["submissions"], count)
    verdict = {"verdict": "safe", "version": claimed["version"]}
    ask("review", "POST", f"/v1/reviews/{claimed['id']}/verdict", json=verdict).raise_for_status()
    (told,) = ask("review", "GET", "/v1/events").json()["events"]
    assert (told["data"]["submissions"], told["data"]["submissions_total"]) == (opened["submissions"], count)


def test_a_stale_verdict_and_one_by_somebody_else_are_conflicts(moderate, ask):
    moderate(blue())
    claimed = ask("review", "POST", "/v1/reviews/claim", json={"reviewer": "anna"}).json()["review"]
    path = f"/v1/reviews/{claimed['id']}/verdict"
    for body in (
        {"verdict": "safe", "version": claimed["version"] - 1, "reviewer": "anna"},
        {"verdict": "safe", "version": claimed["version"], "reviewer": "bert"},
        {"verdict": "safe", "version": claimed["version"]},
    ):
        answer = ask("review", "POST", path, json=body)
        assert (answer.status_code, answer.json()["code"]) == (409, "conflict")
    assert ask("review", "POST", "/v1/reviews/claim", json={"reviewer": "bert"}).json() == {"review": None}


def photograph() -> Image.Image:
    return Image.open(EXAMPLE).convert("RGB")


def test_a_near_copy_is_answered_by_the_verdict_and_another_picture_is_not(moderate, ask):
    """The tiny models see colours alone: what makes them unsure is tinted blue."""
    tinted = Image.blend(photograph(), Image.new("RGB", photograph().size, "blue"), 0.5)
    item = moderate(encode(tinted, "PNG"))
    assert item["decision"] == "unknown", item
    review = ask("review", "GET", f"/v1/reviews/{item['review']['id']}").json()
    ask(
        "review", "POST", f"/v1/reviews/{review['id']}/verdict", json={"verdict": "adult", "version": review["version"]}
    )
    smaller = tinted.resize((tinted.width // 2, tinted.height // 2))
    buffer = io.BytesIO()
    smaller.save(buffer, "JPEG", quality=60)
    copy = moderate(buffer.getvalue())
    assert (copy["decision"], copy["reason"], copy["remembered"]) == ("adult", "near_copy", True)
    other = moderate(encode(tinted.transpose(Image.Transpose.ROTATE_90), "PNG"))
    assert (other["decision"], other["remembered"]) == ("unknown", False)


def test_a_near_match_to_safe_does_not_override_a_model_that_says_adult(moderate, ask):
    photo = photograph()
    item = moderate(encode(Image.blend(photo, Image.new("RGB", photo.size, "blue"), 0.5), "PNG"))
    review = ask("review", "GET", f"/v1/reviews/{item['review']['id']}").json()
    ask("review", "POST", f"/v1/reviews/{review['id']}/verdict", json={"verdict": "safe", "version": review["version"]})
    red = moderate(encode(Image.blend(photo, Image.new("RGB", photo.size, "red"), 0.7), "PNG"))
    assert (red["decision"], red["reason"]) == ("unknown", "memory_disagrees")
    assert red["review"]["state"] == "open"


def test_an_appeal_and_its_verdict_overturn_a_decision_and_the_site_is_told(ask, moderate):
    red = encode(Image.new("RGB", (64, 64), "red"), "PNG")
    assert moderate(red)["decision"] == "adult"
    body = {"base64": base64.b64encode(red).decode(), "kind": "appeal", "note": "it is a tomato", "id": "post-1"}
    answer = ask("review", "POST", "/v1/reviews", json=body)
    assert answer.status_code == 201, answer.text
    opened = answer.json()
    assert (opened["decision"], opened["review"]["state"]) == ("adult", "open")
    review = ask("review", "GET", f"/v1/reviews/{opened['review']['id']}").json()
    assert (review["kind"], review["note"]) == ("appeal", "it is a tomato")
    ask("review", "POST", f"/v1/reviews/{review['id']}/verdict", json={"verdict": "safe", "version": review["version"]})
    page = ask("review", "GET", "/v1/events").json()
    (event,) = page["events"]
    assert event["type"] == "review.settled"
    told = {name: event["data"][name] for name in ("review", "decision", "verdict", "overturned")}
    assert told == {"review": review["id"], "decision": "adult", "verdict": "safe", "overturned": True}
    assert ask("review", "GET", f"/v1/events?after={page['next']}").json() == {"events": [], "next": page["next"]}
    assert moderate(red)["decision"] == "safe"


def test_what_is_escalated_is_unknown_from_then_on_and_nobody_is_asked(moderate, ask):
    picture = blue()
    item = moderate(picture)
    path = f"/v1/reviews/{item['review']['id']}"
    assert ask("review", "POST", f"{path}/escalate", json={"version": 1}).json()["state"] == "escalated"
    again = moderate(picture)
    assert (again["decision"], again["reason"], again["remembered"]) == ("unknown", "escalated", True)
    assert ask("review", "POST", f"{path}/release", json={"version": 2}).json()["code"] == "not_permitted"
    # Hidden from all but admins, and its picture from them too.
    for hidden in (path, "/v1/reviews?state=escalated", f"{path}/pictures/0"):
        assert ask("review", "GET", hidden).json()["code"] == "not_permitted", hidden
    assert ask("admin", "GET", path).json()["state"] == "escalated"
    assert ask("admin", "GET", f"{path}/pictures/0").json()["code"] == "not_permitted"
    appeal = {"base64": base64.b64encode(picture).decode(), "kind": "appeal", "note": "changed?"}
    assert ask("review", "POST", "/v1/reviews", json=appeal).json()["review"]["state"] == "escalated"
    frozen = ask("admin", "GET", path).json()
    assert (frozen["kind"], frozen["note"]) == ("unknown", None)
    digest = hashlib.sha256(picture).hexdigest()
    assert ask("admin", "DELETE", f"/v1/images/{digest}").json()["code"] == "conflict"
    assert ask("admin", "POST", f"{path}/release", json={"version": 2}).json()["state"] == "open"


def test_an_image_is_forgotten_by_its_hash_and_by_its_subject(moderate, ask):
    first, second = blue(64), blue(65)
    for picture in (first, second):
        moderate(picture, subject="user-3")
    digest = hashlib.sha256(first).hexdigest()
    assert ask("review", "DELETE", f"/v1/images/{digest}").json()["code"] == "not_permitted"
    assert ask("admin", "DELETE", f"/v1/images/{digest}").status_code == 204
    assert ask("admin", "DELETE", f"/v1/images/{digest}").status_code == 404
    gone = ask("admin", "DELETE", "/v1/images", params={"subject": "user-3"}).json()
    assert gone == {"forgotten": [hashlib.sha256(second).hexdigest()], "shared": [], "frozen": []}
    assert ask("review", "GET", "/v1/reviews").json()["reviews"] == []


def test_an_image_that_cannot_be_read_opens_no_review(moderate, ask):
    item = moderate(b"\x89PNG\r\n\x1a\n and no more")
    assert (item["decision"], item["reason"]) == ("unknown", "undecodable")
    assert "review" not in item
    body = {"base64": "aGVsbG8=", "kind": "report"}
    assert ask("review", "POST", "/v1/reviews", json=body).json()["code"] == "not_an_image"
    assert ask("review", "GET", "/v1/reviews").json()["reviews"] == []


def test_names_that_a_database_cannot_hold_are_made_such_as_it_can(moderate, ask):
    item = moderate(blue(), id="a\0b", subject="\0")
    review = ask("review", "GET", f"/v1/reviews/{item['review']['id']}").json()
    assert review["submissions"] == [{"id": "a\ufffdb", "subject": "\ufffd", "metadata": None}]


def test_without_a_key_nobody_is_asked(quick):
    with quick() as client:
        item = {"base64": base64.b64encode(blue()).decode()}
        assert client.post("/v1/moderate", json={"items": [item]}).status_code == 200
        answer = client.post("/v1/moderate", json={"items": [item], "review": True})
        assert (answer.status_code, answer.json()["code"]) == (401, "key_required")
        assert client.get("/v1/reviews").status_code == 401


PATHS = [
    ("GET", "/v1/reviews"),
    ("POST", "/v1/reviews"),
    ("POST", "/v1/reviews/claim"),
    ("GET", "/v1/reviews/abc"),
    ("GET", "/v1/reviews/abc/pictures/0"),
    ("POST", "/v1/reviews/abc/claim"),
    ("POST", "/v1/reviews/abc/verdict"),
    ("POST", "/v1/reviews/abc/skip"),
    ("POST", "/v1/reviews/abc/undo"),
    ("POST", "/v1/reviews/abc/escalate"),
    ("POST", "/v1/reviews/abc/release"),
    ("GET", "/v1/events"),
]


@pytest.mark.parametrize(("method", "path"), PATHS, ids=[f"{m} {p}" for m, p in PATHS])
def test_every_route_asks_for_a_key_with_its_scope_and_refuses_what_is_malformed(
    refusing, keys, method: str, path: str
):
    ask = asking(refusing, keys)
    assert refusing.request(method, path).json()["code"] == "key_required"
    assert ask("classify", method, path).json()["code"] == "not_permitted"
    if method == "POST":
        for body in (b"", b"{", b"[]", b'{"version": "x"}', b'{"nonsense": 1}'):
            answer = ask("review", method, path, content=body)
            assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request"), body
    elif "abc" in path:
        assert ask("review", method, path).json()["code"] == "not_found"


ODD = {
    "nul": '{"a": "\\u0000"}',
    "half-a-pair": '{"a": "\\ud800"}',
    "nan": '{"a": NaN}',
    "infinite": '{"a": 1e999}',
    "large": json.dumps({"a": "x" * 4096}),
}


@pytest.mark.parametrize("metadata", ODD.values(), ids=ODD)
def test_metadata_that_a_database_or_a_webhook_could_not_hold_is_refused(refusing, keys, metadata: str):
    ask = asking(refusing, keys)
    picture = base64.b64encode(blue()).decode()
    one = f'"base64": "{picture}", "metadata": {metadata}'
    for scope, path, body in (
        ("classify", "/v1/moderate", f'{{"items": [{{{one}}}], "review": true}}'),
        ("review", "/v1/reviews", f'{{{one}, "kind": "report"}}'),
    ):
        answer = ask(scope, "POST", path, content=body.encode(), extra={"content-type": "application/json"})
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request"), path


def test_a_note_with_a_nul_is_kept_without_it(moderate, ask):
    item = moderate(blue())
    body = {"verdict": "safe", "version": 1, "note": "a\0b"}
    settled = ask("review", "POST", f"/v1/reviews/{item['review']['id']}/verdict", json=body)
    assert settled.json()["verdict_note"] == "a\ufffdb"


def test_who_sent_what_was_known_already_counts_when_it_is_to_be_forgotten(moderate, ask):
    picture = blue()
    item = moderate(picture, subject="quentin", id="post-1", metadata={"mail": "q@example.org"})
    ask("review", "POST", f"/v1/reviews/{item['review']['id']}/verdict", json={"verdict": "adult", "version": 1})
    assert moderate(picture, subject="petra")["remembered"]
    digest = hashlib.sha256(picture).hexdigest()
    gone = ask("admin", "DELETE", "/v1/images", params={"subject": "quentin"}).json()
    assert gone == {"forgotten": [], "shared": [digest], "frozen": []}
    assert moderate(picture)["remembered"]
    (event,) = ask("review", "GET", "/v1/events").json()["events"]
    assert event["data"]["submissions"] == []
    assert ask("admin", "DELETE", "/v1/images", params={"subject": "petra"}).json()["forgotten"] == [digest]
    assert not moderate(picture)["remembered"]


def test_a_subject_is_not_cut_and_one_with_a_nul_is_found_again(ask, keys):
    path, headers = "/v1/moderate?subject=" + "x" * 257, {"content-type": "image/png"}
    assert ask("classify", "POST", path, content=blue(), extra=headers).json()["code"] == "invalid_request"
    item = {"base64": base64.b64encode(blue()).decode(), "subject": "a\0b"}
    ask("classify", "POST", "/v1/moderate", json={"items": [item]})
    assert len(ask("admin", "DELETE", "/v1/images", params={"subject": "a\0b"}).json()["forgotten"]) == 1


def test_a_large_body_where_no_image_is_due_is_refused_before_it_is_parsed(client, ask):
    large = b'{"have": [' + b"{}," * 30_000 + b"{}]}"
    for path in ("/review/next", "/review/sign-in"):
        answer = client.post(path, content=large, headers={"content-type": "application/json"})
        assert (answer.status_code, answer.json()["code"]) == (413, "too_large"), path
    assert ask("review", "POST", "/v1/reviews/claim", content=large).json()["code"] == "too_large"
    parts = b'{"kind": "report", "base64": "", "metadata": {"a": [' + b"[]," * 60_000 + b"[]]}}"
    assert ask("review", "POST", "/v1/reviews", content=parts).json()["code"] == "too_large"
