"""How a body is read: what would keep others waiting is parsed in a thread."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import Annotated, Any

import pytest
from pydantic import AfterValidator, BaseModel
from starlette.requests import Request

from demure.budget import Budget
from demure.web.submission import read_json


class Listed(BaseModel):
    """Any list, with the thread that built it."""

    items: Annotated[list[Any], AfterValidator(lambda _: [threading.current_thread()])]


def thread_that_parses(body: bytes) -> threading.Thread:
    async def parse() -> Listed:
        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body}

        with Budget(10_000_000).share() as share:
            return await read_json(Request({"type": "http", "state": {"share": share}}, receive), Listed)

    return asyncio.run(parse()).items[0]


def of_bytes(count: int) -> bytes:
    empty = json.dumps({"items": [""]})
    return json.dumps({"items": ["x" * (count - len(empty))]}).encode()


def of_parts(count: int) -> bytes:
    """An object, its value and a list are three parts: each member but the first is one more."""
    return b'{"items":[' + b",".join([b"0"] * (count - 2)) + b"]}"


SMALL = {"256 KiB": of_bytes(256 * 1024), "a thousand parts": of_parts(1000)}
LARGE = {"a byte more": of_bytes(256 * 1024 + 1), "a part more": of_parts(1001)}


@pytest.mark.parametrize("body", SMALL.values(), ids=SMALL)
def test_what_is_small_is_parsed_at_once(body: bytes):
    assert thread_that_parses(body) is threading.main_thread()


@pytest.mark.parametrize("body", LARGE.values(), ids=LARGE)
def test_what_is_large_is_parsed_in_a_thread(body: bytes):
    assert thread_that_parses(body) is not threading.main_thread()
