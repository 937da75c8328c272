"""What a labelled set is too small, or too uneven, to say: plain sentences for whoever reads the figures. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from demure.evaluation.binomial import fewest_images, upper
from demure.evaluation.labelled import Gathering, LabelledSet
from demure.evaluation.shares import at_most
from demure.policy import Policy

_SMALL_SHARE = 0.005  # of errors: a set that cannot prove so few is told what it can
_FEWEST_IN_GROUP = 100
_MOST_NEAR_COPIES = 0.02  # of the images
_MOST_NAMES = 5  # in a remark


def remarks(
    labelled: LabelledSet,
    models: Sequence[str],
    policies: Sequence[Policy],
    base_rate: float | None,
    confidence: float,
) -> list[str]:
    adult = int(labelled.is_adult.sum())
    safe = len(labelled) - adult
    made = [
        *_on_size(adult, "adult", "missed", confidence),
        *_on_size(safe, "safe", "falsely flagged", confidence),
        *_on_groups(labelled.groups),
        *_on_gathering(labelled.gathering, len(labelled)),
        *_on_scores(labelled, models, policies),
        *_on_promises(models, policies),
    ]
    if base_rate is None and adult and safe:
        made.append(
            f"{100 * adult / len(labelled):.1f} % of these images are adult: average precision, and the share that is left to "
            "people, are those of this mix."
        )
    return made


def titles(policies: Sequence[Policy]) -> dict[tuple[str, str], str]:
    """By name and version, what each is called beside the others: its name, with the version where another has that name."""
    kinds = {(policy.name, policy.version) for policy in policies}
    names = Counter(name for name, _ in kinds)
    return {(name, version): name if names[name] == 1 else f"{name} {version}" for name, version in kinds}


def _on_size(images: int, kind: str, wrong: str, confidence: float) -> list[str]:
    """Whether they are enough to prove, should none be wrong, that few are."""
    if not images:
        return [f"There are no {kind} images: how many are {wrong}, this set cannot say."]
    takes = fewest_images(_SMALL_SHARE, 1 - confidence)
    if images >= takes:
        return []
    proved = at_most(upper(0, images, 1 - confidence))  # of one side: the tables' intervals are of two
    sample = f"Even with none {wrong} of {_counted(images, f'{kind} image')}"
    doubt = f"the share of {wrong} ones may still be as large as {proved}"
    return [f"{sample}, {doubt}; to prove {at_most(_SMALL_SHARE)} takes {takes:,}."]


def _on_groups(groups: Sequence[str] | None) -> list[str]:
    counts = sorted(Counter(groups or ()).items())
    small = [f"{name} ({count})" for name, count in counts if count < _FEWEST_IN_GROUP]
    if not small:
        return []
    return [f"Groups of fewer than {_FEWEST_IN_GROUP} images say little: {_listed(small)}."]


def _on_gathering(gathering: Gathering, images: int) -> list[str]:
    made = _on_near_copies(gathering.near_copies, images)
    if gathering.contradictions:
        names = _listed(gathering.contradictions)
        made.append(
            f"Under both labels, and used as neither: {_counted(len(gathering.contradictions), 'image')}, {names}."
        )
    if gathering.failures:
        codes = _listed([f"{code} ({count:,})" for code, count in sorted(gathering.failures.items())])
        failed = _counted(sum(gathering.failures.values()), "image")
        made.append(f"{failed} could not be judged and are in no figure here: {codes}.")
    if gathering.thinned:
        labels = _counted(gathering.thinned, "label")
        made.append(f"{labels} left out, so that every decision has the same chance to be among the rest.")
    if gathering.unjudged:
        made.append(
            f"{_counted(gathering.unjudged, 'image')} that people were to judge on these days they did not: if those are of "
            "another kind, these figures are off."
        )
    if gathering.unfinished:
        made.append(f"{_counted(gathering.unfinished, 'label')} left out: on their day too much was not judged.")
    return made


def _on_near_copies(copies: int | None, images: int) -> list[str]:
    if copies is None:
        return ["Nobody looked for near copies. If there are many, the intervals are too narrow."]
    if copies <= _MOST_NEAR_COPIES * images:
        return []
    return [f"Near copies among the {_counted(images, 'image')}: {copies:,}. The intervals are too narrow."]


def _on_scores(labelled: LabelledSet, models: Sequence[str], policies: Sequence[Policy]) -> list[str]:
    if not models:
        return ["There are no scores of a five-class model: no policy can be measured."]
    called = titles(policies)
    return [
        f"{called[policy.name, policy.version]} is not measured with {model}: there are no scores of {_listed(missing)}."
        for model in models
        for policy in policies
        if (missing := labelled.lacking(model, policy))
    ]


def _on_promises(models: Sequence[str], policies: Sequence[Policy]) -> list[str]:
    called = titles(policies)
    promised = [
        (called[policy.name, policy.version], policy.promise) for policy in policies if policy.promise is not None
    ]
    return [f"{why}." for model in models for name, promise in promised if (why := promise.void_with(name, model))]


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _MOST_NAMES
    return ", ".join([*names[:_MOST_NAMES], *([f"and {more:,} more"] if more > 0 else [])])


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
