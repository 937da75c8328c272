"""What Starlette and FastAPI add: what is no file, the form that FastAPI describes, several loops."""

import asyncio
import io
from typing import Annotated

import httpx
import pytest
from fastapi import Depends, FastAPI
from hooks.apps.seen import BLUE, GREEN, RED
from hooks.apps.starlette_site import APPS
from service import NO_TLS, listening
from starlette.datastructures import UploadFile

from demure.hooks import Rules, judges
from demure.hooks.starlette import CheckedImage, PictureRefused, check, checked_image


def ask(url: str, **form: object) -> httpx.Response:
    return httpx.post(url, trust_env=False, verify=NO_TLS, timeout=30, **form)


@pytest.mark.usefixtures("by_service")
@pytest.mark.parametrize("field", ["picture.png", None, 7])
def test_what_is_no_file_is_refused_and_is_no_fault_of_ours(field: object):
    with pytest.raises(PictureRefused) as caught:
        asyncio.run(check(field))
    assert (caught.value.status_code, caught.value.refusal.code) == (422, "demure_unreadable")


@pytest.mark.usefixtures("by_service")
def test_a_field_of_text_where_fastapi_wants_a_file_is_fastapis_own_error():
    with listening(APPS["fastapi"]) as url:
        answer = ask(f"{url}/accept/refuse", data={"image": "picture.png"}, files={"other": b"x"})
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["body", "image"]


@pytest.mark.usefixtures("by_service")
def test_an_upload_is_left_at_its_beginning_wherever_it_stood():
    upload = UploadFile(io.BytesIO(GREEN), size=len(GREEN))

    async def read() -> bytes:
        await upload.seek(5)
        assert (await check(upload)).is_safe
        return await upload.read()

    assert asyncio.run(read()) == GREEN


@pytest.mark.usefixtures("by_service")
def test_an_upload_that_says_it_is_too_large_is_not_read():
    upload = UploadFile(io.BytesIO(b""), size=11)
    with pytest.raises(PictureRefused) as caught:
        asyncio.run(check(upload, Rules(max_bytes=10)))
    assert caught.value.refusal.code == "demure_too_large"


@pytest.mark.usefixtures("by_service")
def test_a_loop_has_one_client_which_ends_with_it():
    async def judge_some() -> list[judges._Kept]:
        kept = []
        for data in (GREEN, BLUE):
            await check(UploadFile(io.BytesIO(data), size=len(data)))
            kept += judges._kept.values()
        return kept

    for _ in range(2):
        first, second = asyncio.run(judge_some())
        assert first is second
        assert first.client._http.is_closed
        assert not judges._kept


def test_fastapi_describes_the_file_in_its_documentation():
    app = FastAPI()
    avatar = checked_image("avatar")

    @app.post("/")
    async def submit(image: Annotated[CheckedImage, Depends(avatar)]) -> None: ...

    form = app.openapi()["paths"]["/"]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]["$ref"]
    described = app.openapi()["components"]["schemas"][form.rpartition("/")[2]]
    assert described["required"] == ["avatar"]
    assert described["properties"]["avatar"]["type"] == "string"


@pytest.mark.usefixtures("by_service")
def test_two_files_of_one_form_are_each_judged():
    app = FastAPI()
    first, second = checked_image("first"), checked_image("second")

    @app.post("/")
    async def submit(
        a: Annotated[CheckedImage, Depends(first)], b: Annotated[CheckedImage, Depends(second)]
    ) -> list[str]:
        return [a.answer.decision, b.answer.decision]

    with listening(app) as url:
        assert ask(url, files={"first": GREEN, "second": BLUE}).json() == ["safe", "unknown"]
        refused = ask(url, files={"first": GREEN, "second": RED})
    assert refused.json() == {
        "detail": {
            "code": "demure_adult",
            "message": "This picture looks like adult content, which is not allowed here.",
        }
    }


@pytest.mark.usefixtures("by_service")
def test_starlette_answers_a_refusal_by_itself_in_words():
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import PlainTextResponse
    from starlette.routing import Route

    async def submit(request: Request) -> PlainTextResponse:
        async with request.form() as form:
            return PlainTextResponse((await check(form.get("image"))).decision)

    with listening(Starlette(routes=[Route("/", submit, methods=["POST"])])) as url:
        refused, accepted = ask(url, files={"image": RED}), ask(url, files={"image": GREEN})
    assert (refused.status_code, refused.text) == (
        422,
        "This picture looks like adult content, which is not allowed here.",
    )
    assert (accepted.status_code, accepted.text) == (200, "safe")
