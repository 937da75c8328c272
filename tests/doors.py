"""For the tests of other programs' calls: the pictures, a service that asks for keys, and what /v1/moderate answers beside them."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import openai
from pictures import encode, noise, plain
from service import serving, settings_for

from demure.keys import make_key

ADULT, SAFE, UNSURE = (encode(plain(colour), "PNG") for colour in ([255, 0, 0], [0, 255, 0], [0, 0, 255]))
BROKEN = SAFE[:60]
LARGE = encode(noise(300, 300), "PNG")  # more than a form of sign-in may have
DECISIONS = {"red": (ADULT, "adult"), "green": (SAFE, "safe"), "blue": (UNSURE, "unknown")}
SCOPES = ("classify", "review", "admin")


@dataclass(frozen=True)
class House:
    """A service with a key for each scope, and those who speak to it."""

    client: httpx.Client
    secrets: dict[str, str]

    @property
    def url(self) -> str:
        return str(self.client.base_url).rstrip("/")

    def ask(
        self, scope: str, method: str, path: str, extra: dict[str, str] | None = None, **more: object
    ) -> httpx.Response:
        headers = {"authorization": f"Bearer {self.secrets[scope]}", **(extra or {})}
        return self.client.request(method, path, headers=headers, **more)

    def openai(self, scope: str = "classify") -> openai.OpenAI:
        """Does not ask again: an answer is looked at as it comes."""
        return openai.OpenAI(base_url=f"{self.url}/v1", api_key=self.secrets[scope], max_retries=0)

    def moderate(self, data: bytes, **more: object) -> dict:
        body = {"items": [{"base64": base64.b64encode(data).decode()}], **more}
        return self.ask("classify", "POST", "/v1/moderate", json=body).raise_for_status().json()["items"][0]

    def settle(self, review: str, verdict: str) -> None:
        body = {"verdict": verdict, "version": 1}
        self.ask("review", "POST", f"/v1/reviews/{review}/verdict", json=body).raise_for_status()


@contextmanager
def keyed(folder: Path, tiny: dict[str, str], **variables: str) -> Iterator[House]:
    made = {scope: make_key(scope, [scope]) for scope in SCOPES}
    keys = "; ".join(str(key) for key, _ in made.values())
    with serving(settings_for(folder, **{**tiny, "DEMURE_API_KEYS": keys, **variables})) as client:
        yield House(client, {**{scope: secret for scope, (_, secret) in made.items()}, "nobody": "demure_unknown"})


def image_part(data: bytes, media_type: str = "image/png") -> dict:
    """A part of an input to OpenAI's moderation."""
    url = f"data:{media_type};base64,{base64.b64encode(data).decode()}"
    return {"type": "image_url", "image_url": {"url": url}}
