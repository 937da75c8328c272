"""The review pages over real HTTP, with a queue of generated pictures and three who sign in: anna and bert review, root is admin."""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
from databases import Clock, migrated, new_database
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pictures import encode, gradient, noise, stripes
from service import NO_TLS, listening
from starlette.exceptions import HTTPException

from demure.accounts import Passwords, Role
from demure.desk import Desk
from demure.errors import DemureError
from demure.memory import Memory
from demure.policy import Policy
from demure.policy_file import find_policy
from demure.previews import Preview
from demure.reviews import Actor, Judgement, Opening, Review, Submission
from demure.settings import Settings
from demure.store.reviews import Reviews, Times
from demure.store.users import Users
from demure.telemetry import Metrics
from demure.web import dashboard, review_page, sign_in
from demure.web.auth import Access, Gate
from demure.web.envelope import Envelope
from demure.web.headers import PageHeaders
from demure.web.problems import RequestError
from demure.web.sessions import Accounts

WORDS = "four words of sense"
ANNA, BERT, ROOT = Actor("user:anna"), Actor("user:bert"), Actor("user:root", is_admin=True)
# Numbers and words that no page has by chance.
UNSURE = Judgement(
    decision="unknown",
    reason="models_disagree",
    score=0.7391,
    scores={"porn": 0.6127, "sexy": 0.2529, "hentai": 0.0418, "neutral": 0.0713, "drawings": 0.0213},
    witnesses={"open_nsfw": 0.1846},
    media={"type": "image/jpeg", "width": 1280, "height": 960, "frames": 1, "sampled": 1, "worst_frame": 0},
    model="mobilenet_quirk",
    policy="balanced_quirk",
    policy_version="c0ffee5eed",
)
ANIMATED = {"type": "image/gif", "width": 640, "height": 480, "frames": 12, "sampled": 12, "worst_frame": 4}
SECRETS = (
    *("models_disagree", "0.7391", "0.739", "0.6127", "0.613", "0.2529", "0.0418", "0.1846", "0.185"),
    *("mobilenet_quirk", "balanced_quirk", "c0ffee5eed", "open_nsfw", "hentai", "porn"),
)


class NoKeys:
    async def keys(self) -> None:
        return None


@dataclass
class House:
    url: str
    desk: Desk
    clock: Clock
    visitor: Callable[[], httpx.Client]

    @property
    def reviews(self) -> Reviews:
        return self.desk.reviews

    def put(self, name: str, pictures: list[np.ndarray] | None = None, **more: object) -> Review:
        """An item of its own, a second younger than the one before."""
        self.clock.pass_s(1)
        given = {"judgement": UNSURE, "submission": Submission(caller_id=f"post-{name}"), **more}
        drawn = pictures or [gradient(512, 384)]
        opening = Opening(hashlib.sha256(name.encode()).digest(), **given)
        return self.reviews.open(opening, [preview(number, array) for number, array in enumerate(drawn)])

    def put_animation(self, name: str, **more: object) -> Review:
        frames = [stripes(512, 384), *(stripes(160, 120, 5 + number) for number in range(5))]
        judgement = Judgement(**{**vars(UNSURE), "media": ANIMATED})
        return self.put(name, frames, **{"judgement": judgement, **more})

    def enter(self, name: str = "anna") -> Visitor:
        client = self.visitor()
        answer = client.post("/review/sign-in", data={"name": name, "password": WORDS})
        assert answer.status_code == 303, answer.text
        page = client.get("/review/account").text
        return Visitor(client, re.findall(r'"csrf-token" content="([^"]+)"', page)[0])


@dataclass
class Visitor:
    """Somebody who is signed in, and speaks as the page's script does."""

    client: httpx.Client
    csrf: str

    def get(self, path: str) -> httpx.Response:
        return self.client.get(path, headers={"accept": "text/html,*/*;q=0.8"})

    def post(self, path: str, body: object = None, **headers: str) -> httpx.Response:
        return self.client.post(path, json=body or {}, headers={"x-csrf-token": self.csrf, **headers})


def preview(number: int, array: np.ndarray) -> Preview:
    height, width = array.shape[:2]
    return Preview(number, number, width, height, "image/jpeg", encode(array, "JPEG", quality=85))


def photograph(seed: int = 0) -> np.ndarray:
    """Something with soft and hard edges, so that a blur shows."""
    picture = gradient(512, 384)
    picture[120:260, 90 + 40 * seed : 230 + 40 * seed] = noise(140, 140, seed)
    return picture


@contextlib.contextmanager
def house_of(folder: Path, policies: Mapping[str, Policy] | None = None, **settings: object) -> Iterator[House]:
    clock = Clock()
    with contextlib.ExitStack() as stack:
        database = stack.enter_context(migrated(stack.enter_context(new_database("sqlite", folder)), clock))
        users = Users(database, Passwords(memory_kib=8, passes=1))
        for name, role in (("anna", Role.REVIEWER), ("bert", Role.REVIEWER), ("root", Role.ADMIN)):
            users.set_up(users.invite(name, role, "test"), WORDS)
        given = Settings.model_validate({"data_dir": folder, "threads": 1, **settings})
        desk = Desk(
            given,
            database,
            Reviews(database, Times(given.review_lease_s, given.review_undo_s)),
            users,
            Memory(database, given.memory_distance),
        )
        app = FastAPI(openapi_url=None, redirect_slashes=False)
        app.state.desk, app.state.accounts = desk, Accounts(users)
        app.state.policies = {"balanced": find_policy("balanced", {"open_nsfw"}), **(policies or {})}
        stack.callback(app.state.accounts.close)
        for router in (sign_in.router, dashboard.router, review_page.router):
            app.include_router(router)
        url = stack.enter_context(listening(_surrounded(app)))

        def visitor() -> httpx.Client:
            client = httpx.Client(base_url=url, headers={"origin": url}, trust_env=False, timeout=30, verify=NO_TLS)
            return stack.enter_context(client)

        yield House(url, desk, clock, visitor)


def _surrounded(app: FastAPI) -> PageHeaders:
    async def raise_on(_: Request, error: Exception) -> None:
        raise error

    async def raise_as_ours(_: Request, error: RequestValidationError) -> None:
        raise RequestError(error.errors()[0]["msg"])

    app.add_exception_handler(HTTPException, raise_on)
    app.add_exception_handler(RequestValidationError, raise_as_ours)
    app.add_exception_handler(DemureError, sign_in.answer_with_page)
    app.add_middleware(Gate, access=Access(), keyring=NoKeys())
    app.add_middleware(Envelope, metrics=Metrics())
    return PageHeaders(app)
