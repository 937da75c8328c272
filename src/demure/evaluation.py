"""How good are models and policies on labelled images? Curves, tables and rates, each with the interval it deserves. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from demure.binomial import CONFIDENCE, Rate
from demure.labelled import Gathering, LabelledSet
from demure.policy import Outcome, Policy
from demure.reviews import Verdict


@dataclass(frozen=True)
class Interval:
    """An estimate in [0, 1], and where the true value lies with the confidence asked for."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Recall:
    """The share of adult images that lie above the threshold at which a given share of safe ones does."""

    false_alarm: float  # that share, as asked for
    threshold: float | None  # None where there are no safe images
    found: Interval | None  # None where there are too few images to say
    takes_safe: int  # images, before anything can be said


@dataclass(frozen=True)
class Curve:
    """One number as a way to tell adult from safe: a model's, or the one that answers are sorted by."""

    name: str
    roc: tuple[tuple[float, float], ...]  # (false alarm, recall), from (0, 0) to (1, 1)
    precision_recall: tuple[tuple[float, float], ...]  # (recall, precision); at this set's mix
    auc: Interval | None  # None where one of the classes is empty
    average_precision: Interval | None
    recalls: tuple[Recall, ...]


@dataclass(frozen=True)
class Mistake:
    """An image that was decided against its label."""

    id: str
    sha256: str | None
    verdict: Verdict  # what a person said
    decision: Outcome
    score: float  # the one to sort by
    scores: Mapping[str, float]  # of the row that was decided on: categories and witnesses


@dataclass(frozen=True)
class Rates:
    """What a policy does to some images."""

    adult: int  # images that a person called so
    safe: int
    missed: Rate  # of the adult, decided safe
    false_alarm: Rate  # of the safe, decided adult
    left: Rate  # of all, decided unknown: left to people


@dataclass(frozen=True)
class AtBaseRate:
    """What follows where another share of images is adult than in this set."""

    base_rate: float
    flags_right: Interval | None  # of what is decided adult; None where nothing is
    passes_wrong: Interval | None  # of what is decided safe
    left: Interval


@dataclass(frozen=True)
class PolicyResult:
    policy: str
    version: str
    model: str
    table: Mapping[Outcome, Mapping[Verdict, int]]  # images, by decision and by label
    rates: Rates
    at_base_rate: AtBaseRate | None
    groups: Mapping[str, Rates]
    mistakes: tuple[Mistake, ...]  # the worst first: the surest of what is wrong
    mistakes_in_all: int


@dataclass(frozen=True)
class Evaluation:
    adult: int
    safe: int
    confidence: float
    curves: tuple[Curve, ...]
    policies: tuple[PolicyResult, ...]
    gathering: Gathering
    remarks: tuple[str, ...]  # what this set is too small, or too uneven, to say


def evaluate(
    labelled: LabelledSet,
    policies: Sequence[Policy],
    *,
    models: Sequence[str] | None = None,
    base_rate: float | None = None,
    most_mistakes: int = 50,
    confidence: float = CONFIDENCE,
) -> Evaluation:
    raise NotImplementedError
