"""A network that dials nothing: it writes down where it was told to go, and plays a canned answer from there."""

from __future__ import annotations

from collections.abc import Iterable

import httpcore2

from demure.connection import Resolve

# All that a test may dial, written out: the code under test is not asked what is public.
PUBLIC = {
    *("93.184.216.34", "1.1.1.1", "1.0.0.1", "8.8.8.8", "8.8.4.4", "9.9.9.9"),
    *("172.32.0.1", "168.63.129.15", "169.255.0.1"),
    *("2606:4700:4700::1111", "2a00:1450:4001:801::200e", "2003::1"),
}


class Recorder(httpcore2.AsyncNetworkBackend):
    """Writes down what it is asked to dial, and plays one canned answer after another from wherever that is."""

    def __init__(self, *answers: bytes, refuses: Iterable[str] = (), peer: str | None = None) -> None:
        self.dials: list[tuple[str, int]] = []
        self._answers, self._refuses, self._peer = list(answers), {*refuses}, peer

    async def connect_tcp(self, host: str, port: int, *_: object, **__: object) -> httpcore2.AsyncNetworkStream:
        self.dials.append((host, port))
        if host in self._refuses:
            raise httpcore2.ConnectError("refused")
        return Played([self._answers.pop(0)], (self._peer or host, port))

    @property
    def forbidden(self) -> list[str]:
        return [host for host, _ in self.dials if host not in PUBLIC]


class Played(httpcore2.AsyncMockStream):
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


def stub(answers: str, *, otherwise: str = "127.0.0.1") -> Resolve:
    return resolves_to(*([otherwise] if lookup == "-" else lookup.split(",") for lookup in answers.split("|")))
