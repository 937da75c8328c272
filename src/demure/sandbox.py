"""Runs decoders in long-lived child processes that can do little and are killed when they take too long.

A decoder that dies costs its own image an `undecodable` and nothing else. Knows nothing of formats: what a child does with
the bytes is demure.inputs.prepare, in a process started by exec (demure.decoder).
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from demure import decoder
from demure.decode import MIB, Media
from demure.errors import DemureError, Overloaded, Undecodable, by_code
from demure.formats import Format
from demure.inputs import Inputs, Recipe, Row
from demure.preprocess import Pixels, output_size

_ITEM_BYTES = {"uint8": 1, "float32": 4}
# Codecs and numerical libraries would start threads of their own; one child is one core's work.
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


@dataclass(frozen=True)
class SandboxLimits:
    """What a child may use. Decoding time is the recipe's own limit (DecodeLimits.timeout_s)."""

    memory_bytes: int = 1024 * MIB  # address space; three copies of 50 MP at four bytes, and the libraries
    images_per_child: int = 2_000  # then it is replaced, so that no leak in a codec grows
    start_timeout_s: float = 20.0


class Sandbox:
    """Up to `workers` children, started when first needed. Thread-safe; close it, or use it as a context manager."""

    def __init__(
        self, workers: int = 1, limits: SandboxLimits = SandboxLimits(), prepare: str = "demure.inputs:prepare"
    ) -> None:
        """`prepare` names what a child runs, as module:function; tests put decoders there that misbehave."""
        self.limits = limits
        self.restarts = 0  # children lost to a crash or to the clock
        self._prepare = prepare
        self._free = threading.Semaphore(workers)
        self._lock = threading.Lock()
        self._idle: list[_Child] = []

    def prepare(self, data: bytes, recipe: Recipe) -> Inputs:
        """Decode in a child; waits while all are busy.

        Raises what demure.inputs.prepare raises, Undecodable where the child died or took too long, and Overloaded where
        none could be started.
        """
        with self._free, self._borrowed() as child:
            return child.prepare(data, recipe)

    def close(self) -> None:
        """End the idle children. One that is at work ends when its answer is out."""
        with self._lock:
            idle, self._idle = self._idle, []
        for child in idle:
            child.end()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _tb: TracebackType | None
    ) -> None:
        self.close()

    @contextlib.contextmanager
    def _borrowed(self) -> Iterator[_Child]:
        child = self._take()
        try:
            yield child
        finally:
            if not child.alive:
                self._bury(child)
            elif child.served >= self.limits.images_per_child or child.retired:
                child.end()
            else:
                with self._lock:
                    self._idle.append(child)

    def _take(self) -> _Child:
        while True:
            with self._lock:
                child = self._idle.pop() if self._idle else None
            if child is None:
                return _Child(self._prepare, self.limits)
            if child.process.poll() is None:
                return child
            self._bury(child)  # it was killed while it waited: nobody's image is at fault

    def _bury(self, child: _Child) -> None:
        child.end()
        with self._lock:
            self.restarts += 1


class _Child:
    """One decoder process and the socket to it."""

    def __init__(self, prepare: str, limits: SandboxLimits) -> None:
        self.served = 0
        self.alive = True
        self.retired = False
        self.connection, theirs = socket.socketpair()
        with theirs:
            self.process = self._start(theirs, prepare, limits)
        self.connection.settimeout(limits.start_timeout_s)
        with self._fatal("a decoder did not start", Overloaded):
            if decoder.receive_header(self.connection) is None:
                raise ConnectionError("it ended at once")

    def _start(self, theirs: socket.socket, prepare: str, limits: SandboxLimits) -> subprocess.Popen[bytes]:
        path = os.pathsep.join(entry for entry in sys.path if entry)
        try:
            return subprocess.Popen(
                [sys.executable, "-P", "-m", decoder.__name__, prepare, str(limits.memory_bytes)],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,  # codecs complain there, in the sender's own words
                env={"PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1", **_ONE_THREAD},
                start_new_session=True,
            )
        except OSError as error:
            self.connection.close()
            raise Overloaded(f"no decoder could be started ({error.strerror})") from error

    def prepare(self, data: bytes, recipe: Recipe) -> Inputs:
        """Raises the child's own error, or Undecodable if it dies, hangs or answers nonsense; it is dead then."""
        timeout_s = recipe.limits.timeout_s
        deadline = time.monotonic() + timeout_s
        self.served += 1
        with self._fatal(f"the image broke its decoder, or took longer than {timeout_s:g} s (timeout_s)", Undecodable):
            self.connection.settimeout(timeout_s)
            decoder.send(self.connection, {"size": len(data), "recipe": decoder.recipe_to_wire(recipe)}, [data])
            self._set_deadline(deadline)
            header = decoder.receive_header(self.connection)
            if header is None:
                raise ConnectionError("it died")
            if "error" in header:
                self.retired = bool(header.get("retire"))
                error = _error_from_wire(header)
            else:
                return self._receive_inputs(header, recipe, deadline)
        raise error

    def _receive_inputs(self, header: dict[str, Any], recipe: Recipe, deadline: float) -> Inputs:
        media = _media_from_wire(header["media"])
        if not 1 <= len(header["rows"]) <= 2 * recipe.limits.max_sampled_frames:
            raise ValueError(f"{len(header['rows'])} rows")
        return Inputs(media, tuple(self._receive_row(row, recipe, deadline) for row in header["rows"]))

    def _receive_row(self, row: dict[str, Any], recipe: Recipe, deadline: float) -> Row:
        """What the child claims is checked against what it was asked for: it decides no size."""
        pixels = {}
        if row["pixels"].keys() != recipe.steps.keys():
            raise ValueError(f"pixels for {list(row['pixels'])}")
        for name, (width, height, dtype) in row["pixels"].items():
            if (width, height) != output_size(recipe.steps[name]):
                raise ValueError(f"{name}: {width} x {height}")
            self._set_deadline(deadline)
            data = decoder.receive_exactly(self.connection, width * height * 3 * _ITEM_BYTES[dtype])
            pixels[name] = Pixels(width, height, dtype, data)
        return Row(int(row["frame"]), pixels)

    def _set_deadline(self, deadline: float) -> None:
        remaining = deadline - time.monotonic()
        if remaining <= 0:
            raise TimeoutError
        self.connection.settimeout(remaining)

    @contextlib.contextmanager
    def _fatal(self, message: str, kind: type[DemureError]) -> Iterator[None]:
        """Whatever goes wrong between us and the child ends the child."""
        try:
            yield
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            self.alive = False
            self.end()
            raise kind(message) from error
        except BaseException:  # an interrupted exchange leaves half a message behind
            self.alive = False
            raise

    def end(self) -> None:
        """SIGKILL: there is nothing in it to save."""
        self.connection.close()
        self.process.kill()
        self.process.wait()


def _error_from_wire(header: dict[str, Any]) -> DemureError:
    return by_code()[header["error"]](str(header["message"])[:1000])


def _media_from_wire(wire: dict[str, Any]) -> Media:
    numbers = [wire[key] for key in ("width", "height", "frames", "sampled")]
    if not all(type(number) is int and number > 0 for number in numbers):
        raise ValueError(f"media {wire}")
    return Media(Format(wire["type"]), *numbers)
