"""Runs decoders in long-lived child processes that can do little and are killed when they take too long.

A decoder that dies costs its own image an `undecodable` and nothing else. Knows nothing of formats: what a child does with
the bytes is demure.inputs.prepare, in a process started by exec (demure.sandbox_child).
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from demure import sandbox_child
from demure.decode import MIB, MOST_PICTURES, DecodeLimits, Media
from demure.decoding.formats import Format
from demure.errors import DemureError, ImageError, InvalidSetting, Overloaded, SourceError, Undecodable, by_code
from demure.inputs import Inputs, Recipe, Row
from demure.preprocess import Fidelity, Pixels, can_make, output_dtype

_MAX_TRIES = 3
_ITEM_BYTES = {"uint8": 1, "float32": 4}
# Codecs and numerical libraries would start threads of their own; one child is one core's work.
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
# A child gives large blocks back and asks for them anew, image after image: 4 KiB at a time that took as long as decoding.
_LARGE_PAGES = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}


@dataclass(frozen=True)
class SandboxLimits:
    """What a child may use. Decoding time is the recipe's own limit (DecodeLimits.timeout_s)."""

    memory_bytes: int = 1024 * MIB  # address space; three copies of 50 MP at four bytes, and the libraries
    images_per_child: int = 2_000  # then it is replaced, so that no leak in a codec grows
    start_timeout_s: float = 20.0


class Sandbox:
    """Up to `workers` children, started when first needed. Thread-safe; close it, or use it as a context manager."""

    def __init__(
        self,
        workers: int = 1,
        limits: SandboxLimits = SandboxLimits(),
        prepare: str = "demure.inputs:prepare",
        on_restart: Callable[[], None] = lambda: None,
    ) -> None:
        """`prepare` names what a child runs, as module:function; tests put decoders there that misbehave.

        Raises InvalidSetting if there is no Python to run it by.
        """
        self._python = find_python(sys.executable, sys.prefix)
        self.limits = limits
        self._workers = workers
        self._on_restart = on_restart
        self.restarts = 0  # children lost to a crash or to the clock
        self._prepare = prepare
        self._free = threading.Semaphore(workers)
        self._lock = threading.Lock()
        self._idle: list[_Child] = []
        self._at_work = 0
        self._closed = False

    def prepare(self, data: bytes, recipe: Recipe) -> Inputs:
        """Decode in a child; waits while all are busy.

        Raises what demure.inputs.prepare raises, Undecodable where the child died or took too long, and Overloaded where
        none could be started.
        """
        with self._free:
            for _ in range(_MAX_TRIES):
                with contextlib.suppress(_DiedBefore), self._borrowed(recipe.fidelity) as child:
                    return child.prepare(data, recipe)
        raise Overloaded("decoders are killed before they see an image; the system may be short of memory")

    def start(self) -> None:
        """Start all children now rather than with the first images. Raises Overloaded."""
        for _ in range(self._workers):
            child = _Child(self._python, self._prepare, self.limits, Fidelity.FAST)
            with self._lock:
                self._idle.append(child)

    @property
    def ready(self) -> bool:
        """Whether a child is waiting or all are at work."""
        with self._lock:
            idle = list(self._idle)
        return any(child.process.poll() is None for child in idle) or self._at_work == self._workers

    def close(self) -> None:
        """End the idle children. One that is at work ends when its answer is out."""
        with self._lock:
            self._closed = True
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
    def _borrowed(self, fidelity: Fidelity) -> Iterator[_Child]:
        with self._lock:
            self._at_work += 1
        try:
            child = self._take(fidelity)
        except BaseException:
            self._done()
            raise
        try:
            yield child
        finally:
            self._done()
            self._put_back(child)

    def _put_back(self, child: _Child) -> None:
        if not child.alive:
            self._bury(child)
            return
        spent = child.served >= self.limits.images_per_child or child.retired
        with self._lock:
            if not spent and not self._closed:
                self._idle.append(child)
                return
        child.end()

    def _done(self) -> None:
        with self._lock:
            self._at_work -= 1

    def _take(self, fidelity: Fidelity) -> _Child:
        while True:
            with self._lock:
                child = self._idle.pop() if self._idle else None
            if child is None:
                return _Child(self._python, self._prepare, self.limits, fidelity)
            if child.process.poll() is not None:
                self._bury(child)  # it was killed while it waited: nobody's image is at fault
            elif child.fidelity is not fidelity:  # both in one pool are rare
                child.end()
            else:
                return child

    def _bury(self, child: _Child) -> None:
        child.end()
        with self._lock:
            self.restarts += 1
        self._on_restart()


class _DiedBefore(Exception):
    """The child was gone before it had taken the image in: killed from outside, and the image is not at fault."""


class _Child:
    """One decoder process and the socket to it. It follows recipes of one fidelity: what it may import is settled."""

    def __init__(self, python: str, prepare: str, limits: SandboxLimits, fidelity: Fidelity) -> None:
        """Raises Overloaded if it cannot be started: no memory, no file descriptors."""
        self.fidelity = fidelity
        self.served = 0
        self.alive = True
        self.retired = False
        try:
            self.connection, theirs = socket.socketpair()
            with theirs:
                self.process = _start(theirs, python, prepare, limits, fidelity)
        except OSError as error:
            raise Overloaded(f"no decoder could be started ({error.strerror})") from error
        with self._fatal("a decoder did not start", Overloaded):
            end = time.monotonic() + limits.start_timeout_s
            if sandbox_child.receive_header(self.connection, end) is None:
                raise ConnectionError("it ended at once")

    def prepare(self, data: bytes, recipe: Recipe) -> Inputs:
        """Raises the child's own error, or Undecodable if it dies, hangs or answers nonsense; it is dead then.

        Raises _DiedBefore if it was dead already.
        """
        timeout_s = recipe.limits.timeout_s
        end = time.monotonic() + timeout_s
        self.served += 1
        with self._fatal(
            "the image broke its decoder", Undecodable, f"decoding took longer than {timeout_s:g} s (timeout_s)"
        ):
            self.connection.settimeout(timeout_s)
            answer = self._ask({"size": len(data), "recipe": sandbox_child.format_recipe(recipe)}, data, end)
            if "error" not in answer:
                return self._receive_inputs(answer, recipe, end)
            self.retired = bool(answer.get("retire"))
            error = _error_from_wire(answer)
        raise error

    def _ask(self, header: dict[str, Any], data: bytes, end: float) -> dict[str, Any]:
        """It reads all before it looks at any, and one that dies sooner leaves bytes behind in the socket's buffer.

        Linux tells the two deaths apart: bytes left behind are a connection reset, none an end of file.
        """
        try:
            sandbox_child.send(self.connection, header, [data])
            answer = sandbox_child.receive_header(self.connection, end)
        except (BrokenPipeError, ConnectionResetError) as error:
            raise _DiedBefore from error
        if answer is None:
            raise ConnectionError("it died")
        return answer

    def _receive_inputs(self, header: dict[str, Any], recipe: Recipe, end: float) -> Inputs:
        media = _media_from_wire(header["media"], recipe.limits)
        _check_frames([row["frame"] for row in header["rows"]], media, recipe.limits)
        rows = (self._receive_row(row, number, recipe, end) for number, row in enumerate(header["rows"]))
        return Inputs(media, tuple(rows))

    def _receive_row(self, row: dict[str, Any], number: int, recipe: Recipe, end: float) -> Row:
        """What the child claims is checked against what it was asked for: it sends no more than that."""
        asked = recipe.steps_for(number)
        if row["pixels"].keys() != asked.keys():
            raise ValueError(f"pixels for {list(row['pixels'])}")
        pixels = {}
        for name, (width, height, bands, dtype) in row["pixels"].items():
            size = (width, height, bands)
            if not all(type(n) is int for n in size) or not can_make(asked[name], *size):
                raise ValueError(f"{name}: {width} x {height} x {bands}")
            # Floats, where none were asked for, could be no numbers at all.
            if dtype != output_dtype(asked[name], recipe.fidelity):
                raise ValueError(f"{name}: {dtype}")
            data = sandbox_child.receive_exactly(self.connection, width * height * bands * _ITEM_BYTES[dtype], end)
            pixels[name] = Pixels(width, height, dtype, data, bands)
        return Row(row["frame"], pixels)

    @contextlib.contextmanager
    def _fatal(self, message: str, kind: type[DemureError], too_late: str | None = None) -> Iterator[None]:
        """Whatever goes wrong between us and the child ends the child: it may be somebody else's by now."""
        try:
            yield
        except Exception as error:
            self.alive = False
            self.end()
            if isinstance(error, _DiedBefore):
                raise
            raise kind(too_late if too_late and isinstance(error, TimeoutError) else message) from error
        except BaseException:  # an interrupted exchange leaves half a message behind
            self.alive = False
            self.end()
            raise

    def end(self) -> None:
        """SIGKILL to all that it may have started: there is nothing in it to save."""
        self.connection.close()
        if self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


def find_python(executable: str | None, prefix: str) -> str:
    """`executable` (sys.executable), or where that is a program with a Python inside, such as uWSGI, the one under `prefix`.

    Raises InvalidSetting where there is none.
    """
    if executable and Path(executable).name.lower().startswith("python"):
        return executable
    of_this_version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for name in (of_this_version, "python3"):
        path = Path(prefix, "bin", name)
        if os.access(path, os.X_OK):
            return str(path)
    raise InvalidSetting(
        f"sys.executable is {executable!r}, which is no Python, and {prefix}/bin has none: decoders cannot be started; "
        "set sys.executable to the path of Python (uWSGI: py-executable)"
    )


def _start(
    theirs: socket.socket, python: str, prepare: str, limits: SandboxLimits, fidelity: Fidelity
) -> subprocess.Popen[bytes]:
    path = os.pathsep.join(entry for entry in sys.path if entry)
    return subprocess.Popen(
        [python, "-P", "-m", sandbox_child.__name__, prepare, str(limits.memory_bytes), fidelity],
        stdin=theirs.fileno(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,  # codecs complain there, in the sender's own words
        env={"PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1", **_ONE_THREAD, **_LARGE_PAGES},
        process_group=0,  # not a session: Linux may share a processor out by sessions, and each decoder would count as us all
    )


def _error_from_wire(header: dict[str, Any]) -> DemureError:
    """Only what an image can be guilty of: a child that was taken over must not blame the operator's files."""
    kind = by_code()[header["error"]]
    if not issubclass(kind, ImageError | SourceError):
        raise ValueError(f"error {header['error']}")
    message = str(header["message"])[:1000]
    message.encode()  # half of a surrogate pair is a ValueError here, and would be one in the answer that it is put into
    return kind(message)


def _media_from_wire(wire: dict[str, Any], limits: DecodeLimits) -> Media:
    width, height, frames, sampled = numbers = [wire[key] for key in ("width", "height", "frames", "sampled")]
    if (
        not all(type(number) is int and number > 0 for number in numbers)
        or width * height > limits.max_pixels
        or frames > limits.max_frames
        or sampled > min(frames, limits.max_sampled_frames)
    ):
        raise ValueError(f"media {wire}")
    return Media(Format(wire["type"]), *numbers)


def _check_frames(frames: list[Any], media: Media, limits: DecodeLimits) -> None:
    """The frame of each row: as many frames as it says were sampled, and no more rows than a decoder may make of them."""
    if not all(type(frame) is int and 0 <= frame < media.frames for frame in frames):
        raise ValueError(f"frames {frames}")
    rows = Counter(frames)
    # The last frame is begun with one picture left at least.
    most = limits.most_pictures - 1 + MOST_PICTURES
    if len(rows) != media.sampled or max(rows.values()) > MOST_PICTURES or len(frames) > most:
        raise ValueError(f"{len(frames)} rows of {len(rows)} frames")
