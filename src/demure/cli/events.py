"""`demure events`: what the site's endpoints did not take, and how it is sent again."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from demure.cli.parts import read_settings
from demure.cli.storage import open_kept
from demure.errors import InvalidSetting

if TYPE_CHECKING:
    from demure.store.events import DeadLetter

events_app = typer.Typer(no_args_is_help=True, help="List events that your site did not take, and send them again.")
_BY = "shell"
_NONE = "No event was given up."


@events_app.command("dead")
def list_dead() -> None:
    """List the events that were given up, in the order in which they happened.

    A line of each: its number, what and when; the endpoint's number and host; when it was given up, after how many attempts, and
    why. Endpoints are numbered as DEMURE_WEBHOOK_URLS names them; - is one that it does not name.
    """
    from demure.store.events import every_dead_letter

    settings, letter = read_settings(), None
    numbers = _numbered(settings.webhook_urls)
    with open_kept(settings) as database:
        for letter in every_dead_letter(database):
            print(_line(letter, numbers.get(letter.endpoint)))
    if letter is None:
        print(_NONE, file=sys.stderr)


@events_app.command("retry")
def retry_dead(
    ids: Annotated[
        list[int] | None, typer.Argument(metavar="[ID …]", help="Events, by their numbers in `demure events dead`.")
    ] = None,
    endpoint: Annotated[
        int | None, typer.Option(metavar="N", help="To this endpoint alone: 1 is the first of DEMURE_WEBHOOK_URLS.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="All events that were given up.")] = False,
) -> None:
    """Send events once more that were given up, with all attempts before them again. The running service does so.

    Run it with the settings of the service. To do it is written into the audit log.
    """
    from demure.store.events import dead_elsewhere, retry

    settings = read_settings()
    if bool(ids) == everything:
        raise InvalidSetting("expected the numbers of events, or --all; `demure events dead` shows what there is")
    numbers = _numbered(settings.webhook_urls)
    chosen = _chosen(numbers, endpoint)
    with open_kept(settings) as database:
        elsewhere = database.read(lambda c: dead_elsewhere(c, [*numbers]))
        if elsewhere and not numbers:
            raise InvalidSetting(
                f"DEMURE_WEBHOOK_URLS: not set; {_letters(elsewhere)} here: set it as the service has it"
            )
        counts = retry(database, chosen, _BY, None if everything else set(ids or ()))
    said = [_sent(numbers[url], url, count) for url, count in zip(chosen, counts, strict=True) if count]
    if elsewhere and endpoint is None:
        said.append(f"{_letters(elsewhere)} for endpoints that DEMURE_WEBHOOK_URLS does not name: not sent.")
    print("\n".join(said) or (_NONE if endpoint is None else f"No event was given up by endpoint {endpoint}."))


def _numbered(urls: Sequence[str]) -> dict[str, int]:
    """The number of each endpoint; the first, of one that is named twice."""
    return {url: number for number, url in reversed([*enumerate(urls, 1)])}


def _chosen(numbers: dict[str, int], endpoint: int | None) -> list[str]:
    chosen = [url for url, number in sorted(numbers.items(), key=lambda one: one[1]) if endpoint in (None, number)]
    if endpoint is not None and not chosen:
        raise InvalidSetting(f"--endpoint: found {endpoint}; DEMURE_WEBHOOK_URLS names {len(numbers)} here")
    return chosen


def _line(letter: DeadLetter, number: int | None) -> str:
    from demure.events import timestamp_of
    from demure.printable import printable

    event = letter.event
    fields = (
        *(event.id, event.type, timestamp_of(event.at_ms), number or "-", letter.host),
        *(timestamp_of(letter.died_ms), letter.attempts, printable(letter.failure)),
    )
    return "\t".join(map(str, fields))


def _sent(number: int, url: str, count: int) -> str:
    from demure.store.events import host_of

    them = "it" if count == 1 else "them"
    return f"{_letters(count)} for endpoint {number} ({host_of(url)}): a running service sends {them} now."


def _letters(count: int) -> str:
    return f"{count:,} dead letter{'' if count == 1 else 's'}"
