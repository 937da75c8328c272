from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from findings import told

from demure.doctor import (
    place,
)
from demure.settings import Settings

FILE = Path("/data/demure.db")
OURS = place.Access(
    by="demure",
    exists=True,
    is_file=True,
    hidden=False,
    readable=True,
    writable=True,
    owner="demure",
    mode=0o600,
    folder=Path("/data"),
    folder_mode=0o700,
    own_folder=True,
    old_keys=False,
)
ASK_AS = "if the service runs as root, ask as that (sudo -u root); if as demure, give it the folder"
OWN = "put it in a folder of its own (DEMURE_DATA_DIR)"
ACCESS = {
    "ours": (OURS, []),
    "not-there-yet": (
        replace(OURS, exists=False),
        [("ok", "SQLite, /data/demure.db: not there yet; the first start makes it")],
    ),
    "cannot-be-made": (
        replace(OURS, exists=False, writable=False, owner="root"),
        [
            (
                "problem",
                "/data/demure.db: not there, and cannot be made by demure: /data is root's",
                "let the user that the service runs as write there, or set DEMURE_DATA_DIR to a folder of its own",
            )
        ],
    ),
    "hidden": (
        replace(OURS, exists=False, hidden=True, readable=False, writable=False, owner="root"),
        [("note", "/data/demure.db: it or its folder is root's, and cannot be read by demure", ASK_AS)],
    ),
    "anothers": (
        replace(OURS, readable=False, writable=False, owner="root"),
        [("note", "/data/demure.db: it or its folder is root's, and cannot be read by demure", ASK_AS)],
    ),
    "anothers-to-read": (
        replace(OURS, writable=False, owner="root"),
        [("note", "/data/demure.db: it or its folder is root's, and cannot be written by demure", ASK_AS)],
    ),
    "ours-and-shut": (
        replace(OURS, readable=False, writable=False),
        [
            (
                "problem",
                "/data/demure.db: cannot be read by demure, whose it is",
                "chmod u+rwX /data /data/demure.db; or the disk is mounted to be read only",
            )
        ],
    ),
    "ours-and-not-to-write": (
        replace(OURS, writable=False),
        [
            (
                "problem",
                "/data/demure.db: cannot be written by demure, whose it is",
                "chmod u+rwX /data /data/demure.db; or the disk is mounted to be read only",
            )
        ],
    ),
    "open-to-others": (
        replace(OURS, mode=0o644),
        [
            (
                "problem",
                "/data/demure.db: open to others than demure (mode 644), and pictures are in it",
                "chmod 600 /data/demure.db*",
            )
        ],
    ),
    "a-folder-to-look-into": (
        replace(OURS, folder_mode=0o755),
        [("note", "/data: others can look into it (mode 755)", "chmod 700 /data")],
    ),
    "a-folder-of-others-to-look-into": (
        replace(OURS, folder_mode=0o755, own_folder=False),
        [("note", "/data: others can look into it (mode 755)", OWN)],
    ),
    "a-folder-of-others-to-write-into": (
        replace(OURS, folder_mode=0o1777, own_folder=False),
        [("problem", "/data: others can write into it (mode 1777)", OWN)],
    ),
    "ours-and-shut-among-others": (
        replace(OURS, readable=False, writable=False, own_folder=False),
        [
            (
                "problem",
                "/data/demure.db: cannot be read by demure, whose it is",
                f"chmod u+rw /data/demure.db, and {OWN}; or the disk is mounted to be read only",
            )
        ],
    ),
    "a-folder-in-the-files-place": (
        replace(OURS, is_file=False, mode=0o755, folder_mode=0o755),
        [
            (
                "problem",
                "/data/demure.db: is a folder or a device, and no file",
                "name a file in DEMURE_DATABASE_URL, or leave it out for demure.db in DEMURE_DATA_DIR",
            )
        ],
    ),
    "a-folder-to-write-into": (
        replace(OURS, folder_mode=0o770),
        [("problem", "/data: others can write into it (mode 770)", "chmod 700 /data")],
    ),
    "old-keys": (
        replace(OURS, old_keys=True),
        [("note", "keys.txt, of an older version, is in DEMURE_DATA_DIR", "nothing: the next start takes it in")],
    ),
}


@pytest.mark.parametrize(("access", "expected"), ACCESS.values(), ids=ACCESS)
def test_access_to_the_file(access: place.Access, expected: list[tuple[str, ...]]):
    assert told(place.check_access(access, FILE)) == expected


def test_a_path_in_a_command_is_one_word_to_a_shell():
    odd = Path("/data/it's; rm -r $HOME")
    access = replace(OURS, mode=0o644, folder=odd, folder_mode=0o755)
    advice = [shlex.split(line[2].removesuffix("*")) for line in told(place.check_access(access, odd / "demure.db"))]
    assert advice == [["chmod", "600", str(odd / "demure.db")], ["chmod", "700", str(odd)]]


@pytest.mark.parametrize(
    ("data", "beside", "mode", "expected"),
    [
        ("data", ["demure.db-wal", "demure.db-shm", "keys.txt"], 0o755, True),
        ("data", ["policies"], 0o755, True),
        ("other", ["policies"], 0o755, False),
        ("other", [], 0o755, True),
        ("data", [], 0o1777, False),
    ],
    ids=["nothing-but-ours", "the-data-folder", "others-files", "a-file-alone", "everybodys"],
)
def test_a_folder_that_is_demures_alone_is_known(tmp_path: Path, data: str, beside: list[str], mode: int, expected):
    folder = tmp_path / "data"
    folder.mkdir()
    for name in ("demure.db", *beside):
        (folder / name).touch()
    folder.chmod(mode)
    assert place.look_at_file(folder / "demure.db", tmp_path / data).own_folder is expected


@pytest.mark.parametrize("folder", ["/", "/tmp", "/var/lib", "~"])
def test_a_folder_of_the_system_is_never_demures(folder: str):
    path = Path(folder).expanduser()
    assert not place.look_at_file(path / "demure.db", path).own_folder


def test_a_folder_and_a_device_are_no_database(tmp_path: Path):
    for path in (tmp_path, Path("/dev/null")):
        found = place.look_at_file(path, tmp_path)
        assert (found.exists, found.is_file, found.is_shut) == (True, False, True)


def test_a_file_and_its_folder_are_looked_at(tmp_path: Path):
    folder = tmp_path / "data"
    folder.mkdir(0o750)
    absent = place.look_at_file(folder / "demure.db", folder)
    assert (absent.exists, absent.is_missing, absent.is_shut, absent.writable, absent.folder_mode) == (
        False,
        True,
        False,
        True,
        0o750,
    )
    (folder / "demure.db").touch(0o640)
    (folder / "keys.txt").touch()
    found = place.look_at_file(folder / "demure.db", folder)
    assert (found.exists, found.mode, found.owner == found.by, found.old_keys) == (True, 0o640, True, True)
    below = place.look_at_file(folder / "more" / "demure.db", folder / "more")
    assert (below.exists, below.folder, below.folder_mode) == (False, folder, 0o700)  # the first start makes its own


AS_NOBODY = """
import os, sys
from pathlib import Path
from demure.doctor import place
os.setgroups([]); os.setresgid(65534, 65534, 65534); os.setresuid(65534, 65534, 65534)
found = place.look_at_file(Path(sys.argv[1]) / "demure.db", Path(sys.argv[1]))
print(found.exists, found.hidden, found.readable, found.writable, found.is_missing, found.is_shut)
"""


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """One that others reach: pytest's own let nobody through."""
    with tempfile.TemporaryDirectory(prefix="demure-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize(
    ("folder_mode", "file_mode", "expected"),
    [
        (0o700, 0o600, "False True False False False True"),  # whether the file is there cannot be seen
        (0o755, 0o600, "True False False False False True"),
        (0o755, 0o644, "True False True False False False"),
        (0o777, 0o666, "True False True True False False"),
    ],
)
def test_another_user_sees_what_they_may(open_folder: Path, folder_mode: int, file_mode: int, expected: str):
    folder = open_folder / "data"
    folder.mkdir()
    (folder / "demure.db").touch()
    (folder / "demure.db").chmod(file_mode)
    folder.chmod(folder_mode)
    done = subprocess.run([sys.executable, "-c", AS_NOBODY, str(folder)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == expected


TARGETS = {
    "postgresql://me:hunter2@db.example:5433/demure": "PostgreSQL at db.example:5433, demure",
    "postgres://me:hunter2@db.example/demure?sslmode=require": "PostgreSQL at db.example, demure",
    "postgresql:///demure?host=/run/postgresql": "PostgreSQL at /run/postgresql, demure",
    "sqlite:////srv/demure.db": "SQLite, /srv/demure.db",
    "sqlite://": "SQLite in memory",
    "sqlite:///:memory:": "SQLite in memory",
}


@pytest.mark.parametrize(("url", "where"), TARGETS.items(), ids=TARGETS)
def test_a_database_is_named_without_its_password(url: str, where: str):
    assert place.target_of(Settings(database_url=url)).where == where


@pytest.mark.parametrize("url", ["mysql://me:hunter2@x/y", "hunter2", "postgresql://me:hunter2@x:y/z", "sqlite+x://"])
def test_a_url_that_cannot_be_is_told_by_its_form_alone(url: str):
    with pytest.raises(place.Unreadable) as refused:
        place.target_of(Settings(database_url=url))
    assert refused.value.found == (
        "DEMURE_DATABASE_URL: expected sqlite:///path, sqlite:// (nothing is kept) or postgresql://user:password@host/name"
    )
