"""Whatever text is given as a URL is refused, or read as every other parser reads it.

The others are the C library (what dialling the host would mean), urllib, urllib3 and httpx. They may refuse what we take; what
they take they must take for the same host and port.
"""

from __future__ import annotations

import socket
from contextlib import suppress
from ipaddress import ip_address
from random import Random
from urllib.parse import urlsplit

import atheris
import httpx
import urllib3
from harness import TESTS, check, fuzz

with atheris.instrument_imports(include=["demure", "idna", "urllib.parse"]):
    from demure.connection import parse_url
    from demure.errors import UpstreamBadRedirect, UrlNotAllowed
    from demure.fetch import FetchLimits, host_of
    from demure.urls import DEFAULT_PORTS, Target, is_public_name, join, read_url

LIMITS = FetchLimits(ports=frozenset(range(1, 65536)))
BASE = read_url("http://base.example.com:8080/folder/page?query", 2048)


def target(data: bytes) -> None:
    """The first byte chooses: a whole URL (with half surrogate pairs, or without), a host, or the Location of a redirect."""
    kind, text = data[:1], data[1:].decode("utf-8", "surrogateescape" if data[:1] == b"s" else "replace")
    if kind == b"l":
        look_at_redirect(text)
    else:
        look_at(f"http://{text}/" if kind == b"h" else text)


def look_at(text: str) -> None:
    check(isinstance(host_of(text), str))
    try:
        found = read_url(text, 2048)
    except UrlNotAllowed as error:
        error.message.encode()  # it stands in an answer
        return
    check_form(found)
    if found.port > 65535:  # that it is no port is seen where ports are
        check(refused(text), found)
        return
    check(read_url(str(found), 20_000) == found, found, "is read back otherwise")
    check_literal(found)
    check_others(text, found)
    check_public(text, found)


def check_form(found: Target) -> None:
    check(found.scheme in DEFAULT_PORTS and found.port > 0, found)
    check(found.host.isascii() and found.host == found.host.lower() and found.host.isprintable(), found)
    check(not set(found.host) & set(' /?#@\\%[]"<>^`{|}'), found)
    check(found.target.startswith(b"/") and all(0x21 <= byte <= 0x7E for byte in found.target), found)


def check_literal(found: Target) -> None:
    """What the C library would dial without asking any name server is what the gate looks at."""
    check(numbers_of(found.host) == ({found.literal} if found.literal else set()), found, numbers_of(found.host))


def numbers_of(host: str) -> set[object]:
    numbers: set[object] = set()
    with suppress(OSError, UnicodeError):  # no number; UnicodeError: the codec of names refuses it
        answers = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
        numbers |= {ip_address(answer[4][0]) for answer in answers}
    with suppress(OSError):
        numbers.add(ip_address(socket.inet_aton(host)))
    return numbers


def check_others(text: str, found: Target) -> None:
    for name, read in (("urllib", by_urllib), ("urllib3", by_urllib3), ("httpx", by_httpx)):
        theirs = read(text)
        check(theirs in (None, (found.host, found.port)), name, text, theirs, found)


def by_urllib(text: str) -> tuple[str, int] | None:
    if not text.isascii():  # it leaves other names as they are
        return None
    parts = urlsplit(text)
    return plain(parts.hostname or ""), parts.port or DEFAULT_PORTS[parts.scheme]


def by_urllib3(text: str) -> tuple[str, int] | None:
    try:
        parts = urllib3.util.parse_url(text)
    except urllib3.exceptions.LocationParseError:
        return None
    return plain((parts.host or "").strip("[]")), parts.port or DEFAULT_PORTS[parts.scheme or ""]


def by_httpx(text: str) -> tuple[str, int] | None:
    try:
        url = httpx.URL(text)
    except (httpx.InvalidURL, UnicodeError):
        return None
    return plain(url.raw_host.decode("ascii")), url.port or DEFAULT_PORTS[url.scheme]


def plain(host: str) -> str:
    """An IPv6 address can be written in many ways, and they keep the one that was given."""
    return str(ip_address(host)) if ":" in host else host


def check_public(text: str, found: Target) -> None:
    is_local = found.literal is None and not is_public_name(found.host)
    check(refused(text) == is_local, found)
    check(is_local or found.literal is not None or "." in found.host, found)


def refused(text: str) -> bool:
    try:
        parse_url(text, LIMITS)
    except UrlNotAllowed:
        return True
    return False


def look_at_redirect(location: str) -> None:
    try:
        joined = join(BASE, location)
    except UpstreamBadRedirect:
        return
    look_at(joined)
    if "://" not in location and not location.startswith("//") and "#" not in location and "?" not in location:
        try:
            found = read_url(joined, 20_000)
        except UrlNotAllowed:
            return
        check((found.host, found.port) == (BASE.host, BASE.port), location, found)


# What parsers differ about. Coverage alone finds none of it: most of the reading is done within regular expressions.
HOSTS = """
example.org a.example.com b_c.org xn--bcher-kva.example bücher.de faß.de 例え.jp ﬀ.org K.org a..b .a a. - _ a-.b
localhost LOCALHOST a.localhost db.internal 127.0.0.1 127.1 10.0.0.1 1.2.3 1.2.3.4.5 256.1.1.1 1.2.3.04 0 0x
0x7f.1 0177.0.0.1 017700000001 2130706433 0x7f000001 ０.０.０.０ ١.٢.٣.٤ ①②⑦.①
[::1] [::ffff:127.0.0.1] [::ffff:7f00:1] [::127.0.0.1] [fe80::1%eth0] [fe80::1%25eth0] [2001:db8::1] [v1.a]
""".split()
TRAPS = [
    *"@:/\\?#%.[]-_;&=+$,!~*'()|^`{}<>\" \t\n\r\0\x7f\x85\xad\u200b\u200d\u3002\uff0e\uff0f\uff20\u2100\ufeff\ud800\u0345",
    *"%2e %00 %40".split(),
]
TAILS = ["/a b", *"/ /é?ü ?q=1 #f #@b.org /%2f.. \\@b.org ;a :80 : :0 :65536 :080 :8080/x @c.org/".split()]
STARTS = ["", *"http:// https:// HTTP:// // http: http:/ http:/// ftp:// http://u@ http://u:p@ http://\\".split()]


def mutate(data: bytes, max_size: int, seed: int) -> bytes:
    """A third of the time the fuzzer's own; else text made of the pieces above, mostly with a trap in it."""
    dice = Random(seed)
    if dice.random() < 0.33:
        return atheris.Mutate(data, max_size)
    starts = STARTS[1:3] if dice.random() < 0.85 else STARTS
    text = (
        dice.choice(starts)
        + ".".join(dice.choices(HOSTS, k=dice.choice([1, 1, 2])))
        + dice.choice(["", dice.choice(TAILS)])
    )
    for _ in range(dice.choice([0, 0, 1, 1, 2])):
        at = dice.randrange(len(text) + 1)
        text = text[:at] + dice.choice(TRAPS) + text[at + dice.choice([0, 0, 1]) :]
    kind = dice.choice([b"u", b"u", b"s", b"l"])
    return kind + text.encode("utf-8", "surrogatepass")[: max_size - 1]


def seeds() -> list[bytes]:
    urls = [line.split("\t") for line in (TESTS / "data" / "urls.tsv").read_text().splitlines()]
    texts = [field for fields in urls for field in fields if "/" in field or ":" in field]
    places = "/x //other.example.org/x https://o.example.org ?q ../.. x:80/ /%2f%2fh http:/x ///h/x".split()
    return [
        *(b"u" + text.encode("utf-8", "replace") for text in texts),
        *(b"h" + text.encode() for text in HOSTS),
        *(b"l" + text.encode() for text in places),
    ]


if __name__ == "__main__":
    fuzz(target, seeds(), mutate, max_bytes=300)
