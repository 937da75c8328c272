"""How long a connection may keep us waiting, and how many there may be. What is asked over it is not looked at here.

uvicorn waits for ever for a request's head, for the rest of a body that was refused, and for an answer to be taken. Here each
has its time. Where connections run out, the one that has kept us waiting the longest makes room: by silence, or by sending a
body or taking an answer more slowly than at a fair rate (as Apache's mod_reqtimeout has it: a byte an hour is no use).
"""

from __future__ import annotations

import asyncio
import resource
from heapq import nlargest
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

# Some 64 kbit/s: of a slower line no upload of 240 kB comes to its end within a request's 30 s. Who sends faster is ahead, and
# may pause for as long as it is.
_FAIR_BYTES_PER_S = 8 * 1024
_GRACE_S = 1.0  # for a line's delay, and for ours
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
    """One connection. It has `patience_s` to send a request's head, to end a body that was refused, and may be as late in taking
    an answer. How late a body may be is the application's to say (body.py); here it makes room for others.
    """

    max_connections: int
    patience_s: float

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        lingering = _Lingering(transport, self)
        super().connection_made(lingering)  # type: ignore[arg-type]
        self._lingering = lingering
        self._silent_since = self._taken_until = self._body_until = self.loop.time()
        self._taken = 0
        self.is_told_to_go = False
        self._watch = self.loop.call_later(self.patience_s / _LOOKS, self._look)
        if len(self.connections) > self.max_connections:
            self._make_room()

    def connection_lost(self, exc: Exception | None) -> None:
        self._watch.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._body_until += len(data) / _FAIR_BYTES_PER_S
        if self._lingering.closing:
            self._lingering.discard(len(data))
        else:
            super().data_received(data)

    def handle_events(self) -> None:
        before = self.cycle
        super().handle_events()
        if self.cycle is not before:
            self._body_until = self.loop.time()

    def on_response_complete(self) -> None:
        self._silent_since = self.loop.time()
        super().on_response_complete()

    @property
    def kept_waiting_s(self) -> float | None:
        """For how long it has owed us something: of an answer to be taken, a request, or its body. None while it owes nothing,
        or is no later than a second.
        """
        late_s = self._taking_late_s()
        if not late_s:
            if not self._at_work:
                return self.loop.time() - self._silent_since
            if self.conn.their_state is h11.SEND_BODY:
                late_s = self.loop.time() - self._body_until
        return late_s - _GRACE_S if late_s > _GRACE_S else None

    @property
    def _at_work(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _taking_late_s(self) -> float:
        """How far behind a fair rate it is in taking what was written; 0 where all is taken, as far as the system says."""
        now, untaken = self.loop.time(), self.transport.get_write_buffer_size()
        taken = self._lingering.written - untaken
        # Nothing is saved up: the system takes a good deal of an answer at once, whoever reads it.
        caught_up = self._taken_until + (taken - self._taken) / _FAIR_BYTES_PER_S
        self._taken, self._taken_until = taken, min(now, caught_up) if untaken else now
        if untaken:
            self._silent_since = now  # it cannot ask before it has its answer
        return now - self._taken_until

    def _look(self) -> None:
        late_s = self._taking_late_s()
        silent_s = 0.0 if self._at_work else self.loop.time() - self._silent_since
        if max(late_s, silent_s) > self.patience_s:
            self.transport.abort()
        else:
            self._watch = self.loop.call_later(self.patience_s / _LOOKS, self._look)

    def _make_room(self) -> None:
        """Those that have kept us waiting the longest go; where none has, it is this one, which has asked nothing."""
        # Those that were told to go a moment ago are still among them.
        here = [one for one in self.connections if isinstance(one, Impatient) and not one.is_told_to_go]
        late = [
            (late_s, id(one), one) for one in here if one is not self and (late_s := one.kept_waiting_s) is not None
        ]
        several = max(1, self.max_connections // 50)  # so that a flood does not have all looked through for each
        for one in [one for _, _, one in nlargest(several, late)] or [self]:
            one.is_told_to_go = True
            one.transport.abort()


class _Lingering:
    """A transport that closes in two steps while a body is still on its way (RFC 9112, 9.6).

    To close at once would reset the connection, and with it lose the answer that says why.
    """

    def __init__(self, inner: asyncio.Transport, connection: Impatient) -> None:
        self._inner = inner
        self._connection = connection
        self._discarded = 0
        self.written = 0
        self.closing = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def write(self, data: bytes) -> None:
        self.written += len(data)
        self._inner.write(data)

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
