"""The OpenAPI document against the service: schemathesis sends what it allows and what it forbids, and believes no answer.

The service is real, with tiny models, on loopback. It fetches from nobody: names resolve to a public address, and whatever is
dialled there is one of the answers below, good and bad.
"""

from __future__ import annotations

import itertools
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpcore2
from harness import ROOT, WORK
from pictures import encode, gradient
from service import serving
from tiny_models import FIVE, RULES, WITNESS, add_model, tiny_graph

from demure.checker import Checker
from demure.fetch import Fetcher, FetchLimits
from demure.keys import make_key
from demure.settings import read_settings

PICTURE = encode(gradient(40, 40), "PNG")
KEY, SECRET = make_key("fuzz", ["admin"])


def answer(status: str, body: bytes = b"", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


ANSWERS = itertools.cycle(
    [
        *([answer("200 OK", PICTURE)] * 3),
        answer("200 OK", PICTURE[:100]),
        answer("200 OK"),
        answer("200 OK", b"<html>"),
        answer("200 OK", PICTURE, "Content-Encoding: gzip"),
        answer("404 Not Found"),
        answer("503 Service Unavailable"),
        answer("302 Found", b"", "Location: http://127.0.0.1/"),
        answer("302 Found", b"", "Location: /again"),
        answer("302 Found"),
        answer("200 OK")[:20],
        b"",
    ]
)


class Upstreams(httpcore2.AsyncNetworkBackend):
    """Dials nothing: the next canned answer comes from wherever it was told to dial."""

    async def connect_tcp(self, host: str, port: int, *_: object, **__: object) -> httpcore2.AsyncNetworkStream:
        return Upstream([next(ANSWERS)], (host, port))


class Upstream(httpcore2.AsyncMockStream):
    def __init__(self, buffer: list[bytes], peer: tuple[str, int]) -> None:
        super().__init__(buffer)
        self._peer = peer

    def get_extra_info(self, info: str) -> object:
        return self._peer if info == "server_addr" else super().get_extra_info(info)


async def resolve(_host: str, _port: int) -> list[str]:
    return ["93.184.215.14"]


@contextmanager
def service(**variables: str) -> Iterator[str]:
    """The address of a service with tiny models."""
    with tempfile.TemporaryDirectory() as folder:
        models, policies = Path(folder) / "models", Path(folder) / "policies"
        models.mkdir()
        policies.mkdir()
        add_model(models, "colour", tiny_graph(5), FIVE)
        add_model(models, "redness", tiny_graph(2), WITNESS)
        (policies / "colours.toml").write_text(RULES)
        folders = {"DEMURE_MODELS_DIR": str(models), "DEMURE_POLICIES_DIR": str(policies), "DEMURE_DATA_DIR": folder}
        given = {**folders, "DEMURE_MODEL": "colour", "DEMURE_POLICY": "colours"}
        with serving(read_settings({**given, "DEMURE_THREADS": "1", **variables})) as client:
            engine = client.app.state.engine
            engine.checker = Checker(Fetcher(FetchLimits(), resolve=resolve, backend=Upstreams()), engine.workers)
            yield str(client.base_url).rstrip("/")


def schemathesis(url: str, seconds: int, *options: str) -> tuple[int, int]:
    """(requests that were made, exit code)."""
    program, config = Path(sys.executable).with_name("schemathesis"), ROOT / "fuzz" / "schemathesis.toml"
    done = subprocess.run(
        [program, "--config-file", config, "run", f"{url}/openapi.json", f"--max-time={seconds}", *options],
        cwd=WORK,
        env={"SCHEMATHESIS_HOOKS": "values", "PYTHONPATH": str(ROOT / "fuzz"), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    print(done.stdout[-20_000:], done.stderr[-5_000:], flush=True)
    return sum(map(int, re.findall(r"([0-9]+) generated", done.stdout))), done.returncode


def main(seconds: int) -> int:
    started = time.monotonic()
    with service() as url:
        without = schemathesis(url, max(1, seconds // 2))
    with service(DEMURE_API_KEYS=str(KEY), DEMURE_RATE_LIMIT="none") as url:
        having = schemathesis(url, max(1, seconds // 2), "--header", f"Authorization: Bearer {SECRET}")
    findings = sum(code != 0 for _, code in (without, having))
    print(f"runs={without[0] + having[0]} seconds={time.monotonic() - started:.0f} findings={findings}")
    return int(findings > 0)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 60))
