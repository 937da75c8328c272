"""The program inside the sandbox: reads images from its standard input, a socket, and answers with small pictures.

Run by demure.sandbox as `python -m demure.sandbox_child`. It limits itself before the first untrusted byte arrives. Messages are
a length, a JSON header and a body of plain bytes: the parent must be able to read the answer of a child that was taken over,
so nothing is pickled.
"""

from __future__ import annotations

import importlib
import json
import math
import resource
import signal
import socket
import struct
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import lru_cache
from typing import Any

import PIL.Image
from PIL import AvifImagePlugin

from demure.allocator import give_back_large_blocks
from demure.confinement import confine
from demure.decode import DecodeLimits
from demure.errors import DemureError, Undecodable
from demure.inputs import Inputs, Recipe
from demure.preprocess import Crop, Fidelity, Fit, Jpeg, Luma, PixelStep, Resize

MAX_HEADER_BYTES = 256 * 1024
_LENGTH = struct.Struct("!I")
# What Pillow and we import for the first file that asks for it: a decoder that is confined can open no module.
_LATE = (
    "pi_heif",
    "copy",
    *(f"PIL.{name}" for name in ("ImageCms", "ImageColor", "ImageFilter", "ImagePalette", "TiffTags")),
)
_LARGE_BYTES = 8 * 1024 * 1024  # 2 MP at four bytes: smaller ones keep their pages, and their speed
_STEP_KINDS: dict[str, type[PixelStep]] = {kind.__name__: kind for kind in (Resize, Crop, Jpeg, Fit, Luma)}

Prepare = Callable[[bytes, Recipe], Inputs]


def main(prepare_name: str, memory_bytes: int, fidelity: Fidelity) -> None:
    """Serve until the parent hangs up. Recipes of the other fidelity cannot be followed."""
    # A supervisor's SIGTERM goes to every process of the service; the parent decides when a decoder stops.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    warnings.simplefilter("ignore")
    AvifImagePlugin.DEFAULT_MAX_THREADS = 1  # children are one a core already
    give_back_large_blocks(_LARGE_BYTES)
    prepare = load(prepare_name)
    load_what_is_loaded_late(fidelity)
    confine(memory_bytes)
    with socket.socket(fileno=0) as connection:
        send(connection, {"ready": True})
        while (request := receive_header(connection)) is not None:
            data = bytes(receive_exactly(connection, request["size"]))
            answer(connection, data, parse_recipe(request["recipe"]), prepare)


def load(name: str) -> Prepare:
    """The function that `module:function` names."""
    module, _, function = name.partition(":")
    found: Prepare = getattr(importlib.import_module(module), function)
    return found


def load_what_is_loaded_late(fidelity: Fidelity) -> None:
    PIL.Image.preinit()  # the writers, for the step that is a JPEG round trip
    for name in _LATE:
        importlib.import_module(name)
    if fidelity is Fidelity.REFERENCE:
        importlib.import_module("numpy")


def limit_processor_time(seconds: float) -> None:
    """From now on. The parent's clock is stricter; this one also ends a decoder whose parent is gone."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    soft = math.ceil(used.ru_utime + used.ru_stime + seconds) + 1
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    resource.setrlimit(resource.RLIMIT_CPU, (soft if hard == resource.RLIM_INFINITY else min(soft, hard), hard))


def answer(connection: socket.socket, data: bytes, recipe: Recipe, prepare: Prepare) -> None:
    limit_processor_time(recipe.limits.timeout_s)
    try:
        inputs = prepare(data, recipe)
    except DemureError as error:
        # After a failed allocation the heap is in pieces: better a new process than a slow one.
        retire = isinstance(error.__cause__, MemoryError)
        send(connection, {"error": error.code, "message": error.message, "retire": retire})
    except MemoryError:
        message = "the image needs more memory than a decoder is given"
        send(connection, {"error": Undecodable.code, "message": message, "retire": True})
    else:
        header, body = inputs_to_wire(inputs)
        send(connection, header, body)


# --- The wire ---------------------------------------------------------------------------------------------------------


def send(connection: socket.socket, header: dict[str, Any], body: Sequence[bytes | bytearray] = ()) -> None:
    encoded = json.dumps(header).encode()
    connection.sendall(_LENGTH.pack(len(encoded)) + encoded)
    for part in body:
        connection.sendall(part)


def receive_header(connection: socket.socket, end: float = math.inf) -> dict[str, Any] | None:
    """The next message's header, or None when the other side has hung up. Raises ValueError for nonsense."""
    _wait_until(connection, end)
    first = connection.recv(1)
    if not first:
        return None
    (length,) = _LENGTH.unpack(first + receive_exactly(connection, _LENGTH.size - 1, end))
    if length > MAX_HEADER_BYTES:
        raise ValueError(f"a header of {length} bytes")
    header = json.loads(bytes(receive_exactly(connection, length, end)))
    if not isinstance(header, dict):
        raise ValueError("a header that is no object")
    return header


def receive_exactly(connection: socket.socket, size: int, end: float = math.inf) -> bytearray:
    """Raises ConnectionError if the other side hangs up before `size` bytes came, TimeoutError at `end` (monotonic)."""
    buffer = bytearray(size)
    view = memoryview(buffer)
    while view:
        _wait_until(connection, end)  # anew for each piece: a byte now and then must not hold us for ever
        received = connection.recv_into(view)
        if not received:
            raise ConnectionError("hung up in the middle of a message")
        view = view[received:]
    return buffer


def _wait_until(connection: socket.socket, end: float) -> None:
    if end == math.inf:
        return
    remaining = end - time.monotonic()
    if remaining <= 0:
        raise TimeoutError
    connection.settimeout(remaining)


@lru_cache(maxsize=16)
def format_recipe(recipe: Recipe) -> str:
    """JSON. A service has one recipe a policy, and writes it once rather than with every image."""
    steps = {name: [[type(s).__name__, asdict(s)] for s in steps] for name, steps in recipe.steps.items()}
    return json.dumps(
        {"steps": steps, "fidelity": recipe.fidelity, "limits": asdict(recipe.limits), "only": dict(recipe.only)}
    )


@lru_cache(maxsize=16)
def parse_recipe(text: str) -> Recipe:
    wire = json.loads(text)
    steps = {
        name: tuple(_STEP_KINDS[kind](**fields) for kind, fields in steps) for name, steps in wire["steps"].items()
    }
    return Recipe(steps, Fidelity(wire["fidelity"]), DecodeLimits(**wire["limits"]), wire["only"])


def inputs_to_wire(inputs: Inputs) -> tuple[dict[str, Any], list[bytes | bytearray]]:
    rows, body = [], []
    for row in inputs.rows:
        pixels = {name: [p.width, p.height, p.bands, p.dtype] for name, p in row.pixels.items()}
        rows.append({"frame": row.frame, "pixels": pixels})
        body += [p.data for p in row.pixels.values()]
    return {"media": asdict(inputs.media), "rows": rows}, body


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), Fidelity(sys.argv[3]))
