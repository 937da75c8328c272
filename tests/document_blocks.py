"""The code blocks of the project's Markdown: where each stands, what it is written in, and what the comment before it asks.

Knows what may stand in a document, and not how a block is run: that is document_run.py.
"""

from __future__ import annotations

import configparser
import json
import re
import subprocess
import tomllib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import yaml
from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])

REASONS = {
    "changes the system",
    "needs a cluster",
    "needs an account at a platform",
    "needs Docker",
    "needs root",
    "needs systemd",
    "needs the internet",
    "runs for hours",
    "the tests run it",
}
_WORDS = ("file", "not run", "fails", "continues", "no answer")
_DIRECTIVE = re.compile(rf"<!-- ({'|'.join(_WORDS)})(?:: (.+))? -->")
_COMMENT = re.compile(r"<!--\s*(.*?)\s*-->", re.DOTALL)


@dataclass(frozen=True)
class Block:
    page: Path
    line: int  # of the fence, from 1
    language: str  # empty: none
    text: str
    indented: bool  # as Markdown had code before there were fences
    section: int  # so many headings stand above it
    comments: tuple[str, ...] = ()  # those on the lines right before, as they are

    @property
    def place(self) -> str:
        page = self.page.relative_to(ROOT) if self.page.is_relative_to(ROOT) else self.page
        return f"{page}:{self.line}"

    @property
    def file(self) -> str | None:
        """The block is this file's content."""
        return self._directives().get("file")

    @property
    def not_run(self) -> str | None:
        """Why it is not run."""
        return self._directives().get("not run")

    @property
    def fails(self) -> str | None:
        """Its commands must fail, and print this."""
        return self._directives().get("fails")

    @property
    def continues(self) -> bool:
        """This Python goes on where the block of Python before it ended."""
        return "continues" in self._directives()

    @property
    def no_answer(self) -> bool:
        """This JSON is not what the block before it answers."""
        return "no answer" in self._directives()

    def _directives(self) -> dict[str, str]:
        found = (_DIRECTIVE.fullmatch(comment) for comment in self.comments)
        return {match[1]: match[2] or "" for match in found if match}


def read_blocks(page: Path) -> list[Block]:
    return [made for made in _walk(page) if isinstance(made, Block)]


def faults(page: Path) -> list[str]:
    """What may not stand in a document, each with its place."""
    found: list[str] = []
    for made in _walk(page):
        if isinstance(made, Block):
            found.extend(f"{made.place}: {what}" for what in _faults_of(made))
        else:
            found.append(f"{page.name}:{made[0]}: {made[1]!r} stands before no block: put it on the line right above")
    return found


def commands(block: Block) -> list[tuple[str, list[str]]]:
    """Of a `console` block: each command, and the lines that it is said to print."""
    found: list[tuple[str, list[str]]] = []
    for line in block.text.splitlines():
        if found and not found[-1][1] and found[-1][0].endswith("\\"):
            found[-1] = (f"{found[-1][0]}\n{line.removeprefix('> ')}", [])
        elif line.startswith("$ "):
            found.append((line.removeprefix("$ "), []))
        elif found:
            found[-1][1].append(line)
        else:
            raise ValueError("a console block begins with a command, a line that begins with `$ `")
    return found


def _walk(page: Path) -> Iterator[Block | tuple[int, str]]:
    """The blocks of a page in order, and each directive (line, text) that belongs to none."""
    comments: list[
        tuple[int, str]
    ] = []  # right above, each at its line; a gap of one line parts them from what follows
    section, next_line = 0, 0
    for token in MarkdownIt("commonmark").enable("table").parse(page.read_text()):
        section += token.type == "heading_open"
        if token.type == "html_block" and token.map:
            if comments and next_line != token.map[0]:
                yield from _strays(comments)
                comments = []
            comments.extend(_comments_of(token))
            next_line = token.map[0] + len(token.content.splitlines())
        elif token.type in ("fence", "code_block") and token.map:
            attached = comments if next_line == token.map[0] else []
            yield from _strays([] if attached else comments)
            written = tuple(text for _, text in attached)
            language = (token.info.split() or [""])[0]
            is_indented = token.type == "code_block"
            yield Block(page, token.map[0] + 1, language, token.content, is_indented, section, written)
            comments = []
        elif comments and token.map:
            yield from _strays(comments)
            comments = []
    yield from _strays(comments)


def _comments_of(token: Token) -> list[tuple[int, str]]:
    first = token.map[0] + 1 if token.map else 0
    return [(first, match[0]) for match in _COMMENT.finditer(token.content)]


def _strays(comments: Sequence[tuple[int, str]]) -> list[tuple[int, str]]:
    """Those that look like a directive: other comments may stand anywhere."""
    return [(line, text) for line, text in comments if re.match(rf"<!--\s*({'|'.join(_WORDS)})\b", text)]


def _faults_of(block: Block) -> Iterator[str]:
    if block.indented:
        yield "an indented block: write it between fences, with its language"
        return
    for comment in block.comments:
        if not _DIRECTIVE.fullmatch(comment):
            yield f"unknown directive {comment!r}: known are {', '.join(_WORDS)}"
    if block.not_run is not None and block.not_run not in REASONS:
        yield f"not run: {block.not_run!r} is no reason; reasons are {', '.join(sorted(REASONS))}"
    if block.fails == "":
        yield "fails: say what is printed then"
    if block.file is not None and (PurePosixPath(block.file).is_absolute() or ".." in PurePosixPath(block.file).parts):
        yield f"file: {block.file!r} is not below the page's folder"
    if not block.language:
        yield "no language"
    elif block.language not in PARSERS and not _belongs_to_the_site(block.language) and not block.file:
        yield f"nobody runs or reads {block.language!r}: known are {', '.join(sorted(PARSERS))}"
    else:
        yield from _errors(block)


def _belongs_to_the_site(language: str) -> bool:
    """A directive of MyST, which Sphinx reads; one that would hide code from this reader is none."""
    return bool(re.fullmatch(r"\{(?!code|sourcecode|literalinclude)[\w-]+\}", language))


def _errors(block: Block) -> Iterator[str]:
    try:
        if block.language in PARSERS:
            PARSERS[block.language](block)
    except (ValueError, SyntaxError, yaml.YAMLError, configparser.Error) as error:
        yield f"{block.language}: {error}"


def _parse_sh(block: Block) -> None:
    _check_bash(block.text)


def _parse_console(block: Block) -> None:
    _check_bash("\n".join(command for command, _ in commands(block)))


def _check_bash(script: str) -> None:
    done = subprocess.run(["bash", "-n"], input=script, capture_output=True, text=True, check=False)
    if done.returncode or done.stderr:  # a here-document without an end is a warning
        raise ValueError(done.stderr.strip())


def _parse_python(block: Block) -> None:
    compile(block.text, block.place, "exec", dont_inherit=True)


def _parse_ini(block: Block) -> None:
    """A unit of systemd has the same key several times; a file of variables has no sections."""
    parser = configparser.ConfigParser(strict=False, interpolation=None, delimiters=("=",))
    parser.read_string(block.text if re.search(r"^\[", block.text, re.MULTILINE) else f"[none]\n{block.text}")


def _parse_nginx(block: Block) -> None:
    """Each line opens or closes a block, or ends a directive; what opens closes."""
    depth = 0
    for line in block.text.splitlines():
        bare = line.partition("#")[0].strip()
        if bare and bare[-1] not in "{};":
            raise ValueError(f"neither `;` nor a brace ends {bare!r}")
        depth += bare.count("{") - bare.count("}")
        if depth < 0:
            break
    if depth:
        raise ValueError("braces do not match")


_INSTRUCTION = re.compile(
    r"\s*(#|$|(ADD|ARG|CMD|COPY|ENTRYPOINT|ENV|EXPOSE|FROM|HEALTHCHECK|LABEL|RUN|SHELL|STOPSIGNAL|USER|VOLUME|WORKDIR)\b)",
    re.IGNORECASE,
)


def _parse_dockerfile(block: Block) -> None:
    joined = re.sub(r"\\\n", " ", block.text)
    for line in joined.splitlines():
        if not _INSTRUCTION.match(line):
            raise ValueError(f"no instruction begins {line!r}")


PARSERS: dict[str, Callable[[Block], object]] = {
    "sh": _parse_sh,
    "console": _parse_console,
    "python": _parse_python,
    "json": lambda block: json.loads(block.text),
    "toml": lambda block: tomllib.loads(block.text),
    "yaml": lambda block: list(yaml.safe_load_all(block.text)),
    "ini": _parse_ini,
    "nginx": _parse_nginx,
    "dockerfile": _parse_dockerfile,
}
