"""More work than there are hands for: what is let in, what is refused, and that every place is given back."""

from __future__ import annotations

import base64
import re
import threading

import httpx
from pictures import encode, plain
from service import ImageServer, answer_to_head, wait_until_nobody_is_admitted
from waiting import wait_until

SAFE = encode(plain([0, 255, 0]), "PNG")


def hold(client: httpx.Client, images: ImageServer, count: int) -> list[threading.Thread]:
    """So many requests that wait for a slow image."""
    url = images.url("/held", SAFE)
    threads = [
        threading.Thread(
            target=lambda: httpx.post(f"{client.base_url}/predict", params={"url": url}, timeout=120), daemon=True
        )
        for _ in range(count)
    ]
    for thread in threads:
        thread.start()
    workers = client.app.state.engine.workers
    wait_until(lambda: workers.admitted == count)
    return threads


def test_overload_is_answered_at_once_before_the_body_is_read(quick, images):
    with quick(DEMURE_THREADS="1", DEMURE_MAX_WAITING="1") as client:
        with images.holding():
            threads = hold(client, images, 2)
            answer = answer_to_head(client, "image/png", 1_000_000)
            assert answer.startswith("HTTP/1.1 503 ")
            assert re.search(r"^retry-after: [1-9]", answer, re.MULTILINE)
            assert '"code": "overloaded"' in answer
            assert client.get("/health").status_code == 200
            assert client.app.state.engine.workers.admitted == 2  # they waited all the while
        for thread in threads:
            thread.join()
        wait_until_nobody_is_admitted(client)
        assert client.post("/v1/moderate", content=SAFE, headers={"content-type": "image/png"}).status_code == 200


def test_bytes_held_by_all_requests_have_a_limit(quick):
    with quick(DEMURE_MAX_HELD_BYTES="2000") as client:
        answer = client.post("/v1/moderate", content=b"x" * 3000, headers={"content-type": "image/png"})
        assert (answer.status_code, answer.json()["code"]) == (503, "overloaded")
        wait_until_nobody_is_admitted(client)
        answer = client.post("/v1/moderate", content=b"x" * 1500, headers={"content-type": "image/png"})
        assert answer.status_code == 200  # what the first one held was given back


def test_a_batch_larger_than_all_places_is_answered_when_nobody_else_is_there(quick):
    items = [{"base64": base64.b64encode(SAFE).decode()}] * 6
    with quick(DEMURE_THREADS="1", DEMURE_MAX_WAITING="2") as client:
        answer = client.post("/v1/moderate", json={"items": items})
        assert [item["decision"] for item in answer.json()["items"]] == ["safe"] * 6
        wait_until_nobody_is_admitted(client)


def test_fetched_bytes_are_held_by_requests_too(quick, images):
    with quick(DEMURE_MAX_HELD_BYTES="5000") as client:
        large, small = images.url("/held-large", SAFE + bytes(6000)), images.url("/held-small", SAFE)
        answer = client.post("/v1/moderate", json={"items": [{"url": large}, {"url": small}]}).json()
        assert answer["items"][0]["reason"] == "overloaded"
        answer = client.post("/predict", params={"url": large})
        assert (answer.status_code, answer.json()["code"]) == (503, "overloaded")
        assert client.post("/predict", params={"url": small}).status_code == 200  # all was given back
