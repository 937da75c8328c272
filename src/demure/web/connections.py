"""How long a connection may keep us waiting, and how many there may be. What is asked over it is not looked at here.

uvicorn waits for ever for a request's head, for the rest of a body that was refused, and for an answer to be taken. Here each
has its time. Where connections run out, the one that has been silent the longest makes room.
"""

from __future__ import annotations

import asyncio
import resource
from heapq import nlargest
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

_LOOKS = 8  # in the time that a connection is given: so much longer may it last
_MAX_LINGERING_BYTES = 64 * 1024 * 1024
# Descriptors beside the clients': fetches, decoders, the log, the database, and connections that are taken and not yet looked at.
_RESERVED_DESCRIPTORS = 512
_MOST_BACKLOG = 128


def open_files(wanted_connections: int) -> int:
    """The limit on open files, its soft bound raised to the hard one as far as so many connections need it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    enough = wanted_connections + _RESERVED_DESCRIPTORS
    if soft == resource.RLIM_INFINITY:
        return enough
    raised = enough if hard == resource.RLIM_INFINITY else min(enough, hard)
    if soft < raised:
        resource.setrlimit(resource.RLIMIT_NOFILE, (raised, hard))
    return max(soft, raised)


def max_connections(wanted: int, files: int) -> int:
    return min(wanted, files - min(_RESERVED_DESCRIPTORS, files * 3 // 4))


def backlog(files: int) -> int:
    """Connections that wait to be taken. asyncio takes as many in one go, some three times before it looks at the first."""
    return min(_MOST_BACKLOG, files // 16)


def impatient(connections: int, patience_s: float) -> type[Impatient]:
    """The class of a service's connections: uvicorn makes one for each client."""
    return type("Connection", (Impatient,), {"max_connections": connections, "patience_s": patience_s})


class Impatient(H11Protocol):
    """One connection. It has `patience_s` to send a request's head, to end a body that was refused, to take of an answer."""

    max_connections: int
    patience_s: float

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        lingering = _Lingering(transport, self)
        super().connection_made(lingering)  # type: ignore[arg-type]
        self._lingering = lingering
        self._silent_since = self._taken_at = self.loop.time()
        self._untaken = 0
        self._watch = self.loop.call_later(self.patience_s / _LOOKS, self._look)
        if len(self.connections) > self.max_connections:
            self._make_room()

    def connection_lost(self, exc: Exception | None) -> None:
        self._watch.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._lingering.closing:
            self._lingering.discard(len(data))
        else:
            super().data_received(data)

    @property
    def silent_s(self) -> float | None:
        """For how long it has owed us a request; None while we owe it an answer."""
        at_work = self.cycle is not None and not self.cycle.response_complete
        return None if at_work else self.loop.time() - self._silent_since

    def on_response_complete(self) -> None:
        self._silent_since = self.loop.time()
        super().on_response_complete()

    def _look(self) -> None:
        now, untaken = self.loop.time(), self.transport.get_write_buffer_size()
        if not untaken or untaken < self._untaken:
            self._taken_at = now
        self._untaken = untaken
        if max(now - self._taken_at, self.silent_s or 0.0) > self.patience_s:
            self.transport.abort()
        else:
            self._watch = self.loop.call_later(self.patience_s / _LOOKS, self._look)

    def _make_room(self) -> None:
        """Those that have been silent the longest go; where all others are at work it is this one, which has asked nothing."""
        # Those that were told to go a moment ago are still among them.
        here = [one for one in self.connections if isinstance(one, Impatient) and not one.transport.is_closing()]
        silent = [(one.silent_s, id(one), one) for one in here if one.silent_s is not None]
        several = max(1, self.max_connections // 50)  # so that a flood does not have all looked through for each
        for _, _, one in nlargest(several, silent):
            one.transport.abort()


class _Lingering:
    """A transport that closes in two steps while a body is still on its way (RFC 9112, 9.6).

    To close at once would reset the connection, and with it lose the answer that says why.
    """

    def __init__(self, inner: asyncio.Transport, connection: Impatient) -> None:
        self._inner = inner
        self._connection = connection
        self._discarded = 0
        self.closing = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def close(self) -> None:
        half_read = self._connection.conn.their_state is h11.SEND_BODY
        if self.closing or not half_read or self._inner.is_closing():
            self._inner.close()
            return
        self.closing = True
        self._inner.write_eof()
        self._inner.resume_reading()

    def is_closing(self) -> bool:
        return self.closing or self._inner.is_closing()

    def discard(self, size: int) -> None:
        self._discarded += size
        if self._discarded > _MAX_LINGERING_BYTES:
            self._inner.abort()
