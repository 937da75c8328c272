"""What demure doctor found, as tests write it down."""

from __future__ import annotations

from collections.abc import Iterable

from demure.doctor.finding import Finding


def told(findings: Iterable[Finding] | Finding) -> list[tuple[str, ...]]:
    """Each as state, what was found and what to do; of what is ok there is nothing to do."""
    given = [findings] if isinstance(findings, Finding) else findings
    return [tuple(filter(None, (str(f.state), f.found, f.advice))) for f in given]


def states(findings: Iterable[Finding]) -> list[tuple[str, str]]:
    return [(f.check, str(f.state)) for f in findings]
