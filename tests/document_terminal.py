"""The terminal in which a document's commands are run, one after the other."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

from document_blocks import ROOT

BIN = Path(sys.executable).parent
_NOWHERE = "http://127.0.0.1:9"
# Outside of a terminal curl shows how far it is, and forgets that a refusal is a failure.
_CURLRC = "silent\nshow-error\nfail-with-body\n"
# What a terminal keeps from one command to the next: variables (but `$!`, which each shell has for itself) and the folder.
# The shell's own that are read-only stay as they are. All in one line, so that bash counts a block's lines from its first.
_TERMINAL = """. "$HOME/.terminal" 2>/dev/null || :; trap '{ declare -p; printf "cd -- %q\\n" "$PWD"; } > "$HOME/.terminal"' EXIT; """


class Failed(Exception):
    """A block did not do what its page says."""


class Terminal:
    """Runs commands one after the other, and in the end closes what they left running."""

    def __init__(self, folder: Path, picture: str, timeout_s: float) -> None:
        self.folder = folder / "page"
        self._home = folder / "home"
        self._timeout_s = timeout_s
        self._groups: list[int] = []  # of processes; each command begins one
        for made in (self.folder, self._home, folder / "tmp"):
            made.mkdir()
        shutil.copytree(ROOT / "examples", self.folder / "examples")
        (self._home / ".curlrc").write_text(_CURLRC)
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("DEMURE_", "PROMETHEUS_")) and k != "PORT"}
        self.environment = {
            **kept,
            "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(self._home),
            "TMPDIR": str(folder / "tmp"),
            **dict.fromkeys(("http_proxy", "https_proxy", "all_proxy"), _NOWHERE),
            "no_proxy": "127.0.0.1,localhost",
            "DEMURE_FETCH_ALLOW_NETWORKS": "127.0.0.0/8",
            "DEMURE_FETCH_PORTS": f"80,443,{urlsplit(picture).port}",
        }

    def run(self, script: str) -> tuple[int, str]:
        """Its exit code, and all that it printed."""
        with tempfile.TemporaryFile("w+") as output:  # and no pipe: what goes on in the background would hold it
            process = subprocess.Popen(
                ["bash", "-e", "-o", "pipefail", "-c", _TERMINAL + script],
                cwd=self.folder, env=self.environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True,
            )  # fmt: skip
            try:
                code = process.wait(self._timeout_s)
            except subprocess.TimeoutExpired:
                raise Failed(f"{script}\n--- took longer than {self._timeout_s:g} s\n{all_of(output)}") from None
            finally:
                if _has_members(process.pid):
                    self._groups.append(process.pid)
            return code, all_of(output)

    def close(self) -> None:
        for group in self._groups:
            if _has_members(group):
                os.killpg(group, signal.SIGKILL)


def _has_members(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def all_of(output: IO[str]) -> str:
    """All of it: others write through the same descriptor, so its place stays as it is."""
    descriptor = output.fileno()
    return os.pread(descriptor, os.fstat(descriptor).st_size, 0).decode(errors="replace")
