"""For Starlette, and FastAPI's dependencies.

    answer = await check((await request.form())["image"])  # or 422, or 503

    async def upload(image: Annotated[CheckedImage, Depends(checked_image("image"))]): ...

DEMURE_URL and DEMURE_KEY are variables of the environment. For asyncio, under any server.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException

from demure.client import Answer
from demure.hooks.core import Labels, Refusal, Rules, find_refusal, too_large, undecided
from demure.hooks.judges import judge_async


class PictureRefused(HTTPException):
    """422: the image is not accepted; or 503: nobody could judge it. `refusal` has the code and the answer."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(503 if refusal.is_passing else 422, refusal.message)
        self.refusal = refusal


async def check(
    upload: object,
    rules: Rules = Rules(),
    *,
    id: str | None = None,
    subject: str | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> Answer:
    """The answer for an upload that is accepted: if it `is_unknown`, hold it back. `id` and the others are as in Labels.

    `upload` is what the form has under the field's name; what is no file is refused like a file that is no picture. It stands at
    its beginning afterwards. Raises PictureRefused, which Starlette answers.
    """
    answer = await _judge(upload, rules, Labels(id, subject, metadata))
    refusal = find_refusal(answer, rules)
    if refusal is not None:
        raise PictureRefused(refusal)
    return answer


@dataclass(frozen=True)
class CheckedImage:
    """An upload that is accepted, and the answer for it."""

    file: UploadFile
    answer: Answer


def checked_image(field: str, rules: Rules = Rules()) -> Callable[..., Awaitable[CheckedImage]]:
    """A dependency of FastAPI's for the form's file of that name. The detail of its 422 and 503 has `code` and `message`."""
    from fastapi import HTTPException as WithDetail
    from fastapi import UploadFile as FormFile

    async def checked(**form: FormFile) -> CheckedImage:
        try:
            return CheckedImage(form[field], await check(form[field], rules))
        except PictureRefused as error:
            detail = {"code": error.refusal.code, "message": error.refusal.message}
            raise WithDetail(error.status_code, detail) from error

    # FastAPI reads from it which file to expect, and describes that in its documentation.
    parameter = inspect.Parameter(field, inspect.Parameter.KEYWORD_ONLY, annotation=FormFile)
    checked.__signature__ = inspect.Signature([parameter])  # type: ignore[attr-defined]
    return checked


async def _judge(upload: object, rules: Rules, labels: Labels) -> Answer:
    if not isinstance(upload, UploadFile):  # a field of text, or none: whoever fills in the form chooses that
        return undecided("not_an_image", "no file was sent", None)
    if upload.size is not None and upload.size > rules.max_bytes:
        return too_large(rules.max_bytes)
    await upload.seek(0)
    data = await upload.read(rules.max_bytes + 1)
    await upload.seek(0)
    return await judge_async(data, rules, labels)
