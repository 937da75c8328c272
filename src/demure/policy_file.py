"""A policy as its TOML file has it: found by name or path, read, and written."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, replace
from importlib import resources
from pathlib import Path
from typing import Any

from demure.errors import DemureError, InvalidPolicy, UnknownPolicy
from demure.policy import Bound, Policy
from demure.promise import Promise, read_promise
from demure.scores import Category

SHIPPED = ("balanced", "strict", "permissive", "original")
_LARGEST = 1e6  # of a weight or a limit
_CONDITIONS = """\
# With the confidence below, of all adult images no more than max_missed are decided safe, and of all safe ones no more than
# max_false_alarm adult: for images like those that this was made from, labelled as they were, and judged by the same model.
# docs/policy.md says what breaks it. Where a bound is changed there is no promise: take this section out then.
"""


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
        policy = Policy(name, description, sums, adult, safe, frozenset())
        policy = replace(policy, witnesses=self.witnesses & policy.named)
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


# --- Writing ---------------------------------------------------------------------------------------------------------


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
