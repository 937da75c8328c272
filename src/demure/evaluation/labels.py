"""What did a site's people say, and of which images? Reads folders and lists; opens no image and asks no model.

LABELLED is a folder with adult/ and safe/ in it, or a list (.csv, .jsonl) of paths or URLs, or a list that has scores already.
Nothing is guessed: the first line that is wrong ends the reading, and is told.
"""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Collection, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

from demure.errors import InvalidLabels
from demure.evaluation.gathering import NO_GROUP, Collected, columns_of
from demure.evaluation.labelled import LabelledSet
from demure.folders import is_junk, leads_inside
from demure.listing import CSV, JSON_LINES, Listing, Row, shown
from demure.models import Registry
from demure.pipeline import MIN_SIDE
from demure.reviews import Verdict
from demure.scores import Category

FOLDER = "folder"  # the group of an image in a folder: the first folder below adult/ or safe/
_HEX_DIGITS = 64

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LabelledImages:
    """n images that are still to be scored: where they are, and what a person said of each."""

    folder: Path  # what relative paths begin at
    sources: list[str]  # (n,): paths and URLs, as given
    is_adult: bytearray  # (n,): 0 or 1
    groups: list[str] | None  # (n,)

    def __len__(self) -> int:
        return len(self.sources)

    def add(self, source: str, *, is_adult: bool, group: str) -> None:
        self.sources.append(source)
        self.is_adult.append(is_adult)
        if self.groups is not None:
            self.groups.append(group)


Labels = LabelledImages | LabelledSet


def read_labels(
    source: str | os.PathLike[str], *, group: str | None = None, model: str, witnesses: Collection[str] | None = None
) -> Labels:
    """The images to score, or, of a list that has scores, the whole set.

    `group` is the column whose values part the images; in a folder it is FOLDER. Where a value is missing the group is NO_GROUP.
    `model` is what the five categories' scores are told to be of, and `witnesses` the names that a witness's scores may stand
    under; without them, the bundled ones.

    Raises InvalidLabels, which tells the file, the line and what was expected; also where there is no image at all.
    """
    path = Path(source)
    if path.is_dir():
        return _read_folder(path, group)
    if path.suffix.lower() in (*CSV, *JSON_LINES):
        return _List(path, group, model, Registry().witnesses if witnesses is None else witnesses).read()
    endings = ", *".join((*CSV, *JSON_LINES))
    raise InvalidLabels(f"{path}: expected a folder with adult and safe in it, or a file *{endings}")


def is_url(source: str) -> bool:
    return source.lower().startswith(("http://", "https://"))


# --- Folders ----------------------------------------------------------------------------------------------------------


def _read_folder(folder: Path, group: str | None) -> LabelledImages:
    if group not in (None, FOLDER):
        raise InvalidLabels(
            f"{folder}: a folder has no columns; --group {FOLDER} takes the first folders below adult, safe"
        )
    images = LabelledImages(Path(), [], bytearray(), None if group is None else [])
    left = 0
    for verdict in Verdict:
        for parts in _files(folder, verdict):
            path = folder.joinpath(*parts)
            if path.is_symlink() and not leads_inside(path, folder):
                left += 1
            else:
                place = parts[1] if len(parts) > 2 else NO_GROUP
                images.add(str(path), is_adult=verdict is Verdict.ADULT, group=place)
    told = f"{left} links were not followed: they lead out of the folder, to a folder or nowhere" if left else ""
    if not images:
        raise InvalidLabels(f"{folder}: no images; expected some in its folders adult and safe. {told}".rstrip(". "))
    if left:
        _log.warning("%s: %s", folder, told)
    return images


def _files(folder: Path, first: str) -> Iterator[tuple[str, ...]]:
    """All files and links below folder/first, by their parts from `folder` on, in the order of the names."""
    waiting: list[tuple[str, ...]] = [(first,)]
    while waiting:
        parts = waiting.pop()
        path = folder.joinpath(*parts)
        try:
            kind = path.lstat().st_mode
            if stat.S_ISDIR(kind):
                names = sorted(os.listdir(path), reverse=True)  # noqa: PTH208 - names are all that is wanted
                waiting += [(*parts, name) for name in names if not is_junk(name)]
        except FileNotFoundError:
            continue  # adult or safe alone is enough; and files go while we look
        except OSError as error:
            raise InvalidLabels(f"{path}: cannot be read ({error.strerror})") from error
        if stat.S_ISLNK(kind) or (stat.S_ISREG(kind) and len(parts) > 1):
            yield parts


# --- Lists ------------------------------------------------------------------------------------------------------------


class _List(Listing):
    """A list of labels: what each of its columns may hold."""

    def __init__(self, path: Path, group: str | None, model: str, witnesses: Collection[str]) -> None:
        super().__init__(path)
        self._group = group.strip().lower() if group is not None and self.is_csv else group
        self._model = model
        self._witnesses = sorted(witnesses)

    def read(self) -> Labels:
        needed = ["label", *([] if self._group is None else [self._group])]
        with closing(self.rows(needed)) as rows:
            labels = self._read(map(self._flattened, rows))
        if labels.groups is not None and {*labels.groups} == {NO_GROUP}:
            raise InvalidLabels(f"{self.path}: no line has a value of {self._group!r}, by which to group")
        return labels

    def _read(self, rows: Iterator[Row]) -> Labels:
        first = next(rows, None)
        if first is None:
            raise InvalidLabels(f"{self.path}: no images; expected one a line")
        has_scores = not first.keys().isdisjoint([*Category, *self._witnesses, "scores", "witnesses"])
        return self._scored(chain([first], rows)) if has_scores else self._images(chain([first], rows))

    def _flattened(self, row: Row) -> Row:
        """Answers have scores in objects of their own; here they stand beside the label."""
        flat = dict(row)
        for name in () if self.is_csv else ("scores", "witnesses"):
            more = row.get(name) or {}
            if not isinstance(more, dict):
                raise self.error(f"{name}: expected an object, found {shown(more)}")
            flat.update(more)
        return flat

    def _images(self, rows: Iterable[Row]) -> LabelledImages:
        images = LabelledImages(self.path.parent, [], bytearray(), None if self._group is None else [])
        for row in rows:
            images.add(self._source(row), is_adult=self._is_adult(row), group=self._group_of(row))
        return images

    def _scored(self, rows: Iterable[Row]) -> LabelledSet:
        """What scores there are is settled by the first line that has some; all others must have as many."""
        collected: Collected | None = None
        names: list[str] = []
        failures: list[str] = []
        is_told = True  # whose the scores are, in every line
        for row in rows:
            is_adult, code = self._is_adult(row), self._failure(row)
            if code is not None:
                failures.append(code)
                continue
            is_told &= bool(self.text(row, "model"))
            if collected is None:
                columns = columns_of([self._model] if self._has_categories(row) else [], self._known(row))
                names = [name for _, name in columns]
                collected = Collected(columns, grouped=self._group is not None, fingerprinted=False)
            self._check_model(row)
            values = [self._score(row, name) for name in names]
            self._add(collected, row, values, is_adult=is_adult)
        if collected is None:
            raise InvalidLabels(f"{self.path}: no image can be used; why is told of each ({failures[0]}, …)")
        for code in failures:
            collected.fail(code)
        found = collected.labelled_set()
        scores_of = None if is_told or not found.models else self._model
        return replace(found, gathering=replace(found.gathering, scores_of=scores_of))

    def _check_model(self, row: Row) -> None:
        """A line that says whose the scores are must say what was asked for; one that does not is believed."""
        told = self.text(row, "model")
        if told and told != self._model:
            raise self.error(f"model: expected {self._model}, found {shown(told)}; --model names another")

    def _add(self, collected: Collected, row: Row, values: list[float], *, is_adult: bool) -> None:
        name = self.text(row, "id") or self.text(row, "path") or self.text(row, "url")
        sha256 = self._sha256(row)
        collected.add(
            values,
            is_adult=is_adult,
            is_small=self._is_small(row),
            id=name or f"line {self.line}",
            sha256=sha256,
            key=sha256 or name or None,
            group=self._group_of(row),
        )

    def _is_adult(self, row: Row) -> bool:
        label = row.get("label")
        word = label.strip().lower() if isinstance(label, str) else None
        if word not in {*Verdict}:
            raise self.error(f"label: expected adult or safe, found {shown(label)}")
        return word == Verdict.ADULT

    def _group_of(self, row: Row) -> str:
        return NO_GROUP if self._group is None else self.text(row, self._group) or NO_GROUP

    def _source(self, row: Row) -> str:
        path, url = self.text(row, "path"), self.text(row, "url")
        if url and not is_url(url):
            raise self.error(f"url: expected http:// or https://, found {shown(url)}")
        if not (path or url):
            raise self.error(f"expected a path or a url, found {shown(','.join(row))}")
        return path or url

    def _has_categories(self, row: Row) -> bool:
        missing = [str(category) for category in Category if category not in row]
        if 0 < len(missing) < len(Category):
            raise self.error(f"expected all of {', '.join(Category)} or none; missing: {', '.join(missing)}")
        return not missing

    def _known(self, row: Row) -> list[str]:
        found = [name for name in self._witnesses if name in row]
        if not found and Category.PORN not in row:
            raise self.error(f"expected scores of {', '.join(Category)} or of a witness ({', '.join(self._witnesses)})")
        return found

    def _failure(self, row: Row) -> str | None:
        """Why a line cannot be used: the error's code where the image could not be judged, or what else is not known of it."""
        if not self._has_scores(row):
            match row.get("error"):
                case {"code": str(code)}:
                    return code
            if code := self.text(row, "error_code"):
                return code
            if self.text(row, "remembered").lower() == "true":
                return "remembered"  # a person's verdict answered: no model was asked
        elif (self._media(row, "sampled") or 1) > 1 and not self._is_small(row):
            # The scores are those of the gravest picture by the policy of then: by another bound another may be.
            return "several_pictures"
        return None

    def _has_scores(self, row: Row) -> bool:
        return any(row.get(name) not in (None, "") for name in (*Category, *self._witnesses))

    def _is_small(self, row: Row) -> bool:
        """Where nothing is told, it is not."""
        return min(self._media(row, name) or MIN_SIDE for name in ("width", "height")) < MIN_SIDE

    def _media(self, row: Row, name: str) -> int | None:
        """What an answer tells of the file: of CSV in a column of its own, else in `media`. None where it is not told."""
        media = row.get("media")
        value = row.get(name) if self.is_csv else media.get(name) if isinstance(media, dict) else None
        if value in (None, ""):
            return None
        number = _number(value)
        if number is None or number < 0 or not number.is_integer():  # which no NaN is
            raise self.error(f"{name}: expected a whole number, found {shown(value)}")
        return int(number)

    def _score(self, row: Row, name: str) -> float:
        value = row.get(name)
        number = _number(value)
        if number is None or not 0 <= number <= 1:  # which no NaN is
            missing = "" if name in row else "; every line needs the scores that the first has"
            raise self.error(f"{name}: expected a number from 0 to 1, found {shown(value)}{missing}")
        return number

    def _sha256(self, row: Row) -> str | None:
        digits = self.text(row, "sha256").lower()
        if digits and (len(digits) != _HEX_DIGITS or set(digits) - set("0123456789abcdef")):
            raise self.error(f"sha256: expected {_HEX_DIGITS} hexadecimal digits, found {shown(digits)}")
        return digits or None


def _number(value: object) -> float | None:
    try:
        return float(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else None
    except (ValueError, OverflowError):
        return None
