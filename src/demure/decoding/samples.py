"""Which samples have a colour that all programs agree on? Refuses the others; decodes nothing itself."""

from __future__ import annotations

from PIL import Image, ImageFile
from PIL.TiffImagePlugin import TiffImageFile

from demure.decoding.grounds import SIXTEEN_BITS
from demure.decoding.structure import png_chunks
from demure.errors import Undecodable, UnsupportedFormat

_TIFF_PHOTOMETRIC, _TIFF_SAMPLE_FORMAT, _TIFF_BITS, _TIFF_COLOUR_MAP = 262, 339, 258, 320


def check_indices(image: Image.Image, colours: int, transparent: int | None = None) -> None:
    """Raises Undecodable for an index without a colour: one decoder shows black, another white, a third nothing."""
    if image.mode not in ("P", "L", "1"):
        return
    counts = image.histogram()
    if transparent is not None:
        counts[transparent] = 0
    # Pillow takes a table of grays for none. That is right where it is whole: the levels are the indices then.
    whole = 2 if image.mode == "1" else 256
    if any(counts[colours:]) and (image.mode == "P" or colours != whole):
        raise Undecodable("the image has pixels without a colour; save it anew")


def png_colours(data: bytes) -> int:
    """Of the palette, where the samples are indices."""
    sizes = (end - start for kind, start, end in png_chunks(data) if kind == b"PLTE")
    return next(sizes, 0) // 3 if data[25] == 3 else 0


def check_png_transparency(data: bytes, image: Image.Image) -> None:
    """Pillow compares a transparent colour with samples that it has scaled to 8 bits: right for 8-bit samples only."""
    depth, colour_type = data[24], data[25]  # PNG specification, 11.2.1
    if "transparency" in image.info and depth != 8 and colour_type in (0, 2):
        raise UnsupportedFormat(
            f"this is a PNG of {depth} bits a sample with a transparent colour; save it with 8 bits"
        )


def check_tiff_samples(image: ImageFile.ImageFile) -> None:
    """Only samples whose black and white are known: 8 bits, or 16 bits unsigned with black at 0."""
    tags = image.tag_v2 if isinstance(image, TiffImageFile) else {}
    if image.mode in ("P", "PA") and len(tags.get(_TIFF_COLOUR_MAP, ())) != 3 << tags.get(_TIFF_BITS, (1,))[0]:
        raise Undecodable("the TIFF has a palette of another size than its pixels need; save it anew")
    if image.mode not in ("I", "F") and not image.mode.startswith("I;"):
        return
    found = (tags.get(_TIFF_BITS), tags.get(_TIFF_SAMPLE_FORMAT, (1,)), tags.get(_TIFF_PHOTOMETRIC))
    if image.mode not in SIXTEEN_BITS or found != ((16,), (1,), 1):
        raise UnsupportedFormat(
            "this is a TIFF of unusual samples (floating, signed, inverted or wide); save it with 8 bits"
        )
