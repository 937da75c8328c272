#!/usr/bin/env python3
"""Kill the service a hundred times while people judge, over SQLite and PostgreSQL, and count the verdicts that are lost.

    make kill

Four clients claim and judge over HTTP; the service is ended by SIGKILL at a random moment of the first 0.4 s, and started again
over the same database. A verdict counts as acknowledged when its answer, 200, came back. Exit 1 if one of them is gone. It
says nothing of power cuts: those are the disk's and the file system's.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from load import ROOT
from rich.console import Console
from rich.progress import track

sys.path.insert(0, str(ROOT / "tests"))
from databases import KINDS, empty_database
from killing import CLIENTS, Killed
from tiny_models import FIVE, RULES, WITNESS, add_model, tiny_graph

ITEMS = 100_000


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=100)
    kills = parser.parse_args().kills
    lost = 0
    for kind in KINDS:
        with tempfile.TemporaryDirectory() as name:
            lost += len(kill(kind, kills, Path(name)))
    sys.exit(int(bool(lost)))


def kill(kind: str, kills: int, folder: Path) -> dict[str, str]:
    """The acknowledged verdicts that are gone."""
    console = Console()
    with empty_database(kind, folder) as url:
        killed = Killed(url, folder, tiny(folder))
        killed.fill(ITEMS)
        for _ in track(range(kills), kind, console=console, transient=True):
            killed.once()
        lost = killed.lost()
    console.print(
        f"{kind}: {kills} kills, {CLIENTS} clients; {len(killed.acknowledged):,} verdicts acknowledged, "
        f"{killed.cut_off} cut off; {len(lost)} lost"
    )
    return lost


def tiny(folder: Path) -> dict[str, str]:
    """Settings with small models: what is tried is not theirs to answer."""
    models, policies = folder / "models", folder / "policies"
    for made in (models, policies):
        made.mkdir()
    add_model(models, "colour", tiny_graph(5), FIVE)
    add_model(models, "redness", tiny_graph(2), WITNESS)
    (policies / "colours.toml").write_text(RULES)
    places = {"DEMURE_MODELS_DIR": str(models), "DEMURE_POLICIES_DIR": str(policies)}
    return {**places, "DEMURE_MODEL": "colour", "DEMURE_POLICY": "colours"}


if __name__ == "__main__":
    main()
