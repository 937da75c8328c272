"""Which models may be asked by path: each that is asked once stays in memory."""

from __future__ import annotations

import numpy as np
import pytest
from pictures import encode
from service import settings_for

from demure.errors import InvalidSetting
from demure.settings import read_settings
from demure.web.app import create_app

RED = encode(np.full((40, 40, 3), (255, 0, 0), np.uint8), "PNG")


def test_names_are_read_as_a_list():
    assert read_settings({"DEMURE_SERVED_MODELS": "open_nsfw, mobilenet_v2"}).served_models == (
        "open_nsfw",
        "mobilenet_v2",
    )


def test_where_none_is_named_all_may_be_asked(quick, images):
    with quick() as client:
        answer = client.post("/models/mobilenet_v2/predict", params={"url": images.url("/all.png", RED)})
    assert (answer.status_code, len(answer.json())) == (200, 5)


def test_what_is_named_may_be_asked_and_the_default_as_well(quick, images):
    url = images.url("/named.png", RED)
    with quick(DEMURE_SERVED_MODELS="redness") as client:
        witness = client.post("/models/redness/predict", params={"url": url})
        default = client.post("/models/colour/predict", params={"url": url})
        original = client.post("/predict", params={"url": url})
    assert witness.json() == {"redness": pytest.approx(1, abs=1e-4)}
    assert default.json() == original.json()
    assert original.json()["porn"] == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("name", ["mobilenet_v2", "inception_v3", "nope"])
def test_another_is_unknown_and_the_answer_tells_of_none_that_is_kept_back(quick, images, name: str):
    with quick(DEMURE_SERVED_MODELS="redness") as client:
        answer = client.post(f"/models/{name}/predict", params={"url": images.url("/other.png", RED)})
    assert (answer.status_code, answer.json()["code"]) == (404, "unknown_model")
    assert answer.json()["detail"] == f"no model '{name}'; known: colour, redness"


def test_a_witness_that_the_policy_asks_still_judges(quick):
    """Both must say so for it to be adult."""
    with quick(DEMURE_SERVED_MODELS="colour") as client:
        item = client.post("/v1/moderate", content=RED, headers={"content-type": "image/png"}).json()["items"][0]
    assert (item["decision"], [*item["witnesses"]]) == ("adult", ["redness"])


def test_a_name_that_is_no_models_stops_the_start(tiny, tmp_path):
    settings = settings_for(tmp_path, **{**tiny, "DEMURE_SERVED_MODELS": "redness,open_nfsw"})
    with pytest.raises(InvalidSetting, match="DEMURE_SERVED_MODELS: no model 'open_nfsw'; known: .*open_nsfw"):
        create_app(settings)
