"""Where answers are kept, and where questions for people are passed on: the store as a screening meets it.

Its calls wait for a database, in threads of their own.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

from demure.errors import ImageError, StorageFull, StorageUnavailable
from demure.machine import is_ephemeral
from demure.memory import Memory, Recalled
from demure.pdq import MIN_QUALITY
from demure.policy import Outcome
from demure.reviews import Judgement, Kind, Opening, Review, Submission
from demure.settings import Settings, platform_forgets
from demure.store import images

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from demure.previews import Preview
    from demure.screening import Screening
    from demure.store.database import Database
    from demure.store.reviews import Reviews
    from demure.store.users import Users

T = TypeVar("T")
_THREADS = 8
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Wish:
    """What a caller asks for beside the answer."""

    review: bool = False  # by a person, if the machine cannot tell; with another kind, whatever the machine says
    kind: Kind = Kind.UNKNOWN
    submission: Submission = Submission()
    priority: float = 0.0
    note: str | None = None

    @property
    def disputes(self) -> bool:
        """Whether it is about a decision that was made already."""
        return self.kind is not Kind.UNKNOWN

    def wants(self, screening: Screening) -> bool:
        """Whether a person is to look at it: of what could not be read there is nothing to see."""
        undecided = self.disputes or screening.decision is Outcome.UNKNOWN
        return self.review and undecided and screening.error is None


@dataclass
class Desk:
    """The parts that share one database. Close it."""

    settings: Settings
    database: Database
    reviews: Reviews
    users: Users
    memory: Memory

    def __post_init__(self) -> None:
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="demure-desk")

    async def run(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, call)

    async def recall(self, data: bytes) -> tuple[str, Recalled | None]:
        """The SHA-256 of the bytes, and what is known of them."""

        def look() -> tuple[str, Recalled | None]:
            sha256 = hashlib.sha256(data)
            return sha256.hexdigest(), self.memory.recall(sha256.digest())

        return await self.run(look)

    def weigh(self, screening: Screening) -> Screening:
        """The answer in the light of pictures that look the same."""
        known = self.memory.weigh(screening.decision, screening.fingerprints)
        if known is None:
            return screening
        return replace(screening, decision=known.decision, reason=known.reason, remembered=True)

    async def record(self, screening: Screening, model: str, wish: Wish) -> None:
        """Keep a decision. One that cannot be kept was made all the same."""
        judged = screening.error is None or isinstance(screening.error, ImageError)
        if screening.sha256 is None or not judged:
            return
        sha256, judgement = bytes.fromhex(screening.sha256), judgement_of(screening, model)
        subject = "" if wish.wants(screening) else wish.submission.subject  # a review keeps it, and more
        now_ms = self.database.now_ms()
        await self._keep(lambda c: images.record(c, now_ms, sha256, judgement, subject))

    async def note_sender(self, sha256: str, wish: Wish) -> None:
        """Whose image it is, where that was told: one that several sent is not forgotten with the first of them."""
        if wish.submission.subject:
            sender, now_ms = Submission(subject=wish.submission.subject), self.database.now_ms()
            await self._keep(lambda c: images.note_submission(c, now_ms, bytes.fromhex(sha256), sender))

    async def open_review(self, screening: Screening, model: str, wish: Wish, pictures: Sequence[Preview]) -> Review:
        """Raises StorageFull and StorageUnavailable."""
        still = screening.fingerprints[0] if len(screening.fingerprints) == 1 else None
        opening = Opening(
            sha256=bytes.fromhex(screening.sha256 or ""),
            judgement=judgement_of(screening, model),
            submission=wish.submission,
            kind=wish.kind,
            priority=wish.priority,
            note=wish.note,
            pdq=still.hash if still is not None and still.quality >= MIN_QUALITY else None,
        )
        return await self.run(lambda: self.reviews.open(opening, pictures))

    async def _keep(self, work: Callable[[Connection], None]) -> None:
        """What can be answered without."""
        try:
            await self.run(lambda: self.database.write(work, durable=False))
        except (StorageFull, StorageUnavailable) as error:
            _log.warning("an image's record was not kept code=%s", error.code)

    @property
    def warnings(self) -> list[str]:
        """What the operator should know of where all this is kept."""
        if not self.database.is_lasting:
            return [
                "reviews and verdicts are kept in memory alone, and gone when this process ends (DEMURE_DATABASE_URL)"
            ]
        if self.database.path is not None and (is_ephemeral(self.database.path) or platform_forgets()):
            return ["reviews and verdicts are kept on a disk that is likely to be gone after the next deployment"]
        return []

    def close(self) -> None:
        self._threads.shutdown(wait=True, cancel_futures=True)
        self.database.close()


def open_desk(settings: Settings) -> Desk:
    """Its database is up to date. Raises SetupError, StorageUnavailable, StorageFull."""
    from demure.store import open_database
    from demure.store.reviews import Reviews, Times
    from demure.store.users import Users

    database = open_database(settings)
    times = Times(settings.review_lease_s, settings.review_undo_s, settings.keep_previews_days * 86400.0)
    reviews = Reviews(database, times, settings.webhook_urls)
    return Desk(settings, database, reviews, Users(database), Memory(database, settings.memory_distance))


def judgement_of(screening: Screening, model: str) -> Judgement:
    item = screening.as_dict()
    return Judgement(
        decision=item["decision"],
        reason=item["reason"],
        score=item["score"],
        scores=item["scores"],
        witnesses=item["witnesses"],
        media=item["media"],
        model=model,
        policy=screening.policy,
        policy_version=screening.policy_version,
    )
