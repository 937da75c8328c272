"""Is this machine set up well? Each check looks at one thing, changes nothing, and says what to do where it is not well.

What is looked at is apart from what is said of it, so that every answer can be tried. Nothing outside this machine is asked but
the database that the settings name, and the service not at all: it may run or not.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from demure.doctor import callers, clock, database, decoders, disk, machine, network, place, policies, versions, weights
from demure.doctor.case import Case
from demure.doctor.contents import Contents
from demure.doctor.finding import Finding, State, note, problem
from demure.doctor.place import Unreadable
from demure.doctor.variables import CHECK as SETTINGS
from demure.doctor.variables import check_settings, read_what_can_be

__all__ = ["SETTINGS", "Finding", "State", "examine"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Check:
    """`needs` are settings: where one of them cannot be read, what the check would say could be wrong."""

    name: str
    run: Callable[[Case], Iterable[Finding]]
    needs: tuple[str, ...] = ()


def examine(environment: Mapping[str, str]) -> Iterator[Finding]:
    """All findings, each as soon as it is known. `environment` is the service's."""
    case = Case(read_what_can_be(environment), environment)
    yield from check_settings(case.reading)
    for check in CHECKS:
        yield from run_check(check, case)


def run_check(check: Check, case: Case) -> Iterator[Finding]:
    """What goes wrong in one check does not keep the others from speaking."""
    unknown = [f"DEMURE_{name.upper()}" for name in check.needs if not case.reading.is_known(name)]
    if unknown:
        told = unknown[0] if len(unknown) == 1 else "the settings that it needs"
        yield note(check.name, f"not looked at: {told} cannot be read", "mend that first, and ask again")
        return
    try:
        yield from check.run(case)
    except Exception as error:  # noqa: BLE001  as it says above
        _log.exception("the check %s failed", check.name)
        yield problem(
            check.name,
            f"could not be looked at ({type(error).__name__})",
            "this is a fault of demure doctor, and what was written to standard error says where",
        )


def _on_database(case: Case) -> Iterator[Finding]:
    target, access = case.target, case.access
    if isinstance(target, Unreadable):
        yield problem(place.CHECK, target.found, target.advice)
        return
    if target.in_memory:
        yield note(
            place.CHECK,
            "SQLite in memory: reviews, verdicts and keys are gone when the process ends",
            "leave DEMURE_DATABASE_URL out, or name a file or a PostgreSQL",
        )
    if target.path is not None and access is not None:
        yield from place.check_access(access, target.path)
        if access.is_shut:  # that was said, and no more can be
            return
    if isinstance(case.condition, Unreadable):
        yield problem(place.CHECK, case.condition.found, case.condition.advice)
    elif case.condition is not None:
        yield from database.check_condition(case.condition, target.where)


def _on_disk(case: Case) -> Iterator[Finding]:
    path = None if isinstance(case.target, Unreadable) else case.target.path
    if path is not None:
        size = case.condition.size_bytes if isinstance(case.condition, database.Condition) else 0
        yield from disk.check_disk(disk.look(path.parent, case.environment), size)


def _knowing(name: str, run: Callable[[Case, Contents], Iterable[Finding]], *needs: str) -> Check:
    """A check of what is in the database."""

    def check(case: Case) -> Iterator[Finding]:
        if case.contents is None:
            yield note(name, "not looked at: it is in the database, which cannot be read as it is", "see database")
        else:
            yield from run(case, case.contents)

    return Check(name, check, (*_STORE, *needs))


_STORE = ("data_dir", "database_url")
CHECKS = (
    Check(versions.CHECK, lambda _: versions.check_versions(versions.look())),
    Check(
        machine.CHECK,
        lambda case: machine.check_machine(machine.look(case.environment), case.settings, case.environment),
        ("threads", "max_held_bytes", "decoder_memory_bytes", "max_connections"),
    ),
    Check(clock.CHECK, lambda _: clock.check_clock(clock.look())),
    Check(weights.CHECK, lambda case: weights.check_weights(case.settings), ("model", "models_dir")),
    Check(decoders.CHECK, lambda case: decoders.check_decoding(case.settings), ("decoder_memory_bytes",)),
    Check(
        policies.CHECK,
        lambda case: policies.check_policies(case.settings),
        ("model", "models_dir", "policy", "policies_dir", "contexts"),
    ),
    Check(disk.CHECK, _on_disk, _STORE),
    Check(place.CHECK, _on_database, _STORE),
    _knowing(
        callers.KEYS,
        lambda case, contents: callers.check_keys(case.settings, contents, time.time_ns() // 1_000_000),
        "api_keys",
    ),
    _knowing(
        callers.ACCESS,
        lambda case, contents: callers.check_access(case.settings, contents),
        *("api_keys", "public", "hosts", "try_page"),
    ),
    _knowing(callers.REVIEW, lambda _, contents: callers.check_review(contents)),
    _knowing(
        callers.WEBHOOKS,
        lambda case, contents: callers.check_webhooks(case.settings, contents),
        *("webhook_urls", "webhook_secrets"),
    ),
    Check(
        network.CHECK,
        lambda case: network.check_network(network.look(), case.settings, case.environment),
        ("fetch_allow_networks", "fetch_ports", "webhook_allow_networks", "webhook_ports"),
    ),
)
