"""A policy as its TOML file has it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict

from demure.policy import Bound, Policy
from demure.promise import Promise

_CONDITIONS = """\
# With the confidence below, of all adult images no more than max_missed are decided safe, and of all safe ones no more than
# max_false_alarm adult: for images like those that this was made from, labelled as they were, and judged by the same model.
# docs/policy.md says what breaks it. Where a bound is changed there is no promise: take this section out then.
"""


def policy_text(policy: Policy) -> str:
    """As `parse_policy` reads it: every number to its last digit."""
    parts = [f"name = {_quoted(policy.name)}\ndescription = {_quoted(policy.description)}\n"]
    if policy.sums:
        parts.append("[sums]\n" + "".join(f"{_key(n)} = {_weights(w)}\n" for n, w in policy.sums.items()))
    parts += [_section(name, bounds) for name, bounds in (("adult", policy.adult), ("safe", policy.safe))]
    if policy.promise is not None:
        parts.append(_promise(policy.promise))
    return "\n".join(parts)


def _section(name: str, bounds: Iterable[Bound]) -> str:
    """A score may have two bounds."""
    by_name: dict[str, list[str]] = {}
    for bound in bounds:
        by_name.setdefault(bound.name, []).append(f"{bound.relation} = {bound.limit!r}")
    lines = [f"{_key(score)} = {{ {', '.join(limits)} }}\n" for score, limits in by_name.items()]
    return f"[{name}]  # {'all must hold' if lines else 'without bounds it never holds'}\n" + "".join(lines)


def _promise(promise: Promise) -> str:
    given = {name: value for name, value in asdict(promise).items() if value is not None}
    return f"[promise]\n{_CONDITIONS}" + "".join(f"{name} = {_value(value)}\n" for name, value in given.items())


def _value(value: object) -> str:
    return _quoted(value) if isinstance(value, str) else str(list(value)) if isinstance(value, tuple) else repr(value)


def _weights(weights: Mapping[str, float]) -> str:
    return "{ " + ", ".join(f"{_key(name)} = {weight!r}" for name, weight in weights.items()) + " }"


def _key(name: str) -> str:
    is_bare = name.isascii() and name.replace("_", "a").replace("-", "a").isalnum()
    return name if is_bare else _quoted(name)


def _quoted(text: str) -> str:
    """A basic string of TOML: JSON's, but that TOML has DEL escaped too."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
