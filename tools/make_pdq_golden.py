#!/usr/bin/env python3
"""Write tests/pdq_golden.json: the hash and quality that Meta's own program gives to the pictures of tests/pdq_pictures.py.

    .venv/bin/python -m pip install --no-deps --target DIR pdqhash==0.2.8
    PYTHONPATH=DIR .venv/bin/python tools/make_pdq_golden.py

pdqhash has no wheels: it is compiled, with a C++ compiler, outside of the environment. Nothing of demure is run.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pdqhash

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))
from pdq_pictures import pictures  # noqa: E402

ORIGIN = f"pdqhash {pdqhash.__version__}, which compiles ThreatExchange's pdq/cpp, given the pixels whole"


def main() -> None:
    rows = {}
    for name, pixels in pictures():
        bits, quality = pdqhash.compute(pixels)  # the bit of the highest frequency first, as hex digits are printed
        rows[name] = {"hash": np.packbits(bits.astype(np.uint8)).tobytes().hex(), "quality": int(quality)}
    text = ",\n".join(f"  {json.dumps(name)}: {json.dumps(row)}" for name, row in rows.items())
    (ROOT / "tests/pdq_golden.json").write_text(
        f'{{\n"origin": {json.dumps(ORIGIN)},\n"pictures": {{\n{text}\n}}\n}}\n', encoding="utf-8"
    )


if __name__ == "__main__":
    main()
