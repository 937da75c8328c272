r"""The file that a scan writes: a row an image, as JSON Lines, CSV or Parquet by its ending, in one pass, whole or not at all.

JSON Lines has the item objects as they are, in ASCII. A byte of a name that is not UTF-8, ff say, stands there as PEP 383 has it,
as half of a surrogate pair, \udcff.

The other two are flat, and take no such half; and a spreadsheet takes a cell that begins with an = for a formula, whoever named
the image. So in their texts such a byte is written \xff, and a backslash \x5c; in CSV also a control, and what would begin a
formula. plain() undoes it, as `printf %b` does in a shell. A quote before the cell, as OWASP has it, would not do for bytes.
"""

from __future__ import annotations

import codecs
import csv
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

from demure.errors import InvalidSetting
from demure.files import check_place, new_draft
from demure.scores import Category

FIRST_COLUMNS = ("id", "sha256", "decision", "reason")
ROW_GROUP = 10_000  # rows of a Parquet file that are in memory at once

Row = Mapping[str, Any]  # Screening.as_dict()

_TEXT, _NUMBER, _COUNT, _FLAG = "string", "float64", "int32", "bool"  # as Arrow names them
_MEDIA = {"type": _TEXT, **dict.fromkeys(("width", "height", "frames", "sampled", "worst_frame"), _COUNT)}

_UNFIT = re.compile("[\\\\\ud800-\udfff]")
_UNFIT_IN_CSV = re.compile("[\\\\\ud800-\udfff\x00-\x1f\x7f]")  # controls too, so that a row is a line
# Narrow and wide, where a cell begins: OWASP, "CSV Injection". Where the comma is the decimal sign, Excel ends a cell at a ; and
# takes the quotes around the whole for text.
_FORMULA = re.compile("((?:^|[;|])[ \"']*)([=+\\-@\uff1d\uff0b\uff0d\uff20])")
_ESCAPED = re.compile(r"\\x([0-9a-f]{2})")


def check_output(path: Path, names: Sequence[str] = ()) -> None:
    """Before the work is done that the file is for. Raises InvalidSetting, with what to do, and StorageFull."""
    if _writer(path) is _write_parquet:
        _parquet()
    columns(names)
    check_place(path)


def write_rows(path: Path, rows: Iterable[Row], *, names: Sequence[str]) -> int:
    """Write all rows, in place of a file that is there; how many they were. `names` are the witnesses that have a column.

    Raises InvalidSetting for an ending that is none of ours and where the file cannot be written, and StorageFull. What `rows`
    raises passes; in either case there is no new file, and an old one stays.
    """
    write = _writer(path)
    order = columns(names)
    with new_draft(path) as file:
        return write(file, rows, order)


def columns(names: Sequence[str]) -> dict[str, str]:
    """The flat columns in their order, each with its Arrow type. Raises InvalidSetting for a name that is a column's already."""
    order = [
        *((name, _TEXT) for name in FIRST_COLUMNS),
        *((str(name), _NUMBER) for name in ("score", *Category, *names)),
        *_MEDIA.items(),
        ("remembered", _FLAG),
        ("review", _TEXT),
        ("error_code", _TEXT),
        ("error_message", _TEXT),
    ]
    if len({*dict(order)}) < len(order):
        raise InvalidSetting(
            f"a model has the name of a column ({', '.join(names)}): write a .jsonl, or rename the model"
        )
    return dict(order)


def spelled(text: str) -> str:
    """A name as Parquet and databases take it: text in Unicode."""
    return _UNFIT.sub(_escaped, text)


def plain(cell: str) -> str:
    """What a text of a CSV or Parquet file was before it was written: as os.fsdecode makes it."""
    raw = _ESCAPED.sub(lambda found: _text(bytes.fromhex(found[1])), cell)
    return _text(raw.encode("utf-8", "surrogateescape"))  # several bytes may be one character


# --- One writer a format: all rows to a file, in one pass ---------------------------------------------------------------


def _writer(path: Path) -> Callable[[BinaryIO, Iterable[Row], Mapping[str, str]], int]:
    writers = {".jsonl": _write_json, ".csv": _write_csv, ".parquet": _write_parquet}
    try:
        return writers[path.suffix.lower()]
    except KeyError:
        raise InvalidSetting(
            f"{path}: expected a name that ends in {', '.join(writers)}, which is the format"
        ) from None


def _write_json(file: BinaryIO, rows: Iterable[Row], _order: Mapping[str, str]) -> int:
    count = 0
    for count, row in enumerate(rows, 1):  # noqa: B007
        file.write(json.dumps(dict(row)).encode() + b"\n")
    return count


def _write_csv(file: BinaryIO, rows: Iterable[Row], order: Mapping[str, str]) -> int:
    lines = csv.writer(codecs.getwriter("utf-8")(file), lineterminator="\n")
    lines.writerow(order)
    count = 0
    for count, row in enumerate(rows, 1):  # noqa: B007
        lines.writerow([_cell(value) for value in _flat(row, order)])
    return count


def _write_parquet(file: BinaryIO, rows: Iterable[Row], order: Mapping[str, str]) -> int:
    pyarrow = _parquet()
    schema = pyarrow.schema([pyarrow.field(name, kind) for name, kind in order.items()])
    count, rows = 0, iter(rows)
    with pyarrow.parquet.ParquetWriter(file, schema) as writer:
        while group := [[_fit(value) for value in _flat(row, order)] for row in islice(rows, ROW_GROUP)]:
            values = [
                pyarrow.array(column, field.type)
                for column, field in zip(zip(*group, strict=True), schema, strict=True)
            ]
            writer.write_table(pyarrow.table(values, schema), ROW_GROUP)
            count += len(group)
    return count


def _parquet() -> Any:
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise InvalidSetting("Parquet needs pyarrow: pip install -r requirements/parquet.txt, in the clone") from error
    return pyarrow


# --- One row ------------------------------------------------------------------------------------------------------------


def _flat(row: Row, order: Iterable[str]) -> list[Any]:
    """The item object's values in the order of the columns, None where there is none."""
    error = row.get("error") or {}
    values = {
        **(row.get("witnesses") or {}),
        **(row.get("scores") or {}),
        **(row.get("media") or {}),
        **{name: row.get(name) for name in (*FIRST_COLUMNS, "score", "remembered")},
        "review": (row.get("review") or {}).get("id"),
        "error_code": error.get("code"),
        "error_message": error.get("message"),
    }
    return [values.get(name) for name in order]


def _cell(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        fit = _UNFIT_IN_CSV.sub(_escaped, value)
        return _FORMULA.sub(lambda found: found[1] + _escaped(found, 2), fit)
    return value


def _fit(value: Any) -> Any:
    return spelled(value) if isinstance(value, str) else value


def _escaped(found: re.Match[str], part: int = 0) -> str:
    character = found[part]
    is_byte = "\udc80" <= character <= "\udcff"
    raw = character.encode("utf-8", "surrogateescape" if is_byte else "surrogatepass")
    return "".join(f"\\x{byte:02x}" for byte in raw)


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")
