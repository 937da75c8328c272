"""What several of the shell's commands begin with. Imports wait for the call, so that `--help` is quick."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from demure.pipeline import Screener
    from demure.settings import Settings


def read_settings() -> Settings:
    """As demure.settings.read_settings."""
    from demure.settings import read_settings as read

    return read()


def warn(text: str) -> None:
    """One line on standard error, which is in no pipe's way; names in it are others' text."""
    from demure.printable import printable

    print(f"demure: warning: {printable(text)}", file=sys.stderr)


def check_output(output: Path, inputs: Iterable[Path]) -> None:
    """Before the work is done that the file is for. Raises Conflict for one of the inputs, InvalidSetting, and StorageFull."""
    from demure.errors import Conflict
    from demure.files import check_place

    if output.exists() and any(path.exists() and output.samefile(path) for path in inputs):
        raise Conflict(f"{output}: is what is to be read; name another file")
    check_place(output)


@contextmanager
def open_screener(
    settings: Settings, threads: int, *, model: str | None, policy: str | None, fidelity: str = "fast"
) -> Iterator[Screener]:
    """Decoding in the sandbox: who looks into suspicious files does it here too. What is not named is the settings'.

    It warns where the policy's promise was made for another model.
    """
    from demure.classifier import Classifiers
    from demure.models import Registry
    from demure.pipeline import Screener
    from demure.policy_file import known_policies
    from demure.sandbox import Sandbox

    classifiers = Classifiers(Registry(settings.models_dir))
    known = known_policies(classifiers.registry.witnesses, settings.policies_dir, settings.policy)
    wanted = policy or settings.policy
    with Sandbox(threads, settings.sandbox_limits) as sandbox:
        screener = Screener(
            known.get(wanted, wanted),
            model=model or settings.model,
            fidelity=fidelity,
            sandbox=sandbox,
            limits=settings.decode_limits,
            classifiers=classifiers,
        )
        promise = screener.policy.promise
        if promise and (why := promise.void_with(f"the policy {screener.policy.name}", screener.model)):
            warn(why)
        yield screener
