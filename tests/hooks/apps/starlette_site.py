"""The same in Starlette and in FastAPI; both are asked over HTTP."""

import hashlib
from typing import Annotated

import httpx
from fastapi import Depends, FastAPI
from hooks.apps.seen import FORMS, Seen
from service import NO_TLS
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.types import ASGIApp

from demure.client import Answer
from demure.hooks import Rules
from demure.hooks.starlette import CheckedImage, PictureRefused, check, checked_image


async def submit(request: Request) -> JSONResponse:
    unknown, failure = FORMS[request.url.path]
    async with request.form() as form:
        image = form["image"]
        answer = await check(image, Rules(unknown=unknown, on_failure=failure), id="post-7")
        return JSONResponse(_told(answer, await image.read()))


async def refuse(_: Request, error: PictureRefused) -> JSONResponse:
    return JSONResponse({"code": error.refusal.code, "message": error.detail}, error.status_code)


def _told(answer: Answer, read: bytes) -> dict[str, str | None]:
    return {"decision": answer.decision, "sha256": hashlib.sha256(read).hexdigest(), "judged": answer.sha256}


starlette_app = Starlette(
    routes=[Route(form, submit, methods=["POST"]) for form in FORMS], exception_handlers={PictureRefused: refuse}
)


def create_fastapi() -> FastAPI:
    app = FastAPI()
    for form, (unknown, failure) in FORMS.items():
        checked = checked_image("image", Rules(unknown=unknown, on_failure=failure))

        @app.post(form)
        async def submit(image: Annotated[CheckedImage, Depends(checked)]) -> dict[str, str | None]:
            return _told(image.answer, await image.file.read())

    return app


class Site:
    def __init__(self, url: str) -> None:
        self._url = url

    def post(self, form: str, data: bytes) -> Seen:
        files = {"image": ("picture.png", data, "image/png")}
        answer = httpx.post(self._url + form, files=files, timeout=30, trust_env=False, verify=NO_TLS)
        body = answer.json()
        return Seen(answer.status_code, **body.get("detail", body))


APPS: dict[str, ASGIApp] = {"starlette": starlette_app, "fastapi": create_fastapi()}
