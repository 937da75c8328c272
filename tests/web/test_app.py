"""What the composition root finds before anything listens."""

from __future__ import annotations

from dataclasses import replace

import pytest
from service import settings_for

from demure.errors import DamagedWeights, InvalidPolicy, InvalidSetting, UnknownModel, UnknownPolicy
from demure.evaluation.drift import BINS
from demure.policy_file import parse_policy, policy_text
from demure.promise import Promise
from demure.web.app import create_app


def test_a_witness_cannot_be_the_model(tiny, tmp_path):
    with pytest.raises(InvalidSetting, match="DEMURE_MODEL: found 'redness', a witness"):
        create_app(settings_for(tmp_path, **{**tiny, "DEMURE_MODEL": "redness"}))


def test_a_key_file_that_does_not_hold_stops_the_start(tiny, tmp_path):
    settings = settings_for(tmp_path, **tiny)
    settings.key_file.parent.mkdir(parents=True)
    settings.key_file.write_text("hello")
    with pytest.raises(InvalidSetting, match=r"keys\.txt"):
        create_app(settings)


WRONG = {
    "model": ({"DEMURE_MODEL": "nope"}, UnknownModel, "colour"),
    "policy": ({"DEMURE_POLICY": "nope"}, UnknownPolicy, "balanced"),
    "context": ({"DEMURE_CONTEXTS": "avatar=nope"}, InvalidSetting, "avatar=nope"),
    "rate": ({"DEMURE_RATE_LIMIT": "often"}, InvalidSetting, "600/minute"),
}


@pytest.mark.parametrize(("variables", "error", "hint"), WRONG.values(), ids=WRONG)
def test_a_setting_that_names_nothing_stops_the_start(tiny, tmp_path, variables, error, hint):
    with pytest.raises(error, match=hint):
        create_app(settings_for(tmp_path, **{**tiny, **variables}))


def test_a_policy_whose_name_is_taken_stops_the_start(tiny, tmp_path):
    folder = tmp_path / "policies"
    folder.mkdir()
    (folder / "mine.toml").write_text('name = "strict"\n[adult]\nporn = { at_least = 0.5 }')
    with pytest.raises(InvalidPolicy, match="'strict' is taken"):
        create_app(
            settings_for(
                tmp_path,
                **{**tiny, "DEMURE_POLICIES_DIR": str(folder), "DEMURE_POLICY": "balanced", "DEMURE_CONTEXTS": ""},
            )
        )


def test_the_default_policy_may_be_a_file_and_is_known_by_its_name(tiny, tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('name = "mine"\n[adult]\nporn = { at_least = 0.5 }')
    engine = create_app(settings_for(tmp_path, **{**tiny, "DEMURE_POLICY": str(path)})).state.engine
    assert engine.screener(None).policy.name == "mine"
    assert engine.screener("mine").policy == engine.screener(None).policy


@pytest.mark.parametrize(("model", "warned"), [("colour", False), ("redness", True)])
def test_a_promise_that_another_model_made_is_warned_of(tiny, tmp_path, model: str, warned: bool):
    path = tmp_path / "mine.toml"
    bare = parse_policy('name = "mine"\n[adult]\nporn = { at_least = 0.5 }', "mine", ())
    none = (0,) * BINS
    promise = Promise(bare.version, model, 0.01, None, 0.95, 500, 500, "ab", 0.5, 0.1, none, none)
    path.write_text(policy_text(replace(bare, promise=promise)))
    engine = create_app(settings_for(tmp_path, **{**tiny, "DEMURE_POLICY": str(path)})).state.engine
    told = "the policy mine was calibrated with redness; with colour it promises nothing"
    assert (told in engine.warnings) == warned


def test_damaged_weights_stop_the_service_when_it_loads(tiny, tmp_path):
    app = create_app(settings_for(tmp_path, **tiny))
    spec = app.state.engine.classifiers["colour"].spec
    good = spec.weights.read_bytes()
    try:
        spec.weights.write_bytes(b"rot")
        with pytest.raises(DamagedWeights):
            app.state.engine.load()
    finally:
        spec.weights.write_bytes(good)
