"""What several of the shell's commands begin with. Imports wait for the call, so that `--help` is quick."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from demure.pipeline import Screener
    from demure.settings import Settings


def read_settings() -> Settings:
    """As demure.settings.read_settings."""
    from demure.settings import read_settings as read

    return read()


@contextmanager
def open_screener(
    settings: Settings, threads: int, *, model: str | None, policy: str | None, fidelity: str = "fast"
) -> Iterator[Screener]:
    """Decoding in the sandbox: who looks into suspicious files does it here too. What is not named is the settings'."""
    from demure.classifier import Classifiers
    from demure.models import Registry
    from demure.pipeline import Screener
    from demure.policy_file import known_policies
    from demure.sandbox import Sandbox

    classifiers = Classifiers(Registry(settings.models_dir))
    known = known_policies(classifiers.registry.witnesses, settings.policies_dir, settings.policy)
    wanted = policy or settings.policy
    with Sandbox(threads, settings.sandbox_limits) as sandbox:
        yield Screener(
            known.get(wanted, wanted),
            model=model or settings.model,
            fidelity=fidelity,
            sandbox=sandbox,
            limits=settings.decode_limits,
            classifiers=classifiers,
        )
