"""The shell: `demure …`."""

from demure.cli.app import app, main

__all__ = ["app", "main"]
