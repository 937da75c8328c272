"""One fuzz target under atheris: where its corpus and its findings lie, and what counts as a finding.

A target is a function of bytes that returns for whatever is well; any exception that it lets out is a finding, and so are a
crash, five seconds without an end, and too much memory. A finding ends the run: fuzz/run.py reports it.
"""

from __future__ import annotations

import hashlib
import sys
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path

import atheris

ROOT = Path(__file__).parent.parent
WORK = ROOT / ".fuzz"
TESTS = ROOT / "tests"
sys.path.insert(0, str(TESTS))

Target = Callable[[bytes], None]
Mutate = Callable[[bytes, int, int], bytes]  # (data, max_size, seed)


def fuzz(target: Target, seeds: Iterable[bytes], mutate: Mutate | None = None, max_bytes: int = 4096) -> None:
    """Run until the command line's -max_total_time or -runs is spent; without either, until something is found.

    A path on the command line is tried alone: this is how a finding is looked at again.
    """
    name = Path(sys.argv[0]).stem
    arguments = sys.argv[1:]
    if not any(Path(argument).is_file() for argument in arguments):
        corpus = WORK / "corpus" / name
        _sow(corpus, seeds)
        arguments.append(str(corpus))
    findings = WORK / "findings"
    findings.mkdir(parents=True, exist_ok=True)
    options = [f"-artifact_prefix={findings}/{name}-", f"-max_len={max_bytes}", "-timeout=5", "-rss_limit_mb=1500"]
    found_at = findings / f"{name}.txt"

    def told(data: bytes) -> None:
        try:
            target(data)
        except Exception:
            found_at.write_text(f"{data!r}\n\n{traceback.format_exc()}")
            raise

    hooks = {} if mutate is None else {"custom_mutator": mutate}
    atheris.Setup([sys.argv[0], *options, *arguments], told, **hooks)
    atheris.Fuzz()


def _sow(corpus: Path, seeds: Iterable[bytes]) -> None:
    corpus.mkdir(parents=True, exist_ok=True)
    for seed in seeds:
        (corpus / hashlib.sha256(seed).hexdigest()[:16]).write_bytes(seed)


def check(holds: object, *facts: object) -> None:
    """An assertion that -O does not take away, and that tells what it saw."""
    if not holds:
        raise AssertionError(*facts)
