"""What does a URL say? Taken apart as any other parser would, or refused; numbers in any other spelling than the plain one
always. Where it leads is asked in `test_fetch.py`."""

from __future__ import annotations

import socket
from ipaddress import IPv4Address
from urllib.parse import urlsplit

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tables import rows

from demure.connection import parse_url
from demure.errors import UpstreamBadRedirect, UrlNotAllowed
from demure.fetch import FetchLimits, host_of
from demure.urls import join, literal_address, read_url

LIMITS = FetchLimits()
LONG = 4096
ALLOWED = [pytest.param(row[2], id=row[0]) for row in rows("urls.tsv") if row[1] == "allow" and row[2].isascii()]


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
        ("http://STRAẞE.de/", "http", "xn--strae-oqa.de", 80, b"/", "xn--strae-oqa.de"),
        ("http://e.org/café?ü", "http", "e.org", 80, b"/caf%C3%A9?%C3%BC", "e.org"),
        ("http://e.org/\u010d\u010a", "http", "e.org", 80, b"/%C4%8D%C4%8A", "e.org"),
        ("http://e.org/a%20b%zz'{|}\"", "http", "e.org", 80, b"/a%20b%zz'{|}\"", "e.org"),
        ("http://e.org//a/../b", "http", "e.org", 80, b"//a/../b", "e.org"),
        ("http://e.org:80#@127.0.0.1:80/", "http", "e.org", 80, b"/", "e.org"),
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
        pytest.param("http://" + "1" * 2000 + "/", False, id="a number of 2,000 digits"),
        pytest.param("http://[" + ":" * 2000 + "]/", False, id="2,000 colons"),
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
        ("http://e\u034f.org/", "punycode"),
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


HOST_LIKE = st.text(
    st.sampled_from("aZ0x127.:@[]%/\\-_ #?üß１。①\u00ad\u200b\u034f\ufe0f٢é") | st.characters(), max_size=40
)


@given(st.text() | HOST_LIKE.map("http://{}".format))
def test_any_text_is_a_target_that_reads_back_the_same_or_not_allowed(text: str):
    try:
        target = parse_url(text, LIMITS)
    except UrlNotAllowed:
        return
    assert target.host.isascii()
    assert parse_url(str(target), LIMITS) == target
    assert host_of(text) == target.host


@given(HOST_LIKE.map("http://{}".format))
def test_what_passes_has_the_same_host_for_the_standard_library(text: str):
    try:
        target = read_url(text, LONG)
    except UrlNotAllowed:
        return
    theirs = urlsplit(text)
    if text.isascii():
        assert literal_address(target.host) or theirs.hostname == target.host
    assert theirs.port in (None, target.port)
    assert theirs.username is theirs.password is None


@pytest.mark.parametrize("url", ALLOWED)
def test_an_allowed_url_has_the_same_host_for_httpx(url: str):
    ours, theirs = read_url(url, LONG), httpx.URL(url)
    assert theirs.userinfo == b""
    assert theirs.port in (None, ours.port)
    if (
        url.isascii() and ":" not in ours.host
    ):  # what is not, httpx maps by older rules; IPv6 it leaves as it is written
        assert theirs.raw_host.decode("ascii") == ours.host


@given(st.text() | HOST_LIKE, st.sampled_from(["/", "//a/b?c", "/a/../b/"]))
def test_any_location_is_joined_to_a_target_or_is_an_error_of_ours(location: str, path: str):
    base = parse_url(f"http://www.example.org{path}", LIMITS)
    try:
        target = parse_url(join(base, location), LIMITS)
    except (UrlNotAllowed, UpstreamBadRedirect):
        return
    assert target.host == base.host or "//" in location


@given(st.ip_addresses(v=4))
def test_an_ipv4_address_has_one_spelling(address: IPv4Address):
    assert parse_url(f"http://{address}/", LIMITS).literal == address
    for other in (str(int(address)), hex(int(address)), f"{address}.", f"0{address}"):
        with pytest.raises(UrlNotAllowed):
            parse_url(f"http://{other}/", LIMITS)


RADIX = {"decimal": "{}", "octal": "0{:o}", "padded octal": "000{:o}", "hexadecimal": "0x{:x}", "in capitals": "0X{:X}"}


@st.composite
def spellings(draw: st.DrawFn) -> tuple[IPv4Address, str]:
    """An address as inet_aton(3) reads it: one to four parts, the last of what is left, each in any radix."""
    address, count = draw(st.ip_addresses(v=4)), draw(st.integers(1, 4))
    octets = list(address.packed)
    numbers = [*octets[: count - 1], int.from_bytes(bytes(octets[count - 1 :]), "big")]
    return address, ".".join(RADIX[draw(st.sampled_from(sorted(RADIX)))].format(number) for number in numbers)


@given(spellings())
def test_what_the_c_library_reads_as_an_address_is_refused_unless_it_is_spelled_plainly(
    spelled: tuple[IPv4Address, str],
):
    address, text = spelled
    assert socket.inet_aton(text) == address.packed
    if text == str(address):
        assert read_url(f"http://{text}/", LONG).literal == address
    else:
        with pytest.raises(UrlNotAllowed, match="is a number"):
            read_url(f"http://{text}/", LONG)


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
