"""Doors that programs already knock on. Each contract is its owner's and stays as it is, its errors too.

An image goes the way of /v1/moderate: the same limits, keys, memory and decision. What a contract has no words for is lost on
the way out, but is never turned into `safe`.
"""

from __future__ import annotations

from fastapi import APIRouter

from demure.web.compat import misskey, nsfw_api, openai, post
from demure.web.problems import Refusal

router = APIRouter()
for _door in (post, misskey, openai, nsfw_api):
    router.include_router(_door.router)

# By path: how an error is told there. Errors come up before there is a route as well, so it is the envelope that asks.
REFUSALS: dict[str, Refusal] = {
    "/v1/detect-images": misskey.refusal,
    "/v1/moderations": openai.refusal,
    "/classify": nsfw_api.refusal,
    "/classify-many": nsfw_api.refusal,
}
