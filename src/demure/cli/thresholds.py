"""The shell's commands for thresholds: `demure evaluate` and `demure calibrate`. Thin, as cli.py.

Exit codes: 0 done; 2, by cli.main, the question was wrong, or there are too few labels to answer it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from demure.cli.parts import check_output, read_settings, warn

if TYPE_CHECKING:
    from demure.calibrate import Target
    from demure.classifier import Classifier
    from demure.evaluation.evaluate import Evaluation
    from demure.evaluation.labelled import LabelledSet
    from demure.policy import Policy
    from demure.sandbox import Sandbox
    from demure.score_cache import ScoreCache
    from demure.settings import Settings

_LEAST_SHARE = 1e-6  # less takes more labels than anybody has

Labelled = Annotated[
    Path | None,
    typer.Argument(
        metavar="LABELLED",
        help="A folder with adult/ and safe/ in it, or a .csv or .jsonl of labels with paths, URLs or scores.",
    ),
]
Reviews = Annotated[bool, typer.Option("--reviews", help="Instead of LABELLED: what people said in the review.")]
BaseRate = Annotated[float | None, typer.Option(min=0, max=1, help="The share of adult images at your site, as 0.01.")]
NoCache = Annotated[bool, typer.Option("--no-cache", help="Score each image anew, and keep no scores.")]


def evaluate(
    labelled: Labelled = None,
    reviews: Reviews = False,
    model: Annotated[list[str] | None, typer.Option(help="A five-class model; repeat it for several.")] = None,
    policy: Annotated[
        list[str] | None, typer.Option(help="A policy's name or .toml; repeat it for several. Without it, all.")
    ] = None,
    base_rate: BaseRate = None,
    group: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="Rates for each value of a column; `folder` for subfolders.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Write one HTML page, with charts.")] = None,
    pictures: Annotated[bool, typer.Option("--pictures", help="Show the worst mistakes on it, blurred.")] = False,
    no_cache: NoCache = False,
) -> None:
    """Measure models and policies on images of which you know what they are.

    Each image is scored once, and the scores are kept: a run that was broken off goes on where it was.
    """
    from demure.evaluation.evaluate import evaluate as measure

    _check_question(reviews=reviews, grouped=group is not None, paged=html is not None, pictures=pictures)
    tools = _Tools(read_settings(), policy, model)
    if html is not None:
        check_output(html, [path for path in (labelled, *map(Path, policy or ())) if path is not None])
    found = tools.read(labelled, group, reviews=reviews, cached=not no_cache)
    evaluation = measure(found, tools.policies, base_rate=base_rate)
    try:
        if html is not None:
            _write_page(tools, evaluation, html, labelled, pictures=pictures)
    finally:  # whatever became of the page
        _print(evaluation, as_json=as_json)


def calibrate(
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FILE", help="The policy to write, a .toml.")],
    labelled: Labelled = None,
    reviews: Reviews = False,
    max_missed: Annotated[
        float | None, typer.Option(help="Of all adult images, the share that may be decided safe, as 0.005.")
    ] = None,
    max_false_alarm: Annotated[
        float | None, typer.Option(help="Of all safe images, the share that may be decided adult, as 0.002.")
    ] = None,
    confidence: Annotated[float, typer.Option(help="Of the promise, both sides of it together.")] = 0.95,
    policy: Annotated[str | None, typer.Option(help="Whose sums and bounds to use; its limits are chosen.")] = None,
    model: Annotated[str | None, typer.Option(help="The five-class model that will judge.")] = None,
    base_rate: BaseRate = None,
    replace: Annotated[bool, typer.Option("--replace", help="Write over a file that is there.")] = False,
    no_cache: NoCache = False,
) -> None:
    """Find the bounds that keep an error which you choose, and leave least to people; write them as a policy.

    docs/policy.md says what is promised, and what breaks it.
    """
    from demure.calibrate import Target
    from demure.calibrate import calibrate as choose
    from demure.evaluation.calibration_report import calibration_lines
    from demure.files import check_new, replace_file
    from demure.policy_file import policy_text

    target = Target(max_missed, max_false_alarm, confidence)
    _check(target, output)
    check_new(output, replace=replace)
    check_output(output, [labelled] if labelled else [])
    settings = read_settings()
    tools = _Tools(settings, [policy or settings.policy], [model] if model else None)
    (shape,), (judge,) = tools.policies, tools.models
    _check_shape(shape, target)
    found = tools.read(labelled, None, reviews=reviews, cached=not no_cache)
    calibration = choose(found, judge, shape, target, base_rate=base_rate, name=output.stem)
    replace_file(output, policy_text(calibration.policy))
    usage = {} if judge == settings.model else {"DEMURE_MODEL": judge}
    print("\n".join(calibration_lines(calibration, target, found.gathering, output, usage)))


class _Tools:
    """What a set is scored and judged with: settings, policies and models that were found, and a sandbox for decoding."""

    def __init__(self, settings: Settings, policies: Sequence[str] | None, models: Sequence[str] | None) -> None:
        """Raises UnknownPolicy, UnknownModel, InvalidPolicy, InvalidModel."""
        from demure.classifier import Classifiers
        from demure.models import Registry
        from demure.policy_file import find_policy, known_policies

        self.settings = settings
        self.classifiers = Classifiers(Registry(settings.models_dir))
        self.witnesses = self.classifiers.registry.witnesses
        known = known_policies(self.witnesses, settings.policies_dir, settings.policy)
        wanted = [known.get(n) or find_policy(n, self.witnesses) for n in policies] if policies else known.values()
        # A file is known under its path as well; and two files may have one name.
        self.policies = [*{(policy.name, policy.version): policy for policy in wanted}.values()]
        self.models = [*dict.fromkeys(self.classifiers[name].spec.name for name in models or [settings.model])]

    def read(self, labelled: Path | None, group: str | None, *, reviews: bool, cached: bool) -> LabelledSet:
        """The labelled images with their scores. Raises InvalidLabels, SourceNotFound, and what the store raises."""
        from demure.errors import InvalidLabels
        from demure.evaluation.labelled import LabelledSet
        from demure.evaluation.labels import read_labels
        from demure.scoring import score_labels

        if (labelled is None) != reviews:
            raise InvalidLabels("expected LABELLED, a folder or a list, or --reviews in its place")
        if labelled is None:
            self._check_one_model("the review")
            return self._read_reviews()
        labels = read_labels(labelled, group=group, model=self.models[0], witnesses=self.witnesses)
        if isinstance(labels, LabelledSet):
            self._check_one_model(str(labelled))
            return labels
        with self._sandbox() as sandbox, self._cache(cached=cached) as cache, _progress() as on_progress:
            return score_labels(
                labels,
                self._asked(),
                sandbox=sandbox,
                limits=self.settings.decode_limits,
                cache=cache,
                fetch=self.settings.fetch_limits,
                on_progress=on_progress,
            )

    def _check_one_model(self, source: str) -> None:
        from demure.errors import InvalidLabels

        if len(self.models) > 1:
            raise InvalidLabels(
                f"{source}: has scores already, which are those of one model, and no others are made: expected one --model, "
                f"found {', '.join(self.models)}"
            )

    def previews(self, evaluation: Evaluation, folder: Path) -> dict[str, bytes]:
        """Small JPEGs of the mistakes that are files, by id; of one that cannot be shown there is none."""
        from demure.errors import ImageError, Overloaded, SourceError
        from demure.evaluation.labels import is_url
        from demure.pipeline import read_source
        from demure.previews import make_previews

        limits, shown = self.settings.decode_limits, dict[str, bytes]()
        ids = {mistake.id for result in evaluation.policies for mistake in result.mistakes}
        with self._sandbox() as sandbox:
            for name in sorted(name for name in ids if not is_url(name)):
                try:
                    data = read_source(str(folder / name), limits.max_bytes)
                    shown[name] = make_previews(sandbox.prepare, bytes(data), 0, limits)[0].data
                except (SourceError, ImageError, Overloaded):
                    continue
        return shown

    def _read_reviews(self) -> LabelledSet:
        from demure.evaluation.verdicts import read_verdicts
        from demure.store import open_database

        with closing(open_database(self.settings)) as database:
            return read_verdicts(database, self.models[0], self._named)

    def _asked(self) -> Mapping[str, Classifier]:
        """The models and the witnesses that the policies name, and no others: a witness more is a third of the time."""
        return {name: self.classifiers[name] for name in [*self.models, *sorted(self._named)]}

    @property
    def _named(self) -> set[str]:
        return {witness for policy in self.policies for witness in policy.witnesses}

    def _sandbox(self) -> Sandbox:
        from demure.machine import usable_processors
        from demure.sandbox import Sandbox

        return Sandbox(usable_processors(), self.settings.sandbox_limits)

    @contextmanager
    def _cache(self, *, cached: bool) -> Iterator[ScoreCache | None]:
        from demure.score_cache import FILE_NAME, ScoreCache

        if not cached:
            yield None
            return
        with ScoreCache(self.settings.data_dir.expanduser() / FILE_NAME) as cache:
            yield cache


@contextmanager
def _progress() -> Iterator[Callable[[int, int | None], None]]:
    """A bar on a terminal; elsewhere nothing, as it would only be in the way of what is piped."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("scoring", total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def _print(evaluation: Evaluation, *, as_json: bool) -> None:
    if as_json:
        import json

        from demure.evaluation.evaluate import as_dict

        print(json.dumps(as_dict(evaluation)))
    else:
        from rich.console import Console

        from demure.evaluation.report import print_evaluation

        print_evaluation(evaluation, Console())


def _write_page(tools: _Tools, evaluation: Evaluation, page: Path, labelled: Path | None, *, pictures: bool) -> None:
    from demure.evaluation.report_page import write_page

    shown = None
    if pictures and labelled is not None:
        # The names of files in a folder begin with it; those in a list begin where the list is.
        shown = tools.previews(evaluation, Path() if labelled.is_dir() else labelled.parent)
    write_page(evaluation, page, source=str(labelled or "the review"), pictures=shown)
    if shown is not None:
        lacking = {mistake.id for result in evaluation.policies for mistake in result.mistakes} - shown.keys()
        if lacking:
            told = f"{len(lacking):,} of {len(lacking) + len(shown):,} mistakes are shown without their picture"
            warn(f"{told}: no file of that name can be read as an image, such as {min(lacking)}")


def _check_question(*, reviews: bool, grouped: bool, paged: bool, pictures: bool) -> None:
    """Options that would be for nothing."""
    from demure.errors import InvalidSetting

    if reviews and grouped:
        raise InvalidSetting("--group: verdicts have no columns; take it out, or give a list in place of --reviews")
    if reviews and pictures:
        raise InvalidSetting("--pictures: no images are kept of the review; take it out")
    if pictures and not paged:
        raise InvalidSetting("--pictures: expected --html FILE as well, to put them into")


def _check_shape(shape: Policy, target: Target) -> None:
    """A section whose limits are to be chosen must have some: one that was calibrated may have none left."""
    from demure.errors import InvalidPolicy

    sections = {"safe": (target.max_missed, shape.safe), "adult": (target.max_false_alarm, shape.adult)}
    for section, (share, bounds) in sections.items():
        if share is not None and not bounds:
            raise InvalidPolicy(
                f"{shape.name}: {section}: there are no bounds here whose limits could be chosen; name a policy that has "
                "some, as --policy balanced"
            )


def _check(target: Target, output: Path) -> None:
    """What typer does not check: shares are of (0, 1), and percent for shares is the usual slip."""
    from demure.errors import InvalidSetting
    from demure.policy_file import SHIPPED
    from demure.printable import printable

    shares = {
        "--max-missed": target.max_missed,
        "--max-false-alarm": target.max_false_alarm,
        "--confidence": target.confidence,
    }
    for option, share in shares.items():
        if share is not None and not _LEAST_SHARE <= share <= 1 - _LEAST_SHARE:
            raise InvalidSetting(f"{option}: expected more than 0 and less than 1, such as 0.005 for half a percent")
    if (target.max_missed, target.max_false_alarm) == (None, None):
        raise InvalidSetting("expected --max-missed, --max-false-alarm, or both: the errors that you accept")
    if target.confidence < 0.5:
        raise InvalidSetting("--confidence: expected 0.5 or more, such as 0.95")
    if output.suffix != ".toml" or output.stem in SHIPPED or not printable(output.stem) == output.stem:
        raise InvalidSetting(
            f"{printable(str(output))}: expected a name of your own that ends in .toml; policies are found by it, and "
            f"{', '.join(SHIPPED)} are taken"
        )
