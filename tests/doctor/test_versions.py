from __future__ import annotations

from dataclasses import replace

import pytest
from findings import states, told

from demure import __version__
from demure.doctor import (
    versions,
)

INSTALLED = versions.Installed(
    python="3.11.7",
    sqlite="3.40.1",
    kernel="Linux 6.12.1",
    packages={"onnxruntime": "1.32.0", "pillow": "13.0.0", "pi-heif": "1.4.0", "limits": "5.0"},
    required={"onnxruntime": "1.20", "pillow": "13.0", "pi-heif": "1.1", "limits": "5.0"},
)
LINE = f"demure {__version__}, Python 3.11.7, onnxruntime 1.32.0, pillow 13.0.0, pi-heif 1.4.0, SQLite 3.40.1, Linux 6.12.1"
VERSIONS = {
    "as-asked": (INSTALLED, []),
    "older": (
        replace(INSTALLED, packages={**INSTALLED.packages, "limits": "4.9.2"}),
        [("problem", "limits 4.9.2 is older than 5.0", 'pip install --upgrade "limits>=5.0"')],
    ),
    "a-release-candidate-of-what-is-asked": (
        replace(INSTALLED, packages={**INSTALLED.packages, "limits": "5.0rc1+cpu"}),
        [],
    ),
    "missing": (
        replace(INSTALLED, packages={**INSTALLED.packages, "limits": None}),
        [("problem", "limits is not installed", 'pip install "limits>=5.0"')],
    ),
    "from-a-folder": (
        replace(INSTALLED, required=None),
        [
            (
                "note",
                "demure runs from a folder and is not installed: how old its libraries may be is not looked at",
                "pip install -r requirements.txt gives those that it was tested with",
            )
        ],
    ),
}


@pytest.mark.parametrize(("installed", "more"), VERSIONS.values(), ids=VERSIONS)
def test_versions(installed: versions.Installed, more: list[tuple[str, ...]]):
    assert told(versions.check_versions(installed)) == [("ok", LINE), *more]


@pytest.mark.parametrize(("version", "is_told"), [("3.34.1", True), ("3.35.0", False), ("3.9.0", True)])
def test_a_sqlite_that_returns_no_rows_is_a_problem(version: str, is_told: bool):
    found = told(versions.check_versions(replace(INSTALLED, sqlite=version)))[1:]
    expected = ("problem", f"SQLite {version} is older than 3.35", "use a Python with a newer SQLite, or PostgreSQL")
    assert found == ([expected] if is_told else [])


def test_what_is_installed_here_is_as_new_as_the_package_asks():
    looked = versions.look()
    assert looked.required["pillow"] == "13.0"
    assert "pyarrow" not in looked.required
    assert states(versions.check_versions(looked)) == [("versions", "ok")]
