"""Decoders that misbehave, for the sandbox to run: each is named to it as decoders:<function>."""

from __future__ import annotations

import ctypes
import errno
import json
import os
import resource
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path

from demure import inputs, sandbox_child
from demure.decode import MOST_PICTURES, Media
from demure.errors import TooManyFrames
from demure.inputs import Inputs, Recipe, Row
from demure.preprocess import Pixels


def loop(data: bytes, recipe: Recipe) -> Inputs:
    while True:
        pass


def sleep(data: bytes, recipe: Recipe) -> Inputs:
    time.sleep(600)
    raise AssertionError


def allocate(data: bytes, recipe: Recipe) -> Inputs:
    hoard = []
    while True:
        hoard.append(bytearray(16 * 1024 * 1024))


def crash(data: bytes, recipe: Recipe) -> Inputs:
    ctypes.string_at(0)
    raise AssertionError


def leave(data: bytes, recipe: Recipe) -> Inputs:
    os._exit(3)


def refuse(data: bytes, recipe: Recipe) -> Inputs:
    raise TooManyFrames("9 frames; the limit is 8")


def fail(data: bytes, recipe: Recipe) -> Inputs:
    raise RuntimeError("a mistake of ours")


def fail_on_demand(data: bytes, recipe: Recipe) -> Inputs:
    """Does what the bytes say, so that one pool meets good and bad images."""
    behaviours = {b"loop": loop, b"crash": crash, b"allocate": allocate}
    return behaviours.get(data, inputs.prepare)(data, recipe)


def _read_memory(pid: int) -> None:
    """process_vm_readv(2) of one byte at the start of its program: no descriptor is asked for it."""

    class Piece(ctypes.Structure):
        _fields_ = (("start", ctypes.c_void_p), ("length", ctypes.c_size_t))

    buffer = ctypes.create_string_buffer(1)
    here, there = Piece(ctypes.addressof(buffer), 1), Piece(id(None), 1)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.process_vm_readv(pid, ctypes.byref(here), 1, ctypes.byref(there), 1, 0) != 1:
        number = ctypes.get_errno()
        if number != errno.EFAULT:  # the permission is looked at first: the address may be wrong
            raise OSError(number, os.strerror(number))


def _connect(kind: socket.SocketKind) -> None:
    with socket.socket(socket.AF_INET, kind) as connection:
        connection.connect(("127.0.0.1", 9))


# What a decoder that was taken over would try. Each takes a path that may be written, and raises OSError if it cannot.
ATTEMPTS: dict[str, Callable[[str], object]] = {
    "read a file": lambda _: Path("/etc/passwd").read_bytes(),
    "write a file": lambda path: Path(path).write_bytes(b"x"),
    "delete a file": lambda path: Path(path).unlink(),
    "rename a file": lambda path: Path(path).rename(path + ".new"),
    "list a folder": lambda _: os.listdir("/"),  # noqa: PTH208
    "learn that a file is executable, by running it": lambda _: os.posix_spawn("/bin/true", ["true"], {}),
    "make a TCP socket": lambda _: socket.socket(socket.AF_INET, socket.SOCK_STREAM).close(),
    "send a UDP packet": lambda _: _connect(socket.SOCK_DGRAM),
    "make a Unix socket": lambda _: socket.socket(socket.AF_UNIX).close(),
    "make a pipe": lambda _: [os.close(end) for end in os.pipe()],
    "copy a descriptor": lambda _: os.close(os.dup(0)),
    "signal its parent": lambda _: os.kill(os.getppid(), 0),
    "read its parent's memory": lambda _: _read_memory(os.getppid()),
}


def attempt(data: bytes, recipe: Recipe) -> Inputs:
    """Tries what the bytes name; answers 1 as a frame's index if it could, 0 if it was kept from it."""
    name, _, path = data.decode().partition("|")
    try:
        ATTEMPTS[name](path)
    except OSError:
        return answer(recipe, frame=0, frames=2)
    return answer(recipe, frame=1, frames=2)


def report_limits(data: bytes, recipe: Recipe) -> Inputs:
    """Answers with a resource limit that the bytes name, as a frame's index; its hard bound must be the same."""
    soft, hard = resource.getrlimit(getattr(resource, data.decode()))
    if soft != hard:
        raise AssertionError(data)
    return answer(recipe, frame=soft, frames=soft + 1)


def report_environment(data: bytes, recipe: Recipe) -> Inputs:
    """Answers with the number of environment variables beyond those that the sandbox sets, as a frame's index."""
    threads = {"OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"}
    known = {"PYTHONPATH", "PYTHONDONTWRITEBYTECODE", "GLIBC_TUNABLES", "LC_CTYPE", *threads}
    return answer(recipe, frame=len({*os.environ} - known), frames=1000)


def report_modules(data: bytes, recipe: Recipe) -> Inputs:
    return answer(recipe, frame=sum(name in sys.modules for name in ("numpy", "onnxruntime", "pydantic")), frames=1000)


def wrong_size(data: bytes, recipe: Recipe) -> Inputs:
    return answer(recipe, width=4096)


def turned_size(data: bytes, recipe: Recipe) -> Inputs:
    """As many bytes as were asked for, in another shape."""
    ((name, (resize,)),) = recipe.steps.items()
    pixels = Pixels(resize.height, resize.width, "uint8", bytes(resize.width * resize.height * 3))
    return Inputs(Media("image/png", 1, 1, 1, 1), (Row(0, {name: pixels}),))


def no_pixels(data: bytes, recipe: Recipe) -> Inputs:
    return Inputs(Media("image/png", 1, 1, 1, 1), (Row(0, {}),))


def wrong_type(data: bytes, recipe: Recipe) -> Inputs:
    return answer(recipe, dtype="object")


def wrong_media(data: bytes, recipe: Recipe) -> Inputs:
    return answer(recipe, kind="text/html")


def wrong_names(data: bytes, recipe: Recipe) -> Inputs:
    return Inputs(Media("image/png", 1, 1, 1, 1), (Row(0, {"other": Pixels(1, 1, "uint8", b"abc")}),))


def no_rows(data: bytes, recipe: Recipe) -> Inputs:
    return Inputs(Media("image/png", 1, 1, 1, 1), ())


def too_many_rows(data: bytes, recipe: Recipe) -> Inputs:
    one = answer(recipe)
    return Inputs(one.media, one.rows * (MOST_PICTURES * recipe.limits.max_sampled_frames + 1))


def short_body(data: bytes, recipe: Recipe) -> Inputs:
    """Promises pixels and dies before it has sent them."""
    os.write(
        0, b"\0\0\0\x95" + b'{"media": {"type": "image/png", "width": 1, "height": 1, "frames": 1, "sampled": 1}, '
    )
    os._exit(0)


def huge_header(data: bytes, recipe: Recipe) -> Inputs:
    os.write(0, b"\xff\xff\xff\xff")
    time.sleep(600)
    raise AssertionError


def long_header(data: bytes, recipe: Recipe) -> Inputs:
    """A right answer, in a header of 300 KB."""
    header, body = sandbox_child.inputs_to_wire(answer(recipe))
    encoded = json.dumps(header).encode().ljust(300_000)
    with socket.socket(fileno=0) as connection:
        connection.sendall(len(encoded).to_bytes(4, "big") + encoded + b"".join(body))
    time.sleep(600)
    raise AssertionError


def no_json(data: bytes, recipe: Recipe) -> Inputs:
    os.write(0, b"\0\0\0\x04oops")
    time.sleep(600)
    raise AssertionError


def drip(data: bytes, recipe: Recipe) -> Inputs:
    """A right answer, a byte now and then, so that no single wait is long."""
    header, _ = sandbox_child.inputs_to_wire(answer(recipe))
    encoded = json.dumps(header).encode().ljust(1000)
    for byte in len(encoded).to_bytes(4, "big") + encoded:
        os.write(0, bytes([byte]))
        time.sleep(0.1)
    raise AssertionError


def drip_pixels(data: bytes, recipe: Recipe) -> Inputs:
    header, body = sandbox_child.inputs_to_wire(answer(recipe))
    encoded = json.dumps(header).encode()
    os.write(0, len(encoded).to_bytes(4, "big") + encoded)
    for byte in b"".join(body):
        os.write(0, bytes([byte]))
        time.sleep(0.1)
    raise AssertionError


def raw_header(header: bytes) -> None:
    os.write(0, len(header).to_bytes(4, "big") + header)
    time.sleep(600)


def deep_header(data: bytes, recipe: Recipe) -> Inputs:
    raw_header(b"[" * 100_000)
    raise AssertionError


def infinite_frame(data: bytes, recipe: Recipe) -> Inputs:
    header, _ = sandbox_child.inputs_to_wire(answer(recipe))
    raw_header(json.dumps(header).replace('"frame": 0', '"frame": Infinity').encode())
    raise AssertionError


def foreign_error(data: bytes, recipe: Recipe) -> Inputs:
    """Blames the operator's files."""
    raw_header(b'{"error": "invalid_policy", "message": "x"}')
    raise AssertionError


def half_character(data: bytes, recipe: Recipe) -> Inputs:
    """A message that no answer can carry."""
    raw_header(b'{"error": "undecodable", "message": "\\ud800"}')
    raise AssertionError


def media_past_its_limits(recipe: Recipe, change: dict[str, int]) -> Inputs:
    """A right answer but for what it says of the file."""
    header, body = sandbox_child.inputs_to_wire(answer(recipe))
    header["media"] |= change
    with socket.socket(fileno=0) as connection:
        sandbox_child.send(connection, header, body)
    time.sleep(600)
    raise AssertionError


def too_wide(data: bytes, recipe: Recipe) -> Inputs:
    return media_past_its_limits(recipe, {"width": 10**30})


def too_many_frames(data: bytes, recipe: Recipe) -> Inputs:
    return media_past_its_limits(recipe, {"frames": recipe.limits.max_frames + 1})


def sampled_more_than_there_are(data: bytes, recipe: Recipe) -> Inputs:
    return media_past_its_limits(recipe, {"sampled": 2})


def no_frame(data: bytes, recipe: Recipe) -> Inputs:
    return answer(recipe, frame=7)


def floats(data: bytes, recipe: Recipe) -> Inputs:
    """Numbers that may be none, where whole levels were asked for."""
    ((name, (resize,)),) = recipe.steps.items()
    pixels = Pixels(resize.width, resize.height, "float32", b"\xff" * (resize.width * resize.height * 12))
    return Inputs(Media("image/png", 1, 1, 1, 1), (Row(0, {name: pixels}),))


def claim(data: bytes, recipe: Recipe) -> Inputs:
    """Rows of black pictures of the sizes that the bytes say: JSON, for each row {name: [width, height, bands]}."""
    rows = [
        Row(0, {name: Pixels(w, h, "uint8", bytes(w * h * bands), bands) for name, (w, h, bands) in pixels.items()})
        for pixels in json.loads(data)
    ]
    return Inputs(Media("image/png", 1, 1, 1, 1), tuple(rows))


def claim_film(data: bytes, recipe: Recipe) -> Inputs:
    """Rows of the frames that the bytes say, and what they say of the file: JSON, {"frames", "sampled", "rows"}."""
    said = json.loads(data)
    (one,) = answer(recipe).rows
    media = Media("image/png", 1, 1, said["frames"], said["sampled"])
    return Inputs(media, tuple(Row(frame, one.pixels) for frame in said["rows"]))


def answer(
    recipe: Recipe,
    frame: int = 0,
    width: int | None = None,
    dtype: str = "uint8",
    kind: str = "image/png",
    frames: int = 1,
) -> Inputs:
    pixels = {
        name: Pixels(width or steps[-1].width, steps[-1].height, dtype, bytes(steps[-1].width * steps[-1].height * 3))
        for name, steps in recipe.steps.items()
    }
    return Inputs(Media(kind, 1, 1, frames, 1), (Row(frame, pixels),))
