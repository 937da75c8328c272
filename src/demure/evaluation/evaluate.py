"""How good are models and policies on labelled images? Curves, tables and rates, each with the interval it deserves. Pure.

Every interval holds alone, with the confidence asked for, and supposes that images are independent of each other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from demure.errors import InvalidLabels
from demure.evaluation.binomial import CONFIDENCE, Rate, rate
from demure.evaluation.curves import Curve, Interval, Recall, curve
from demure.evaluation.labelled import Gathering, LabelledSet
from demure.evaluation.remarks import remarks, titles
from demure.policy import Outcome, Policy
from demure.reviews import Verdict

__all__ = [
    "AtBaseRate",
    "Curve",
    "Evaluation",
    "Interval",
    "Mistake",
    "PolicyResult",
    "Rates",
    "Recall",
    "as_dict",
    "evaluate",
]

Table = NDArray[np.int64]  # (3, 2): images by Outcome.gravity, and by whether they are adult

MOST_GROUPS = 1000  # each is looked at for each policy


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
    called: str  # in tables: its name, with the version where another has the same name
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
    """Measure models (None: all five-class ones of the set) and policies.

    Policies that need scores which the set lacks are left out, and named in the remarks. `base_rate`, in [0, 1], is the share
    of adult images to reckon with; without it `at_base_rate` is None.

    Raises InvalidLabels for a model that is not there, or lacks a category; ValueError for a base rate outside [0, 1].
    """
    if base_rate is not None and not 0 <= base_rate <= 1:
        raise ValueError(f"the base rate is a share from 0 to 1, not {base_rate:g}")
    models = labelled.models if models is None else models
    if absent := sorted({*models} - {*labelled.models}):
        raise InvalidLabels(f"there are no scores of {', '.join(absent)} for the five categories")
    called = titles(policies)
    judged = [(model, policy) for model in models for policy in policies if not labelled.lacking(model, policy)]
    adult = int(np.sum(labelled.is_adult))
    return Evaluation(
        adult=adult,
        safe=len(labelled) - adult,
        confidence=confidence,
        curves=_curves(labelled, models, judged, confidence),
        policies=tuple(
            _result(labelled, model, policy, called[policy.name, policy.version], base_rate, most_mistakes, confidence)
            for model, policy in judged
        ),
        gathering=labelled.gathering,
        remarks=tuple(remarks(labelled, models, policies, base_rate, confidence)),
    )


def as_dict(evaluation: Evaluation) -> dict[str, Any]:
    """For JSON: the fields by their names, a Rate with its `share` too, points as [x, y]."""
    plain: dict[str, Any] = _plain(evaluation)
    return plain


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return str(value)  # of an enum, its value
    if is_dataclass(value):
        named = {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
        return {**named, "share": value.share} if isinstance(value, Rate) else named
    if isinstance(value, Mapping):
        return {str(key): _plain(part) for key, part in value.items()}
    return [_plain(part) for part in value] if isinstance(value, Sequence) else value


# --- Curves -----------------------------------------------------------------------------------------------------------


def _curves(
    labelled: LabelledSet, models: Sequence[str], judged: Sequence[tuple[str, Policy]], confidence: float
) -> tuple[Curve, ...]:
    """Of each model, of each witness, and of each model with the witnesses of the first policy that names some.

    Of an image with several rows the worst counts. Images too small to be decided count as well: they have scores.
    """
    numbers = {model: labelled.risk(model) for model in models}
    numbers |= {witness: labelled.worst(labelled.scores[witness][witness]) for witness in labelled.witnesses}
    for model in models:
        policy = next((policy for m, policy in judged if m == model and policy.witnesses), None)
        if policy is not None:
            numbers[" + ".join([model, *sorted(policy.witnesses)])] = labelled.score(model, policy)
    return tuple(curve(name, scores, labelled.is_adult, confidence) for name, scores in numbers.items())


# --- What a policy does -----------------------------------------------------------------------------------------------


def _result(
    labelled: LabelledSet,
    model: str,
    policy: Policy,
    called: str,
    base_rate: float | None,
    most_mistakes: int,
    confidence: float,
) -> PolicyResult:
    decisions = labelled.decisions(model, policy)
    table = _table(decisions, labelled.is_adult)
    wrong = np.flatnonzero(decisions == np.where(labelled.is_adult, Outcome.SAFE.gravity, Outcome.ADULT.gravity))
    return PolicyResult(
        policy=policy.name,
        called=called,
        version=policy.version,
        model=model,
        table={o: {v: int(table[o.gravity, int(v is Verdict.ADULT)]) for v in Verdict} for o in Outcome},
        rates=_rates(table, confidence),
        at_base_rate=None if base_rate is None else _at_base_rate(base_rate, table, confidence),
        groups=_groups(labelled, decisions, confidence),
        mistakes=_worst(labelled, model, policy, wrong, most_mistakes),
        mistakes_in_all=len(wrong),
    )


def _table(decisions: NDArray[np.int8], is_adult: NDArray[np.bool_]) -> Table:
    return np.bincount(2 * decisions.astype(np.int64) + is_adult, minlength=6).reshape(3, 2)


def _rates(table: Table, confidence: float) -> Rates:
    safe, adult = table.sum(axis=0).tolist()
    missed, false_alarm = table[Outcome.SAFE.gravity, 1], table[Outcome.ADULT.gravity, 0]
    return Rates(
        adult=adult,
        safe=safe,
        missed=rate(int(missed), adult, confidence),
        false_alarm=rate(int(false_alarm), safe, confidence),
        left=rate(int(table[Outcome.UNKNOWN.gravity].sum()), adult + safe, confidence),
    )


def _groups(labelled: LabelledSet, decisions: NDArray[np.int8], confidence: float) -> dict[str, Rates]:
    if labelled.groups is None:
        return {}
    # Not an array of text, which would make each as long as the longest.
    names = sorted({*labelled.groups})
    if len(names) > MOST_GROUPS:
        raise InvalidLabels(f"{len(names):,} groups; the limit is {MOST_GROUPS:,}: choose a column with fewer values")
    numbers = {name: number for number, name in enumerate(names)}
    group = np.fromiter((numbers[name] for name in labelled.groups), np.intp, len(labelled))
    return {
        name: _rates(_table(decisions[group == number], labelled.is_adult[group == number]), confidence)
        for name, number in numbers.items()
    }


def _worst(
    labelled: LabelledSet, model: str, policy: Policy, wrong: NDArray[np.int64], most: int
) -> tuple[Mistake, ...]:
    """Of these images, (w,), those whose score is farthest from where it should be: 1 for adult, 0 for safe."""
    rows = labelled.deciding_rows(model, policy)[wrong]
    scores = labelled.row_scores(model, policy)[rows]
    farthest = np.argsort(-np.abs(labelled.is_adult[wrong] - scores), kind="stable")[:most]
    columns = {name: column for m in (model, *sorted(policy.witnesses)) for name, column in labelled.scores[m].items()}
    return tuple(
        Mistake(
            id=labelled.ids[image],
            sha256=labelled.sha256s[image],
            verdict=Verdict.ADULT if labelled.is_adult[image] else Verdict.SAFE,
            decision=Outcome.SAFE if labelled.is_adult[image] else Outcome.ADULT,
            score=float(score),
            scores={str(name): float(column[row]) for name, column in columns.items()},
        )
        for image, row, score in zip(wrong[farthest], rows[farthest], scores[farthest], strict=True)
    )


# --- Another mix ------------------------------------------------------------------------------------------------------


def _at_base_rate(base_rate: float, table: Table, confidence: float) -> AtBaseRate | None:
    """None where one of the classes is empty: what becomes of it is not known at all.

    The shares of adult and of safe images that are decided alike are two; each may be wrong with half of the error, so that
    what is made of both keeps the confidence (Bonferroni).
    """
    safe, adult = table.sum(axis=0).tolist()
    if not adult or not safe:
        return None
    each = (1 + confidence) / 2
    of_adult, of_safe = {}, {}
    for outcome in Outcome:
        decided_safe, decided_adult = table[outcome.gravity].tolist()
        of_adult[outcome], of_safe[outcome] = rate(decided_adult, adult, each), rate(decided_safe, safe, each)
    return AtBaseRate(
        base_rate=base_rate,
        flags_right=_adult_share(base_rate, of_adult[Outcome.ADULT], of_safe[Outcome.ADULT]),
        passes_wrong=_adult_share(base_rate, of_adult[Outcome.SAFE], of_safe[Outcome.SAFE]),
        left=_mixed(base_rate, of_adult[Outcome.UNKNOWN], of_safe[Outcome.UNKNOWN]),
    )


def _adult_share(base_rate: float, adult: Rate, safe: Rate) -> Interval | None:
    """Of what is decided alike, by Bayes, from the shares of adult and of safe images that are. None if nothing is.

    It rises with the one and falls with the other.
    """

    def share(of_adult: float, of_safe: float) -> float:
        part = base_rate * of_adult
        return part / (part + (1 - base_rate) * of_safe)

    a, s = adult.count / adult.of, safe.count / safe.of
    if not base_rate * a + (1 - base_rate) * s:
        return None
    return Interval(share(a, s), share(adult.low, safe.high), share(adult.high, safe.low))


def _mixed(base_rate: float, adult: Rate, safe: Rate) -> Interval:
    """Of all images."""

    def share(of_adult: float, of_safe: float) -> float:
        return base_rate * of_adult + (1 - base_rate) * of_safe

    value = share(adult.count / adult.of, safe.count / safe.of)
    return Interval(value, share(adult.low, safe.low), share(adult.high, safe.high))
