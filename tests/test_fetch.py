"""Where does a fetch go? Hostile URLs against a recorder that dials nothing: no forbidden address is ever in its book, and
with the rule turned off it fills."""

from __future__ import annotations

import asyncio
import logging
import random
import re
from contextlib import suppress
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path

import httpcore2
import pytest
from recorder import PUBLIC, Played, Recorder, resolves_to, stub
from tables import rows
from upstream import LOOPBACK, NO_TLS, redirect, response, says, serve

from demure.connection import Gate, Resolve, Stream
from demure.errors import DemureError, TooManyRedirects, UpstreamTimeout, UpstreamUnreachable, UrlNotAllowed
from demure.fetch import Fetcher, FetchLimits
from demure.urls import literal_address

EVERYWHERE: tuple[IPv4Network | IPv6Network, ...] = (ip_network("0.0.0.0/0"), ip_network("::/0"))
LIMITS = FetchLimits()


def asked(url: str, recorder: Recorder, resolve: Resolve, limits: FetchLimits = LIMITS, *, gate: bool = True) -> bytes:
    async def ask() -> bytes:
        async with Fetcher(limits, resolve=resolve, backend=recorder, ssl_context=NO_TLS) as fetcher:
            if not gate:
                fetcher._gate = NoGate(recorder, resolve)  # there is no other way round it
            return await fetcher.fetch(url)

    return asyncio.run(ask())


class NoGate(httpcore2.AsyncNetworkBackend):
    """The rule turned off: the first answer is dialled, whatever it is."""

    def __init__(self, inner: httpcore2.AsyncNetworkBackend, resolve: Resolve) -> None:
        self._inner, self._resolve = inner, resolve

    async def connect_tcp(self, host: str, port: int, *_: object, **__: object) -> httpcore2.AsyncNetworkStream:
        address = host if literal_address(host) else (await self._resolve(host, port))[0]
        return Stream(await self._inner.connect_tcp(address, port))


def worst_first(answers: str) -> str:
    return "|".join(",".join(sorted(lookup.split(","), key=PUBLIC.__contains__)) for lookup in answers.split("|"))


def played_for(redirected_to: str) -> Recorder:
    image = response(b"image")
    return Recorder(image) if redirected_to == "-" else Recorder(redirect(redirected_to), image)


URLS = rows("urls.tsv")
ALLOWED = [pytest.param(*row[2:], id=row[0]) for row in URLS if row[1] == "allow"]
DENIED = [pytest.param(*row[2:], id=row[0]) for row in URLS if row[1] != "allow"]
DENIED_FOR_WHERE = [pytest.param(*row[1:], id=row[0]) for row in URLS if row[1] in ("address", "name")]
DENIED_AT_THE_GATE = [pytest.param(*row[2:], id=row[0]) for row in URLS if row[1] in ("address", "link")]
DENIED_AT_ONCE = [pytest.param(*row[1:4], id=row[0]) for row in URLS if row[1] != "allow" and row[4] == "-"]
BLOCKS = [
    pytest.param(row[column], id=f"{row[0]}, {end}")
    for row in rows("addresses.tsv")
    for column, end in ((1, "first"), (2, "last"))
]


def test_the_table_of_urls_does_not_shrink():
    """300 hostile forms and 30 that must pass are promised; every row has a name and differs from all others."""
    assert len(DENIED) >= 500
    assert len(ALLOWED) >= 60
    assert len({row[0] for row in URLS}) == len(URLS)
    assert len({tuple(row[2:]) for row in URLS}) == len(URLS)


@pytest.mark.parametrize("rule", ["form", "name", "address", "link"])
def test_each_rule_is_tried_by_redirect_as_well(rule: str):
    assert [row for row in URLS if row[1] == rule and (row[4] != "-")]


@pytest.mark.parametrize(("url", "answers", "redirected_to"), ALLOWED)
def test_a_url_in_public_is_fetched(url: str, answers: str, redirected_to: str):
    recorder = played_for(redirected_to)
    assert asked(url, recorder, stub(answers)) == b"image"
    assert recorder.dials
    assert not recorder.forbidden


@pytest.mark.parametrize(("url", "answers", "redirected_to"), DENIED)
def test_a_url_that_leads_elsewhere_is_refused_and_not_dialled(url: str, answers: str, redirected_to: str):
    refuses(url, answers, redirected_to)


def refuses(url: str, answers: str, redirected_to: str, limits: FetchLimits = LIMITS, *, gate: bool = True) -> None:
    recorder = played_for(redirected_to)
    with pytest.raises(UrlNotAllowed):  # a name that should not even be looked up would pass if it were
        asked(url, recorder, stub(answers, otherwise="93.184.216.34"), limits, gate=gate)
    assert not recorder.forbidden
    assert len(recorder.dials) == (redirected_to != "-")


@pytest.mark.parametrize(("rule", "url", "answers"), DENIED_AT_ONCE)
def test_a_redirect_to_the_same_url_is_refused_as_well(rule: str, url: str, answers: str):
    """In a Location, what has no scheme means a path of the host that says it, and what ends a line ends the header."""
    location = url.encode("utf-8", "surrogatepass")
    answer = b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: " + location + b"\r\n\r\n"
    recorder = Recorder(answer, response(b"image"))
    otherwise = "10.0.0.1" if rule == "name" else "93.184.216.34"
    try:
        body = asked("http://www.redir.com/r", recorder, stub(f"93.184.216.34|{answers}", otherwise=otherwise))
    except DemureError:
        assert len(recorder.dials) == 1
    else:
        assert body == b"image"
        assert not re.fullmatch(r"([a-z][a-z0-9+.-]*:|//)[^\r\n]+", url, re.IGNORECASE | re.ASCII)
    assert not recorder.forbidden


@pytest.mark.parametrize(("rule", "url", "answers", "redirected_to"), DENIED_FOR_WHERE)
def test_control_with_every_network_open_the_same_url_is_dialled(rule: str, url: str, answers: str, redirected_to: str):
    """Without this the tests above could pass because nothing is ever dialled."""
    recorder = played_for(redirected_to)
    assert asked(url, recorder, stub(worst_first(answers)), FetchLimits(allow_networks=EVERYWHERE)) == b"image"
    assert len(recorder.dials) == 1 + (redirected_to != "-")
    assert recorder.forbidden or rule == "name"


@pytest.mark.parametrize(("rule", "url", "answers", "redirected_to"), DENIED_FOR_WHERE)
def test_control_with_every_network_open_the_test_of_the_same_url_fails(
    rule: str, url: str, answers: str, redirected_to: str
):
    with pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"):
        refuses(url, worst_first(answers), redirected_to, FetchLimits(allow_networks=EVERYWHERE))


@pytest.mark.parametrize(("url", "answers", "redirected_to"), DENIED_AT_THE_GATE)
def test_control_without_a_gate_the_same_url_is_dialled_and_its_test_fails(url: str, answers: str, redirected_to: str):
    recorder = played_for(redirected_to)
    assert asked(url, recorder, stub(worst_first(answers)), gate=False) == b"image"
    assert recorder.forbidden
    with pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"):
        refuses(url, worst_first(answers), redirected_to, gate=False)


def host(address: str) -> str:
    return f"[{ip_address(address)}]" if ":" in address else address


@pytest.mark.parametrize("address", BLOCKS)
def test_a_special_address_is_refused_as_a_literal_as_an_answer_and_as_a_redirect(address: str):
    refuses(f"http://{host(address)}/", "-", "-")
    refuses("http://www.example.org/", address, "-")
    refuses("http://www.example.org/", f"93.184.216.34,{address}", "-")
    refuses("http://www.example.org/", "93.184.216.34", f"http://{host(address)}/")
    refuses("http://www.example.org/", f"93.184.216.34|{address}", "/i.jpg")


PRIVATE = [
    *("127.0.0.1", "0.0.0.0", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.100.100.200"),
    *("168.63.129.16", "192.0.0.192", "::1", "::", "fd00:ec2::254", "fe80::1", "fe80::1%2", "::ffff:127.0.0.1"),
    *("64:ff9b::a9fe:a9fe", "64:ff9b:1::7f00:1", "2002:7f00:1::", "2001:0:4136:e378:8000:63bf:3fff:fdd2"),
    "2a00:1450:4001:801:0:5efe:7f00:1",
]


class Flips:
    """A name server that answers as it likes: the seed decides whether with public addresses, private ones or both."""

    def __init__(self, seed: int) -> None:
        self._random, self.answers = random.Random(seed), list[list[str]]()

    async def resolve(self, _host: str, _port: int) -> list[str]:
        roll = self._random.random
        public = self._random.sample(sorted(PUBLIC), self._random.randint(1, 3))
        private = self._random.sample(PRIVATE, self._random.randint(1, 2))
        alternating = len(self.answers) % 2 == 0
        shape = self._random.choice([public, private, [*public, *private], public if alternating else private, public])
        self.answers.append(sorted(shape, key=lambda _: roll()))
        return self.answers[-1]


class Flipped(Recorder):
    """Puts beside each dial the look-up that it followed, and answers now with an image, now with a redirect."""

    def __init__(self, flips: Flips, seed: int) -> None:
        super().__init__()
        self.followed: list[tuple[str, int]] = []
        self._flips, self._random = flips, random.Random(seed)

    async def connect_tcp(self, host: str, port: int, *_: object, **__: object) -> httpcore2.AsyncNetworkStream:
        self.followed.append((host, len(self._flips.answers) - 1))
        self._answers = [self._random.choice([response(b"image"), redirect("/r"), redirect("//www.rebind.com/")])]
        return await super().connect_tcp(host, port)


def test_ten_thousand_look_ups_that_flip_between_public_and_private_bring_no_forbidden_dial():
    flips = Flips(seed=11)
    recorder = Flipped(flips, seed=12)
    fetches, ends = 0, dict[str, int]()

    async def ask() -> None:
        nonlocal fetches
        limits = FetchLimits(timeout_s=60)
        async with Fetcher(limits, resolve=flips.resolve, backend=recorder, ssl_context=NO_TLS) as fetcher:
            while len(flips.answers) < 10_000:
                fetches += 1
                try:
                    end = (await fetcher.fetch("http://www.rebind.com/")).decode()
                except DemureError as error:
                    end = error.code
                ends[end] = ends.get(end, 0) + 1

    asyncio.run(ask())
    assert not recorder.forbidden
    # A look-up is dialled by its first answer, once, or, with a private one in it, not at all.
    fit = [(answers[0], i) for i, answers in enumerate(flips.answers) if PUBLIC.issuperset(answers)]
    assert recorder.followed == fit
    assert ends["url_not_allowed"] == len(flips.answers) - len(fit)
    assert {*ends} == {"image", "url_not_allowed", "too_many_redirects"}  # 2/3 of the public ones redirect: all occur
    assert len(fit) > 3_000


def test_control_without_a_gate_the_same_look_ups_bring_forbidden_dials():
    flips = Flips(seed=11)
    recorder = Flipped(flips, seed=12)

    async def ask() -> None:
        async with Fetcher(resolve=flips.resolve, backend=recorder, ssl_context=NO_TLS) as fetcher:
            fetcher._gate = NoGate(recorder, flips.resolve)
            for _ in range(200):
                with suppress(TooManyRedirects):
                    await fetcher.fetch("http://www.rebind.com/")

    asyncio.run(ask())
    assert len(recorder.forbidden) > 50
    assert {*recorder.forbidden} == {*PRIVATE}


@pytest.mark.parametrize("name", ["http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"])
@pytest.mark.parametrize("proxy", ["http://127.0.0.1:3128", "socks5://10.0.0.1:1080", "socks5h://proxy.internal"])
@pytest.mark.parametrize("url", ["http://www.example.org/", "https://www.example.org/", "http://93.184.216.34/"])
def test_a_proxy_in_the_environment_is_not_dialled(monkeypatch: pytest.MonkeyPatch, name: str, proxy: str, url: str):
    monkeypatch.setenv(name, proxy)
    recorder = Recorder(response(b"image"))
    assert asked(url, recorder, stub("93.184.216.34")) == b"image"
    assert recorder.dials == [("93.184.216.34", 443 if url.startswith("https") else 80)]


def test_passwords_in_the_home_directory_are_not_sent(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    (tmp_path / ".netrc").write_text("machine www.example.org login a password secret\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    written: list[bytes] = []

    class Listening(Played):
        async def write(self, buffer: bytes, timeout: float | None = None) -> None:
            written.append(buffer)

    class Heard(Recorder):
        async def connect_tcp(self, host: str, port: int, *_: object, **__: object) -> httpcore2.AsyncNetworkStream:
            return Listening([response(b"image")], (host, port))

    assert asked("http://www.example.org/", Heard(), stub("93.184.216.34")) == b"image"
    assert b"www.example.org" in b"".join(written)
    assert b"authorization" not in b"".join(written).lower()


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
                raise httpcore2.ConnectTimeout
            return await super().connect_tcp(host, port)

    limits = FetchLimits(timeout_s=0.6)
    assert asked("http://www.example.org/", Hanging(response(b"image")), stub("1.1.1.1,1.0.0.1"), limits) == b"image"


@pytest.mark.parametrize("peer", ["127.0.0.1", "93.184.216.35", "::ffff:93.184.216.34"])
def test_a_socket_that_ended_up_elsewhere_is_refused(peer: str):
    with pytest.raises(UrlNotAllowed):
        asked("http://www.example.org/", Recorder(response(b"image"), peer=peer), stub("93.184.216.34"))


def test_a_socket_that_cannot_tell_its_peer_is_refused():
    with pytest.raises(UrlNotAllowed):
        asked("http://www.example.org/", httpcore2.AsyncMockBackend([response(b"image")]), stub("93.184.216.34"))  # type: ignore[arg-type]


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
    caplog.set_level(logging.INFO, "demure.connection")
    messages = set()
    for answer in ("10.1.2.3", "127.0.0.1", "fd12::1", "169.254.169.254"):
        with pytest.raises(UrlNotAllowed) as refused:
            asked("http://www.example.org/?token=secret", Recorder(), stub(answer))
        messages.add(refused.value.message)
        assert answer not in refused.value.message
    assert len(messages) == 1
    assert "host=www.example.org reason='private (RFC 1918)'" in caplog.text
    assert "secret" not in caplog.text


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "nonsense",
        "localhost",
        "127.1",
        "0x7f000001",
        "2130706433",
        " 1.1.1.1",
        "1.1.1.1/32",
        "[::1]",
        "\uff11.1.1.1",
    ],
)
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
    gate = Gate(Recorder(), stub("-"), FetchLimits(allow_networks=EVERYWHERE))
    with pytest.raises(UrlNotAllowed):
        asyncio.run(gate.connect_unix_socket("/var/run/docker.sock"))


def test_names_are_resolved_by_the_system_where_nothing_else_is_given():
    async def fetch() -> bytes:
        async with serve(says(response(b"image"))) as upstream:
            limits = FetchLimits(ports=frozenset({upstream.port}), allow_networks=(*LOOPBACK, ip_network("::1/128")))
            async with Fetcher(limits, ssl_context=NO_TLS) as fetcher:
                return await fetcher.fetch(f"http://localhost:{upstream.port}/")

    assert asyncio.run(fetch()) == b"image"
