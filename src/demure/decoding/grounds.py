"""How is a picture seen that lets something show through? On a white page, on a black one, and where its alpha is dropped."""

from __future__ import annotations

from collections.abc import Iterator

from PIL import Image

MOST_GROUNDS = 3
SIXTEEN_BITS = ("I;16", "I;16B")
_HIDDEN_BELOW = 128  # alpha, of 255: more of the ground is seen than of the picture
_MANY_HIDDEN = 0.1  # of all pixels; the soft edge of a logo is less


def flatten(image: Image.Image) -> Iterator[Image.Image]:
    """The picture as RGB, one at a time: itself, or on white and on black where something shows through.

    Without its alpha as well, if there is a picture in what is hidden: programs that make thumbnails may drop it.
    """
    if not image.has_transparency_data:
        yield image if image.mode == "RGB" else eight_bits(image).convert("RGB")
        return
    with_alpha = image if image.mode == "RGBA" else image.convert("RGBA")
    if with_alpha.getchannel("A").getextrema()[0] == 255:
        yield with_alpha.convert("RGB")
        return
    yield _on_ground(with_alpha, "white")
    yield _on_ground(with_alpha, "black")
    if _hides_a_picture(with_alpha):
        yield with_alpha.convert("RGB")


def eight_bits(image: Image.Image) -> Image.Image:
    """Grays of 16 bits as 8; others as they are. Pillow's own conversion clips at 255: all but black turns white."""
    if image.mode not in SIXTEEN_BITS:
        return image
    return image.convert("I").point(lambda value: value * (1 / 256)).convert("L")


def _on_ground(with_alpha: Image.Image, ground: str) -> Image.Image:
    picture = Image.new("RGB", with_alpha.size, ground)
    picture.paste(with_alpha, mask=with_alpha)  # in place: a composite would hold two more copies
    return picture


def _hides_a_picture(with_alpha: Image.Image) -> bool:
    """Whether many of the hidden pixels differ from what most of them have in common, in any channel."""
    alpha = with_alpha.getchannel("A")
    many = _MANY_HIDDEN * with_alpha.width * with_alpha.height
    if sum(alpha.histogram()[:_HIDDEN_BELOW]) < many:
        return False
    levels = with_alpha.histogram(alpha.point([255] * _HIDDEN_BELOW + [0] * (256 - _HIDDEN_BELOW)))
    channels = (levels[start : start + 256] for start in (0, 256, 512))
    return any(sum(counts) - max(counts) >= many for counts in channels)
