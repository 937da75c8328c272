"""What people said in the review, as a labelled set: a fair sample of what came, or nothing.

All that was unknown is judged, and of what was decided a share, drawn by lot. So that every image had the same chance to be in
the set, labels of those with a larger one are left out, by lot again. What remains is a plain random sample of the images that
came, and what holds for such samples holds for it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING

from demure.checks import is_kept
from demure.errors import InvalidLabels
from demure.evaluation.gathering import Collected, Column, columns_of
from demure.evaluation.labelled import LabelledSet
from demure.pipeline import MIN_SIDE
from demure.reviews import Verdict
from demure.store import checks
from demure.store.checks import LabelledRow

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from demure.store.database import Database


def read_verdicts(database: Database, model: str, witnesses: Collection[str]) -> LabelledSet:
    """Images that were judged by this model, with these witnesses, and by a person; each as it first came.

    Raises InvalidLabels where no decision had a chance to come before people: verdicts on what was unknown say nothing
    of the rest. And what the database raises.
    """
    seed = database.write(checks.seed)

    def read(connection: Connection) -> LabelledSet:
        least = checks.best_chance(connection, model)
        if least is None:
            raise InvalidLabels(
                f"nobody was asked about what {model} had decided itself, and verdicts on what was unknown say nothing of that: "
                "set DEMURE_SPOT_CHECKS for both decisions, and let people judge for a while"
            )
        return _thinned(
            checks.labelled_rows(connection, model, least), columns_of([model], sorted(witnesses)), seed, least
        )

    return database.read(read)


def _thinned(rows: Iterable[LabelledRow], columns: tuple[Column, ...], seed: bytes, least: float) -> LabelledSet:
    collected = Collected(columns, grouped=False, fingerprinted=False)
    for row in rows:
        scores = {**(row.scores or {}), **(row.witnesses or {})}
        media, sha256 = row.media or {}, row.sha256.hex()
        is_small = min(media.get("width", MIN_SIDE), media.get("height", MIN_SIDE)) < MIN_SIDE
        if not is_kept(seed, row.sha256, row.chance, least):
            collected.thin()
        elif any(name not in scores for _, name in columns):
            collected.fail("not_scored")
        elif row.pictures != 1 and not is_small:
            # Kept are the scores of the gravest picture by the policy of then: by another bound another may be.
            collected.fail("several_pictures")
        else:
            collected.add(
                [scores[name] for _, name in columns],
                is_adult=row.verdict is Verdict.ADULT,
                is_small=is_small,
                id=sha256,
                sha256=sha256,
                key=sha256,
            )
    return collected.labelled_set()
