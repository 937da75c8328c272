"""How a contract that is not ours tells an error: its own body, and its own status where it has one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from demure.web.problems import STATUS, Refusal

_NEVER = {"not_found", "unknown_model", "method_not_allowed", "conflict"}  # what no door's POST meets


def described(refusal: Refusal, schema: Mapping[str, Any]) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a door's route: one entry a status, naming the codes of ours that end there."""
    by_status: dict[int, list[str]] = {}
    for code in sorted(STATUS.keys() - _NEVER):
        status, _ = refusal({"code": code, "status": STATUS[code], "detail": ""})
        by_status.setdefault(status, []).append(code)
    return {
        status: {
            "description": "For " + ", ".join(f"`{code}`" for code in codes),
            "content": {"application/json": {"schema": dict(schema)}},
        }
        for status, codes in sorted(by_status.items())
    }
