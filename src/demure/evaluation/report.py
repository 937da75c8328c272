"""What an evaluation says, for a terminal: tables of curves, policies and mistakes. Piped, plain tab-separated lines.

Also the words and the forms of numbers that this report shares with the page of report_page.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from demure.evaluation.binomial import Rate
from demure.evaluation.curves import Curve, Interval, Recall
from demure.evaluation.evaluate import AtBaseRate, Evaluation, Mistake, PolicyResult, Rates
from demure.evaluation.labelled import Gathering
from demure.evaluation.shares import given_percent, percent
from demure.policy import Outcome
from demure.printable import printable
from demure.reviews import Verdict

GRAVEST_FIRST = (Outcome.ADULT, Outcome.UNKNOWN, Outcome.SAFE)
_COLOURS = {"safe": "green", "unknown": "yellow", "adult": "red"}
_MOST_MISTAKES = 10  # of a policy; piped, and on the page, all that are given
_MOST_NAMES = 3
_WIDE = 110  # characters from which an estimate and its interval stand on one line
_DASH = "\N{EN DASH}"  # of an interval, and where there is nothing to say

Estimate = Interval | Rate


def print_evaluation(evaluation: Evaluation, console: Console) -> None:
    if console.is_terminal:
        for part in _parts(evaluation, console.width):
            console.print(part)
            console.print()
    else:
        for line in plain_lines(evaluation):
            print(line, file=console.file)


# --- Numbers and words ------------------------------------------------------------------------------------------------


def decimal(value: float) -> str:
    """For AUC and the like. Three digits, or as many as it takes not to write 1."""
    return f"{value:.6f}".rstrip("0") if 0.9995 <= value < 1 - 1e-6 else f"{value:.3f}"


def best(estimate: Estimate | None) -> float | None:
    """The estimate itself; None where there is nothing to estimate it from."""
    return estimate.share if isinstance(estimate, Rate) else estimate.value if estimate else None


def value_text(estimate: Estimate | None, form: Callable[[float], str] = percent) -> str:
    value = best(estimate)
    return _DASH if value is None else form(value)


def interval_text(estimate: Estimate | None, form: Callable[[float], str] = percent) -> str:
    """The interval alone, with one sign of percent; empty where there is no estimate."""
    if estimate is None or best(estimate) is None:
        return ""
    low, high = form(estimate.low), form(estimate.high)
    return f"{low.removesuffix(' %')}{_DASH}{high}"


def images(count: int, kind: str = "image", kinds: str | None = None) -> str:
    """A count with its noun: "1 image", "2,100 images"."""
    return f"{count:,} {kind if count == 1 else kinds or kind + 's'}"


def set_text(evaluation: Evaluation) -> str:
    """How large the set is, and how mixed."""
    total = evaluation.adult + evaluation.safe
    share = f" ({percent(evaluation.adult / total)} adult)" if total else ""
    return f"{images(total)}: {evaluation.adult:,} adult, {evaluation.safe:,} safe{share}"


def gathering_texts(gathering: Gathering) -> list[str]:
    """What became of the images that are not counted, or should not be counted on; others' text is made printable."""
    texts = []
    if gathering.duplicates:
        texts.append(f"{images(gathering.duplicates, 'duplicate')}: the same bytes and label again, used once")
    if gathering.contradictions:
        names = ", ".join(map(printable, gathering.contradictions[:_MOST_NAMES]))
        more = ", …" if len(gathering.contradictions) > _MOST_NAMES else ""
        count = images(len(gathering.contradictions), "contradiction")
        texts.append(f"{count}: under both labels, used as neither ({names}{more})")
    if gathering.failures:
        codes = ", ".join(f"{count:,} {printable(code)}" for code, count in sorted(gathering.failures.items()))
        texts.append(f"{images(sum(gathering.failures.values()))} could not be judged: {codes}")
    if gathering.thinned:
        texts.append(
            f"{images(gathering.thinned, 'label')} left out, so that every decision has the same chance to be used"
        )
    if gathering.unjudged:
        texts.append(
            f"{images(gathering.unjudged)} that people were to judge they did not: if of another kind, these figures are off"
        )
    if gathering.unfinished:
        texts.append(f"{images(gathering.unfinished, 'label')} left out: on their day too much was not judged")
    if gathering.scores_of:
        texts.append(f"scores taken for those of {printable(gathering.scores_of)}")
    return [*texts, near_copies_text(gathering)]


def near_copies_text(gathering: Gathering) -> str:
    if gathering.near_copies is None:
        return "near copies not known"
    return images(gathering.near_copies, "near copy", "near copies") if gathering.near_copies else "no near copies"


def one_in(share: float) -> str:
    """A small share as people say it: "1 in 100"."""
    return f"1 in {round(1 / share):,}"


def takes_text(recall: Recall) -> str:
    return f"takes {recall.takes_safe:,} safe"


# --- For a person -----------------------------------------------------------------------------------------------------


def _parts(evaluation: Evaluation, width: int) -> Iterator[RenderableType]:
    between = "  " if width >= _WIDE else "\n"
    yield _what_was_read(evaluation)
    if evaluation.curves:
        yield _curves(evaluation.curves, between)
    if evaluation.policies:
        yield _policies(evaluation, between)
        yield from _at_base_rate(evaluation.policies, between)
        yield _decided(evaluation, between)
    for policy in evaluation.policies:
        if policy.groups:
            yield _groups(policy, between)
    for policy in evaluation.policies:
        yield _mistakes(policy)
    if evaluation.remarks:
        yield _remarks(evaluation.remarks)


def _what_was_read(evaluation: Evaluation) -> Text:
    lines = [(set_text(evaluation), "bold")]
    lines += [(text, "dim") for text in gathering_texts(evaluation.gathering)]
    lines.append((f"intervals hold with {given_percent(evaluation.confidence)} confidence", "dim"))
    return Text("\n").join(Text(text, style) for text, style in lines)


def _curves(curves: tuple[Curve, ...], between: str) -> Group:
    table = _table("model")
    table.add_column("AUC", no_wrap=True)
    for recall in curves[0].recalls:
        table.add_column(f"caught, {one_in(recall.false_alarm)}\nsafe ones blocked", no_wrap=True)
    for curve in curves:
        found = [_found(recall, between) for recall in curve.recalls]
        table.add_row(_name(curve.name), _estimate(curve.auc, between, decimal), *found)
    return _titled("Telling adult from safe", table)


def _found(recall: Recall, between: str) -> Text:
    if recall.found is None:
        return Text.assemble("too few", between, (takes_text(recall), "dim"))
    return _estimate(recall.found, between)


def _policies(evaluation: Evaluation, between: str) -> Group:
    table = _table("policy")
    for head in ("missed:\nadult as safe", "false alarm:\nsafe as adult", "left to people,\nof all"):
        table.add_column(head, no_wrap=True)
    for result in evaluation.policies:
        table.add_row(_policy(result, between), *_rates(result.rates, between))
    return _titled("What policies do", table)


def _at_base_rate(results: tuple[PolicyResult, ...], between: str) -> Iterator[Group]:
    given = [(result, result.at_base_rate) for result in results if result.at_base_rate]
    if not given:
        return
    table = _table("policy")
    for head in ("right of those\ndecided adult", "wrong of those\ndecided safe", "left to people,\nof all"):
        table.add_column(head, no_wrap=True)
    for result, rates in given:
        table.add_row(_policy(result, between), *(_estimate(value, between) for value in base_rate_values(rates)))
    yield _titled(f"Where {given_percent(given[0][1].base_rate)} of images are adult", table)


def base_rate_values(rates: AtBaseRate) -> tuple[Interval | None, Interval | None, Interval]:
    return rates.flags_right, rates.passes_wrong, rates.left


def _decided(evaluation: Evaluation, between: str) -> Group:
    table = _table("policy")
    heads = "".join(f"{outcome:>9}" for outcome in GRAVEST_FIRST)
    for verdict, of in ((Verdict.ADULT, evaluation.adult), (Verdict.SAFE, evaluation.safe)):
        table.add_column(f"{f'of {of:,} {verdict}':>27}\n{heads}", no_wrap=True)
    for result in evaluation.policies:
        table.add_row(_policy(result, between), *(_counts(result, verdict) for verdict in Verdict))
    return _titled("What they decided", table)


def _counts(result: PolicyResult, verdict: Verdict) -> Text:
    return Text.assemble(*(_count(result.table[outcome][verdict], outcome, verdict) for outcome in GRAVEST_FIRST))


def _count(count: int, outcome: Outcome, verdict: Verdict) -> tuple[str, str]:
    is_wrong = outcome is not Outcome.UNKNOWN and str(outcome) != str(verdict)
    return f"{count:>9,}", "dim" if not count else "bold red" if is_wrong else ""


def _groups(result: PolicyResult, between: str) -> Group:
    table = _table("group")
    for head in ("adult", "safe"):
        table.add_column(head, justify="right", no_wrap=True)
    for head in ("missed", "false alarm", "left to people"):
        table.add_column(head, no_wrap=True)
    for name, rates in result.groups.items():
        table.add_row(_name(name), f"{rates.adult:,}", f"{rates.safe:,}", *_rates(rates, between))
    return _titled(f"Groups: {printable(result.called)}, {printable(result.model)}", table)


def _mistakes(result: PolicyResult) -> Group:
    title = f"Mistakes: {printable(result.called)}, {printable(result.model)}"
    if not result.mistakes:
        return _titled(title, Text("none" if not result.mistakes_in_all else "not listed", "dim"))
    shown = result.mistakes[:_MOST_MISTAKES]
    table = _table("a person\nsaid")
    for head in ("it was\ndecided", "\nscore", "\nsha256"):
        table.add_column(head, no_wrap=True)
    table.add_column("\nimage", ratio=1, overflow="fold")
    for mistake in shown:
        said, decided = (Text(word, _COLOURS[word]) for word in (mistake.verdict, mistake.decision))
        hashed = Text(printable((mistake.sha256 or "")[:8]), "dim")
        table.add_row(said, decided, f"{mistake.score:.3f}", hashed, Text(printable(mistake.id)))
    return _titled(title, table, f"the worst {len(shown)} of {result.mistakes_in_all:,}")


def _remarks(remarks: tuple[str, ...]) -> Group:
    return _titled("To bear in mind", Text("\n".join(map(printable, remarks)), "yellow"))


def _table(first: str) -> Table:
    """No lines but those of the text: dim heads, and room between columns."""
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0))
    table.add_column(first, overflow="fold")
    return table


def _titled(title: str, body: RenderableType, aside: str = "") -> Group:
    # Not the table's own title: that is folded at the table's width.
    return Group(Text.assemble((title, "bold"), (f"  {aside}" if aside else "", "dim")), body)


def _rates(rates: Rates, between: str) -> list[Text]:
    return [_estimate(rate, between) for rate in (rates.missed, rates.false_alarm, rates.left)]


def _estimate(estimate: Estimate | None, between: str, form: Callable[[float], str] = percent) -> Text:
    text, interval = Text(value_text(estimate, form)), interval_text(estimate, form)
    return Text.assemble(text, between, (interval, "dim")) if interval else text


def _policy(result: PolicyResult, between: str) -> Text:
    return Text.assemble((printable(result.called), "cyan"), between, (printable(result.model), "dim"))


def _name(name: str) -> Text:
    return Text(printable(name), "cyan")


# --- For a script -----------------------------------------------------------------------------------------------------


def plain_lines(evaluation: Evaluation) -> Iterator[str]:
    """One figure a line, its kind first, fields separated by tabs; shares in [0, 1]; a field is empty where nothing is known.

    read        what, count
    curve       name, measure, value, low, high; for a recall also the threshold and how many safe images it takes
    policy      name, model, measure, value, low, high, count, of
    decided     name, model, decision, verdict, count
    group       name, model, group, measure, value, low, high, count, of
    mistake     name, model, verdict, decision, score, sha256, image
    remark      text
    """
    for fields in _records(evaluation):
        yield "\t".join(_field(field) for field in fields)


def _records(evaluation: Evaluation) -> Iterator[tuple[object, ...]]:
    yield from _read_records(evaluation)
    for curve in evaluation.curves:
        yield from _curve_records(curve)
    for result in evaluation.policies:
        yield from _policy_records(result)
    for remark in evaluation.remarks:
        yield "remark", remark


def _read_records(evaluation: Evaluation) -> Iterator[tuple[object, ...]]:
    gathering = evaluation.gathering
    yield "read", "adult", evaluation.adult
    yield "read", "safe", evaluation.safe
    yield "read", "duplicates", gathering.duplicates
    yield "read", "contradictions", len(gathering.contradictions)
    yield "read", "near_copies", gathering.near_copies
    yield "read", "thinned", gathering.thinned
    yield "read", "unjudged", gathering.unjudged
    yield "read", "unfinished", gathering.unfinished
    yield "read", "scores_of", gathering.scores_of
    for code, count in sorted(gathering.failures.items()):
        yield "read", code, count
    yield "read", "confidence", evaluation.confidence


def _curve_records(curve: Curve) -> Iterator[tuple[object, ...]]:
    yield "curve", curve.name, "auc", *_spread(curve.auc)
    yield "curve", curve.name, "average_precision", *_spread(curve.average_precision)
    for recall in curve.recalls:
        measure = f"recall_at_{recall.false_alarm:g}"
        yield "curve", curve.name, measure, *_spread(recall.found), recall.threshold, recall.takes_safe


def _policy_records(result: PolicyResult) -> Iterator[tuple[object, ...]]:
    who = result.called, result.model
    for measure, *rest in _rate_records(result.rates):
        yield "policy", *who, measure, *rest
    if rates := result.at_base_rate:
        for name, value in zip(("flags_right", "passes_wrong", "left"), base_rate_values(rates), strict=True):
            yield "policy", *who, f"{name}_at_{rates.base_rate:g}", *_spread(value), None, None
    for outcome in GRAVEST_FIRST:
        for verdict in Verdict:
            yield "decided", *who, outcome, verdict, result.table[outcome][verdict]
    for group, group_rates in result.groups.items():
        for measure, *rest in _rate_records(group_rates):
            yield "group", *who, group, measure, *rest
    for mistake in result.mistakes:
        yield "mistake", *who, *_mistake_fields(mistake)


def _rate_records(rates: Rates) -> Iterator[tuple[object, ...]]:
    for measure, rate in (("missed", rates.missed), ("false_alarm", rates.false_alarm), ("left", rates.left)):
        yield measure, *_spread(rate), rate.count, rate.of


def _mistake_fields(mistake: Mistake) -> tuple[object, ...]:
    return mistake.verdict, mistake.decision, mistake.score, mistake.sha256, mistake.id


def _spread(estimate: Estimate | None) -> tuple[float | None, float | None, float | None]:
    value = best(estimate)
    return (None, None, None) if estimate is None or value is None else (value, estimate.low, estimate.high)


def _field(field: object) -> str:
    if field is None:
        return ""
    return f"{field:.6g}" if isinstance(field, float) else printable(str(field))
