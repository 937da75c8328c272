"""Pictures that have had their time, between that moment and the next sweep."""

from __future__ import annotations

import hashlib

import pytest

from demure.previews import Preview
from demure.reviews import Actor, Judgement, Opening, State, Submission
from demure.store.retention import Keep, sweep
from demure.store.reviews import Reviews

ANNA = Actor("user:anna")
UNSURE = Judgement("unknown", "uncertain", 0.5, {"porn": 0.5}, None, None, "tiny", "colours", "1")
WEEK_S = 7 * 86_400


@pytest.fixture
def queue(database):
    return Reviews(database)


def send(queue: Reviews, *texts: bytes):
    pictures = [Preview(number, number, 2, 1, "image/jpeg", text) for number, text in enumerate(texts)]
    return queue.open(Opening(hashlib.sha256(b"a").digest(), UNSURE, Submission("post")), pictures)


def test_an_item_that_is_sent_again_when_its_pictures_are_due_is_shown_for_another_week(queue, database, clock):
    review = send(queue, b"first", b"second")
    clock.pass_s(WEEK_S + 1)
    assert queue.pictures(review.id) == []  # nothing is announced that is not shown
    assert send(queue, b"anew").id == review.id
    sweep(database, Keep())
    assert queue.get(review.id).state is State.OPEN
    assert queue.pictures(review.id) == [(0, 0, 2, 1)]
    assert queue.preview(review.id, 0, ANNA).data == b"anew"
    clock.pass_s(WEEK_S - 1)
    assert sweep(database, Keep()).expired == 0
    clock.pass_s(1)
    assert sweep(database, Keep()).expired == 1


def test_an_item_that_is_sent_again_before_keeps_its_pictures(queue, clock):
    review = send(queue, b"first")
    clock.pass_s(WEEK_S - 1)
    send(queue, b"anew")
    assert queue.preview(review.id, 0, ANNA).data == b"first"
