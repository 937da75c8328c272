"""What people said in the review, as a labelled set: a fair sample of what came, or nothing.

All that was unknown is judged, and of what was decided a share, drawn by lot. So that every image had the same chance to be in
the set, labels of those with a larger one are left out, by lot again. What remains is a plain random sample of the images that
came, and what holds for such samples holds for it; but for those few that nobody judged (fair.py).

Of an image that was looked at again the last verdict is the label. Who is looked at again hangs on what was said, but who is in
the set does not: that was drawn before. So no image is in it more or less often for it; a label is put right, no more.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from demure.checks import is_kept
from demure.evaluation.fair import fair_sample
from demure.evaluation.gathering import Collected, Column, columns_of
from demure.evaluation.labelled import LabelledSet
from demure.pipeline import MIN_SIDE
from demure.reviews import Verdict
from demure.store import checks
from demure.store.checks import LabelledRow
from demure.store.schema import DAY_MS

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from demure.store.database import Database


def read_verdicts(database: Database, model: str, witnesses: Collection[str]) -> LabelledSet:
    """Images that were judged by this model, with these witnesses, and by a person, who may have looked again; each as it first
    came.

    Raises InvalidLabels where there is no fair sample (fair_sample). And what the database raises.
    """
    seed = database.write(checks.seed)
    today = database.now_ms() // DAY_MS

    def read(connection: Connection) -> LabelledSet:
        sample = fair_sample(checks.strata_by_day(connection, model), model, today)
        rows = checks.labelled_rows(connection, model, sample.days)
        found = _thinned(rows, columns_of([model], sorted(witnesses)), seed, sample.least)
        gathering = replace(found.gathering, unjudged=sample.unjudged, unfinished=sample.unfinished)
        return replace(found, gathering=gathering)

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
