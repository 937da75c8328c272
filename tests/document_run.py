"""Runs the blocks of one page as a reader would: in order, in one folder and one terminal, beside a service.

    python tests/document_run.py PAGE FOLDER

PAGE's blocks run in FOLDER/page, where there is a copy of examples/ and nothing else, with FOLDER/home as the home. A service
of the shipped models, with no keys and with that home's data, is started on port 8080 when the first block mentions it. So
that nothing is reached but this machine, and the port is free, the tests start this in a network of its own (document_network.py).
Where the system allows none, pages wait for each other, and proxies lead nowhere.

https://example.org/picture.jpg is the one address elsewhere that can be asked: it is examples/coffee.jpg.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import functools
import http.client
import json
import shlex
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import IO

from document_answers import difference, last_json, prints
from document_blocks import ROOT, Block, commands, read_blocks
from document_network import raise_loopback
from document_terminal import BIN, Failed, Terminal, all_of

PORT = 8080
PICTURE = "https://example.org/picture.jpg"
_START_TIMEOUT_S = 60.0
# A running service reads its keys anew after a second (keys.py); a reader is slower.
_KEYS_ARE_KNOWN_S = 1.1


class Reader:
    """Follows a page, block by block."""

    def __init__(self, terminal: Terminal, picture: str, stack: contextlib.ExitStack) -> None:
        self._terminal = terminal
        self._picture = picture
        self._stack = stack
        self._served = False
        self._python = ""
        self._asked: tuple[int, str] | None = None  # the section of the block before, and what it printed, if it asked

    def follow(self, block: Block) -> None:
        text = block.text.replace(PICTURE, self._picture)
        asked, self._asked = self._asked, None
        if block.not_run is not None:
            return
        if not self._served and (f":{PORT}" in text or "Client(" in text):  # whose default is that port
            self._stack.enter_context(serving(self._terminal))
            self._served = True
        if block.file is not None:
            self._write(block.file, text)
        elif block.language == "sh":
            printed = self._run(text, block.fails)
            self._asked = (block.section, printed) if "curl" in text or "--json" in text else None
        elif block.language == "console":
            self._follow_console(block)
        elif block.language == "python":
            self._python = f"{self._python}\n{text}" if block.continues else text
            self._run(f"python -c {shlex.quote(self._python)}", block.fails, shown=text)
        elif block.language == "json" and asked is not None and asked[0] == block.section and not block.no_answer:
            _compare(text, asked[1])

    def _write(self, name: str, text: str) -> None:
        path = self._terminal.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def _follow_console(self, block: Block) -> None:
        for command, shown in commands(block):
            printed = self._run(command.replace(PICTURE, self._picture), block.fails)
            lines = [line.replace(PICTURE, self._picture) for line in shown]
            if not prints(lines, printed):
                raise Failed(f"{command}\n--- is said to print\n{_lines(lines)}\n--- and printed\n{printed}")
            is_question = "curl" in command or "--json" in command
            self._asked = (block.section, printed) if is_question else None

    def _run(self, script: str, fails: str | None, shown: str | None = None) -> str:
        code, printed = self._terminal.run(script)
        if (code == 0) == (fails is not None) or (fails or "") not in printed:
            expected = "success" if fails is None else f"a failure that prints {fails!r}"
            raise Failed(f"{shown or script}\n--- ended with {code}, expected {expected}\n{printed}")
        if self._served and "demure keys" in script:
            time.sleep(_KEYS_ARE_KNOWN_S)
        return printed


def _compare(example: str, printed: str) -> None:
    try:
        what = difference(json.loads(example), last_json(printed))
    except ValueError as error:
        what = str(error)
    if what:
        raise Failed(f"{what}\n--- the block before printed\n{printed}")


def _lines(lines: list[str]) -> str:
    return "\n".join(lines)


@contextlib.contextmanager
def serving(terminal: Terminal) -> Iterator[None]:
    """The service, as it is without settings, but that it may fetch from here."""
    with contextlib.closing(socket.socket()) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", PORT))
        except OSError as error:
            raise Failed(f"the documents' port {PORT} is taken: stop what listens there") from error
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(
            [BIN / "demure", "serve"], cwd=terminal.folder.parent, env=terminal.environment, stdout=log, stderr=log
        )
        try:
            _wait_until_healthy(process, log)
            yield
        finally:
            process.terminate()
            process.wait()


def _wait_until_healthy(process: subprocess.Popen[bytes], log: IO[str]) -> None:
    deadline = time.monotonic() + _START_TIMEOUT_S
    while process.poll() is None and time.monotonic() < deadline:
        connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=5)
        with contextlib.suppress(OSError), contextlib.closing(connection):
            connection.request("GET", "/health")
            if connection.getresponse().status == 200:
                return
        time.sleep(0.05)
    raise Failed(f"the service does not answer\n{all_of(log)}")


@contextlib.contextmanager
def picture_server() -> Iterator[str]:
    """Gives the address at which the example stands."""

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            pass

    handler = functools.partial(Handler, directory=str(ROOT / "examples"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/coffee.jpg"
        server.shutdown()


def run_page(page: Path, folder: Path, timeout_s: float) -> None:
    """Raises Failed at the first block that does not do what the page says, with its place."""
    with contextlib.ExitStack() as stack:
        picture = stack.enter_context(picture_server())
        terminal = stack.enter_context(contextlib.closing(Terminal(folder, picture, timeout_s)))
        reader = Reader(terminal, picture, stack)
        for block in read_blocks(page):
            try:
                reader.follow(block)
            except Failed as error:
                raise Failed(f"{block.place}: {error}") from error


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("page", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--alone", action="store_true", help="this is a network of its own")
    # What takes longer is a defect of the document: a reader would think that it hangs.
    parser.add_argument("--timeout", type=float, default=60.0, help="seconds that a block may take")
    chosen = parser.parse_args()
    with contextlib.ExitStack() as stack:
        if chosen.alone:
            raise_loopback()
        else:
            fcntl.flock(stack.enter_context(Path(__file__).open()), fcntl.LOCK_EX)
        try:
            run_page(chosen.page.resolve(), chosen.folder, chosen.timeout)
        except Failed as error:
            print(error)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
