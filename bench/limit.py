#!/usr/bin/env python3
"""How near to its limit is the service? The limit of one image is decoding alone and inference alone, one after the other.

    .venv/bin/python bench/limit.py [--rounds 5] [--seconds 4]     # prints, and writes between its marks in docs/performance.md

First each model's arithmetic against the core's peak, which a large matrix product reaches. Then one client against a service on
one core, and eight against one on two. Decoding, inference and the service take turns.
"""

from __future__ import annotations

import os

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # before numpy is imported

import argparse
import asyncio
import contextlib
import math
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import onnx
from documents import Table, write_between
from load import ROOT, percentile
from measure import PICTURES, Picture, image_host, write_pictures
from rich.console import Console
from rivals import DEMURE
from running import MODERATE, Running, ask, cpu_s, running
from stages import processor

from demure.classifier import Classifier, bundled_classifiers
from demure.inputs import Recipe, Row, prepare
from demure.models import DEFAULT

MARKS = ("<!-- bench/limit.py writes from here -->", "<!-- to here -->")
DOCUMENT = ROOT / "docs" / "performance.md"
ROUTES = {"/predict": (DEFAULT,), MODERATE: (DEFAULT, "open_nsfw")}
CLIENTS = 8
SIDE = 1024  # of the matrices: 4 MiB each


@dataclass(frozen=True)
class Plan:
    rounds: int
    seconds: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0)
    options = parser.parse_args()
    plan = Plan(options.rounds, options.seconds)
    first, second = sorted(os.sched_getaffinity(0))[:2]
    console = Console(width=160)
    with tempfile.TemporaryDirectory() as folder:
        write_pictures(Path(folder))
        files = {picture: (Path(folder) / picture.file).read_bytes() for picture in PICTURES}
        with pinned({second}):
            at_peak = arithmetic(plan)
        tables = [at_peak, one_client(plan, files, first, second), two_cores(plan, files, first, second)]
    for table in tables:
        console.print(table.as_rich())
    parts = [about(plan), *(f"### {table.title}\n\n{table.as_markdown()}" for table in tables)]
    write_between(DOCUMENT, MARKS, "\n\n".join(parts))


def about(plan: Plan) -> str:
    return (
        f"`python bench/limit.py --rounds {plan.rounds} --seconds {plan.seconds:g}`, {datetime.now(UTC):%Y-%m-%d}, "
        f"{processor()}, {os.cpu_count()} cores. Medians."
    )


def milliseconds(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return (time.perf_counter() - started) * 1000


# --- Arithmetic -------------------------------------------------------------------------------------------------------


def arithmetic(plan: Plan) -> Table:
    """Each inference beside what its multiplications alone would take at the core's peak."""
    matrix = np.random.default_rng(1).random((SIDE, SIDE), dtype=np.float32)
    in_float = {name: c for name, c in bundled_classifiers().items() if not name.endswith("_int8")}
    models = {name: (c, row_of(c).pixels[name]) for name, c in in_float.items()}
    products, took = list[float](), {name: list[float]() for name in models}
    for number in range(4 * plan.rounds + 1):
        product = milliseconds(lambda: matrix @ matrix)
        times = {name: milliseconds(lambda c=c, p=p: c.classify(p)) for name, (c, p) in models.items()}
        if number:  # the first loads weights
            products.append(product)
            for name, taken in times.items():
                took[name].append(taken)
    peak = 2 * SIDE**3 / min(products) / 1e6  # GFLOP/s
    rows = []
    for name, (classifier, _) in models.items():
        work, taken = gflop(classifier), statistics.median(took[name])
        least = work / peak * 1000
        rows.append([f"`{name}`", f"{work:.2f}", f"{least:.1f}", f"{taken:.1f}", f"{least / taken:.0%}"])
    title = f"Inference on one core, beside its arithmetic at {peak:.0f} GFLOP/s, a product of {SIDE} x {SIDE} matrices"
    return Table(title, ["model", "GFLOP", "least ms", "measured ms", "of the peak"], rows)


def row_of(classifier: Classifier) -> Row:
    recipe = Recipe({classifier.spec.name: classifier.spec.pixel_steps})
    return prepare((ROOT / "examples" / "coffee.jpg").read_bytes(), recipe).rows[0]


def gflop(classifier: Classifier) -> float:
    """Of the convolutions and matrix products, a multiplication and an addition counting as two."""
    graph = onnx.shape_inference.infer_shapes(onnx.load_model_from_string(classifier.spec.read_weights())).graph
    shapes = {
        value.name: [dim.dim_value or 1 for dim in value.type.tensor_type.shape.dim]
        for value in (*graph.value_info, *graph.output)
    }
    shapes |= {node.output[0]: weights_shape(graph, node) for node in graph.node if node.op_type == "DequantizeLinear"}
    shapes |= {tensor.name: list(tensor.dims) for tensor in graph.initializer}
    total = 0
    for node in graph.node:
        if node.op_type == "Conv":  # each output is a sum over the kernel's places and the group's channels
            total += math.prod(shapes[node.output[0]]) * math.prod(shapes[node.input[1]][1:])
        elif node.op_type in ("Gemm", "MatMul"):
            total += math.prod(shapes[node.input[1]])
    return 2 * total / 1e9


def weights_shape(graph: onnx.GraphProto, node: onnx.NodeProto) -> list[int]:
    return next(list(tensor.dims) for tensor in graph.initializer if tensor.name == node.input[0])


# --- One client -------------------------------------------------------------------------------------------------------


def one_client(plan: Plan, files: dict[Picture, bytes], first: int, second: int) -> Table:
    """The service has `second`, where decoding and inference are measured too; the client and the pictures' host have `first`."""
    rows = []
    with image_host({first}) as images, running(DEMURE, {second}, images) as service:
        for picture, data in files.items():
            for path, models in ROUTES.items():
                decode, infer, total = alone_and_served(plan, data, path, models, service, f"{images}/{picture.file}")
                limit = decode + infer
                figures = [f"{decode:.1f}", f"{infer:.1f}", f"{limit:.1f}", f"{total:.1f}", f"{total / limit:.2f}"]
                rows.append([picture.title, f"`{path}`", *figures])
    header = ["picture", "", "decode ms", "inference ms", "both", "one client's p50 ms", "ratio"]
    return Table("One image, one client, one core", header, rows)


def alone_and_served(
    plan: Plan, data: bytes, path: str, models: tuple[str, ...], service: Running, picture: str
) -> tuple[float, float, float]:
    classifiers = {name: bundled_classifiers()[name] for name in models}
    recipe = Recipe({name: c.spec.pixel_steps for name, c in classifiers.items()})
    row = prepare(data, recipe).rows[0]
    decode, infer, served = [], [], []
    for number in range(plan.rounds + 1):
        with pinned(service.cores):
            for _ in range(5):
                decode.append(milliseconds(lambda: prepare(data, recipe)))
                infer.append(milliseconds(lambda: [c.classify(row.pixels[name]) for name, c in classifiers.items()]))
        with pinned(set(range(os.cpu_count() or 1)) - service.cores):
            asked = asyncio.run(ask(service, path, picture, 1, seconds=plan.seconds if number else 0.5))
        if number:
            served.append(percentile(asked.seconds, 0.5) * 1000)
    return statistics.median(decode), statistics.median(infer), statistics.median(served)


@contextlib.contextmanager
def pinned(cores: set[int] | frozenset[int]) -> Iterator[None]:
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


# --- Two cores --------------------------------------------------------------------------------------------------------


def two_cores(plan: Plan, files: dict[Picture, bytes], first: int, second: int) -> Table:
    """Requests a second on two cores beside twice those on one. On two, the load takes a part of them: what is left counts."""
    rows, both = [], {first, second}
    with image_host({first}) as images, running(DEMURE, {second}, images) as service:
        alone = {(p, path): rate(plan, service, path, p, images, {first})[0] for p in files for path in ROUTES}
    with image_host(both) as images, running(DEMURE, both, images) as service:
        for picture in files:
            for path in ROUTES:
                per_second, load = rate(plan, service, path, picture, images, both)
                one, left = alone[picture, path], 2 - load
                figures = [f"{one:.1f}", f"{per_second:.1f}", f"{left:.2f}", f"{per_second / one / left:.0%}"]
                rows.append([picture.title, f"`{path}`", *figures])
    header = ["picture", "", "a second, one core", "two", "cores that the load left", "of so many times one"]
    return Table(f"Two cores, {CLIENTS} clients", header, rows)


def rate(plan: Plan, service: Running, path: str, picture: Picture, images: str, load: set[int]) -> tuple[float, float]:
    """Requests a second, and processors that the clients and the pictures' host used."""
    rates, used = [], []
    with pinned(load):
        for number in range(plan.rounds + 1):
            before = cpu_s(os.getpid()) - cpu_s(service.pid)
            seconds = plan.seconds if number else 0.5
            asked = asyncio.run(ask(service, path, f"{images}/{picture.file}", CLIENTS, seconds=seconds))
            if number:
                rates.append(len(asked.seconds) / asked.took_s)
                used.append((cpu_s(os.getpid()) - cpu_s(service.pid) - before) / asked.took_s)
    return statistics.median(rates), statistics.median(used)


if __name__ == "__main__":
    main()
