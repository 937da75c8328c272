"""Who judges the images of a scan: the models alone, or the models and the people who look at what those cannot tell."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from demure.bulk.job import Row
from demure.bulk.output import spelled
from demure.desk import Desk, Wish
from demure.errors import DemureError, ImageError, Overloaded, SourceNotFound
from demure.policy import Outcome
from demure.reviews import State, Submission
from demure.screening import Screening

if TYPE_CHECKING:
    from demure.pipeline import Screener


_MOST_BYTES = 2_000


class Models:
    """A Screener, as a scan asks it."""

    def __init__(self, screener: Screener) -> None:
        self._screener = screener

    def screen(self, source: bytes, *, id: str, sha256: str) -> Screening:
        return self._screener.screen(source, id=id, sha256=sha256)

    def again(self, row: Row, *, id: str) -> Row | None:
        return {**row, "id": id}

    def failed(self, error: DemureError, *, id: str) -> Screening:
        return self._screener.failed(error, id=id)


class ModelsAndPeople(Models):
    """What people decided before comes first; what is unknown goes to the review, as the service does it.

    Nothing is drawn for a spot check, and nothing counted among the decisions of a day: an archive is not what comes in.
    """

    def __init__(self, screener: Screener, desk: Desk) -> None:
        super().__init__(screener)
        self._desk = desk

    def screen(self, source: bytes, *, id: str, sha256: str) -> Screening:
        """Raises StorageFull and StorageUnavailable, beside what a Screener raises."""
        known = self._desk.memory.recall(bytes.fromhex(sha256))
        if known is not None:
            if known.decision is Outcome.UNKNOWN:  # escalated: the verdict comes yet
                self._desk.note(sha256, _named(id))
            return self._screener.remembered(known, id=id, sha256=sha256)
        screening = self._screener.screen(source, id=id, sha256=sha256, fingerprints=True)
        screening, wish = self._desk.weigh(screening), Wish(True, submission=_named(id), is_counted=False)
        if not wish.wants(screening):
            return screening
        try:
            pictures = self._screener.previews(source, screening)
        except (ImageError, Overloaded) as error:  # nothing to show: nobody is asked
            return replace(screening, error=error)
        self._desk.keep(screening, self._screener.model, wish)
        return replace(screening, review=self._desk.open(screening, self._screener.model, wish, pictures))

    def again(self, row: Row, *, id: str) -> Row | None:
        """What people said meanwhile comes first here too, and who hears of the verdict hears of each name that the image has.

        Raises StorageFull and StorageUnavailable.
        """
        sha256, waits = row["sha256"], self._waits(row)
        if waits:
            # In this order: a verdict that comes between the two is found below, one that comes later tells of this name.
            self._desk.note(sha256, _named(id))
        known = self._desk.memory.recall(bytes.fromhex(sha256))
        if known is not None:
            if known.decision is Outcome.UNKNOWN and not waits:
                self._desk.note(sha256, _named(id))
            return self._screener.remembered(known, id=id, sha256=sha256).as_dict()
        if row["remembered"] or ("review" in row and not waits):
            return None  # withdrawn, forgotten or expired since
        return super().again(row, id=id)

    def _waits(self, row: Row) -> bool:
        """Whether the item that the row names is in the queue, in this database."""
        try:
            return "review" in row and self._desk.reviews.get(row["review"]["id"]).state is State.OPEN
        except SourceNotFound:
            return False


def _named(id: str) -> Submission:
    """Of a very long path the end: PostgreSQL's index takes no name of more than 2,700 bytes."""
    name = spelled(id).encode()
    return Submission(name.decode() if len(name) <= _MOST_BYTES else "…" + name[-_MOST_BYTES:].decode(errors="ignore"))
