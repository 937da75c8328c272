"""Clients that never stop and hardly move: bodies that trickle in, answers that are sipped. They must keep nobody else out."""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
import time
from collections.abc import Callable, Iterator

import httpx
import pytest
import uvicorn
from doors import keyed
from service import NO_TLS
from starlette.responses import Response
from waiting import PATIENCE_S, wait_until

from demure.web.connections import impatient

FORM = "Content-Type: application/x-www-form-urlencoded\r\n"
JSON = "Content-Type: application/json\r\n"
EXPECT = "Expect: 100-continue\r\n"
BODY = b"x" * 2_000_000  # no image, which is its answer; at 64 kbit/s it would come for four minutes
ROOM = 20
PATIENT = {"DEMURE_CLIENT_TIMEOUT_S": "600", "DEMURE_REQUEST_TIMEOUT_S": "600"}


def connect(client: httpx.Client) -> socket.socket:
    return socket.create_connection((client.base_url.host, client.base_url.port), timeout=PATIENCE_S)


def head(client: httpx.Client, path: str, headers: str, length: int = 60_000) -> bytes:
    """Of a POST from a page of ours, where a browser would say so."""
    host = client.base_url.netloc.decode()
    lines = (
        f"POST {path} HTTP/1.1\r\nHost: {host}\r\nOrigin: http://{host}\r\n{headers}Content-Length: {length}\r\n\r\n"
    )
    return lines.encode()


def begun(client: httpx.Client, path: str, headers: str, length: int = 60_000, begin: bytes = b"") -> socket.socket:
    """A POST whose body is not there yet."""
    connection = connect(client)
    connection.sendall(head(client, path, headers, length) + begin)
    return connection


def answer_to_drips(connection: socket.socket) -> bytes:
    """What comes back while a byte is sent now and then."""
    connection.settimeout(0.1)
    answer = bytearray()

    def answered() -> bool:
        with contextlib.suppress(ConnectionError):  # the answer may be out, and the end of the connection too
            connection.sendall(b"1")
        with contextlib.suppress(TimeoutError, ConnectionError):
            answer.extend(connection.recv(4096))
        return b"}" in answer

    wait_until(answered, lambda: "there is no answer")
    return bytes(answer)


def test_a_pages_form_that_drips_is_ended_by_the_requests_own_time(quick):
    with quick(DEMURE_REQUEST_TIMEOUT_S="1") as client, begun(client, "/review/sign-in", FORM, begin=b"name=a") as drip:
        answer = answer_to_drips(drip)
        assert answer.startswith(b"HTTP/1.1 504 ")
        assert b'"timed_out"' in answer
        assert b"request_timeout_s" in answer


def test_json_that_drips_is_ended_by_the_requests_own_time_and_told_so(tiny, tmp_path):
    """Where the framework reads it: it calls whatever goes wrong meanwhile an error of the JSON."""
    with keyed(tmp_path, tiny, DEMURE_REQUEST_TIMEOUT_S="1") as house:
        sent = JSON + f"Authorization: Bearer {house.secrets['review']}\r\n"
        with begun(house.client, "/v1/reviews/claim", sent, begin=b'{"lease_s": 1') as drip:
            answer = answer_to_drips(drip)
        assert answer.startswith(b"HTTP/1.1 504 ")
        assert b'"timed_out"' in answer


def test_json_that_is_too_large_and_does_not_say_so_is_told_so(tiny, tmp_path):
    with keyed(tmp_path, tiny) as house:
        pieces = iter([b'{"reviewer": "', *[b"a" * 1000] * 70])
        kind = {"content-type": "application/json"}
        answer = house.ask("review", "POST", "/v1/reviews/claim", extra=kind, content=pieces)
        assert (answer.status_code, answer.json()["code"]) == (413, "too_large")


# Where connections run out.


@pytest.fixture
def small(quick) -> Iterator[httpx.Client]:
    """A service that has little room and all the time in the world."""
    with quick(DEMURE_MAX_CONNECTIONS=str(ROOM), **PATIENT) as client:
        yield client


def is_served(client: httpx.Client) -> bool:
    """Over a connection of its own."""
    try:
        return httpx.get(f"{client.base_url}/livez", verify=NO_TLS, timeout=PATIENCE_S).status_code == 200
    except httpx.TransportError:
        return False


def move(connections: list[socket.socket], step: Callable[[socket.socket], object]) -> None:
    for connection in connections:
        with contextlib.suppress(ConnectionError, TimeoutError):
            step(connection)


def drip(connection: socket.socket) -> None:
    connection.sendall(b"a")


def a_dripping_form(client: httpx.Client) -> socket.socket:
    connection = begun(client, "/review/sign-in", FORM + EXPECT)
    assert connection.recv(100).startswith(b"HTTP/1.1 100 ")  # it is being read
    return connection


def a_dripping_form_behind_a_whole_body(client: httpx.Client) -> socket.socket:
    """What came fast for one request is not saved up for the next."""
    kept = http.client.HTTPConnection(client.base_url.host, client.base_url.port, timeout=PATIENCE_S)
    kept.request("POST", "/v1/moderate", BODY, {"Content-Type": "image/png"})
    kept.getresponse().read()
    kept.sock.sendall(head(client, "/review/sign-in", FORM + EXPECT))
    assert kept.sock.recv(100).startswith(b"HTTP/1.1 100 ")
    return kept.sock


def a_refused_body(client: httpx.Client) -> socket.socket:
    """Too large; the answer is out, and what goes on is thrown away (RFC 9112, 9.6)."""
    connection = begun(client, "/review/sign-in", FORM, length=70_000)
    assert connection.recv(100).startswith(b"HTTP/1.1 413 ")
    return connection


def a_reader_that_sips(client: httpx.Client) -> socket.socket:
    connection = connect(client)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.settimeout(0.05)
    with contextlib.suppress(TimeoutError):
        connection.sendall(b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n" * 200)
    connection.settimeout(PATIENCE_S)
    assert connection.recv(12) == b"HTTP/1.1 200"
    connection.settimeout(0.05)
    return connection


def sip(connection: socket.socket) -> None:
    connection.recv(100)


SLOW = {
    "forms that drip": (a_dripping_form, drip),
    "forms that drip behind a whole body": (a_dripping_form_behind_a_whole_body, drip),
    "refused bodies that go on": (a_refused_body, drip),
    "readers that sip": (a_reader_that_sips, sip),
}


@pytest.mark.parametrize(("begin", "step"), SLOW.values(), ids=SLOW)
def test_who_hardly_moves_makes_room(small, begin, step):
    with contextlib.ExitStack() as stack:
        slow = [stack.enter_context(begin(small)) for _ in range(ROOM)]

        def served() -> bool:
            move(slow, step)
            return is_served(small)

        wait_until(served, lambda: "others are kept out")


def test_an_upload_that_is_ahead_of_a_fair_rate_stays_when_those_that_drip_go(small):
    with contextlib.ExitStack() as stack:
        early = stack.enter_context(begun(small, "/v1/moderate", "Content-Type: image/png\r\n", len(BODY), BODY[:-1]))
        wait_until(lambda: small.app.state.engine.workers.admitted)
        slow = [stack.enter_context(a_dripping_form(small)) for _ in range(ROOM - 1)]

        def has_room() -> bool:
            move(slow, drip)
            return is_served(small)

        wait_until(has_room)
        early.sendall(BODY[-1:])
        assert early.recv(20).startswith(b"HTTP/1.1 200 ")


def test_the_newcomer_for_whom_room_is_made_does_not_go_itself(quick):
    """One in fifty may go at once: where fewer keep us waiting, it is they alone."""
    with quick(DEMURE_MAX_CONNECTIONS="100", **PATIENT) as client, contextlib.ExitStack() as stack:
        stack.enter_context(connect(client))  # silent
        for _ in range(99):
            stack.enter_context(a_dripping_form(client)).sendall(b"a" * 59_999)  # ahead of a slow line by 7 s
        assert is_served(client)


# Who takes an answer slowly.

ANSWER = b"x" * 200_000


@contextlib.contextmanager
def answering(patience_s: float) -> Iterator[socket.socket]:
    """A connection over which so much was asked; the system keeps little of the answer, so that all sides see what is taken."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    listener.bind(("127.0.0.1", 0))
    config = uvicorn.Config(
        Response(ANSWER), http=impatient(ROOM, patience_s), ws="none", log_config=None, lifespan="off"
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
    thread.start()
    wait_until(lambda: server.started)
    try:
        with socket.socket() as reader:
            reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            reader.settimeout(PATIENCE_S)
            reader.connect(listener.getsockname())
            reader.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            yield reader
    finally:
        server.should_exit = True
        thread.join()


def taken(reader: socket.socket, size: int, pause_s: float) -> int:
    """How many bytes came until there were as many as the answer has, or the connection was ended."""
    total = 0
    with contextlib.suppress(ConnectionError):
        while total < len(ANSWER) and (piece := reader.recv(size)):
            total += len(piece)
            time.sleep(pause_s)
    return total


def test_a_reader_that_sips_is_cut_off():
    with answering(patience_s=3) as reader:
        assert taken(reader, 1000, pause_s=0.25) < len(ANSWER)


def test_a_reader_on_a_slow_line_gets_all_though_it_takes_longer_than_a_client_is_given():
    with answering(patience_s=3) as reader:
        assert taken(reader, 4000, pause_s=0.1) >= len(ANSWER)  # 5 s at least
