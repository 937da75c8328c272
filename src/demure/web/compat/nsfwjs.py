"""A screening in the words of nsfwjs: its five classes, the likeliest first (infinitered/nsfwjs, README.md, `classify`).

The scores are the five-class model's alone. What a person decided has none, or others: it is told as a whole 1.
"""

from __future__ import annotations

from collections.abc import Mapping

from demure.policy import Outcome
from demure.scores import Category
from demure.screening import Screening

CLASSES = {
    Category.DRAWINGS: "Drawing",
    Category.HENTAI: "Hentai",
    Category.NEUTRAL: "Neutral",
    Category.PORN: "Porn",
    Category.SEXY: "Sexy",
}
# `unknown` without scores is a picture that was escalated: of the five, Sexy is the one that callers cover and do not pass.
_VERDICT = {Outcome.ADULT: Category.PORN, Outcome.UNKNOWN: Category.SEXY, Outcome.SAFE: Category.NEUTRAL}


def is_verdict(screening: Screening) -> bool:
    """Whether a person decided, of this picture or of a copy of it."""
    return screening.remembered and screening.decision is not Outcome.UNKNOWN


def probabilities(screening: Screening) -> dict[str, float]:
    """By class, the highest first. Raises the screening's error where there are none."""
    if screening.scores is None and screening.error is not None:
        raise screening.error
    found: Mapping[str, float] | None = screening.scores
    if found is None or is_verdict(screening):
        found = {**dict.fromkeys(CLASSES, 0.0), _VERDICT[screening.decision]: 1.0}
    likeliest_first = sorted(CLASSES, key=lambda category: -found[category])
    return {CLASSES[category]: found[category] for category in likeliest_first}
