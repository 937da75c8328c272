#!/usr/bin/env python3
"""How often fast and reference fidelity decide alike, and what each policy makes of benign pictures.

    .venv/bin/python bench/corpus.py
    .venv/bin/python bench/decisions.py            # prints, and writes between the marks in docs/models.md

Every picture is scored twice on the same grounds (white; black too where it is transparent): once as the fast path does it for
that model and the witness, once decoded in full and resized in float32. A picture's decision is its worst row's.
"""

from __future__ import annotations

import json
import os
import platform
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from documents import write_between
from stages import processor

from demure.classifier import Classifiers
from demure.decode import DecodeLimits, decode
from demure.errors import ImageError
from demure.inputs import Recipe
from demure.models import DEFAULT, Registry
from demure.policy import Outcome, decide, sort_score
from demure.policy_file import SHIPPED, find_policy
from demure.preprocess import Fidelity, run_pixel_steps

CORPUS = Path(".bench/corpus")
SCORES = Path(".bench/scores.jsonl")
DOCUMENT = Path("docs/models.md")
MARKS = ("<!-- bench/decisions.py writes from here -->", "<!-- to here -->")
FIVE_CLASS = ("mobilenet_v2_140", "mobilenet_v2", "inception_v3")
WITNESS = "open_nsfw"
LIMITS = DecodeLimits(max_pixels=200_000_000, max_bytes=100 * 2**20)  # wallpapers of 169 MP are in the corpus


def main() -> None:
    pictures = sorted(p for p in CORPUS.rglob("*") if p.is_file())
    if not pictures:
        sys.exit(f"no pictures in {CORPUS}: run bench/corpus.py first")
    done = {row["picture"] for row in read_scores()}
    missing = [p for p in pictures if str(p) not in done]
    with ProcessPoolExecutor(os.cpu_count()) as pool, SCORES.open("a") as out:
        for i, row in enumerate(pool.map(score, missing, chunksize=4)):
            out.write(json.dumps(row) + "\n")
            if i % 100 == 0:
                out.flush()
                print(f"{i} of {len(missing)}", file=sys.stderr)
    report = "\n".join(lines(list(read_scores())))
    print(report)
    write_between(DOCUMENT, MARKS, report)


# --- Scoring ----------------------------------------------------------------------------------------------------------


@cache
def classifiers() -> Classifiers:
    return Classifiers(Registry())


def score(path: Path) -> dict[str, Any]:
    """For each fidelity and five-class model, rows of that model's scores and the witness's, in the same order for all."""
    row: dict[str, Any] = {"picture": str(path), "kind": path.parent.name}
    data = path.read_bytes()
    try:
        for fidelity in Fidelity:
            row[fidelity] = {model: list(rows(data, (model, WITNESS), fidelity)) for model in FIVE_CLASS}
    except ImageError as error:
        return {"picture": str(path), "kind": path.parent.name, "error": error.code}
    return row


def rows(data: bytes, models: tuple[str, ...], fidelity: Fidelity) -> Iterator[dict[str, Any]]:
    specs = {name: classifiers()[name].spec for name in models}
    at_least = Recipe({name: spec.pixel_steps for name, spec in specs.items()}, fidelity).at_least
    for frame in decode(data, LIMITS, at_least=at_least).frames:
        for picture in frame.pictures:
            pixels = {name: run_pixel_steps(picture, spec.pixel_steps, fidelity) for name, spec in specs.items()}
            yield {name: classifiers()[name].classify(pixels[name]).as_dict() for name in models}


def read_scores() -> Iterator[dict[str, Any]]:
    if SCORES.exists():
        yield from map(json.loads, SCORES.read_text().splitlines())


# --- Counting ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Share:
    """`hits` of `n`, with the Wilson score interval at 95 % (Wilson 1927; Brown, Cai and DasGupta 2001)."""

    hits: int
    n: int

    def __str__(self) -> str:
        z, p = 1.959964, self.hits / self.n
        centre = (p + z * z / (2 * self.n)) / (1 + z * z / self.n)
        half = z / (1 + z * z / self.n) * (p * (1 - p) / self.n + z * z / (4 * self.n**2)) ** 0.5
        return f"{100 * p:.2f} % ({100 * max(0, centre - half):.2f} to {100 * min(1, centre + half):.2f})"


def decision(by_model: dict[str, Any], model: str, policy_name: str) -> Outcome:
    policy = find_policy(policy_name, {WITNESS})
    values = [{**row[model], **row[WITNESS]} for row in by_model[model]]
    judged = [(decide(v, policy).outcome, sort_score(v, policy)) for v in values]
    return max(judged, key=lambda j: (j[0].gravity, j[1]))[0]


def witness_alone(by_model: dict[str, Any]) -> str:
    """The witness's own side of the default policy's bounds, beside the default model."""
    worst = max(row[WITNESS][WITNESS] for row in by_model[DEFAULT])
    return "adult" if worst >= 0.80 else "safe" if worst <= 0.20 else "unknown"


def lines(rows: list[dict[str, Any]]) -> Iterator[str]:
    judged = [row for row in rows if "error" not in row]
    kinds = Counter(row["kind"] for row in judged)
    errors = Counter(row["error"] for row in rows if "error" in row)
    yield f"`bench/decisions.py`, {datetime.now(UTC):%Y-%m-%d}, {machine()}. {len(judged):,} pictures: "
    yield ", ".join(f"{n:,} {kind}" for kind, n in sorted(kinds.items())) + f". Not judged: {dict(errors) or 'none'}."
    yield ""
    yield from agreement(judged)
    yield ""
    yield from largest_changes(judged)
    yield ""
    yield from outcomes(judged)


def agreement(judged: list[dict[str, Any]]) -> Iterator[str]:
    yield "Decisions that fast and reference fidelity share, under `balanced`, with 95 % intervals:"
    yield ""
    yield "| five-class model | all pictures | large JPEGs alone |"
    yield "|---|---|---|"
    large = [row for row in judged if row["kind"] == "large-jpeg"]
    for model in FIVE_CLASS:
        shares = [
            Share(
                sum(
                    decision(r["fast"], model, "balanced") is decision(r["reference"], model, "balanced") for r in some
                ),
                len(some),
            )
            for some in (judged, large)
        ]
        name = f"`{model}`" + (" (default)" if model == DEFAULT else "")
        yield f"| {name} | {shares[0]} | {shares[1]} |"
    shares = [
        Share(sum(witness_alone(r["fast"]) == witness_alone(r["reference"]) for r in some), len(some))
        for some in (judged, large)
    ]
    yield f"| `{WITNESS}` alone, by its own two bounds | {shares[0]} | {shares[1]} |"


def largest_changes(judged: list[dict[str, Any]]) -> Iterator[str]:
    yield "The largest change of any of a model's scores between the two, over all rows (mean / 95th percentile / most):"
    yield ""
    yield "| model | all pictures | large JPEGs alone |"
    yield "|---|---|---|"
    for model in (*FIVE_CLASS, WITNESS):
        cells, beside = [], DEFAULT if model == WITNESS else model
        for some in (judged, [r for r in judged if r["kind"] == "large-jpeg"]):
            changes = [
                max(abs(fast[model][name] - reference[model][name]) for name in fast[model])
                for r in some
                for fast, reference in zip(r["fast"][beside], r["reference"][beside], strict=True)
            ]
            cells.append(f"{np.mean(changes):.4f} / {np.percentile(changes, 95):.4f} / {max(changes):.3f}")
        yield f"| `{model}` | {cells[0]} | {cells[1]} |"


def outcomes(judged: list[dict[str, Any]]) -> Iterator[str]:
    yield f"What each shipped policy makes of these pictures, none of which is explicit (`{DEFAULT}`, fast):"
    yield ""
    yield "| policy | adult | unknown | safe |"
    yield "|---|---|---|---|"
    for policy in SHIPPED:
        counted = Counter(decision(row["fast"], DEFAULT, policy) for row in judged)
        cells = (
            f"{counted[o]:,}: {Share(counted[o], len(judged))}" for o in (Outcome.ADULT, Outcome.UNKNOWN, Outcome.SAFE)
        )
        yield f"| `{policy}` | {' | '.join(cells)} |"


def machine() -> str:
    return f"{processor()}, {os.cpu_count()} cores, Python {platform.python_version()}"


if __name__ == "__main__":
    main()
