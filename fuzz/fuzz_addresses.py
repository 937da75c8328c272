"""No address that the standard library calls private, or that carries such a one within it, passes."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, ip_address, ip_network
from random import Random

import atheris
from harness import TESTS, check, fuzz

with atheris.instrument_imports(include=["demure"]):
    from demure.addresses import Address, refusal

_SPECIAL = ("is_private", "is_loopback", "is_link_local", "is_multicast", "is_reserved", "is_unspecified")


def target(data: bytes) -> None:
    """4 or 16 bytes are an address, with 5 or 17 followed by the prefix length of an opened network; the rest is text."""
    match len(data):
        case 4 | 16:
            look_at(ip_address(data))
        case 5 | 17:
            look_at_opened(ip_address(data[:-1]), data[-1])
        case _:
            try:
                look_at(ip_address(data.decode("latin-1")))
            except ValueError:
                return


def look_at(address: Address) -> None:
    why = refusal(address)
    check(why is None or why, why)
    for inner in within(address):
        special = [name for name in _SPECIAL if getattr(inner, name)]
        check(why or not special, address, inner, special)
    if getattr(address, "scope_id", None) is not None:
        check(refusal(address, [ip_network("::/0")]), address)


def look_at_opened(address: Address, prefix: int) -> None:
    """A network that was opened lets in what lies in it, and changes nothing for what does not."""
    bits = address.max_prefixlen
    opened = ip_network((address, prefix % (bits + 1)), strict=False)
    check(refusal(address, [opened]) is None, address, opened)
    for number in (int(opened.network_address) - 1, int(opened.broadcast_address) + 1, int(address) ^ 1 << (bits - 1)):
        if 0 <= number < 1 << bits:
            other = type(address)(number)
            check(other in opened or refusal(other, [opened]) == refusal(other), other, opened)


def within(address: Address) -> Iterator[Address]:
    """The address, and every IPv4 address that some machine could read out of it."""
    yield address
    if isinstance(address, IPv4Address):
        return
    if address.ipv4_mapped:
        yield address.ipv4_mapped
    if address.sixtofour:
        yield address.sixtofour
    if address.teredo:
        yield from address.teredo
    number = int(address)
    compatible, translated, nat64, local_nat64 = 0, 0xFFFF_0000, 0x64FF9B << 64, 0x64FF9B0001
    is_isatap = number >> 32 & 0xFDFF_FFFF == 0x5EFE
    if is_isatap or number >> 32 in (compatible, translated, nat64) or number >> 80 == local_nat64:
        yield IPv4Address(number & 0xFFFF_FFFF)


def mutate(data: bytes, max_size: int, seed: int) -> bytes:
    """Half of the time, a step away from an address at the edge of a block: few of all addresses are of interest."""
    dice = Random(seed)
    if dice.random() < 0.5:
        return atheris.Mutate(data, max_size)
    edge = dice.choice(EDGES)
    step = dice.choice([-1, 1]) * dice.getrandbits(dice.randrange(edge.max_prefixlen))
    number = (int(edge) + step) % (1 << edge.max_prefixlen)
    opened = bytes([dice.randrange(256)]) if dice.random() < 0.3 else b""
    return type(edge)(number).packed + opened


def edges() -> list[Address]:
    """First and last of every block that has an owner, and an address within each kind that carries another."""
    rows = [line.split("\t") for line in (TESTS / "data" / "addresses.tsv").read_text().splitlines()]
    embedded = "64:ff9b::7f00:1 2002:7f00:1:: ::ffff:10.0.0.1 2a00:1450:4001:801:0:5efe:7f00:1 2001:0:7f00:1::".split()
    return [address for row in [*rows, embedded] for field in row for address in read(field)]


def seeds() -> list[bytes]:
    zones = [b"fe80::1%eth0", b"2a00::1%1", b"::1%", b"1.2.3.4"]
    return [*(a.packed for a in EDGES), *(a.packed + b"\x18" for a in EDGES), *zones]


def read(text: str) -> list[Address]:
    try:
        return [ip_address(text)]
    except ValueError:
        return []


EDGES = edges()

if __name__ == "__main__":
    fuzz(target, seeds(), mutate, max_bytes=64)
