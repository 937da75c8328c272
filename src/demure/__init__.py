"""demure tells whether an image is adult, safe, or something that a person must look at.

    import demure
    demure.screen("picture.jpg").decision      # "adult", "unknown" or "safe"
    demure.classify("picture.jpg")["porn"]     # 0.0 to 1.0

Names are loaded when first used: importing demure loads no model, no web framework and no database.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from demure.classifier import Classifier, Classifiers
    from demure.decode import DecodeLimits, Media
    from demure.errors import DemureError
    from demure.models import ModelSpec, Registry
    from demure.pipeline import Screener, classify, screen
    from demure.policy import Decision, Outcome, Policy, decide
    from demure.policy_file import find_policy
    from demure.preprocess import Fidelity
    from demure.sandbox import Sandbox, SandboxLimits
    from demure.scores import Category, Scores
    from demure.screening import Screening

__version__ = "0.1.0"

_HOMES = {
    "Category": "scores",
    "Classifier": "classifier",
    "Classifiers": "classifier",
    "DecodeLimits": "decode",
    "Decision": "policy",
    "DemureError": "errors",
    "Fidelity": "preprocess",
    "Media": "decode",
    "ModelSpec": "models",
    "Outcome": "policy",
    "Policy": "policy",
    "Registry": "models",
    "Sandbox": "sandbox",
    "SandboxLimits": "sandbox",
    "Scores": "scores",
    "Screener": "pipeline",
    "Screening": "screening",
    "classify": "pipeline",
    "decide": "policy",
    "find_policy": "policy_file",
    "screen": "pipeline",
}
__all__ = [*_HOMES]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'demure' has no attribute {name!r}")
    value = getattr(import_module(f"demure.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
