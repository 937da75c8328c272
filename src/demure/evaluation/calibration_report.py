"""What a calibration chose, in words for a terminal or a pipe."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path

from demure.calibrate import Calibration, Side, Target
from demure.evaluation.labelled import Gathering
from demure.evaluation.report import gathering_texts
from demure.evaluation.shares import given_percent, percent
from demure.policy import Outcome, Policy
from demure.printable import printable
from demure.promise import Promise


def calibration_lines(
    calibration: Calibration, target: Target, gathering: Gathering, output: Path, settings: Mapping[str, str]
) -> Iterator[str]:
    """From what, the two rules with what proves each, what is left, the conditions, and how to use what was written; that takes
    these settings as well."""
    policy = calibration.policy
    promise = policy.promise
    if promise is None:
        raise ValueError("a calibrated policy carries its promise")
    sure = given_percent(target.confidence)
    yield f"Chosen from {promise.adult:,} adult and {promise.safe:,} safe images, to hold with {sure} confidence."
    yield from (f"    {text}" for text in gathering_texts(gathering))
    if gathering.near_copies:
        yield "    copies that look alike count as if they were different: with many of them the promise is worth less"
    yield ""
    yield from _side(policy, Outcome.SAFE, target.max_missed, calibration.missed)
    yield from _side(policy, Outcome.ADULT, target.max_false_alarm, calibration.false_alarm)
    yield from _rest(promise)
    yield ""
    yield "It holds for images like these, labelled as these were: docs/policy.md says what breaks it."
    yield f"Written to {printable(str(output))}. To use it:"
    used = {**settings, "DEMURE_POLICY": str(output)}
    yield f"    {' '.join(f'{name}={shlex.quote(printable(value))}' for name, value in used.items())} demure serve"


def _side(policy: Policy, outcome: Outcome, share: float | None, side: Side | None) -> Iterator[str]:
    wronged, wrong = ("adult", "missed") if outcome is Outcome.SAFE else ("safe", "false alarm")
    yield f"{outcome}: {policy.rule(outcome)}"
    if share is None or side is None:
        yield "    as it was; nothing is promised of it"
    elif not side.bounds:
        yield f"    no rule with these bounds keeps {wrong} at {given_percent(share)}: nothing is decided so"
    else:
        yield f"    {wrong}: no more than {given_percent(share)} of all {wronged} images are decided so"
        yield f"    proved on {side.tested:,} of them, with {side.errors:,} mistakes"
    yield ""


def _rest(promise: Promise) -> Iterator[str]:
    mix = f"where {percent(promise.base_rate)} of the images are adult"
    yield f"unknown: the rest, {percent(promise.left)} of what comes, {mix}"
    yield f"    judged by {printable(promise.model)}; with another model nothing is promised"
