"""The rows of a scan as JSON Lines, CSV and Parquet, read back by others: json, csv, pyarrow, and printf."""

from __future__ import annotations

import codecs
import csv
import json
import math
import os
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pictures import EXAMPLE
from pyarrow import parquet

from demure.bulk.output import check_output, plain, write_rows
from demure.errors import InvalidSetting
from demure.pipeline import Screener

CATEGORIES = ["drawings", "hentai", "neutral", "porn", "sexy"]
COLUMNS = [
    *("id", "sha256", "decision", "reason", "score"),
    *CATEGORIES,
    "open_nsfw",
    *("type", "width", "height", "frames", "sampled", "worst_frame"),
    *("remembered", "review", "error_code", "error_message"),
]
ENDINGS = [".jsonl", ".csv", ".parquet"]


def a_row(id: str | None, **more: Any) -> dict[str, Any]:
    return {
        "id": id,
        "sha256": "ab" * 32,
        "decision": "unknown",
        "reason": "models_disagree",
        "score": 0.3,
        "scores": {"drawings": 0.1, "hentai": 0.2, "neutral": 0.4, "porn": 0.3, "sexy": 1e-07},
        "witnesses": {"open_nsfw": 0.25, "redness": 1.0},
        "media": {
            "type": "image/gif",
            "width": 640,
            "height": 480,
            "frames": 12,
            "sampled": 8,
            "worst_frame": 3,
        },
        "remembered": False,
        "timings_ms": {"decode": 1.5, "total": 2.25},
        **more,
    }


FLAT = {
    "id": "a.gif",
    "sha256": "ab" * 32,
    "decision": "unknown",
    "reason": "models_disagree",
    "score": 0.3,
    "drawings": 0.1,
    "hentai": 0.2,
    "neutral": 0.4,
    "porn": 0.3,
    "sexy": 1e-07,
    "open_nsfw": 0.25,
    "type": "image/gif",
    "width": 640,
    "height": 480,
    "frames": 12,
    "sampled": 8,
    "worst_frame": 3,
    "remembered": False,
    "review": "7",
    "error_code": None,
    "error_message": None,
}
FAILED = a_row(
    None,
    sha256=None,
    reason="not_an_image",
    score=None,
    scores=None,
    witnesses=None,
    media=None,
    remembered=True,
    error={"code": "not_an_image", "message": "what, and what to do"},
)


def write(path: Path, *rows: dict[str, Any]) -> Path:
    assert write_rows(path, iter(rows), names=["open_nsfw"]) == len(rows)
    return path


def cells(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file, strict=True))


def ids(path: Path) -> list[str]:
    """As each format's own reader gives them."""
    if path.suffix == ".jsonl":
        return [json.loads(line)["id"] for line in path.read_bytes().splitlines()]
    if path.suffix == ".csv":
        return [row["id"] for row in cells(path)]
    return parquet.read_table(path)["id"].to_pylist()


# --- The formats ------------------------------------------------------------------------------------------------------


def test_json_lines_have_the_item_objects_as_they_are(tmp_path: Path):
    rows = [a_row("a.gif", review={"id": "7", "state": "open"}), FAILED]
    lines = write(tmp_path / "x.jsonl", *rows).read_text("ascii").split("\n")
    assert [json.loads(line) for line in lines[:-1]] == rows
    assert lines[-1] == ""


def test_csv_is_flat_and_what_is_not_there_is_empty(tmp_path: Path):
    path = write(tmp_path / "x.csv", a_row("a.gif", review={"id": "7", "state": "open"}), FAILED)
    assert path.read_text().splitlines()[0] == ",".join(COLUMNS)
    first, failed = cells(path)
    texts = {name: value if isinstance(value, str) else json.dumps(value) for name, value in FLAT.items()}
    assert first == {**texts, "error_code": "", "error_message": ""}
    told = {
        "decision": "unknown",
        "reason": "not_an_image",
        "remembered": "true",
        "error_code": "not_an_image",
        "error_message": "what, and what to do",
    }
    assert failed == {**dict.fromkeys(COLUMNS, ""), **told}


def test_parquet_has_the_same_columns_with_types(tmp_path: Path):
    path = write(tmp_path / "x.parquet", a_row("a.gif", review={"id": "7", "state": "open"}), FAILED)
    table = parquet.read_table(path)
    assert table.column_names == COLUMNS
    kinds = {name: str(table.schema.field(name).type) for name in COLUMNS}
    for name in ("score", *CATEGORIES, "open_nsfw"):
        assert kinds.pop(name) == "double"
    for name in ("width", "height", "frames", "sampled", "worst_frame"):
        assert kinds.pop(name) == "int32"
    assert kinds.pop("remembered") == "bool"
    assert {*kinds.values()} == {"string"}
    first, failed = table.to_pylist()
    assert first == FLAT
    told = {
        "decision": "unknown",
        "reason": "not_an_image",
        "remembered": True,
        "error_code": "not_an_image",
        "error_message": "what, and what to do",
    }
    assert failed == {**dict.fromkeys(COLUMNS), **told}


@pytest.mark.parametrize(("rows", "groups"), [(0, []), (10_000, [10_000]), (10_001, [10_000, 1])])
def test_parquet_comes_in_groups_of_ten_thousand_rows(tmp_path: Path, rows: int, groups: list[int]):
    write(tmp_path / "x.parquet", *[FAILED] * rows)
    told = parquet.ParquetFile(tmp_path / "x.parquet").metadata
    assert [told.row_group(i).num_rows for i in range(told.num_row_groups)] == groups


@pytest.mark.parametrize("ending", ENDINGS)
def test_what_a_screener_says_is_what_is_written(tmp_path: Path, ending: str):
    """An image and none, through the columns of which some are counts, some are scores."""
    screener = Screener()
    answers = [screener.screen(data, id=name).as_dict() for data, name in ((EXAMPLE, "a"), (b"none", "b"))]
    path = write(tmp_path / f"x{ending}", *answers)
    assert ids(path) == ["a", "b"]
    if ending == ".parquet":
        (first, second) = parquet.read_table(path).to_pylist()
        assert {name: first[name] for name in CATEGORIES} == answers[0]["scores"]
        assert first["width"] == answers[0]["media"]["width"]
        assert second["error_code"] == answers[1]["error"]["code"] == "not_an_image"


@pytest.mark.parametrize("ending", ENDINGS)
def test_no_row_is_a_file_too(tmp_path: Path, ending: str):
    assert ids(write(tmp_path / f"x{ending}")) == []


def test_an_ending_is_an_ending_in_capitals_too(tmp_path: Path):
    assert cells(write(tmp_path / "x.CSV", FAILED))[0]["reason"] == "not_an_image"


# --- Texts that others chose ------------------------------------------------------------------------------------------

NAMES = {
    "plain": b"a/b c-d_e=f@g+h.jpg",
    "not-utf8": b"a/\xff\xfe.jpg",
    "latin1": b"caf\xe9.jpg",
    "cut-utf8": b"\xe2\x82/\xac.jpg",
    "utf8": "ä/日本/\U0001f600.jpg".encode(),
    "newline": b"a\nb.jpg",
    "carriage-return": b"a\rb.jpg",
    "crlf-at-the-end": b"a.jpg\r\n",
    "tab-first": b"\ta.jpg",
    "spaces": b" a .jpg ",
    "escape-sequence": b"\x1b[31m.jpg\x7f",
    "comma-and-quotes": b"a,\"b\",'c'.jpg",
    "backslash": b"a\\b\\\\c.jpg",
    "looks-escaped": b"\\xff\\x3d.jpg",
    "backslash-last": b"a\\",
    "formula": b"=cmd|'/C calc'!A1",
    "formula-wide": "\uff1d1\uff0b1".encode(),
    "every-byte": bytes(byte for byte in range(1, 256) if byte != 0x2F),
}


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_a_name_is_found_again_whatever_its_bytes(tmp_path: Path, name: bytes, ending: str):
    (written,) = ids(write(tmp_path / f"x{ending}", a_row(os.fsdecode(name))))
    if ending == ".jsonl":
        assert os.fsencode(written) == name
    else:
        assert os.fsencode(plain(written)) == name
        assert codecs.escape_decode(written.encode())[0] == name  # Python's own, of bytes literals


@pytest.mark.parametrize("name", [name for name in NAMES.values() if b"\n" not in name[-1:]])
def test_a_shell_undoes_it_as_well(tmp_path: Path, name: bytes):
    (written,) = ids(write(tmp_path / "x.csv", a_row(os.fsdecode(name))))
    assert subprocess.run(["bash", "-c", 'printf %b "$1"', "-", written], stdout=-1, check=True).stdout == name


ORDINARY = [
    "a.jpg",
    "./-a.jpg",
    "a - b.jpg",
    "1+1=2.jpg",
    "a@b.org",
    "https://example.org/?a=-1&b=@c",
    "日本.jpg",
    "it's",
]


@pytest.mark.parametrize("ending", ENDINGS)
def test_an_ordinary_name_is_written_as_it_is(tmp_path: Path, ending: str):
    assert ids(write(tmp_path / f"x{ending}", *map(a_row, ORDINARY))) == ORDINARY


FORMULAS = {
    "equals": "=1+1",
    "plus": "+1",
    "minus": "-1",
    "at": "@SUM(A1)",
    "tab": "\t=1",
    "return": "\r=1",
    "line": "\n=1",
    "wide": "\uff1d1",
    "after-spaces": "  =1",
    "after-a-quote": '"=1',
    "after-a-semicolon": "a;=1",
    "after-a-semicolon-and-quotes": 'a; "=1',
    "after-two": "a;;@1",
    "twice": "=;=1",
    "after-a-line": "a\n=1",
    "after-a-tab": "a\t-1",
}


@pytest.mark.parametrize("formula", FORMULAS.values(), ids=FORMULAS)
@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_no_cell_begins_a_formula_whatever_a_spreadsheet_takes_for_a_separator(
    tmp_path: Path, formula: str, separator: str
):
    row = a_row(formula, error={"code": "not_found", "message": formula})
    path = write(tmp_path / "x.csv", row)
    with path.open(newline="", encoding="utf-8") as file:
        for cell in (cell for line in csv.reader(file, delimiter=separator) for cell in line):
            assert cell.lstrip(" \"'")[:1] not in [*"=+-@\t\r\n\uff1d\uff0b\uff0d\uff20"]
    assert plain(cells(path)[0]["error_message"]) == formula


def test_a_row_is_a_line_whatever_is_in_it(tmp_path: Path):
    rows = [a_row("a\nb\rc\r\nd", error={"code": "x", "message": "one\ntwo"})] * 3
    assert write(tmp_path / "x.csv", *rows).read_bytes().count(b"\n") == 4
    assert write(tmp_path / "x.jsonl", *rows).read_bytes().count(b"\n") == 3


@pytest.mark.parametrize("ending", ENDINGS)
def test_half_of_a_pair_that_is_no_byte_is_written_all_the_same(tmp_path: Path, ending: str):
    assert len(ids(write(tmp_path / f"x{ending}", a_row("\ud800.jpg")))) == 1


# --- Whole or not at all ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ENDINGS)
def test_the_file_appears_when_it_is_whole(tmp_path: Path, ending: str):
    path = tmp_path / f"x{ending}"
    path.write_text("old")

    def rows() -> Iterator[dict[str, Any]]:
        for _ in range(20_001):
            yield FAILED
        assert path.read_text() == "old"
        yield FAILED

    assert write_rows(path, rows(), names=[]) == 20_002
    assert len(ids(path)) == 20_002
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("error", [OSError(5, "a source's disk"), KeyboardInterrupt()], ids=["error", "interrupt"])
def test_what_the_rows_raise_passes_and_leaves_the_old_file(tmp_path: Path, ending: str, error: BaseException):
    path = tmp_path / f"x{ending}"
    path.write_text("old")

    def rows() -> Iterator[dict[str, Any]]:
        yield from [FAILED] * 11_000
        raise error

    with pytest.raises(type(error)) as caught:
        write_rows(path, rows(), names=[])
    assert caught.value is error
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


_FULL_DISK = """
import resource, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from demure.bulk.output import write_rows
from demure.errors import StorageFull
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
rows = ({"id": f"{i * 7919:x}", "sha256": f"{i ** 9:064x}"} for i in range(int(sys.argv[3])))
try:
    write_rows(Path(sys.argv[2]), rows, names=[])
except StorageFull as error:
    print(error)
"""


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("rows", [5_000, 60_000], ids=["found-at-the-end", "found-on-the-way"])
def test_on_a_full_disk_the_old_file_stays(tmp_path: Path, ending: str, rows: int):
    path = tmp_path / f"x{ending}"
    path.write_text("old")
    command = [sys.executable, "-B", "-W", "error", "-c", _FULL_DISK, str(Path(__file__).parent), str(path), str(rows)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert (done.stdout, done.stderr) == (f"{path}: cannot be written (File too large)\n", "")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_stays_one_and_the_mode_is_that_of_any_new_file(tmp_path: Path):
    (tmp_path / "deep").mkdir()
    link = tmp_path / "x.csv"
    link.symlink_to("deep/y.csv")
    write(link, FAILED)
    (tmp_path / "other").touch()
    assert link.is_symlink()
    assert (tmp_path / "deep/y.csv").stat().st_mode == (tmp_path / "other").stat().st_mode
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["y.csv"]


@pytest.mark.parametrize(("ending", "most"), [(".jsonl", 2_000_000), (".csv", 2_000_000), (".parquet", 12_000_000)])
def test_memory_does_not_grow_with_the_rows(tmp_path: Path, ending: str, most: int):
    """By tracemalloc, of Python's part. 10,000 rows that are held are 7 MB; of Parquet, so many are, and no more."""
    count = 40_000 if ending == ".parquet" else 10_000
    check_output(tmp_path / f"x{ending}")  # what is imported does not count
    tracemalloc.start()
    try:
        write_rows(tmp_path / f"x{ending}", ({"id": f"{i}.jpg", "media": {"width": i}} for i in range(count)), names=[])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < most


# --- Before the work --------------------------------------------------------------------------------------------------

REFUSED = {
    "no-ending": ("x", "x: expected a name that ends in .jsonl, .csv, .parquet"),
    "other-ending": ("x.json", "x.json: expected a name that ends in"),
    "compressed": ("x.csv.gz", "expected a name that ends in"),
    "no-folder": ("absent/x.csv", "absent/x.csv: cannot be written (No such file or directory)"),
    "in-a-file": ("file/x.csv", "file/x.csv: cannot be written (Not a directory)"),
    "a-folder": ("folder.csv", "folder.csv: cannot be written (it is there, and not a file)"),
    "name-too-long": ("a" * 300 + ".csv", ".csv: cannot be written (File name too long)"),
}


@pytest.mark.parametrize(("name", "expected"), REFUSED.values(), ids=REFUSED)
@pytest.mark.parametrize("ask", [check_output, lambda path: write_rows(path, [], names=[])], ids=["check", "write"])
def test_what_cannot_be_written_is_told(tmp_path: Path, name: str, expected: str, ask: Any):
    (tmp_path / "file").touch()
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(InvalidSetting) as caught:
        ask(tmp_path / name)
    assert expected in caught.value.message


@pytest.mark.parametrize("ending", ENDINGS)
def test_what_can_be_written_is_checked_without_a_trace(tmp_path: Path, ending: str):
    (tmp_path / f"x{ending}").write_text("old")
    check_output(tmp_path / f"x{ending}", ["open_nsfw"])
    check_output(tmp_path / f"y{ending}")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [(f"x{ending}", "old")]


def test_a_model_that_is_called_as_a_column_is_refused(tmp_path: Path):
    with pytest.raises(InvalidSetting, match="has the name of a column \\(open_nsfw, width\\)"):
        check_output(tmp_path / "x.csv", ["open_nsfw", "width"])


_WITHOUT_PYARROW = """
import sys
sys.modules["pyarrow"] = None
from pathlib import Path
from demure.bulk.output import check_output
from demure.errors import InvalidSetting
check_output(Path(sys.argv[1] + ".csv"))
try:
    check_output(Path(sys.argv[1] + ".parquet"))
except InvalidSetting as error:
    print(error)
"""


def test_without_pyarrow_it_is_said_how_to_get_it(tmp_path: Path):
    command = [sys.executable, "-B", "-c", _WITHOUT_PYARROW, str(tmp_path / "x")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "Parquet needs pyarrow: pip install -r requirements/parquet.txt, in the clone\n"


def test_pyarrow_is_loaded_for_parquet_alone(tmp_path: Path):
    program = "import sys; from pathlib import Path; from demure.bulk.output import check_output; check_output(Path(sys.argv[1])); print('pyarrow' in sys.modules)"
    for ending, loaded in ((".csv", "False\n"), (".jsonl", "False\n"), (".parquet", "True\n")):
        command = [sys.executable, "-B", "-c", program, str(tmp_path / f"x{ending}")]
        assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == loaded


def test_numbers_keep_their_digits(tmp_path: Path):
    value = 0.1234567
    (row,) = cells(write(tmp_path / "x.csv", a_row("a", score=value)))
    assert math.isclose(float(row["score"]), value, rel_tol=0, abs_tol=0)
    assert parquet.read_table(write(tmp_path / "x.parquet", a_row("a", score=value)))["score"].to_pylist() == [value]
