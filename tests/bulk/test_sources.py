"""What is to be scanned: real folders, links and lists; os.walk, find and bash say what is in them."""

from __future__ import annotations

import csv
import io
import json
import logging
import os
import random
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import BinaryIO

import pytest

from demure.bulk.output import write_rows
from demure.bulk.patterns import Pattern
from demure.bulk.sources import list_sources
from demure.errors import InvalidList, SourceNotFound


def files(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"an image, or so")
    return folder


def write(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def below(folder: Path, **options: list[str]) -> list[str]:
    return sorted(os.path.relpath(path, folder) for path in list_sources([str(folder)], **options))


def messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


# --- Folders ----------------------------------------------------------------------------------------------------------


def test_a_folder_is_all_files_that_walking_finds_below_it(tmp_path: Path):
    pick = random.Random(1)
    names = ["/".join(pick.choices("abcde", k=pick.randint(1, 6))) + str(number) for number in range(300)]
    folder = files(tmp_path / "uploads", *names)
    (folder / "empty/too").mkdir(parents=True)
    walked = [f"{at}/{name}" for at, _, found in os.walk(folder) for name in found]
    assert len(walked) == 300
    assert sorted(list_sources([str(folder)])) == sorted(walked)


@pytest.mark.parametrize("given", ["uploads", "uploads/", "./uploads//", "uploads/."])
def test_a_path_is_the_same_however_its_folder_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str):
    """So that a scan that is resumed knows its images again."""
    files(tmp_path, "uploads/2019/a.jpg")
    monkeypatch.chdir(tmp_path)
    assert list(list_sources([given])) == ["uploads/2019/a.jpg"]


JUNK = [".DS_Store", "a/Thumbs.db", "desktop.ini", ".git/config", "a/@eaDir/a.jpg", "__MACOSX/a.jpg", "a/._b.jpg"]


@pytest.mark.parametrize("name", JUNK)
def test_hidden_files_and_what_systems_leave_there_are_no_images(tmp_path: Path, name: str):
    assert below(files(tmp_path, name, "a.jpg")) == ["a.jpg"]
    assert list(list_sources([f"{tmp_path}/**"])) == [f"{tmp_path}/a.jpg"]


def test_links_are_followed_to_files_inside_only(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    folder = files(tmp_path / "uploads", "a.jpg", "deep/b.jpg")
    outside = files(tmp_path / "outside", "c.jpg")
    (folder / "inside.jpg").symlink_to("deep/b.jpg")
    (folder / "up.jpg").symlink_to("../outside/c.jpg")
    (folder / "out").symlink_to(outside)
    (folder / "deep/round").symlink_to(folder)
    (folder / "deeper").symlink_to("deep")
    (folder / "nowhere.jpg").symlink_to("nothing.jpg")
    (folder / "itself.jpg").symlink_to("itself.jpg")
    sources = list_sources([str(folder)])
    assert sorted(sources) == [f"{folder}/{name}" for name in ("a.jpg", "deep/b.jpg", "inside.jpg")]
    assert sources.links == 6
    assert messages(caplog) == ["6 links were not followed: they lead out of the folder, to a folder or nowhere"]


def test_a_folder_that_is_given_may_be_a_link(tmp_path: Path):
    files(tmp_path, "releases/42/a.jpg")
    (tmp_path / "current").symlink_to("releases/42")
    assert below(tmp_path / "current") == ["a.jpg"]


def test_a_pipe_is_not_waited_for(tmp_path: Path):
    os.mkfifo(files(tmp_path, "a.jpg") / "pipe.jpg")
    assert below(tmp_path) == ["a.jpg"]


@pytest.fixture
def broken(tmp_path: Path) -> Iterator[Path]:
    """A tree with a folder deep enough that its path is longer than a path may be: nobody can read that, root neither."""
    folder = files(tmp_path / "uploads", "a/1.jpg", "z/2.jpg", "3.jpg")
    names = ["n" * 250] * 20
    here = os.open(folder, os.O_RDONLY)
    for name in names:
        os.mkdir(name, dir_fd=here)
        here, last = os.open(name, os.O_RDONLY, dir_fd=here), here
        os.close(last)
    os.close(here)
    yield folder
    subprocess.run(["rm", "-rf", str(folder)], check=True)


def test_a_folder_in_the_middle_that_cannot_be_read_loses_nothing_else(broken: Path, caplog: pytest.LogCaptureFixture):
    sources = list_sources([str(broken)])
    assert sorted(sources) == [f"{broken}/{name}" for name in ("3.jpg", "a/1.jpg", "z/2.jpg")]
    assert sources.unread == 1
    first, last = messages(caplog)
    assert first.startswith(f"'{broken}/nnn")
    assert first.endswith("cannot be read (File name too long)")
    assert last == "1 folders could not be read; their images are not in the listing"


_AS_NOBODY = """
import os, sys
from demure.bulk.sources import list_sources
from demure.errors import SourceNotFound
if os.geteuid() == 0:  # who may read everything
    os.setuid(65534)
sources = list_sources(["."])
print(*sources, sources.unread, sources.links)
for given in ("closed", "closed/*.jpg", "closed/1.jpg"):
    try:
        list_sources([given])
    except SourceNotFound as error:
        print(error)
"""


def test_a_folder_that_may_not_be_read_loses_nothing_else_and_may_not_be_given(tmp_path: Path):
    folder = files(tmp_path / "uploads", "closed/1.jpg", "open/2.jpg")
    (folder / "link.jpg").symlink_to("closed/1.jpg")
    folder.chmod(0o755)
    (folder / "closed").chmod(0)
    command = [sys.executable, "-B", "-c", _AS_NOBODY]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, timeout=60, check=True)
    (folder / "closed").chmod(0o700)
    refused = [f"{given}: cannot be read (Permission denied)" for given in ("closed", "closed/*.jpg", "closed/1.jpg")]
    assert done.stdout.splitlines() == ["./open/2.jpg 1 1", *refused]


@pytest.mark.parametrize(("depth", "found"), [(100, 2), (101, 1)], ids=["as-deep-as-may-be", "deeper"])
def test_folders_are_read_to_a_depth_of_a_hundred(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, depth: int, found: int
):
    folder = files(tmp_path, "a.jpg", "d/" * depth + "b.jpg")
    sources = list_sources([str(folder)])
    assert len(list(sources)) == found
    assert sources.unread == 2 - found
    assert [message for message in messages(caplog) if "it is 100 folders down; give it itself as well" in message] == (
        messages(caplog)[:1]
    )


def test_files_come_and_go_while_they_are_listed(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    folder = files(tmp_path, *(f"{number}/a.jpg" for number in range(10)))
    sources = list_sources([str(folder)])
    next(sources)
    subprocess.run(["rm", "-rf", *map(str, folder.iterdir())], check=True)
    assert len(list(sources)) < 10
    assert (sources.unread, messages(caplog)) == (0, [])


def test_a_listing_that_is_closed_leaves_no_folder_open(tmp_path: Path):
    """Warnings are errors: an iterator over a folder that is not closed makes one."""
    folder = files(tmp_path, "a/b/c/1.jpg", "a/b/c/2.jpg")
    before = len([*Path("/proc/self/fd").iterdir()])
    sources = list_sources([str(folder), f"{folder}/**"])
    next(sources)
    sources.close()
    del sources
    assert len([*Path("/proc/self/fd").iterdir()]) == before


# --- Patterns ---------------------------------------------------------------------------------------------------------

TREE = ["a.jpg", "a.png", "B.JPG", "x/a.jpg", "x/y/b.jpg", "x/y/c.gif", "thumbs/a.jpg", "x/thumbs/a.jpg", "[1].jpg"]
GLOBS = {
    "all-jpegs": "**/*.jpg",
    "here": "*.jpg",
    "one-down": "*/*.jpg",
    "below-a-folder": "x/**/*.jpg",
    "in-the-middle": "x/**/a.jpg",
    "two-stars-in-a-name": "x**/a.jpg",
    "question": "?.jpg",
    "one-of": "[ab].*",
    "none-of": "[!a].*",
    "range": "x/[x-z]/*",
    "twice": "**/y/**/*.gif",
    "bracket": "[[]1].jpg",
}


@pytest.mark.parametrize("pattern", GLOBS.values(), ids=GLOBS)
def test_a_pattern_finds_the_files_that_bash_finds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pattern: str):
    monkeypatch.chdir(files(tmp_path, *TREE))
    script = f'shopt -s globstar nullglob; for f in {pattern}; do [ -f "$f" ] && printf \'%s\\n\' "$f"; done; true'
    found = subprocess.run(["bash", "-c", script], env={"LC_ALL": "C"}, capture_output=True, text=True, check=True)
    expected = found.stdout.splitlines()
    assert expected
    assert sorted(list_sources([pattern])) == sorted(expected)
    absolute = [f"{tmp_path}/{name}" for name in sorted(expected)]
    assert sorted(list_sources([f"{tmp_path}/{pattern}"])) == absolute


def test_a_pattern_that_finds_a_folder_takes_what_is_in_it(tmp_path: Path):
    """As if the shell had written them out, and each were given."""
    files(tmp_path, "2019/a/b.jpg", "2020/c.jpg", "other/d.jpg")
    assert [*map(os.path.basename, sorted(list_sources([f"{tmp_path}/20*"])))] == ["b.jpg", "c.jpg"]


def test_a_name_that_looks_like_a_pattern_is_a_name_if_it_is_there(tmp_path: Path):
    files(tmp_path, "[a].jpg", "a.jpg", "[b]/c.jpg")
    assert list(list_sources([f"{tmp_path}/[a].jpg"])) == [f"{tmp_path}/[a].jpg"]
    assert list(list_sources([f"{tmp_path}/[b]"])) == [f"{tmp_path}/[b]/c.jpg"]


def test_a_pattern_enters_only_folders_that_it_may_match_in(broken: Path):
    sources = list_sources([f"{broken}/[az]/*.jpg"])
    assert sorted(sources) == [f"{broken}/a/1.jpg", f"{broken}/z/2.jpg"]
    assert sources.unread == 0


MEANT = {
    "name": ("*.jpg", "a.jpg", True),
    "name-at-any-depth": ("*.jpg", "x/y/a.jpg", True),
    "capitals-count": ("*.jpg", "a.JPG", False),
    "whole-name": ("a", "ab", False),
    "slash-binds-to-the-folder": ("x/*.jpg", "y/x/a.jpg", False),
    "slash-in-front": ("/a.jpg", "a.jpg", True),
    "slash-in-front-binds": ("/a.jpg", "x/a.jpg", False),
    "star-is-no-slash": ("x/*.jpg", "x/y/a.jpg", False),
    "question-is-no-slash": ("x?a.jpg", "x/a.jpg", False),
    "set-is-no-slash": ("x[!b]a.jpg", "x/a.jpg", False),
    "all-below": ("thumbs/**", "thumbs/x/a.jpg", True),
    "all-below-is-at-the-top": ("thumbs/**", "x/thumbs/a.jpg", False),
    "folder-by-its-name": ("thumbs", "x/thumbs/y/a.jpg", True),
    "folder-with-a-slash": ("thumbs/", "thumbs/y/a.jpg", True),
    "no-names-between": ("x/**/a.jpg", "x/a.jpg", True),
    "many-names-between": ("x/**/a.jpg", "x/y/z/a.jpg", True),
    "two-stars-are-whole-names": ("x/**/a.jpg", "xy/a.jpg", False),
    "stars-that-must-look-back": ("**/x/**/x/a", "x/x/y/x/a", True),
    "stars-that-find-too-little": ("**/x/**/x/a", "y/x/a", False),
    "all": ("**", "x/a.jpg", True),
    "newline": ("*.jpg", "a\nb.jpg", True),
    "newline-at-the-end": ("*.jpg", "a.jpg\n", False),
    "not-utf8": ("\udcff?.jpg", "\udcff\udcfe.jpg", True),
}


@pytest.mark.parametrize(("pattern", "path", "expected"), MEANT.values(), ids=MEANT)
def test_what_a_pattern_means(tmp_path: Path, pattern: str, path: str, expected: bool):
    assert Pattern(pattern).matches(path) is expected
    folder = files(tmp_path, path, "other/file")
    assert (path in below(folder, include=[pattern])) is expected
    assert (path in below(folder, exclude=[pattern])) is not expected


def test_a_pattern_of_many_stars_takes_no_longer():
    assert not Pattern("/".join(["**", "*a*a*a*a*a*a*b"] * 20)).matches("/".join(["a" * 60] * 60))


def test_what_is_left_out_is_not_walked(broken: Path):
    for pattern in ("nnn*", "nnn*/**", "/nnn*"):
        sources = list_sources([str(broken)], exclude=[pattern])
        assert len(list(sources)) == 3
        assert sources.unread == 0


def test_include_and_exclude_choose_in_folders_patterns_and_lists_but_not_among_what_is_given(tmp_path: Path):
    folder = files(tmp_path / "uploads", "a.jpg", "b.png", "thumbs/c.jpg", "x/d.jpg")
    listed = write(tmp_path / "list.txt", "e.jpg\nthumbs/f.jpg\n./thumbs/g.jpg\nh.png\nhttps://example.org/i.jpg\n")
    given = [str(folder), f"{folder}/**", str(listed), str(folder / "b.png"), "https://example.org/x"]
    found = list(list_sources(given, include=["*.jpg"], exclude=["thumbs/**"]))
    assert sorted(found[:2]) == sorted(found[2:4]) == [f"{folder}/a.jpg", f"{folder}/x/d.jpg"]
    assert found[4:] == [f"{tmp_path}/e.jpg", "https://example.org/i.jpg", f"{folder}/b.png", "https://example.org/x"]


@pytest.mark.parametrize("pattern", ["", "/", ".", "../*.jpg", "x/../*.jpg"])
def test_a_pattern_that_means_nothing_is_told(tmp_path: Path, pattern: str):
    with pytest.raises(InvalidList, match="expected a pattern such as"):
        list_sources([str(tmp_path)], exclude=[pattern])


# --- Lists ------------------------------------------------------------------------------------------------------------

LISTS = {
    "txt": ("x.txt", "a.jpg\nb/c d.jpg\nhttps://example.org/a?b#c\n/abs/e.jpg\n"),
    "txt-windows": ("x.TXT", "\ufeffa.jpg\r\nb/c d.jpg\r\nhttps://example.org/a?b#c\r\n/abs/e.jpg"),
    "txt-comments": ("x.txt", "# of 2019\n\na.jpg\n  \nb/c d.jpg\n#\nhttps://example.org/a?b#c\n/abs/e.jpg\n"),
    "csv": ("x.csv", "path\na.jpg\nb/c d.jpg\nhttps://example.org/a?b#c\n/abs/e.jpg\n"),
    "csv-path-before-url-before-id": (
        "x.csv",
        "id,url,path\n1,http://x/,a.jpg\n2,,b/c d.jpg\n3,https://example.org/a?b#c,\n/abs/e.jpg,,\n",
    ),
    "csv-windows": (
        "x.csv",
        '\ufeff"Path",n\r\n"a.jpg",1\r\nb/c d.jpg,\r\nhttps://example.org/a?b#c,\r\n/abs/e.jpg,\r\n',
    ),
    "jsonl": (
        "x.jsonl",
        '{"path":"a.jpg","n":[1]}\n\n{"id":"b/c d.jpg"}\n{"url":"https://example.org/a?b#c","path":null}\n{"path":"/abs/e.jpg"}',
    ),
    "ndjson": (
        "x.ndjson",
        '{"id":"a.jpg"}\n{"id":"b/c d.jpg"}\n{"id":"https://example.org/a?b#c"}\n{"id":"/abs/e.jpg"}\n',
    ),
}


@pytest.mark.parametrize(("name", "text"), LISTS.values(), ids=LISTS)
def test_a_list_has_paths_that_begin_at_its_folder_and_urls(tmp_path: Path, name: str, text: str):
    found = list(list_sources([str(write(tmp_path / name, text))]))
    assert found == [f"{tmp_path}/a.jpg", f"{tmp_path}/b/c d.jpg", "https://example.org/a?b#c", "/abs/e.jpg"]


COLUMN = {
    "csv": ("x.csv", "path,File Name\na.jpg,b.jpg\n", "File Name"),
    "csv-small": ("x.csv", "path,File Name\na.jpg,b.jpg\n", " file name "),
    "json": ("x.jsonl", '{"path":"a.jpg","File Name":"b.jpg"}', "File Name"),
    "csv-id-before-path": ("x.csv", "path,id\na.jpg,b.jpg\n", "id"),
}


@pytest.mark.parametrize(("name", "text", "column"), COLUMN.values(), ids=COLUMN)
def test_another_column_can_be_named(tmp_path: Path, name: str, text: str, column: str):
    assert list(list_sources([str(write(tmp_path / name, text))], column=column)) == [f"{tmp_path}/b.jpg"]


@pytest.mark.parametrize("name", ["x.csv", "x.jsonl"])
def test_rows_without_a_value_are_counted_and_passed_over(tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str):
    rows = [("", ""), ("a.jpg", ""), (" ", ""), ("", "b.jpg")]
    path = tmp_path / name
    with path.open("w", newline="") as file:
        if name == "x.csv":
            csv.writer(file).writerows([("path", "id"), *rows])
        else:
            file.writelines(json.dumps({"path": one or None, "id": other}) + "\n" for one, other in rows)
    sources = list_sources([str(path)])
    assert list(sources) == [f"{tmp_path}/a.jpg", f"{tmp_path}/b.jpg"]
    assert sources.empty == 2
    assert messages(caplog) == ["2 rows of lists have no path or URL and were passed over"]


def stdin(data: bytes | BinaryIO) -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(data) if isinstance(data, bytes) else data, encoding="utf-8")


def test_standard_input_has_lines_that_begin_here():
    lines = stdin(b"a.jpg\n\n# no\n/b/c.jpg\r\nhttps://example.org/\n./#1.jpg\n\xff.jpg")
    expected = ["a.jpg", "/b/c.jpg", "https://example.org/", "./#1.jpg", os.fsdecode(b"\xff.jpg")]
    assert list(list_sources(["-"], stdin=lines)) == expected
    assert list(list_sources(["-"], stdin=io.StringIO("a.jpg\nb.jpg"))) == ["a.jpg", "b.jpg"]


def test_sources_come_in_the_order_given_and_images_as_they_are_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(files(tmp_path, "z/1.jpg", "./b.jpg"))
    write(tmp_path / "x.txt", "c.jpg\n")
    given = [".//b.jpg", "z", "HTTPS://example.org/%20", "x.txt", "-", "b.jpg"]
    expected = [".//b.jpg", "z/1.jpg", "HTTPS://example.org/%20", "c.jpg", "d.jpg", "b.jpg"]
    assert list(list_sources(given, stdin=stdin(b"d.jpg\n"))) == expected


# --- Names ------------------------------------------------------------------------------------------------------------

NAMES = [
    "a.jpg",
    " a .jpg ",
    "a\nb.jpg",
    "a\r",
    "=1+1.jpg",
    "-a.jpg",
    "a\\b.jpg",
    "\\xff.jpg",
    'a,"b".jpg',
    "ä\U0001f600.jpg",
    "http:",
    os.fsdecode(b"\xff\xfe.jpg"),
    os.fsdecode(b"caf\xe9/\x1b.jpg"),
    os.fsdecode(bytes(byte for byte in range(1, 256) if byte != 0x2F)),
]


@pytest.mark.parametrize("ending", [".jsonl", ".csv"])
def test_a_name_goes_through_a_row_and_back_to_the_same_file(tmp_path: Path, ending: str):
    """The folder's files to a scan's rows; these, as a list, to the same files."""
    folder = files(tmp_path / os.fsdecode(b"\xe9"), *NAMES)
    found = sorted(list_sources([str(folder)]))
    assert found == sorted(f"{folder}/{name}" for name in NAMES)
    out = tmp_path / f"out{ending}"
    write_rows(out, ({"id": source} for source in found), names=["open_nsfw"])
    again = list(list_sources([str(out)]))
    assert again == found
    assert all(Path(one).samefile(other) for one, other in zip(again, found, strict=True))


def test_a_list_that_find_wrote_has_names_of_any_bytes(tmp_path: Path):
    folder = files(tmp_path / "uploads", *(name for name in NAMES if "\n" not in name and not name.endswith("\r")))
    with (tmp_path / "x.txt").open("wb") as file:
        subprocess.run(["find", "uploads", "-type", "f"], cwd=tmp_path, stdout=file, check=True)
    found = list(list_sources([str(tmp_path / "x.txt")]))
    assert sorted(found) == sorted(list_sources([str(folder)]))


def test_a_backslash_in_a_list_that_is_no_scans_is_a_backslash(tmp_path: Path):
    path = write(tmp_path / "x.csv", "id,path\n1,\\x41.jpg\n")
    assert list(list_sources([str(path)])) == [f"{tmp_path}/\\x41.jpg"]


# --- What cannot be ---------------------------------------------------------------------------------------------------

WRONG = {
    "absent": ("absent", "absent: no such file or folder"),
    "absent-in-a-file": ("x.jpg/a", "x.jpg/a: no such file or folder"),
    "empty": ("", "'': no such file or folder"),
    "nul": ("a\0b", "no such file or folder"),
    "name-too-long": ("a" * 300, "aaa: cannot be read (File name too long)"),
    "pipe": ("pipe", "pipe: it is neither a file nor a folder"),
    "pattern-without-a-file": ("*.webp", "*.webp: no file matches, of those that are not hidden"),
    "pattern-without-a-folder": ("absent/*.jpg", "absent: cannot be read (No such file or directory)"),
    "pattern-in-a-file": ("x.jpg/*.jpg", "x.jpg: cannot be read (Not a directory)"),
    "pattern-of-hidden-files": (".h*", ".h*: no file matches, of those that are not hidden"),
}


@pytest.mark.parametrize(("given", "expected"), WRONG.values(), ids=WRONG)
def test_what_is_not_there_is_told_before_the_first_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str, expected: str
):
    monkeypatch.chdir(files(tmp_path, "x.jpg", ".hidden.jpg"))
    os.mkfifo("pipe")
    with pytest.raises(SourceNotFound) as caught:
        list_sources(["x.jpg", given])
    assert expected in caught.value.message


WRONG_LISTS = {
    "csv-column": (
        "x.csv",
        "name,n\na.jpg,1\n",
        None,
        "line 2: expected a column path or url or id, found 'name,n'; name",
    ),
    "csv-column-named": ("x.csv", "path\na.jpg\n", "file", "line 1: expected a column file, found 'path'"),
    "json-column": ("x.jsonl", '{"name":"a"}', None, "line 1: expected a column path or url or id, found 'name'; name"),
    "json-column-named": ("x.jsonl", '{"path":"a"}', "file", "line 1: expected a column file, found 'path'"),
    "json-no-text": ("x.jsonl", '{"path":["a"]}', None, "line 1: path: expected text, found ['a']"),
    "json-broken": ("x.jsonl", '{"path"', None, "line 1: expected a JSON object"),
    "json-half-a-pair": ("x.jsonl", '{"path":"\\ud800.jpg"}', None, "line 1: expected a file's name, found half of"),
    "csv-not-utf8": ("x.csv", b"path\n\xff.jpg\n", None, "line 2: expected UTF-8"),
    "txt-utf16": ("x.txt", "a.jpg\n".encode("utf-16"), None, "line 1: expected one path or URL a line, in UTF-8"),
    "txt-nul": ("x.txt", b"a.jpg\0b.jpg\0", None, "line 1: expected one path or URL a line, in UTF-8"),
    "txt-endless": ("x.txt", "a" * 65_536, None, "line 1: expected one path or URL a line, in UTF-8, found 'aaa"),
}


@pytest.mark.parametrize(("name", "text", "column", "expected"), WRONG_LISTS.values(), ids=WRONG_LISTS)
def test_a_wrong_list_is_told_before_the_first_image(
    tmp_path: Path, name: str, text: str | bytes, column: str | None, expected: str
):
    path = write(tmp_path / name, text)
    with pytest.raises(InvalidList) as caught:
        list_sources([str(files(tmp_path / "uploads", "a.jpg")), str(path)], column=column)
    assert caught.value.message.startswith(f"{path}, {expected}")
    assert len(caught.value.message) < len(str(path)) + 200


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("x.jsonl", '{"id":"a"}\n{"n":1}\n', "line 2: expected a column path or url or id"),
        ("x.csv", 'id\na\n"b\n', "line 3: cannot be read as CSV"),
        ("x.txt", "a\nb\0\n", "line 2: expected one path"),
    ],
)
def test_a_wrong_line_is_told_where_it_is_reached(tmp_path: Path, name: str, text: str, expected: str):
    sources = list_sources([str(write(tmp_path / name, text))])
    assert next(sources) == f"{tmp_path}/a"
    with pytest.raises(InvalidList, match=expected):
        next(sources)


def test_a_line_that_is_as_long_as_may_be_is_read():
    name = "a" * 65_534
    assert list(list_sources(["-"], stdin=stdin(f"{name}\n{name}\n".encode()))) == [name, name]


def test_an_empty_list_and_an_empty_folder_are_no_error(tmp_path: Path):
    given = [write(tmp_path / name, "") for name in ("x.txt", "x.csv", "x.jsonl")]
    (tmp_path / "folder").mkdir()
    assert list(list_sources([*map(str, given), str(tmp_path / "folder")])) == []


def test_standard_input_is_read_once():
    with pytest.raises(InvalidList, match="- is there twice"):
        list_sources(["-", "-"], stdin=stdin(b""))


# --- Memory -----------------------------------------------------------------------------------------------------------


def make_list(path: Path, count: int) -> Path:
    shape = '{{"path":"{}/{}.jpg"}}\n' if path.suffix == ".jsonl" else "{}/{}.jpg\n"
    with path.open("w") as file:
        file.write("path\n" if path.suffix == ".csv" else "")
        file.writelines(shape.format(number % 1000, number) for number in range(count))
    return path


@pytest.mark.parametrize(("name", "count"), [("x.txt", 60_000), ("-", 60_000), ("x.csv", 40_000), ("x.jsonl", 40_000)])
def test_memory_does_not_grow_with_a_list(tmp_path: Path, name: str, count: int):
    """By tracemalloc, over the second half; 20,000 paths that are held are 2 MB and more."""
    path = make_list(tmp_path / ("x.txt" if name == "-" else name), count)
    with path.open("rb") as lines:
        sources = list_sources(["-"] if name == "-" else [str(path)], stdin=stdin(lines))
        assert sum(1 for _ in islice(sources, count // 2)) == count // 2
        tracemalloc.start()
        try:
            assert sum(1 for _ in sources) == count // 2
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert peak < 1_000_000


_FLAT_FOLDER = """
import resource, sys
from demure.bulk.sources import list_sources
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
sources = list_sources(sys.argv[1:])
next(sources)
before = peak()
print(1 + sum(1 for _ in sources), peak() - before)
"""


def test_memory_does_not_grow_with_a_flat_folder(tmp_path: Path):
    """30,000 names, which are links to one file for speed; held, they are 4 MB and more."""
    first = files(tmp_path / "uploads", "0").joinpath("0")
    for number in range(1, 30_000):
        os.link(first, tmp_path / "uploads" / f"{number:0100}")
    command = [sys.executable, "-B", "-c", _FLAT_FOLDER, str(tmp_path / "uploads")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    count, grown_kib = map(int, done.stdout.split())
    assert count == 30_000
    assert grown_kib < 1500
