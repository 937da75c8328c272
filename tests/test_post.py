"""A post brings back a status and nothing else, by its deadline, from where the operator allows and from nowhere else."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from ipaddress import ip_network

import pytest
from receiver import Receiver
from recorder import Recorder, resolves_to
from upstream import (
    LOOPBACK,
    NO_TLS,
    Behaviour,
    certified,
    chunked,
    drips,
    floods,
    leaves_tls,
    raw,
    redirect,
    resets,
    response,
    says,
    says_and_waits,
    trusting,
)

from demure import __version__
from demure.errors import (
    DemureError,
    UpstreamProtocolError,
    UpstreamTimeout,
    UpstreamUnreachable,
    UrlNotAllowed,
)
from demure.post import Poster, PostLimits

BODY = b'{"type":"review.settled"}'
NOISE_S = 5  # what a busy machine may add


async def posted(
    receiver: Receiver,
    *,
    path: str = "/hook",
    name: str = "127.0.0.1",
    scheme: str = "http",
    headers: Mapping[str, str] = {},
    body: bytes = BODY,
    timeout_s: float = 10,
    networks=LOOPBACK,
    ports: frozenset[int] | None = None,
) -> int:
    limits = PostLimits(timeout_s, ports=ports or frozenset({receiver.port}), allow_networks=networks)
    context = trusting() if scheme == "https" else NO_TLS
    async with Poster(limits, resolve=resolves_to(["127.0.0.1"]), ssl_context=context) as poster:
        return await poster.post(f"{scheme}://{name}:{receiver.port}{path}", headers, body)


def outcome(behaviour: Behaviour, **how) -> tuple[int | type[DemureError], Receiver]:
    """The status, or the class of the error; and who was asked."""

    async def ask() -> tuple[int | type[DemureError], Receiver]:
        async with Receiver(behaviour) as receiver:
            try:
                return await posted(receiver, **how), receiver
            except DemureError as error:
                return type(error), receiver

    return asyncio.run(ask())


def test_the_headers_and_the_bytes_arrive_as_they_are():
    status, receiver = outcome(says(response()), path="/hook?a=b,c", headers={"webhook-id": "evt_1"})
    assert status == 200
    assert receiver.requests[0].body == BODY
    assert receiver.requests[0].head.splitlines() == [
        "POST /hook?a=b,c HTTP/1.1",
        f"Host: 127.0.0.1:{receiver.port}",
        f"User-Agent: demure/{__version__}",
        "webhook-id: evt_1",
        "Accept-Encoding: identity",
        "Connection: close",
        f"Content-Length: {len(BODY)}",
        "",
    ]


def test_a_large_body_arrives_whole():
    body = b"a" * 3_000_000
    _, receiver = outcome(says(response()), body=body)
    assert receiver.requests[0].body == body


@pytest.mark.parametrize("status", ["200 OK", "204 No Content", "299 Fine", "400 Bad Request", "410 Gone", "500 Oh"])
def test_a_status_is_brought_back(status: str):
    assert outcome(says(response(status=status)))[0] == int(status[:3])


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(status: int):
    found, receiver = outcome(says(redirect("/elsewhere", f"{status} Moved")))
    assert (found, len(receiver.requests)) == (status, 1)


LATE = {
    "silence": says_and_waits(b""),
    "half a head": says_and_waits(b"HTTP/1.1 200 OK\r\nContent-Le"),
    "a head that drips": drips(b"HTTP/1.1 200 OK\r\n", b"A: b\r\n"),
    "interim answers for ever": drips(b"", b"HTTP/1.1 102 Processing\r\n\r\n"),
}


@pytest.mark.parametrize("behaviour", LATE.values(), ids=LATE)
def test_a_receiver_that_does_not_come_to_a_status_is_given_up_by_the_deadline(behaviour: Behaviour):
    started = time.monotonic()
    assert outcome(behaviour, timeout_s=0.3)[0] is UpstreamTimeout
    assert time.monotonic() - started < 0.3 + NOISE_S


BROKEN = {
    "no HTTP": (says(b"hello\r\n\r\n"), UpstreamProtocolError),
    "nothing": (says(b""), UpstreamProtocolError),
    "a reset": (resets(b"HTTP/1.1 20"), UpstreamUnreachable),
    "a head without end": (floods(b"HTTP/1.1 200 OK\r\n", b"A: b\r\n" * 1000), UpstreamProtocolError),
    "interim answers without end": (floods(b"", b"HTTP/1.1 102 Processing\r\n\r\n" * 99), UpstreamProtocolError),
}


@pytest.mark.parametrize(("behaviour", "error"), BROKEN.values(), ids=BROKEN)
def test_an_answer_that_is_none_ends_in_its_error(behaviour: Behaviour, error: type[DemureError]):
    assert outcome(behaviour)[0] is error


TOLD = {
    "a body that never ends": floods(raw(), b"a" * 10_000),
    "a body that never ends, in bytes": floods(raw("Transfer-Encoding: chunked"), b"1\r\na\r\n" * 100),
    "a body that drips": drips(raw(), b"a"),
    "a body that is cut off": says(raw("Content-Length: 100", body="a")),
    "a body that is reset": resets(raw("Content-Length: 100", body="a")),
    "a body that is no body": says(raw("Transfer-Encoding: chunked", body="x")),
    "a body of 64 KiB": says(response(b"a" * 65_536)),
    "a body of 10 MB": says(response(b"a" * 10_000_000)),
    "a body that says it is zipped": says(response(b"no", "Content-Encoding: gzip")),
    "a body in chunks": says(chunked(b"a", b"b")),
}


@pytest.mark.parametrize("behaviour", TOLD.values(), ids=TOLD)
def test_once_the_status_was_told_the_rest_does_not_matter(behaviour: Behaviour):
    started = time.monotonic()
    assert outcome(behaviour, timeout_s=1)[0] == 200
    assert time.monotonic() - started < 1 + NOISE_S


def test_a_body_is_read_up_to_64_kib_and_no_further():
    taken: list[int] = []
    started = time.monotonic()
    assert outcome(floods(raw(), b"a" * 10_000, taken), timeout_s=60)[0] == 200
    assert sum(taken) < 65_536 + 16 * 1024 * 1024  # and what two socket buffers may hold
    assert time.monotonic() - started < NOISE_S


def test_a_body_in_tiny_pieces_is_read_up_to_a_thousand_of_them():
    pieces = 1024  # of which each counts as 64 bytes; with one more it is not waited for the end
    behaviour = says_and_waits(raw("Transfer-Encoding: chunked") + b"1\r\na\r\n" * (pieces + 1))
    started = time.monotonic()
    assert outcome(behaviour, timeout_s=60)[0] == 200
    assert time.monotonic() - started < NOISE_S


def test_nobody_who_listens_is_unreachable():
    async def ask() -> None:
        async with Receiver() as receiver:
            pass
        await posted(receiver)

    with pytest.raises(UpstreamUnreachable):
        asyncio.run(ask())


def test_what_is_not_public_is_refused_where_it_was_not_opened():
    assert outcome(says(response()), networks=())[0] is UrlNotAllowed
    assert outcome(says(response()), networks=(), name="www.example.org")[0] is UrlNotAllowed
    assert outcome(says(response()), networks=(ip_network("10.0.0.0/8"),))[0] is UrlNotAllowed


def test_a_name_next_door_is_reached_where_its_network_was_opened():
    assert outcome(says(response()), name="site")[0] == 200
    assert outcome(says(response()), name="site", networks=(ip_network("10.0.0.0/8"),))[0] is UrlNotAllowed


def test_a_port_that_was_not_opened_is_refused():
    found, receiver = outcome(says(response()), ports=frozenset({80, 443}))
    assert found is UrlNotAllowed
    assert not receiver.requests


def test_the_number_that_was_checked_is_dialled_and_the_name_is_resolved_once():
    async def ask(recorder: Recorder) -> int:
        resolve = resolves_to(["93.184.216.34"], ["127.0.0.1"])
        async with Poster(resolve=resolve, backend=recorder, ssl_context=NO_TLS) as poster:
            return await poster.post("http://www.example.org/", {}, BODY)

    recorder = Recorder(response())
    assert asyncio.run(ask(recorder)) == 200
    assert recorder.dials == [("93.184.216.34", 80)]


@pytest.mark.parametrize(("certificate", "found"), [("site.example.org", 200), ("other.example.org", None)])
def test_a_certificate_must_be_for_the_name(certificate: str, found: int | None):
    async def ask() -> tuple[int | None, Receiver]:
        async with Receiver(says(response()), context=certified(certificate)()) as receiver:
            try:
                return await posted(receiver, name="site.example.org", scheme="https"), receiver
            except UpstreamUnreachable:
                return None, receiver

    status, receiver = asyncio.run(ask())
    assert status == found
    assert len(receiver.requests) == (found is not None)


def test_tls_that_breaks_after_the_status_takes_nothing_back():
    async def ask() -> int:
        answer = leaves_tls(raw("Content-Length: 9"), b"garbage")
        async with Receiver(answer, context=certified("site.example.org")()) as receiver:
            return await posted(receiver, name="site.example.org", scheme="https")

    assert asyncio.run(ask()) == 200
