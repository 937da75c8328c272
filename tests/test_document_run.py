"""The runner of the documents' blocks, by pages that are right and pages that are wrong."""

from __future__ import annotations

import os
import select
from pathlib import Path

import pytest
from document_network import alone, follow, follow_here

GOOD = """
Variables and the folder stay from one block to the next, as in a terminal; what is begun in the background goes on.

```sh
KEY='two words
and a line'
export SHOWN=1
mkdir below && cd below
sleep 100 &
SLEEPER=$!
```

```console
$ echo "$KEY"; pwd; ls ../examples; kill -0 $SLEEPER
two words
and a line
…/below
coffee.jpg
labels.csv
```

<!-- file: shop/views.py -->
```python
ANSWER = 42
```

```python
import os
assert os.environ["SHOWN"] == "1" and "KEY" not in os.environ and "DEMURE_POLICY" not in os.environ
os.chdir("..")
from shop.views import ANSWER
```

<!-- continues -->
```python
assert ANSWER == 42
```

<!-- not run: needs root -->
```sh
exit 1
```

<!-- fails: no such thing -->
```sh
echo no such thing; exit 3
```
"""


def test_blocks_go_on_where_the_ones_before_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DEMURE_POLICY", "of the machine that tests")
    page = tmp_path / "page.md"
    page.write_text(GOOD)
    told = follow(page, tmp_path)
    assert not told, told


BAD = {
    "a command fails": ("```sh\nfalse\ntrue\n```", "false\ntrue\n"),
    "within a pipe": ("```sh\nfalse | cat\n```", "ended with 1, expected success"),
    "it prints otherwise": ("```console\n$ echo a\nb\n```", "is said to print\nb\n--- and printed\na\n"),
    "a program fails": ("```python\n1 / 0\n```", "ZeroDivisionError"),
    "a program goes on from nothing": ("```python\na = 1\n```\n\n```python\na\n```", "NameError"),
    "it does not fail": ("<!-- fails: no -->\n```sh\necho no\n```", "expected a failure that prints 'no'"),
    "it fails otherwise": ("<!-- fails: no -->\n```sh\necho yes; false\n```", "expected a failure that prints 'no'"),
    "an unknown option": ("```sh\ndemure classify --colour examples/coffee.jpg\n```", "No such option"),
    "an answer is another": (
        '```sh\necho \'{"a": 1}\' # curl\n```\n\nIt is\n\n```json\n{"a": 2}\n```',
        "answer.a: 2 is shown, 1 came",
    ),
    "no answer came": ('```sh\necho no # curl\n```\n\n```json\n{"a": 2}\n```', "no JSON was printed"),
    "somebody elsewhere is asked": ("```sh\ncurl http://192.0.2.1/\n```", "curl: (7)"),
    "a name elsewhere is asked": ("```sh\ncurl https://example.org/\n```", "ended with 7, expected success"),
    "a refusal of the service": ("```sh\ncurl http://localhost:8080/v1/none\n```", '"code": "key_required"'),
}


@pytest.mark.parametrize(("text", "told"), BAD.values(), ids=BAD)
def test_what_does_not_work_is_told_with_its_line_and_what_it_printed(tmp_path: Path, text: str, told: str):
    page = tmp_path / "page.md"
    page.write_text(f"# Page\n\n{text}\n")
    found = follow(page, tmp_path)
    assert f"{page}:" in found
    assert told in found


def test_json_elsewhere_is_no_answer(tmp_path: Path):
    page = tmp_path / "page.md"
    other = '```sh\necho 1 # curl\n```\n\n<!-- no answer -->\n```json\n{"a": 2}\n```\n'
    page.write_text(f'```sh\necho 1 # curl\n```\n\n# Another\n\n```json\n{{"a": 2}}\n```\n\n{other}')
    assert not follow(page, tmp_path)


@pytest.mark.skipif(not alone(), reason="this system gives nobody a network of their own (unshare)")
def test_a_program_that_knows_no_proxy_reaches_nobody_either(tmp_path: Path):
    page = tmp_path / "page.md"
    page.write_text(
        '<!-- fails: Network is unreachable -->\n```python\nimport socket\nsocket.create_connection(("192.0.2.1", 80))\n```\n'
    )
    assert not follow(page, tmp_path)


def test_where_there_is_one_network_for_all_proxies_lead_nowhere(tmp_path: Path):
    page = tmp_path / "page.md"
    page.write_text("<!-- fails: Failed to connect to 127.0.0.1 port 9 -->\n```sh\ncurl https://192.0.2.1/\n```\n")
    assert not follow_here(page, tmp_path)


def test_a_block_that_hangs_is_told(tmp_path: Path):
    page = tmp_path / "page.md"
    page.write_text("```sh\necho begun; sleep 1000\n```\n")
    for seconds in (1, 10, 60):  # what it printed is told too, and on a busy machine bash takes a while to begin
        folder = tmp_path / str(seconds)
        folder.mkdir()
        told = follow(page, folder, f"--timeout={seconds}")
        assert f"page.md:1: echo begun; sleep 1000\n\n--- took longer than {seconds} s\n" in told
        if "begun\n" in told.partition(" s\n")[2]:
            return
    raise AssertionError(told)


def test_another_service_is_not_taken_for_the_documents(tmp_path: Path):
    page = tmp_path / "page.md"
    port = "$((8079 + 1))"
    wait = f"until (echo > /dev/tcp/127.0.0.1/{port}) 2>/dev/null; do sleep 0.1; done"
    page.write_text(f"```sh\npython -m http.server {port} &\n{wait}\n```\n\n```sh\ncurl http://127.0.0.1:8080/\n```\n")
    assert "page.md:6: the documents' port 8080 is taken" in follow(page, tmp_path)


def test_what_a_page_left_running_is_ended(tmp_path: Path):
    page = tmp_path / "page.md"
    page.write_text('```sh\nsleep 1000 &\necho $! > "$HOME/../pid"\n```\n')
    assert not follow(page, tmp_path)
    assert ends(int((tmp_path / "pid").read_text()))


def ends(pid: int) -> bool:
    """Whether it is gone, or dead and only not buried yet; one that was killed may take a moment."""
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([process], [], [], 30)[0])  # pidfd_open(2): readable when the process has ended
    finally:
        os.close(process)


def test_the_service_is_started_once_and_knows_what_the_shell_keeps(tmp_path: Path):
    page = tmp_path / "page.md"
    page.write_text(
        "```sh\ncurl http://127.0.0.1:8080/v1/models\nKEY=$(demure keys create mine | tail -n 1)\n```\n\n"
        "<!-- fails: key_required -->\n```sh\ncurl http://localhost:8080/v1/models\n```\n\n```sh\n"
        'curl -H "Authorization: Bearer $KEY" http://localhost:8080/v1/models\n```\n'
    )
    assert not follow(page, tmp_path)


def test_one_address_elsewhere_can_be_asked(tmp_path: Path):
    page = tmp_path / "page.md"
    page.write_text(
        '```sh\ndemure classify --json https://example.org/picture.jpg\n```\n\n```json\n{"decision": "safe", "…": "…"}\n```\n'
    )
    assert not follow(page, tmp_path)
