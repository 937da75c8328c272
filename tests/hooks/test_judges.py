"""Who judges: built once, shared by threads, never by a parent and its child."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NoReturn

import pytest
from hooks.apps.seen import BLUE, GREEN, RED
from processes import descendants

from demure.client import Answer
from demure.errors import InvalidSetting, UnknownPolicy
from demure.hooks.core import Labels, Rules
from demure.hooks.judges import Judges, Models, _in_a_thread, judge, judge_async, judges
from demure.hooks.settings import Service, find_service
from demure.settings import read_settings

Ask = Callable[[Rules, Labels], Answer]
NAMED = Labels("post-7", "user-3", {"board": "cats"})


@pytest.mark.usefixtures("somebody_judges")
def test_threads_share_one_judge_and_get_their_own_answers():
    pictures = [(RED, "adult"), (GREEN, "safe"), (BLUE, "unknown")] * 8
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda pair: judge(pair[0], Rules(), service=find_service()), pictures))
    assert [answer.decision for answer in answers] == [decision for _, decision in pictures]


def test_threads_that_ask_first_at_once_build_one_judge():
    held = Judges()
    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(lambda _: held.at(Service("http://127.0.0.1:1")), range(64)))
    held.close()
    assert len({id(one) for one in found}) == 1


@pytest.mark.usefixtures("somebody_judges")
def test_an_event_loop_gets_the_same_answers_side_by_side():
    async def all_three() -> list[str]:
        answers = await asyncio.gather(*(judge_async(data, Rules(), Labels()) for data in (RED, GREEN, BLUE)))
        return [answer.decision for answer in answers]

    # Two loops after one another: what belongs to the first is gone with it.
    assert [asyncio.run(all_three()), asyncio.run(all_three())] == [["adult", "safe", "unknown"]] * 2


@pytest.mark.usefixtures("somebody_judges")
@pytest.mark.parametrize("rules", [Rules(policy="lenient"), Rules(context="chat")], ids=["policy", "context"])
def test_rules_choose_the_policy(rules: Rules):
    """`lenient`, which is also the policy of the context `chat`, calls all safe that is not hentai."""
    assert judge(BLUE, Rules(), service=find_service()).decision == "unknown"
    assert judge(BLUE, rules, service=find_service()).decision == "safe"
    assert asyncio.run(judge_async(BLUE, rules, Labels())).decision == "safe"


@pytest.mark.usefixtures("by_service")
def test_a_service_puts_unknown_ones_before_a_person_with_the_sites_own_names(service, reviewer):
    answer = judge(BLUE, Rules(review=True), NAMED, find_service())
    assert (answer.decision, answer.id) == ("unknown", "post-7")
    assert answer.review is not None
    headers = {"Authorization": f"Bearer {reviewer[1]}"}
    senders = service.get(f"/v1/reviews/{answer.review.id}", headers=headers).json()["submissions"]
    assert {"id": "post-7", "subject": "user-3", "metadata": {"board": "cats"}} in senders


@pytest.mark.usefixtures("in_process")
def test_in_process_there_is_nobody_to_review():
    with pytest.raises(InvalidSetting, match=r"^review=True .*DEMURE_URL"):
        judge(BLUE, Rules(review=True))


ASKED = {
    "blocking": lambda rules, labels: judge(GREEN, rules, labels, find_service()),
    "asyncio": lambda rules, labels: asyncio.run(judge_async(GREEN, rules, labels)),
}


@pytest.mark.usefixtures("somebody_judges")
@pytest.mark.parametrize("ask", ASKED.values(), ids=ASKED)
def test_an_unknown_policy_is_told_as_the_mistake_that_it_is(ask: Ask):
    with pytest.raises(UnknownPolicy, match="no policy 'stict'"):
        ask(Rules(policy="stict", on_failure="accept"), Labels())


@pytest.mark.usefixtures("by_service")
@pytest.mark.parametrize("ask", ASKED.values(), ids=ASKED)
@pytest.mark.parametrize(
    ("context", "labels"), [("c" * 65, Labels(subject="user-3")), ("c" * 70_000, Labels())], ids=["service", "client"]
)
def test_a_question_that_is_not_taken_lets_nothing_in(ask: Ask, context: str, labels: Labels):
    """By the service, which takes contexts of 64 characters in JSON; by the client, which writes no URL of 64 KiB."""
    with pytest.raises(InvalidSetting, match="invalid_request"):
        ask(Rules(context=context, on_failure="accept"), labels)


@pytest.mark.usefixtures("somebody_judges")
@pytest.mark.parametrize("ask", ASKED.values(), ids=ASKED)
@pytest.mark.parametrize("subject", [None, "user-3"])
def test_a_long_file_name_as_an_id_is_cut_and_the_picture_judged(ask: Ask, subject: str | None):
    answer = ask(Rules(on_failure="accept"), Labels("ü" * 70_000, subject))
    assert (answer.decision, answer.error, answer.id) == ("safe", None, "ü" * 256)


@pytest.mark.usefixtures("in_process")
def test_in_process_nobody_waits_for_a_turn_without_end():
    models = Models(read_settings(), timeout_s=0.05)
    while models._turns.acquire(blocking=False):  # as uploads that are being judged have them
        pass
    answer = models.judge(GREEN, Rules(), Labels())
    assert (answer.decision, answer.reason) == ("unknown", "overloaded")
    models.close()


@pytest.mark.usefixtures("in_process")
def test_in_process_a_turn_is_given_back_whatever_happens():
    models = Models(read_settings())
    turns = count(models)
    models.judge(GREEN, Rules(), Labels())
    models.judge(b"no picture", Rules(), Labels())
    assert count(models) == turns > 0
    models.close()


def count(models: Models) -> int:
    taken = 0
    while models._turns.acquire(blocking=False):
        taken += 1
    for _ in range(taken):
        models._turns.release()
    return taken


@pytest.mark.usefixtures("in_process")
def test_under_asyncio_the_time_counts_while_no_thread_is_free():
    release = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        pool.submit(release.wait)
        answer = asyncio.run(_in_a_thread(pool, GREEN, Rules(), Labels(), 0.05))
        release.set()
    assert (answer.decision, answer.reason) == ("unknown", "timed_out")


@pytest.mark.usefixtures("in_process")
def test_under_asyncio_the_loops_own_threads_are_left_to_the_site():
    class Taken(ThreadPoolExecutor):
        def submit(self, *_: object, **__: object) -> NoReturn:
            raise AssertionError("an upload is judged where all else of the site waits")

    async def ask() -> bool:
        asyncio.get_running_loop().set_default_executor(Taken(1))
        return (await judge_async(GREEN, Rules(), Labels())).is_safe

    assert asyncio.run(ask())


@pytest.mark.parametrize("url", ["nonsense", "ftp://127.0.0.1", "http://user:secret@127.0.0.1"])
def test_a_url_that_is_none_is_told_with_the_settings_name_and_no_password(url: str):
    with pytest.raises(InvalidSetting, match="DEMURE_URL") as caught:
        judge(GREEN, Rules(), service=Service(url))
    assert "secret" not in str(caught.value)


@pytest.mark.usefixtures("in_process")
def test_a_key_in_the_environment_does_not_stop_this_process_from_judging(monkeypatch: pytest.MonkeyPatch):
    """demure.settings refuses names that it does not know."""
    judges.close()
    monkeypatch.setenv("DEMURE_KEY", "left over")
    assert judge(GREEN, Rules()).is_safe


@pytest.mark.usefixtures("in_process")
def test_after_closing_no_decoder_is_left_and_the_next_upload_starts_anew():
    before = {*descendants(os.getpid())}
    judges.close()
    outside = {*descendants(os.getpid())}
    assert judge(GREEN, Rules()).is_safe
    assert {*descendants(os.getpid())} - outside, "a decoder is at work"
    judges.close()
    assert {*descendants(os.getpid())} <= outside <= before
    assert judge(GREEN, Rules()).is_safe


FORKS = """
import os, sys
from pathlib import Path
from demure.hooks.core import Rules
from demure.hooks.judges import judge, judges
from demure.hooks.settings import find_service

def ask():
    return str(judge(data, Rules(), service=find_service()).decision)

def children():
    return Path(f"/proc/self/task/{os.getpid()}/children").read_text()

data = sys.stdin.buffer.read()
before, built, decoders = ask(), judges.at(find_service()), children()
child = os.fork()
if not child:
    fine = ask() == before and judges.at(find_service()) is not built
    judges.close()
    os._exit(0 if fine else 1)
_, status = os.waitpid(child, 0)
print(before, os.waitstatus_to_exitcode(status), ask(), judges.at(find_service()) is built, children() == decoders)
"""


@pytest.mark.usefixtures("somebody_judges")
def test_a_process_that_forks_and_its_child_each_have_their_own():
    """As gunicorn with preload_app does; and the end of the child is not the end of the parent's decoders."""
    told = run([sys.executable, "-W", "ignore::DeprecationWarning", "-c", FORKS], GREEN)
    assert told == "safe 0 safe True True"


def run(command: list[str], data: bytes) -> str:
    done = subprocess.run(command, input=data, capture_output=True, timeout=60, check=False)
    assert not done.stderr, done.stderr.decode()
    return done.stdout.decode().strip()


@pytest.mark.usefixtures("by_service")
def test_nothing_is_asked_about_what_is_empty_or_too_large(images_asked: Callable[[], float]):
    before = images_asked()
    assert judge(b"", Rules(), service=find_service()).reason == "empty_body"
    assert judge(GREEN, Rules(max_bytes=10), service=find_service()).reason == "too_large"
    assert images_asked() == before
    judge(GREEN, Rules(), service=find_service())
    assert images_asked() == before + 1
