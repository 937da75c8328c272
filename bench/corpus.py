#!/usr/bin/env python3
"""Gather benign pictures for bench/decisions.py from packages of Debian and PyPI, into .bench/corpus.

    apt-get install gnome-backgrounds mate-backgrounds plasma-workspace-wallpapers ukui-wallpapers lomiri-wallpapers-16.04 \\
        lomiri-wallpapers-20.04 sway-backgrounds tuxpaint-stamps-default openclipart-png openclipart-svg librsvg2-bin
    .venv/bin/python bench/corpus.py

Four kinds, each picture taken once by its hash: `wallpaper` and `stamp` and `clipart` as the packages carry them, and
`large-jpeg`: what a phone or a camera sends, JPEGs of 4 to 13 megapixels, cut from large wallpapers or rendered from vector
clip art. Only these meet the reduced JPEG decode, which is what the fast path does most differently. The choice is the same
on every run.
"""

from __future__ import annotations

import hashlib
import io
import random
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

CORPUS = Path(".bench/corpus")
FOLDERS = {
    "wallpaper": ["/usr/share/backgrounds", "/usr/share/wallpapers"],
    "stamp": ["/usr/share/tuxpaint/stamps"],
    "clipart": ["/usr/share/openclipart/png"],
}
SUFFIXES = {".png", ".jpg", ".jpeg", ".webp"}
CLIPART_SHARE = 8  # every eighth of 8,121
CROPS_PER_WALLPAPER, CROP_SIDE = 8, (2048, 3600)  # pixels
RENDERED, RENDERED_WIDTH = 500, (2100, 4200)
QUALITIES = (75, 85, 92)


def main() -> None:
    Image.MAX_IMAGE_PIXELS = None
    seen: set[str] = set()
    kinds: Counter[str] = Counter()
    for kind, suffix, data in gather():
        digest = hashlib.sha256(data).hexdigest()
        if digest in seen:
            continue
        seen.add(digest)
        kinds[kind] += 1
        target = CORPUS / kind / f"{digest[:16]}{suffix}"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
    print(f"{CORPUS}: {sum(kinds.values())} pictures, {dict(kinds)}")


def gather() -> Iterator[tuple[str, str, bytes]]:
    wallpapers = []
    for kind, folders in FOLDERS.items():
        paths = sorted(p for f in folders for p in Path(f).rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
        if not paths:
            raise SystemExit(f"no pictures in {', '.join(folders)}; install the packages that this file names")
        for path in paths[:: CLIPART_SHARE if kind == "clipart" else 1]:
            yield kind, path.suffix.lower(), path.read_bytes()
        wallpapers += paths if kind == "wallpaper" else []
    yield from large_jpegs(wallpapers)


def large_jpegs(wallpapers: list[Path]) -> Iterator[tuple[str, str, bytes]]:
    chance = random.Random(20)
    for path in wallpapers:
        with Image.open(path) as image:
            if min(image.size) < CROP_SIDE[0]:
                continue
            picture = image.convert("RGB")
        for _ in range(CROPS_PER_WALLPAPER):
            width, height = (chance.randint(CROP_SIDE[0], min(CROP_SIDE[1], side)) for side in picture.size)
            left, top = chance.randint(0, picture.width - width), chance.randint(0, picture.height - height)
            yield "large-jpeg", ".jpg", jpeg(picture.crop((left, top, left + width, top + height)), chance)
    drawings = sorted(Path("/usr/share/openclipart/svg").rglob("*.svg"))
    for path in chance.sample(drawings, min(RENDERED, len(drawings))):
        width = chance.randint(*RENDERED_WIDTH)
        command = ["rsvg-convert", "--width", str(width), "--keep-aspect-ratio", "--background-color=white", str(path)]
        done = subprocess.run(command, capture_output=True, check=False, timeout=120)
        if done.returncode == 0:
            with Image.open(io.BytesIO(done.stdout)) as image:
                if min(image.size) >= CROP_SIDE[0] and image.width * image.height <= 20_000_000:
                    yield "large-jpeg", ".jpg", jpeg(image.convert("RGB"), chance)


def jpeg(picture: Image.Image, chance: random.Random) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=chance.choice(QUALITIES))
    return buffer.getvalue()


if __name__ == "__main__":
    main()
