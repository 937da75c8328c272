"""The pictures that tests look at: photographs that PyPI packages carry, and generated ones. None is explicit."""

from __future__ import annotations

import functools
import importlib.metadata
import io
from pathlib import Path

import numpy as np
from PIL import Image

EXAMPLE = Path(__file__).parent.parent / "examples" / "coffee.jpg"


def package_picture(package: str, file: str) -> Path:
    """A picture of a package in requirements/pictures.txt, which is installed but never imported."""
    return _package_files(package)[file]


@functools.cache
def _package_files(package: str) -> dict[str, Path]:
    files = importlib.metadata.files(package) or []
    return {f.name: Path(str(f.locate())) for f in files if f.suffix in {".png", ".jpg"}}


def gradient(width: int, height: int) -> np.ndarray:
    """Red grows to the right, green downwards, blue is their difference; RGB uint8 (height, width, 3)."""
    y, x = np.mgrid[0:height, 0:width]
    red, green = 255 * x // max(width - 1, 1), 255 * y // max(height - 1, 1)
    return np.stack([red, green, abs(red - green)], axis=2).astype(np.uint8)


def noise(width: int, height: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def stripes(width: int, height: int, period: int = 7) -> np.ndarray:
    """Diagonal black and yellow: what an antialiasing filter changes most."""
    y, x = np.mgrid[0:height, 0:width]
    on = ((x + y) // period % 2 * 255).astype(np.uint8)
    return np.stack([on, on, 0 * on], axis=2)


def plain(colour: list[int], side: int = 64) -> np.ndarray:
    return np.full((side, side, 3), colour, np.uint8)


GENERATED = {
    "gradient-640x480": lambda: gradient(640, 480),
    "gradient-portrait-97x431": lambda: gradient(97, 431),
    "noise-224x224": lambda: noise(224, 224),
    "noise-299x299": lambda: noise(299, 299, seed=2),
    "noise-1000x60": lambda: noise(1000, 60, seed=3),
    "stripes-1200x900": lambda: stripes(1200, 900),
    "stripes-33x32": lambda: stripes(33, 32),
    "black-50x50": lambda: np.zeros((50, 50, 3), np.uint8),
    "white-1x1": lambda: np.full((1, 1, 3), 255, np.uint8),
}


def encode(picture: np.ndarray | Image.Image, format: str, **options: object) -> bytes:
    """The bytes of a file in a format that Pillow writes."""
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def animation(frames: list[np.ndarray], format: str = "GIF", **options: object) -> bytes:
    first, *rest = [Image.fromarray(frame) for frame in frames]
    return encode(first, format, save_all=True, append_images=rest, duration=100, **options)
