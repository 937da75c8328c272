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
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from demure.checks import Draw, place, unknown_range
from demure.errors import ImageError, StorageFull, StorageUnavailable
from demure.machine import is_ephemeral
from demure.memory import Memory, Recalled
from demure.pdq import MIN_QUALITY
from demure.policy import Outcome, Policy
from demure.reviews import DISPUTES, Judgement, Kind, Opening, Review, Submission
from demure.settings import Settings, platform_forgets
from demure.store import checks, images

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
    is_counted: bool = True  # among what came in, of which the rates of errors are told
    is_kept: bool = True  # the decision, and who sent it; without, nothing is left of it

    @property
    def disputes(self) -> bool:
        """Whether it is about a decision that was made already."""
        return self.kind in DISPUTES

    def wants(self, screening: Screening) -> bool:
        """Whether a person is to look at it: of what could not be read there is nothing to see."""
        undecided = self.disputes or screening.decision is Outcome.UNKNOWN
        return self.review and undecided and screening.error is None

    def draws(self, screening: Screening) -> bool:
        """Whether it is one of those that people can come to see, and the models judged it: what rates are told of."""
        fresh = not self.disputes and not screening.remembered and screening.error is None
        return self.review and self.is_counted and fresh


@dataclass
class Desk:
    """The parts that share one database. `on_lost_record` is told why something was not kept that an answer can do without.
    Close it.
    """

    settings: Settings
    database: Database
    reviews: Reviews
    users: Users
    memory: Memory
    on_lost_record: Callable[[str], None] = lambda _: None

    def __post_init__(self) -> None:
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="demure-desk")
        self._seed: bytes | None = None

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
        known = self.memory.weigh(screening.decision, screening.fingerprints, is_still=_is_still(screening))
        if known is None:
            return screening
        return replace(screening, decision=known.decision, reason=known.reason, remembered=True)

    async def record(self, screening: Screening, model: str, wish: Wish) -> Draw | None:
        """Keep a decision and who sent the image, and count it if it is one of those that people can come to see. What is drawn,
        where it is to come before them by lot and does not wait for them already.

        One that cannot be kept was made all the same.
        """
        judged = screening.error is None or isinstance(screening.error, ImageError)
        if screening.sha256 is None or not judged:
            return None
        return await self._keep(lambda: self.keep(screening, model, wish))

    def keep(self, screening: Screening, model: str, wish: Wish) -> Draw | None:
        """The same, waiting. Raises StorageFull and StorageUnavailable."""
        sha256, now_ms = bytes.fromhex(screening.sha256 or ""), self.database.now_ms()
        judgement = judgement_of(screening, model)
        share = self.settings.spot_checks.chance(screening.decision) if wish.draws(screening) else None
        seed = self.seed() if share else b""

        def work(connection: Connection) -> Draw | None:
            # In the order in which others take these rows: the image's, its senders', its item's; the tally's last.
            images.record(connection, now_ms, sha256, judgement)
            turn = None if share is None else checks.turn(connection, sha256, judgement, share, seed)
            is_seen = wish.wants(screening) or (turn is not None and turn.is_chosen)
            sender = wish.submission if is_seen else Submission(subject=wish.submission.subject)
            if is_seen or sender.subject:
                images.note_submission(connection, now_ms, sha256, sender)
            if turn is None:
                return None
            shares = self.settings.spot_checks
            return checks.take(connection, now_ms, sha256, judgement, turn, shares, wish.priority)

        return self.database.write(work, durable=False)

    async def note_sender(self, sha256: str, wish: Wish, known: Recalled) -> None:
        """Whose image it is, where that was told: one that several sent is not forgotten with the first of them. All that was
        told, where no person decided yet: who waits for a verdict is to hear of it."""
        waits = wish.review and known.decision is Outcome.UNKNOWN
        sender = wish.submission if waits else Submission(subject=wish.submission.subject)
        if waits or sender.subject:
            await self._keep(lambda: self.note(sha256, sender))

    def note(self, sha256: str, sender: Submission) -> None:
        """One more who sent an image, or one more name that it has. Raises StorageFull and StorageUnavailable."""
        now_ms = self.database.now_ms()
        note = partial(images.note_submission, now_ms=now_ms, sha256=bytes.fromhex(sha256), submission=sender)
        self.database.write(note, durable=False)

    async def open_review(
        self, screening: Screening, model: str, wish: Wish, pictures: Sequence[Preview], draw: Draw | None = None
    ) -> Review:
        """Raises StorageFull and StorageUnavailable."""
        return await self.run(lambda: self.open(screening, model, wish, pictures, draw))

    def open(
        self, screening: Screening, model: str, wish: Wish, pictures: Sequence[Preview], draw: Draw | None = None
    ) -> Review:
        """The same, waiting."""
        return self.reviews.open(replace(_opening(screening, model, wish), draw=draw), pictures)

    async def open_check(
        self, screening: Screening, model: str, policy: Policy, wish: Wish, pictures: Sequence[Preview], draw: Draw
    ) -> None:
        """The same for a decision that was chosen by lot. Raises SourceNotFound for an image that was forgotten meanwhile too."""
        drawn = replace(_opening(screening, model, wish), kind=Kind.CHECK, draw=draw)
        opening = replace(drawn, place=partial(place, self.seed(), drawn.sha256, unknown_range(policy)))
        await self.run(lambda: self.reviews.open(opening, pictures))

    def seed(self) -> bytes:
        """By which spot checks are drawn: the database's, asked for once."""
        if self._seed is None:
            self._seed = self.database.write(checks.seed)
        return self._seed

    async def _keep(self, work: Callable[[], T]) -> T | None:
        """What can be answered without."""
        try:
            return await self.run(work)
        except (StorageFull, StorageUnavailable) as error:
            _log.warning("an image's record was not kept code=%s", error.code)
            self.on_lost_record(error.code)
            return None

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


def open_desk(settings: Settings, on_lost_record: Callable[[str], None] = lambda _: None) -> Desk:
    """Its database is up to date. Raises SetupError, StorageUnavailable, StorageFull."""
    from demure.store import open_database
    from demure.store.reviews import Reviews, Times
    from demure.store.users import Users

    database = open_database(settings)
    times = Times(settings.review_lease_s, settings.review_undo_s, settings.keep_previews_days * 86400.0)
    reviews = Reviews(database, times, settings.webhook_urls)
    memory = Memory(database, settings.memory_distance)
    return Desk(settings, database, reviews, Users(database), memory, on_lost_record)


def _opening(screening: Screening, model: str, wish: Wish) -> Opening:
    still = screening.fingerprints[0] if _is_still(screening) and len(screening.fingerprints) == 1 else None
    return Opening(
        sha256=bytes.fromhex(screening.sha256 or ""),
        judgement=judgement_of(screening, model),
        submission=wish.submission,
        kind=wish.kind,
        priority=wish.priority,
        note=wish.note,
        pdq=still.hash if still is not None and still.quality >= MIN_QUALITY else None,
        pictures=len(screening.fingerprints) or None,
    )


def _is_still(screening: Screening) -> bool:
    """Whether its pictures are all that the file shows: of a film, one frame alone may have been judged."""
    return screening.media is not None and screening.media.frames == 1


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
