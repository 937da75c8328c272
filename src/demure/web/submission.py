"""A request to /v1/moderate in any of its three forms, to jobs. What is wrong with one image is that image's answer."""

from __future__ import annotations

import asyncio
from base64 import b64decode
from collections import Counter
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.datastructures import FormData, UploadFile
from starlette.requests import Request

from demure.checker import Url
from demure.decode import MIB
from demure.desk import Wish
from demure.errors import TooLarge
from demure.reviews import Kind
from demure.reviews import Submission as Sent
from demure.web.engine import Engine, Job
from demure.web.form import read_form
from demure.web.problems import RequestError, UnsupportedMediaType
from demure.web.query import read_query, refuse_in_query
from demure.web.schemas import ModerateItem, ModerateRequest, storable

M = TypeVar("M", bound=BaseModel)

_FORM_FIELDS = {"policy", "context", "review", "keep", "subject"}
_QUERY = ("policy", "context", "id", "subject", "review", "keep")  # with the bytes of one image
_IN_JSON = {name: "in the body" if name in ModerateRequest.model_fields else "in the body's items" for name in _QUERY}
_IN_FORM = {name: "in a field of the form" if name in _FORM_FIELDS else "in the file's name" for name in _QUERY}
_FLAGS = {**dict.fromkeys(("true", "1", "yes", "on"), True), **dict.fromkeys(("false", "0", "no", "off"), False)}
_MAX_ID_CHARS = 256
_MAX_JSON_PARTS = 100_000
_FEW_JSON_PARTS = 1000
_SMALL_BYTES = 256 * 1024  # parsed at once; more is parsed in a thread, so that others are answered meanwhile


@dataclass(frozen=True)
class Image:
    """One image that was sent or named, or what is wrong with it already."""

    source: Url | bytes | RequestError
    id: str | None = None
    context: str | None = None
    subject: str | None = None
    metadata: dict[str, Any] | None = None
    priority: float = 0.0

    def wish(self, *, review: bool, keep: bool = True, kind: Kind = Kind.UNKNOWN, note: str | None = None) -> Wish:
        names = Sent(storable(self.id or ""), storable(self.subject or ""), self.metadata)
        return Wish(review, kind, names, self.priority, storable(note) if note else None, is_kept=keep)


@dataclass(frozen=True)
class Submission:
    """The images, and what was asked for all of them together."""

    images: list[Image]
    policy: str | None = None
    context: str | None = None  # for images that carry none
    review: bool = False
    keep: bool = True

    def jobs(self, engine: Engine) -> list[Job]:
        """Raises UnknownPolicy."""
        return [
            Job(
                i.source,
                engine.screener(self.policy, i.context or self.context),
                i.id,
                i.wish(review=self.review, keep=self.keep),
            )
            for i in self.images
        ]


async def read_submission(request: Request, engine: Engine) -> Submission:
    """Raises RequestError, UnsupportedMediaType or TooLarge for the request as a whole."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type == "application/json":
        refuse_in_query(request, _IN_JSON)
        submission = await _read_json(request)
    elif media_type == "multipart/form-data":
        refuse_in_query(request, _IN_FORM)
        submission = await _read_form(request)
    elif media_type.startswith("image/") or media_type == "application/octet-stream":
        submission = await _read_image(request, engine.settings.max_image_bytes)
    else:
        raise UnsupportedMediaType(
            f"the content type is {media_type or 'not given'}; expected application/json, multipart/form-data or image/*"
        )
    check_kept(review=submission.review, keep=submission.keep)
    if len(submission.images) > engine.settings.max_items:
        raise TooLarge(
            f"{len(submission.images)} items; the limit is {engine.settings.max_items} (max_items); send fewer"
        )
    return submission


def check_kept(*, review: bool, keep: bool) -> None:
    """Raises RequestError."""
    if review and not keep:
        raise RequestError("keep: false, with a review: what a person is to look at must be kept")


async def _read_json(request: Request) -> Submission:
    parsed = await read_json(request, ModerateRequest)
    return await _decoded(parsed)


async def read_json(request: Request, model: type[M]) -> M:
    """A body that may hold images. Raises RequestError, TooLarge and Overloaded."""
    body = bytearray()
    async for piece in request.stream():
        body += piece
    # Parsed, a byte of structure may become hundreds: it is counted before anything is built of it.
    parts = sum(body.count(mark) for mark in b"{[,:")
    if parts > _MAX_JSON_PARTS:
        raise TooLarge(f"the JSON has more than {_MAX_JSON_PARTS:,} parts; send fewer items")
    request.state.share.take(2 * len(body))  # the text of the base64, and its bytes
    small = len(body) <= _SMALL_BYTES and parts <= _FEW_JSON_PARTS
    return _parse(body, model) if small else await asyncio.to_thread(_parse, body, model)


def _parse(body: bytearray, model: type[M]) -> M:
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise RequestError(describe(error)) from error


async def _decoded(parsed: ModerateRequest) -> Submission:
    def decode() -> Submission:
        return Submission(
            [image_of(item) for item in parsed.items], parsed.policy, review=parsed.review, keep=parsed.keep
        )

    small = sum(len(item.base64 or "") for item in parsed.items) <= _SMALL_BYTES
    return decode() if small else await asyncio.to_thread(decode)


async def _read_form(request: Request) -> Submission:
    async with read_form(request, len(_FORM_FIELDS)) as form:
        return await _from_form(form)


async def _from_form(form: FormData) -> Submission:
    files = [value for _, value in form.multi_items() if isinstance(value, UploadFile)]
    fields = Counter(name for name, value in form.multi_items() if isinstance(value, str))
    unknown = fields.keys() - _FORM_FIELDS
    if unknown or not files:
        found = f"the field {min(unknown)[:64]!r} is not known" if unknown else "there is no file"
        wanted = "policy, context, review, keep and subject"
        raise RequestError(f"{found}; expected one or more files, and {wanted} if wanted")
    if twice := [name for name, count in fields.items() if count > 1]:
        raise RequestError(f"{twice[0]}: it stands twice in the form; send it once")
    subject = _subject(_text(form, "subject"))
    images = [Image(await file.read(), _id(file.filename), subject=subject) for file in files]
    review, keep = (
        _flag("review", _text(form, "review"), default=False),
        _flag("keep", _text(form, "keep"), default=True),
    )
    return Submission(images, _text(form, "policy"), _text(form, "context"), review, keep)


async def _read_image(request: Request, max_bytes: int) -> Submission:
    too_large = TooLarge(f"the image is larger than {max_bytes / MIB:.0f} MiB (max_image_bytes)")
    query = read_query(request, _QUERY)
    told = request.headers.get("content-length", "")
    if told.isdecimal() and len(told) < 20 and int(told) > max_bytes:
        raise too_large
    image = bytearray()
    async for chunk in request.stream():
        image += chunk
        if len(image) > max_bytes:
            raise too_large
    images = [Image(bytes(image), _id(query.get("id")), subject=_subject(query.get("subject")))]
    review, keep = _flag("review", query.get("review"), default=False), _flag("keep", query.get("keep"), default=True)
    return Submission(images, query.get("policy"), query.get("context"), review, keep)


def image_of(item: ModerateItem) -> Image:
    return Image(_source(item), item.id, item.context, item.subject, item.metadata, item.priority)


def _source(item: ModerateItem) -> Url | bytes | RequestError:
    if (item.url is None) == (item.base64 is None):
        return RequestError("expected exactly one of url and base64")
    if item.url is not None:
        return Url(item.url)
    # Of a data: URL, what stands before the comma says nothing that is believed.
    _, comma, after = (item.base64 or "").partition(",")
    try:
        return b64decode(after if comma else item.base64 or "", validate=True)
    except ValueError as error:
        return RequestError(f"base64: {error}")


def describe(error: ValidationError) -> str:
    """The first thing that is wrong: where, and what was expected."""
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(map(str, first["loc"])) or "body"
    return f"{where}: {first['msg']}"[:500]


def _text(form: FormData, name: str) -> str | None:
    value = form.get(name)
    return value if isinstance(value, str) and value else None


def _id(text: str | None) -> str | None:
    return text[:_MAX_ID_CHARS] if text else None


def _subject(text: str | None) -> str | None:
    """Not cut: two people must not become one."""
    if text and len(text) > _MAX_ID_CHARS:
        raise RequestError(f"subject: more than {_MAX_ID_CHARS} characters")
    return text or None


def _flag(name: str, value: str | None, *, default: bool) -> bool:
    """Raises RequestError for a word that could mean either: a wish that is misread is not noticed."""
    word = (value or "").lower()
    if word in _FLAGS:
        return _FLAGS[word]
    if word:
        raise RequestError(f"{name}: found {word[:20]!r}; expected true or false")
    return default
