"""Any bytes are decoded to pictures of the promised kind and within the limits, or refused by an error with a name.

In this process, so that atheris sees Pillow's own Python; the codecs behind it are native and are not instrumented: they are
fuzzed, but blindly. A crash in one of them ends the run as a finding, though in the service it would cost one decoder child.
"""

from __future__ import annotations

import warnings
import zlib

import atheris
from harness import check, fuzz
from images import keep_signature, seeds

with atheris.instrument_imports(include=["demure", "PIL", "pi_heif"]):
    from demure.decode import MOST_PICTURES, DecodeLimits, Frame, decode
    from demure.decoding.formats import Format
    from demure.errors import ImageError, SourceError
    from demure.inputs import Inputs, Recipe, prepare
    from demure.preprocess import Fidelity, Resize

LIMITS = DecodeLimits(
    max_bytes=50_000,
    max_pixels=250_000,
    max_total_pixels=1_000_000,
    max_frames=20,
    max_sampled_frames=3,
    max_scans=20,
)
STEPS = {"tiny": (Resize(8, 8, antialias=False),)}
FAST, EXACT = (Recipe(STEPS, fidelity, LIMITS) for fidelity in Fidelity)
warnings.simplefilter("ignore")  # Pillow's, of damage


def target(data: bytes) -> None:
    recipe = FAST if zlib.crc32(data) & 1 else EXACT
    try:
        decoding = decode(data, LIMITS, at_least=recipe.at_least)
        frames = [checked(frame, decoding.type, recipe.at_least) for frame in decoding.frames]
    except (ImageError, SourceError) as error:
        error.message.encode()
        return
    check(isinstance(decoding.type, Format) and 1 <= decoding.frames_in_file <= LIMITS.max_frames, decoding)
    indices = [frame.index for frame in frames]
    check(indices == sorted({*indices}) and indices[0] == 0 and indices[-1] < decoding.frames_in_file, indices)
    check(len(indices) <= min(decoding.frames_in_file, LIMITS.max_sampled_frames), indices)
    check(sum(frame.width * frame.height for frame in frames) <= LIMITS.max_total_pixels)
    if zlib.crc32(data) % 8 < 2:  # it costs as much as all of the above
        check_same(data, recipe)


def checked(frame: Frame, kind: Format, at_least: tuple[int, int] | None) -> Frame:
    """Before the next is asked for: how many pictures this one made says how many there may be."""
    check(0 < frame.width * frame.height <= LIMITS.max_pixels, frame)
    whole = (frame.width, frame.height)
    count = 0
    for picture in frame.pictures:
        count += 1
        check(picture.mode == "RGB", picture)
        check(len(picture.tobytes()) == 3 * picture.width * picture.height)
        if kind is Format.JPEG and at_least is not None:
            sides = zip(at_least, whole, picture.size, strict=True)
            check(all(min(least, side) <= got <= side for least, side, got in sides), picture, frame)
        else:
            check(picture.size == whole, picture, frame)
    check(1 <= count <= MOST_PICTURES, frame)
    return frame


def check_same(data: bytes, recipe: Recipe) -> None:
    """The same bytes make the same pixels: a codec that shows memory which it never wrote does not."""
    check(prepared(data, recipe) == prepared(data, recipe), "two readings differ")


def prepared(data: bytes, recipe: Recipe) -> Inputs:
    inputs = prepare(data, recipe)
    check(1 <= inputs.media.sampled <= len(inputs.rows) <= 2 * LIMITS.max_sampled_frames, inputs.media)
    return inputs


if __name__ == "__main__":
    fuzz(target, seeds(), keep_signature, max_bytes=20_000)
