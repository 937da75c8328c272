"""The shell. Thin: each command imports what it needs when it runs, so that `--help` is quick.

Exit codes: 0 every image was judged; 1 at least one could not be and was answered `unknown` with an error's code; 2 the
question itself was wrong (an unknown option, model or policy, a broken file or setting) and nothing was answered.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from enum import IntEnum, StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from demure import __version__
from demure.cli.doctor import doctor
from demure.cli.events import events_app
from demure.cli.parts import open_screener, read_settings
from demure.cli.scan import scan
from demure.cli.storage import audit_app, backup, memory_app, restore, sweep
from demure.cli.thresholds import calibrate, evaluate
from demure.cli.users import users_app
from demure.errors import DemureError, FetchError, SourceError

if TYPE_CHECKING:
    from demure.fetch import FetchLimits
    from demure.pipeline import Screener
    from demure.screening import Screening
    from demure.store.keys import Keys

app = typer.Typer(
    name="demure",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
keys_app = typer.Typer(no_args_is_help=True, help="Make, list and revoke API keys.")
app.add_typer(keys_app, name="keys")
app.add_typer(users_app, name="users")
app.add_typer(memory_app, name="memory")
app.add_typer(audit_app, name="audit")
app.add_typer(events_app, name="events")
for command in (scan, evaluate, calibrate, backup, restore, sweep, doctor):
    app.command()(command)


class ExitCode(IntEnum):
    DONE = 0
    SOME_NOT_JUDGED = 1
    WRONG_QUESTION = 2


class FidelityOption(StrEnum):
    FAST = "fast"
    REFERENCE = "reference"


def main() -> None:
    """The `demure` command: an error of ours is one line on standard error, not a traceback."""
    try:
        app()
    except DemureError as error:
        from demure.printable import printable

        print(f"demure: {error.code}: {printable(error.message)}", file=sys.stderr)
        sys.exit(ExitCode.WRONG_QUESTION)
    except BrokenPipeError:  # `demure … | head`
        sys.stderr.close()
        sys.exit(ExitCode.DONE)


def _print_version(*, wanted: bool) -> None:
    if wanted:
        print(f"demure {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=lambda value: _print_version(wanted=value), is_eager=True)
    ] = False,
) -> None:
    """Tell whether an image is adult, safe, or something that a person must look at."""


@app.command()
def classify(
    sources: Annotated[
        list[str],
        typer.Argument(metavar="PATH|URL|- …", help="Image files or http(s) URLs; - reads one from standard input."),
    ],
    model: Annotated[str | None, typer.Option(help="The five-class model; see `demure models`.")] = None,
    policy: Annotated[str | None, typer.Option(help="A policy's name, or a path to your own .toml.")] = None,
    fidelity: Annotated[
        FidelityOption, typer.Option(help="reference: the models' original arithmetic.")
    ] = FidelityOption.FAST,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """Judge images: the decision, the reason and the scores of each.

    Exits with 0 if every image was judged, 1 if any could not be (it is answered `unknown`, with the error's code), 2 if
    the question was wrong.
    """
    from demure.machine import usable_processors

    failed = False
    settings = read_settings()
    threads = min(len(sources), usable_processors())
    with open_screener(settings, threads, model=model, policy=policy, fidelity=fidelity) as screener:
        show = _print_json if as_json else _report(screener.policy.witnesses)
        for screening in _screen_all(screener, sources, settings.fetch_limits):
            failed |= screening.error is not None
            show(screening)
    raise typer.Exit(ExitCode.SOME_NOT_JUDGED if failed else ExitCode.DONE)


@app.command()
def models(as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False) -> None:
    """List the models that can be asked: the bundled ones and those of DEMURE_MODELS_DIR."""
    from demure.models import Registry

    settings = read_settings()
    _list(
        (
            {
                "name": spec.name,
                "kind": "witness" if spec.is_witness else "categories",
                "default": spec.name == settings.model,
                "licence": spec.licence,
                "source": spec.source,
                "description": spec.description,
            }
            for spec in Registry(settings.models_dir).values()
        ),
        as_json=as_json,
    )


@app.command()
def policies(as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False) -> None:
    """List the policies that can be named, the shipped ones and those of DEMURE_POLICIES_DIR, with the rules in words."""
    from demure.models import Registry
    from demure.policy import Outcome
    from demure.policy_file import known_policies

    settings = read_settings()
    witnesses = Registry(settings.models_dir).witnesses
    _list(
        (
            {
                "name": name,
                "version": policy.version,
                "default": name == settings.policy,
                "adult": policy.rule(Outcome.ADULT),
                "safe": policy.rule(Outcome.SAFE),
                **({"promise": policy.promise.terms} if policy.promise else {}),
                "description": policy.description,
            }
            for name, policy in known_policies(witnesses, settings.policies_dir, settings.policy).items()
        ),
        as_json=as_json,
    )


@app.command()
def serve(
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port; 0 lets the system choose.")] = 8080,
) -> None:
    """Answer over HTTP until stopped; what is in flight then is still answered."""
    from demure.web.server import serve as run

    run(read_settings(), host, port)


@keys_app.command("create")
def create_key(
    name: Annotated[str, typer.Argument(help="Who it is for; shown in the log.")],
    scopes: Annotated[str, typer.Option(help="Among classify, review, metrics, admin; apart by commas.")] = "classify",
) -> None:
    """Make a key and print it alone on the last line. It is shown this once: only its hash is kept."""
    from demure.keys import make_key

    key, secret = make_key(name, scopes.split(","))
    with _keys() as keys:
        keys.add(key)
    print(f"Added {key.name!r}; a running service knows it within a second. Keep this:")
    print(secret)


@keys_app.command("list")
def list_keys() -> None:
    """List the names and scopes of the keys in the store and in DEMURE_API_KEYS."""
    with _keys() as keys:
        for key in (*read_settings().api_keys, *(keys.read() or ())):
            print(f"{key.name}\t{','.join(sorted(key.scopes))}\tsha256 {key.sha256[:12]}…")


@keys_app.command("revoke")
def revoke_key(name: str) -> None:
    """Take a key back; a running service refuses it within a second."""
    from demure.errors import SourceNotFound

    with _keys() as keys:
        if not keys.revoke(name):
            raise SourceNotFound(f"no key {name!r}; `demure keys list` shows what there is")
    print(f"Revoked {name!r}.")


@contextmanager
def _keys() -> Iterator[Keys]:
    from demure.store import open_database
    from demure.store.keys import Keys

    database = open_database(read_settings())
    try:
        yield Keys(database)
    finally:
        database.close()


def _screen_all(screener: Screener, sources: list[str], limits: FetchLimits) -> Iterator[Screening]:
    """In the order given, on every core that this process may use."""
    from concurrent.futures import ThreadPoolExecutor

    from demure.machine import usable_processors

    with ThreadPoolExecutor(min(len(sources), usable_processors())) as pool:
        yield from pool.map(lambda source: _screen_one(screener, source, limits), sources)


def _screen_one(screener: Screener, source: str, limits: FetchLimits) -> Screening:
    if source == "-":
        return screener.screen(sys.stdin.buffer.read(screener.limits.max_bytes + 1), id=source)
    if not source.lower().startswith(("http://", "https://")):
        return screener.screen(source, id=source)
    try:
        return screener.screen(_fetch(source, limits), id=source)
    except (FetchError, SourceError) as error:
        return screener.failed(error, id=source)


def _fetch(url: str, limits: FetchLimits) -> bytes:
    import asyncio

    from demure.fetch import Fetcher

    async def fetch() -> bytes:
        async with Fetcher(limits) as fetcher:
            return await fetcher.fetch(url)

    return asyncio.run(fetch())


def _print_json(screening: Screening) -> None:
    import json

    print(json.dumps(screening.as_dict()), flush=True)


def _report(witnesses: Iterable[str]) -> Callable[[Screening], None]:
    from rich.console import Console

    from demure.scores import Category
    from demure.terminal import Report

    return Report(Console(), [*Category, *sorted(witnesses)]).add


def _list(rows: Iterable[dict[str, object]], *, as_json: bool) -> None:
    import json

    from demure.terminal import print_fields

    for row in rows:
        if as_json:
            print(json.dumps(row))
        else:
            print_fields(row)


if __name__ == "__main__":
    main()
