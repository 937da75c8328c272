"""What the fetcher and the courier may reach, and whether names and sockets work at all. Nothing is dialled but loopback."""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

from demure.connection import trusting_the_system
from demure.doctor.finding import Finding, counted, note, ok, problem
from demure.errors import InvalidSetting
from demure.fetch import FetchLimits
from demure.post import PostLimits
from demure.settings import Settings

CHECK = "network"
_PROXIES = ("http_proxy", "https_proxy", "all_proxy")
_TIMEOUT_S = 2.0
_OF_A_FOLDER = re.compile(r"[0-9a-f]{8}\.[0-9]+")  # how OpenSSL has them named: openssl-rehash(1)


@dataclass(frozen=True)
class Reach:
    """`failure` is what went wrong with a name and a connection on this machine; "" where nothing did."""

    failure: str
    authorities: int  # certificate authorities that are trusted


def look() -> Reach:
    authorities = _authorities()
    try:
        _dial_ourselves()
    except OSError as error:
        return Reach(str(error), authorities)
    return Reach("", authorities)


def _authorities() -> int:
    """0 where a file that SSL_CERT_FILE names cannot be read, as well."""
    try:
        read = trusting_the_system().cert_store_stats()["x509"]
    except InvalidSetting:
        return 0
    # A folder is not read before a certificate names one of the authorities in it, and none of them is counted.
    folder = ssl.get_default_verify_paths().capath
    return read or sum(1 for path in Path(folder or "/nowhere").glob("*") if _OF_A_FOLDER.fullmatch(path.name))


def _dial_ourselves() -> None:
    """Raises OSError."""
    found = socket.getaddrinfo("localhost", 0, socket.AF_INET, socket.SOCK_STREAM)
    address = found[0][4][0]
    with socket.create_server((str(address), 0)) as server, socket.create_connection(server.getsockname(), _TIMEOUT_S):
        pass


def check_network(reach: Reach, settings: Settings, environment: Mapping[str, str]) -> Iterator[Finding]:
    if reach.failure:
        yield problem(
            CHECK,
            f"localhost cannot be looked up and dialled: {reach.failure}",
            "/etc/hosts should name it, and lo be up",
        )
    else:
        yield ok(CHECK, "names and sockets work on this machine; nothing outside it was asked")
    if not reach.authorities:
        yield problem(
            CHECK,
            "no certificate authority is known: no https URL can be fetched",
            "install the system's (apt install ca-certificates); where SSL_CERT_FILE is set, it must name a file of them",
        )
    yield from _opened("DEMURE_FETCH", "whoever may send a URL", settings.fetch_allow_networks)
    yield from _opened("DEMURE_WEBHOOK", "webhooks", settings.webhook_allow_networks)
    yield from _ports("DEMURE_FETCH_PORTS", settings.fetch_ports, FetchLimits().ports)
    yield from _ports("DEMURE_WEBHOOK_PORTS", settings.webhook_ports, PostLimits().ports)
    if given := [name for name in environment if name.lower() in _PROXIES and environment[name]]:
        yield note(
            CHECK,
            f"{', '.join(sorted(given))} is set, and not used: URLs are dialled directly, so that their addresses can be checked",
            "where only a proxy leads out, send the images themselves and not their URLs",
        )


def _opened(prefix: str, who: str, networks: Sequence[IPv4Network | IPv6Network]) -> Iterator[Finding]:
    if networks:
        addresses = sum(network.num_addresses for network in networks)
        yield note(
            CHECK,
            f"{', '.join(map(str, networks))}: {addresses:,} addresses that {who} can reach",
            f"keep {prefix}_ALLOW_NETWORKS as narrow as it can be",
        )


def _ports(variable: str, ports: frozenset[int], usual: frozenset[int]) -> Iterator[Finding]:
    if more := ports - usual:
        yield note(
            CHECK,
            f"{variable} opens {counted(len(more), 'port')} beside 80 and 443",
            f"keep {variable} as narrow as it can be",
        )
