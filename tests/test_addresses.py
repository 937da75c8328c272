"""May we connect to this IP? Every special block at both its ends and both its neighbours, and what the registries that the
standard library knows say besides."""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tables import rows

from demure.addresses import Address, refusal

ROWS = rows("addresses.tsv")
REFUSED = [
    pytest.param(row[column], id=f"{row[0]}, {end}") for row in ROWS for column, end in ((1, "first"), (2, "last"))
]
NEIGHBOURS = [
    pytest.param(row[column], id=f"{side} {row[0]}")
    for row in ROWS
    for column, side in ((3, "below"), (4, "above"))
    if row[column] != "-"
]


def test_the_table_of_blocks_does_not_shrink():
    assert len(ROWS) >= 55
    assert len({row[0] for row in ROWS}) == len(ROWS)


@pytest.mark.parametrize("text", REFUSED)
def test_both_ends_of_a_special_block_are_refused(text: str):
    assert refusal(ip_address(text))


@pytest.mark.parametrize("text", NEIGHBOURS)
def test_the_neighbours_of_a_special_block_are_not(text: str):
    assert refusal(ip_address(text)) is None


@pytest.mark.parametrize(
    "text",
    [
        "1.1.1.1",
        "8.8.8.8",
        "93.184.216.34",
        "151.101.1.69",
        "2001:4860:4860::8888",
        "2606:4700:4700::1111",
        "2a00:1450:4001:801::200e",
    ],
)
def test_hosts_that_serve_the_world_pass(text: str):
    assert refusal(ip_address(text)) is None


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("127.0.0.1", "loopback (RFC 1122)"),
        ("10.0.0.1", "private (RFC 1918)"),
        ("100.100.100.200", "carrier-grade NAT (RFC 6598)"),
        ("168.63.129.16", "cloud metadata (Azure WireServer)"),
        ("255.255.255.255", "broadcast (RFC 919)"),
        ("64:ff9b::10.0.0.1", "IPv4 by NAT64 (RFC 6052)"),
        ("2001:0:4136:e378:8000:63bf:3fff:fdd2", "IPv4 by Teredo (RFC 4380)"),
        ("2001:10::1", "IETF protocol assignments (RFC 2928)"),
        ("2a00:1450:4001:801:0:5efe:7f00:1", "IPv4 by ISATAP (RFC 5214)"),
        ("4000::1", "not global unicast (RFC 4291)"),
        ("fe80::1%2", "scoped to a link (RFC 4007)"),
    ],
)
def test_a_refusal_has_a_name(text: str, name: str):
    assert refusal(ip_address(text)) == name


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("169.254.169.254", id="AWS, Google, Azure, Oracle and most others"),
        pytest.param("169.254.170.2", id="AWS, for containers"),
        pytest.param("169.254.170.23", id="AWS, for EKS pods"),
        pytest.param("fd00:ec2::254", id="AWS over IPv6"),
        pytest.param("fd00:ec2::23", id="AWS, for EKS pods over IPv6"),
        pytest.param("fd20:ce::254", id="Google over IPv6"),
        pytest.param("168.63.129.16", id="Azure WireServer"),
        pytest.param("100.100.100.200", id="Alibaba"),
        pytest.param("192.0.0.192", id="Oracle, the old one"),
        pytest.param("fd00:c1::a9fe:a9fe", id="Oracle over IPv6"),
        pytest.param("169.254.0.23", id="Tencent"),
        pytest.param("169.254.42.42", id="Scaleway"),
        pytest.param("fd00:42::42", id="Scaleway over IPv6"),
        pytest.param("fe80::a9fe:a9fe", id="OpenStack over IPv6"),
    ],
)
def test_the_metadata_servers_of_the_clouds_are_refused(text: str):
    assert refusal(ip_address(text))


@pytest.mark.parametrize(
    ("text", "network", "passes"),
    [
        ("10.1.0.0", "10.1.0.0/16", True),
        ("10.1.255.255", "10.1.0.0/16", True),
        ("10.0.255.255", "10.1.0.0/16", False),
        ("10.2.0.0", "10.1.0.0/16", False),
        ("168.63.129.16", "168.63.129.16/32", True),
        ("fd12::1", "fd12::/64", True),
        ("fd12:0:0:1::", "fd12::/64", False),
        ("::ffff:10.1.0.0", "10.1.0.0/16", False),
        ("fe80::1%2", "::/0", False),
    ],
)
def test_a_network_that_the_operator_opened_passes_and_nothing_beside_it(text: str, network: str, passes: bool):
    assert (refusal(ip_address(text), [ip_network("192.168.7.0/24"), ip_network(network)]) is None) is passes


@given(st.ip_addresses())
def test_what_the_standard_library_calls_special_never_passes(address: Address):
    """Ours refuses more: its table is the newer one, on any Python."""
    if not address.is_global or address.is_multicast or address.is_reserved:
        assert refusal(address)


@given(st.integers(0, 2**32 - 1))
def test_an_ipv4_address_inside_an_ipv6_address_never_passes(value: int):
    embedded = [
        value,
        0xFFFF << 32 | value,
        0xFFFF << 48 | value,
        0x0064FF9B << 96 | value,
        0x2002 << 112 | value << 80,
        0x20010000 << 96 | value,
        0x2A00 << 112 | 0x5EFE << 32 | value,
    ]
    assert all(refusal(IPv6Address(number)) for number in embedded)
