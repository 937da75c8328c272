from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from pictures import EXAMPLE
from tiny_models import tiny_graph

from demure.errors import InvalidModel
from demure.models import Registry
from demure.session import Session


def tiny(**names: str) -> Session:
    return Session(tiny_graph(5), "tiny", **{"input_name": "input", "output_name": "scores", **names})


def test_a_batch_of_any_length_is_answered_row_by_row():
    batch = np.zeros((3, 8, 8, 3), np.float32)
    batch[1, :, :, 0] = 1
    assert tiny().run(batch).argmax(axis=1).tolist()[1] == 3


def test_bytes_that_are_no_graph_are_refused():
    with pytest.raises(InvalidModel, match="tiny: the weights cannot be loaded"):
        Session(b"not a graph", "tiny", input_name="input", output_name="scores")


@pytest.mark.parametrize(("wrong", "message"), [("input_name", "input.name"), ("output_name", "output.name")])
def test_a_name_that_the_graph_lacks_is_refused_with_those_it_has(wrong: str, message: str):
    with pytest.raises(InvalidModel, match=f"tiny: {message}: the graph has (input|scores), not 'other'"):
        tiny(**{wrong: "other"})


def test_a_batch_that_does_not_fit_is_refused():
    with pytest.raises(InvalidModel, match=r"refused a batch of shape \(1, 9, 8, 3\)"):
        tiny().run(np.zeros((1, 9, 8, 3), np.float32))


def test_no_thread_is_started_beyond_those_asked_for():
    def threads() -> int:
        return len([*Path("/proc/self/task").iterdir()])

    spec = Registry()["mobilenet_v2"]
    tiny().run(np.zeros((1, 8, 8, 3), np.float32))  # what the runtime starts once is not counted
    before = threads()
    options = {"input_name": spec.input_name, "output_name": spec.output_name}
    single = Session(spec.read_weights(), spec.name, **options)
    single.run(np.zeros((1, 224, 224, 3), np.float32))
    assert threads() == before
    several = Session(spec.read_weights(), spec.name, threads=3, **options)
    assert threads() == before + 2  # the caller is the third
    del several


def test_the_runtime_writes_nothing_at_home_and_so_has_nothing_to_send(tmp_path: Path):
    """Without ORT_DISABLE_TELEMETRY it makes a device's id and a file of events there as soon as it is imported."""
    program = f"import demure; print(demure.screen({str(EXAMPLE)!r}).decision)"
    variables = {name: value for name, value in os.environ.items() if not name.startswith(("ORT_", "XDG_"))}
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**variables, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "safe\n"
    assert list(tmp_path.rglob("*")) == []
