"""The JSON that goes over the wire, as models that check what comes in and describe what goes out."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Score = Annotated[float, Field(ge=0, le=1)]
# `true` is refused with a message of its own, by read_submission.
NoReview = Annotated[
    bool, Field(strict=True, description="this version has no reviews", json_schema_extra={"const": False})
]


class ModerateItem(BaseModel):
    """One image: exactly one of `url` and `base64`."""

    model_config = ConfigDict(extra="forbid")

    id: Annotated[str, Field(max_length=256)] | None = None
    url: str | None = None
    base64: str | None = None
    context: Annotated[str, Field(max_length=64)] | None = None
    metadata: dict[str, Any] | None = None


class ModerateRequest(BaseModel):
    """Several images, judged alike."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"items": [{"id": "avatar-7", "url": "https://example.org/picture.jpg"}]}]},
    )

    items: Annotated[list[ModerateItem], Field(min_length=1, max_length=1000)]  # and the operator's max_items
    policy: str | None = None
    review: NoReview = False


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
    error: ItemError | None = None


class ModerateAnswer(BaseModel):
    """One item for each that was sent, in their order."""

    id: str
    model: str
    policy: str
    policy_version: str
    items: list[Item]


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
    """Each part that an answer needs."""

    ready: bool
    weights: bool
    sandbox: bool


class Problem(BaseModel):
    """RFC 9457, with a stable `code`."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    request_id: str
