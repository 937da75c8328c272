"""What the scores mean: decide(scores, policy) -> Decision. Pure: it knows names and numbers, no image and no model.

A policy is data: weighted sums, and bounds that must all hold for `adult` or for `safe`. Whatever meets neither, or both,
is `unknown`. A bound on a value that is not there does not hold, so nothing is safe for want of a score.
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from importlib import resources
from pathlib import Path
from typing import Any

from demure.errors import DemureError, InvalidPolicy, UnknownPolicy
from demure.promise import Promise, read_promise
from demure.scores import RISK, Category, weighted_sum

_LARGEST = 1e6  # of a weight or a limit
SHIPPED = ("balanced", "strict", "permissive", "original")
DEFAULT = "balanced"


class Outcome(StrEnum):
    """What the machine chose, from the mildest to the gravest."""

    SAFE = "safe"
    UNKNOWN = "unknown"
    ADULT = "adult"

    @property
    def gravity(self) -> int:
        return list(Outcome).index(self)


@dataclass(frozen=True)
class Bound:
    """One condition: the value called `name` is at least, or at most, `limit`."""

    name: str
    relation: str  # "at_least" or "at_most"
    limit: float

    def holds(self, values: Mapping[str, float]) -> bool:
        if self.name not in values:
            return False
        value = values[self.name]
        return value >= self.limit if self.relation == "at_least" else value <= self.limit

    def __str__(self) -> str:
        return f"{self.name} {'>=' if self.relation == 'at_least' else '<='} {self.limit:g}"


@dataclass(frozen=True)
class Policy:
    """Named bounds. `version` is a hash of the content: two policies with one version decide alike."""

    name: str
    description: str
    sums: Mapping[str, Mapping[str, float]]
    adult: tuple[Bound, ...]
    safe: tuple[Bound, ...]
    witnesses: frozenset[str]  # the models, besides the five-class one, whose score it names
    promise: Promise | None = None  # what the bounds were chosen to keep

    @property
    def version(self) -> str:
        content = [self.sums, *([(b.name, b.relation, b.limit) for b in bounds] for bounds in (self.adult, self.safe))]
        canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:12]

    def rule(self, outcome: Outcome) -> str:
        """The bounds of `adult` or `safe` in words, as a reason gives them."""
        bounds = self.adult if outcome is Outcome.ADULT else self.safe
        return " and ".join(map(str, bounds)) or "never"


@dataclass(frozen=True)
class Decision:
    """What the machine chose, and why: the rule that fired, or what went wrong."""

    outcome: Outcome
    reason: str
    policy: str
    policy_version: str


def decide(values: Mapping[str, float], policy: Policy) -> Decision:
    """Judge one row of values, categories and witnesses alike, each in [0, 1].

    The reasons for `unknown` are `models_disagree`, where one model alone would say adult and another safe, and
    `uncertain` for all else.
    """
    values = {**values, **policy_sums(values, policy)}
    is_adult, is_safe = (_all_hold(bounds, values) for bounds in (policy.adult, policy.safe))
    if is_adult and not is_safe:
        outcome, reason = Outcome.ADULT, policy.rule(Outcome.ADULT)
    elif is_safe and not is_adult:
        outcome, reason = Outcome.SAFE, policy.rule(Outcome.SAFE)
    else:
        outcome, reason = Outcome.UNKNOWN, "models_disagree" if _models_disagree(values, policy) else "uncertain"
    return Decision(outcome, reason, policy.name, policy.version)


def undecided(reason: str, policy: Policy) -> Decision:
    """The decision where something other than the scores settled it: a size, or an error's code."""
    return Decision(Outcome.UNKNOWN, reason, policy.name, policy.version)


def sort_score(values: Mapping[str, float], policy: Policy) -> float:
    """One number to sort by, in [0, 1]: the larger of the policy's `risk` and the witnesses' scores."""
    risk = weighted_sum(policy.sums.get("risk", RISK), values)
    candidates = [values[w] for w in policy.witnesses if w in values]
    return min(1.0, round(max([*candidates, risk or 0.0]), 7))


def policy_sums(values: Mapping[str, float], policy: Policy) -> dict[str, float]:
    """The policy's sums that can be made of these values."""
    sums = {name: weighted_sum(weights, values) for name, weights in policy.sums.items()}
    return {name: value for name, value in sums.items() if value is not None}


def _all_hold(bounds: tuple[Bound, ...], values: Mapping[str, float]) -> bool:
    return bool(bounds) and all(bound.holds(values) for bound in bounds)


def _models_disagree(values: Mapping[str, float], policy: Policy) -> bool:
    """Each model is asked alone, by the bounds that are its own."""
    leanings = set()
    for speaker in {_speaker(bound, policy) for bound in (*policy.adult, *policy.safe)}:
        own_adult, own_safe = (
            tuple(b for b in bounds if _speaker(b, policy) == speaker) for bounds in (policy.adult, policy.safe)
        )
        is_adult, is_safe = _all_hold(own_adult, values), _all_hold(own_safe, values)
        if is_adult != is_safe:
            leanings.add(Outcome.ADULT if is_adult else Outcome.SAFE)
    return len(leanings) == 2


def _speaker(bound: Bound, policy: Policy) -> str:
    return bound.name if bound.name in policy.witnesses else "categories"


# --- Reading ----------------------------------------------------------------------------------------------------------


def find_policy(name_or_path: str, witnesses: Collection[str]) -> Policy:
    """A shipped policy by its name, or an operator's own by a path that ends in .toml.

    Raises UnknownPolicy for a name that is not shipped, InvalidPolicy for a file that cannot be read or does not hold.
    """
    if name_or_path in SHIPPED:
        text = resources.files("demure").joinpath(f"policies/{name_or_path}.toml").read_text("utf-8")
        return parse_policy(text, name_or_path, witnesses)
    if not name_or_path.endswith(".toml"):
        raise UnknownPolicy(f"no policy {name_or_path!r}; known: {', '.join(SHIPPED)}, or a path that ends in .toml")
    try:
        text = Path(name_or_path).read_text("utf-8")
    except (OSError, ValueError) as error:  # ValueError: no text, or a NUL in the name
        raise InvalidPolicy(f"{name_or_path!r}: cannot be read ({error})") from error
    return parse_policy(text, name_or_path, witnesses)


def known_policies(witnesses: Collection[str], folder: Path | None, default: str) -> dict[str, Policy]:
    """The shipped policies, those of an operator's folder, and the default if it is a file: under its path and its name.

    Raises InvalidPolicy for a file that does not hold, or a name in the folder that is taken.
    """
    policies = {name: find_policy(name, witnesses) for name in SHIPPED}
    for path in sorted(folder.glob("*.toml")) if folder else []:
        policy = find_policy(str(path), witnesses)
        if policy.name in policies:
            raise InvalidPolicy(f"{path}: name: {policy.name!r} is taken by another policy")
        policies[policy.name] = policy
    if default.endswith(".toml"):
        policy = find_policy(default, witnesses)
        policies |= {default: policy, policy.name: policy}
    return policies


def parse_policy(text: str, origin: str, witnesses: Collection[str]) -> Policy:
    """Read a policy from TOML; `origin` stands in messages, `witnesses` are the names of the models with one score.

    Raises InvalidPolicy, which tells the file, the key and what was expected.
    """
    return _PolicyReader(origin, frozenset(witnesses)).read(text)


class _PolicyReader:
    """Holds what every message needs while one file is read."""

    def __init__(self, origin: str, witnesses: frozenset[str]) -> None:
        self.origin = origin
        self.witnesses = witnesses

    def error(self, key: str, expected: str) -> DemureError:
        return InvalidPolicy(f"{self.origin}: {key}: {expected}")

    def read(self, text: str) -> Policy:
        try:
            table = tomllib.loads(text)
        except (ValueError, RecursionError) as error:
            raise InvalidPolicy(f"{self.origin}: not TOML ({error})") from error
        allowed = {"name", "description", "sums", "adult", "safe", "promise"}
        for key in table.keys() - allowed:
            raise self.error(key, f"unknown key; expected one of {', '.join(sorted(allowed))}")
        name, description = table.get("name"), table.get("description", "")
        if not isinstance(name, str) or not name:
            raise self.error("name", f"expected a name in quotes, found {name!r}")
        if not isinstance(description, str):
            raise self.error("description", f"expected text in quotes, found {description!r}")
        sums = self.sums(self.table(table, "sums"))
        adult, safe = (self.bounds(self.table(table, section), section, sums) for section in ("adult", "safe"))
        named = {bound.name for bound in (*adult, *safe)} | {n for weights in sums.values() for n in weights}
        policy = Policy(name, description, sums, adult, safe, self.witnesses & named)
        return replace(policy, promise=self.promise(table, policy)) if "promise" in table else policy

    def promise(self, table: Mapping[str, Any], policy: Policy) -> Promise:
        promise = read_promise(self.table(table, "promise"), self.error)
        if promise.version != policy.version:
            expected = "the bounds are not those that it was made with; put them back, calibrate again, or take it out"
            raise self.error("promise", expected)
        return promise

    def table(self, parent: Mapping[str, Any], key: str, section: str = "") -> dict[str, Any]:
        value = parent.get(key, {})
        if not isinstance(value, dict):
            raise self.error(section + key, f"expected a table, found {value!r}")
        return value

    def sums(self, table: dict[str, Any]) -> dict[str, dict[str, float]]:
        sums = {}
        for name in table:
            if name in self.scores:
                raise self.error(f"sums.{name}", "a sum must not carry the name of a score")
            weights = self.table(table, name, "sums.")
            for part in weights:
                self.check_name(part, f"sums.{name}.{part}", self.scores)
            sums[name] = {part: self.number(weight, f"sums.{name}.{part}") for part, weight in weights.items()}
            if not weights or min(sums[name].values()) < 0 or not any(sums[name].values()):
                raise self.error(f"sums.{name}", f"expected scores with weights above 0, found {weights}")
        return sums

    def bounds(self, table: dict[str, Any], section: str, sums: Mapping[str, Any]) -> tuple[Bound, ...]:
        bounds = []
        for name in table:
            key = f"{section}.{name}"
            self.check_name(name, key, [*self.scores, *sums])
            relations = self.table(table, name, f"{section}.")
            if not relations or relations.keys() - {"at_least", "at_most"}:
                raise self.error(key, f"expected {{ at_least = … }} or {{ at_most = … }}, found {relations}")
            for relation, limit in relations.items():
                bound = Bound(name, relation, self.number(limit, f"{key}.{relation}"))
                self.check_limit(bound, f"{key}.{relation}", sum(sums.get(name, {name: 1.0}).values()))
                bounds.append(bound)
        return tuple(bounds)

    def check_limit(self, bound: Bound, key: str, largest: float) -> None:
        """A bound that holds always, or never, is a slip: percent for shares, most often."""
        if bound.relation == "at_least" and not 0 < bound.limit <= largest:
            raise self.error(key, f"expected more than 0 and at most {largest:g}, found {bound.limit:g}")
        if bound.relation == "at_most" and not 0 <= bound.limit < largest:
            raise self.error(key, f"expected at least 0 and less than {largest:g}, found {bound.limit:g}")

    @property
    def scores(self) -> list[str]:
        return [*Category, *sorted(self.witnesses)]

    def check_name(self, name: str, key: str, known: Collection[str]) -> None:
        if name not in known:
            raise self.error(key, f"unknown name; expected one of {', '.join(known)}")

    def number(self, value: object, key: str) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= _LARGEST:
            raise self.error(key, f"expected a number, found {str(value)[:40]!r}")
        return float(value)
