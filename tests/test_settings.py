from __future__ import annotations

from pathlib import Path

import pytest

from demure.errors import InvalidSetting
from demure.settings import read_settings


def test_nothing_set_means_the_defaults():
    settings = read_settings({})
    assert (settings.models_dir, settings.policy) == (None, "balanced")


def test_a_variable_sets_its_value_and_others_are_left_alone():
    settings = read_settings({"DEMURE_POLICY": "strict", "DEMURE_MODELS_DIR": "/srv/models", "PATH": "/bin"})
    assert (settings.policy, settings.models_dir) == ("strict", Path("/srv/models"))


def test_an_unknown_variable_stops_the_start_and_lists_the_known_ones():
    with pytest.raises(InvalidSetting, match=r"DEMURE_POLCY: no such setting; known: .*DEMURE_POLICY"):
        read_settings({"DEMURE_POLCY": "strict"})


def test_the_environment_is_read_when_nothing_else_is_given(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DEMURE_POLICY", "permissive")
    assert read_settings().policy == "permissive"
