"""What may stand in a document, and what counts as the answer that it shows."""

from __future__ import annotations

from pathlib import Path

import pytest
from document_answers import difference, last_json, prints
from document_blocks import PAGES, ROOT, commands, faults, read_blocks


def page_of(folder: Path, text: str) -> Path:
    page = folder / "page.md"
    page.write_text(text)
    return page


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_has_only_blocks_that_somebody_runs_or_reads(page: Path):
    assert not faults(page)


FAULTS = {
    "no-language": ("```\nls\n```", "1: no language"),
    "indented": ("Run\n\n    ls\n", "3: an indented block"),
    "indented-in-a-list": ("* Run\n\n      ls\n", "3: an indented block"),
    "unknown-language": ("```ruby\nputs 1\n```", "nobody runs or reads 'ruby'"),
    "code-hidden-in-a-directive": ("```{code-block} sh\nls\n```", "nobody runs or reads '{code-block}'"),
    "no-reason": ("<!-- not run: too slow -->\n```sh\nls\n```", "'too slow' is no reason"),
    "unknown-directive": ("<!-- skip -->\n```sh\nls\n```", "unknown directive '<!-- skip -->'"),
    "directive-far-from-its-block": (
        "<!-- not run: needs root -->\n\n```sh\nls\n```",
        "1: '<!-- not run: needs root -->' stands",
    ),
    "directive-before-no-block": ("<!-- file: a.py -->\n", "1: '<!-- file: a.py -->' stands before no block"),
    "directive-before-text": (
        "<!-- continues -->\nGo on.\n\n```python\n1\n```",
        "1: '<!-- continues -->' stands before no block",
    ),
    "fails-with-what": ("<!-- fails -->\n```sh\nfalse\n```", "fails: say what is printed then"),
    "file-elsewhere": ("<!-- file: ../a.py -->\n```python\n1\n```", "is not below the page's folder"),
    "sh": ("```sh\nif true\n```", "sh: bash: line 2: syntax error"),
    "sh-not-run": ("<!-- not run: needs root -->\n```sh\nif true\n```", "sh: bash: line 2: syntax error"),
    "here-document": ("```sh\ncat <<EOF\na\n```", "here-document"),
    "console": ("```console\n$ echo 'a\n```", "console: bash: line 1: unexpected EOF"),
    "console-without-command": ("```console\na\n```", "begins with a command"),
    "python": ("```python\nif True\n```", "python: expected ':'"),
    "python-not-run": ("<!-- not run: needs root -->\n```python\nif True\n```", "python: expected ':'"),
    "python-in-a-file": ("<!-- file: a.py -->\n```python\nif True\n```", "python: expected ':'"),
    "json": ('```json\n{"a": …}\n```', "json: Expecting value"),
    "toml": ("```toml\na = \n```", "toml: Invalid value"),
    "yaml": ("```yaml\na: [1\n```", "yaml: while parsing"),
    "ini": ("```ini\n[Unit]\nDescription\n```", "ini: Source contains parsing errors"),
    "nginx-brace": ("```nginx\nserver {\n  listen 80;\n```", "nginx: braces do not match"),
    "nginx-semicolon": ("```nginx\nserver {\n  listen 80\n}\n```", "nginx: neither `;` nor a brace ends 'listen 80'"),
    "dockerfile": ("```dockerfile\nFROM a\nRUNN b\n```", "dockerfile: no instruction begins 'RUNN b'"),
}


@pytest.mark.parametrize(("text", "fault"), FAULTS.values(), ids=FAULTS)
def test_a_fault_is_found_and_told_with_its_line(tmp_path: Path, text: str, fault: str):
    (found,) = faults(page_of(tmp_path, text))
    assert fault in found


GOOD = {
    "sh": "```sh\nls | sort\n```",
    "python": "```python\nprint(1)\n```",
    "not-run": "<!-- not run: needs Docker -->\n```sh\ndocker build .\n```",
    "file": "<!-- file: shop/page.vue -->\n```vue\n<template>\n```",
    "two-directives": "<!-- continues -->\n<!-- fails: ZeroDivisionError -->\n```python\n1 / 0\n```",
    "other-comments": "<!-- here bench writes -->\n\nText\n\n<!-- to here -->\n",
    "comment-and-a-gap": "<!-- a note -->\n\n```sh\nls\n```",
    "directive-of-the-site": "```{toctree}\nstart\n```",
    "unit": "```ini\n[Service]\nEnvironment=A=1\nEnvironment=B=2\n```",
    "variables": "```ini\nDEMURE_POLICY=strict\n```",
    "nginx": "```nginx\nserver { # ours\n  listen 80;\n}\n```",
    "dockerfile": "```dockerfile\n# ours\nFROM a\nRUN b \\\n  && c\n```",
    "yaml-of-two-documents": "```yaml\na: 1\n---\nb: 2\n```",
}


@pytest.mark.parametrize("text", GOOD.values(), ids=GOOD)
def test_a_good_page_has_no_fault(tmp_path: Path, text: str):
    assert not faults(page_of(tmp_path, text))


def test_a_block_in_a_list_is_read_without_its_indentation_and_with_its_line(tmp_path: Path):
    text = "# Page\n\n1. First\n\n   <!-- not run: needs root -->\n   ```sh\n   ls\n     -l\n   ```\n"
    (block,) = read_blocks(page_of(tmp_path, text))
    assert (block.line, block.language, block.text, block.not_run) == (6, "sh", "ls\n  -l\n", "needs root")


def test_a_command_may_go_on_in_the_next_line(tmp_path: Path):
    (block,) = read_blocks(page_of(tmp_path, "```console\n$ echo a \\\n> b\na b\n$ echo c\nc\n```"))
    assert commands(block) == [("echo a \\\nb", ["a b"]), ("echo c", ["c"])]


PRINTED = [
    ("the same", ["a", "b"], "a\nb\n", True),
    ("another line", ["a", "c"], "a\nb\n", False),
    ("a line is missing", ["a"], "a\nb\n", False),
    ("a line too many", ["a", "b", "c"], "a\nb\n", False),
    ("any lines", ["a", "…", "d"], "a\nb\nc\nd\n", True),
    ("no lines", ["a", "…", "b"], "a\nb\n", True),
    ("the rest", ["a", "…"], "a\nb\nc\n", True),
    ("within a line", ["a … c"], "a b c\n", True),
    ("not over lines", ["a …"], "a b\nc\n", False),
    ("no pattern", ["a.c"], "abc\n", False),
    ("nothing shown", [], "a\n", True),
    ("an empty line at the end", ["a", ""], "a\n", True),
]


@pytest.mark.parametrize(("shown", "printed", "is_like"), [row[1:] for row in PRINTED], ids=[row[0] for row in PRINTED])
def test_what_a_command_prints_is_compared(shown: list[str], printed: str, is_like: bool):
    assert prints(shown, printed) is is_like


ANSWERS = [
    ("the same", {"a": [1, "b", None, True]}, {"a": [1, "b", None, True]}, None),
    ("another text", {"a": "b"}, {"a": "c"}, "answer.a: 'b' is shown, 'c' came"),
    ("a text that goes on", {"a": "14e9…"}, {"a": "14e95c22"}, None),
    ("a text that goes on otherwise", {"a": "14e9…"}, {"a": "15e9"}, "answer.a"),
    ("anything", {"a": "…"}, {"a": {"b": 1}}, None),
    ("the last digits", {"a": 0.99710}, {"a": 0.99712}, None),
    ("another number", {"a": 0.99}, {"a": 0.98}, "answer.a: 0.99 is shown, 0.98 came"),
    ("a number for a text", {"a": "1"}, {"a": 1}, "answer.a"),
    ("a number for a truth", {"a": True}, {"a": 1}, "answer.a"),
    ("nothing for a number", {"a": None}, {"a": 0}, "answer.a"),
    (
        "a key that is not there",
        {"a": 1, "b": 2},
        {"a": 1},
        "answer: ['b'] are shown and did not come; there are ['a']",
    ),
    ("a key that is not shown", {"a": 1}, {"a": 1, "b": 2}, "answer: ['b'] came and are not shown"),
    ("further keys", {"a": 1, "…": "…"}, {"a": 1, "b": 2}, None),
    ("too few elements", [1, 2], [1], "answer: 2 are shown, 1 came"),
    ("too many elements", [1], [1, 2], "answer: 1 are shown, 2 came"),
    ("further elements", [1, "…"], [1, 2, 3], None),
    ("another element", [{"a": 1}], [{"a": 2}], "answer[0].a: 1 is shown, 2 came"),
]


@pytest.mark.parametrize(("shown", "found", "what"), [row[1:] for row in ANSWERS], ids=[row[0] for row in ANSWERS])
def test_an_example_is_compared_with_the_answer(shown: object, found: object, what: str | None):
    told = difference(shown, found)
    assert told is None if what is None else told is not None and told.startswith(what)


@pytest.mark.parametrize(
    ("printed", "value"),
    [('{"a": 1}', {"a": 1}), ('{"a": 1}{"b": 2}\n', {"b": 2}), ('Added "x":\n{\n"a": 1}\nEnd.\n', {"a": 1})],
    ids=["alone", "two together", "between words"],
)
def test_the_last_json_of_what_was_printed_is_the_answer(printed: str, value: object):
    assert last_json(printed) == value


def test_where_no_json_was_printed_there_is_no_answer():
    with pytest.raises(ValueError, match="no JSON"):
        last_json("curl: (7) Failed\n")
