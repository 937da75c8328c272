"""May we connect to this IP? Pure: it knows addresses, not names, and resolves and dials nothing.

The properties of `ipaddress` are not asked: they differ between Python versions, and 3.11's is_global passes
64:ff9b::10.0.0.1 while its is_private misses 100.64.0.1. IPv4 is refused by table. IPv6 is the other way round: only
2000::/3 is given out to the world, so only that passes, less the blocks in it that are special or hold an IPv4 address.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# IANA IPv4 Special-Purpose Address Registry (RFC 6890), its globally reachable anycast blocks included: no image lives
# there. The first row that holds an address names it.
_IPV4 = """
0.0.0.0/8           this network (RFC 791)
10.0.0.0/8          private (RFC 1918)
100.64.0.0/10       carrier-grade NAT (RFC 6598)
127.0.0.0/8         loopback (RFC 1122)
169.254.0.0/16      link-local, where clouds keep their metadata (RFC 3927)
172.16.0.0/12       private (RFC 1918)
192.0.0.0/24        IETF protocol assignments (RFC 6890)
192.0.2.0/24        documentation (RFC 5737)
192.31.196.0/24     AS112 (RFC 7535)
192.52.193.0/24     automatic multicast tunneling (RFC 7450)
192.88.99.0/24      6to4 relay (RFC 7526)
192.168.0.0/16      private (RFC 1918)
192.175.48.0/24     AS112 (RFC 7534)
198.18.0.0/15       benchmarking (RFC 2544)
198.51.100.0/24     documentation (RFC 5737)
203.0.113.0/24      documentation (RFC 5737)
224.0.0.0/4         multicast (RFC 5771)
255.255.255.255/32  broadcast (RFC 919)
240.0.0.0/4         reserved (RFC 1112)
168.63.129.16/32    cloud metadata (Azure WireServer)
"""

# IANA IPv6 Special-Purpose Address Registry and IPv6 Address Space (RFC 4291). What lies outside 2000::/3 is listed for
# the sake of its name alone.
_IPV6 = """
::/128              unspecified (RFC 4291)
::1/128             loopback (RFC 4291)
::ffff:0:0/96       IPv4-mapped (RFC 4291)
::ffff:0:0:0/96     IPv4-translated (RFC 2765)
::/96               IPv4-compatible (RFC 4291)
64:ff9b::/96        IPv4 by NAT64 (RFC 6052)
64:ff9b:1::/48      IPv4 by local NAT64 (RFC 8215)
100::/64            discard (RFC 6666)
2001::/32           IPv4 by Teredo (RFC 4380)
2001::/23           IETF protocol assignments (RFC 2928)
2001:db8::/32       documentation (RFC 3849)
2002::/16           IPv4 by 6to4 (RFC 3056)
2620:4f:8000::/48   AS112 (RFC 7534)
3fff::/20           documentation (RFC 9637)
5f00::/16           segment routing (RFC 9602)
fc00::/7            unique local (RFC 4193)
fe80::/10           link-local (RFC 4291)
fec0::/10           site-local (RFC 3879)
ff00::/8            multicast (RFC 4291)
"""
_GLOBAL_UNICAST = IPv6Network("2000::/3")  # IANA IPv6 Global Unicast Address Space
# RFC 5214, section 6.1: this in bits 64-95 of an address says that the last 32 are an IPv4 address, under any prefix.
# The prefixes that a site picks for its own NAT64 (RFC 6052, section 2.2) leave no such mark: nothing here can know them.
_ISATAP = (0x0000_5EFE, 0x0200_5EFE)


def refusal(address: Address, allowed: Sequence[Network] = ()) -> str | None:
    """Why we may not connect, as a short name, or None if we may.

    `allowed` are networks that the operator opened: an address in one passes whatever else it is. Only an address with a
    zone never passes: a zone names one of this machine's own links, and whoever answered for the name chose it.
    """
    if isinstance(address, IPv6Address) and address.scope_id is not None:
        return "scoped to a link (RFC 4007)"
    if any(address in network for network in allowed):
        return None
    if isinstance(address, IPv4Address):
        return _named(address, _SPECIAL_IPV4)
    return _named(address, _SPECIAL_IPV6) or _ipv6_by_rule(address)


def _ipv6_by_rule(address: IPv6Address) -> str | None:
    if address not in _GLOBAL_UNICAST:
        return "not global unicast (RFC 4291)"
    if (int(address) >> 32) & 0xFFFF_FFFF in _ISATAP:
        return "IPv4 by ISATAP (RFC 5214)"
    return None


def _named(address: Address, special: Sequence[tuple[Network, str]]) -> str | None:
    return next((name for network, name in special if address in network), None)


def _read(table: str) -> Iterator[tuple[Network, str]]:
    for line in table.strip().splitlines():
        network, name = line.split(maxsplit=1)
        yield ip_network(network), name


_SPECIAL_IPV4 = tuple(_read(_IPV4))
_SPECIAL_IPV6 = tuple(_read(_IPV6))
