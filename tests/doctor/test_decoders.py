from __future__ import annotations

import pytest
from findings import told

from demure.decode import MIB
from demure.doctor import (
    decoders,
)
from demure.doctor.decoders import Confinement
from demure.errors import Overloaded, Undecodable
from demure.settings import Settings

CHILD = "a decoder started; it has no file and no network"
CONFINEMENTS = {
    "all": (Confinement(7, 480 * MIB, is_root=False), ("ok", f"{CHILD}, 480 MiB of address space, Landlock 7")),
    "all-at-least": (Confinement(6, None, is_root=False), ("ok", f"{CHILD}, Landlock 6")),
    "without-scopes": (
        Confinement(5, None, is_root=False),
        (
            "note",
            f"{CHILD}; Landlock 5, which does not forbid abstract sockets and signals",
            "Linux 6.12 has all of it",
        ),
    ),
    "without-tcp": (
        Confinement(3, None, is_root=False),
        (
            "note",
            f"{CHILD}; Landlock 3, which does not forbid TCP, abstract sockets and signals",
            "Linux 6.12 has all of it",
        ),
    ),
    "none": (
        Confinement(0, 1024 * MIB, is_root=False),
        (
            "note",
            f"{CHILD}, 1.0 GiB of address space; no Landlock: one that was taken over could delete files and look into other processes",
            "Linux 5.13 or later with landlock in its list of security modules (the kernel's parameter lsm=)",
        ),
    ),
}


@pytest.mark.parametrize(("found", "expected"), CONFINEMENTS.values(), ids=CONFINEMENTS)
def test_confinement(found: Confinement, expected: tuple[str, ...]):
    assert told(decoders.judge_confinement(found)) == [expected]


@pytest.mark.parametrize("is_root", [True, False])
def test_to_run_as_root_is_told(is_root: bool):
    found = told(decoders.judge_trial(decoders.Trial(Confinement(7, None, is_root=is_root))))
    root = ("note", "this runs as root, who may raise a decoder's limits again", "run the service as a user of its own")
    reads = ("ok", "it reads JPEG, PNG, WebP, GIF, BMP, TIFF, AVIF and HEIC")
    assert found == [("ok", f"{CHILD}, Landlock 7"), *([root] if is_root else []), reads]


def test_a_format_that_is_not_read_is_a_problem():
    trial = decoders.Trial(Confinement(7, None, is_root=False), {"AVIF": "undecodable: the image is damaged"})
    assert told(decoders.judge_trial(trial))[1:] == [
        ("ok", "it reads JPEG, PNG, WebP, GIF, BMP, TIFF and HEIC"),
        (
            "problem",
            "AVIF is not read: undecodable: the image is damaged",
            "pip install --force-reinstall pillow pi-heif: their wheels have all codecs; or raise DEMURE_DECODER_MEMORY_BYTES",
        ),
    ]


def test_what_a_decoder_says_of_a_format_is_kept():
    def refuse(data: bytes, recipe: object) -> None:
        raise Undecodable("the image is damaged")

    assert decoders.read_all(refuse) == dict.fromkeys(
        ["JPEG", "PNG", "WebP", "GIF", "BMP", "TIFF", "AVIF", "HEIC"], "undecodable: the image is damaged"
    )


def test_a_real_decoder_is_started_confined_and_ended():
    settings = Settings(threads=1, decoder_memory_bytes=300 * MIB)
    before = decoders._children()
    trial = decoders.try_one(settings)
    assert trial.confinement.memory_bytes == 300 * MIB
    assert trial.failures == {}
    assert decoders._children() == before


def test_a_decoder_that_cannot_start_is_a_problem():
    def fail(_: Settings) -> decoders.Trial:
        raise Overloaded("no decoder could be started (Permission denied)")

    assert told(decoders.check_decoding(Settings(), fail)) == [
        (
            "problem",
            "no decoder could be started (Permission denied)",
            "this user must be able to start Python; else raise DEMURE_DECODER_MEMORY_BYTES, or limits on processes and memory",
        )
    ]
