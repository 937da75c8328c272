#!/usr/bin/env python3
"""Make mobilenet_v2_140_int8 from mobilenet_v2_140: 8-bit weights and activations, ranges from a few harmless pictures.

    .venv/bin/python bench/corpus.py
    .venv/bin/python tools/quantise_models.py OUT_DIR .bench/corpus/*/0*

The pictures (a sixteenth of the corpus here: their names are hashes) give ranges and means, no labels. The same pictures and
weights give the same bytes. The graphs are in ONNX Runtime's operator form (QLinearConv), which `session.disable_quant_qdq`
leaves alone.

What keeps the scores near those of the float32 model, and the same on every processor:

* The weights are 8-bit already and keep their grid wherever it fits: no second rounding. Some 98 % of channels do.
* x86 processors without VNNI add neighbouring products in saturating int16 (vpmaddubsw; ONNX Runtime's ConvSymKernelAvx2 and
  QgemmU8X8KernelAvx2). So two neighbouring weights of one sign never exceed 128 together: 255 * 128 < 2^15. To lose little by
  that, channels are ordered so that large weights have small neighbours.
* Ranges minimise the cubed error (rare large values count), after ReLU6 no more than 6; the mean error that remains in each
  channel of a convolution without activation is taken off its bias (Nagel et al. 2019, section 4.2, measured).
* Pixels enter as the bytes they were. The last pooling, matrix and softmax stay float32.

open_nsfw is not made: the same treatment kept fewer than 99.5 % of decisions.
"""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

from demure.decode import DecodeLimits, decode
from demure.models import ModelSpec, Registry
from demure.preprocess import Fidelity, run_pixel_steps, run_value_steps

Array = np.ndarray[Any, Any]
LIMITS = DecodeLimits(max_pixels=200_000_000, max_bytes=100 * 2**20)  # as in bench/decisions.py
OPSET, IR_VERSION = 13, 8
PAIR = 128  # the most that two neighbouring weights of one sign may amount to
SAMPLES = 10_000  # values taken of each tensor and picture, to choose its range by
QUANTISED = ("Conv", "Add")
SHRINK = [*np.arange(0.30, 1.0, 0.05), 0.97, 1.0]  # shares of the whole range that are tried


NAME = "mobilenet_v2_140"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="folder for the .onnx file")
    parser.add_argument("pictures", type=Path, nargs="+", help="calibration pictures, some hundred, harmless")
    args = parser.parse_args()
    spec = Registry()[NAME]
    inputs = list(batches(spec, sorted(args.pictures, key=lambda path: path.name)))
    data = quantise(spec, inputs).SerializeToString(deterministic=True)
    (args.out / f"{NAME}_int8.onnx").write_bytes(data)
    print(f"{hashlib.sha256(data).hexdigest()}  {NAME}_int8.onnx  {len(data):,} bytes, {len(inputs)} pictures")


def batches(spec: ModelSpec, paths: Iterable[Path]) -> Iterator[Array]:
    """Each picture's first frame, on white, as the model reads it: float32 (1, height, width, 3)."""
    for path in paths:
        frame = next(iter(decode(path.read_bytes(), LIMITS).frames))
        pixels = run_pixel_steps(next(iter(frame.pictures)), spec.pixel_steps, Fidelity.FAST)
        yield run_value_steps(pixels, spec.value_steps)


def quantise(spec: ModelSpec, inputs: Sequence[Array]) -> onnx.ModelProto:
    network = read_network(onnx.load_from_string(spec.read_weights()))
    part_large_weights(network)
    ranges = choose_ranges(network, inputs)
    for layer in network.convolutions:
        layer.quantise_weights()
    correct_biases(network, ranges, inputs)
    return write_int8(network, ranges)


# --- Reading ----------------------------------------------------------------------------------------------------------


@dataclass
class Layer:
    """One operator with the activation behind it folded in (`at_most`: None for none, 6 for ReLU6)."""

    op: str
    inputs: list[str]
    output: str
    attributes: dict[str, Any]
    at_most: float | None = None
    weight: Array = field(default_factory=lambda: np.zeros(0))  # float32 (out, in, height, width)
    bias: Array = field(default_factory=lambda: np.zeros(0))  # float64 (out,)
    grid: Array = field(default_factory=lambda: np.zeros(0))  # the step of each output channel's weights as they come
    levels: Array = field(default_factory=lambda: np.zeros(0))  # int8, the quantised weight
    steps: Array = field(default_factory=lambda: np.zeros(0))  # float32 (out,)

    @property
    def is_depthwise(self) -> bool:
        return self.attributes.get("group", 1) > 1

    def quantise_weights(self) -> None:
        """For each output channel: the grid that it has, if that holds every weight; else the finest that does."""
        rows = in_memory_order(self.weight.astype(np.float64))
        finest = np.abs(rows).max(1) / 127
        if not self.is_depthwise:
            finest = np.maximum(finest, largest_pairs(rows) / PAIR)
        finest = np.maximum(finest, 1e-3 * finest.max())  # a channel of zeros
        # Rounding may lift a pair past PAIR by one.
        self.steps = (finest * (1 if self.is_depthwise else PAIR / (PAIR - 1))).astype(np.float32)
        self.steps = np.where(self.grid >= finest * (1 - 1e-6), self.grid, self.steps).astype(np.float32)
        shape = (-1, 1, 1, 1)
        self.levels = np.round(self.weight / self.steps.reshape(shape).astype(np.float64)).astype(np.int8)
        if not self.is_depthwise and largest_pairs(in_memory_order(self.levels.astype(np.int64))).max() > PAIR:
            raise SystemExit(f"{self.output}: neighbouring weights would overflow int16 on some processors")


@dataclass
class Network:
    """The layers in order. Those before the first convolution are the input's scaling, and left out of the int8 graph."""

    layers: list[Layer]
    constants: dict[str, Array]
    input: onnx.ValueInfoProto
    output: onnx.ValueInfoProto

    @property
    def convolutions(self) -> list[Layer]:
        return [layer for layer in self.layers if layer.op == "Conv"]

    @property
    def quantised(self) -> list[Layer]:
        first = self.layers.index(self.convolutions[0])
        return [layer for layer in self.layers[first:] if layer.op in QUANTISED]


def read_network(model: onnx.ModelProto) -> Network:
    constants = {c.name: numpy_helper.to_array(c) for c in model.graph.initializer}
    grids: dict[str, Array] = {}
    made: dict[str, Layer] = {}  # by the name of the output, before and after its activation
    layers = []
    for node in model.graph.node:
        attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        if node.op_type == "DequantizeLinear":
            levels, step, zero = (constants[name] for name in node.input)
            grids[node.output[0]] = np.broadcast_to(step.reshape(-1), len(levels))
            step, zero = (x.reshape(-1, *[1] * (levels.ndim - 1)) for x in (step, zero))
            constants[node.output[0]] = (levels.astype(np.float32) - zero.astype(np.float32)) * step
        elif node.op_type == "Clip":
            layer = made[node.output[0]] = made[node.input[0]]
            layer.at_most = constants[node.input[2]].item()
        else:
            inputs = [made[name].output if name in made else name for name in node.input]
            layer = made[node.output[0]] = Layer(node.op_type, inputs, node.output[0], attributes)
            if layer.op == "Conv":
                layer.weight, layer.bias = constants[inputs[1]], constants[inputs[2]].astype(np.float64)
                layer.grid, layer.inputs = grids[inputs[1]], inputs[:1]
            layers.append(layer)
    return Network(layers, constants, model.graph.input[0], model.graph.output[0])


# --- Neighbouring weights ---------------------------------------------------------------------------------------------


def in_memory_order(weight: Array) -> Array:
    """(out, in, height, width) to (out, height * width * in): the order in which products are added up."""
    return weight.transpose(0, 2, 3, 1).reshape(len(weight), -1)


def largest_pairs(rows: Array) -> Array:
    """The largest sum of the sizes of two neighbours (2i, 2i + 1) of one sign, or of one alone, for each row."""
    pairs = np.pad(rows, ((0, 0), (0, rows.shape[1] % 2))).reshape(len(rows), -1, 2)
    return np.maximum(np.maximum(pairs, 0).sum(2), np.maximum(-pairs, 0).sum(2)).max(1)


def part_large_weights(network: Network) -> None:
    """Reorder the channels of every hidden tensor, which changes no score, so that few pairs come near the limit."""
    root = channel_groups(network)
    for group in sorted({root(layer.output) for layer in network.convolutions}):
        makers = [layer for layer in network.convolutions if root(layer.output) == group]
        readers = [x for x in network.layers if root(x.inputs[0]) == group and not x.is_depthwise]
        users = [layer for layer in readers if layer.op == "Conv"]
        if not users or any(x.op not in QUANTISED for x in readers):
            continue
        order = pair_channels(pair_costs(users))
        for layer in makers:
            layer.weight, layer.bias, layer.grid = layer.weight[order], layer.bias[order], layer.grid[order]
        for layer in users:
            layer.weight = layer.weight[:, order]


def channel_groups(network: Network) -> Callable[[str], str]:
    """Tensors whose channels must keep one order: what is added or convolved depthwise goes together."""
    parents: dict[str, str] = {}

    def root(name: str) -> str:
        while parents.setdefault(name, name) != name:
            name = parents[name]
        return name

    for layer in network.layers:
        if layer.op == "Add" or layer.is_depthwise:
            for name in layer.inputs:
                parents[root(name)] = root(layer.output)
    return root


def pair_costs(users: Sequence[Layer]) -> Array:
    """(channels, channels): how far, squared, weights would be cut if the two input channels were neighbours."""
    rows, importance = [], []
    for layer in users:
        weight = layer.weight.astype(np.float64).reshape(*layer.weight.shape[:2], -1)
        step = np.maximum(np.abs(weight).max((1, 2)), 1e-3 * np.abs(weight).max()) / 127
        step = np.maximum(step, layer.grid)
        rows.append((weight / step[:, None, None]).transpose(1, 0, 2).reshape(weight.shape[1], -1))
        importance.append(np.repeat(step / step.max(), weight.shape[2]) ** 2)
    weights, factors = np.concatenate(rows, 1), np.concatenate(importance)
    costs = np.empty((len(weights), len(weights)))
    for i, row in enumerate(weights):
        sums = np.where(np.sign(weights) == np.sign(row), np.abs(weights) + np.abs(row), 0)
        costs[i] = np.maximum(sums - PAIR, 0) ** 2 @ factors
    return costs


def pair_channels(costs: Array) -> list[int]:
    """An order of the channels: the hardest to place first, each beside the one that it costs least with."""
    np.fill_diagonal(costs, 0)
    free, order = set(range(len(costs))), []
    for i in sorted(free, key=lambda i: (-costs[i].sum(), i)):
        if i in free:
            free.remove(i)
            order.append(i)
            if free:
                neighbour = min(free, key=lambda k: (costs[i, k], k))
                free.remove(neighbour)
                order.append(neighbour)
    return order


# --- Ranges and biases ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Range:
    """A tensor's value is step * (level - zero), level in 0..255."""

    step: float
    zero: int


def choose_ranges(network: Network, inputs: Sequence[Array]) -> dict[str, Range]:
    names = [layer.output for layer in network.quantised]
    chance = np.random.default_rng(0)
    samples: dict[str, list[Array]] = {name: [] for name in names}
    ends = dict.fromkeys(names, (0.0, 0.0))
    for outputs in run(write_float(network, names), inputs):
        for name, value in zip(names, outputs, strict=True):
            flat = value.reshape(-1)
            samples[name].append(flat[chance.integers(0, flat.size, SAMPLES)])
            ends[name] = min(ends[name][0], float(flat.min())), max(ends[name][1], float(flat.max()))
    return {name: best_range(np.concatenate(samples[name])[::7], *ends[name]) for name in names}


def best_range(sample: Array, low: float, high: float) -> Range:
    candidates = [as_range(low * share, high * share) for share in SHRINK]
    return min(candidates, key=lambda r: cubed_error(sample, r))


def as_range(low: float, high: float) -> Range:
    step = float(f"{max(high - low, 1e-6) / 255:.6g}")  # the last digits of a float32 sum differ by processor
    return Range(step, int(np.clip(round(-low / step), 0, 255)))


def cubed_error(sample: Array, r: Range) -> float:
    level = np.clip(np.round(sample / r.step) + r.zero, 0, 255)
    return float((np.abs((level - r.zero) * r.step - sample).astype(np.float64) ** 3).mean())


def correct_biases(network: Network, ranges: dict[str, Range], inputs: Sequence[Array]) -> None:
    """Take the mean error off each convolution without activation, in order, each with those before it corrected."""
    linear = [layer for layer in network.convolutions if layer.at_most is None]
    wanted = channel_means(write_float(network, [layer.output for layer in linear]), inputs)
    for layer, mean in zip(linear, wanted, strict=True):
        (found,) = channel_means(write_int8(network, ranges, watch=layer), inputs)
        layer.bias = layer.bias + (mean - found)


def channel_means(model: onnx.ModelProto, inputs: Sequence[Array]) -> list[Array]:
    sums = [[output.mean((0, 2, 3), dtype=np.float64) for output in outputs] for outputs in run(model, inputs)]
    return [np.mean(column, axis=0) for column in zip(*sums, strict=True)]


def run(model: onnx.ModelProto, inputs: Iterable[Array]) -> Iterator[list[Array]]:
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    for batch in inputs:
        yield session.run(None, {model.graph.input[0].name: batch})


# --- Writing ----------------------------------------------------------------------------------------------------------


@dataclass
class GraphWriter:
    """Adds nodes and constants under plain names. `values` and `levels` tell a tensor's float32 and its uint8 form."""

    network: Network
    ranges: dict[str, Range] = field(default_factory=dict)
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: list[onnx.TensorProto] = field(default_factory=list)
    values: dict[str, str] = field(default_factory=dict)
    levels: dict[str, str] = field(default_factory=dict)

    def node(self, op: str, inputs: Sequence[str], output: str = "", **attributes: Any) -> str:
        output = output or f"{op}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [output], **attributes))
        return output

    def constant(self, value: Array | np.generic) -> str:
        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def scale(self, r: Range) -> list[str]:
        return [self.constant(np.float32(r.step)), self.constant(np.uint8(r.zero))]

    def value(self, name: str) -> str:
        if name in self.network.constants:
            self.values[name] = self.constant(self.network.constants[name])
        elif name not in self.values:
            inputs = [self.levels[name], *self.scale(self.ranges[name])]
            self.values[name] = self.node("DequantizeLinear", inputs)
        return self.values[name]

    def finish(self, outputs: Sequence[onnx.ValueInfoProto]) -> onnx.ModelProto:
        graph = helper.make_graph(self.nodes, "nsfw", [self.network.input], outputs, self.constants)
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("com.microsoft", 1)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="demure")

    def float_layer(self, layer: Layer) -> None:
        inputs = [self.value(name) for name in layer.inputs]
        if layer.op == "Conv":
            inputs += [self.constant(layer.weight), self.constant(layer.bias.astype(np.float32))]
        is_last = layer.output == self.network.output.name
        name = self.node(layer.op, inputs, layer.output if is_last else "", **layer.attributes)
        if layer.at_most is not None:
            bounds = [self.constant(np.float32(0)), self.constant(np.float32(layer.at_most))]
            name = self.node("Clip", [name, *bounds])
        self.values[layer.output] = name

    def int8_layer(self, layer: Layer, source: Range | None = None) -> None:
        """`source` is the range of the first convolution's input, which is no layer's output."""
        made = self.ranges[layer.output]
        if layer.op == "Conv":
            read = source or self.ranges[layer.inputs[0]]
            bias = np.round(layer.bias / (np.float64(np.float32(read.step)) * layer.steps)).astype(np.int32)
            weight = [layer.levels, layer.steps, np.zeros(len(layer.levels), np.int8)]
            inputs = [self.levels[layer.inputs[0]], *self.scale(read), *(self.constant(w) for w in weight)]
            name = self.node("QLinearConv", [*inputs, *self.scale(made), self.constant(bias)], **layer.attributes)
        else:
            inputs = [part for x in layer.inputs for part in (self.levels[x], *self.scale(self.ranges[x]))]
            name = self.node("QLinearAdd", [*inputs, *self.scale(made)], domain="com.microsoft")
        self.levels[layer.output] = name

    def first_layer(self, first: Layer) -> None:
        """The input, pixel / 255, as the bytes it was made of, padded; and the first convolution to read them.

        In the float32 graph that reads 2 * pixel / 255 - 1, with 0 for padding: 2 / 255 * (pixel - 127.5). A level is whole,
        so it reads 2 / 255 * (pixel - 128) here, and its bias makes up for the half.
        """
        top, left, bottom, right = first.attributes.get("pads", [0, 0, 0, 0])
        pads = self.constant(np.array([0, top, left, 0, 0, bottom, right, 0], np.int64))
        name = self.node("Pad", [self.network.input.name, pads, self.constant(np.float32(0.5))])
        name = self.node("QuantizeLinear", [name, *self.scale(Range(1 / 255, 0))])
        self.levels[first.inputs[0]] = self.node("Transpose", [name], perm=[0, 3, 1, 2])
        bias = first.bias + first.weight.astype(np.float64).sum((1, 2, 3)) / 255
        unpadded = {**first.attributes, "pads": [0, 0, 0, 0]}
        self.int8_layer(replace(first, bias=bias, attributes=unpadded), Range(2 / 255, 128))


def write_float(network: Network, names: Sequence[str]) -> onnx.ModelProto:
    """The float32 network that puts out these tensors."""
    writer = GraphWriter(network, values={network.input.name: network.input.name})
    for layer in network.layers:
        writer.float_layer(layer)
    return writer.finish([helper.make_tensor_value_info(writer.values[n], TensorProto.FLOAT, None) for n in names])


def write_int8(network: Network, ranges: dict[str, Range], watch: Layer | None = None) -> onnx.ModelProto:
    """The int8 network; with `watch`, one that stops there and puts out that layer's values."""
    writer = GraphWriter(network, ranges)
    first = network.convolutions[0]
    for layer in network.layers[network.layers.index(first) :]:
        if layer is first:
            writer.first_layer(first)
        elif layer.op in QUANTISED:
            writer.int8_layer(layer)
        else:
            writer.float_layer(layer)
        if layer is watch:
            return writer.finish([helper.make_tensor_value_info(writer.value(layer.output), TensorProto.FLOAT, None)])
    return writer.finish([network.output])


if __name__ == "__main__":
    main()
