#!/usr/bin/env python3
"""Milliseconds of each stage of one image, one thread: decode and resize (fast, reference, sandboxed), and inference.

    make bench

Medians of repeated runs in one process; the pictures are cut and rendered from noise over a gradient, so that a JPEG of them
weighs about what a photograph does.
"""

from __future__ import annotations

import io
import os
import platform
import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter
from rich.console import Console
from rich.table import Table

from demure.classifier import Classifiers
from demure.inputs import Recipe, prepare
from demure.models import DEFAULT, Registry
from demure.preprocess import Fidelity
from demure.sandbox import Sandbox

SIZES = {"0.3 MP": (640, 480), "2 MP": (1632, 1224), "12 MP": (4032, 3024)}
RUNS = 15


def main() -> None:
    console = Console(width=max(100, Console().width))
    console.print(
        f"{datetime.now(UTC):%Y-%m-%d}, {processor()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    )
    decoding(console)
    inference(console)


def decoding(console: Console) -> None:
    registry = Registry()
    steps = {name: registry[name].pixel_steps for name in (DEFAULT, "open_nsfw")}
    fast, reference = Recipe(steps, Fidelity.FAST), Recipe(steps, Fidelity.REFERENCE)
    table = Table(
        "picture", "bytes", "fast ms", "reference ms", "reference / fast", "fast in the sandbox ms", title="Decode"
    )
    with Sandbox() as sandbox:
        for name, data in pictures().items():
            ours, theirs, boxed = alternate(
                lambda data=data: prepare(data, fast),
                lambda data=data: prepare(data, reference),
                lambda data=data: sandbox.prepare(data, fast),
            )
            table.add_row(
                name, f"{len(data):,}", f"{ours:.1f}", f"{theirs:.1f}", f"{theirs / ours:.2f}", f"{boxed:.1f}"
            )
    console.print(table)


def inference(console: Console) -> None:
    table = Table("model", "one inference ms", title="Inference, one thread")
    classifiers = Classifiers(Registry())
    for name, classifier in classifiers.items():
        inputs = prepare(pictures_of("0.3 MP"), Recipe({name: classifier.spec.pixel_steps}))
        pixels = inputs.rows[0].pixels[name]
        (took,) = alternate(lambda c=classifier, p=pixels: c.classify(p))
        table.add_row(name, f"{took:.1f}")
    console.print(table)


def pictures() -> dict[str, bytes]:
    made = {f"{size} JPEG": pictures_of(size) for size in SIZES}
    return {**made, "2 MP PNG": pictures_of("2 MP", "PNG"), "2 MP WebP": pictures_of("2 MP", "WEBP")}


def pictures_of(size: str, format: str = "JPEG") -> bytes:
    width, height = SIZES[size]
    y, x = np.mgrid[0:height, 0:width]
    smooth = np.stack([255 * x / width, 255 * y / height, 255 * (x + y) / (width + height)], axis=2)
    grain = np.random.default_rng(7).normal(0, 24, (height, width, 3))
    image = Image.fromarray(np.clip(smooth + grain, 0, 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(0.7))
    buffer = io.BytesIO()
    image.save(buffer, format, quality=85)
    return buffer.getvalue()


def alternate(*functions: Callable[[], object]) -> list[float]:
    """The median milliseconds of each; they take turns, so that the machine's moods meet all alike."""
    took: list[list[float]] = [[] for _ in functions]
    for run in range(RUNS + 1):
        for i, function in enumerate(functions):
            started = time.perf_counter()
            function()
            if run:  # the first loads weights and warms caches
                took[i].append((time.perf_counter() - started) * 1000)
    return [statistics.median(times) for times in took]


def processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


if __name__ == "__main__":
    main()
