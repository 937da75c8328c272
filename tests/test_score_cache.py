"""Scores that are found again: only those of the same bytes, model and way of looking, and never wrong ones."""

from __future__ import annotations

import hashlib
import logging
import os
import resource
import signal
import sqlite3
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import pytest
from waiting import PATIENCE_S

from demure.decode import DecodeLimits
from demure.errors import StorageUnavailable
from demure.inputs import PREPROCESSING, Recipe
from demure.models import ModelSpec, Registry
from demure.preprocess import Crop, Divide, Fidelity, Luma, Resize
from demure.score_cache import Entry, ScoreCache, made_by, score_version

ONE = Entry(640, 480, ({"porn": 0.1234567, "neutral": 1 / 3}, {"porn": 5e-324, "neutral": 1.0}), None)
STILL = Entry(32, 31, ({"redness": 0.5},), bytes(range(32)))
VERSIONS = {"colour": b"1" * 32, "redness": b"2" * 32}


def sha256(number: int) -> bytes:
    return hashlib.sha256(str(number).encode()).digest()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "scores.sqlite3"


def test_what_was_put_is_found_by_the_next_process_to_the_last_bit(path: Path):
    with ScoreCache(path) as cache:
        cache.put(sha256(1), {"colour": ONE, "redness": STILL}, VERSIONS)
    with ScoreCache(path) as cache:
        assert cache.get(sha256(1), VERSIONS) == {"colour": ONE, "redness": STILL}
        assert cache.get(sha256(1), {"colour": VERSIONS["colour"]}) == {"colour": ONE}
        assert cache.get(sha256(2), VERSIONS) == {}


def test_another_version_is_another_entry(path: Path):
    newer = {**VERSIONS, "colour": b"3" * 32}
    with ScoreCache(path) as cache:
        cache.put(sha256(1), {"colour": ONE, "redness": STILL}, VERSIONS)
        assert cache.get(sha256(1), newer) == {"redness": STILL}
        cache.put(sha256(1), {"colour": STILL}, newer)
        cache.flush()
        assert cache.get(sha256(1), newer)["colour"] == STILL
        assert cache.get(sha256(1), VERSIONS)["colour"] == ONE


def test_it_keeps_hashes_and_numbers_alone(path: Path):
    with ScoreCache(path) as cache:
        cache.put(sha256(1), {"colour": ONE}, VERSIONS)
    with sqlite3.connect(path) as connection:
        columns = [row[1:3] for row in connection.execute("PRAGMA table_info(scores)")]
        (row,) = connection.execute("SELECT * FROM scores").fetchall()
    connection.close()
    assert columns == [
        (n, "TEXT" if n == "model" else "BLOB") for n in ("sha256", "model", "version", "entry", "checksum")
    ]
    assert row[3] == b'[640,480,[{"porn":0.1234567,"neutral":0.3333333333333333},{"porn":5e-324,"neutral":1.0}],null]'


# --- When it is on the disk -------------------------------------------------------------------------------------------


def committed(path: Path) -> int:
    connection = sqlite3.connect(path)
    try:
        return connection.execute("SELECT count(DISTINCT sha256) FROM scores").fetchone()[0]
    finally:
        connection.close()


def test_it_is_on_the_disk_after_a_hundred_images_or_a_second(path: Path):
    now = [0.0]
    with ScoreCache(path, now_s=lambda: now[0]) as cache:
        for number in range(99):
            cache.put(sha256(number), {"colour": ONE, "redness": STILL}, VERSIONS)
        assert committed(path) == 0
        assert cache.get(sha256(98), VERSIONS) == {"colour": ONE, "redness": STILL}  # known here all the same
        cache.put(sha256(99), {"colour": ONE}, VERSIONS)
        assert committed(path) == 100
        now[0] = 0.999
        cache.put(sha256(100), {"colour": ONE}, VERSIONS)
        assert committed(path) == 100
        now[0] = 1.0
        cache.put(sha256(101), {"colour": ONE}, VERSIONS)
        assert committed(path) == 102
        cache.put(sha256(102), {"colour": ONE}, VERSIONS)
        cache.flush()
        assert committed(path) == 103
        cache.put(sha256(103), {"colour": ONE}, VERSIONS)
    assert committed(path) == 104


FILLS = """
import hashlib, sys
from pathlib import Path
from demure.score_cache import Entry, ScoreCache
cache = ScoreCache(Path(sys.argv[1]))
for n in range(int(sys.argv[2]), int(sys.argv[3])):
    cache.put(hashlib.sha256(str(n).encode()).digest(), {"m": Entry(n + 1, 1, ({"m": 0.5},))}, {"m": b"v"})
    print(n, flush=True)
cache.close()
"""


def fill(path: Path, start: int, end: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", FILLS, str(path), str(start), str(end)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_a_process_that_is_killed_leaves_what_it_committed(path: Path):
    for life in range(3):
        with fill(path, 1000 * life, 10**9) as process:
            for line in process.stdout:
                if int(line) == 1000 * life + 150 + life:
                    process.send_signal(signal.SIGKILL)
                    break
        with ScoreCache(path) as cache:
            found = [n for n in range(1000 * life, 1000 * life + 100) if cache.get(sha256(n), {"m": b"v"})]
        assert len(found) == 100


def test_several_processes_and_threads_use_one_file(path: Path):
    others = [fill(path, 500 * n, 500 * (n + 1)) for n in range(4)]
    with ScoreCache(path) as cache, ThreadPoolExecutor(4) as pool:
        list(
            pool.map(
                lambda n: cache.put(sha256(n), {"m": Entry(n + 1, 1, ({"m": 0.5},))}, {"m": b"v"}), range(2000, 2500)
            )
        )
    for other in others:
        other.communicate(timeout=PATIENCE_S)
        assert other.returncode == 0
    with ScoreCache(path) as cache:
        kept = [n for n in range(2500) if (found := cache.get(sha256(n), {"m": b"v"})) and found["m"].width == n + 1]
    assert kept == list(range(2500))


def test_many_may_make_the_file_at_once(tmp_path: Path):
    for life in range(10):
        gate = threading.Barrier(8)

        def work(path: Path = tmp_path / f"{life}.sqlite3", gate: threading.Barrier = gate) -> None:
            gate.wait()
            with ScoreCache(path) as cache:
                cache.put(sha256(1), {"colour": ONE}, VERSIONS)

        with ThreadPoolExecutor(8) as pool:
            for future in [pool.submit(work) for _ in range(8)]:
                future.result()


# --- What is wrong with the file --------------------------------------------------------------------------------------


def no_database(path: Path) -> None:
    path.write_text("these are not the scores you are looking for" * 100)


def anothers(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE scores (id)")
    connection.close()


def another_layout(path: Path) -> None:
    ScoreCache(path).close()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 7")
    connection.close()


def a_folder(path: Path) -> None:
    path.mkdir()


def cut(path: Path) -> None:
    fill_up(path)
    os.truncate(path, 8192)


UNUSABLE = {f.__name__: f for f in (no_database, anothers, another_layout, a_folder, cut)}


def fill_up(path: Path) -> None:
    with ScoreCache(path) as cache:
        for number in range(300):
            cache.put(sha256(number), {"colour": ONE}, VERSIONS)


def use(path: Path) -> None:
    with ScoreCache(path) as cache:
        for number in range(300):
            assert cache.get(sha256(number), VERSIONS) == {"colour": ONE}


@pytest.mark.parametrize("damage", UNUSABLE.values(), ids=UNUSABLE)
def test_a_file_that_cannot_be_used_is_named_and_may_be_deleted(path: Path, damage):
    path.parent.mkdir()
    damage(path)
    with pytest.raises(StorageUnavailable) as caught:
        use(path)
    assert caught.value.message.startswith(f"{path}: cannot be used (")
    assert "delete it, with the files scores.sqlite3-wal and -shm" in caught.value.message


def test_damage_that_is_met_while_writing_is_told_too(path: Path):
    fill_up(path)
    data = path.read_bytes()
    path.write_bytes(data[:4096] + bytes(len(data) - 4096))  # the first page says what is in the others
    with ScoreCache(path) as cache:
        cache.put(sha256(1000), {"colour": ONE}, VERSIONS)
        with pytest.raises(StorageUnavailable, match="cannot be used"):
            cache.flush()


def test_another_programs_database_is_not_touched(path: Path):
    path.parent.mkdir()
    anothers(path)
    before = path.read_bytes()
    with pytest.raises(StorageUnavailable):
        ScoreCache(path)
    assert (path.read_bytes(), [p.name for p in path.parent.iterdir()]) == (before, [path.name])


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageUnavailable, match="file/data/scores.sqlite3: cannot be used .*Not a directory"):
        ScoreCache(tmp_path / "file" / "data" / "scores.sqlite3")


def test_a_number_that_changed_on_the_disk_is_an_error_and_no_score(path: Path):
    """SQLite sees nothing wrong: the page is whole."""
    with ScoreCache(path) as cache:
        cache.put(sha256(1), {"colour": ONE}, VERSIONS)
    data = path.read_bytes()
    assert data.count(b"0.1234567") == 1
    path.write_bytes(data.replace(b"0.1234567", b"0.9234567"))
    with ScoreCache(path) as cache, pytest.raises(StorageUnavailable, match="not what was written"):
        cache.get(sha256(1), VERSIONS)


def test_an_entry_that_is_put_under_another_hash_is_an_error(path: Path):
    with ScoreCache(path) as cache:
        cache.put(sha256(1), {"colour": ONE}, VERSIONS)
    connection = sqlite3.connect(path)
    with connection:
        connection.execute("UPDATE scores SET sha256 = ?", (sha256(2),))
    connection.close()
    with ScoreCache(path) as cache, pytest.raises(StorageUnavailable, match="not what was written"):
        cache.get(sha256(2), VERSIONS)


# --- A full disk ------------------------------------------------------------------------------------------------------


def test_a_full_disk_is_told_once_and_loses_nothing_but_what_is_new(path: Path, caplog: pytest.LogCaptureFixture):
    with ScoreCache(path) as cache:
        cache.put(sha256(0), {"colour": ONE}, VERSIONS)
        cache.flush()
        cache._connection.execute("PRAGMA max_page_count = 3")
        for number in range(1, 1000):
            cache.put(sha256(number), {"colour": ONE}, VERSIONS)
        assert cache.get(sha256(0), VERSIONS) == {"colour": ONE}
        assert cache.get(sha256(900), VERSIONS) == {}
        cache._connection.execute("PRAGMA max_page_count = 1000")
        cache.put(sha256(1000), {"colour": ONE}, VERSIONS)  # not tried again: each try may wait for long
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage().startswith(f"{path}: database or disk is full; going on")
    with ScoreCache(path) as cache:
        assert cache.get(sha256(0), VERSIONS) == {"colour": ONE}
    assert committed(path) == 1


FULL_AT_START = """
import resource, signal, sys
from pathlib import Path
from demure.score_cache import Entry, ScoreCache
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), int(sys.argv[2])))
with ScoreCache(Path(sys.argv[1])) as cache:
    for n in range(1000):
        cache.put(n.to_bytes(32), {"m": Entry(1, 1, ({"m": 0.5},))}, {"m": b"v"})
        cache.get(n.to_bytes(32), {"m": b"v"})
print("done")
"""


@pytest.mark.parametrize("size", [0, 1000, 20_000, 60_000])
def test_a_disk_that_takes_no_more_from_the_start_or_later_ends_no_work(path: Path, size: int):
    """A limit on the size of files: the system's own refusal, wherever it comes."""
    command = [sys.executable, "-c", FULL_AT_START, str(path), str(size)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr
    assert done.stderr.count("going on, but further scores are not kept") == 1
    assert resource.getrlimit(resource.RLIMIT_FSIZE) == (resource.RLIM_INFINITY, resource.RLIM_INFINITY)


# --- What a score hangs on --------------------------------------------------------------------------------------------


@pytest.fixture
def spec(models_dir: Path) -> ModelSpec:
    return Registry(models_dir)["colour"]


RECIPE = Recipe({"colour": (Resize(8, 8, antialias=False),), "": (Luma(512),)})
SPECS = {
    "weights": {"sha256": "0" * 64},
    "steps": {"steps": (Resize(8, 8, antialias=False), Divide(254))},
    "labels": {"labels": ("hentai", "drawings", "neutral", "porn", "sexy")},
    "categories": {"categories": {}},
    "witness": {"witness_label": "porn"},
    "input": {"input_name": "other"},
    "output": {"output_name": "other"},
}
RECIPES = {
    "fidelity": {"fidelity": Fidelity.REFERENCE},
    "frames": {"limits": DecodeLimits(max_sampled_frames=31)},
    "pixels": {"limits": DecodeLimits(max_pixels=1)},
    "size-of-decoding": {"steps": {**RECIPE.steps, "other": (Resize(299, 299, antialias=False),)}},
}
SAME = {
    "name-of-a-file": ({"weights": Path("elsewhere.onnx")}, {}),
    "words": ({"description": "other", "licence": "other", "source": "other"}, {}),
    "time": ({}, {"limits": DecodeLimits(timeout_s=1)}),
    "bytes": ({}, {"limits": DecodeLimits(max_bytes=1)}),
    "a-smaller-model-beside-it": ({}, {"steps": {**RECIPE.steps, "x": (Resize(9, 9, antialias=False), Crop(8, 8))}}),
}


@pytest.mark.parametrize("change", SPECS.values(), ids=SPECS)
def test_a_version_changes_with_the_model(spec: ModelSpec, change: dict):
    assert score_version(replace(spec, **change), RECIPE) != score_version(spec, RECIPE)


@pytest.mark.parametrize("change", RECIPES.values(), ids=RECIPES)
def test_a_version_changes_with_the_way_of_decoding(spec: ModelSpec, change: dict):
    assert score_version(spec, replace(RECIPE, **change)) != score_version(spec, RECIPE)


@pytest.mark.parametrize(("of_spec", "of_recipe"), SAME.values(), ids=SAME)
def test_a_version_stays_where_no_score_can_change(spec: ModelSpec, of_spec: dict, of_recipe: dict):
    assert score_version(replace(spec, **of_spec), replace(RECIPE, **of_recipe)) == score_version(spec, RECIPE)


def test_a_version_is_the_same_in_another_process(spec: ModelSpec):
    """Python's own hashes of text differ from process to process."""
    program = (
        "from demure.models import Registry; from demure.score_cache import score_version; from demure.inputs import PREPROCESSING, Recipe\n"
        "from demure.preprocess import Luma, Resize; from pathlib import Path; import sys\n"
        "recipe = Recipe({'colour': (Resize(8, 8, antialias=False),), '': (Luma(512),)})\n"
        "print(score_version(Registry(Path(sys.argv[1]))['colour'], recipe).hex())"
    )
    for seed in "1", "2":
        command = [sys.executable, "-c", program, str(spec.weights.parent)]
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
        assert done.stdout.strip() == score_version(spec, RECIPE).hex()


def test_a_version_changes_with_the_libraries_and_with_our_own_way(spec: ModelSpec):
    ours, *libraries = made_by()
    assert ours == PREPROCESSING
    assert dict(libraries) == {name: version(name) for name in ("Pillow", "pi-heif", "onnxruntime")}
    others = [(ours + 1, *libraries), (ours, ("Pillow", "0"), *libraries[1:])]
    assert len({score_version(spec, RECIPE), *(score_version(spec, RECIPE, other) for other in others)}) == 3
