"""A frame to a model's input, by the model's own list of steps; and to what a reviewer or a perceptual hash needs.

Pixel steps (resize, crop, jpeg; fit, luma) turn a frame into a small picture and run beside the decoder; value steps (bgr,
subtract, divide) turn small pictures into a float32 batch and run beside the model. This module knows no model by name.

The resize matters more than anything else here: these models were trained, and are run elsewhere, on pictures stretched
without antialiasing (TensorFlow's resizeBilinear), and antialiased pixels get other scores.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

if TYPE_CHECKING:  # numpy costs a decoder child 15 MB, and the fast path does without
    import numpy as np
    from numpy.typing import NDArray


class Fidelity(StrEnum):
    """`fast` may decode a JPEG at a reduced size and cuts pixels to 8 bits; `reference` is the original arithmetic."""

    FAST = "fast"
    REFERENCE = "reference"


@dataclass(frozen=True)
class Resize:
    """Stretch the whole picture to width x height pixels, bilinear.

    Without `antialias`, corners are aligned and only the four nearest pixels count, as in tf.image.resizeBilinear of
    TensorFlow.js 4 with alignCorners = true. With it, Pillow's own filter.
    """

    width: int
    height: int
    antialias: bool


@dataclass(frozen=True)
class Crop:
    """Keep the middle width x height pixels."""

    width: int
    height: int


@dataclass(frozen=True)
class Jpeg:
    """Encode as JPEG at this quality (1 to 95, 4:2:0) and decode again: open_nsfw was trained on such pixels."""

    quality: int


@dataclass(frozen=True)
class Fit:
    """For people, alone in its list: shrink until neither side is more than `max_side` pixels, the shape kept, antialiased."""

    max_side: int


@dataclass(frozen=True)
class Luma:
    """For a perceptual hash, alone in its list: gray, stretched to side x side pixels, antialiased.

    Small pictures too. PDQ's reference program leaves them at their size (facebook/ThreatExchange, pdq/cpp/io/pdqio.cpp), and
    a copy of 128 pixels is twice as far from its original then: 16 bits on average, not 8 (bench/near.py).
    """

    side: int


@dataclass(frozen=True)
class Bgr:
    """Turn the channels round, RGB to BGR."""


@dataclass(frozen=True)
class Subtract:
    """Subtract one value a channel."""

    values: tuple[float, float, float]


@dataclass(frozen=True)
class Divide:
    """Divide every value by one number."""

    by: float


PixelStep = Resize | Crop | Jpeg | Fit | Luma
ValueStep = Bgr | Subtract | Divide
Step = PixelStep | ValueStep


@dataclass(frozen=True)
class Pixels:
    """A small picture on its way out: RGB or gray, row by row, uint8 or (exact arithmetic) float32 in [0, 255]."""

    width: int
    height: int
    dtype: str  # "uint8" or "float32"
    data: bytes | bytearray
    bands: int = 3  # 1 is gray

    def as_array(self) -> NDArray[np.uint8] | NDArray[np.float32]:
        """Shape (height, width, 3), or (height, width) for gray."""
        import numpy as np

        shape = (self.height, self.width, self.bands) if self.bands > 1 else (self.height, self.width)
        return np.frombuffer(self.data, self.dtype).reshape(shape)


def output_size(steps: Iterable[Step]) -> tuple[int, int]:
    """(width, height) in pixels of what a model's steps make."""
    return [(s.width, s.height) for s in steps if isinstance(s, Resize | Crop)][-1]


def can_make(steps: Sequence[PixelStep], width: int, height: int, bands: int) -> bool:
    """Whether there is a frame of which the steps make a picture of this size."""
    match steps:
        case [Fit(max_side=side)]:
            return bands == 3 and 1 <= width <= side and 1 <= height <= side
        case [Luma(side=side)]:
            return bands == 1 and (width, height) == (side, side)
    return (width, height) == output_size(steps) and bands == 3


def output_dtype(steps: Sequence[PixelStep], fidelity: Fidelity) -> str:
    """What Pixels.dtype says of what the steps make."""
    return "uint8" if _exact_step(steps, fidelity) is None else "float32"


def run_pixel_steps(frame: Image.Image, steps: Sequence[PixelStep], fidelity: Fidelity) -> Pixels:
    """Apply the steps to an RGB frame of any size."""
    if (exact := _exact_step(steps, fidelity)) is not None:
        return _stretch_exactly(frame, exact)
    image = frame
    for step in steps:
        image = _apply(image, step)
    return Pixels(image.width, image.height, "uint8", image.tobytes(), len(image.getbands()))


def run_value_steps(pixels: Pixels, steps: Iterable[Step]) -> NDArray[np.float32]:
    """Apply the value steps; the result has shape (1, height, width, 3)."""
    import numpy as np

    values = pixels.as_array().astype(np.float32)
    for step in steps:
        match step:
            case Bgr():
                values = values[:, :, ::-1]
            case Subtract():
                values = values - np.array(step.values, np.float32)
            case Divide():
                values = values / np.float32(step.by)
    return np.ascontiguousarray(values[np.newaxis])


def _exact_step(steps: Sequence[PixelStep], fidelity: Fidelity) -> Resize | None:
    """Exact arithmetic knows this step alone."""
    match steps:
        case [Resize(antialias=False) as step] if fidelity is Fidelity.REFERENCE:
            return step
    return None


def _apply(image: Image.Image, step: PixelStep) -> Image.Image:
    match step:
        case Resize(antialias=False):
            return _stretch(image, step)
        case Resize():
            return image.resize((step.width, step.height), Image.Resampling.BILINEAR)
        case Crop():
            left, top = (image.width - step.width) // 2, (image.height - step.height) // 2
            return image.crop((left, top, left + step.width, top + step.height))
        case Jpeg():
            buffer = io.BytesIO()
            image.save(buffer, "JPEG", quality=step.quality)
            buffer.seek(0)
            return JpegImageFile(buffer)
        case Fit():
            return _fit(image, step.max_side)
        case Luma():
            return _luma(image, step.side)


def _fit(image: Image.Image, max_side: int) -> Image.Image:
    longer = max(image.size)
    if longer <= max_side:
        return image
    # Not below a pixel: a line stays a line.
    width, height = (max(1, round(side * max_side / longer)) for side in image.size)
    return image.resize((width, height), Image.Resampling.BILINEAR, reducing_gap=2.0)


def _luma(image: Image.Image, side: int) -> Image.Image:
    # First gray, then small: half the time of the other way round.
    gray = image.convert("L")
    # Averages of whole blocks first, as far as they go: a quarter to a half of the time is saved on large pictures, and of
    # the 256 bits of a PDQ hash 1 changes, 4 at most. Copies are looked for 31 bits away.
    return gray.resize((side, side), Image.Resampling.BILINEAR, reducing_gap=1.0)


def _stretch(image: Image.Image, step: Resize) -> Image.Image:
    """Aligned corners as an affine map: Pillow samples at the centre of output pixel i, at a * (i + 1/2) + c - 1/2."""
    x_ratio, y_ratio = _ratio(image.width, step.width), _ratio(image.height, step.height)
    # It cuts results to whole levels. Adding back the half level that this takes on average makes the scores worse: flat
    # areas lose nothing.
    coefficients = (x_ratio, 0, (1 - x_ratio) / 2, 0, y_ratio, (1 - y_ratio) / 2)
    return image.transform((step.width, step.height), Image.Transform.AFFINE, coefficients, Image.Resampling.BILINEAR)


def _stretch_exactly(frame: Image.Image, step: Resize) -> Pixels:
    """The same in float32, in the order of operations of TensorFlow.js 4 (backend_cpu, ResizeBilinear)."""
    import numpy as np

    source = np.asarray(frame)
    top, bottom, y_fraction = _neighbours(source.shape[0], step.height)
    left, right, x_fraction = _neighbours(source.shape[1], step.width)
    x_fraction, y_fraction = x_fraction[np.newaxis, :, np.newaxis], y_fraction[:, np.newaxis, np.newaxis]

    def row(lines: NDArray[np.intp]) -> NDArray[np.float32]:
        taken = source[lines]
        a, b = taken[:, left].astype(np.float32), taken[:, right].astype(np.float32)
        return a + (b - a) * x_fraction

    upper, lower = row(top), row(bottom)
    values = upper + (lower - upper) * y_fraction
    return Pixels(step.width, step.height, "float32", values.astype(np.float32).tobytes())


def _neighbours(source: int, target: int) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float32]]:
    """For each of `target` positions along an axis of `source` pixels: the pixel before, the one after, the fraction."""
    import numpy as np

    position = np.arange(target, dtype=np.float32) * np.float32(_ratio(source, target))
    before = np.floor(position).astype(np.intp)
    after = np.minimum(np.ceil(position).astype(np.intp), source - 1)
    return before, after, (position - before).astype(np.float32)


def _ratio(source: int, target: int) -> float:
    return (source - 1) / (target - 1) if target > 1 else 0.0
