"""The pictures whose hashes tests/pdq_golden.json holds: photographs and drawings cut and thinned without a filter, and made ones.

Whoever reads them must get the same pixels as tools/make_pdq_golden.py did, whatever the version of Pillow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from pictures import gradient, noise, package_picture, plain, stripes
from PIL import Image

PHOTOGRAPHS = {
    "coffee.png": "scikit-image",
    "chelsea.png": "scikit-image",
    "motorcycle_left.png": "scikit-image",
    "hubble_deep_field.jpg": "scikit-image",
    "brick.png": "scikit-image",
    "china.jpg": "scikit-learn",
    "grace_hopper.jpg": "matplotlib",
}
DRAWINGS = {
    "text.png": "scikit-image",
    "page.png": "scikit-image",
    "horse.png": "scikit-image",
    "logo.png": "scikit-image",
    "phantom.png": "scikit-image",
    "logo2.png": "matplotlib",
    "Minduka_Present_Blue_Pack.png": "matplotlib",
}
PACKAGES = PHOTOGRAPHS | DRAWINGS
# Either side of each change of the blur's window (128 pixels, 256, and so on), and of the smallest that is hashed. At 16 pixels
# or fewer a side some frequencies are nought, and their bits are rounding errors; likewise in pictures like their mirror image.
SIZES = [
    *[(512, 512), (511, 509), (400, 512), (257, 256), (256, 300), (129, 127), (128, 128), (65, 63), (64, 64)],
    *[(500, 30), (12, 512), (47, 33), (18, 17), (6, 5), (5, 5), (5, 4), (4, 100), (1, 1)],
]


def from_package(file: str) -> np.ndarray:
    """RGB uint8, (height, width, 3), on black where it shows through."""
    with Image.open(package_picture(PACKAGES[file], file)) as image:
        with_alpha = image.convert("RGBA")
        return np.asarray(Image.alpha_composite(Image.new("RGBA", image.size, "black"), with_alpha).convert("RGB"))


def thinned(picture: np.ndarray, width: int, height: int) -> np.ndarray:
    """Rows and columns left out or repeated, evenly."""
    rows, columns = (np.arange(n) * old // n for n, old in zip((height, width), picture.shape[:2], strict=True))
    return np.ascontiguousarray(picture[rows][:, columns])


def ellipses(width: int, height: int, seed: int) -> np.ndarray:
    """A drawing: sixty flat shapes, one over another."""
    chance = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    canvas = np.full((height, width, 3), 255, np.uint8)
    for _ in range(60):
        (cx, cy), (rx, ry) = chance.random(2) * (width, height), chance.uniform(0.02, 0.2, 2) * (width, height)
        canvas[((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2 <= 1] = chance.integers(0, 256, 3)
    return canvas


MADE: dict[str, Callable[[], np.ndarray]] = {
    "gradient 512x384": lambda: gradient(512, 384),
    "gradient 97x431": lambda: gradient(97, 431),
    "noise 224x224": lambda: noise(224, 224),
    "noise 512x60": lambda: noise(512, 60, seed=3),
    "noise 64x64": lambda: noise(64, 64, seed=4),
    "stripes 500x333": lambda: stripes(500, 333, period=37),
    "ellipses 300x300": lambda: ellipses(300, 300, 1),
    "ellipses 512x256": lambda: ellipses(512, 256, 2),
    "ellipses 50x70": lambda: ellipses(50, 70, 3),
    "white 64x64": lambda: plain([255, 255, 255]),
    "red 300x300": lambda: plain([255, 0, 0], 300),
}


def pictures() -> Iterator[tuple[str, np.ndarray]]:
    for file in PACKAGES:
        whole = from_package(file)
        for width, height in SIZES:
            yield f"{file} {width}x{height}", thinned(whole, width, height)
    for name, make in MADE.items():
        yield name, make()
