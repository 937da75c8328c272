"""Two services as compose.yaml would run them, over one PostgreSQL, behind a proxy that takes them in turn."""

from __future__ import annotations

import base64
import http.client
import itertools
import signal
import subprocess
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
import yaml
from databases import empty_database
from pictures import encode
from PIL import Image
from processes import BIN, COMMANDS, ROOT, free_port, running
from service import NO_TLS

CLIENTS, EACH = 4, 30


class Proxy:
    """Takes the ports in turn, and the other where one does not answer: a balancer that tries a request again."""

    def __init__(self, ports: list[int]) -> None:
        self.answered: Counter[int] = Counter()
        turns, lock = itertools.cycle(ports), threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._pass_on(b"")

            def do_POST(self) -> None:
                self._pass_on(self.rfile.read(int(self.headers["Content-Length"])))

            def _pass_on(self, body: bytes) -> None:
                with lock:
                    first = next(turns)
                for port in sorted(ports, key=lambda port: port != first):
                    try:
                        answer, data = _asked(port, self.command, self.path, body, dict(self.headers))
                    except (ConnectionError, http.client.HTTPException):
                        continue
                    with lock:
                        outer.answered[port] += 1
                    self.send_response(answer.status)
                    self.send_header("Content-Length", str(len(data)))
                    self.end_headers()
                    self.wfile.write(data)
                    return
                self.send_error(502)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Proxy:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _asked(
    port: int, method: str, path: str, body: bytes, headers: dict[str, str]
) -> tuple[http.client.HTTPResponse, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    try:
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        return answer, answer.read()
    finally:
        connection.close()


@pytest.fixture
def two(tiny, checkout: Path, tmp_path: Path) -> Iterator[tuple[list[subprocess.Popen], Proxy, httpx.Client]]:
    """Both start at once on a database without tables. The client has a key that was made in a shell, as docs/deploying.md says."""
    compose = yaml.safe_load((ROOT / "compose.yaml").read_text())
    variables = {**compose["services"]["demure"]["environment"], **tiny, "DEMURE_DATA_DIR": str(tmp_path / "unused")}
    ports = [free_port(), free_port()]
    with empty_database("postgresql", tmp_path) as url:
        variables["DEMURE_DATABASE_URL"] = url
        command = COMMANDS["the-original-command"]
        with (
            running(command(ports[0]), ports[0], checkout, **variables) as one,
            running(command(ports[1]), ports[1], checkout, **variables) as other,
            Proxy(ports) as proxy,
        ):
            created = [str(BIN / "demure"), "keys", "create", "site", "--scopes", "classify,review"]
            made = subprocess.run(created, env=variables, capture_output=True, text=True, check=True)
            headers = {"authorization": f"Bearer {made.stdout.splitlines()[-1]}"}
            with httpx.Client(
                base_url=proxy.url, headers=headers, timeout=120, trust_env=False, verify=NO_TLS
            ) as client:
                yield [one, other], proxy, client


def picture(colour: str, number: int) -> dict:
    data = encode(Image.new("RGB", (64, 40 + number), colour), "PNG")
    return {"id": str(number), "base64": base64.b64encode(data).decode()}


def test_both_know_the_key_and_the_verdict_and_keep_nothing_beside_the_database(two, tmp_path: Path):
    _, proxy, client = two
    opened = client.post("/v1/moderate", json={"items": [picture("blue", 1)], "review": True}).json()["items"][0]
    held = client.post(f"/v1/reviews/{opened['review']['id']}/claim", json={}).json()
    body = {"verdict": "adult", "version": held["version"]}
    assert client.post(f"/v1/reviews/{opened['review']['id']}/verdict", json=body).status_code == 200
    answers = [client.post("/v1/moderate", json={"items": [picture("blue", 1)]}).json()["items"][0] for _ in range(2)]
    assert [(a["decision"], a["reason"]) for a in answers] == [("adult", "remembered")] * 2
    assert sorted(proxy.answered.values()) == [2, 3]  # of five requests, in turn
    assert not (tmp_path / "unused").exists()


def test_no_request_is_lost_when_one_of_the_two_is_stopped(two):
    (one, other), proxy, client = two
    begun = threading.Semaphore(0)

    def ask(number: int) -> list[tuple[int, str]]:
        seen = []
        for n in range(EACH):
            answer = client.post("/v1/moderate", json={"items": [picture("green", number * EACH + n)]})
            seen.append((answer.status_code, answer.json()["items"][0]["decision"]))
            begun.release()
        return seen

    with ThreadPoolExecutor(CLIENTS) as pool:
        asking = [pool.submit(ask, number) for number in range(CLIENTS)]
        for _ in range(CLIENTS * EACH // 4):
            assert begun.acquire(timeout=120)
        one.send_signal(signal.SIGTERM)
        answers = [answer for asked in asking for answer in asked.result()]
    assert answers == [(200, "safe")] * CLIENTS * EACH
    assert one.wait(timeout=120) == 0
    assert other.poll() is None
    assert len(proxy.answered) == 2
