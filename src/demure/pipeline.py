"""The way of one image, in order: read, decode and preprocess, classify, decide. READ THIS FIRST.

A Screener is built once from its parts and asked many times, from any thread. What goes wrong with an image is an answer,
`unknown` with the error's code; what goes wrong with the question (an unknown model, a broken policy file) is raised.

What others send goes a longer way, of which this is the middle: see checker.py.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from demure import models
from demure.classifier import Classifier, Classifiers, bundled_classifiers
from demure.deadline import NEVER, Deadline
from demure.decode import DecodeLimits, Media
from demure.errors import (
    DemureError,
    ImageError,
    NotAnImage,
    Overloaded,
    SourceError,
    TimedOut,
)
from demure.files import read_file
from demure.inputs import Inputs, Recipe, Row, prepare, prepare_array
from demure.policy import DEFAULT, Decision, Policy, decide, sort_score, undecided
from demure.policy_file import find_policy
from demure.preprocess import Fidelity, Luma, Pixels
from demure.previews import Preview, make_previews
from demure.sandbox import Sandbox
from demure.scores import RISK, Scores, weighted_sum
from demure.screening import Clock, Screening

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from demure.memory import Recalled
    from demure.pdq import Fingerprint

    Source = str | os.PathLike[str] | bytes | NDArray[np.uint8]

SideBySide = Callable[[Sequence[Callable[[], Scores]]], list[Scores]]

_LUMA = ""  # in a recipe, beside the models' names, of which none is empty
_LUMA_SIDE = 512  # pixels, as PDQ's own program has it
MIN_SIDE = 32  # pixels; below it the models see a smear, and a person should look


class Screener:
    """Answers for images under one policy, with one model and the witnesses that the policy names."""

    def __init__(
        self,
        policy: str | Policy = DEFAULT,
        *,
        model: str = models.DEFAULT,
        fidelity: str = Fidelity.FAST,
        sandbox: Sandbox | None = None,
        limits: DecodeLimits = DecodeLimits(),
        classifiers: Classifiers | None = None,
        side_by_side: SideBySide | None = None,
    ) -> None:
        """Without a `sandbox`, images are decoded in this process. `classifiers` may be shared between Screeners.

        `side_by_side` makes several calls and returns their answers in order; without it, models are asked one by one.

        Raises UnknownModel, UnknownPolicy, InvalidPolicy. Weights are loaded by the first image.
        """
        available = classifiers or bundled_classifiers()
        self.policy = policy if isinstance(policy, Policy) else find_policy(policy, available.registry.witnesses)
        self.classifiers = {n: available[n] for n in [model, *sorted(self.policy.witnesses - {model})]}
        self._side_by_side = side_by_side or _one_by_one
        self._prepare = prepare if sandbox is None else sandbox.prepare
        self.model = model
        self.limits = limits
        self.recipe = recipe_for(self.classifiers, Fidelity(fidelity), limits)
        self._with_luma = with_luma(self.recipe)

    def screen(
        self,
        source: Source,
        *,
        id: str | None = None,
        sha256: str | None = None,
        deadline: Deadline = NEVER,
        fingerprints: bool = False,
    ) -> Screening:
        """Judge an image: a path, the file's bytes, or an array of RGB uint8 of shape (height, width, 3).

        `sha256` spares computing it; with `fingerprints`, those by which copies are found are made too.

        An image that cannot be read or judged, or not before the deadline, is answered `unknown`, with the error and its
        code as the reason. Raises what is wrong with the installation: DamagedWeights, InvalidModel.
        """
        clock = Clock()
        try:
            deadline.check()
            data = read_source(source, self.limits.max_bytes)
            if sha256 is None and isinstance(data, bytes):
                sha256 = hashlib.sha256(data).hexdigest()
            recipe = self._with_luma if fingerprints else self.recipe
            inputs = self._prepare(data, recipe) if isinstance(data, bytes) else prepare_array(data, recipe)
            clock.lap("decode")
            judged = self._judge(inputs, deadline)
            clock.lap("classify")
        except (SourceError, ImageError, Overloaded, TimedOut) as error:
            return self.failed(error, id=id, sha256=sha256, timings_ms=clock.laps_ms())
        row, worst = max(enumerate(judged), key=lambda pair: (pair[1].decision.outcome.gravity, pair[1].score))
        return Screening(
            decision=worst.decision.outcome,
            reason=worst.decision.reason,
            policy=worst.decision.policy,
            policy_version=worst.decision.policy_version,
            id=id,
            sha256=sha256,
            score=worst.score,
            scores=worst.scores,
            witnesses=worst.witnesses,
            media=inputs.media,
            worst_frame=worst.frame,
            worst_row=row,
            fingerprints=fingerprints_of(inputs) if fingerprints else (),
            timings_ms=clock.laps_ms(),
        )

    def load(self) -> None:
        """Load the weights now rather than with the first image."""
        for classifier in self.classifiers.values():
            classifier.load()

    def previews(self, data: bytes, screening: Screening) -> tuple[Preview, ...]:
        """What a reviewer is shown of an image that was screened. Raises ImageError and Overloaded."""
        return make_previews(self._prepare, data, screening.worst_row or 0, self.limits)

    def remembered(self, known: Recalled, *, id: str | None, sha256: str) -> Screening:
        """The answer where a person gave it before."""
        policy, version = self.policy.name, self.policy.version
        return Screening(known.decision, known.reason, policy, version, id=id, sha256=sha256, remembered=True)

    def _judge(self, inputs: Inputs, deadline: Deadline) -> list[_Judged]:
        given = classify_rows(inputs.rows, self.classifiers, self._side_by_side, deadline)
        return [self._judge_row(row, scores, inputs.media) for row, scores in zip(inputs.rows, given, strict=True)]

    def _judge_row(self, row: Row, given: Mapping[str, Scores], media: Media) -> _Judged:
        scores = Scores({})
        witnesses: dict[str, float] = {}
        for name, classifier in self.classifiers.items():
            if classifier.spec.is_witness:
                witnesses.update(given[name])
            else:
                scores = given[name]
        values = {**scores, **witnesses}
        decision = decide(values, self.policy)
        if min(media.width, media.height) < MIN_SIDE:
            decision = undecided("too_small", self.policy)
        return _Judged(row.frame, scores, witnesses, decision, sort_score(values, self.policy))

    def failed(
        self,
        error: DemureError,
        *,
        id: str | None = None,
        sha256: str | None = None,
        timings_ms: Mapping[str, float] | None = None,
    ) -> Screening:
        """The answer where an error came before the scores: `unknown`, with its code."""
        decision = undecided(error.code, self.policy)
        return Screening(
            decision=decision.outcome,
            reason=decision.reason,
            policy=decision.policy,
            policy_version=decision.policy_version,
            id=id,
            sha256=sha256,
            timings_ms=timings_ms or {},
            error=error,
        )


def classify_rows(
    rows: Sequence[Row],
    classifiers: Mapping[str, Classifier],
    side_by_side: SideBySide | None = None,
    deadline: Deadline = NEVER,
) -> list[Mapping[str, Scores]]:
    """Ask every model about every row: for each row, the scores by the model's name. Raises TimedOut, and what they raise."""
    calls = [partial(_classify, c, row.pixels[name], deadline) for row in rows for name, c in classifiers.items()]
    answers = iter((side_by_side or _one_by_one)(calls))
    return [{name: next(answers) for name in classifiers} for _ in rows]


def _classify(classifier: Classifier, pixels: Pixels, deadline: Deadline) -> Scores:
    deadline.check()
    return classifier.classify(pixels)


def recipe_for(classifiers: Mapping[str, Classifier], fidelity: Fidelity, limits: DecodeLimits) -> Recipe:
    """What must be made of an image so that each of these can be asked about it."""
    return Recipe({name: classifier.spec.pixel_steps for name, classifier in classifiers.items()}, fidelity, limits)


def with_luma(recipe: Recipe) -> Recipe:
    """The same, and what fingerprints_of needs."""
    return replace(recipe, steps={**recipe.steps, _LUMA: (Luma(_LUMA_SIDE),)})


def fingerprints_of(inputs: Inputs) -> tuple[Fingerprint, ...]:
    """One a row, of what a recipe with luma made; none of an image that is too small to say anything."""
    from demure.pdq import fingerprint

    if min(inputs.media.width, inputs.media.height) < MIN_SIDE:  # a smear looks like any other
        return ()
    return tuple(fingerprint(row.pixels[_LUMA].as_array()) for row in inputs.rows)


def _one_by_one(calls: Sequence[Callable[[], Scores]]) -> list[Scores]:
    return [call() for call in calls]


@dataclass(frozen=True)
class _Judged:
    """One row's scores and what they decide alone."""

    frame: int
    scores: Scores
    witnesses: Mapping[str, float]
    decision: Decision
    score: float


def read_source(source: Source, max_bytes: int) -> bytes | NDArray[np.uint8]:
    """The bytes of a path; bytes and arrays as they are. Raises SourceNotFound, TooLarge, NotAnImage."""
    if isinstance(source, str | os.PathLike):
        return read_file(Path(os.fsdecode(source)), max_bytes)
    if isinstance(source, bytes | bytearray | memoryview):
        return bytes(source)
    if hasattr(source, "dtype") and hasattr(source, "ndim"):
        return source
    raise NotAnImage(f"expected a path, bytes or an array of RGB uint8, found {type(source).__name__}")


@cache
def _screener(policy: str) -> Screener:
    return Screener(policy)


def screen(source: Source, policy: str | Policy = DEFAULT) -> Screening:
    """Judge one image with the bundled models, decoding in this process; see Screener for more choice."""
    return (_screener(policy) if isinstance(policy, str) else Screener(policy)).screen(source)


def classify(source: Source, model: str = models.DEFAULT, fidelity: str = Fidelity.FAST) -> Scores:
    """One model's scores for one image: the five categories, or a witness's one; for several frames the worst one's.

    Raises SourceError or ImageError for an image that cannot be read, UnknownModel for a name that is not known.
    """
    return classify_with(bundled_classifiers()[model], source, Fidelity(fidelity))


def classify_with(classifier: Classifier, source: Source, fidelity: Fidelity = Fidelity.FAST) -> Scores:
    """classify() with a classifier of the caller's own."""
    name, limits = classifier.spec.name, DecodeLimits()
    recipe = Recipe({name: classifier.spec.pixel_steps}, fidelity, limits)
    data = read_source(source, limits.max_bytes)
    inputs = prepare(data, recipe) if isinstance(data, bytes) else prepare_array(data, recipe)
    weights = {name: 1.0} if classifier.spec.is_witness else RISK
    return max(
        (classifier.classify(row.pixels[name]) for row in inputs.rows),
        key=lambda scores: weighted_sum(weights, scores) or 0.0,
    )
