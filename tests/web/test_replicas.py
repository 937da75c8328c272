"""Several processes over one database, and processes that are killed."""

from __future__ import annotations

import base64
import io
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from databases import KINDS, empty_database
from killing import Killed
from pictures import EXAMPLE, encode
from PIL import Image
from processes import BIN, free_port, running, serve
from service import NO_TLS

from demure.keys import FRESH_S, make_key

KILLS = 3  # `make kill` kills a hundred times


@pytest.fixture
def two_servers(tiny, tmp_path: Path) -> Iterator[tuple[dict[str, str], list[httpx.Client]]]:
    """Their settings, and a client for each, which has a key for everything."""
    key, secret = make_key("site", ["admin"])
    ports = [free_port(), free_port()]
    with empty_database("postgresql", tmp_path) as url:
        variables = {**tiny, "DEMURE_DATABASE_URL": url, "DEMURE_API_KEYS": str(key)}
        # Both at once: one of them migrates, and the other waits.
        with (
            running(serve(ports[0]), ports[0], tmp_path, **variables),
            running(serve(ports[1]), ports[1], tmp_path, **variables),
        ):
            headers = {"authorization": f"Bearer {secret}"}
            clients = [client_of(port, headers) for port in ports]
            yield variables, clients
            for client in clients:
                client.close()


def client_of(port: int, headers: dict[str, str]) -> httpx.Client:
    url = f"http://127.0.0.1:{port}"
    return httpx.Client(base_url=url, headers=headers, trust_env=False, verify=NO_TLS, timeout=120)


def moderate(client: httpx.Client, data: bytes) -> dict:
    item = {"base64": base64.b64encode(data).decode()}
    answer = client.post("/v1/moderate", json={"items": [item], "review": True})
    assert answer.status_code == 200, answer.text
    return answer.json()["items"][0]


def test_two_servers_share_one_queue_and_one_memory(two_servers, tmp_path):
    variables, (one, other) = two_servers
    photo = Image.open(EXAMPLE).convert("RGB")
    tinted = Image.blend(photo, Image.new("RGB", photo.size, "blue"), 0.5)
    pictures = [encode(tinted, "PNG"), *(encode(Image.new("RGB", (64, 40 + n), "blue"), "PNG") for n in range(9))]
    opened = [moderate(one if n % 2 else other, picture)["review"]["id"] for n, picture in enumerate(pictures)]
    assert moderate(one, pictures[3])["review"]["id"] == opened[3]  # the image stands in the queue once

    held = []
    while len(held) < 10:
        held += [client.post("/v1/reviews/claim", json={}).json()["review"] for client in (one, other)]
    assert {review["id"] for review in held} == {*opened}
    assert (
        one.post("/v1/reviews/claim", json={}).json()
        == other.post("/v1/reviews/claim", json={}).json()
        == {"review": None}
    )

    first = next(review for review in held if review["id"] == opened[0])
    body = {"verdict": "adult", "version": first["version"]}
    assert other.post(f"/v1/reviews/{opened[0]}/verdict", json=body).status_code == 200
    assert one.post(f"/v1/reviews/{opened[0]}/verdict", json=body).status_code == 409
    assert [moderate(client, pictures[0])["reason"] for client in (one, other)] == ["remembered"] * 2
    buffer = io.BytesIO()
    tinted.resize((tinted.width // 2, tinted.height // 2)).save(buffer, "JPEG", quality=60)
    assert [moderate(client, buffer.getvalue())["reason"] for client in (one, other)] == ["near_copy"] * 2

    environment = {**variables, "DEMURE_DATA_DIR": str(tmp_path / "data")}
    command = [str(BIN / "demure"), "keys", "create", "late", "--scopes", "classify"]
    made = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    time.sleep(FRESH_S)
    late = {"authorization": f"Bearer {made.stdout.splitlines()[-1]}"}
    assert [client.get("/v1/models", headers=late).status_code for client in (one, other)] == [200, 200]


@pytest.mark.parametrize("kind", KINDS)
def test_no_verdict_that_was_acknowledged_is_lost_when_the_service_is_killed(kind: str, tiny, tmp_path: Path):
    with empty_database(kind, tmp_path) as url:
        killed = Killed(url, tmp_path, tiny)
        killed.fill(2000)
        for _ in range(KILLS):
            killed.once()
        assert len(killed.acknowledged) > KILLS
        assert killed.lost() == {}
