"""Who may: with and without keys, from here and from elsewhere."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from demure.errors import NotPermitted
from demure.keys import FRESH_S, NEW_S, Keyring, Scope, make_key
from demure.store.keys import Keys
from demure.web.auth import Access, Gate, is_local, needed_scope
from demure.web.problems import KeyRequired

PLAIN = {"content-type": "image/png"}
KEYLESS = ["/v1/models", "/v1/policies", "/docs", "/openapi.json", "/readyz"]
KEYED = ["/metrics", "/v1/reviews", "/v1/reviews/1/claim", "/v1/events", "/reviewing", "/admin", "/anything"]


@pytest.mark.parametrize("path", KEYLESS)
def test_this_machine_may_ask_without_a_key(service, path):
    assert service.get(path).status_code == 200


@pytest.mark.parametrize("path", KEYED)
def test_some_paths_always_need_a_key(service, path):
    answer = service.get(path)
    assert (answer.status_code, answer.json()["code"]) == (401, "key_required")
    assert answer.headers["www-authenticate"] == "Bearer"


PAGES = ["/review", "/review/", "/review/sign-in", "/review/static/review.css", "/review/anything"]


class Inside:
    """Counts what the gate lets pass."""

    def __init__(self) -> None:
        self.passed = 0

    async def __call__(self, scope, receive, send) -> None:
        self.passed += 1


def knock(path: str, hosts: frozenset[str] = frozenset(), **headers: str) -> int:
    """How many requests a gate with a key lets pass, of one from elsewhere. Raises its refusal."""
    key, _ = make_key("the-only", ["classify"])
    inside = Inside()
    given = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    scope = {
        "type": "http",
        "path": path,
        "headers": given,
        "client": ("203.0.113.7", 1),
        "server": ("192.0.2.1", 1),
        "state": {"log": {}},
    }
    gate = Gate(inside, Access(hosts=hosts), Keyring([key], no_others))
    asyncio.run(gate(scope, None, None))
    return inside.passed


async def no_others() -> None:
    return None


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize(
    "headers", [{}, {"x_forwarded_for": "203.0.113.7"}, {"authorization": "Bearer demure_wrong"}], ids=str
)
def test_the_pages_are_asked_for_without_a_key(path, headers):
    assert knock(path, host="img.example.org", **headers) == 1


@pytest.mark.parametrize("path", PAGES)
def test_the_pages_go_by_our_names_alone_where_there_are_some(path):
    ours = frozenset({"img.example.org"})
    assert knock(path, ours, host="IMG.example.org:8080") == 1
    for host in ("evil.example", "img.example.org.evil.example", ""):
        with pytest.raises(NotPermitted, match="DEMURE_HOSTS"):
            knock(path, ours, host=host)


@pytest.mark.parametrize(
    "path", ["/reviewing", "/reviews", "/v1/review", "//review", "/Review", "/review%2f", "/x/review", ""]
)
def test_what_only_looks_like_a_page_needs_a_key(path):
    with pytest.raises(KeyRequired):
        knock(path, host="img.example.org")


PROXIES = [
    {"forwarded": "for=203.0.113.7"},
    {"x-forwarded-for": "203.0.113.7"},
    {"X-Forwarded-Proto": "https"},
    {"x-forwarded-host": "example.org"},
    {"x-real-ip": "203.0.113.7"},
    {"via": "1.1 proxy"},
]


@pytest.mark.parametrize("headers", PROXIES, ids=lambda h: next(iter(h)))
def test_behind_a_proxy_without_a_key_only_health_is_answered(service, headers):
    for path in ("/health", "/livez"):
        assert service.get(path, headers=headers).status_code == 200
    for path in [*KEYLESS, *KEYED]:
        assert service.get(path, headers=headers).json()["code"] == "key_required", path
    for path in ("/predict", "/models/colour/predict", "/v1/moderate"):
        answer = service.post(path, params={"url": "http://127.0.0.1/"}, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (401, "key_required"), path


def scope(client: str | None, server: str | None, *headers: tuple[bytes, bytes]) -> dict[str, Any]:
    ends = [None if name is None else (name, 1) for name in (client, server)]
    return {"client": ends[0], "server": ends[1], "headers": headers}


@pytest.mark.parametrize(
    ("ends", "local"),
    [
        (scope("127.0.0.1", "127.0.0.1"), True),
        (scope("::1", "::1"), True),
        (scope("127.8.9.1", "127.0.0.1"), True),
        (scope("203.0.113.7", "127.0.0.1"), False),
        (scope("127.0.0.1", "192.168.1.4"), False),
        (scope(None, "127.0.0.1"), False),
        (scope("127.0.0.1", None), False),
        (scope("", "/run/demure.sock"), False),
        (scope("127.0.0.1", "127.0.0.1", (b"x-forwarded-for", b"::1")), False),
    ],
)
def test_both_ends_must_be_here_with_no_proxy_between(ends, local):
    assert is_local(ends) is local


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8080", "127.0.0.1.nip.io", "localhost.evil.example", ""]
)
def test_a_name_that_was_rebound_to_this_machine_is_refused(service, host):
    answer = service.get("/v1/models", headers={"host": host})
    assert answer.status_code in (400, 403)
    if answer.status_code == 403:
        assert answer.json()["code"] == "not_permitted"


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:9", "127.0.0.1:1", "[::1]:80", "[::1]"])
def test_the_machines_own_names_are_taken(service, host):
    assert service.get("/v1/models", headers={"host": host}).status_code == 200


def test_a_page_of_another_origin_may_not_ask_without_a_key(service):
    own = str(service.base_url).rstrip("/")
    assert service.get("/v1/models", headers={"origin": own}).status_code == 200
    for origin in ("https://evil.example", "null", "http://127.0.0.1:1", "http://[", own + "/", own + ".evil.example"):
        assert service.get("/v1/models", headers={"origin": origin}).json()["code"] == "not_permitted"
    for several in ([own, "https://evil.example"], ["https://evil.example"] * 2):
        answer = service.get("/v1/models", headers=[("origin", origin) for origin in several])
        assert answer.json()["code"] == "not_permitted"


def bearer(secret: str) -> dict[str, str]:
    return {"authorization": f"Bearer {secret}"}


@pytest.fixture(scope="module")
def keys() -> dict[str, tuple[str, str]]:
    """For each scope an entry for the environment and the secret."""
    made = {scope: make_key(f"the-{scope}", [scope]) for scope in Scope}
    return {scope: (str(key), secret) for scope, (key, secret) in made.items()}


@pytest.fixture
def keyed(quick, keys):
    return lambda **variables: quick(DEMURE_API_KEYS="; ".join(entry for entry, _ in keys.values()), **variables)


def test_with_keys_configured_everything_but_health_needs_one(keyed, keys):
    with keyed() as client:
        assert client.get("/health").status_code == 200
        assert client.get("/livez").status_code == 200
        for path in [*KEYLESS, *KEYED]:
            assert client.get(path).json()["code"] == "key_required", path
            assert client.get(path, headers=bearer("demure_wrong")).json()["code"] == "key_required", path
        for path in KEYLESS:
            assert client.get(path, headers=bearer(keys["classify"][1])).status_code == 200, path


def test_a_key_does_only_what_its_scopes_say(keyed, keys):
    with keyed() as client:
        assert client.get("/metrics", headers=bearer(keys["metrics"][1])).status_code == 200
        assert client.get("/metrics", headers=bearer(keys["admin"][1])).status_code == 200
        assert client.get("/metrics", headers=bearer(keys["classify"][1])).json()["code"] == "not_permitted"
        assert client.get("/v1/models", headers=bearer(keys["metrics"][1])).json()["code"] == "not_permitted"
        assert client.get("/v1/reviews", headers=bearer(keys["review"][1])).json() == {"reviews": [], "next": None}


@pytest.mark.parametrize("header", ["Basic abc", "Bearer", "", "demure_x"])
def test_another_way_to_authorize_is_no_key(keyed, header):
    with keyed() as client:
        assert client.get("/v1/models", headers={"authorization": header}).json()["code"] == "key_required"


def test_a_key_works_through_a_proxy_and_under_any_name(keyed, keys):
    with keyed() as client:
        headers = {**bearer(keys["classify"][1]), "x-forwarded-for": "203.0.113.7", "host": "img.example.org"}
        assert client.get("/v1/models", headers=headers).status_code == 200


def test_a_host_that_is_not_ours_is_refused_even_with_a_key(keyed, keys):
    with keyed(DEMURE_HOSTS="img.example.org, localhost") as client:
        for host, status in (("img.example.org", 200), ("IMG.example.org:443", 200), ("other.example.org", 403)):
            headers = {**bearer(keys["classify"][1]), "host": host}
            assert client.get("/v1/models", headers=headers).status_code == status, host
        assert client.get("/health", headers={"host": "10.0.0.9"}).status_code == 200


def test_public_without_keys_opens_what_this_machine_may_ask_and_no_more(quick):
    with quick(DEMURE_PUBLIC="yes-without-keys") as client:
        headers = {"x-forwarded-for": "203.0.113.7", "host": "img.example.org"}
        for path in KEYLESS:
            assert client.get(path, headers=headers).status_code == 200, path
        for path in KEYED:
            assert client.get(path, headers=headers).status_code == 401, path


def test_a_key_has_a_rate(keyed, keys):
    with keyed(DEMURE_RATE_LIMIT="3/hour") as client:
        first, other = bearer(keys["classify"][1]), bearer(keys["admin"][1])
        assert [client.get("/v1/models", headers=first).status_code for _ in range(4)] == [200, 200, 200, 429]
        answer = client.get("/v1/models", headers=first)
        assert answer.json()["code"] == "rate_limited"
        assert int(answer.headers["retry-after"]) >= 1
        assert client.get("/v1/models", headers=other).status_code == 200


def test_a_key_is_known_and_forgotten_without_a_restart(quick):
    with quick() as client:
        keys = Keys(client.app.state.desk.database)
        key, secret = make_key("site", ["classify"])
        assert client.get("/v1/models", headers=bearer(secret)).json()["code"] == "key_required"
        keys.add(key)
        time.sleep(NEW_S)
        assert client.get("/v1/models", headers=bearer(secret)).status_code == 200
        assert client.get("/v1/models").json()["code"] == "key_required"
        second, other = make_key("site-new", ["classify"])
        keys.add(second)
        keys.revoke("site")
        time.sleep(FRESH_S)
        assert client.get("/v1/models", headers=bearer(secret)).json()["code"] == "key_required"
        assert client.get("/v1/models", headers=bearer(other)).status_code == 200
        keys.revoke("site-new")  # the last one: revoking it opens no door
        time.sleep(FRESH_S)
        assert client.get("/v1/models").json()["code"] == "key_required"


@pytest.mark.parametrize(
    ("path", "scope"),
    [
        ("/predict", "classify"),
        ("/models/a/predict", "classify"),
        ("/v1/moderate", "classify"),
        ("/v1/moderate/", "classify"),
        ("/v1/moderatefoo", "admin"),
        ("/predictable", "admin"),
        ("/v1/reviews", "review"),
        ("/metrics", "metrics"),
        ("/new-and-unknown", "admin"),
        ("/", "admin"),
    ],
)
def test_what_is_not_known_to_be_harmless_needs_the_highest_scope(path, scope):
    assert needed_scope(path) == scope
