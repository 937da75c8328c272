"""The answer for one image, as everybody gets it: a line of the shell, an element of the service's `items`."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from demure.decode import Media
from demure.errors import DemureError
from demure.policy import Outcome
from demure.scores import Scores

if TYPE_CHECKING:
    from demure.pdq import Fingerprint
    from demure.reviews import Review


@dataclass(frozen=True)
class Screening:
    """The answer for one image. `scores` and `witnesses` are the worst frame's row; all are None where none could be made."""

    decision: Outcome
    reason: str
    policy: str
    policy_version: str
    id: str | None = None
    sha256: str | None = None  # of the bytes as sent
    score: float | None = None  # to sort by: the larger of risk and the witnesses' scores
    scores: Scores | None = None
    witnesses: Mapping[str, float] | None = None
    media: Media | None = None
    worst_frame: int | None = None
    worst_row: int | None = None  # a frame may be judged in several pictures of it
    fingerprints: tuple[Fingerprint, ...] = ()  # one a row, if they were asked for
    remembered: bool = False
    review: Review | None = None
    timings_ms: Mapping[str, float] = field(default_factory=dict)
    error: DemureError | None = None

    def as_dict(self) -> dict[str, Any]:
        """The one item object: a line of `demure classify --json` and an element of the service's `items`."""
        media = None if self.media is None else {**asdict(self.media), "worst_frame": self.worst_frame}
        item: dict[str, Any] = {
            "id": self.id,
            "sha256": self.sha256,
            "decision": str(self.decision),
            "reason": self.reason,
            "score": self.score,
            "scores": None if self.scores is None else self.scores.as_dict(),
            "witnesses": None if self.witnesses is None else dict(self.witnesses),
            "media": media,
            "remembered": self.remembered,
            "timings_ms": dict(self.timings_ms),
        }
        if self.review is not None:
            item["review"] = {"id": self.review.id, "state": str(self.review.state)}
        if self.error is not None:
            item["error"] = {"code": self.error.code, "message": self.error.message}
        return item


class Clock:
    """Milliseconds between one stage and the next."""

    def __init__(self) -> None:
        self._start = self._last = time.perf_counter()
        self._laps: dict[str, float] = {}

    def lap(self, stage: str) -> float:
        """Seconds since the last."""
        now = time.perf_counter()
        took_s, self._last = now - self._last, now
        self._laps[stage] = round(took_s * 1000, 2)
        return took_s

    def laps_ms(self) -> dict[str, float]:
        return {**self._laps, "total": round((time.perf_counter() - self._start) * 1000, 2)}
