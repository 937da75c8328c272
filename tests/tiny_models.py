"""Models of a few numbers, whose scores can be read off a picture's mean colour."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

CATEGORIES = ["drawings", "hentai", "neutral", "porn", "sexy"]
SIDE = 8


def tiny_graph(outputs: int, *, width: int | None = None) -> bytes:
    """A graph that answers with the mean colour of its input (N, 8, 8, 3) in [0, 1], as five categories or as one witness.

    Five outputs: neutral = green, porn = red, sexy = blue, all over their sum. Two outputs: (1 - red, red).
    """
    mean = helper.make_node("ReduceMean", ["input"], ["colour"], axes=[1, 2], keepdims=0)
    if outputs == 5:
        columns = np.zeros((3, width or 5), np.float32)
        columns[1, 2] = columns[0, 3] = columns[2, 4] = 1
        offset = np.full(width or 5, 1e-6, np.float32)
    else:
        columns, offset = np.array([[-1, 1], [0, 0], [0, 0]], np.float32), np.array([1, 0], np.float32)
    nodes = [
        mean,
        helper.make_node("MatMul", ["colour", "columns"], ["weighted"]),
        helper.make_node("Add", ["weighted", "offset"], ["raw"]),
        helper.make_node("ReduceSum", ["raw", "last"], ["total"], keepdims=1),
        helper.make_node("Div", ["raw", "total"], ["scores"]),
    ]
    constants = [
        numpy_helper.from_array(columns, "columns"),
        numpy_helper.from_array(offset, "offset"),
        numpy_helper.from_array(np.array([-1], np.int64), "last"),
    ]
    pixels = helper.make_tensor_value_info("input", TensorProto.FLOAT, ["N", SIDE, SIDE, 3])
    scores = helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["N", width or outputs])
    graph = helper.make_graph(nodes, "tiny", [pixels], [scores], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def describe(name: str, weights: bytes, output: str) -> str:
    """A description that holds; tests take it and break one thing."""
    return f"""
name = "{name}"
description = "the mean colour"
licence = "CC0-1.0"
source = "made for the tests"
sha256 = "{hashlib.sha256(weights).hexdigest()}"

[input]
name = "input"

[output]
name = "scores"
{output}

[[steps]]
resize = {{ width = {SIDE}, height = {SIDE}, antialias = false }}
[[steps]]
divide = 255
"""


_PAIRS = ", ".join(f'{category} = "{category}"' for category in CATEGORIES)
FIVE = f"labels = {CATEGORIES}\ncategories = {{ {_PAIRS} }}"
WITNESS = 'labels = ["calm", "red"]\nwitness = "red"'


def add_model(folder: Path, name: str, weights: bytes, output: str) -> Path:
    (folder / f"{name}.onnx").write_bytes(weights)
    description = folder / f"{name}.toml"
    description.write_text(describe(name, weights, output))
    return description


# Red is adult, green safe, blue unknown.
RULES = """
name = "colours"
[sums]
risk = { porn = 1, hentai = 1, sexy = 0.5 }
[adult]
porn = { at_least = 0.8 }
redness = { at_least = 0.8 }
[safe]
risk = { at_most = 0.2 }
redness = { at_most = 0.2 }
"""
LENIENT = 'name = "lenient"\n[safe]\nhentai = { at_most = 0.5 }'
