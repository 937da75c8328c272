"""Whether what is installed is as new as this program asks, and can what it needs: codecs, and SQL that returns rows."""

from __future__ import annotations

import platform
import re
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata

from demure import __version__
from demure.doctor.finding import Finding, note, ok, problem

CHECK = "versions"
_OLDEST_SQLITE = "3.35"  # RETURNING
_REQUIREMENT = re.compile(r"([A-Za-z0-9._-]+)(?:\[[^]]*\])?\s*>=\s*([0-9.]+)\s*$")


@dataclass(frozen=True)
class Installed:
    python: str
    sqlite: str
    kernel: str
    packages: Mapping[str, str | None]  # versions, or None for what is missing
    required: Mapping[str, str] | None  # the oldest that will do, by package; None where nothing says so


def look() -> Installed:
    required = _required()
    names = {"onnxruntime", "pillow", "pi-heif", *(required or ())}
    return Installed(
        python=platform.python_version(),
        sqlite=sqlite3.sqlite_version,
        kernel=f"{platform.system()} {platform.release()}",
        packages={name: _version(name) for name in sorted(names)},
        required=required,
    )


def check_versions(installed: Installed) -> Iterator[Finding]:
    told = [f"{name} {installed.packages.get(name)}" for name in ("onnxruntime", "pillow", "pi-heif")]
    yield ok(
        CHECK,
        f"demure {__version__}, Python {installed.python}, {', '.join(told)}, SQLite {installed.sqlite}, {installed.kernel}",
    )
    for name, version in installed.packages.items():
        yield from _package(name, version, (installed.required or {}).get(name))
    if _is_older(installed.sqlite, _OLDEST_SQLITE):
        yield problem(
            CHECK,
            f"SQLite {installed.sqlite} is older than {_OLDEST_SQLITE}",
            "use a Python with a newer SQLite, or PostgreSQL",
        )
    if installed.required is None:
        yield note(
            CHECK,
            "demure runs from a folder and is not installed: how old its libraries may be is not looked at",
            "pip install -r requirements.txt gives those that it was tested with",
        )


def _package(name: str, version: str | None, oldest: str | None) -> Iterator[Finding]:
    wanted = f"{name}>={oldest}" if oldest else name
    if version is None:
        yield problem(CHECK, f"{name} is not installed", f'pip install "{wanted}"')
    elif oldest and _is_older(version, oldest):
        yield problem(CHECK, f"{name} {version} is older than {oldest}", f'pip install --upgrade "{wanted}"')


def _required() -> Mapping[str, str] | None:
    """Of our own metadata, without the extras: what has a marker behind it does not match."""
    try:
        told = metadata.requires("demure") or []
    except metadata.PackageNotFoundError:
        return None
    return {match[1]: match[2] for text in told if (match := _REQUIREMENT.match(text))}


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _is_older(version: str, oldest: str) -> bool:
    """By their numbers; what follows them (rc1, +cpu) does not count."""
    return _numbers(version) < _numbers(oldest)


def _numbers(version: str) -> tuple[int, ...]:
    head = re.match(r"[0-9.]*", version)
    return tuple(int(part) for part in (head[0] if head else "").split(".") if part)
