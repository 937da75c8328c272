"""What an evaluation says, as one HTML file that needs nothing else: no script, no request, charts drawn inside it.

Ids, names and remarks are others' text: every value that enters the page is made printable and escaped, and the page's own
policy forbids scripts and requests should that ever fail.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from demure import __version__
from demure.evaluation import charts, report
from demure.evaluation.evaluate import Evaluation, PolicyResult
from demure.evaluation.shares import given_percent, percent
from demure.files import replace_file
from demure.printable import printable
from demure.reviews import Verdict

_UNBROKEN = "\N{NO-BREAK SPACE}"
_CORNER = 0.05  # of safe images blocked: more than any site would bear
_STYLES = 6  # of lines; evaluation.css has as many
_MOST_OPEN = 12  # groups; more are folded away


def write_page(
    evaluation: Evaluation,
    path: Path,
    *,
    source: str | None = None,
    pictures: Mapping[str, bytes] | None = None,
    made: datetime | None = None,
) -> None:
    """Write the page, whole or not at all. A file that is there already is replaced.

    Raises InvalidSetting where it cannot be written, and StorageFull.
    """
    replace_file(path, render_page(evaluation, source=source, pictures=pictures, made=made or datetime.now(UTC)))


def render_page(
    evaluation: Evaluation, *, made: datetime, source: str | None = None, pictures: Mapping[str, bytes] | None = None
) -> str:
    """The page as text. `source` is where the labels came from; `pictures` are small JPEGs by a mistake's id."""
    roc = [curve.roc for curve in evaluation.curves]
    precision_recall = [curve.precision_recall for curve in evaluation.curves]
    total = evaluation.adult + evaluation.safe
    return (
        _environment()
        .get_template("evaluation.html")
        .render(
            evaluation=evaluation,
            source=source,
            made=made.astimezone(UTC),
            version=__version__,
            near_copies=report.near_copies_text(evaluation.gathering),
            gathering=report.gathering_texts(evaluation.gathering),
            has_curves=any(roc) and evaluation.adult > 0 and evaluation.safe > 0,
            roc=charts.roc(roc),
            corner=charts.roc(roc, _CORNER),
            corner_most=_CORNER,
            precision_recall=charts.precision_recall(precision_recall, evaluation.adult / total if total else 0.0),
            base_rate=next((p.at_base_rate.base_rate for p in evaluation.policies if p.at_base_rate), None),
            pictures={name: _embedded(data) for name, data in (pictures or {}).items()},
        )
        .lstrip()
    )


def _bar(result: PolicyResult, verdict: Verdict) -> tuple[charts.Segment, ...]:
    return charts.bar([(outcome, result.table[outcome][verdict]) for outcome in report.GRAVEST_FIRST])


def _unbroken(text: Callable[..., str]) -> Callable[..., str]:
    """No line ends between a number and its sign."""
    return lambda *given: text(*given).replace(" %", f"{_UNBROKEN}%")


def _embedded(jpeg: bytes) -> str:
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_made_printable,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "percent": _unbroken(percent),
        "given_percent": _unbroken(given_percent),
        "set_text": _unbroken(report.set_text),
        "value_text": report.value_text,
        "interval_text": report.interval_text,
        "images": report.images,
        "one_in": report.one_in,
    }
    environment.globals |= {
        "bar": _bar,
        "decimal": report.decimal,
        "letter": charts.letter,
        "outcomes": report.GRAVEST_FIRST,
        "verdicts": tuple(Verdict),
        "bar_width": charts.BAR_WIDTH,
        "styles": _STYLES,
        "most_open": _MOST_OPEN,
    }
    return environment


def _made_printable(value: Any) -> Any:
    # What a macro gives is markup, and holds line ends of ours.
    if hasattr(value, "__html__") or not isinstance(value, str):
        return value
    return _UNBROKEN.join(map(printable, value.split(_UNBROKEN)))
