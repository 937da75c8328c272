"""Hostile URLs against a recorder that dials nothing, then HTTP itself against a server on loopback."""

from __future__ import annotations

import asyncio
import gzip
import logging
import ssl
import time
from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

import httpcore
import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st
from tables import rows
from upstream import Behaviour, Upstream, drips, floods, pages, redirect, resets, response, says, says_and_waits, serve

from demure import __version__
from demure.addresses import refusal
from demure.errors import (
    DemureError,
    FetchError,
    TooLarge,
    TooManyRedirects,
    UpstreamBadRedirect,
    UpstreamEncoding,
    UpstreamProtocolError,
    UpstreamStatus,
    UpstreamTimeout,
    UpstreamUnreachable,
    UrlNotAllowed,
)
from demure.fetch import Fetcher, FetchLimits, Resolve, host_of, parse_url
from demure.urls import join

LOOPBACK = (ip_network("127.0.0.0/8"),)
EVERYWHERE: tuple[IPv4Network | IPv6Network, ...] = (ip_network("0.0.0.0/0"), ip_network("::/0"))
LIMITS = FetchLimits()
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # where nothing is dialled: the real one takes 20 ms to build


# 1. Where it goes. Nothing in this part touches a network.


class Recorder(httpcore.AsyncNetworkBackend):
    """Writes down what it is asked to dial, and plays one canned answer after another from wherever that is."""

    def __init__(self, *answers: bytes, refuses: Iterable[str] = (), peer: str | None = None) -> None:
        self.dials: list[tuple[str, int]] = []
        self._answers, self._refuses, self._peer = list(answers), {*refuses}, peer

    async def connect_tcp(self, host: str, port: int, *_: object, **__: object) -> httpcore.AsyncNetworkStream:
        self.dials.append((host, port))
        if host in self._refuses:
            raise httpcore.ConnectError("refused")
        return Played([self._answers.pop(0)], (self._peer or host, port))

    @property
    def forbidden(self) -> list[str]:
        return [host for host, _ in self.dials if refusal(ip_address(host))]


class Played(httpcore.AsyncMockStream):
    def __init__(self, buffer: list[bytes], peer: tuple[str, int]) -> None:
        super().__init__(buffer)
        self._peer_address = peer

    def get_extra_info(self, info: str) -> object:
        return self._peer_address if info == "server_addr" else super().get_extra_info(info)


def resolves_to(*lookups: list[str]) -> Resolve:
    """The answers to the first look-up, the second, and so on; the last ones stay."""
    left = list(lookups)

    async def resolve(_host: str, _port: int) -> list[str]:
        return left.pop(0) if len(left) > 1 else left[0]

    return resolve


def asked(url: str, recorder: Recorder, resolve: Resolve, limits: FetchLimits = LIMITS) -> bytes:
    async def ask() -> bytes:
        async with Fetcher(limits, resolve=resolve, backend=recorder, ssl_context=NO_TLS) as fetcher:
            return await fetcher.fetch(url)

    return asyncio.run(ask())


def stub(answers: str, *, otherwise: str = "127.0.0.1") -> Resolve:
    return resolves_to(*([otherwise] if lookup == "-" else lookup.split(",") for lookup in answers.split("|")))


def played_for(redirected_to: str) -> Recorder:
    image = response(b"image")
    return Recorder(image) if redirected_to == "-" else Recorder(redirect(redirected_to), image)


URLS = rows("urls.tsv")
ALLOWED = [pytest.param(*row[2:], id=row[0]) for row in URLS if row[1] == "allow"]
DENIED = [pytest.param(*row[2:], id=row[0]) for row in URLS if row[1] != "allow"]
DENIED_FOR_WHERE = [pytest.param(*row[1:], id=row[0]) for row in URLS if row[1] in ("address", "name")]
BLOCKS = [
    pytest.param(row[column], id=f"{row[0]}, {end}")
    for row in rows("addresses.tsv")
    for column, end in ((1, "first"), (2, "last"))
]


@pytest.mark.parametrize(("url", "answers", "redirected_to"), ALLOWED)
def test_a_url_in_public_is_fetched(url: str, answers: str, redirected_to: str):
    recorder = played_for(redirected_to)
    assert asked(url, recorder, stub(answers)) == b"image"
    assert recorder.dials
    assert not recorder.forbidden


@pytest.mark.parametrize(("url", "answers", "redirected_to"), DENIED)
def test_a_url_that_leads_elsewhere_is_refused_and_not_dialled(url: str, answers: str, redirected_to: str):
    recorder = played_for(redirected_to)
    with pytest.raises(UrlNotAllowed):  # a name that should not even be looked up would pass if it were
        asked(url, recorder, stub(answers, otherwise="93.184.216.34"))
    assert not recorder.forbidden
    assert len(recorder.dials) == (redirected_to != "-")


@pytest.mark.parametrize(("rule", "url", "answers", "redirected_to"), DENIED_FOR_WHERE)
def test_control_with_every_network_open_the_same_url_is_dialled(rule: str, url: str, answers: str, redirected_to: str):
    """Without this the test above could pass because nothing is ever dialled."""
    recorder = played_for(redirected_to)
    worst_first = "|".join(",".join(sorted(lookup.split(","), key=is_fit)) for lookup in answers.split("|"))
    assert asked(url, recorder, stub(worst_first), FetchLimits(allow_networks=EVERYWHERE)) == b"image"
    assert len(recorder.dials) == 1 + (redirected_to != "-")
    assert recorder.forbidden or rule == "name"


def is_fit(answer: str) -> bool:
    return answer != "-" and refusal(ip_address(answer)) is None


def host(address: str) -> str:
    return f"[{ip_address(address)}]" if ":" in address else address


@pytest.mark.parametrize("address", BLOCKS)
def test_a_special_address_is_refused_as_a_literal_as_an_answer_and_as_a_redirect(address: str):
    literal, answered, redirected = Recorder(), Recorder(), Recorder(redirect(f"http://{host(address)}/"))
    with pytest.raises(UrlNotAllowed):
        asked(f"http://{host(address)}/", literal, stub("-"))
    with pytest.raises(UrlNotAllowed):
        asked("http://www.example.org/", answered, stub(address))
    with pytest.raises(UrlNotAllowed):
        asked("http://www.example.org/", redirected, stub("93.184.216.34"))
    assert (literal.dials, answered.dials, redirected.dials) == ([], [], [("93.184.216.34", 80)])


def test_the_number_that_was_checked_is_dialled_and_the_name_is_resolved_once():
    recorder = Recorder(response(b"image"))
    assert asked("http://www.example.org/", recorder, resolves_to(["93.184.216.34"], ["127.0.0.1"])) == b"image"
    assert recorder.dials == [("93.184.216.34", 80)]


def test_the_next_answer_is_dialled_when_one_refuses():
    recorder = Recorder(response(b"image"), refuses=["2606:4700:4700::1111"])
    assert asked("http://www.example.org/", recorder, stub("2606:4700:4700::1111,1.1.1.1")) == b"image"
    assert recorder.dials == [("2606:4700:4700::1111", 80), ("1.1.1.1", 80)]


def test_no_more_than_four_answers_are_dialled():
    answers = [f"1.1.1.{i}" for i in range(1, 9)]
    recorder = Recorder(refuses=answers)
    with pytest.raises(UpstreamUnreachable):
        asked("http://www.example.org/", recorder, resolves_to(answers))
    assert len(recorder.dials) == 4


def test_an_answer_that_hangs_leaves_time_for_the_next():
    class Hanging(Recorder):
        async def connect_tcp(self, host: str, port: int, timeout: float | None = None, *_: object, **__: object):
            if host == "1.1.1.1":
                await asyncio.sleep(timeout or 60)
                raise httpcore.ConnectTimeout
            return await super().connect_tcp(host, port)

    limits = FetchLimits(timeout_s=0.6)
    assert asked("http://www.example.org/", Hanging(response(b"image")), stub("1.1.1.1,1.0.0.1"), limits) == b"image"


@pytest.mark.parametrize("peer", ["127.0.0.1", "93.184.216.35", "::ffff:93.184.216.34"])
def test_a_socket_that_ended_up_elsewhere_is_refused(peer: str):
    with pytest.raises(UrlNotAllowed):
        asked("http://www.example.org/", Recorder(response(b"image"), peer=peer), stub("93.184.216.34"))


def test_a_socket_that_cannot_tell_its_peer_is_refused():
    with pytest.raises(UrlNotAllowed):
        asked("http://www.example.org/", httpcore.AsyncMockBackend([response(b"image")]), stub("93.184.216.34"))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("url", "answers", "networks", "passes"),
    [
        ("http://minio/x.jpg", "172.18.0.5", ["172.18.0.0/16"], True),
        ("http://minio/x.jpg", "172.19.0.5", ["172.18.0.0/16"], False),
        ("http://minio/x.jpg", "93.184.216.34", ["172.18.0.0/16"], False),
        ("http://minio/x.jpg", "172.18.0.5,93.184.216.34", ["172.18.0.0/16"], False),
        ("http://www.example.org/x.jpg", "172.18.0.5,93.184.216.34", ["172.18.0.0/16"], True),
        ("http://172.18.0.5/x.jpg", "-", ["172.18.0.0/16"], True),
        ("http://172.19.0.5/x.jpg", "-", ["172.18.0.0/16"], False),
        ("http://[fd12::5]/x.jpg", "-", ["fd12::/64"], True),
        ("http://localhost/x.jpg", "127.0.0.1", ["127.0.0.0/8"], True),
        ("http://localhost/x.jpg", "::1,127.0.0.1", ["127.0.0.0/8"], False),
    ],
)
def test_a_network_that_the_operator_opened_is_reached_and_no_other(
    url: str, answers: str, networks: list[str], passes: bool
):
    recorder = Recorder(response(b"image"))
    limits = FetchLimits(allow_networks=tuple(ip_network(network) for network in networks))
    if passes:
        assert asked(url, recorder, stub(answers), limits) == b"image"
    else:
        with pytest.raises(UrlNotAllowed):
            asked(url, recorder, stub(answers), limits)
    assert bool(recorder.dials) is passes


def test_a_name_outside_public_dns_is_not_even_resolved():
    async def resolve(_host: str, _port: int) -> list[str]:
        raise AssertionError

    with pytest.raises(UrlNotAllowed):
        asked("http://metadata.google.internal/", Recorder(), resolve)


def test_the_message_does_not_tell_what_stands_behind_a_name_and_the_log_does(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO, "demure.fetch")
    messages = set()
    for answer in ("10.1.2.3", "127.0.0.1", "fd12::1", "169.254.169.254"):
        with pytest.raises(UrlNotAllowed) as refused:
            asked("http://www.example.org/?token=secret", Recorder(), stub(answer))
        messages.add(refused.value.message)
        assert answer not in refused.value.message
    assert len(messages) == 1
    assert "host=www.example.org reason='private (RFC 1918)'" in caplog.text
    assert "secret" not in caplog.text


@pytest.mark.parametrize("answer", ["", "nonsense", "127.1", "0x7f000001"])
def test_an_answer_that_is_no_address_is_refused(answer: str):
    recorder = Recorder()
    with pytest.raises(UrlNotAllowed):
        asked("http://www.example.org/", recorder, stub(answer))
    assert not recorder.dials


@pytest.mark.parametrize("error", [OSError("no such name"), UnicodeError("label too long")])
def test_a_name_that_does_not_resolve_is_unreachable(error: Exception):
    async def resolve(_host: str, _port: int) -> list[str]:
        raise error

    with pytest.raises(UpstreamUnreachable):
        asked("http://www.example.org/", Recorder(), resolve)


def test_a_name_without_answers_is_unreachable():
    with pytest.raises(UpstreamUnreachable):
        asked("http://www.example.org/", Recorder(), resolves_to([]))


def test_the_deadline_holds_for_dns():
    async def resolve(_host: str, _port: int) -> list[str]:
        await asyncio.sleep(60)
        return []

    with pytest.raises(UpstreamTimeout):
        asked("http://www.example.org/", Recorder(), resolve, FetchLimits(timeout_s=0.05))


def test_unix_sockets_are_never_dialled():
    from demure.fetch import _Gate

    gate = _Gate(Recorder(), stub("-"), FetchLimits(allow_networks=EVERYWHERE))
    with pytest.raises(UrlNotAllowed):
        asyncio.run(gate.connect_unix_socket("/var/run/docker.sock"))


# 2. What a URL says.


@pytest.mark.parametrize(
    ("url", "scheme", "host", "port", "target", "authority"),
    [
        ("http://www.Example.org", "http", "www.example.org", 80, b"/", "www.example.org"),
        (
            "HTTPS://www.example.org:443/i.jpg?a=b&c#d",
            "https",
            "www.example.org",
            443,
            b"/i.jpg?a=b&c",
            "www.example.org",
        ),
        ("https://www.example.org:80/", "https", "www.example.org", 80, b"/", "www.example.org:80"),
        ("http://www.example.org?q", "http", "www.example.org", 80, b"/?q", "www.example.org"),
        (
            "http://[2606:4700:4700:0::1111]:443/",
            "http",
            "2606:4700:4700::1111",
            443,
            b"/",
            "[2606:4700:4700::1111]:443",
        ),
        ("http://münchen.de/i.jpg", "http", "xn--mnchen-3ya.de", 80, b"/i.jpg", "xn--mnchen-3ya.de"),
        ("http://straße.de/", "http", "xn--strae-oqa.de", 80, b"/", "xn--strae-oqa.de"),
        ("http://e.org/café?ü", "http", "e.org", 80, b"/caf%C3%A9?%C3%BC", "e.org"),
        ("http://e.org/a%20b%zz'{|}\"", "http", "e.org", 80, b"/a%20b%zz'{|}\"", "e.org"),
        ("http://e.org//a/../b", "http", "e.org", 80, b"//a/../b", "e.org"),
    ],
)
def test_a_url_is_taken_apart(url: str, scheme: str, host: str, port: int, target: bytes, authority: str):
    taken = parse_url(url, LIMITS)
    assert (taken.scheme, taken.host, taken.port, taken.target, taken.authority) == (
        scheme,
        host,
        port,
        target,
        authority,
    )


@pytest.mark.parametrize(
    ("url", "passes"),
    [
        pytest.param("http://e.org/" + "a" * (2048 - 13), True, id="2048 characters"),
        pytest.param("http://e.org/" + "a" * (2049 - 13), False, id="2049 characters"),
        pytest.param(f"http://{'a' * 63}.org/", True, id="a label of 63"),
        pytest.param(f"http://{'a' * 64}.org/", False, id="a label of 64"),
        pytest.param(f"http://{'a.' * 125}org/", True, id="a host of 253"),
        pytest.param(f"http://{'a.' * 125}orgs/", False, id="a host of 254"),
        pytest.param(f"http://{'ü' * 59}.org/", False, id="an encoded label past 63"),
    ],
)
def test_lengths_have_limits(url: str, passes: bool):
    if passes:
        assert parse_url(url, LIMITS)
    else:
        with pytest.raises(UrlNotAllowed):
            parse_url(url, LIMITS)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://user:secret@e.org/", "user name or a password"),
        ("http://%31.e.org/", "percent sign"),
        ("http://e.org:x/", "host and port"),
        ("http://a_b,c.org/", "is not a name"),
        ("http://2130706433/", "is a number"),
        ("http://[::g]/", "not an IPv6 address"),
        ("http://e\u200b.org/", "punycode"),
        ("ftp://e.org/", "http:// or https://"),
        ("http://e.org/a b", "percent-encode it"),
    ],
)
def test_the_message_says_what_is_wrong_with_the_form(url: str, words: str):
    with pytest.raises(UrlNotAllowed, match=words) as refused:
        parse_url(url, LIMITS)
    assert "secret" not in refused.value.message


def test_ports_are_those_that_the_operator_names():
    limits = FetchLimits(ports=frozenset({9000}))
    assert parse_url("http://e.org:9000/", limits).port == 9000
    for url in ("http://e.org/", "http://e.org:9001/"):
        with pytest.raises(UrlNotAllowed, match=r"allowed are 9000 \(ports\)"):
            parse_url(url, limits)


HOST_LIKE = st.text(st.sampled_from("aZ0x127.:@[]%/\\-_ #?üß１。①\u00ad\u200b٢é") | st.characters(), max_size=40)


@given(st.text() | HOST_LIKE.map("http://{}".format))
def test_any_text_is_a_target_that_reads_back_the_same_or_not_allowed(text: str):
    try:
        target = parse_url(text, LIMITS)
    except UrlNotAllowed:
        return
    assert target.host.isascii()
    assert parse_url(str(target), LIMITS) == target
    assert host_of(text) == target.host


@given(st.text() | HOST_LIKE, st.sampled_from(["/", "//a/b?c", "/a/../b/"]))
def test_any_location_is_joined_to_a_target_or_is_an_error_of_ours(location: str, path: str):
    base = parse_url(f"http://www.example.org{path}", LIMITS)
    try:
        target = parse_url(join(base, location), LIMITS)
    except (UrlNotAllowed, UpstreamBadRedirect):
        return
    assert target.host == base.host or "//" in location


@given(st.ip_addresses(v=4))
def test_an_ipv4_address_has_one_spelling(address: object):
    assert parse_url(f"http://{address}/", LIMITS).literal == address
    for other in (str(int(address)), hex(int(address)), f"{address}.", f"0{address}"):  # type: ignore[call-overload]
        with pytest.raises(UrlNotAllowed):
            parse_url(f"http://{other}/", LIMITS)


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("http://www.Example.org/i.jpg?token=1", "www.example.org"),
        ("http://e.org:5432/" + "a" * 5000, "e.org"),
        ("http://localhost/", "localhost"),
        ("http://127.0.0.1/", "127.0.0.1"),
        ("http://user:secret@e.org/", ""),
        ("http://e.org\n/", ""),
        ("nonsense", ""),
        ("", ""),
    ],
)
def test_the_log_gets_the_host_alone(url: str, name: str):
    assert host_of(url) == name


# 3. What comes back. A real server, on loopback.


def fetched(
    behaviour: Behaviour,
    path: str = "/",
    *,
    name: str = "www.example.org",
    client: ssl.SSLContext = NO_TLS,
    server: ssl.SSLContext | None = None,
    scheme: str = "http",
    max_bytes: int = 100_000,
    timeout_s: float = 5,
) -> tuple[bytes | DemureError, Upstream]:
    """What the fetch ends in, a body or an error, and the server that was asked. Every name leads to it."""

    async def fetch() -> tuple[bytes | DemureError, Upstream]:
        async with serve(behaviour, server) as upstream:
            limits = FetchLimits(max_bytes, timeout_s, ports=frozenset({upstream.port}), allow_networks=LOOPBACK)
            url = f"{scheme}://{name}:{upstream.port}{path}"
            async with Fetcher(limits, resolve=resolves_to(["127.0.0.1"]), ssl_context=client) as fetcher:
                try:
                    return await fetcher.fetch(url), upstream
                except DemureError as error:
                    return error, upstream

    return asyncio.run(fetch())


def chunked(*pieces: bytes, end: bytes = b"0\r\n\r\n") -> bytes:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + end


ENDLESS = b"HTTP/1.1 200 OK\r\n\r\n"


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(response(b"image"), id="with its length"),
        pytest.param(chunked(b"im", b"age"), id="in chunks"),
        pytest.param(ENDLESS + b"image", id="up to the end of the connection"),
        pytest.param(b"HTTP/1.0 200 OK\r\n\r\nimage", id="in HTTP/1.0"),
        pytest.param(response(b"image", "Content-Encoding: identity"), id="encoded as itself"),
        pytest.param(response(b"image", "Content-Encoding: IDENTITY"), id="encoded as itself, in capitals"),
        pytest.param(response(b"image", "Content-Encoding:"), id="encoded as nothing"),
        pytest.param(response(b"image", "Content-Type: text/html"), id="under a wrong type"),
        pytest.param(b"HTTP/1.1 100 Continue\r\n\r\n" + response(b"image"), id="after an interim answer"),
    ],
)
def test_a_body_arrives(raw: bytes):
    assert fetched(says(raw))[0] == b"image"


def test_an_empty_body_arrives_as_one():
    assert fetched(says(response(b"")))[0] == b""


REFUSED_ANSWERS = [
    ("no content", response(status="204 No Content"), UpstreamStatus),
    ("a part", response(b"im", status="206 Partial Content"), UpstreamStatus),
    ("several choices", response(status="300 Multiple Choices"), UpstreamStatus),
    ("not modified", response(status="304 Not Modified"), UpstreamStatus),
    ("use a proxy", response(b"", "Location: http://127.0.0.1:1/", status="305 Use Proxy"), UpstreamStatus),
    ("not found", response(b"<html>", status="404 Not Found"), UpstreamStatus),
    ("an error", response(status="500 Internal Server Error"), UpstreamStatus),
    ("another protocol", response(status="101 Switching Protocols"), UpstreamProtocolError),
    ("gzip", response(gzip.compress(b"image"), "Content-Encoding: gzip"), UpstreamEncoding),
    ("brotli in capitals", response(b"image", "CONTENT-ENCODING: BR"), UpstreamEncoding),
    (
        "gzip in a second header",
        response(b"image", "Content-Encoding: identity", "Content-Encoding: gzip"),
        UpstreamEncoding,
    ),
    ("gzip in a list", response(b"image", "Content-Encoding: identity, gzip"), UpstreamEncoding),
    (
        "a transfer in gzip",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        UpstreamProtocolError,
    ),
    ("nothing", b"", UpstreamProtocolError),
    ("garbage", b"\x00\x01\x02garbage\r\n\r\n", UpstreamProtocolError),
    ("another language", b"SSH-2.0-OpenSSH_9.6\r\n", UpstreamProtocolError),
    ("no colon", b"HTTP/1.1 200 OK\r\nnonsense\r\n\r\n", UpstreamProtocolError),
    ("two lengths", b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", UpstreamProtocolError),
    ("a length below zero", b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", UpstreamProtocolError),
    (
        "a length of 5,000 digits",
        b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n",
        UpstreamProtocolError,
    ),
    ("a head that ends early", b"HTTP/1.1 200 OK\r\nContent-", UpstreamProtocolError),
    ("a head without end", b"HTTP/1.1 200 OK\r\nX: " + b"a" * 200_000, UpstreamProtocolError),
    ("a body that ends early", b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nimage", UpstreamProtocolError),
    ("chunks that end early", chunked(b"image", end=b""), UpstreamProtocolError),
    ("a chunk without a size", chunked(end=b"zz\r\nimage"), UpstreamProtocolError),
    ("a redirect without Location", response(status="302 Found"), UpstreamBadRedirect),
    ("a redirect with two", response(b"", "Location: /a", "Location: /b", status="302 Found"), UpstreamBadRedirect),
    ("a redirect to nothing", redirect(""), UpstreamBadRedirect),
    ("a redirect with a space", redirect("/i j.jpg"), UpstreamBadRedirect),
    ("a redirect with a backslash", redirect("\\\\127.0.0.1\\x"), UpstreamBadRedirect),
    ("a redirect that is not UTF-8", b"HTTP/1.1 302 Found\r\nLocation: /\xff\r\n\r\n", UpstreamBadRedirect),
    ("a redirect with a bare CR", b"HTTP/1.1 302 Found\r\nLocation: /a\rX: b\r\n\r\n", UpstreamProtocolError),
    ("a redirect with NUL", b"HTTP/1.1 302 Found\r\nLocation: /a\x00b\r\n\r\n", UpstreamProtocolError),
    ("a redirect to half a bracket", redirect("//[::1"), UrlNotAllowed),
    ("a redirect to a file", redirect("file:///etc/passwd"), UrlNotAllowed),
    ("a redirect to another port", redirect("http://www.example.org:1/"), UrlNotAllowed),
]


@pytest.mark.parametrize(("raw", "kind"), [pytest.param(raw, kind, id=name) for name, raw, kind in REFUSED_ANSWERS])
def test_an_answer_that_is_no_image_has_its_own_error(raw: bytes, kind: type[DemureError]):
    assert type(fetched(says(raw))[0]) is kind


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


@pytest.mark.parametrize("start", [ENDLESS, chunked(end=b"fffffff\r\n")], ids=["no length", "one endless chunk"])
def test_a_body_without_end_is_cut_at_the_limit(start: bytes):
    taken: list[int] = []
    assert type(fetched(floods(start, b"a" * 10_000, taken))[0]) is TooLarge
    assert sum(taken) < 100_000 + 16 * 1024 * 1024  # the limit, and what two socket buffers may hold


def test_a_body_of_single_bytes_is_given_up_before_it_takes_the_event_loop():
    started = time.monotonic()
    error, _ = fetched(says(chunked(*[b"a"] * 60_000)), timeout_s=60)
    assert type(error) is UpstreamProtocolError
    assert time.monotonic() - started < 10


@pytest.mark.parametrize(
    "behaviour",
    [
        pytest.param(says_and_waits(b""), id="no answer"),
        pytest.param(drips(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"), id="headers, one by one"),
        pytest.param(drips(b"", b"HTTP/1.1 102 Processing\r\n\r\n"), id="interim answers"),
        pytest.param(drips(ENDLESS, b"a"), id="a body, byte by byte"),
        pytest.param(drips(chunked(end=b""), b"1\r\na\r\n"), id="chunks of a byte"),
        pytest.param(says_and_waits(chunked(b"image", end=b"")), id="no last chunk"),
        pytest.param(floods(b"", b"HTTP/1.1 102 Processing\r\n\r\n" * 1000, []), id="a flood of interim answers"),
    ],
)
def test_the_deadline_ends_a_host_that_takes_its_time(behaviour: Behaviour):
    started = time.monotonic()
    assert type(fetched(behaviour, timeout_s=0.3)[0]) is UpstreamTimeout
    assert time.monotonic() - started < 2


@pytest.mark.parametrize(
    "start", [b"", b"HTTP/1.1 200 OK\r\nContent-Le", ENDLESS + b"im"], ids=["at once", "in the head", "in the body"]
)
def test_a_connection_that_is_reset_is_unreachable(start: bytes):
    assert type(fetched(resets(start))[0]) is UpstreamUnreachable


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


def test_a_redirect_to_itself_ends():
    error, upstream = fetched(pages({"/r": redirect("/r")}), "/r")
    assert type(error) is TooManyRedirects
    assert len(upstream.heads) == 4


def test_the_body_of_a_redirect_is_not_waited_for():
    head = b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 99999999\r\n\r\n"
    assert type(fetched(says_and_waits(head))[0]) is UrlNotAllowed


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


def test_cookies_are_not_brought_back():
    first = response(b"", "Location: /i.jpg", "Set-Cookie: a=b", status="302 Found")
    body, upstream = fetched(pages({"/r": first, "/i.jpg": response(b"image")}), "/r")
    assert body == b"image"
    assert "cookie" not in upstream.heads[1].lower()


def test_a_proxy_in_the_environment_is_not_asked(monkeypatch: pytest.MonkeyPatch):
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert fetched(says(response(b"image")))[0] == b"image"


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def tls(authority: trustme.CA, name: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A client that trusts the authority, and a server that it vouches for under this name."""
    client, server = ssl.create_default_context(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.configure_trust(client)
    authority.issue_cert(name).configure_cert(server)
    return client, server


@pytest.mark.parametrize("name", ["www.example.org", "127.0.0.1"])
def test_a_certificate_for_the_name_is_accepted(authority: trustme.CA, name: str):
    client, server = tls(authority, name)
    seen: list[str | None] = []
    server.sni_callback = lambda _socket, asked_for, _context: seen.append(asked_for)
    assert fetched(says(response(b"image")), name=name, client=client, server=server, scheme="https")[0] == b"image"
    assert seen == [name if name != "127.0.0.1" else None]  # RFC 6066, section 3: no literals


@pytest.mark.parametrize("name", ["www.example.net", "127.0.0.1"])
def test_a_certificate_for_another_name_is_refused(authority: trustme.CA, name: str):
    client, server = tls(authority, name)
    error, upstream = fetched(says(response(b"image")), client=client, server=server, scheme="https")
    assert type(error) is UpstreamUnreachable
    assert "certificate" in error.message
    assert not upstream.heads


def test_a_certificate_that_nobody_vouches_for_is_refused(authority: trustme.CA):
    _, server = tls(authority, "www.example.org")
    client = httpcore.default_ssl_context()
    assert type(fetched(says(b""), client=client, server=server, scheme="https")[0]) is UpstreamUnreachable


def test_a_host_that_does_not_speak_tls_is_unreachable():
    assert type(fetched(drips(b"hello\r\n", b"a"), scheme="https", timeout_s=0.3)[0]) in (
        UpstreamUnreachable,
        UpstreamTimeout,
    )


def test_a_handshake_that_never_ends_is_ended_by_the_deadline_and_its_socket_closed():
    """An open socket would warn when it is collected, and warnings are errors."""
    assert type(fetched(says(b""), scheme="https", timeout_s=0.2)[0]) is UpstreamTimeout


def test_names_are_resolved_by_the_system_where_nothing_else_is_given():
    async def fetch() -> bytes:
        async with serve(says(response(b"image"))) as upstream:
            limits = FetchLimits(ports=frozenset({upstream.port}), allow_networks=(*LOOPBACK, ip_network("::1/128")))
            async with Fetcher(limits, ssl_context=NO_TLS) as fetcher:
                return await fetcher.fetch(f"http://localhost:{upstream.port}/")

    assert asyncio.run(fetch()) == b"image"


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


def test_every_error_of_a_fetch_is_one_of_ours():
    kinds = {kind for _, _, kind in REFUSED_ANSWERS} | {TooManyRedirects, UpstreamTimeout, UpstreamUnreachable}
    assert {*FetchError.__subclasses__()} == kinds
