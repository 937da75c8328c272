"""Clients that mean harm, or have a bad line: half a request, too much of one, no end of one, and nobody who listens."""

from __future__ import annotations

import contextlib
import gc
import gzip
import json
import socket
import struct
import time
from collections.abc import Iterable, Iterator

import httpx
import pytest
from pictures import encode, plain
from service import NO_TLS, answer_to_head, serving, settings_for, wait_until_nobody_is_admitted
from waiting import wait_until

SAFE = encode(plain([0, 255, 0]), "PNG")
HEAD = b"POST /v1/moderate HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\n"
GET = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture(scope="module")
def hasty(tiny: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A service that waits a second for a client."""
    variables = {**tiny, "DEMURE_CLIENT_TIMEOUT_S": "1"}
    with serving(settings_for(tmp_path_factory.mktemp("hasty"), **variables)) as client:
        yield client


def connect(client: httpx.Client) -> socket.socket:
    return socket.create_connection((client.base_url.host, client.base_url.port), timeout=120)


def send_all(connection: socket.socket, pieces: Iterable[bytes], pause_s: float = 0.0) -> None:
    for piece in pieces:
        connection.sendall(piece)
        time.sleep(pause_s)


def read_all(connection: socket.socket) -> bytes:
    """Until the other side ends it, in whatever way."""
    answer = bytearray()
    try:
        while piece := connection.recv(65536):
            answer += piece
    except ConnectionError:
        pass
    return bytes(answer)


def answered(client: httpx.Client, request: bytes) -> bytes:
    """All that comes back for these bytes, up to the end of the connection."""
    with connect(client) as connection:
        with contextlib.suppress(ConnectionError):
            connection.sendall(request)
        return read_all(connection)


def serves(client: httpx.Client) -> bool:
    """Over a connection of its own: one that was kept may be ended as idle just when it is used."""
    headers = {"content-type": "image/png"}
    answer = httpx.post(f"{client.base_url}/v1/moderate", content=SAFE, headers=headers, verify=NO_TLS, timeout=120)
    return answer.json()["items"][0]["decision"] == "safe"


# 1. Who sends half, and then nothing, or hardly anything.

HALVES = {
    "nothing at all": b"",
    "half a line": b"GET /li",
    "half a head": HEAD,
    "half a second request": GET + b"GET /liv",
    "an answer, and then silence": GET,
}


@pytest.fixture(scope="module")
def halves_ended(hasty: httpx.Client) -> dict[str, bytes]:
    """All that came over each connection. They stand open side by side, so that one wait does for all."""
    with contextlib.ExitStack() as stack:
        connections = {name: stack.enter_context(connect(hasty)) for name in HALVES}
        for name, half in HALVES.items():
            connections[name].sendall(half)
        assert serves(hasty)  # the others are not kept waiting
        return {
            name: read_all(connection) for name, connection in connections.items()
        }  # ends, or the sockets' timeout would


@pytest.mark.parametrize("half", HALVES, ids=HALVES)
def test_a_request_that_does_not_come_ends_its_connection(halves_ended: dict[str, bytes], half: str):
    assert halves_ended[half].count(b"HTTP/1.1 ") == HALVES[half].count(b"\r\n\r\n")


def test_a_head_that_drips_ends_its_connection(hasty):
    with connect(hasty) as connection, pytest.raises(ConnectionError):
        send_all(connection, (bytes([byte]) for byte in HEAD * 100), pause_s=0.05)


def test_a_body_that_stops_is_timed_out_and_its_place_given_back(hasty):
    answer = answered(hasty, HEAD + b"Content-Length: 100\r\n\r\nabc")
    assert answer.startswith(b"HTTP/1.1 504 ")
    assert b"client_timeout_s" in answer
    wait_until_nobody_is_admitted(hasty)


def test_a_body_that_drips_is_ended_by_the_requests_own_time(quick):
    with quick(DEMURE_REQUEST_TIMEOUT_S="1") as client, connect(client) as connection:
        connection.settimeout(0.1)
        connection.sendall(HEAD + b"Content-Length: 1000\r\n\r\n")
        answer = b""
        while b"}" not in answer:
            with contextlib.suppress(ConnectionError):  # the answer may be out, and the end of the connection too
                connection.sendall(b"x")
            with contextlib.suppress(TimeoutError):
                answer += connection.recv(1000)
        assert answer.startswith(b"HTTP/1.1 504 ")
        assert b"request_timeout_s" in answer
        wait_until_nobody_is_admitted(client)


def test_a_body_that_goes_on_after_its_refusal_ends_with_its_connection(hasty):
    """Refused for its key before a byte of it is read: what comes after is thrown away, for as long as a client is given."""
    head = b"POST /v1/reviews HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n"
    with connect(hasty) as connection:
        connection.sendall(head)
        assert connection.recv(1000).startswith(b"HTTP/1.1 401 ")
        with pytest.raises(ConnectionError):
            send_all(connection, [b"x"] * 1000, pause_s=0.05)


# 2. Who comes in numbers, and who does not listen.


def test_a_thousand_idle_connections_keep_nobody_out(quick):
    with quick() as client:
        idle = [connect(client) for _ in range(1000)]
        try:
            assert serves(client)
            assert httpx.get(f"{client.base_url}/livez").status_code == 200
        finally:
            for connection in idle:
                connection.close()


def test_where_connections_run_out_the_longest_silent_one_makes_room(quick):
    with quick(DEMURE_MAX_CONNECTIONS="20") as client:
        held = connect(client)
        # At work, and far ahead of a slow line.
        held.sendall(HEAD + b"Content-Length: 1000000\r\n\r\n" + b"x" * 999_900)
        wait_until(lambda: client.app.state.engine.workers.admitted)
        idle = [connect(client) for _ in range(60)]
        try:
            assert serves(client)
            assert read_all(idle[0]) == b""  # ended
            held.sendall(b"x" * 100)
            assert held.recv(20).startswith(b"HTTP/1.1 200 ")
        finally:
            for connection in [*idle, held]:
                connection.close()


def test_who_does_not_take_its_answers_is_cut_off(hasty):
    with connect(hasty) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        asked = b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n" * 2000  # some 60 MB of answers
        with pytest.raises(ConnectionError):
            send_all(connection, [asked, *[GET] * 1000], pause_s=0.05)
    assert serves(hasty)


def test_who_resets_connections_leaves_nothing_behind(quick):
    with quick() as client:
        for sent in (b"", GET[:10], GET, HEAD + b"Content-Length: 9\r\n\r\nabc") * 25:
            connection = connect(client)
            connection.sendall(sent)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.close()
        wait_until_nobody_is_admitted(client)
        assert serves(client)


# 3. Who sends too much.


@pytest.mark.parametrize("framing", [b"Content-Length: 30000000\r\n", b"Transfer-Encoding: chunked\r\n"])
def test_a_client_that_sends_all_before_it_listens_still_gets_its_answer(quick, framing: bytes):
    """A connection that is closed at once is reset, and its answer lost with it."""
    piece = b"x" * 100_000
    sent = piece if b"Length" in framing else b"%x\r\n%b\r\n" % (len(piece), piece)
    with quick(DEMURE_MAX_BODY_BYTES="1000000") as client, connect(client) as connection:
        connection.sendall(HEAD + framing + b"\r\n")
        for _ in range(300):
            connection.sendall(sent)
        answer = read_all(connection)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b'"code": "too_large"' in answer


def test_who_sends_without_end_is_cut_off(quick):
    with quick(DEMURE_MAX_BODY_BYTES="1000000") as client, connect(client) as connection:
        connection.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        piece = b"186a0\r\n%b\r\n" % (b"x" * 100_000)
        with pytest.raises(ConnectionError):
            send_all(connection, [piece] * 10_000)  # a gigabyte


def test_a_body_past_its_limit_is_refused_before_it_is_read(quick):
    with quick(DEMURE_MAX_BODY_BYTES="1000") as client:
        told = answer_to_head(client, "application/json", 1001)
        assert told.startswith("HTTP/1.1 413 ")
        assert '"code": "too_large"' in told

        def chunks():
            for _ in range(50):
                yield b"x" * 100

        untold = client.post("/v1/moderate", content=chunks(), headers={"content-type": "application/json"})
        assert (untold.status_code, untold.json()["code"]) == (413, "too_large")
        assert client.get("/health").status_code == 200


def test_a_raw_image_past_its_limit_is_refused_told_or_not(quick):
    with quick(DEMURE_MAX_IMAGE_BYTES="1000") as client:
        for content in (b"x" * 1001, iter([b"x" * 600, b"x" * 600])):
            answer = client.post("/v1/moderate", content=content, headers={"content-type": "image/png"})
            assert (answer.status_code, answer.json()["code"]) == (413, "too_large")


def test_a_client_that_leaves_in_mid_upload_is_no_fault_of_ours(quick, capfd):
    with quick() as client:
        host, port = client.base_url.host, client.base_url.port
        with socket.create_connection((host, port)) as half:
            half.sendall(
                b"POST /v1/moderate HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\nContent-Length: 1000\r\n\r\nab"
            )
            wait_until(lambda: client.app.state.engine.workers.admitted)
        wait_until_nobody_is_admitted(client)
    log = capfd.readouterr().err
    assert "client=gone" in log
    assert "level=error" not in log


def test_clients_that_leave_in_numbers_leave_no_traceback(quick, images, capfd):
    with quick() as client, images.holding():
        items = [{"url": images.url("/left-2", SAFE)}] * 3
        for _ in range(5):
            with pytest.raises(httpx.ReadTimeout):
                client.post("/v1/moderate", json={"items": items}, timeout=httpx.Timeout(120, read=0.1))
        wait_until_nobody_is_admitted(client)
        gc.collect()
    assert "never retrieved" not in capfd.readouterr().err


def test_a_client_that_leaves_gives_its_place_back(quick, images):
    with quick() as client, images.holding():
        timeout = httpx.Timeout(120, read=0.3)
        with pytest.raises(httpx.ReadTimeout):
            client.post("/predict", params={"url": images.url("/left", SAFE)}, timeout=timeout)
        wait_until_nobody_is_admitted(client)  # though the image never came


def test_a_body_that_goes_on_past_its_limit_while_a_url_is_fetched_is_told_so(quick, images):
    with quick(DEMURE_MAX_BODY_BYTES="1000") as client, images.holding():
        url = images.url("/slow-body", SAFE)
        answer = client.post("/predict", params={"url": url}, content=iter([b"x" * 900] * 3))
        assert (answer.status_code, answer.json()["code"]) == (413, "too_large")


# 4. Who sends nonsense.

POST_JSON = b"POST /v1/moderate HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
NONSENSE = {
    "random bytes": bytes(range(256)) * 4,
    "a TLS hello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 100 + b"\r\n\r\n",
    "HTTP/2 at once": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/0.9": b"GET /livez\r\n\r\n",
    "HTTP/3.7": b"GET /livez HTTP/3.7\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    "no Host": b"GET /livez HTTP/1.1\r\n\r\n",
    "two Hosts": b"GET /livez HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "a space before the colon": b"GET /livez HTTP/1.1\r\nHost : localhost\r\n\r\n",
    "NUL in a header": b"GET /livez HTTP/1.1\r\nHost: localhost\r\nX: a\0b\r\n\r\n",
    "a header of a megabyte": b"GET /livez HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 1_000_000 + b"\r\n\r\n",
    "100,000 headers": b"GET /livez HTTP/1.1\r\nHost: localhost\r\n" + b"X: y\r\n" * 100_000 + b"\r\n",
    "a path of a megabyte": b"GET /" + b"a" * 1_000_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "two lengths": HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "a length below zero": HEAD + b"Content-Length: -1\r\n\r\n",
    "a length with a plus": HEAD + b"Content-Length: +2\r\n\r\nab",
    "a length of 5,000 digits": HEAD + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n",
    "a coding that is not known": HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "chunked twice": HEAD + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a chunk without a size": HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nab\r\n",
    "a chunk size of 100 digits": HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"f" * 100 + b"\r\nab\r\n",
    "a method of its own": b"BREW /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    "TRACE": b"TRACE /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    "CONNECT": b"CONNECT 127.0.0.1:22 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    "OPTIONS of all": b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    "an address as the path": b"GET http://169.254.169.254/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    "a path out of the root": b"GET /../../etc/passwd HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    "a path that is not UTF-8": b"GET /%ff%fe HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    "a query that is not UTF-8": b"POST /predict?url=%ff HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    "a WebSocket": b"GET /v1/moderate HTTP/1.1\r\nHost: localhost\r\nConnection: upgrade, close\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n",
    "an expectation that is not known": HEAD + b"Expect: a miracle\r\nContent-Length: 2\r\nConnection: close\r\n\r\nab",
    "a request and garbage": GET + b"\x00\x01garbage\r\n\r\n",
    "half a form, and the end": HEAD.replace(b"image/png", b"multipart/form-data; boundary=b")
    + b"Content-Length: 6\r\nConnection: close\r\n\r\n--b\r\nC",
    "a type of a megabyte's worth of parameters": HEAD.replace(b"image/png", b"a/b" + b";c=d" * 10_000)
    + b"Content-Length: 2\r\nConnection: close\r\n\r\nab",
}


@pytest.mark.parametrize("request_", NONSENSE.values(), ids=NONSENSE)
def test_nonsense_is_refused_or_answered_and_never_an_error_of_ours(service, capfd, request_: bytes):
    answer = answered(service, request_)
    statuses = [int(part[:3]) for part in answer.split(b"HTTP/1.1 ")[1:]]
    assert all(status < 500 for status in statuses), answer[:500]
    assert statuses  # refused, and not merely dropped
    assert "Traceback" not in capfd.readouterr().err
    assert serves(service)


def test_requests_that_come_all_at_once_are_answered_in_their_order(service):
    asked = b"".join(
        b"GET /livez HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: %d\r\n\r\n" % number for number in range(200)
    )
    answer = answered(service, asked + GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
    told = [line for line in answer.split(b"\r\n") if line.startswith(b"x-request-id: ")]
    assert told[:-1] == [b"x-request-id: %d" % number for number in range(200)]


def test_a_second_request_inside_the_body_of_the_first_is_not_answered(service):
    """The length says that it is body (RFC 9112, 11.2)."""
    inside = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"
    answer = answered(service, HEAD + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(inside) + inside)
    assert answer.count(b"HTTP/1.1 ") == 1


def form(*parts: bytes) -> tuple[bytes, dict[str, str]]:
    body = b"".join(b"--b\r\n" + part + b"\r\n" for part in parts) + b"--b--\r\n"
    return body, {"content-type": "multipart/form-data; boundary=b"}


def field(name: str, value: bytes = b"x") -> bytes:
    return b'Content-Disposition: form-data; name="%b"\r\n\r\n%b' % (name.encode(), value)


def file(name: str = "p.png", value: bytes = SAFE) -> bytes:
    return b'Content-Disposition: form-data; name="f"; filename="%b"\r\n\r\n%b' % (name.encode(), value)


def nested(depth: int) -> bytes:
    return b'{"items": [{"url": "http://e.org/", "metadata": ' + b'{"a":' * depth + b"1" + b"}" * depth + b"}]}"


JSON = {"content-type": "application/json"}
BODIES = {
    "5,000 fields": (*form(*(field(f"f{i}") for i in range(5000))), 400),
    "5,000 fields of one name": (*form(*[field("policy")] * 5000), 400),
    "500 files": (*form(*[file()] * 500), 413),
    "5,000 files": (*form(*[file(value=b"x")] * 5000), 400),
    "a field of a megabyte": (*form(field("policy", b"x" * 1_000_000)), 400),
    "a part's head of a megabyte": (*form(b"X: " + b"a" * 1_000_000 + b"\r\n" + file()), 400),
    "a part with 10,000 headers": (*form(b"X: a\r\n" * 10_000 + file()), 400),
    "a part without a name": (*form(b"Content-Disposition: form-data\r\n\r\nx"), 400),
    "a part without a head": (*form(b"\r\nx"), 400),
    "a form in a form": (
        *form(b"Content-Type: multipart/mixed; boundary=c\r\n" + file(value=b"--c\r\n\r\nx\r\n--c--")),
        200,
    ),
    "a file's name that leads elsewhere": (*form(file("../../../etc/passwd")), 200),
    "a boundary of 10,000 letters": (b"x", {"content-type": "multipart/form-data; boundary=" + "b" * 10_000}, 400),
    "a boundary of nothing": (b"x", {"content-type": "multipart/form-data; boundary="}, 400),
    "JSON a hundred thousand deep": (b"[" * 100_000, JSON, 400),
    "metadata 100 deep": (nested(100), JSON, 200),
    "metadata 40,000 deep": (nested(40_000), JSON, 400),
    "a million of nothing": (b'{"items": [' + b"{}," * 1_000_000 + b"{}]}", JSON, 413),
    "a number past all": (b'{"items": [{"url": 1e999}]}', JSON, 400),
    "a number of 100,000 digits": (b'{"items": [' + b"9" * 100_000 + b"]}", JSON, 400),
    "no number": (b'{"items": NaN}', JSON, 400),
    "half a character": (b'{"items": [{"url": "\\ud800"}]}', JSON, 400),
    "not UTF-8": (b'{"items": [{"url": "\xff"}]}', JSON, 400),
    "UTF-16": (json.dumps({"items": []}).encode("utf-16"), JSON, 400),
    "a key twice": (b'{"items": [], "items": [{"url": "x"}]}', JSON, 200),
    "a URL of a megabyte": (json.dumps({"items": [{"url": "http://e.org/" + "a" * 1_000_000}]}).encode(), JSON, 200),
    "base64 of a megabyte of nothing": (json.dumps({"items": [{"base64": "A" * 1_000_000}]}).encode(), JSON, 200),
    "base64 that is none": (json.dumps({"items": [{"base64": "*" * 1_000_000}]}).encode(), JSON, 200),
    "no items": (b'{"items": []}', JSON, 400),
    "gzip": (gzip.compress(b'{"items": []}'), {**JSON, "content-encoding": "gzip"}, 400),
    "a name past all": (json.dumps({"items": [{"url": "x"}], "policy": "p" * 1_000_000}).encode(), JSON, 404),
}


@pytest.mark.parametrize(("body", "headers", "status"), BODIES.values(), ids=BODIES)
def test_a_body_that_is_meant_to_hurt_is_refused_or_its_item_is(service, capfd, body, headers, status):
    answer = service.post("/v1/moderate", content=body, headers=headers)
    assert answer.status_code == status, answer.text[:300]
    assert len(answer.content) < 20_000  # what was sent does not come back
    log = capfd.readouterr().err
    assert "Traceback" not in log
    assert len(log) < 5000
    assert serves(service)
