"""What a reviewer is told of an item: little before the verdict, all after it, so that people judge pictures and not numbers.

A template is given Facts or a Thought and never the Review itself: what is not here cannot slip into a page.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from demure.memory import NearCopy
from demure.reviews import Kind, Review, Verdict

_KINDS = {
    Kind.UNKNOWN: "Undecided",
    Kind.REPORT: "Reported",
    Kind.APPEAL: "Appealed",
}
_REASONS = {
    "uncertain": "the scores lie between the policy's bounds",
    "models_disagree": "one model alone says adult, another safe",
    "too_small": "the picture is too small for the models",
    "remembered": "a person had judged the same bytes",
    "near_copy": "a person had judged a near copy",
    "memory_disagrees": "near copies that people had judged say otherwise",
}
_UNITS = ((86_400, "day", "days"), (3_600, "hour", "hours"), (60, "minute", "minutes"))
MOST_SENDERS = 100  # that the store tells of


@dataclass(frozen=True)
class Picture:
    number: int
    frame: int  # from 0


@dataclass(frozen=True)
class Facts:
    """What may be told of an item that has no verdict yet."""

    id: str
    version: int
    kind: str
    kind_words: str
    note: str | None
    waited: str
    media: tuple[str, ...]  # in words: what is known of type, size and frames
    frames: int
    senders: str | None
    pictures: tuple[Picture, ...]

    @property
    def strip(self) -> tuple[Picture, ...]:
        """All pictures as they lie in the file, if there is more than the one."""
        return tuple(sorted(self.pictures, key=lambda p: (p.frame, p.number))) if len(self.pictures) > 1 else ()


@dataclass(frozen=True)
class Bar:
    """A score; `share` is it as a width, in percent."""

    name: str
    value: float
    is_witness: bool

    @property
    def share(self) -> str:
        return f"{100 * min(1.0, max(0.0, self.value)):.1f}"


@dataclass(frozen=True)
class Thought:
    """What the machine had thought of an item, beside what a person did: only for one that has a verdict."""

    id: str
    version: int
    verdict: Verdict
    decision: str
    reason: str
    reason_words: str | None
    agrees: bool | None  # None where the machine had decided nothing
    bars: tuple[Bar, ...]
    model: str
    policy: str
    policy_version: str
    near: tuple[tuple[Verdict, int, str], ...]  # verdict, distance in bits of 256, how long ago


def facts_of(review: Review, pictures: Sequence[tuple[int, int, int, int]], senders: int, now_ms: int) -> Facts:
    media = review.judgement.media or {}
    frames = media.get("frames") or 1
    return Facts(
        id=review.id,
        version=review.version,
        kind=review.told_kind,
        kind_words=_KINDS[review.told_kind],
        note=review.note,
        waited=duration(now_ms - review.opened_ms),
        media=tuple(_media(media)),
        frames=frames,
        senders=_senders(senders),
        pictures=tuple(Picture(number, frame) for number, frame, _, _ in pictures),
    )


def thought_of(review: Review, near: Sequence[NearCopy], now_ms: int) -> Thought:
    """Raises ValueError for an item without a verdict."""
    if review.verdict is None:
        raise ValueError("what the machine thought is told after the verdict")
    judgement = review.judgement
    decided = judgement.decision in (*Verdict,)
    return Thought(
        id=review.id,
        version=review.version,
        verdict=review.verdict,
        decision=judgement.decision,
        reason=judgement.reason,
        reason_words=_REASONS.get(judgement.reason),
        agrees=not review.overturns if decided else None,
        bars=(*_bars(judgement.scores, is_witness=False), *_bars(judgement.witnesses, is_witness=True)),
        model=judgement.model,
        policy=judgement.policy,
        policy_version=judgement.policy_version,
        near=tuple((copy.verdict, copy.distance, duration(now_ms - copy.decided_ms)) for copy in near),
    )


def duration(ms: int) -> str:
    """In the largest unit of which there are two or more: 119 minutes, 2 hours."""
    seconds = max(0, ms) // 1000
    for unit_s, one, many in _UNITS:
        if seconds >= 2 * unit_s:
            return f"{seconds // unit_s} {many}"
        if unit_s == 60 and seconds >= 60:
            return f"1 {one}"
    return "less than a minute"


def _media(media: Mapping[str, object]) -> list[str]:
    told = []
    if media.get("type"):
        told.append(str(media["type"]).removeprefix("image/").upper())
    if media.get("width") and media.get("height"):
        told.append(f"{media['width']} \u00d7 {media['height']}")
    frames = media.get("frames")
    if isinstance(frames, int) and frames > 1:
        told.append(f"animated, {frames} frames")
    return told


def _senders(count: int) -> str | None:
    if count < 2:
        return None
    return f"sent {count} times" if count < MOST_SENDERS else f"sent {MOST_SENDERS} times or more"


def _bars(scores: Mapping[str, float] | None, *, is_witness: bool) -> list[Bar]:
    return [Bar(name, value, is_witness) for name, value in sorted((scores or {}).items(), key=lambda s: -s[1])]
