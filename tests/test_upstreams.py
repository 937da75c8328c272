"""What comes back from a host that means ill, is broken or is merely slow? Each ends by the deadline, in one code, and
little is held meanwhile. A real server, on loopback."""

from __future__ import annotations

import asyncio
import gc
import ssl
import time
import tracemalloc
from pathlib import Path

import pytest
import trustme
from behaviours import CASES, LATE, Case
from upstream import (
    ENDLESS,
    LOOPBACK,
    NAME,
    NO_TLS,
    authority,
    certified,
    chunked,
    fetched,
    floods,
    of_a_stranger,
    pages,
    raw,
    redirect,
    response,
    says,
    says_and_waits,
    serve,
    trusting,
)

from demure import __version__
from demure.connection import trusting_the_system
from demure.errors import (
    DemureError,
    FetchError,
    InvalidSetting,
    TooLarge,
    TooManyRedirects,
    UpstreamProtocolError,
    UpstreamStatus,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from demure.fetch import Fetcher, FetchLimits

NOISE_S = 5  # what a busy machine may add; `bench/upstreams.py` measures


def test_the_table_does_not_shrink():
    assert len(CASES) >= 150
    assert len({case.name for case in CASES}) == len(CASES)


def test_every_error_of_a_fetch_is_in_the_table():
    ends = {case.ends for case in CASES if isinstance(case.ends, str)}
    assert ends == {kind.code for kind in FetchError.__subclasses__()} | {TooLarge.code}


def ended(outcome: bytes | DemureError) -> str | bytes:
    return outcome if isinstance(outcome, bytes) else outcome.code


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in CASES])
def test_a_host_that_behaves_so_ends_in_its_code_by_the_deadline(case: Case):
    for timeout_s in (0.4, 4) if case.ends == LATE else (10,):
        started = time.monotonic()
        outcome, upstream = case.fetched(timeout_s=timeout_s)
        assert time.monotonic() - started < timeout_s + NOISE_S
        if len(upstream.heads) == case.requests:  # or this machine was too busy to ask in so short a time
            break
    assert (ended(outcome), len(upstream.heads)) == (case.ends, case.requests)


FLOODS = [case for case in CASES if "flood" in case.name or "without end" in case.name or "bomb" in case.name]


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in FLOODS])
def test_a_flood_is_not_held(case: Case):
    """The body so far, twice while it grows; and what is small beside it: a head, two socket buffers, the server's own.

    A head may have 100 KiB (httpcore2): 34,000 headers of three bytes, three objects each, some 250 bytes in all.
    """
    max_bytes = 1_000_000
    head = 34_000 * 250 if "30,000 headers" in case.name else 0
    trusting(), case.fetched(max_bytes=max_bytes, timeout_s=0.2)  # what is loaded once
    gc.collect()
    tracemalloc.start()
    try:
        case.fetched(max_bytes=max_bytes, timeout_s=0.5)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 3 * max_bytes + head


def test_there_are_floods_of_each_part_of_an_answer():
    for part in ("headers", "interim", "body", "bomb", "extension", "trailer", "TLS"):
        assert any(part in case.name for case in FLOODS), part


def test_a_body_that_is_as_large_as_may_be_is_held_no_more_than_three_times():
    max_bytes = 4_000_000
    tracemalloc.start()
    try:
        taken: list[int] = []
        behaviour = floods(raw(f"Content-Length: {max_bytes}"), b"a" * 10_000, taken)
        body, _ = fetched(behaviour, max_bytes=max_bytes)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert isinstance(body, bytes)
    assert len(body) == max_bytes
    assert peak < 3 * max_bytes


@pytest.mark.parametrize(("status", "retryable"), [("404 Not Found", False), ("503 Service Unavailable", True)])
def test_a_status_is_told(status: str, retryable: bool):
    error, _ = fetched(says(response(status=status)))
    assert isinstance(error, UpstreamStatus)
    assert (error.status, error.retryable) == (int(status[:3]), retryable)
    assert status[:3] in error.message


def test_a_length_past_the_limit_is_refused_before_anything_is_read():
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 100001\r\n\r\n"
    assert type(fetched(says_and_waits(head))[0]) is TooLarge


@pytest.mark.parametrize(("size", "kind"), [(100_000, bytes), (100_001, TooLarge)])
@pytest.mark.parametrize(
    "frame", [response, chunked, ENDLESS.__add__], ids=["with its length", "in chunks", "to the end"]
)
def test_a_body_may_be_as_large_as_the_limit(frame, size: int, kind: type):
    assert type(fetched(says(frame(b"a" * size)))[0]) is kind


@pytest.mark.parametrize(("pieces", "kind"), [(50_000, bytes), (50_001, UpstreamProtocolError)])
def test_a_body_may_come_in_as_many_pieces_as_the_limit(pieces: int, kind: type):
    assert type(fetched(says(chunked(*[b"a"] * pieces)), timeout_s=30)[0]) is kind


@pytest.mark.parametrize("start", [ENDLESS, chunked(end=b"fffffff\r\n")], ids=["no length", "one endless chunk"])
def test_a_body_without_end_is_cut_at_the_limit(start: bytes):
    taken: list[int] = []
    assert type(fetched(floods(start, b"a" * 10_000, taken))[0]) is TooLarge
    assert sum(taken) < 100_000 + 16 * 1024 * 1024  # the limit, and what two socket buffers may hold


def test_the_deadline_is_for_all_redirects_together():
    async def behave(head: str, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.3)
        writer.write(redirect("/") if len(paths) < 3 else response(b"image"))
        paths.append(head)

    paths: list[str] = []
    assert type(fetched(behave, timeout_s=0.8)[0]) is UpstreamTimeout  # four times 0.3 s


def test_a_port_that_nobody_listens_on_is_unreachable():
    async def fetch() -> None:
        async with serve(says(b"")) as upstream:
            port = upstream.port
        limits = FetchLimits(ports=frozenset({port}), allow_networks=LOOPBACK)
        async with Fetcher(limits, ssl_context=NO_TLS) as fetcher:
            await fetcher.fetch(f"http://127.0.0.1:{port}/")

    with pytest.raises(UpstreamUnreachable):
        asyncio.run(fetch())


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"])
def test_a_redirect_is_followed(status: str):
    body, upstream = fetched(pages({"/r": redirect("/i.jpg", status), "/i.jpg": response(b"image")}), "/r")
    assert body == b"image"
    assert [head.split(" ")[0] for head in upstream.heads] == ["GET", "GET"]


@pytest.mark.parametrize(
    ("location", "path"),
    [
        ("/i.jpg", "/i.jpg"),
        ("i.jpg", "/a/b/i.jpg"),
        ("../i.jpg", "/a/i.jpg"),
        ("?size=2", "/a/b/r?size=2"),
        ("/i.jpg#fragment", "/i.jpg"),
        ("/ü.jpg", "/%C3%BC.jpg"),
        ("/a%0d%0aX-Header:1", "/a%0d%0aX-Header:1"),
        ("/?next=http://127.0.0.1/", "/?next=http://127.0.0.1/"),
        ("/.//127.0.0.1/", "//127.0.0.1/"),
        ("@127.0.0.1/", "/a/b/@127.0.0.1/"),
    ],
)
def test_a_location_is_joined_to_where_it_was_said(location: str, path: str):
    body, upstream = fetched(pages({"/a/b/r?x": redirect(location), path: response(b"image")}), "/a/b/r?x")
    assert (body, upstream.paths) == (b"image", ["/a/b/r?x", path])


def test_three_redirects_are_followed_and_a_fourth_is_not():
    site = {f"/{i}": redirect(f"/{i + 1}") for i in range(4)}
    assert fetched(pages({**site, "/4": response(b"image")}), "/1")[0] == b"image"
    error, upstream = fetched(pages({**site, "/4": response(b"image")}), "/0")
    assert type(error) is TooManyRedirects
    assert upstream.paths == ["/0", "/1", "/2", "/3"]


def test_the_request_says_who_asks_and_nothing_more():
    _, upstream = fetched(says(response(b"image")), "/i.jpg?a=b")
    assert upstream.heads[0].splitlines() == [
        "GET /i.jpg?a=b HTTP/1.1",
        f"Host: www.example.org:{upstream.port}",
        f"User-Agent: demure/{__version__}",
        "Accept: image/*, */*;q=0.1",
        "Accept-Encoding: identity",
        "Connection: close",
        "",
    ]


def test_cookies_are_not_brought_back_nor_anything_else_that_a_host_could_know_a_visit_by():
    _, upstream = fetched(says(response(b"", "Location: /", "Set-Cookie: a=b", "ETag: a", status="302 Found")))
    assert len(upstream.heads) == 4
    assert len(set(upstream.heads)) == 1
    assert "cookie" not in upstream.heads[0].lower()


def test_a_proxy_in_the_environment_is_not_asked(monkeypatch: pytest.MonkeyPatch):
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert fetched(says(response(b"image")))[0] == b"image"


@pytest.mark.parametrize("name", ["www.example.org", "127.0.0.1"])
def test_a_certificate_for_the_name_is_accepted(name: str):
    server = certified(name)()
    seen: list[str | None] = []
    server.sni_callback = lambda _socket, asked_for, _context: seen.append(asked_for)
    body, _ = fetched(says(response(b"image")), name=name, client=trusting(), server=server, scheme="https")
    assert body == b"image"
    assert seen == [name if name != "127.0.0.1" else None]  # RFC 6066, section 3: no literals


@pytest.mark.parametrize("name", ["www.example.net", "127.0.0.1"])
def test_a_certificate_for_another_name_is_refused_and_nothing_is_asked(name: str):
    error, upstream = fetched(says(response(b"image")), client=trusting(), server=certified(name)(), scheme="https")
    assert type(error) is UpstreamUnreachable
    assert "certificate" in error.message
    assert not upstream.heads


def test_the_authorities_that_the_system_trusts_are_trusted_and_no_other():
    client = trusting_the_system()
    assert client.verify_mode is ssl.CERT_REQUIRED
    assert client.check_hostname
    outcome, _ = fetched(says(response(b"image")), client=client, server=of_a_stranger(), scheme="https")
    assert type(outcome) is UpstreamUnreachable


@pytest.mark.parametrize(("vouches", "found"), [("the host's", b"image"), ("another", UpstreamUnreachable)])
def test_authorities_of_a_file_that_the_operator_names_are_trusted_in_place_of_the_systems(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, vouches: str, found: bytes | type
):
    file = tmp_path / "authorities.pem"
    (authority() if vouches == "the host's" else trustme.CA()).cert_pem.write_to_path(file)
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    client = trusting_the_system()
    assert client.cert_store_stats()["x509"] == 1
    outcome, _ = fetched(says(response(b"image")), client=client, server=certified(NAME)(), scheme="https")
    assert outcome == found or type(outcome) is found


@pytest.mark.parametrize("content", [None, b"", b"nonsense"])
def test_a_file_of_authorities_that_cannot_be_read_stops_the_start(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: bytes | None
):
    file = tmp_path / "authorities.pem"
    if content is not None:
        file.write_bytes(content)
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    with pytest.raises(InvalidSetting, match="SSL_CERT_FILE"):
        trusting_the_system()


def test_one_fetcher_serves_many_at_once():
    async def fetch() -> list[bytes]:
        async with serve(says(response(b"image"))) as upstream:
            limits = FetchLimits(ports=frozenset({upstream.port}), allow_networks=LOOPBACK)
            async with Fetcher(limits, ssl_context=NO_TLS) as fetcher:
                url = f"http://127.0.0.1:{upstream.port}/"
                return await asyncio.gather(*(fetcher.fetch(url) for _ in range(40)))

    assert asyncio.run(fetch()) == [b"image"] * 40


def test_a_caller_that_leaves_takes_its_fetch_along():
    async def fetch() -> None:
        async with serve(says_and_waits(b"")) as upstream:
            limits = FetchLimits(ports=frozenset({upstream.port}), allow_networks=LOOPBACK)
            async with Fetcher(limits, ssl_context=NO_TLS) as fetcher:
                task = asyncio.create_task(fetcher.fetch(f"http://127.0.0.1:{upstream.port}/"))
                await asyncio.sleep(0.05)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task

    asyncio.run(fetch())


def test_no_socket_outlives_a_fetch():
    """What stayed open would be counted, or would warn when it is collected, and warnings are errors."""
    sorts = [
        "a body and silence",
        "a reset in the body",
        "silence for TLS",
        "a certificate for another name",
        "a drip in TLS",
    ]
    for case in (case for case in CASES if case.name in sorts):
        before = open_sockets()
        for _ in range(5):
            case.fetched(timeout_s=0.1)
        gc.collect()
        assert open_sockets() <= before


def open_sockets() -> int:
    return sum(
        1 for fd in Path("/proc/self/fd").iterdir() if fd.is_symlink() and str(fd.readlink()).startswith("socket:")
    )
