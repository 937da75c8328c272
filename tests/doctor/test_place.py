from __future__ import annotations

import os
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
    hidden=False,
    readable=True,
    writable=True,
    owner="demure",
    mode=0o600,
    folder=Path("/data"),
    folder_mode=0o700,
    old_keys=False,
)
ASK_AS = "if the service runs as root, ask as that (sudo -u root); if as demure, give it the folder"
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
