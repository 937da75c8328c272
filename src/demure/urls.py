"""What does a URL say? Pure: scheme, host, port and target, read once and strictly, so that nothing reads them otherwise.

It refuses whatever two parsers could take for two different hosts. Whether we may go there is asked elsewhere.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from urllib.parse import quote, urljoin

import idna

from demure.errors import UpstreamBadRedirect, UrlNotAllowed

DEFAULT_PORTS = {"http": 80, "https": 443}
_PARTS = re.compile(r"(https?)://([^/?#]*)([^#]*)", re.IGNORECASE | re.ASCII)
_AUTHORITY = re.compile(r"(\[[^]]*\]|[^:\[\]]*)(?::([1-9][0-9]{0,4}))?", re.ASCII)
_LABEL = re.compile(r"[a-z0-9_-]{1,63}", re.ASCII)
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*", re.ASCII)  # WHATWG URL, 3.5 "ends in a number checker"
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE | re.ASCII)  # RFC 3986, 3.1
_NOT_PLAIN = re.compile(r"[\s\\\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_PRINTABLE = "".join(map(chr, range(0x21, 0x7F)))

# Names that public DNS does not hold. IANA Special-Use Domain Names (RFC 6761, 6762, 7686, 8375, 9476), the infrastructure
# domain arpa (RFC 3172), ICANN's internal (2024) and its never delegated corp, home and mail (2018), and what routers,
# hypervisors and distributions hand out.
_NOT_PUBLIC = {
    *("alt", "arpa", "example", "invalid", "local", "localhost", "onion", "test"),
    *("corp", "home", "internal", "mail"),
    *("intranet", "lan", "localdomain", "private"),
}


@dataclass(frozen=True)
class Target:
    """A URL taken apart. `host` is ASCII and lower case, an IPv6 address without its brackets; `target` is path and query."""

    scheme: str
    host: str
    port: int
    target: bytes

    @property
    def literal(self) -> IPv4Address | IPv6Address | None:
        return literal_address(self.host)

    @property
    def authority(self) -> str:
        """The Host header: the port only where it is not the scheme's own (RFC 9110, 7.2)."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}{self.target.decode('ascii')}"


def read_url(text: str, max_chars: int) -> Target:
    """Take a URL apart. Raises UrlNotAllowed for any form that is not plain."""
    if len(text) > max_chars:
        raise UrlNotAllowed(f"the URL has {len(text):,} characters; the limit is {max_chars:,} (max_url_chars)")
    if not is_plain(text):
        raise UrlNotAllowed("the URL has a control character, whitespace or a backslash; percent-encode it")
    parts = _PARTS.fullmatch(text.partition("#")[0])
    if parts is None:
        raise UrlNotAllowed("the URL must begin with http:// or https:// and a host")
    scheme, path = parts[1].lower(), parts[3]
    host, port = _read_authority(parts[2])
    # Only what is not ASCII is encoded: anything more would break the signature of a signed URL.
    target = quote(path if path.startswith("/") else f"/{path}", safe=_PRINTABLE)
    return Target(scheme, host, port or DEFAULT_PORTS[scheme], target.encode("ascii"))


def join(base: Target, location: str) -> str:
    """The URL that a Location header means (RFC 3986, 5.2), not yet read. Raises UpstreamBadRedirect if it means none."""
    if not location or not is_plain(location):
        raise UpstreamBadRedirect(
            "the redirect's Location is empty, or has a control character, whitespace or a backslash"
        )
    if _SCHEME.match(location):
        return location
    if location.startswith("//"):
        return f"{base.scheme}:{location}"
    return urljoin(str(base), location)


def is_plain(text: str) -> bool:
    """No whitespace, control character, backslash or half of a surrogate pair."""
    return _NOT_PLAIN.search(text) is None


def is_public_name(host: str) -> bool:
    """Whether public DNS can hold this name. A name of one label, and those under certain last ones, mean a local machine."""
    labels = host.split(".")
    return len(labels) > 1 and labels[-1] not in _NOT_PUBLIC


def literal_address(host: str) -> IPv4Address | IPv6Address | None:
    """The address, if a Target's host is one."""
    if ":" in host:
        return IPv6Address(host)
    return IPv4Address(host) if _ends_in_number(host) else None


def _read_authority(authority: str) -> tuple[str, int | None]:
    if "@" in authority:
        raise UrlNotAllowed("the URL has a user name or a password; send it without")
    if "%" in authority:
        raise UrlNotAllowed("the URL's host has a percent sign; write the host plainly")
    match = _AUTHORITY.fullmatch(authority)
    if match is None:
        raise UrlNotAllowed("the URL's host and port are not of the form host, host:port or [IPv6]:port")
    return _read_host(match[1]), int(match[2]) if match[2] else None


def _read_host(text: str) -> str:
    if text.startswith("["):
        return _read_ipv6(text[1:-1])
    host = text.lower() if text.isascii() else _to_ascii(text)
    if len(host) > 253 or not all(_LABEL.fullmatch(label) for label in host.split(".")):
        raise UrlNotAllowed("the URL's host is not a name: letters, digits, - and _ between single dots, at most 253")
    if _ends_in_number(host) and not _is_dotted_quad(host):
        raise UrlNotAllowed("the URL's host is a number; write an IPv4 address as four decimal numbers")
    return host


def _read_ipv6(text: str) -> str:
    try:
        return str(IPv6Address(text))
    except ValueError as error:
        raise UrlNotAllowed("the URL's host is in brackets but is not an IPv6 address") from error


def _to_ascii(host: str) -> str:
    """UTS 46. Only letters that stay themselves go in: what it would turn into ASCII or drop is there to deceive."""
    try:
        if len(host) <= 253 and all(c in ".-0123456789" or _is_letter(c) for c in host):
            return idna.encode(host, uts46=True).decode("ascii")
    except (idna.IDNAError, UnicodeError) as error:
        raise UrlNotAllowed("the URL's host is not an internationalised name (IDNA 2008)") from error
    raise UrlNotAllowed("the URL's host has characters other than plain letters; write it in punycode (xn--…)")


def _is_letter(character: str) -> bool:
    """A letter or the mark on one that is seen, and no look-alike.

    Full-width, circled and superscript forms normalise to another. Joiners, fillers and variation selectors, letters and
    marks by category, UTS 46 drops without a word.
    """
    return (
        unicodedata.category(character)[0] in "LM"
        and unicodedata.normalize("NFKC", character) == character
        and idna.uts46_remap(character) != ""
    )


def _ends_in_number(host: str) -> bool:
    return _NUMBER.fullmatch(host.rpartition(".")[2]) is not None


def _is_dotted_quad(host: str) -> bool:
    try:
        return str(IPv4Address(host)) == host
    except ValueError:
        return False
