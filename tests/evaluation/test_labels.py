"""A site's labels, from a folder, a list of images, or a list that has scores already; and what is wrong with a line."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from pictures import EXAMPLE, encode, gradient

from demure.errors import InvalidLabels
from demure.evaluation.labelled import LabelledSet
from demure.evaluation.labels import FOLDER, LabelledImages, read_labels
from demure.pipeline import Screener

SCORES = "drawings,hentai,neutral,porn,sexy,open_nsfw"
HEX = "0123456789abcdef" * 4


def read(path: Path, **options: object) -> LabelledImages | LabelledSet:
    return read_labels(path, **{"model": "mine", "witnesses": ["open_nsfw", "redness"], **options})


def files(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"an image, or so")
    return folder


def found(labels: LabelledImages, folder: Path) -> list[tuple[str, bool]]:
    return [
        (os.path.relpath(source, folder), bool(adult))
        for source, adult in zip(labels.sources, labels.is_adult, strict=True)
    ]


# --- Folders ----------------------------------------------------------------------------------------------------------


def test_a_folder_is_read_below_adult_and_safe_in_the_order_of_names(tmp_path: Path):
    names = [
        "safe/b.png",
        "adult/z.jpg",
        "adult/deep/down/a",
        "adult/a.txt",
        "safe/a/c.gif",
        "elsewhere/x.jpg",
        "y.jpg",
    ]
    random.Random(1).shuffle(names)
    labels = read(files(tmp_path, *names))
    assert found(labels, tmp_path) == [
        ("adult/a.txt", True),
        ("adult/deep/down/a", True),
        ("adult/z.jpg", True),
        ("safe/a/c.gif", False),
        ("safe/b.png", False),
    ]
    assert labels.groups is None


JUNK = [
    "adult/.DS_Store",
    "safe/Thumbs.db",
    "safe/desktop.ini",
    "adult/.git/config",
    "safe/@eaDir/a.jpg",
    "safe/._b.jpg",
]


@pytest.mark.parametrize("name", JUNK)
def test_hidden_files_and_what_systems_leave_there_are_no_images(tmp_path: Path, name: str):
    assert found(read(files(tmp_path, name, "safe/a.jpg")), tmp_path) == [("safe/a.jpg", False)]


def test_links_out_of_the_folder_are_not_followed_and_that_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    folder = files(tmp_path / "labelled", "adult/a.jpg", "safe/b.jpg")
    outside = files(tmp_path / "outside", "c.jpg")
    (folder / "adult/inside.jpg").symlink_to("a.jpg")
    (folder / "adult/out.jpg").symlink_to(outside / "c.jpg")
    (folder / "adult/out").symlink_to(outside)
    (folder / "adult/round").symlink_to(folder)
    (folder / "safe/nowhere.jpg").symlink_to("nothing.jpg")
    assert found(read(folder), folder) == [("adult/a.jpg", True), ("adult/inside.jpg", True), ("safe/b.jpg", False)]
    assert [record.getMessage() for record in caplog.records] == [
        f"{folder}: 4 links were not followed: they lead out of the folder, to a folder or nowhere"
    ]
    empty = files(tmp_path / "empty", "x.jpg")
    (empty / "adult").symlink_to(outside)
    with pytest.raises(InvalidLabels, match="no images.* 1 links were not followed"):
        read(empty)


def test_a_pipe_is_not_waited_for(tmp_path: Path):
    folder = files(tmp_path, "safe/a.jpg")
    os.mkfifo(folder / "safe/pipe.jpg")
    assert found(read(folder), folder) == [("safe/a.jpg", False)]


def test_names_need_not_be_text(tmp_path: Path):
    folder = tmp_path / "safe" / "d"
    folder.mkdir(parents=True)
    (folder / os.fsdecode(b"\xff.jpg")).write_bytes(b"")
    (source,) = read(tmp_path).sources
    assert os.fsencode(source).endswith(b"d/\xff.jpg")
    assert Path(source).exists()


def test_the_first_folder_below_is_the_group(tmp_path: Path):
    labels = read(files(tmp_path, "adult/chat/x/a.jpg", "adult/b.jpg", "safe/avatar/c.jpg"), group=FOLDER)
    assert labels.groups == ["—", "chat", "avatar"]
    with pytest.raises(InvalidLabels, match="--group folder"):
        read(tmp_path, group="context")


def test_one_class_is_allowed_and_no_image_is_not(tmp_path: Path):
    assert bytes(read(files(tmp_path / "one", "adult/a.jpg")).is_adult) == b"\1"
    (tmp_path / "none/adult").mkdir(parents=True)
    (tmp_path / "none/safe").mkdir()
    with pytest.raises(InvalidLabels, match="none: no images; expected some in its folders adult and safe$"):
        read(tmp_path / "none")


# --- Lists of images --------------------------------------------------------------------------------------------------


def write(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def json_lines(rows: Iterable[object]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


IMAGES = {
    "csv": ("x.csv", "path,label\na.jpg,adult\nb/c.png,safe\n"),
    "order-and-more-columns": ("x.csv", "label,note,path\nadult,,a.jpg\nsafe,x,b/c.png\n"),
    "windows": ("x.csv", "path,label\r\na.jpg,adult\r\nb/c.png,safe"),
    "bom": ("x.csv", "\ufeffpath,label\na.jpg,adult\nb/c.png,safe\n"),
    "capitals-and-spaces": ("x.CSV", " Path , LABEL\na.jpg, Adult\nb/c.png,SAFE \n"),
    "empty-lines": ("x.csv", "path,label\n\na.jpg,adult\n\nb/c.png,safe\n\n"),
    "quoted": ("x.csv", '"path","label"\n"a.jpg","adult"\n"b/c.png","safe"\n'),
    "json": ("x.jsonl", '{"path":"a.jpg","label":"adult"}\n\n{"label":"safe","path":"b/c.png","more":[1]}'),
    "json-bom": ("x.ndjson", '\ufeff{"path":"a.jpg","label":"adult"}\r\n{"label":"safe","path":"b/c.png"}\r\n'),
}


@pytest.mark.parametrize(("name", "text"), IMAGES.values(), ids=IMAGES)
def test_a_list_of_paths_begins_at_its_own_folder(tmp_path: Path, name: str, text: str):
    labels = read(write(tmp_path / name, text))
    assert (labels.sources, bytes(labels.is_adult), labels.folder) == (["a.jpg", "b/c.png"], b"\1\0", tmp_path)


def test_a_list_may_have_urls_and_names_with_commas(tmp_path: Path):
    text = 'url,path,label\nhttps://example.org/a?b,,adult\n,"b, ""c"".jpg",safe\nHTTP://example.org/,,safe\n'
    assert read(write(tmp_path / "x.csv", text)).sources == [
        "https://example.org/a?b",
        'b, "c".jpg',
        "HTTP://example.org/",
    ]


def test_a_column_parts_the_images_into_groups(tmp_path: Path):
    labels = read(write(tmp_path / "x.csv", "path,label,Context\na,safe,chat\nb,safe,\n"), group="context")
    assert labels.groups == ["chat", "—"]
    rows = [
        {"path": "a", "label": "safe", "n": 7},
        {"path": "b", "label": "safe"},
        {"path": "c", "label": "safe", "n": None},
    ]
    assert read(write(tmp_path / "x.jsonl", json_lines(rows)), group="n").groups == ["7", "—", "—"]


# --- Lists that have scores -------------------------------------------------------------------------------------------


def test_scores_go_into_columns(tmp_path: Path):
    text = f"id,label,{SCORES}\nx,adult,0,0.1,0.2,0.3,0.4,0.5\n,safe,1,0.25,.5,1e-3,0,1\n"
    labels = read(write(tmp_path / "x.csv", text))
    assert (labels.models, labels.witnesses) == (("mine",), ("open_nsfw",))
    assert labels.scores["mine"]["porn"].tolist() == [0.3, 0.001]
    assert labels.scores["mine"]["drawings"].tolist() == [0, 1]
    assert labels.scores["open_nsfw"]["open_nsfw"].tolist() == [0.5, 1]
    assert labels.is_adult.tolist() == [True, False]
    assert labels.first_row.tolist() == [0, 1]
    assert (labels.ids, labels.sha256s, labels.groups) == (["x", "line 3"], [None, None], None)
    assert labels.gathering.near_copies is None


def test_witnesses_may_come_alone_and_unknown_columns_are_nothing(tmp_path: Path):
    labels = read(write(tmp_path / "x.csv", "label,redness,nonsense\nadult,0.5,x\n"))
    assert (labels.models, labels.witnesses) == ((), ("redness",))


def test_the_answers_of_classify_are_read_as_they_are(tmp_path: Path):
    """Two images that were judged, of which one is too small, and one that was not."""
    screener = Screener()
    sources = [EXAMPLE, encode(gradient(31, 300), "PNG"), encode(gradient(32, 300), "PNG"), b"no image"]
    answers = [screener.screen(source, id=f"{i}.jpg").as_dict() for i, source in enumerate(sources)]
    path = write(tmp_path / "x.jsonl", json_lines({**answer, "label": "safe"} for answer in reversed(answers)))
    labels = read(path, model="mobilenet_v2_140")
    expected = answers[2::-1]
    assert labels.ids == [answer["id"] for answer in expected]
    assert labels.sha256s == [answer["sha256"] for answer in expected]
    for name in answers[0]["scores"]:
        assert labels.scores["mobilenet_v2_140"][name].tolist() == [answer["scores"][name] for answer in expected]
    assert labels.scores["open_nsfw"]["open_nsfw"].tolist() == [a["witnesses"]["open_nsfw"] for a in expected]
    assert labels.is_small.tolist() == [False, True, False]
    assert labels.gathering.failures == {"not_an_image": 1}


@pytest.mark.parametrize("column", ["sha256", "id", "path", "url"], ids=["by-hash", "by-id", "by-path", "by-url"])
def test_what_comes_twice_counts_once_and_what_stands_under_both_labels_not_at_all(tmp_path: Path, column: str):
    a, b, c, d = (HEX[i:] + HEX[:i] for i in range(4)) if column == "sha256" else (f"http://{x}" for x in "abcd")
    lines = [
        (a, "adult", 0.1),
        (b, "safe", 0.2),
        (a, "adult", 0.3),
        (c, "adult", 0.4),
        (c, "safe", 0.5),
        (d, "safe", 0.6),
    ]
    lines += [
        (c, "adult", 0.7),
        ("", "safe", 0.8),
        ("", "safe", 0.8),
        (a.upper() if column == "sha256" else a, "adult", 1),
    ]
    text = f"{column},label,redness,where\n" + "".join(f"{k},{label},{score},{score}\n" for k, label, score in lines)
    labels = read(write(tmp_path / "x.csv", text), group="where")
    assert labels.scores["redness"]["redness"].tolist() == [0.1, 0.2, 0.6, 0.8, 0.8]
    assert labels.is_adult.tolist() == [True, False, False, False, False]
    assert labels.groups == ["0.1", "0.2", "0.6", "0.8", "0.8"]
    assert labels.gathering.duplicates == 2
    named = ["line 5", "line 6", "line 8"] if column == "sha256" else [c, c, c]
    assert labels.gathering.contradictions == tuple(named)


def test_a_hash_says_more_than_a_name(tmp_path: Path):
    text = f"id,sha256,label,redness\nx,{HEX},safe,0\nx,{HEX[::-1]},safe,0\ny,{HEX},safe,0\n"
    labels = read(write(tmp_path / "x.csv", text))
    assert (labels.ids, labels.gathering.duplicates) == (["x", "x"], 1)


def test_a_hundred_thousand_rows_are_read(tmp_path: Path):
    values = np.round(np.random.default_rng(1).random((100_000, 6)), 6)
    with (tmp_path / "x.csv").open("w") as file:
        file.write(f"label,{SCORES}\n")
        for i, row in enumerate(values):
            file.write(f"{'adult' if i % 3 == 0 else 'safe'},{','.join(map(str, row))}\n")
    labels = read(tmp_path / "x.csv")
    assert np.array_equal(labels.scores["mine"]["sexy"], values[:, 4])
    assert np.array_equal(labels.is_adult, np.arange(100_000) % 3 == 0)


# --- What is wrong with a line ----------------------------------------------------------------------------------------


HEAD = f"label,{SCORES}\n"
GOOD = "adult,0,0,0,1,0,1\n"
ROW = {"label": "safe", "drawings": 0, "hentai": 0, "neutral": 1, "porn": 0, "sexy": 0}
WRONG = {
    "scores of another model": (
        "x.csv",
        "label,drawings,hentai,neutral,porn,sexy,model\nsafe,0,0,1,0,0,mine\nsafe,0,0,1,0,0,other\n",
        r"line 3: model: expected mine, found 'other'; --model names another",
    ),
    "label-unknown": ("x.csv", "path,label\na,adult\nb,nsfw\n", "line 3: label: expected adult or safe, found 'nsfw'"),
    "label-empty": ("x.csv", "path,label\na,\n", "line 2: label: expected adult or safe, found ''"),
    "label-missing": ("x.jsonl", '{"path":"a"}', "line 1: label: expected adult or safe, found nothing"),
    "label-no-text": ("x.jsonl", '{"path":"a","label":1}', "line 1: label: expected adult or safe, found 1"),
    "label-column-missing": (
        "x.csv",
        "path,verdict\na,safe\n",
        "line 1: expected a column label, found 'path,verdict'",
    ),
    "semicolons": ("x.csv", "path;label\na;safe\n", "line 1: expected a column label, found 'path;label'"),
    "column-twice": (
        "x.csv",
        "label,path,Label\nsafe,a,safe\n",
        "line 1: expected different names, found 'label' twice",
    ),
    "key-twice": (
        "x.jsonl",
        '{"label":"safe","label":"adult"}',
        "line 1: expected a JSON object ('label' comes twice)",
    ),
    "too-few-fields": ("x.csv", "path,label\na,adult\nb\n", "line 3: expected 2 fields, as the header has, found 1"),
    "too-many-fields": ("x.csv", "path,label\na,b,adult\n", "line 2: expected 2 fields, as the header has, found 3"),
    "no-path": ("x.csv", "name,label\na,adult\n", "line 2: expected a path or a url, found 'name,label'"),
    "path-empty": ("x.csv", "path,label\n,adult\n", "line 2: expected a path or a url"),
    "url-is-none": ("x.csv", "url,label\na.jpg,adult\n", "line 2: url: expected http:// or https://, found 'a.jpg'"),
    "path-is-a-list": ("x.jsonl", '{"path":["a"],"label":"safe"}', "line 1: path: expected text, found ['a']"),
    "score-nan": (
        "x.csv",
        HEAD + GOOD + "safe,0,0,nan,0,0,0\n",
        "line 3: neutral: expected a number from 0 to 1, found 'nan'",
    ),
    "score-json-nan": (
        "x.jsonl",
        '{"label":"safe","redness":NaN}',
        "line 1: redness: expected a number from 0 to 1, found nan",
    ),
    "score-infinite": (
        "x.csv",
        HEAD + "safe,0,0,inf,0,0,0\n",
        "line 2: neutral: expected a number from 0 to 1, found 'inf'",
    ),
    "score-above": (
        "x.csv",
        HEAD + "safe,0,0,1.0001,0,0,0\n",
        "line 2: neutral: expected a number from 0 to 1, found '1.0001'",
    ),
    "score-below": ("x.csv", HEAD + "safe,0,0,-0.0001,0,0,0\n", "line 2: neutral: expected a number"),
    "score-percent": (
        "x.csv",
        HEAD + "safe,0,0,99,0,0,0\n",
        "line 2: neutral: expected a number from 0 to 1, found '99'",
    ),
    "score-empty": ("x.csv", HEAD + "safe,0,0,,0,0,0\n", "line 2: neutral: expected a number from 0 to 1, found ''"),
    "score-text": (
        "x.csv",
        HEAD + "safe,0,0,high,0,0,0\n",
        "line 2: neutral: expected a number from 0 to 1, found 'high'",
    ),
    "score-true": (
        "x.jsonl",
        '{"label":"safe","redness":true}',
        "line 1: redness: expected a number from 0 to 1, found True",
    ),
    "score-huge": (
        "x.jsonl",
        '{"label":"safe","redness":1' + "0" * 400 + "}",
        "line 1: redness: expected a number from 0 to 1",
    ),
    "category-missing": ("x.csv", "label,porn,sexy\nsafe,0,0\n", "or none; missing: drawings, hentai, neutral"),
    "later-row-lacks-one": (
        "x.jsonl",
        json_lines([{**ROW, "redness": 0}, ROW]),
        "line 2: redness: expected a number from 0 to 1, found nothing; every line needs the scores that the first has",
    ),
    "scores-are-no-object": (
        "x.jsonl",
        '{"label":"safe","scores":[0]}',
        "line 1: scores: expected an object, found [0]",
    ),
    "witness-unknown": (
        "x.jsonl",
        '{"label":"safe","scores":{},"witnesses":{"other":1}}',
        "or of a witness (open_nsfw, redness)",
    ),
    "only-remembered": (
        "x.jsonl",
        '{"label":"safe","scores":null,"witnesses":null}',
        "line 1: expected scores of drawings",
    ),
    "only-errors": ("x.jsonl", '{"label":"safe","scores":null,"error":{"code":"too_large"}}', "(too_large, …)"),
    "hash-short": (
        "x.csv",
        f"label,sha256,redness\nsafe,{HEX[1:]},0\n",
        "line 2: sha256: expected 64 hexadecimal digits",
    ),
    "hash-letters": (
        "x.csv",
        f"label,sha256,redness\nsafe,g{HEX[1:]},0\n",
        "line 2: sha256: expected 64 hexadecimal digits",
    ),
    "not-utf8": (
        "x.csv",
        b"path,label\n\xe9.jpg,safe\n",
        "line 2: expected UTF-8 (invalid continuation byte at byte 1)",
    ),
    "utf16": ("x.csv", "path,label\na,safe\n".encode("utf-16"), "line 1: expected UTF-8"),
    "utf16-json": ("x.jsonl", '{"label":"safe"}'.encode("utf-16"), "line 1: expected UTF-8"),
    "quote-open": ("x.csv", 'path,label\n"a,safe\nb,safe\n', "line 3: cannot be read as CSV (unexpected end of data)"),
    "quote-within": ("x.csv", 'path,label\n"a"b,safe\n', "line 2: cannot be read as CSV (',' expected after"),
    "line-endless": ("x.jsonl", b"[" * (1 << 21), "line 1: expected a line of text, found more than 1,048,576 bytes"),
    "field-endless": (
        "x.csv",
        'path,label\n"' + "a\n" * 100_000,
        "cannot be read as CSV (field larger than field limit",
    ),
    "json-cut": ("x.jsonl", json_lines([ROW]) + '{"label"', "line 2: expected a JSON object ("),
    "json-deep": ("x.jsonl", "[" * 100_000, "line 1: expected a JSON object ("),
    "json-list": ("x.jsonl", '["safe"]', "line 1: expected a JSON object, found ['safe']"),
    "empty-csv": ("x.csv", "", "no images; expected one a line"),
    "header-alone": ("x.csv", HEAD, "no images; expected one a line"),
    "empty-json": ("x.jsonl", "\n \n", "no images; expected one a line"),
    "ending": (
        "x.txt",
        "path,label\n",
        "expected a folder with adult and safe in it, or a file *.csv, *.jsonl, *.ndjson",
    ),
}


@pytest.mark.parametrize(("name", "text", "expected"), WRONG.values(), ids=WRONG)
def test_a_wrong_line_is_told_with_file_and_number(tmp_path: Path, name: str, text: str | bytes, expected: str):
    path = write(tmp_path / name, text)
    with pytest.raises(InvalidLabels) as caught:
        read(path)
    assert caught.value.message.startswith(f"{path}")
    assert expected in caught.value.message
    assert len(caught.value.message) < len(str(path)) + 250


def test_both_ends_of_a_score_are_allowed(tmp_path: Path):
    labels = read(write(tmp_path / "x.csv", "label,redness\nsafe,0\nsafe,1\nsafe,1.0\nsafe,-0.0\n"))
    assert labels.scores["redness"]["redness"].tolist() == [0, 1, 1, 0]


def test_a_file_that_is_not_there_or_not_a_file_is_told(tmp_path: Path):
    with pytest.raises(InvalidLabels, match="absent.csv: cannot be read \\(No such file"):
        read(tmp_path / "absent.csv")
    (tmp_path / "x.csv").mkdir()
    with pytest.raises(InvalidLabels, match="x.csv: no images"):
        read(tmp_path / "x.csv")


GROUPS = {
    "csv": ("x.csv", "path,label\na,safe\n", "line 1: expected a column context, found 'path,label'"),
    "csv-empty": ("x.csv", "path,label,context\na,safe,\n", "no line has a value of 'context'"),
    "csv-scores": ("x.csv", "redness,label,context\n0,safe,\n", "no line has a value of 'context'"),
    "json": ("x.jsonl", '{"path":"a","label":"safe"}', "no line has a value of 'context'"),
    "json-object": ("x.jsonl", '{"path":"a","label":"safe","context":{}}', "line 1: context: expected text, found {}"),
}


@pytest.mark.parametrize(("name", "text", "expected"), GROUPS.values(), ids=GROUPS)
def test_a_group_that_is_nowhere_is_told(tmp_path: Path, name: str, text: str, expected: str):
    with pytest.raises(InvalidLabels) as caught:
        read(write(tmp_path / name, text), group="context")
    assert expected in caught.value.message


def test_without_names_of_witnesses_the_bundled_ones_are_known(tmp_path: Path):
    path = write(tmp_path / "x.csv", "label,open_nsfw\nsafe,0.5\n")
    assert read_labels(path, model="mine").witnesses == ("open_nsfw",)
