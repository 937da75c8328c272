"""The table of hosts that mean ill, are broken or merely slow, and what a fetch from each ends in: from the RFCs, and the list of
codes in `demure.errors`.
"""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from datetime import UTC, datetime

from upstream import (
    ENDLESS,
    NAME,
    NO_TLS,
    VALID,
    Behaviour,
    Certificate,
    Upstream,
    certified,
    chunked,
    drips,
    fetched,
    floods,
    in_tls_1_1,
    in_tls_1_2,
    leaves_tls,
    of_a_stranger,
    raw,
    redirect,
    resets,
    response,
    says,
    says_and_drops_tls,
    says_and_turns_away,
    says_and_waits,
    self_signed,
    sends_to,
    trusting,
)

from demure.errors import DemureError


@dataclass(frozen=True)
class Case:
    """One way to behave. `ends` is a code, or the body that arrives; `requests` how often it is asked until then.

    With a certificate it speaks TLS; without one, and https, it is taken for one that would.
    """

    name: str
    behaviour: Behaviour
    ends: str | bytes
    requests: int = 1
    certificate: Certificate | None = None
    scheme: str = "http"
    reads: bool = True

    def fetched(self, *, max_bytes: int = 100_000, timeout_s: float = 5) -> tuple[bytes | DemureError, Upstream]:
        return fetched(
            self.behaviour,
            client=trusting() if self.scheme == "https" else NO_TLS,
            server=self.certificate() if self.certificate else None,
            scheme=self.scheme,
            reads=self.reads,
            max_bytes=max_bytes,
            timeout_s=timeout_s,
        )


def over_tls(name: str, behaviour: Behaviour, ends: str | bytes, certificate: Certificate, requests: int = 1) -> Case:
    return Case(name, behaviour, ends, requests, certificate, "https")


def instead_of_tls(name: str, behaviour: Behaviour, ends: str) -> Case:
    return Case(name, behaviour, ends, 0, scheme="https", reads=False)


HTML = b'<html><meta http-equiv="refresh" content="0; url=http://127.0.0.1/"></html>'
BOMB = gzip.compress(bytes(10_000_000))
LATE = "upstream_timeout"
BROKEN = "upstream_protocol_error"
LOST = "upstream_unreachable"
STATUS = "upstream_status"
LEADS_NOWHERE = "upstream_bad_redirect"
FORBIDDEN = "url_not_allowed"
LARGE = "too_large"
ENCODED = "upstream_encoding"
LOOP = "too_many_redirects"

_BODIES = [
    Case("a body with its length", says(response(b"image")), b"image"),
    Case("a body in chunks", says(chunked(b"im", b"age")), b"image"),
    Case("a body up to the end of the connection", says(ENDLESS + b"image"), b"image"),
    Case("a body in HTTP/1.0", says(raw(body="image", status="HTTP/1.0 200 OK")), b"image"),
    Case("a body of nothing", says(response(b"")), b""),
    Case("a body of nothing, without a length", says(ENDLESS), b""),
    Case("a status without a reason", says(raw("Content-Length: 5", body="image", status="HTTP/1.1 200")), b"image"),
    Case("lines that end in LF alone", says(b"HTTP/1.1 200 OK\nContent-Length: 5\n\nimage"), b"image"),
    Case("a header folded over two lines", says(raw("X: a", "  b", "Content-Length: 5", body="image")), b"image"),
    Case("the same length twice", says(raw("Content-Length: 5", "Content-Length: 5", body="image")), b"image"),
    Case("the same length in a list", says(raw("Content-Length: 5, 5", body="image")), b"image"),
    Case("a length that is too small", says(raw("Content-Length: 5", body="image and more")), b"image"),
    Case("a second answer behind the first", says(response(b"image") + response(b"other")), b"image"),
    # RFC 9112, 6.3: the chunks overrule the length. Here no other request could be smuggled: the connection is for one.
    Case(
        "a length and chunks",
        says(raw("Content-Length: 3", "Transfer-Encoding: chunked", body="5\r\nimage\r\n0\r\n\r\n")),
        b"image",
    ),
    Case("chunks with extensions", says(chunked(end=b"5;a=b;c\r\nimage\r\n0;d\r\n\r\n")), b"image"),
    Case("chunks with trailers", says(chunked(b"image", end=b"0\r\nX: y\r\nContent-Length: 1\r\n\r\n")), b"image"),
    Case("a connection that is left open behind the body", says_and_waits(response(b"image")), b"image"),
    Case("one side closed behind the body", says_and_turns_away(response(b"image")), b"image"),
    Case("an answer before the request is read", says(response(b"image")), b"image", 0, reads=False),
    Case("an interim answer first", says(b"HTTP/1.1 100 Continue\r\n\r\n" + response(b"image")), b"image"),
    Case("a hundred interim answers first", says(b"HTTP/1.1 102 \r\n\r\n" * 100 + response(b"image")), b"image"),
    Case("hints first", says(b"HTTP/1.1 103 \r\nLink: <http://127.0.0.1/>\r\n\r\n" + response(b"image")), b"image"),
    Case("an encoding that is none", says(response(b"image", "Content-Encoding: IDENTITY")), b"image"),
    Case("an encoding that is empty", says(response(b"image", "Content-Encoding:")), b"image"),
    Case("a wrong type", says(response(b"image", "Content-Type: text/html")), b"image"),
    Case("a type of 10 KB", says(response(b"image", "Content-Type: image/" + "a" * 10_000)), b"image"),
    Case("two types", says(response(b"image", "Content-Type: image/png", "Content-Type: text/html")), b"image"),
    Case("HTML as a JPEG, with a refresh in it", says(response(HTML, "Content-Type: image/jpeg")), HTML),
    Case("a header that asks to go elsewhere", says(response(b"image", "Refresh: 0; url=http://127.0.0.1/")), b"image"),
    Case("a header that names a better place", says(response(b"image", 'Alt-Svc: h2="127.0.0.1:80"')), b"image"),
    Case("a header that names the file", says(response(b"image", "Content-Disposition: a; filename=/a")), b"image"),
    Case("a Location that is no redirect", says(response(b"image", "Location: http://127.0.0.1/")), b"image"),
    Case("an offer to upgrade", says(response(b"image", "Connection: upgrade", "Upgrade: h2c")), b"image"),
    Case("a thousand cookies", says(response(b"image", *[f"Set-Cookie: a{i}=b" for i in range(1000)])), b"image"),
    Case("10,000 headers", says(response(b"image", *["X:"] * 10_000)), b"image"),
    Case("a bomb in gzip that is not said to be one", says(response(BOMB, "Content-Type: image/png")), BOMB),
    over_tls("a body over TLS", says(response(b"image")), b"image", VALID),
    over_tls("a body over TLS 1.2", says(response(b"image")), b"image", in_tls_1_2),
    over_tls("a name that a wildcard covers", says(response(b"image")), b"image", certified("*.example.org")),
    # It cannot be told from a body that is whole: nobody said how long it is. The decoder sees what is missing.
    over_tls("TLS cut off, no length", says_and_drops_tls(ENDLESS + b"image"), b"image", VALID),
]

_STATUSES = [
    *(
        Case(status, says(response(b"" if status[:3] in ("204", "304") else b"image", status=status)), STATUS)
        for status in (
            *("201 Created", "203 Non-Authoritative Information", "204 No Content", "206 Partial Content"),
            *("300 Multiple Choices", "304 Not Modified", "400 Bad Request", "403 Forbidden", "404 Not Found"),
            *("410 Gone", "421 Misdirected Request", "425 Too Early", "426 Upgrade Required"),
            *("451 Unavailable For Legal Reasons", "500 Internal Server Error", "502 Bad Gateway", "999 Who Knows"),
        )
    ),
    Case("204 with a body", says(raw("Content-Length: 5", body="image", status="HTTP/1.1 204 No Content")), STATUS),
    Case("304 to a question nobody asked", says(response(b"", 'ETag: "a"', status="304 Not Modified")), STATUS),
    Case("305, a proxy", says(response(b"", "Location: http://127.0.0.1:1/", status="305 Use Proxy")), STATUS),
    Case("401 that asks for a password", says(response(b"", "WWW-Authenticate: Basic", status="401 No")), STATUS),
    Case("407 that asks for a password", says(response(b"", "Proxy-Authenticate: Basic", status="407 No")), STATUS),
    Case("429 that says when to come back", says(response(b"", "Retry-After: 0", status="429 Slow Down")), STATUS),
    Case("503 that says when to come back", says(response(b"", "Retry-After: 0", status="503 Busy")), STATUS),
    Case("511 that asks to sign in", says(response(HTML, status="511 Network Authentication Required")), STATUS),
    Case("404 with an endless body", floods(raw(status="HTTP/1.1 404 No"), b"a" * 10_000), STATUS),
    Case("101, another protocol", says(response(status="101 Switching Protocols")), BROKEN),
]

_ENCODINGS = [
    Case("gzip", says(response(gzip.compress(b"image"), "Content-Encoding: gzip")), ENCODED),
    Case("gzip in a second header", says(response(b"", "Content-Encoding:", "Content-Encoding: gzip")), ENCODED),
    Case("gzip in a list", says(response(b"image", "Content-Encoding: identity, gzip")), ENCODED),
    Case("gzip of gzip", says(response(b"image", "Content-Encoding: gzip, gzip")), ENCODED),
    Case("brotli in capitals", says(response(b"image", "CONTENT-ENCODING: BR")), ENCODED),
    Case("deflate", says(response(b"image", "Content-Encoding: deflate")), ENCODED),
    Case("zstd", says(response(b"image", "Content-Encoding: zstd")), ENCODED),
    Case("an encoding that nobody knows", says(response(b"image", "Content-Encoding: rot13")), ENCODED),
    Case("a bomb in gzip", floods(raw("Content-Encoding: gzip") + BOMB, BOMB), ENCODED),
    Case("a bomb in brotli", floods(raw("Content-Encoding: br"), b"\x5b\xff\xff\x0f\x00" * 1000), ENCODED),
    Case("a transfer in gzip", says(raw("Transfer-Encoding: gzip, chunked", body="0\r\n\r\n")), BROKEN),
    Case("a transfer as it is", says(raw("Transfer-Encoding: identity", body="image")), BROKEN),
    Case("chunks twice", says(raw("Transfer-Encoding: chunked, chunked", body="0\r\n\r\n")), BROKEN),
]

_HEADS = [
    Case("nothing", says(b""), BROKEN),
    Case("garbage", says(b"\x00\x01\x02garbage\r\n\r\n"), BROKEN),
    Case("an image alone, as in HTTP/0.9", says(b"\xff\xd8\xff\xe0image" * 1000), BROKEN),
    Case("another language", says(b"SSH-2.0-OpenSSH_9.6\r\n"), BROKEN),
    Case("the language of radio", says(b"ICY 200 OK\r\n\r\nimage"), BROKEN),
    Case("the preface of HTTP/2", says(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), BROKEN),
    Case("settings of HTTP/2", says(bytes.fromhex("000000040000000000") + b"image\r\n\r\n"), BROKEN),
    Case("HTTP/2 in a line", says(raw(body="image", status="HTTP/2 200 OK")), BROKEN),
    Case("http in small letters", says(raw(body="image", status="http/1.1 200 OK")), BROKEN),
    Case("a request for an answer", says(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"), BROKEN),
    Case("a status of two digits", says(raw(status="HTTP/1.1 20 OK")), BROKEN),
    Case("a status of four digits", says(raw(status="HTTP/1.1 2000 OK")), BROKEN),
    Case("a status below all", says(raw(status="HTTP/1.1 099 OK")), BROKEN),
    Case("an empty line first", says(b"\r\n" + response(b"image")), BROKEN),
    Case("a header without a colon", says(raw("nonsense")), BROKEN),
    Case("a header without a name", says(raw(": a")), BROKEN),
    Case("a header with a space before its colon", says(raw("Content-Length : 5", body="image")), BROKEN),
    Case("a header with NUL", says(raw("X: a\x00b")), BROKEN),
    Case("a header with a bare CR", says(raw("X: a\rb")), BROKEN),
    Case("a header folded before any", says(raw(" a", "X: b")), BROKEN),
    Case("a header of 1 MB", says(raw("X: " + "a" * 1_000_000)), BROKEN),
    Case("a cookie of 1 MB", says(raw("Set-Cookie: a=" + "a" * 1_000_000)), BROKEN),
    Case("1 MB of headers", says(raw(*["X: y"] * 200_000)), BROKEN),
    Case("1 MB of one header folded", says(raw("X: y", *[" y"] * 250_000)), BROKEN),
    Case("a reason of 1 MB", says(raw(status="HTTP/1.1 200 " + "a" * 1_000_000)), BROKEN),
    Case("a flood of headers", floods(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n" * 1000), BROKEN),
    Case("a flood of one header", floods(b"HTTP/1.1 200 OK\r\nX: ", b"a" * 10_000), BROKEN),
    Case("a head that ends early", says(b"HTTP/1.1 200 OK\r\nContent-"), BROKEN),
    Case("a side closed before the head ends", says_and_turns_away(b"HTTP/1.1 200 OK\r\n"), BROKEN),
    Case("two lengths", says(raw("Content-Length: 1", "Content-Length: 2", body="ab")), BROKEN),
    Case("two lengths in a list", says(raw("Content-Length: 1, 2", body="ab")), BROKEN),
    Case("a length with a plus", says(raw("Content-Length: +5", body="image")), BROKEN),
    Case("a length below zero", says(raw("Content-Length: -1")), BROKEN),
    Case("a length in hexadecimal", says(raw("Content-Length: 0x5", body="image")), BROKEN),
    Case("a length with a point", says(raw("Content-Length: 5.0", body="image")), BROKEN),
    Case("a length of nothing", says(raw("Content-Length:", body="image")), BROKEN),
    Case("a length of 5,000 digits", says(raw("Content-Length: " + "9" * 5000)), BROKEN),
]

_TOO_MUCH = [
    Case("a length of 20 digits", says_and_waits(raw("Content-Length: " + "9" * 20)), LARGE),
    Case("a length past the limit", floods(raw("Content-Length: 99999999999"), b"a" * 10_000), LARGE),
    Case("a body without end", floods(ENDLESS, b"a" * 10_000), LARGE),
    Case("a body without end, in chunks", floods(chunked(end=b""), b"2710\r\n" + b"a" * 10_000 + b"\r\n"), LARGE),
    Case("one chunk without end", floods(chunked(end=b"fffffffffffffffffff\r\n"), b"a" * 10_000), LARGE),
    Case("a body of single bytes", floods(chunked(end=b""), b"1\r\na\r\n" * 1000), BROKEN),
    Case("a flood of one chunk's extension", floods(chunked(end=b"1;"), b"a" * 10_000), BROKEN),
    Case("a flood of one chunk's size", floods(chunked(end=b""), b"0" * 10_000), BROKEN),
    Case("a flood of trailers", floods(chunked(b"image", end=b"0\r\n"), b"X: y\r\n" * 1000), BROKEN),
    Case("a flood of one trailer", floods(chunked(b"image", end=b"0\r\nX: "), b"a" * 10_000), BROKEN),
    over_tls("a body without end, over TLS", floods(ENDLESS, b"a" * 10_000), LARGE, VALID),
]

_BROKEN_OFF = [
    Case("a body that ends early", says(raw("Content-Length: 10", body="image")), BROKEN),
    Case("a side closed before the body ends", says_and_turns_away(raw("Content-Length: 9", body="image")), BROKEN),
    Case("chunks that end early", says(chunked(b"image", end=b"")), BROKEN),
    Case("chunks without the last line", says(chunked(b"image", end=b"0\r\n")), BROKEN),
    Case("a chunk that ends early", says(chunked(end=b"10\r\nimage")), BROKEN),
    Case("a chunk without a size", says(chunked(end=b"\r\nimage\r\n")), BROKEN),
    Case("a chunk with garbage for a size", says(chunked(end=b"zz\r\nimage")), BROKEN),
    Case("a chunk below zero", says(chunked(end=b"-5\r\nimage\r\n0\r\n\r\n")), BROKEN),
    Case("a chunk with 0x", says(chunked(end=b"0x5\r\nimage\r\n0\r\n\r\n")), BROKEN),
    Case("a chunk whose size overflows", says(chunked(end=b"1" + b"0" * 31 + b"\r\nimage")), BROKEN),
    Case("a chunk longer than its size", says(chunked(end=b"2\r\nimage\r\n0\r\n\r\n")), BROKEN),
    Case("trailers of garbage", says(chunked(b"image", end=b"0\r\nnonsense\r\n\r\n")), BROKEN),
    Case("a reset before the request is read", resets(b""), LOST, 0, reads=False),
    Case("a reset for an answer", resets(b""), LOST),
    Case("a reset in the head", resets(b"HTTP/1.1 200 OK\r\nContent-Le"), LOST),
    Case("a reset in the body", resets(ENDLESS + b"im"), LOST),
    Case("a reset in a chunk", resets(chunked(end=b"5\r\nim")), LOST),
]

_REDIRECTS = [
    Case("a redirect to itself", says(redirect("/")), LOOP, 4),
    Case("a redirect to a fragment of itself", says(redirect("#a")), LOOP, 4),
    Case(
        "a redirect between two hosts",
        sends_to("http://www.example.org:{port}/", "http://www.example.net:{port}/"),
        LOOP,
        4,
    ),
    Case("a redirect to one more", sends_to(*[f"http://www.example.org:{{port}}/{i}" for i in range(9)]), LOOP, 4),
    Case(
        "a redirect with a cookie to itself",
        says(response(b"", "Location: /", "Set-Cookie: a=b", status="302 F")),
        LOOP,
        4,
    ),
    Case(
        "a redirect with an endless body", floods(raw("Location: /", status="HTTP/1.1 302 F"), b"a" * 10_000), LOOP, 4
    ),
    Case("a redirect in gzip", says(response(b"", "Location: /", "Content-Encoding: gzip", status="302 F")), LOOP, 4),
    Case(
        "a redirect that says it is large",
        says(raw("Location: /", "Content-Length: 9999999", status="HTTP/1.1 302 F")),
        LOOP,
        4,
    ),
    Case("a redirect without Location", says(response(status="302 Found")), LEADS_NOWHERE),
    Case("a redirect with two", says(response(b"", "Location: /a", "Location: /b", status="302 Found")), LEADS_NOWHERE),
    Case("a redirect with a refresh instead", says(response(b"", "Refresh: 0; url=/a", status="302 F")), LEADS_NOWHERE),
    Case("a redirect to nothing", says(redirect("")), LEADS_NOWHERE),
    Case("a redirect with a space", says(redirect("/i j.jpg")), LEADS_NOWHERE),
    Case("a redirect with a tab", says(redirect("http://127.0.\t0.1/")), LEADS_NOWHERE),
    Case("a redirect with a backslash", says(redirect("\\\\127.0.0.1\\x")), LEADS_NOWHERE),
    Case("a redirect that is not UTF-8", says(raw("Location: /\xff", status="HTTP/1.1 302 Found")), LEADS_NOWHERE),
    Case("a redirect with a bare CR", says(redirect("/a\rX: b")), BROKEN),
    Case("a redirect with NUL", says(redirect("/a\x00b")), BROKEN),
    Case("a redirect with CRLF, which is a header more", says(redirect("/\r\nX-Header: 1")), LOOP, 4),
    Case("a redirect with CRLF, encoded", says(redirect("/%0d%0aX-Header:%201")), LOOP, 4),
    Case("a redirect of 3,000 characters", says(redirect("/" + "a" * 3000)), FORBIDDEN),
    Case("a redirect of 100 KB", says(redirect("/" + "a" * 100_000)), FORBIDDEN),
    Case("a redirect of 1 MB", says(redirect("/" + "a" * 1_000_000)), BROKEN),
    Case("a redirect to half a bracket", says(redirect("//[::1")), FORBIDDEN),
    Case("a redirect to a user name", says(redirect("http://a:b@www.example.org/")), FORBIDDEN),
    Case("a redirect to a file", says(redirect("file:///etc/passwd")), FORBIDDEN),
    Case("a redirect to data", says(redirect("data:image/png;base64,iVBORw0KGgo=")), FORBIDDEN),
    Case("a redirect to ftp", says(redirect("ftp://www.example.org/i.jpg")), FORBIDDEN),
    Case("a redirect to gopher", says(redirect("gopher://127.0.0.1:6379/_INFO")), FORBIDDEN),
    Case("a redirect to another port", says(redirect("http://www.example.org:1/")), FORBIDDEN),
    Case("a redirect to a private address, and no end", says_and_waits(redirect("http://10.0.0.1/")), FORBIDDEN),
]

_TLS = [
    over_tls("a certificate for another name", says(response(b"image")), LOST, certified("www.example.net"), 0),
    over_tls("a certificate for the domain above", says(response(b"image")), LOST, certified("example.org"), 0),
    over_tls("a wildcard one label too high", says(response(b"image")), LOST, certified("*.org"), 0),
    over_tls("a certificate for the address", says(response(b"image")), LOST, certified("127.0.0.1"), 0),
    over_tls(
        "a certificate with the name in its subject alone",
        says(response(b"image")),
        LOST,
        certified("www.example.net", common_name=NAME),
        0,
    ),
    over_tls(
        "a certificate that has expired",
        says(response(b"image")),
        LOST,
        certified(NAME, until=datetime(2020, 1, 1, tzinfo=UTC)),
        0,
    ),
    over_tls("a certificate that vouches for itself", says(response(b"image")), LOST, self_signed, 0),
    over_tls("a certificate that nobody vouches for", says(response(b"image")), LOST, of_a_stranger, 0),
    over_tls("TLS 1.1 and older", says(response(b"image")), LOST, in_tls_1_1, 0),
    over_tls("TLS cut off in the body", says_and_drops_tls(raw("Content-Length: 9", body="image")), BROKEN, VALID),
    over_tls("TLS cut off in the head", says_and_drops_tls(b"HTTP/1.1 200 OK\r\n"), BROKEN, VALID),
    over_tls("plain text after TLS", leaves_tls(ENDLESS + b"im", response(b"image")), LOST, VALID),
    over_tls(
        "an alert in plain text after TLS", leaves_tls(ENDLESS + b"im", bytes.fromhex("15030300020228")), LOST, VALID
    ),
    # RFC 5246, 7.4.1.1: HelloRequest, type 0 and no length, asks to negotiate anew.
    over_tls(
        "a renegotiation in plain text", leaves_tls(ENDLESS, bytes.fromhex("160303000400000000")), LOST, in_tls_1_2
    ),
    over_tls("a reset in TLS", resets(ENDLESS + b"im"), LOST, VALID),
    over_tls("a drip in TLS", drips(ENDLESS, b"a"), LATE, VALID),
    instead_of_tls("plain HTTP for TLS", says(response(b"image")), LOST),
    instead_of_tls("garbage for TLS", says(b"\x00" * 1000), LOST),
    instead_of_tls("an alert for TLS: protocol version", says(bytes.fromhex("15030100020246")), LOST),
    instead_of_tls("a flood of warnings for TLS", floods(b"", bytes.fromhex("15030300020100") * 1000), LOST),
    instead_of_tls("a flood of garbage for TLS", floods(bytes.fromhex("1603034000"), b"\xff" * 0x4000), LOST),
    instead_of_tls("the end for TLS", says(b""), LOST),
    instead_of_tls("the end within a record of TLS", says(bytes.fromhex("160303004a02")), LOST),
    instead_of_tls("a reset for TLS", resets(b""), LOST),
    instead_of_tls("a reset within a record of TLS", resets(bytes.fromhex("160303004a02")), LOST),
    instead_of_tls("silence for TLS", says_and_waits(b""), LATE),
    instead_of_tls("a drip for TLS", drips(bytes.fromhex("1603034000"), b"\x02"), LATE),
]

_SLOW = [
    Case("silence", says_and_waits(b""), LATE),
    Case("silence, and the request unread", says_and_waits(b""), LATE, 0, reads=False),
    Case("a drip of the status", drips(b"HTTP/1.1 200 ", b"a"), LATE),
    Case("a drip of headers", drips(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"), LATE),
    Case("a drip of one header", drips(b"HTTP/1.1 200 OK\r\nX: ", b"y"), LATE),
    Case("a drip of interim answers", drips(b"", b"HTTP/1.1 102 Processing\r\n\r\n"), LATE),
    Case("a drip of a body", drips(ENDLESS, b"a"), LATE),
    Case("a drip of a body with its length", drips(raw("Content-Length: 90000"), b"a"), LATE),
    Case("a drip of chunks", drips(chunked(end=b""), b"1\r\na\r\n"), LATE),
    Case("a drip of a chunk's size", drips(chunked(end=b""), b"0"), LATE),
    Case("a drip of a chunk's extension", drips(chunked(end=b"1;"), b"a"), LATE),
    Case("a drip of trailers", drips(chunked(b"image", end=b"0\r\n"), b"X: y\r\n"), LATE),
    Case("a head and silence", says_and_waits(ENDLESS), LATE),
    Case("a body and silence", says_and_waits(raw("Content-Length: 6", body="image")), LATE),
    Case("chunks and silence", says_and_waits(chunked(b"image", end=b"")), LATE),
    Case("half a redirect and silence", says_and_waits(b"HTTP/1.1 302 Found\r\nLocation: http://127"), LATE),
    Case("a flood of interim answers", floods(b"", b"HTTP/1.1 102 \r\n\r\n" * 1000), "upstream_protocol_error"),
    Case(
        "a flood of interim answers of 30,000 headers",
        floods(b"", b"HTTP/1.1 102 \r\n" + b"a:\n" * 30_000 + b"\r\n"),
        "upstream_protocol_error",
    ),
    Case(
        "a flood of extensions, one to each byte", floods(chunked(end=b""), b"1;" + b"a" * 60_000 + b"\r\na\r\n"), LATE
    ),
]

CASES = [
    *(*_BODIES, *_STATUSES, *_ENCODINGS, *_HEADS, *_TOO_MUCH, *_BROKEN_OFF, *_REDIRECTS, *_TLS, *_SLOW),
]
