#!/usr/bin/env python3
"""`demure scan`: its speed beside the ceiling of decode and inference, what twenty kills cost, and its memory over 100,000 files.

    .venv/bin/python bench/scan.py                    all three, some twenty minutes on two cores
    .venv/bin/python bench/scan.py speed|kills|memory

Pictures are the example at 640 x 480, each with a comment of its own so that no two have the same bytes. For the memory they
are of 40 x 40, and judged by models of a few numbers: what is held must not hang on how many there are.
"""

from __future__ import annotations

import io
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from load import tree_mib
from PIL import Image

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))
from tiny_models import FIVE, RULES, WITNESS, add_model, tiny_graph  # noqa: E402

IMAGES, SAMPLE, FILES, KILLS = 10_000, 400, 100_000, 20


def main() -> None:
    wanted = sys.argv[1:] or ["speed", "kills", "memory"]
    with tempfile.TemporaryDirectory(prefix="scan-") as folder:
        for name in wanted:
            {"speed": speed, "kills": kills, "memory": memory}[name](Path(folder))


def speed(folder: Path) -> None:
    pictures = make(folder / "pictures", IMAGES, (640, 480))
    for cores in ({0, 1}, {0}):
        ceilings = [ceiling(pictures, cores)]
        took_s = timed(scan(pictures, folder / f"speed-{len(cores)}.jsonl", cores))
        ceilings.append(ceiling(pictures, cores))
        rate, top = IMAGES / took_s, statistics.mean(ceilings)
        print(
            f"{len(cores)} core(s): {rate:.1f} images/s in {took_s:.0f} s; ceiling {top:.1f}; {rate / top:.0%}",
            flush=True,
        )


def kills(folder: Path) -> None:
    """At random moments, so that all of them together lie in the first half of the work."""
    pictures, out = make(folder / "pictures", IMAGES, (640, 480)), folder / "killed.jsonl"
    whole_s = timed(scan(pictures, folder / "whole.jsonl", {0, 1}))
    moments, began = random.Random(7), time.perf_counter()
    for _ in range(KILLS):
        process = subprocess.Popen(scan(pictures, out, {0, 1}), stderr=subprocess.DEVNULL)
        time.sleep(moments.uniform(0.0, whole_s / KILLS))
        process.send_signal(signal.SIGKILL)
        process.wait()
    timed(scan(pictures, out, {0, 1}))
    took_s = time.perf_counter() - began
    ids = sorted(json.loads(line)["id"] for line in out.open(encoding="utf-8"))
    each_once = ids == sorted(str(path) for path in pictures.iterdir())
    print(
        f"{KILLS} kills: each file once: {each_once}; {took_s:.0f} s, {took_s / whole_s:.2f} x {whole_s:.0f} s",
        flush=True,
    )


def memory(folder: Path) -> None:
    models, policies = folder / "models", folder / "policies"
    for made in (models, policies):
        made.mkdir()
    add_model(models, "colour", tiny_graph(5), FIVE)
    add_model(models, "redness", tiny_graph(2), WITNESS)
    (policies / "colours.toml").write_text(RULES)
    settings = {"MODELS_DIR": models, "POLICIES_DIR": policies, "MODEL": "colour", "POLICY": "colours"}
    environment = {**os.environ, **{f"DEMURE_{name}": str(value) for name, value in settings.items()}}
    for count in (FILES // 10, FILES):
        pictures = make(folder / f"small-{count}", count, (40, 40))
        process = subprocess.Popen(
            scan(pictures, folder / f"small-{count}.jsonl", {0, 1}), stderr=subprocess.DEVNULL, env=environment
        )
        peak, began = 0.0, time.perf_counter()
        while process.poll() is None:
            peak = max(peak, tree_mib(process.pid))
            time.sleep(0.2)
        took_s = time.perf_counter() - began
        print(
            f"{count:,} files: peak {peak:.0f} MiB (PSS of the tree), {took_s:.0f} s, exit {process.returncode}",
            flush=True,
        )


def scan(pictures: Path, out: Path, cores: set[int]) -> list[str]:
    program = ["taskset", "--cpu-list", ",".join(map(str, sorted(cores))), sys.executable, "-m", "demure"]
    return [*program, "scan", str(pictures), "-o", str(out)]


def timed(command: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    return time.perf_counter() - began


def ceiling(pictures: Path, cores: set[int]) -> float:
    """Images a second of decoding in process and asking both models, with a thread a core and nothing else."""
    program = f"""
import sys, time, os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
import demure
threads = {len(cores)}
screener = demure.Screener()
paths = sorted(Path({str(pictures)!r}).iterdir())[:{SAMPLE}]
datas = [path.read_bytes() for path in paths]
with ThreadPoolExecutor(threads) as pool:
    list(pool.map(screener.screen, datas[:20]))
    began = time.perf_counter()
    list(pool.map(screener.screen, datas))
print(len(datas) / (time.perf_counter() - began))
"""
    command = ["taskset", "--cpu-list", ",".join(map(str, sorted(cores))), sys.executable, "-c", program]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def make(folder: Path, count: int, size: tuple[int, int]) -> Path:
    if folder.exists():
        return folder
    folder.mkdir()
    picture = Image.open(ROOT / "examples" / "coffee.jpg").convert("RGB").resize(size)
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=90)
    jpeg = buffer.getvalue()
    for number in range(count):
        note = f"{number:016}".encode()
        # After the first marker, a comment of 16 bytes.
        (folder / f"{number:06}.jpg").write_bytes(jpeg[:2] + b"\xff\xfe\x00\x12" + note + jpeg[2:])
    return folder


if __name__ == "__main__":
    main()
