"""Every command and program of the documents is run, each page in a folder and a network of its own (document_run.py)."""

from __future__ import annotations

from pathlib import Path

import pytest
from document_blocks import PAGES, read_blocks
from document_network import follow


@pytest.mark.parametrize("page", [page for page in PAGES if read_blocks(page)], ids=lambda page: page.stem)
def test_a_page_does_what_it_says(page: Path, tmp_path: Path):
    told = follow(page, tmp_path)
    assert not told, told


def test_what_is_documented_is_in_the_pages():
    """Or the tests above would run nothing."""
    assert {"README", "api", "policy", "review", "scan", "settings"} <= {
        page.stem for page in PAGES if read_blocks(page)
    }
