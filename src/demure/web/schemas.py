"""The JSON that goes over the wire, as models that check what comes in and describe what goes out."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

Score = Annotated[float, Field(ge=0, le=1)]
Name = Annotated[str, Field(max_length=256)]  # the site's own name for something


def storable(text: str) -> str:
    """Text that every database takes: without NULs and halves of surrogate pairs."""
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode()


Note = Annotated[str, Field(max_length=2000), AfterValidator(storable)]
MAX_METADATA_BYTES = 4096


def _check_size(metadata: dict[str, Any]) -> dict[str, Any]:
    # Infinities and NaN are no JSON, and halves of surrogate pairs no text: ValueError, both.
    text = json.dumps(metadata, allow_nan=False, ensure_ascii=False)
    if len(text.encode()) > MAX_METADATA_BYTES:
        raise ValueError(f"more than {MAX_METADATA_BYTES:,} bytes of JSON")
    if "\\u0000" in text:  # PostgreSQL takes no NUL
        raise ValueError("a NUL character")
    return metadata


Metadata = Annotated[dict[str, Any], AfterValidator(_check_size)]


class ModerateItem(BaseModel):
    """One image: exactly one of `url` and `base64`."""

    model_config = ConfigDict(extra="forbid")

    id: Name | None = None
    url: str | None = None
    base64: str | None = None
    context: Annotated[str, Field(max_length=64)] | None = None
    subject: Name | None = Field(None, description="whose image it is: to find it when it is to be forgotten")
    metadata: Metadata | None = Field(None, description="given back with the review and its events")
    priority: float = Field(
        0.0, allow_inf_nan=False, description="of a review; higher comes first where that is asked for"
    )


class ModerateRequest(BaseModel):
    """Several images, judged alike."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"items": [{"id": "avatar-7", "url": "https://example.org/picture.jpg"}]}]},
    )

    items: Annotated[list[ModerateItem], Field(min_length=1, max_length=1000)]  # and the operator's max_items
    policy: str | None = None
    review: bool = Field(False, strict=True, description="ask a person where the machine cannot tell")
    keep: bool = Field(True, strict=True, description="false leaves nothing of it in the database; not with review")


class Dispute(ModerateItem):
    """An image that was decided already, and why a person should look at it."""

    kind: Literal["report", "appeal"]
    note: Note | None = None
    policy: str | None = None


class FiveScores(BaseModel):
    """What `POST /predict` answers, no more and no less."""

    drawings: Score
    hentai: Score
    neutral: Score
    porn: Score
    sexy: Score


class MediaFacts(BaseModel):
    """What the file is; width and height in pixels, upright."""

    type: str | None
    width: int
    height: int
    frames: int
    sampled: int
    worst_frame: int


class ItemError(BaseModel):
    """Why an image could not be judged."""

    code: str
    message: str


class ReviewTicket(BaseModel):
    """The place in the queue that an image has."""

    id: str
    state: Literal["open", "escalated"]


class Item(BaseModel):
    """The answer for one image; the scores are those of its worst frame, and null where none could be made."""

    id: str | None
    sha256: str | None
    decision: Literal["adult", "unknown", "safe"]
    reason: str
    score: Score | None
    scores: dict[str, Score] | None
    witnesses: dict[str, Score] | None
    media: MediaFacts | None
    remembered: bool
    timings_ms: dict[str, float]
    review: ReviewTicket | None = None
    error: ItemError | None = None


class ModerateAnswer(BaseModel):
    """One item for each that was sent, in their order."""

    id: str
    model: str
    policy: str
    policy_version: str
    items: list[Item]


class Sender(BaseModel):
    """One of those who sent an image, by the site's own names."""

    id: str | None
    subject: str | None
    metadata: dict[str, Any] | None


class ReviewFacts(BaseModel):
    """One item of the queue. Times are ISO 8601, UTC."""

    id: str
    kind: Literal["unknown", "check", "report", "appeal"]  # a check is called unknown until it is settled
    state: Literal["open", "settled", "escalated", "expired"]
    version: int
    priority: float
    opened: str
    note: str | None
    claimed_by: str | None
    claimed_until: str | None
    sha256: str
    decision: str
    reason: str
    score: float | None
    scores: dict[str, Score] | None
    witnesses: dict[str, Score] | None
    media: MediaFacts | None
    model: str
    policy: str
    policy_version: str
    verdict: Literal["adult", "safe"] | None
    verdict_by: str | None
    verdict_at: str | None
    verdict_note: str | None


class ReviewDetails(ReviewFacts):
    """The same with those who sent it, and the numbers of the pictures that there are of it."""

    submissions: list[Sender] = Field(description="the first hundred who sent it")
    submissions_total: int = Field(description="how many sent it")
    pictures: list[int]


class ReviewPage(BaseModel):
    """Some items, the oldest first; `next` is what to ask `after`, or null where there are no more."""

    reviews: list[ReviewFacts]
    next: str | None


class NextReview(BaseModel):
    """The item that was claimed, or null where none is free."""

    review: ReviewDetails | None


class Who(BaseModel):
    """Which of the site's people it is, where one key serves several."""

    model_config = ConfigDict(extra="forbid")

    reviewer: Annotated[str, Field(pattern=r"^[A-Za-z0-9._@-]{1,64}$")] | None = None


class ClaimRequest(Who):
    lease_s: Annotated[float, Field(gt=0, le=86400)] | None = None


class ClaimNextRequest(ClaimRequest):
    order: Literal["oldest", "risk", "priority"] = "oldest"


class MoveRequest(Who):
    """`version` is that of the review as it was seen."""

    version: int
    note: Note | None = None


class VerdictRequest(MoveRequest):
    verdict: Literal["adult", "safe"]


class EventFacts(BaseModel):
    """What happened, as a webhook tells it."""

    id: int
    type: str
    timestamp: str
    data: dict[str, Any] = Field(
        description="what it is about; `submissions` are the first hundred who sent the image, of `submissions_total`"
    )


class EventPage(BaseModel):
    """Events in their order; `next` is what to ask `after`, also where nothing is new."""

    events: list[EventFacts]
    next: int


class ForgetAnswer(BaseModel):
    """The images that are gone; those that others sent as well, and that stay; those that are frozen and stay as they are."""

    forgotten: list[str]
    shared: list[str]
    frozen: list[str]


class ModelFacts(BaseModel):
    """One model that can be asked."""

    name: str
    kind: Literal["categories", "witness"]
    default: bool
    licence: str
    source: str
    sha256: str
    description: str


class PolicyFacts(BaseModel):
    """One policy, its rules in words."""

    name: str
    version: str
    default: bool
    adult: str
    safe: str
    description: str


class Health(BaseModel):
    """The service answers."""

    status: Literal["ok"] = "ok"


class Readiness(BaseModel):
    """Each part that an answer needs; `warnings` are for the operator."""

    ready: bool
    weights: bool
    sandbox: bool
    storage: bool
    warnings: list[str]


class Problem(BaseModel):
    """RFC 9457, with a stable `code`."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    request_id: str
