"""Many images to scores, on all processors, each at most once: read or fetch, look into the cache, decode, ask the models.

It knows no policy. What goes wrong with one image is that image's answer, and no score is made up for it; what goes wrong with
the installation ends the work, and what was scored until then is in the cache.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import deque
from collections.abc import Awaitable, Callable, Generator, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from demure.classifier import Classifier
from demure.decode import DecodeLimits
from demure.errors import DemureError, FetchError, ImageError, Overloaded, SourceError, TimedOut
from demure.evaluation.gathering import NO_GROUP, Collected, Column, columns_of
from demure.evaluation.labelled import LabelledSet
from demure.evaluation.labels import Labels, is_url
from demure.fetching import Fetching
from demure.files import read_file
from demure.inputs import Inputs, prepare
from demure.machine import usable_processors
from demure.pipeline import MIN_SIDE, classify_rows, fingerprints_of, recipe_for, with_luma
from demure.preprocess import Fidelity
from demure.score_cache import Entry, ScoreCache, score_version

if TYPE_CHECKING:
    from demure.fetch import FetchLimits
    from demure.sandbox import Sandbox

_AHEAD = 16  # images a thread that are begun before the answers to all earlier ones are out
_FETCHED_AHEAD = 8  # images whose bytes wait for a thread; 20 MiB each at most
_FAILURES = (SourceError, ImageError, FetchError, Overloaded, TimedOut)  # of one image


def score_labels(
    labels: Labels,
    classifiers: Mapping[str, Classifier],
    *,
    sandbox: Sandbox | None = None,
    limits: DecodeLimits = DecodeLimits(),
    fidelity: Fidelity = Fidelity.FAST,
    cache: ScoreCache | None = None,
    fetch: FetchLimits | None = None,
    threads: int | None = None,
    on_progress: Callable[[int, int | None], None] = lambda _done, _total: None,
) -> LabelledSet:
    """The scores that each of these models gives to each image; labels that have scores already are answered as they are.

    The answer does not hang on the number of threads, nor on what is in the cache. All models see one decode, as the service
    makes it for them together: to have the very scores of a policy, ask for its model and witnesses alone.

    `on_progress` is told, in this thread, how many images are done and how many there are. Raises DamagedWeights, InvalidModel,
    and StorageUnavailable for a damaged cache.
    """
    if isinstance(labels, LabelledSet):
        return labels
    scorer = Scorer(classifiers, sandbox=sandbox, limits=limits, fidelity=fidelity, cache=cache)
    collected = Collected(scorer.columns, grouped=labels.groups is not None, fingerprinted=True)
    places = (source if is_url(source) else labels.folder / source for source in labels.sources)
    with closing(score_all(places, scorer, fetch=fetch, threads=threads)) as answers:
        for number, answer in enumerate(answers):
            if isinstance(answer, DemureError):
                collected.fail(answer.code)
            else:
                collected.add(
                    answer.values(scorer.columns),
                    is_adult=bool(labels.is_adult[number]),
                    is_small=min(answer.size) < MIN_SIDE,
                    id=labels.sources[number],
                    sha256=answer.sha256,
                    key=answer.sha256,
                    group=NO_GROUP if labels.groups is None else labels.groups[number],
                    pdq=answer.pdq,
                )
            on_progress(number + 1, len(labels))
    return collected.labelled_set()


@dataclass(frozen=True)
class Scored:
    """What the models say of one image."""

    sha256: str  # hex
    entries: Mapping[str, Entry]  # by the model's name; all are of as many rows

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels."""
        return self._any.width, self._any.height

    @property
    def pdq(self) -> bytes | None:
        """32 bytes; None where no copy could be told by it: of several pictures, or with too little to see."""
        return self._any.pdq

    def values(self, columns: Sequence[Column]) -> list[float]:
        """Row after row, each in the order of the columns."""
        numbers = range(len(self._any.rows))
        return [self.entries[model].rows[number][name] for number in numbers for model, name in columns]

    @property
    def _any(self) -> Entry:
        return next(iter(self.entries.values()))


class Scorer:
    """Several models and what they said before. Thread-safe."""

    def __init__(
        self,
        classifiers: Mapping[str, Classifier],
        *,
        sandbox: Sandbox | None = None,
        limits: DecodeLimits = DecodeLimits(),
        fidelity: Fidelity = Fidelity.FAST,
        cache: ScoreCache | None = None,
    ) -> None:
        """Without a `sandbox`, images are decoded in this process."""
        self.limits = limits
        self._classifiers = classifiers
        self._cache = cache
        self._prepare = prepare if sandbox is None else sandbox.prepare
        # Also where some of the models are not asked: at what size a JPEG is decoded hangs on all of them.
        self._recipe = with_luma(recipe_for(classifiers, fidelity, limits))
        self._versions = {name: score_version(c.spec, self._recipe) for name, c in classifiers.items()}

    @property
    def columns(self) -> tuple[Column, ...]:
        """The scores that there are of each row."""
        models = [name for name, classifier in self._classifiers.items() if not classifier.spec.is_witness]
        return columns_of(models, [name for name in self._classifiers if name not in models])

    def read(self, path: Path) -> Scored:
        """A file's scores. Raises SourceNotFound and TooLarge as well."""
        return self.score(read_file(path, self.limits.max_bytes, regular=True))

    def score(self, data: bytes) -> Scored:
        """Raises ImageError, Overloaded, DamagedWeights, InvalidModel; StorageUnavailable for a damaged cache."""
        digest = hashlib.sha256(data)
        known = {} if self._cache is None else self._cache.get(digest.digest(), self._versions)
        if known.keys() != self._classifiers.keys() or len({*map(_facts, known.values())}) > 1:
            fresh = self._ask(self._prepare(data, self._recipe), known)
            if self._cache is not None:
                self._cache.put(digest.digest(), fresh, self._versions)
            known |= fresh
        return Scored(digest.hexdigest(), known)

    def _ask(self, inputs: Inputs, known: Mapping[str, Entry]) -> dict[str, Entry]:
        """Those models of which nothing is known that fits what was decoded."""
        blank = Entry(inputs.media.width, inputs.media.height, ({},) * len(inputs.rows), _pdq(inputs))
        fits = {name for name, entry in known.items() if _facts(entry) == _facts(blank)}
        asked = {name: classifier for name, classifier in self._classifiers.items() if name not in fits}
        given = classify_rows(inputs.rows, asked)
        return {
            name: Entry(blank.width, blank.height, tuple(scores[name] for scores in given), blank.pdq) for name in asked
        }


def _facts(entry: Entry) -> tuple[object, ...]:
    """What is the same for every model, if they saw the same pictures."""
    return entry.width, entry.height, len(entry.rows), entry.pdq


def _pdq(inputs: Inputs) -> bytes | None:
    from demure.pdq import MIN_QUALITY

    if len(inputs.rows) > 1 or inputs.media.frames > 1:
        return None
    return next((found.hash for found in fingerprints_of(inputs) if found.quality >= MIN_QUALITY), None)


def score_all(
    sources: Iterable[Path | str], scorer: Scorer, *, fetch: FetchLimits | None = None, threads: int | None = None
) -> Generator[Scored | DemureError, None, None]:
    """Files and URLs (these as text) in the order given, however long each takes; an image that fails is its error.

    Close the iterator to stop: what is under way is finished, the rest is not begun. Raises what Scorer.score raises of the
    installation.
    """
    threads = threads or usable_processors()
    waiting: deque[Future[Scored]] = deque()
    with ThreadPoolExecutor(threads) as pool, Fetching(fetch, threads + _FETCHED_AHEAD) as fetching:

        def scored(data: bytes) -> Awaitable[Scored]:
            return asyncio.get_running_loop().run_in_executor(pool, scorer.score, data)

        try:
            for source in sources:
                if isinstance(source, Path):
                    waiting.append(pool.submit(scorer.read, source))
                else:
                    waiting.append(fetching.begin(source, scored))
                if len(waiting) >= threads * _AHEAD:
                    yield _outcome(waiting.popleft())
            while waiting:
                yield _outcome(waiting.popleft())
        finally:
            for future in waiting:
                future.cancel()


def _outcome(future: Future[Scored]) -> Scored | DemureError:
    try:
        return future.result()
    except _FAILURES as error:
        return error
