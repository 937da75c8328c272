"""Which settings can be read, when not all can: each variable is tried with those that were good before it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches

from demure.doctor.finding import Finding, counted, listed, ok, problem
from demure.errors import InvalidSetting
from demure.settings import OF_SITES, PREFIX, Settings, read_settings

CHECK = "settings"
FILE = f"{PREFIX}CONFIG"


@dataclass(frozen=True)
class Reading:
    """`settings` without what is `broken`: variables, each with what is wrong with it."""

    settings: Settings
    given: tuple[str, ...]  # variables, with those that are broken
    broken: Mapping[str, str] = field(default_factory=dict)

    def is_known(self, name: str) -> bool:
        """Whether a setting's value, or that it has none, was read. A file that cannot be read could have held any."""
        return FILE not in self.broken and f"{PREFIX}{name.upper()}" not in self.broken


def read_what_can_be(environment: Mapping[str, str]) -> Reading:
    given = _ours(environment)
    try:
        return Reading(read_settings({name: environment[name] for name in given}), given)
    except InvalidSetting:
        pass
    good: dict[str, str] = {}
    broken: dict[str, str] = {}
    for name in given:
        try:
            read_settings({**good, name: environment[name]})
        except InvalidSetting as error:
            broken[name] = error.message
        else:
            good[name] = environment[name]
    return Reading(read_settings(good), given, broken)


def _ours(environment: Mapping[str, str]) -> tuple[str, ...]:
    """The file first, then as Settings has them: one is checked by those before it."""
    order = [FILE, *(PREFIX + name.upper() for name in Settings.model_fields)]
    ours = [name for name in environment if name.startswith(PREFIX) and name not in OF_SITES]
    return tuple(sorted(ours, key=lambda name: (order.index(name) if name in order else len(order), name)))


def check_settings(reading: Reading) -> Iterator[Finding]:
    problems = [_told(name, message) for name, message in reading.broken.items()]
    problems += _on_rate_limit(reading.settings)
    told = f"{counted(len(reading.given), 'variable')} set, the rest as they come: {listed(list(reading.given))}"
    yield from problems or [ok(CHECK, told if reading.given else "all as they come")]


def _on_rate_limit(settings: Settings) -> Iterator[Finding]:
    """The one setting that is read when the service is built: importing that is spared where it can be."""
    if "rate_limit" in settings.model_fields_set:
        from demure.web.app import read_access

        try:
            read_access(settings)
        except InvalidSetting as error:
            yield _told(f"{PREFIX}RATE_LIMIT", error.message)


def _told(name: str, message: str) -> Finding:
    known = [PREFIX + field.upper() for field in Settings.model_fields]
    if name in known:
        return problem(
            CHECK, message, f"set {name} to what is expected, or take it out; docs/settings.md has the forms"
        )
    if name == FILE:
        return problem(CHECK, message, f"mend the file, or take {FILE} out; docs/settings.md has the forms")
    near = get_close_matches(name.removeprefix(PREFIX).lower(), Settings.model_fields, 1)
    meant = f"did you mean {PREFIX}{near[0].upper()}? If not, take it out" if near else "take it out"
    return problem(CHECK, f"{name}: no such setting", f"{meant}: the service does not start with it")
