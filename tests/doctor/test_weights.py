from __future__ import annotations

import json
from pathlib import Path

import pytest
from findings import states, told
from tiny_models import FIVE, add_model, tiny_graph

from demure.doctor import (
    policies,
    weights,
)
from demure.models import Registry
from demure.settings import read_settings


def test_the_scores_that_are_expected_are_those_of_the_models_own_programs():
    golden = {file.stem: json.loads(file.read_text()) for file in (Path(__file__).parents[1] / "golden").glob("*.json")}
    assert {name: scores for name, (scores, _) in weights.BLACK.items()} == {
        name: kept["scores"]["generated/black-50x50"] for name, kept in golden.items()
    }


@pytest.mark.parametrize("name", [*Registry()])
def test_a_bundled_model_answers_as_it_should_here(name: str):
    ((state, found),) = told(weights.check_model(Registry()[name], asked=True, expected=weights.BLACK[name]))
    assert state == "ok"
    assert found.startswith(f"{name}: its SHA-256 is right; it answers in ")
    assert found.endswith(" ms, as it should")


def test_a_model_that_is_not_asked_is_read_alone():
    spec = Registry()["mobilenet_v2"]
    assert told(weights.check_model(spec, asked=False, expected=None)) == [("ok", "mobilenet_v2: its SHA-256 is right")]


def test_a_model_that_answers_otherwise_is_a_problem(models_dir: Path):
    """Of black, `redness` says 0 (tests/tiny_models.py)."""
    spec = Registry(models_dir)["redness"]
    advice = (
        "its scores are wrong on this machine: install another version of onnxruntime, or choose another DEMURE_MODEL"
    )
    assert told(weights.check_model(spec, asked=True, expected=({"redness": 0.02}, 0.01))) == [
        ("problem", "redness: of a black picture redness is 0.0000, and 0.0200 is due", advice)
    ]
    assert told(weights.check_model(spec, asked=True, expected=({"other": 0.0}, 0.01))) == [
        ("problem", "redness: of a black picture it scores redness", advice)
    ]
    assert states([weights.check_model(spec, asked=True, expected=({"redness": 0.009}, 0.01))]) == [("weights", "ok")]


def test_of_an_operators_model_only_that_it_answers_is_known(models_dir: Path):
    ((state, found),) = told(weights.check_model(Registry(models_dir)["colour"], asked=True, expected=None))
    assert state == "ok"
    assert found.endswith(" ms; whether rightly is not known here")


def test_weights_that_were_changed_are_a_problem(models_dir: Path):
    file = models_dir / "colour.onnx"
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    found = told(weights.check_weights(read_settings({"DEMURE_MODELS_DIR": str(models_dir)})))
    ((_, text, advice),) = [line for line in found if line[0] == "problem"]
    assert text.startswith(f"{file}: SHA-256 is ")
    assert advice.startswith("copy your own anew; the bundled ones are in a clone: git checkout ")


def test_a_graph_that_gives_no_probabilities_is_a_problem(tmp_path: Path):
    add_model(tmp_path, "wide", tiny_graph(5, width=6), FIVE)
    spec = Registry(tmp_path)["wide"]
    ((state, text, advice),) = told(weights.check_model(spec, asked=True, expected=None))
    assert (state, text) == ("problem", "wide: the output has shape (1, 6), expected (1, 5) for its labels")
    assert advice == "convert the model anew, or take it out of DEMURE_MODELS_DIR"


def test_a_description_that_does_not_hold_is_a_problem_and_the_bundled_models_are_looked_at(tmp_path: Path):
    (tmp_path / "mine.toml").write_text('name = "mine"')
    settings = read_settings({"DEMURE_MODELS_DIR": str(tmp_path)})
    (state, text, advice), *others = told(weights.check_weights(settings))
    assert (state, text.partition(": ")[0]) == ("problem", str(tmp_path / "mine.toml"))
    assert advice == "mend that description, or take it out of DEMURE_MODELS_DIR"
    assert {state for state, *_ in others} == {"ok"}
    assert [text.partition(":")[0] for _, text in others] == [*Registry()]
    assert told(policies.check_policies(settings)) == [
        ("note", "not looked at: the models that policies name cannot be read", "see weights")
    ]
