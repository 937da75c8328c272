"""Whether decoders start, what they have given up when they did, and whether each format is read in one.

What a decoder may is asked of the kernel while it runs, rather than taken from the settings.
"""

from __future__ import annotations

import io
import os
import resource
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path

from demure.confinement import landlock_version
from demure.decode import DecodeLimits
from demure.decoding.formats import Format
from demure.doctor.finding import Finding, in_bytes, listed, note, ok, problem
from demure.errors import DemureError, Overloaded
from demure.inputs import Inputs, Recipe
from demure.preprocess import Fit
from demure.sandbox import Sandbox
from demure.settings import Settings

CHECK = "decoding"
_TCP_SINCE, _COMPLETE = 4, 6  # versions of Landlock's interface, as demure.confinement has them
_SIDE = 64  # pixels
_RECIPE = Recipe({"small": (Fit(_SIDE),)}, limits=DecodeLimits(timeout_s=10.0))  # s; a machine at work may be slow
# Pillow cannot write it. Made by heif-enc (libheif 1.15) from one colour, 64 x 64.
_HEIC = "flat.heic"
_NAMES = {Format.JPEG: "JPEG", Format.PNG: "PNG", Format.WEBP: "WebP", Format.GIF: "GIF"} | {
    Format.BMP: "BMP",
    Format.TIFF: "TIFF",
    Format.AVIF: "AVIF",
    Format.HEIC: "HEIC",
}

Prepare = Callable[[bytes, Recipe], Inputs]


@dataclass(frozen=True)
class Confinement:
    """What holds in a decoder that runs."""

    landlock: int  # the version of the kernel's interface; 0 where there is none
    memory_bytes: int | None  # None where it cannot be asked
    is_root: bool


@dataclass(frozen=True)
class Trial:
    """`failures` are formats that were not read, by name, each with what was said."""

    confinement: Confinement
    failures: Mapping[str, str] = field(default_factory=dict)


def check_decoding(settings: Settings, try_out: Callable[[Settings], Trial] | None = None) -> Iterator[Finding]:
    try:
        trial = (try_out or try_one)(settings)
    except Overloaded as error:
        yield problem(
            CHECK,
            error.message,
            "this user must be able to start Python; else raise DEMURE_DECODER_MEMORY_BYTES, or limits on processes and memory",
        )
        return
    yield from judge_trial(trial)


def judge_trial(trial: Trial) -> Iterator[Finding]:
    yield judge_confinement(trial.confinement)
    if trial.confinement.is_root:
        yield note(
            CHECK, "this runs as root, who may raise a decoder's limits again", "run the service as a user of its own"
        )
    yield from judge_formats(trial.failures)


def try_one(settings: Settings) -> Trial:
    """Starts one decoder and ends it. Raises Overloaded."""
    before = _children()
    with Sandbox(1, settings.sandbox_limits) as sandbox:
        sandbox.start()
        confinement = Confinement(landlock_version(), _address_space(_children() - before), os.geteuid() == 0)
        return Trial(confinement, read_all(sandbox.prepare))


def judge_confinement(found: Confinement) -> Finding:
    memory = "" if found.memory_bytes is None else f", {in_bytes(found.memory_bytes)} of address space"
    told = f"a decoder started; it has no file and no network{memory}"
    if found.landlock >= _COMPLETE:
        return ok(CHECK, f"{told}, Landlock {found.landlock}")
    if found.landlock:
        missing = (
            "abstract sockets and signals" if found.landlock >= _TCP_SINCE else "TCP, abstract sockets and signals"
        )
        return note(
            CHECK, f"{told}; Landlock {found.landlock}, which does not forbid {missing}", "Linux 6.12 has all of it"
        )
    return note(
        CHECK,
        f"{told}; no Landlock: one that was taken over could delete files and look into other processes",
        "Linux 5.13 or later with landlock in its list of security modules (the kernel's parameter lsm=)",
    )


def read_all(prepare: Prepare) -> Mapping[str, str]:
    """What each format that is not read ended in."""
    failures = {}
    for kind, name in _NAMES.items():
        try:
            media = prepare(picture(kind), _RECIPE).media
        except DemureError as error:
            failures[name] = f"{error.code}: {error.message}"
        except (OSError, KeyError, ValueError) as error:  # Pillow was built without it
            failures[name] = f"this Pillow does not write it ({error})"
        else:
            if (media.type, media.width, media.height) != (kind, _SIDE, _SIDE):
                failures[name] = f"it was read as {media.type}, {media.width} x {media.height}"
    return failures


def judge_formats(failures: Mapping[str, str]) -> Iterator[Finding]:
    read = [name for name in _NAMES.values() if name not in failures]
    if read:
        yield ok(CHECK, f"it reads {listed(read)}")
    for name, said in failures.items():
        yield problem(
            CHECK,
            f"{name} is not read: {said}",
            "pip install --force-reinstall pillow pi-heif: their wheels have all codecs; or raise DEMURE_DECODER_MEMORY_BYTES",
        )


def picture(kind: Format) -> bytes:
    """A small one of one colour. Raises what Pillow raises for a format that it cannot write."""
    if kind is Format.HEIC:
        return resources.files(__package__).joinpath(_HEIC).read_bytes()
    from PIL import Image

    buffer = io.BytesIO()
    Image.new("RGB", (_SIDE, _SIDE), (150, 120, 90)).save(buffer, _NAMES[kind])
    return buffer.getvalue()


def _children() -> set[int]:
    """Processes that this one has started; empty where the kernel does not tell."""
    found: set[int] = set()
    for told in Path("/proc/self/task").glob("*/children"):
        found |= set(map(int, told.read_text().split()))
    return found


def _address_space(children: set[int]) -> int | None:
    """The limit of the one child that is new."""
    if len(children) != 1 or sys.platform != "linux":
        return None
    soft, _ = resource.prlimit(children.pop(), resource.RLIMIT_AS)
    return None if soft == resource.RLIM_INFINITY else soft
