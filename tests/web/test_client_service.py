"""Both clients against the real service: every form of a request, its limits and refusals, and a review to its webhook."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from asking import KINDS, Asker, Connect, askers
from pictures import encode, plain
from service import ImageServer, serving, settings_for

from demure.client import AsyncClient, Client, Outcome, Refused, Sender, verify_webhook
from demure.events import Event
from demure.keys import make_key
from demure.webhooks import signed_headers, to_message

RED, GREEN, BLUE = (encode(plain(colour), "PNG") for colour in ([255, 0, 0], [0, 255, 0], [0, 0, 255]))
DECISIONS = {"red": (RED, Outcome.ADULT), "green": (GREEN, Outcome.SAFE), "blue": (BLUE, Outcome.UNKNOWN)}
SECRET = "whsec_bm5ubm5ubm5ubm5ubm5ubm5ubm5ubm5ubm5ubm5ubm4="  # 32 times "n"


def url_of(client: httpx.Client) -> str:
    return str(client.base_url).rstrip("/")


@pytest.fixture(params=KINDS.values(), ids=KINDS)
def connect(request: pytest.FixtureRequest) -> Iterator[Connect]:
    with askers(request.param) as connect:
        yield connect


@pytest.fixture
def asker(connect: Connect, service: httpx.Client) -> Asker:
    return connect(url_of(service))


@pytest.fixture(scope="module")
def keys() -> dict[str, tuple[str, str]]:
    made = {scope: make_key(scope, [scope]) for scope in ("classify", "review", "metrics")}
    return {scope: (str(key), secret) for scope, (key, secret) in made.items()}


@pytest.fixture(scope="module")
def reviewing(tiny, keys, tmp_path_factory) -> Iterator[httpx.Client]:
    variables = {**tiny, "DEMURE_API_KEYS": "; ".join(entry for entry, _ in keys.values())}
    with serving(settings_for(tmp_path_factory.mktemp("reviewing"), **variables)) as client:
        yield client


@pytest.mark.parametrize("wishes", [{}, {"subject": "user-3"}], ids=["bytes", "base64"])
@pytest.mark.parametrize(("picture", "decision"), DECISIONS.values(), ids=DECISIONS)
def test_a_picture_is_decided(asker: Asker, picture: bytes, decision: Outcome, wishes: dict[str, str]):
    answer = asker.moderate(picture, id="kätzchen 7&8", **wishes)
    assert (answer.decision, answer.id, answer.error, answer.remembered) == (decision, "kätzchen 7&8", None, False)
    assert answer.media is not None
    assert (answer.media.type, answer.media.width, answer.media.height) == ("image/png", 64, 64)
    assert answer.scores is not None
    assert sum(answer.scores.values()) == pytest.approx(1)
    assert set(answer.raw["timings_ms"]) >= {"total"}


def test_a_url_is_fetched_by_the_service(asker: Asker, images: ImageServer):
    answer = asker.moderate(images.url("/client.png", RED), id="a")
    assert (answer.is_adult, answer.id) == (True, "a")
    missing = asker.moderate(images.url("/not-there.png"))
    assert missing.is_unknown
    assert missing.error is not None
    assert missing.error.code == "upstream_status"


@pytest.mark.parametrize("wishes", [{}, {"subject": "user-3"}], ids=["bytes", "base64"])
def test_a_policy_is_chosen_by_its_name_or_a_context(asker: Asker, wishes: dict[str, str]):
    """`lenient` finds everything safe that is no hentai, and adult nothing; `chat` leads to it."""
    assert asker.moderate(RED, **wishes).is_adult
    assert asker.moderate(RED, policy="lenient", **wishes).is_safe
    assert asker.moderate(RED, context="chat", **wishes).is_safe
    with pytest.raises(Refused, match="known: ") as caught:
        asker.moderate(RED, policy="nope", **wishes)
    assert (caught.value.code, caught.value.status, caught.value.retryable) == ("unknown_policy", 404, False)
    assert caught.value.request_id


BROKEN = {"empty": (b"", "empty_body"), "no picture": (b"hello", "not_an_image"), "cut": (RED[:60], "undecodable")}


@pytest.mark.parametrize("wishes", [{}, {"subject": "user-3"}], ids=["bytes", "base64"])
@pytest.mark.parametrize(("data", "code"), BROKEN.values(), ids=BROKEN)
def test_a_picture_that_cannot_be_read_is_unknown(asker: Asker, data: bytes, code: str, wishes: dict[str, str]):
    answer = asker.moderate(data, **wishes)
    assert (answer.decision, answer.reason) == (Outcome.UNKNOWN, code)
    assert answer.error is not None
    assert answer.error.code == code


@pytest.mark.parametrize("wishes", [{}, {"subject": "user-3"}], ids=["bytes", "base64"])
@pytest.mark.parametrize("mib", [3, 6, 12])
def test_a_picture_that_is_too_large_is_unknown_whoever_finds_it(
    connect: Connect, quick, mib: int, wishes: dict[str, str]
):
    """More than an image may have, more than a body may have, and so much that most of it is still on its way then."""
    with quick(DEMURE_MAX_IMAGE_BYTES="2000000", DEMURE_MAX_BODY_BYTES="5000000") as client:
        asker = connect(url_of(client))
        answer = asker.moderate(bytes(mib << 20), id="a", **wishes)
        assert (answer.decision, answer.reason, answer.id) == (Outcome.UNKNOWN, "too_large", "a")
        assert asker.moderate(GREEN).is_safe


def test_many_have_their_answers_in_order_whatever_the_services_limits(connect: Connect, quick, images: ImageServer):
    """Three items, and some five pictures of random bytes, are more than this service takes at once."""
    pictures = [RED, images.url("/many.png", GREEN), BLUE, b"hello", bytes(3 << 20), *[GREEN, RED] * 8]
    expected = ["adult", "safe", "unknown", "not_an_image", "too_large", *["safe", "adult"] * 8]
    with quick(DEMURE_MAX_ITEMS="3", DEMURE_MAX_BODY_BYTES="2000000") as client:
        answers = connect(url_of(client)).moderate_many(pictures)
    assert [answer.error.code if answer.error else answer.decision for answer in answers] == expected


def test_keys_are_asked_for(connect: Connect, reviewing: httpx.Client, keys):
    url = url_of(reviewing)
    assert connect(url, keys["classify"][1]).moderate(GREEN).is_safe
    for key, code in ((None, "key_required"), ("demure_wrong", "key_required"), (keys["metrics"][1], "not_permitted")):
        with pytest.raises(Refused) as caught:
            connect(url, key).moderate(GREEN)
        assert (caught.value.code, caught.value.retryable) == (code, False)


def test_a_key_that_asks_too_often_waits_before_it_asks_again(connect: Connect, quick, keys):
    with quick(DEMURE_API_KEYS=keys["classify"][0], DEMURE_RATE_LIMIT="1/year") as client:
        asker = connect(url_of(client), keys["classify"][1])
        assert asker.moderate(GREEN).is_safe
        with pytest.raises(Refused) as caught:
            asker.moderate(GREEN)
    assert (caught.value.code, caught.value.status, caught.value.retryable) == ("rate_limited", 429, True)
    assert len(asker.waits) == 2
    assert min(asker.waits) >= 1  # as the service says


def test_a_review_is_opened_once_however_often_it_is_asked_and_its_verdict_is_told(
    connect: Connect, reviewing: httpx.Client, keys
):
    asker = connect(url_of(reviewing), keys["classify"][1])
    picture = encode(plain([0, 0, 255], 70 if isinstance(asker, KINDS["blocking"]) else 80), "PNG")  # each its own
    names = {"id": "post-7", "subject": "user-3", "metadata": {"board": "cats"}}
    first = asker.moderate(picture, review=True, **names)
    again = asker.moderate(picture, review=True, **names)
    assert first.review is not None
    assert (first.review.state, again.review) == ("open", first.review)
    assert asker.moderate(picture).review is None

    admin = {"authorization": f"Bearer {keys['review'][1]}"}
    path = f"/v1/reviews/{first.review.id}"
    claimed = reviewing.post(f"{path}/claim", json={}, headers=admin).json()
    judged = reviewing.post(f"{path}/verdict", json={"verdict": "adult", "version": claimed["version"]}, headers=admin)
    assert judged.status_code == 200, judged.text
    told = reviewing.get("/v1/events", params={"limit": 1000}, headers=admin).json()["events"]
    (facts,) = [one for one in told if one["data"]["review"] == first.review.id]
    message = to_message(Event(facts["id"], facts["type"], time.time_ns() // 1_000_000, facts["data"]))
    event = verify_webhook(message.body, signed_headers(message, (SECRET,), time.time_ns() // 1_000_000), SECRET)
    assert (event.type, event.verdict, event.sha256) == ("review.settled", Outcome.ADULT, first.sha256)
    assert event.submissions == (Sender("post-7", "user-3", {"board": "cats"}),)

    remembered = asker.moderate(picture)
    assert (remembered.is_adult, remembered.reason, remembered.remembered, remembered.scores) == (
        True,
        "remembered",
        True,
        None,
    )


def test_threads_may_share_a_client(service: httpx.Client):
    with Client(url_of(service)) as client, ThreadPoolExecutor(8) as pool:
        numbers = [str(number) for number in range(64)]
        pictures = [RED if int(number) % 2 else GREEN for number in numbers]
        answers = [*pool.map(lambda number, picture: client.moderate(picture, id=number), numbers, pictures)]
    assert [answer.id for answer in answers] == numbers
    assert [answer.is_adult for answer in answers] == [bool(int(number) % 2) for number in numbers]


def test_tasks_may_share_a_client(service: httpx.Client):
    async def ask() -> list[str | None]:
        async with AsyncClient(url_of(service)) as client:
            answers = await asyncio.gather(*(client.moderate(GREEN, id=str(number)) for number in range(32)))
        return [answer.id for answer in answers]

    assert asyncio.run(ask()) == [str(number) for number in range(32)]
