"""Who passes without a key is this machine itself, by no proxy and no page, under its own name; with one, has one of ours."""

from __future__ import annotations

import re
from collections.abc import Coroutine
from contextlib import suppress
from random import Random
from typing import Any

import atheris
from harness import check, fuzz

with atheris.instrument_imports(include=["demure"]):
    from demure.errors import NotPermitted
    from demure.keys import Key, Keyring, make_key
    from demure.web.auth import OPEN, Access, Gate
    from demure.web.problems import RequestError

KEY, SECRET = make_key("fuzz", ["classify"])
HARMLESS = ("/predict", "/models", "/v1/moderate", "/v1/models", "/v1/policies", "/docs", "/openapi.json", "/readyz")
PROXY = (b"forwarded", b"x-forwarded-", b"x-real-ip", b"via")
passed: list[str] = []


async def app(scope: Any, _receive: object, _send: object) -> None:
    passed.append(scope["path"])


async def no_store() -> tuple[Key, ...] | None:
    return None


WITHOUT, HAVING = (Gate(app, Access(), Keyring(keys, no_store)) for keys in ((), (KEY,)))


def target(data: bytes) -> None:
    """Lines: whether keys are configured, the client's address, the path, then headers."""
    keyed, client, path, *lines = [*data.split(b"\n"), b"", b"", b""][: max(3, data.count(b"\n") + 1)]
    pairs = [line.split(b": ", 1) for line in lines if b": " in line]
    headers = [(name.lower(), value) for name, value in pairs]
    ends = {"client": (client.decode("latin-1"), 9), "server": ("127.0.0.1", 80)}
    scope = {"type": "http", "path": path.decode("utf-8", "replace"), "headers": headers, "state": {"log": {}}, **ends}
    passed.clear()
    try:
        run((HAVING if keyed else WITHOUT)(scope, None, None))  # it reads and sends nothing
    except (RequestError, NotPermitted) as error:
        error.message.encode()
        return
    check(len(passed) == 1, passed)
    # The pages ask for a session themselves.
    if scope["path"] not in OPEN and not re.match("/(review(/|$)|$)", scope["path"]):
        check_key(headers) if keyed else check_local(client, headers)
        check(scope["path"].startswith(HARMLESS), scope["path"])


def run(coroutine: Coroutine[Any, Any, None]) -> None:
    """It waits for nothing, so no event loop is needed."""
    with suppress(StopIteration):
        coroutine.send(None)


def check_key(headers: list[tuple[bytes, bytes]]) -> None:
    (given,) = [value for name, value in headers if name == b"authorization"]
    check(
        given.lower().startswith(b"bearer ")
        and given[7:].strip(b" \t\r\x0b\x0c\x85\xa0\x1c\x1d\x1e\x1f") == SECRET.encode()
    )


def check_local(client: bytes, headers: list[tuple[bytes, bytes]]) -> None:
    check(client.startswith((b"127.", b"::1")) or client.replace(b"0", b"").strip(b":") == b"1", client)
    check(not any(name.startswith(PROXY) for name, _ in headers), headers)
    (host,) = [value.strip().lower() for name, value in headers if name == b"host"]
    name = host.partition(b"]")[0].strip(b"[") if host.startswith(b"[") else host.partition(b":")[0]
    check(name == b"localhost" or name.startswith(b"127.") or b":" in host, host)
    origins = [value.strip().lower() for name, value in headers if name == b"origin"]
    check(all(origin in (b"", b"http://" + host, b"https://" + host) for origin in origins), origins, host)


PIECES = """
127.0.0.1 ::1 10.0.0.1 ::ffff:127.0.0.1 localhost localhost:8080 LOCALHOST localhost.evil.example evil.example [::1]:80 127.1
http://localhost https://localhost:8080 http://evil.example null
/predict /v1/moderate /v1/moderate/../reviews /metrics /health /v1/reviews
Host Origin Authorization Via Forwarded X-Forwarded-For X-Real-IP Bearer bearer
""".split()


def mutate(data: bytes, max_size: int, seed: int) -> bytes:
    """Half of the time, one word is put in the place of another, or a line twice: most else is refused at once."""
    dice = Random(seed)
    lines = [line.split(b" ") for line in data.split(b"\n")]
    if dice.random() < 0.5:
        return atheris.Mutate(data, max_size)
    line = dice.choice(lines)
    if dice.random() < 0.2:
        lines.append(dice.choice(lines))
    else:
        colon = b":" if line[0].endswith(b":") else b""
        at = dice.randrange(len(line))
        line[at] = dice.choice(PIECES).encode() + (colon if at == 0 else b"")
    return b"\n".join(b" ".join(words) for words in lines)[:max_size]


def seeds() -> list[bytes]:
    return [
        b"\n127.0.0.1\n/predict\nHost: localhost:8080",
        b"\n::1\n/v1/moderate\nHost: [::1]:8080\nOrigin: http://[::1]:8080",
        b"\n127.0.0.1\n/health",
        b"k\n10.0.0.1\n/predict\nHost: a.example\nAuthorization: Bearer " + SECRET.encode(),
        b"\n127.0.0.1\n/predict\nHost: localhost\nVia: 1.1 a",
    ]


if __name__ == "__main__":
    fuzz(target, seeds(), mutate, max_bytes=500)
