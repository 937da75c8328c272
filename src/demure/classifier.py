"""A model that can be asked: ModelSpec + session, pixels in, Scores out."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Mapping
from functools import cache
from typing import TYPE_CHECKING

from demure.errors import InvalidModel
from demure.models import ModelSpec, Registry
from demure.preprocess import Pixels, run_value_steps
from demure.scores import Category, Scores
from demure.session import Session

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# Rounding of a softmax, no more: what lies further out is not a probability.
_TOLERANCE = 1e-3


class Classifier:
    """One model, loaded by the first question and shared by all threads."""

    def __init__(self, spec: ModelSpec, *, threads: int = 1) -> None:
        self.spec = spec
        self._threads = threads
        self._session: Session | None = None
        # Two first questions at once must not load two copies of the weights.
        self._loading = threading.Lock()

    def classify(self, pixels: Pixels) -> Scores:
        """Score one small picture as the spec's pixel steps make it.

        One at a time: batches gain nothing on a CPU, and 32 frames at once would take a gigabyte of activations.
        Raises DamagedWeights or InvalidModel.
        """
        output = self.load().run(run_value_steps(pixels, self.spec.value_steps))
        if output.shape != (1, len(self.spec.labels)):
            expected = f"(1, {len(self.spec.labels)}) for its labels"
            raise InvalidModel(f"{self.spec.name}: the output has shape {output.shape}, expected {expected}")
        return to_scores(output[0], self.spec)

    def load(self) -> Session:
        """Load the weights now, if they are not loaded. Raises DamagedWeights or InvalidModel."""
        with self._loading:
            if self._session is None:
                spec = self.spec
                self._session = Session(
                    spec.read_weights(),
                    spec.name,
                    input_name=spec.input_name,
                    output_name=spec.output_name,
                    threads=self._threads,
                )
            return self._session


def to_scores(row: NDArray[np.float32], spec: ModelSpec) -> Scores:
    """One row of probabilities, shape (len(spec.labels),), to a score for each category, or to the witness's one.

    Raises InvalidModel for what is not a probability: NaN, or a value outside [0, 1].
    """
    values = dict(zip(spec.labels, map(float, row), strict=True))
    for label, value in values.items():
        if not math.isfinite(value) or not -_TOLERANCE <= value <= 1 + _TOLERANCE:
            raise InvalidModel(f"{spec.name}: the output {label!r} is {value}, expected a probability in [0, 1]")
    values = {label: min(max(value, 0.0), 1.0) for label, value in values.items()}
    if spec.is_witness:
        return Scores({spec.name: values[spec.witness_label]})
    return Scores({c: min(1.0, sum(v for label, v in values.items() if spec.categories[label] is c)) for c in Category})


class Classifiers(Mapping[str, Classifier]):
    """One classifier for each model of a registry, so that weights are loaded once however many Screeners ask."""

    def __init__(self, registry: Registry, *, threads: int = 1) -> None:
        self.registry = registry
        self._classifiers = {name: Classifier(spec, threads=threads) for name, spec in registry.items()}

    def __getitem__(self, name: str) -> Classifier:
        """Raises UnknownModel, which lists the known names."""
        return self._classifiers[self.registry[name].name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._classifiers)

    def __len__(self) -> int:
        return len(self._classifiers)


@cache
def bundled_classifiers() -> Classifiers:
    """The package's own models, shared by all that is not told otherwise."""
    return Classifiers(Registry())
