from __future__ import annotations

import copy
import pickle

import pytest

from demure.scores import RISK, Category, Scores, weighted_sum


def test_categories_stand_in_the_order_of_the_models():
    assert list(Category) == ["drawings", "hentai", "neutral", "porn", "sexy"]


def test_scores_read_as_a_mapping_and_as_attributes():
    scores = Scores({"porn": 0.25, "neutral": 0.75})
    assert (scores["porn"], scores.neutral, list(scores), len(scores)) == (0.25, 0.75, ["porn", "neutral"], 2)
    assert scores == {"porn": 0.25, "neutral": 0.75}
    assert scores.as_dict() == {"porn": 0.25, "neutral": 0.75}


def test_an_unknown_score_is_an_error_and_not_zero():
    scores = Scores({"porn": 0.25})
    with pytest.raises(KeyError):
        scores["hentai"]
    with pytest.raises(AttributeError):
        scores.hentai  # noqa: B018


def test_scores_are_rounded_to_what_a_float32_carries():
    assert Scores({"porn": 0.123456789})["porn"] == 0.1234568


def test_scores_can_be_copied_and_sent_to_another_process():
    scores = Scores({"porn": 0.25, "neutral": 0.75})
    assert copy.deepcopy(scores) == pickle.loads(pickle.dumps(scores)) == scores


def test_risk_counts_sexy_half():
    assert weighted_sum(RISK, {"porn": 0.2, "hentai": 0.1, "sexy": 0.4, "neutral": 0.3}) == pytest.approx(0.5)


def test_a_sum_over_a_missing_score_is_unknown():
    assert weighted_sum(RISK, {"porn": 0.2, "hentai": 0.1}) is None
