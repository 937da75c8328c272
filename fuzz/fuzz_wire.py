"""A decoder child that was taken over may answer anything: its parent hands on what it asked for, or an error of the image's."""

from __future__ import annotations

import json
import socket
from random import Random
from types import SimpleNamespace
from typing import Any

import atheris
from harness import check, fuzz

with atheris.instrument_imports(include=["demure", "json"]):
    from demure.decode import DecodeLimits
    from demure.decoding.formats import Format
    from demure.errors import ImageError, SourceError, Undecodable
    from demure.inputs import Inputs, Recipe, Row
    from demure.preprocess import Crop, Fidelity, Fit, Luma, Resize
    from demure.sandbox import _Child

LIMITS = DecodeLimits(max_frames=10, max_sampled_frames=2, max_pixels=10_000, timeout_s=2.0)
STEPS = {"plain": (Resize(4, 3, antialias=False),), "cropped": (Resize(8, 8, antialias=True), Crop(2, 5))}
SIZES = {"plain": (4, 3), "cropped": (2, 5)}
FAST, EXACT = (Recipe(STEPS, fidelity, LIMITS) for fidelity in Fidelity)
OTHERS = Recipe({"luma": (Luma(5),), "worst": (Fit(6),)}, limits=LIMITS, only={"worst": 1})


def target(data: bytes) -> None:
    """The first byte chooses the recipe; the rest is what the child sends before it hangs up."""
    recipe = {b"e": EXACT, b"o": OTHERS}.get(data[:1], FAST)
    child, theirs = child_that_is_nobody()
    with child.connection, theirs:
        theirs.sendall(data[1:])
        theirs.shutdown(socket.SHUT_WR)
        try:
            inputs = child.prepare(b"image", recipe)
        except (ImageError, SourceError) as error:
            check(child.alive or isinstance(error, Undecodable), error)
            check(len(error.message) <= 1000)
            error.message.encode()  # it stands in an answer
            return
    check(child.alive)
    check_inputs(inputs, recipe)


def child_that_is_nobody() -> tuple[_Child, socket.socket]:
    ours, theirs = socket.socketpair()
    child = _Child.__new__(_Child)
    child.served, child.alive, child.retired = 0, True, False
    child.connection, child.process = ours, SimpleNamespace(returncode=0)
    return child, theirs


def check_inputs(inputs: Inputs, recipe: Recipe) -> None:
    media = inputs.media
    check(isinstance(media.type, Format), media)
    check(0 < media.width * media.height <= LIMITS.max_pixels, media)
    check(0 < media.frames <= LIMITS.max_frames and 0 < media.sampled <= LIMITS.max_sampled_frames, media)
    check(1 <= len(inputs.rows) <= 2 * LIMITS.max_sampled_frames)
    for number, row in enumerate(inputs.rows):
        check(type(row.frame) is int and 0 <= row.frame < media.frames, row.frame)
        if recipe is OTHERS:
            check_others(row, number)
            continue
        check({name: (p.width, p.height) for name, p in row.pixels.items()} == SIZES)
        for name, pixels in row.pixels.items():
            check(pixels.dtype == ("float32" if recipe is EXACT and name == "plain" else "uint8"))
            check(pixels.as_array().shape == (pixels.height, pixels.width, 3))


def check_others(row: Row, number: int) -> None:
    check(list(row.pixels) in ([["luma", "worst"], ["worst", "luma"]] if number == 1 else [["luma"]]), row.pixels)
    for name, pixels in row.pixels.items():
        most, bands = {"luma": (5, ()), "worst": (6, (3,))}[name]
        check(type(pixels.width) is type(pixels.height) is int, pixels)
        check(1 <= pixels.width <= most and 1 <= pixels.height <= most and pixels.dtype == "uint8", pixels)
        check(pixels.as_array().shape == (pixels.height, pixels.width, *bands))


def message(header: object, body: bytes = b"") -> bytes:
    encoded = json.dumps(header).encode()
    return len(encoded).to_bytes(4, "big") + encoded + body


ROW = {"frame": 0, "pixels": {"plain": [4, 3, 3, "uint8"], "cropped": [2, 5, 3, "uint8"]}}
MEDIA = {"type": "image/png", "width": 9, "height": 9, "frames": 1, "sampled": 1}
ODD = [None, True, -1, 0, 2, 1.5, 10**30, float("nan"), "", "\ud800", "image/png", "undecodable", "too_large", [], {}]


def mutate(data: bytes, max_size: int, seed: int) -> bytes:
    """Half of the time the length is set right after the change, and at times a value is put in that was not asked for."""
    dice = Random(seed)
    header, end = header_of(data)
    if header is None or dice.random() < 0.5:
        return atheris.Mutate(data, max_size)
    if dice.random() < 0.5:
        return (data[:1] + message(oddly(header, dice)) + data[end:])[:max_size]
    changed = atheris.Mutate(data[5:end], max(1, max_size - 5 - len(data[end:])))
    return data[:1] + len(changed).to_bytes(4, "big") + changed + data[end:]


def header_of(data: bytes) -> tuple[Any, int]:
    end = 5 + int.from_bytes(data[1:5])
    try:
        return json.loads(data[5:end]), end
    except (ValueError, RecursionError):
        return None, end


def oddly(value: Any, dice: Random) -> Any:
    """The same with something else in one place."""
    if not isinstance(value, dict | list) or not value or dice.random() < 0.15:
        return dice.choice(ODD)
    if isinstance(value, list):
        at = dice.randrange(len(value))
        return [oddly(item, dice) if i == at else item for i, item in enumerate(value)]
    at = dice.choice(list(value))
    return {key: oddly(item, dice) if key == at else item for key, item in value.items()}


def seeds() -> list[bytes]:
    whole, real = bytes(66), {**ROW, "pixels": {"plain": [4, 3, 3, "float32"], "cropped": [2, 5, 3, "uint8"]}}
    luma, worst = {"luma": [5, 5, 1, "uint8"]}, {"worst": [6, 1, 3, "uint8"]}
    sampled = {**MEDIA, "frames": 7, "sampled": 2}
    return [
        b"f" + message({"media": MEDIA, "rows": [ROW]}, whole),
        b"f" + message({"media": sampled, "rows": [ROW, {**ROW, "frame": 6}]}, whole * 2),
        b"e" + message({"media": MEDIA, "rows": [real]}, bytes(174)),
        b"o" + message({"media": MEDIA, "rows": [{**ROW, "pixels": luma}]}, bytes(25)),
        b"o" + message({"media": MEDIA, "rows": [{**ROW, "pixels": luma}, {**ROW, "pixels": luma | worst}]}, bytes(68)),
        b"f" + message({"error": "undecodable", "message": "damaged", "retire": True}),
        b"f" + message({"error": "too_large", "message": "x" * 1500}),
        b"f" + message({"ready": True}),
    ]


if __name__ == "__main__":
    fuzz(target, seeds(), mutate, max_bytes=3000)
