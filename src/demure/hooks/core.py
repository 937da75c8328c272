"""What the answer for an upload means for the form that it came by. Imports no framework and no model.

An adult image is refused. An unknown one is accepted and marked, so that the view can hold it back, or refused. What cannot be
read is refused. Where nobody could judge, the upload is refused (closed) or accepted and marked as unknown (open), never safe.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from demure.client import Answer
from demure.client.labels import check_labels
from demure.errors import InvalidSetting, UnknownPolicy

ADULT, UNKNOWN = "demure_adult", "demure_unknown"
UNREADABLE, TOO_LARGE, UNAVAILABLE = "demure_unreadable", "demure_too_large", "demure_unavailable"
MESSAGES = {
    ADULT: "This picture looks like adult content, which is not allowed here.",
    UNKNOWN: "We cannot tell whether this picture is allowed here, so it was not accepted.",
    UNREADABLE: "This file is no picture that we can read.",
    TOO_LARGE: "This picture is too large.",
    UNAVAILABLE: "Pictures cannot be checked at the moment. Please try again later.",
}
# Codes of an answer's error that are about the image, or about how it was asked; any other tells that nobody could judge it.
_UNREADABLE = {"empty_body", "not_an_image", "unsupported_format", "undecodable"}
_TOO_LARGE = {"too_large", "too_many_pixels", "too_many_frames"}
_MISASKED = {"invalid_request", "unsupported_media_type", "unknown_model", "unknown_policy"}
_log = logging.getLogger(__name__)

Choice = Literal["accept", "refuse"]


@dataclass(frozen=True)
class Rules:
    """How uploads are judged, and what becomes of those that are neither adult nor safe.

    `policy` and `context` choose the bounds, as in a request. `review` puts unknown ones before a person: only a service can.
    """

    policy: str | None = None
    context: str | None = None
    review: bool = False
    unknown: Choice = "accept"
    on_failure: Choice = "refuse"
    max_bytes: int = 20 * 1024 * 1024  # the service's own limit, unless its operator set another

    def __post_init__(self) -> None:
        """Raises ValueError: a word that is misspelled must not mean the other choice."""
        for name in ("unknown", "on_failure"):
            if getattr(self, name) not in ("accept", "refuse"):
                raise ValueError(f"{name}: found {getattr(self, name)!r}; expected 'accept' or 'refuse'")


@dataclass(frozen=True)
class Labels:
    """The site's own names for an upload, which its review and webhooks give back. Raises ValueError for what is too long."""

    id: str | None = None  # the first 256 characters are kept
    subject: str | None = None  # whose image it is
    metadata: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        check_labels(self.subject, self.metadata)


@dataclass(frozen=True)
class Refusal:
    """Why an upload is not accepted: a code of this module's, words for whoever sent it, and the answer behind it."""

    code: str
    message: str
    answer: Answer

    @property
    def is_passing(self) -> bool:
        """Whether the same upload may be accepted later."""
        return self.code == UNAVAILABLE


class BinaryFile(Protocol):
    """An upload of a framework's, or any open file."""

    def read(self, size: int, /) -> bytes: ...

    def seek(self, offset: int, /) -> object: ...


def read_upload(file: BinaryFile, max_bytes: int) -> bytes:
    """All of it, or one byte more than is allowed. It stands at its beginning afterwards. Raises TypeError for no binary file."""
    if not hasattr(file, "read"):
        raise TypeError(f"found {type(file).__name__}; expected an uploaded file")
    file.seek(0)
    try:
        data = file.read(max_bytes + 1)
    finally:
        file.seek(0)
    if not isinstance(data, bytes):
        raise TypeError(f"the upload gives {type(data).__name__}; expected bytes: open it in binary mode")
    return data


def unfit(data: bytes, max_bytes: int) -> Answer | None:
    """The answer for what nobody need be asked about."""
    if not data:
        return undecided("empty_body", "the file is empty", data)
    if len(data) > max_bytes:
        return too_large(max_bytes)
    return None


def too_large(max_bytes: int) -> Answer:
    return undecided("too_large", f"the image has more than {max_bytes:,} bytes, the limit (max_bytes)", None)


def undecided(code: str, message: str, data: bytes | None) -> Answer:
    """`unknown`, for what could not be judged."""
    sha256 = None if data is None else hashlib.sha256(data).hexdigest()
    fault = {"code": code, "message": message}
    return Answer.from_dict({"sha256": sha256, "decision": "unknown", "reason": code, "error": fault})


def is_failure(answer: Answer) -> bool:
    """Whether nobody could judge it, or its review was not opened; that says nothing of the image.

    Raises UnknownPolicy or InvalidSetting where the question was at fault: that does not pass, and somebody who could cause it
    would choose what `on_failure` lets in.
    """
    if answer.error is None:
        return False
    if answer.error.code in _MISASKED:
        kind = UnknownPolicy if answer.error.code == "unknown_policy" else InvalidSetting
        raise kind(f"the service does not take the question ({answer.error.code}): {answer.error.message}")
    return answer.error.code not in _UNREADABLE | _TOO_LARGE


def find_refusal(answer: Answer, rules: Rules) -> Refusal | None:
    """None where the upload is accepted; it may be unknown then, and `answer` says so. Raises as is_failure."""
    code = _code(answer, rules)
    if code is None:
        return None
    _log.info("refused code=%s reason=%s sha256=%s", code, answer.reason, answer.sha256)
    return Refusal(code, MESSAGES[code], answer)


def _code(answer: Answer, rules: Rules) -> str | None:
    if answer.is_adult:
        return ADULT
    if is_failure(answer):
        return UNAVAILABLE if rules.on_failure == "refuse" else None
    if answer.error is not None:
        return TOO_LARGE if answer.error.code in _TOO_LARGE else UNREADABLE
    return UNKNOWN if answer.is_unknown and rules.unknown == "refuse" else None
