"""Descriptions of models: the bundled ones, an operator's own, and what a description may get wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from tiny_models import FIVE, WITNESS, add_model, describe, tiny_graph

from demure.errors import DamagedWeights, InvalidModel, UnknownModel
from demure.models import BUNDLED_DIR, DEFAULT, Registry, read_spec
from demure.preprocess import Bgr, Crop, Divide, Jpeg, Resize, Subtract
from demure.scores import Category

BUNDLED = Registry()


def test_the_five_models_are_in_the_package():
    assert {*BUNDLED} == {"mobilenet_v2_140", "mobilenet_v2_140_int8", "mobilenet_v2", "inception_v3", "open_nsfw"}
    assert DEFAULT == "mobilenet_v2_140"
    assert BUNDLED.witnesses == {"open_nsfw"}


@pytest.mark.parametrize("spec", BUNDLED.values(), ids=BUNDLED)
def test_a_bundled_models_weights_are_the_ones_described(spec):
    model = onnx.load_from_string(spec.read_weights())
    assert spec.input_name in [value.name for value in model.graph.input]
    assert spec.output_name in [value.name for value in model.graph.output]
    assert spec.licence in ("MIT", "BSD-2-Clause")


@pytest.mark.parametrize("name", [n for n in BUNDLED if n != "open_nsfw"])
def test_a_five_class_model_stretches_to_its_square_and_scales(name: str):
    side = 299 if name == "inception_v3" else 224
    assert BUNDLED[name].steps == (Resize(side, side, antialias=False), Divide(255))
    assert [*BUNDLED[name].categories.values()] == [*Category]


def test_open_nsfw_has_the_steps_of_its_own_program():
    assert BUNDLED["open_nsfw"].steps == (
        Resize(256, 256, antialias=True),
        Crop(224, 224),
        Jpeg(75),
        Bgr(),
        Subtract((104.0, 117.0, 123.0)),
    )


def test_the_int8_models_sums_fit_into_16_bits():
    """Processors without VNNI add neighbouring products in saturating int16 (vpmaddubsw: Intel's manual, volume 2): 255 times
    the sum of two neighbouring weights of one sign must stay below 2^15, or scores would depend on the processor."""
    graph = onnx.load_from_string(BUNDLED["mobilenet_v2_140_int8"].read_weights()).graph
    constants = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    checked = 0
    for node in graph.node:
        groups = [attribute.i for attribute in node.attribute if attribute.name == "group"]
        if node.op_type == "QLinearConv" and groups in ([], [1]):
            weight = constants[node.input[3]].astype(int)
            rows = weight.transpose(0, 2, 3, 1).reshape(len(weight), -1)  # a row's products in the order they are added
            pairs = np.pad(rows, ((0, 0), (0, rows.shape[1] % 2))).reshape(len(rows), -1, 2)
            assert 255 * max(pairs.clip(min=0).sum(2).max(), (-pairs).clip(min=0).sum(2).max()) < 2**15
            checked += 1
    assert checked == 35  # MobileNetV2: a first, 17 + 16 pointwise, a last convolution


@pytest.mark.parametrize("path", sorted(BUNDLED_DIR.glob("*.toml")), ids=lambda p: p.stem)
def test_a_bundled_description_tells_the_hash_of_what_it_was_made_from(path: Path):
    assert "upstream_sha256 = " in path.read_text()


def test_an_operators_folder_adds_to_the_bundled_models(models_dir: Path):
    registry = Registry(models_dir)
    assert {*registry} == {*BUNDLED, "colour", "redness"}
    assert registry.witnesses == {"open_nsfw", "redness"}


def test_an_unknown_model_is_refused_with_the_known_ones():
    with pytest.raises(
        UnknownModel, match="inception_v3, mobilenet_v2, mobilenet_v2_140, mobilenet_v2_140_int8, open_nsfw"
    ):
        BUNDLED["nudenet"]
    assert "nudenet" not in BUNDLED


def test_a_name_that_is_taken_is_refused(models_dir: Path):
    add_model(models_dir, "again", tiny_graph(5), FIVE).write_text(describe("open_nsfw", tiny_graph(5), FIVE))
    with pytest.raises(InvalidModel, match=r"again\.toml: name: 'open_nsfw' is taken"):
        Registry(models_dir)


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path):
    with pytest.raises(InvalidModel, match="not a folder"):
        Registry(tmp_path / "nowhere")


def test_weights_that_changed_are_damaged(models_dir: Path):
    (models_dir / "colour.onnx").write_bytes(tiny_graph(2))
    with pytest.raises(DamagedWeights, match=r"colour\.onnx: SHA-256"):
        Registry(models_dir)["colour"].read_weights()


def test_weights_that_are_gone_are_damaged(models_dir: Path):
    (models_dir / "colour.onnx").unlink()
    with pytest.raises(DamagedWeights, match="cannot be read"):
        Registry(models_dir)["colour"].read_weights()


GOOD = describe("mine", tiny_graph(5), FIVE)
GOOD_WITNESS = describe("mine", tiny_graph(2), WITNESS)
STEPS = "[[steps]]\nresize = { width = 8, height = 8, antialias = false }\n[[steps]]\ndivide = 255\n"

# what is replaced, by what, the key that the message names, what it says was expected
BROKEN = {
    "no-toml": ("name =", "name", "cannot be read as TOML", ""),
    "no-name": ('name = "mine"', "", "name", "text in quotes"),
    "name-of-a-category": ('name = "mine"', 'name = "porn"', "name", "not a category's"),
    "unknown-key": ("[input]", "[inptu]", "inptu", "unknown key"),
    "no-licence": ('licence = "CC0-1.0"', "", "licence", "text in quotes"),
    "licence-is-a-number": ('"CC0-1.0"', "0", "licence", "text in quotes"),
    "short-hash": ('sha256 = "', 'sha256 = "0', "sha256", "64 hexadecimal"),
    "no-output-name": ('name = "scores"', "", "output.name", "text in quotes"),
    "labels-twice": ("'hentai'", "'porn'", "output.labels", "different names"),
    "label-without-category": ('drawings = "drawings", ', "", "output.categories.drawings", "one category for each"),
    "unknown-category": ('hentai = "hentai"', 'hentai = "cats"', "output.categories.hentai", "expected one of"),
    "category-without-label": ('hentai = "hentai"', 'hentai = "porn"', "output.categories", "no label for hentai"),
    "no-steps": (STEPS, "", "steps", "a list"),
    "no-resize": (STEPS, "[[steps]]\ndivide = 255\n", "steps[0]", "expected a resize"),
    "two-resizes": (
        STEPS,
        STEPS + STEPS.split("[[steps]]\ndivide", maxsplit=1)[0],
        "steps",
        "expected resize, crop and jpeg before",
    ),
    "resize-again": (
        "[[steps]]\ndivide = 255",
        STEPS.split("[[steps]]\ndivide", maxsplit=1)[0],
        "steps",
        "expected one resize",
    ),
    "unknown-step": ("divide = 255", "blur = 3", "steps[1].blur", "divide = n"),
    "deep": ("[input]", "x = " + "[" * 3000, "cannot be read as TOML", ""),
    "labels-are-lists": ("labels = ['drawings'", "labels = [['drawings']", "output.labels", "different names"),
    "divide-by-truth": ("divide = 255", "divide = true", "steps[1].divide", "divide = n"),
    "divide-by-infinity": ("divide = 255", "divide = inf", "steps[1].divide", "divide = n"),
    "subtract-nothing": ("divide = 255", "subtract = [nan, 1, 1]", "steps[1].subtract", "subtract ="),
    "crop-too-large": ("divide = 255", "crop = { width = 9, height = 8 }", "steps[1].crop", "no more than the 8 x 8"),
    "divide-by-zero": ("divide = 255", "divide = 0", "steps[1].divide", "divide = n"),
    "two-keys": ("divide = 255", "divide = 255\nbgr = true", "steps[1]", "one key"),
    "antialias-is-text": ("antialias = false", 'antialias = "no"', "steps[0].resize", "antialias"),
    "antialias-missing": (", antialias = false", "", "steps[0].resize", "antialias"),
    "huge-side": ("width = 8", "width = 100000", "steps[0].resize", "1 to 1024"),
    "side-zero": ("height = 8", "height = 0", "steps[0].resize", "1 to 1024"),
}


@pytest.mark.parametrize(("old", "new", "key", "expected"), BROKEN.values(), ids=BROKEN)
def test_a_broken_description_is_refused_with_file_key_and_what_was_expected(tmp_path, old, new, key, expected):
    assert old in GOOD
    path = tmp_path / "mine.toml"
    path.write_text(GOOD.replace(old, new, 1))
    with pytest.raises(InvalidModel) as caught:
        read_spec(path)
    assert caught.value.message.startswith(f"{path}: {key}")
    assert expected in caught.value.message


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ('witness = "red"', 'witness = "blue"', "output.witness"),
        ('witness = "red"', "witness = 1", "output.witness"),
        ('witness = "red"', 'witness = "red"\ncategories = {}', "output"),
        ('witness = "red"', "", "output.categories"),
    ],
)
def test_a_broken_witness_is_refused(tmp_path, old, new, key):
    path = tmp_path / "mine.toml"
    path.write_text(GOOD_WITNESS.replace(old, new, 1))
    with pytest.raises(InvalidModel, match=rf"mine\.toml: {key}: expected"):
        read_spec(path)


def test_every_kind_of_step_is_read(tmp_path: Path):
    steps = "".join(
        f"[[steps]]\n{step}\n"
        for step in (
            "resize = { width = 20, height = 10, antialias = true }",
            "crop = { width = 8, height = 6 }",
            "jpeg = { quality = 90 }",
            "bgr = true",
            "subtract = [1, 2.5, 3]",
            "divide = 127.5",
        )
    )
    path = tmp_path / "mine.toml"
    path.write_text(GOOD.replace(STEPS, steps))
    spec = read_spec(path)
    assert spec.steps == (
        Resize(20, 10, antialias=True),
        Crop(8, 6),
        Jpeg(90),
        Bgr(),
        Subtract((1.0, 2.5, 3.0)),
        Divide(127.5),
    )
    assert spec.pixel_steps + spec.value_steps == spec.steps
