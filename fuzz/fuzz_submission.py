"""A body of any bytes under any content type is a submission, or an error that the interface documents."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import atheris
from harness import check, fuzz
from starlette.requests import Request

with atheris.instrument_imports(include=["demure", "starlette.formparsers", "python_multipart", "base64"]):
    from demure.budget import Budget
    from demure.checker import Url
    from demure.errors import Overloaded, TooLarge
    from demure.settings import Settings
    from demure.web.problems import RequestError, UnsupportedMediaType
    from demure.web.submission import Image, Submission, read_submission

ENGINE: Any = SimpleNamespace(settings=Settings(max_items=4, max_image_bytes=2000, max_held_bytes=20_000))
LOOP = asyncio.new_event_loop()


def target(data: bytes) -> None:
    """Lines up to an empty one: the content type, then headers, `?query` and `/` with the size of a piece; then the body."""
    head, _, body = data.partition(b"\n\n")
    content_type, *lines = head.split(b"\n")
    query = next((line[1:] for line in lines if line.startswith(b"?")), b"")
    piece = next((line[1:] for line in lines if line.startswith(b"/")), b"")
    headers = [tuple(line.split(b": ", 1)) for line in lines if b": " in line]
    # A server hands over names in lower case, and values without line ends and white space around them.
    given = [(name.lower(), value.strip()) for name, value in [(b"content-type", content_type), *headers]]
    look_at(given, query, body, int(piece[:4]) if piece[:4].isdigit() else 0)


def look_at(headers: list[tuple[bytes, bytes]], query: bytes, body: bytes, piece: int) -> None:
    scope = {"type": "http", "method": "POST", "path": "/v1/moderate", "headers": headers, "query_string": query}
    request = Request({**scope, "state": {}}, receiver(body, max(1, piece or len(body))))
    with Budget(ENGINE.settings.max_held_bytes).share() as share:
        request.state.share = share
        try:
            submission = LOOP.run_until_complete(read_submission(request, ENGINE))
        except (RequestError, UnsupportedMediaType, TooLarge, Overloaded) as error:
            error.message.encode()
            return
    check_submission(submission, body)


def receiver(body: bytes, piece: int) -> Any:
    pieces = [body[at : at + piece] for at in range(0, len(body), piece)] or [b""]
    messages = [{"type": "http.request", "body": part, "more_body": True} for part in pieces]
    messages[-1]["more_body"] = False

    async def receive() -> dict[str, Any]:
        return messages.pop(0) if messages else {"type": "http.disconnect"}

    return receive


def check_submission(submission: Submission, body: bytes) -> None:
    check(1 <= len(submission.images) <= ENGINE.settings.max_items, submission)
    for text in (submission.policy, submission.context):
        check(text is None or text.encode() is not None)
    for image in submission.images:
        check_image(image, body)


def check_image(image: Image, body: bytes) -> None:
    check(image.id is None or len(image.id) <= 256, image.id)
    (image.id or "").encode()  # what comes back in an answer must be text
    (image.context or "").encode()
    match image.source:
        case bytes():
            check(len(image.source) <= len(body))
        case Url():
            image.source.text.encode()
        case error:
            error.message.encode()


def form(*parts: tuple[str, str]) -> bytes:
    lines = [f"--b\r\nContent-Disposition: form-data; {head}\r\n\r\n{body}\r\n" for head, body in parts]
    return "".join([*lines, "--b--\r\n"]).encode()


def seeds() -> list[bytes]:
    json, multipart, image = b"application/json\n\n", b"multipart/form-data; boundary=b\n\n", b"image/png\n"
    file = ('name="file"; filename="a.png"\r\nContent-Type: image/png', "bytes")
    return [
        json + b'{"items":[{"id":"a","url":"https://example.org/x"}],"policy":"strict","review":false}',
        json + b'{"items":[{"base64":"aGVsbG8="},{"base64":"data:,aGVsbG8=","context":"c","metadata":{"a":[1,{}]}}]}',
        json + b'{"items":[{"url":"\\ud800","id":"\\u0000"}]}',
        json + b'\xef\xbb\xbf{"items":[{},{"url":null,"base64":""}]}',
        multipart + form(file),
        multipart + form(file, ('name="policy"', "strict"), ('name="review"', "true"), file),
        multipart + form(("name=\"file\"; filename*=UTF-8''%e2%82%ac.png", "x")),
        b"multipart/form-data; boundary=b\n/3\n\n" + form(file),
        b'multipart/form-data; boundary="b"; charset=utf-7\n\n' + form(file, ('name="policy"', "+2AA-")),
        image + b"?id=a&policy=strict&context=c&review=0\n\nbytes",
        image + b"content-length: 5\n\nbytes",
        image + b"content-length: 99999999999999999999999\n?id=%ff%00&id=2\n\n",
        b"APPLICATION/OCTET-STREAM ; x=y\n\nbytes",
        b"text/html\n\n<p>",
    ]


if __name__ == "__main__":
    fuzz(target, seeds(), max_bytes=4000)
