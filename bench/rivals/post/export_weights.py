"""Read the five-class model's weights out of demure's .onnx file, for the post's program to be built with.

    python export_weights.py MODEL.onnx PICTURE OUT.npz

Runs in demure's own environment. `kernel_N` and `bias_N` are those of the Nth layer, float32, in Keras' order of axes; `pixels`
and `scores` are the picture as the model takes it, (1, 224, 224, 3), and what ONNX Runtime makes of it, (1, 5).
"""

from __future__ import annotations

import sys

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import numpy_helper
from PIL import Image

SIDE = 224


def main(model: str, picture: str, out: str) -> None:
    arrays = layers(onnx.load(model).graph)
    pixels = pixels_of(picture)
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    (scores,) = session.run(["scores"], {"input": pixels})
    np.savez(out, pixels=pixels, scores=scores, **arrays)


def layers(graph: onnx.GraphProto) -> dict[str, NDArray[np.float32]]:
    values = {constant.name: numpy_helper.to_array(constant) for constant in graph.initializer}
    arrays: dict[str, NDArray[np.float32]] = {}
    for node in graph.node:
        match node.op_type:
            case "DequantizeLinear":
                values[node.output[0]] = dequantised(*(values[name] for name in node.input))
            case "Mul" if node.input[0] in values:
                arrays["input_scale"] = values[node.input[0]]
            case "Sub":
                arrays["input_offset"] = -values[node.input[1]]
            case "Conv" | "Gemm":
                number = sum(name.startswith("kernel") for name in arrays)
                arrays[f"kernel_{number}"] = in_keras_order(values[node.input[1]])
                arrays[f"bias_{number}"] = values[node.input[2]]
    return arrays


def dequantised(q: NDArray[np.uint8], scale: NDArray[np.float32], zero: NDArray[np.uint8]) -> NDArray[np.float32]:
    """One scale and one zero point for each index of the first axis."""
    channel = (-1,) + (1,) * (q.ndim - 1)
    return (q.astype(np.float32) - zero.astype(np.float32).reshape(channel)) * scale.reshape(channel)


def in_keras_order(kernel: NDArray[np.float32]) -> NDArray[np.float32]:
    """ONNX has (out, in, height, width); Keras (height, width, in, out), and (height, width, in, 1) where it is depthwise."""
    if kernel.ndim == 2:
        return kernel.T
    return kernel.transpose(2, 3, 0, 1) if kernel.shape[1] == 1 else kernel.transpose(2, 3, 1, 0)


def pixels_of(picture: str) -> NDArray[np.float32]:
    with Image.open(picture) as image:
        small = image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    return np.asarray(small, np.float32)[np.newaxis] / 255


if __name__ == "__main__":
    main(*sys.argv[1:])
