"""Evaluations as reports are given them: an ordinary one, an empty one, and one whose every text is hostile."""

from __future__ import annotations

import dataclasses

from demure.evaluation.binomial import Rate, rate
from demure.evaluation.curves import Curve, Interval, Recall
from demure.evaluation.evaluate import AtBaseRate, Evaluation, Mistake, PolicyResult, Rates
from demure.evaluation.labelled import Gathering
from demure.policy import Outcome
from demure.reviews import Verdict

HOSTILE = "a\x1b[31m\nb\tc\x9b\u202e[bold]</p><script>alert(1)</script>\"><img src=x onerror='alert(2)'>"
HASH = "ab" * 32


def a_mistake(number: int = 0, id: str | None = None) -> Mistake:
    scores = {"drawings": 0.1, "porn": 0.02, "open_nsfw": 0.05}
    return Mistake(id or f"pictures/{number}.jpg", HASH, Verdict.ADULT, Outcome.SAFE, 0.05 + number / 1000, scores)


def a_curve(name: str = "mobilenet_v2_140") -> Curve:
    """Too few safe images for 0.1 %, enough for 1 %."""
    recalls = (Recall(0.01, 0.8, Interval(0.85, 0.79, 0.896), 299), Recall(0.001, None, None, 2995))
    return Curve(
        name,
        ((0.0, 0.0), (0.01, 0.85), (0.1, 0.95), (1.0, 1.0)),
        ((0.0, 1.0), (0.85, 0.955), (0.95, 0.7), (1.0, 0.2)),
        Interval(0.98, 0.97, 0.987),
        Interval(0.91, 0.88, 0.94),
        recalls,
    )


def a_result(policy: str = "balanced", *, mistakes: int = 6, **changes: object) -> PolicyResult:
    """Of 200 adult images 4 are missed, of 800 safe ones 2 are false alarms; 144 are left."""
    table = {
        Outcome.ADULT: {Verdict.ADULT: 150, Verdict.SAFE: 2},
        Outcome.UNKNOWN: {Verdict.ADULT: 46, Verdict.SAFE: 98},
        Outcome.SAFE: {Verdict.ADULT: 4, Verdict.SAFE: 700},
    }
    rates = Rates(200, 800, Rate(4, 200, 0.0055, 0.0504), Rate(2, 800, 0.0003, 0.009), Rate(144, 1000, 0.123, 0.167))
    listed = tuple(a_mistake(number) for number in range(mistakes))
    result = PolicyResult(policy, policy, "0123456789ab", "mobilenet_v2_140", table, rates, None, {}, listed, mistakes)
    return dataclasses.replace(result, **changes)


def an_evaluation(**changes: object) -> Evaluation:
    return dataclasses.replace(
        Evaluation(
            200, 800, 0.95, (a_curve(), a_curve("open_nsfw")), (a_result(),), Gathering(near_copies=7), ("Mind this.",)
        ),
        **changes,
    )


def nothing() -> Evaluation:
    """No image at all, and everything else that may be missing."""
    recalls = (Recall(0.01, None, None, 299), Recall(0.001, None, None, 2995))
    rates = Rates(0, 0, rate(0, 0), rate(0, 0), rate(0, 0))
    result = a_result(
        mistakes=0,
        table={outcome: dict.fromkeys(Verdict, 0) for outcome in Outcome},
        rates=rates,
        at_base_rate=AtBaseRate(0.02, None, None, Interval(0.2, 0.1, 0.3)),
        groups={"none": rates},
    )
    return Evaluation(0, 0, 0.95, (Curve("mobilenet_v2_140", (), (), None, None, recalls),), (result,), Gathering(), ())


def hostile() -> Evaluation:
    """Others' text, everywhere that it may stand."""
    mistake = dataclasses.replace(a_mistake(id=HOSTILE), sha256=HOSTILE, scores={HOSTILE: 0.5})
    result = a_result(HOSTILE, model=HOSTILE, version=HOSTILE, groups={HOSTILE: a_result().rates}, mistakes_in_all=1)
    return an_evaluation(
        curves=(a_curve(HOSTILE),),
        policies=(dataclasses.replace(result, mistakes=(mistake,)),),
        gathering=Gathering(contradictions=(HOSTILE,), failures={HOSTILE: 1}),
        remarks=(HOSTILE,),
    )
