"""The shell's `demure scan`. Thin, as cli.py.

Exit codes: 0 all was judged, or could not be and has its row; 1 some folder could not be read, or with --exit-code, some image
is not safe; 2, by cli.main, the question was wrong, or the disk is full; 130 stopped by Ctrl-C. The same command goes on where
it was.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from demure.cli.parts import open_screener, read_settings

if TYPE_CHECKING:
    from rich.console import Console

    from demure.bulk.ledger import Ledger, Status
    from demure.bulk.local import LocalScan
    from demure.bulk.sources import Sources
    from demure.desk import Desk
    from demure.pipeline import Screener
    from demure.policy import Outcome
    from demure.settings import Settings

_INCOMPLETE, _STOPPED = 1, 130
_STOPS = (signal.SIGINT, signal.SIGTERM)


def scan(
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="FILE", help="What to write: .jsonl, .csv or .parquet.")
    ],
    sources: Annotated[
        list[str] | None,
        typer.Argument(metavar="SOURCE …", help="Folders, globs, URLs, lists (.txt, .csv, .jsonl); - reads lines."),
    ] = None,
    include: Annotated[list[str] | None, typer.Option(help="A glob that files in folders must match.")] = None,
    exclude: Annotated[list[str] | None, typer.Option(help="A glob of files to leave out.")] = None,
    column: Annotated[str | None, typer.Option(help="Of a .csv or .jsonl list: where paths or URLs are.")] = None,
    only: Annotated[str, typer.Option(help="The decisions to write, apart by commas, as adult,unknown.")] = "",
    policy: Annotated[str | None, typer.Option(help="A policy's name, or a path to your own .toml.")] = None,
    model: Annotated[str | None, typer.Option(help="The five-class model.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, max=1024, help="Threads; without it, one a processor.")] = None,
    review: Annotated[bool, typer.Option("--review", help="Put the unknown ones into the review queue.")] = False,
    anew: Annotated[bool, typer.Option("--anew", help="Begin again, whatever was done before.")] = False,
    status: Annotated[bool, typer.Option("--status", help="Say how far the scan of this output is, and end.")] = False,
    exit_code: Annotated[bool, typer.Option("--exit-code", help="Exit with 1 if an image is not safe.")] = False,
) -> None:
    """Judge many images into one file. Run the same command again to go on where it was broken off."""
    from demure.bulk.ledger import read_status
    from demure.bulk.local import Stopped
    from demure.bulk.progress import status_text

    if status:
        print(status_text(read_status(_ledger_of(output))))
        return
    given = (sources or [], output, include or [], exclude or [], column, only, policy, model, workers)
    try:
        with _on_stop(signal.default_int_handler):
            done = _scan(*given, review=review, anew=anew)
    except (Stopped, KeyboardInterrupt):
        print(f"stopped; run the same command again{', without --anew,' if anew else ''} to go on", file=sys.stderr)
        raise typer.Exit(_STOPPED) from None
    is_incomplete = done.unread or (exit_code and done.counts.keys() - {"safe"})
    raise typer.Exit(_INCOMPLETE if is_incomplete else 0)


def _scan(
    sources: list[str],
    output: Path,
    include: list[str],
    exclude: list[str],
    column: str | None,
    only: str,
    policy: str | None,
    model: str | None,
    workers: int | None,
    *,
    review: bool,
    anew: bool,
) -> Status:
    from rich.console import Console

    from demure.bulk.judges import Models, ModelsAndPeople
    from demure.bulk.ledger import Ledger
    from demure.bulk.local import LocalScan
    from demure.bulk.output import check_output, write_rows
    from demure.bulk.progress import Progress, summary
    from demure.bulk.reader import Reader
    from demure.bulk.sources import STANDARD_INPUT, list_sources, lists_among
    from demure.errors import InvalidList
    from demure.machine import usable_processors

    if not sources:
        raise InvalidList("expected folders, globs, URLs or lists to scan, or - for standard input")
    settings, wanted = read_settings(), _outcomes(only)
    listing = list_sources(sources, include=include, exclude=exclude, column=column, stdin=sys.stdin)
    threads = workers or usable_processors()
    console = Console(stderr=True)
    with ExitStack() as parts:
        screener = parts.enter_context(open_screener(settings, threads, model=model, policy=policy))
        judge = ModelsAndPeople(screener, parts.enter_context(_desk(settings))) if review else Models(screener)
        names = sorted(screener.policy.witnesses)
        check_output(output, names)
        _check_unharmed(output, sources, anew=anew)
        asked = {"sources": sources, "--include": include, "--exclude": exclude, "--column": column, "--review": review}
        lists = {f"content of {name}": digest for name, digest in lists_among(sources).items()}
        question = {**asked, **lists, "--only": sorted(wanted), "working folder": _here(sources), **_judging(screener)}
        ledger = parts.enter_context(Ledger(_ledger_of(output), question, anew=anew))
        status = ledger.status()
        if status.all_listed and STANDARD_INPUT in sources and not sys.stdin.isatty():
            _check_nothing_new(
                list_sources([STANDARD_INPUT], include=include, exclude=exclude, stdin=sys.stdin), ledger
            )
        if status.written and not status.unread and output.exists():
            _say(console, f"{summary(status, output)} before; nothing was looked for anew (--anew)")
            return status
        reader = parts.enter_context(Reader(settings.max_image_bytes, settings.fetch_limits, threads))
        progress = parts.enter_context(Progress(console, status, ledger.status))
        job = LocalScan(ledger, reader, judge, threads=threads, only=wanted, on_progress=progress.add)
        with _on_stop(_ending(job)):
            job.run(None if status.all_listed and not status.unread else _listed(listing, output, ledger))
        write_rows(output, ledger.rows(), names=names)
        ledger.note_written()
        status = ledger.status()
    _say(console, summary(status, output))
    if review and status.counts.get("unknown"):
        _say(console, "what is unknown waits in the review of the service (/review)")
    return status


def _desk(settings: Settings) -> closing[Desk]:
    """Raises InvalidSetting where nobody would ever see what is put there."""
    from demure.desk import open_desk
    from demure.errors import InvalidSetting

    desk = open_desk(settings)
    if not desk.database.is_lasting:
        desk.close()
        raise InvalidSetting(
            "--review: the reviews are kept in memory alone (DEMURE_DATABASE_URL), and end with the scan"
        )
    return closing(desk)


def _check_unharmed(output: Path, sources: list[str], *, anew: bool) -> None:
    """A file that no scan wrote is not written over, and no list by what came of it."""
    from demure.errors import Conflict
    from demure.evaluation.labels import is_url

    if not output.exists():
        return
    if any(not is_url(source) and Path(source).exists() and output.samefile(source) for source in sources):
        raise Conflict(f"{output}: is what is to be scanned; name another file")
    if not anew and not _ledger_of(output).exists():
        raise Conflict(f"{output}: is there already, of no scan that could go on; name another file, or add --anew")


def _check_nothing_new(listing: Sources, ledger: Ledger) -> None:
    """What is piped in now was to be all that was piped in then."""
    from demure.errors import Conflict

    if new := sum(not ledger.knows(source) for source in listing):
        raise Conflict(
            f"standard input names {new:,} images that this scan, whose list is complete, does not know; "
            "name another file (-o), or add --anew to begin again"
        )


def _here(sources: list[str]) -> str:
    """What the paths begin at, where that is not said by themselves."""
    from demure.evaluation.labels import is_url

    return "" if all(is_url(source) or Path(source).is_absolute() for source in sources) else str(Path.cwd())


def _listed(listing: Sources, output: Path, ledger: Ledger) -> Iterator[str]:
    """Without the output and what lies beside it, which a scan of the folder that it is in would find."""
    folder, ours = output.parent.resolve(), _ledger_of(output).name
    for source in listing:
        name = os.path.basename(source)  # noqa: PTH119 - of millions
        if (name == output.name or name.startswith(ours)) and Path(source).parent.resolve() == folder:
            continue
        yield source
    ledger.note_unread(listing.unread)


def _judging(screener: Screener) -> dict[str, Any]:
    """All that a row hangs on beside its bytes, by a version of each part."""
    from demure.score_cache import score_version

    versions = {name: score_version(c.spec, screener.recipe).hex() for name, c in screener.classifiers.items()}
    return {"policy": screener.policy.version, "model": versions.pop(screener.model), "witnesses": versions}


def _outcomes(only: str) -> set[Outcome]:
    from demure.errors import InvalidSetting
    from demure.policy import Outcome

    names = set(only.replace(",", " ").split())
    if unknown := names - {*Outcome}:
        raise InvalidSetting(
            f"--only: expected adult, unknown or safe, several apart by commas; found {min(unknown)!r}"
        )
    return {Outcome(name) for name in names}


def _ending(job: LocalScan) -> Callable[..., None]:
    """The first Ctrl-C ends it in order, the second at once: a URL may keep a thread waiting. What was finished is kept."""

    def end(*_: object) -> None:
        job.stop()
        for kind in _STOPS:
            signal.signal(kind, signal.SIG_DFL)

    return end


@contextmanager
def _on_stop(handler: Callable[..., None]) -> Iterator[None]:
    before = {kind: signal.signal(kind, handler) for kind in _STOPS}
    try:
        yield
    finally:
        for kind, former in before.items():
            signal.signal(kind, former)


def _say(console: Console, text: str) -> None:
    """As it is: a file's name may have brackets."""
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def _ledger_of(output: Path) -> Path:
    return output.with_name(output.name + ".ledger")
