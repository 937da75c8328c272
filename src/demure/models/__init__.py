"""Which models there are: a TOML that describes each, with its weights file beside it. Reads files, runs nothing.

The package carries its own; an operator's folder is read in the same way.
"""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from demure.errors import DamagedWeights, InvalidModel, UnknownModel
from demure.preprocess import Bgr, Crop, Divide, Jpeg, PixelStep, Resize, Step, Subtract, ValueStep
from demure.scores import Category

BUNDLED_DIR = Path(__file__).parent
DEFAULT = "mobilenet_v2_140"
MAX_SIDE = 1024  # pixels; a model's input is small, and a typing error should not allocate gigabytes


@dataclass(frozen=True)
class ModelSpec:
    """What must be known of a model to run it and to trust it.

    `categories` maps each output label to a category and is empty for a witness; `witness_label` names the output that is
    a witness's score and is empty for a five-class model.
    """

    name: str
    description: str
    licence: str
    source: str
    weights: Path
    sha256: str
    input_name: str
    output_name: str
    labels: tuple[str, ...]
    categories: Mapping[str, Category]
    witness_label: str
    steps: tuple[Step, ...]

    @property
    def is_witness(self) -> bool:
        return bool(self.witness_label)

    @property
    def pixel_steps(self) -> tuple[PixelStep, ...]:
        return tuple(step for step in self.steps if isinstance(step, PixelStep))

    @property
    def value_steps(self) -> tuple[ValueStep, ...]:
        return tuple(step for step in self.steps if isinstance(step, ValueStep))

    def read_weights(self) -> bytes:
        """The weights file, read once and checked: what is hashed is what is run. Raises DamagedWeights."""
        try:
            data = self.weights.read_bytes()
        except OSError as error:
            raise DamagedWeights(f"{self.weights}: cannot be read ({error.strerror}); install demure anew") from error
        found = hashlib.sha256(data).hexdigest()
        if found != self.sha256:
            raise DamagedWeights(
                f"{self.weights}: SHA-256 is {found}, its description says {self.sha256}; "
                "restore the file, or install demure anew"
            )
        return data


class Registry(Mapping[str, ModelSpec]):
    """The models by name: the bundled ones, then those of the operator's folder."""

    def __init__(self, operator_dir: Path | None = None) -> None:
        """Raises InvalidModel if a description does not hold, or if a name is taken already."""
        self._specs: dict[str, ModelSpec] = {}
        for folder in [BUNDLED_DIR, *([operator_dir] if operator_dir else [])]:
            for path in _descriptions(folder):
                spec = read_spec(path)
                if spec.name in self._specs:
                    raise InvalidModel(f"{path}: name: {spec.name!r} is taken by {self._specs[spec.name].weights}")
                self._specs[spec.name] = spec

    def __getitem__(self, name: str) -> ModelSpec:
        """Raises UnknownModel, which lists the known names."""
        try:
            return self._specs[name]
        except KeyError:
            raise UnknownModel(f"no model {name!r}; known: {', '.join(self._specs)}") from None

    def __contains__(self, name: object) -> bool:
        return name in self._specs

    def __iter__(self) -> Iterator[str]:
        return iter(self._specs)

    def __len__(self) -> int:
        return len(self._specs)

    @property
    def witnesses(self) -> frozenset[str]:
        return frozenset(name for name, spec in self._specs.items() if spec.is_witness)


def _descriptions(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise InvalidModel(f"{folder}: not a folder; expected one with a .toml and a .onnx for each model")
    return sorted(folder.glob("*.toml"))


def read_spec(path: Path) -> ModelSpec:
    """Read one description; its weights are the file of the same name that ends in .onnx.

    Raises InvalidModel, which tells the file, the key and what was expected.
    """
    try:
        table = tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InvalidModel(f"{path}: cannot be read as TOML ({error})") from error
    return _SpecReader(path, table).read()


class _SpecReader:
    """Holds what every message needs while one description is read."""

    def __init__(self, path: Path, table: dict[str, Any]) -> None:
        self.path = path
        self.root = table

    def error(self, key: str, expected: str) -> InvalidModel:
        return InvalidModel(f"{self.path}: {key}: {expected}")

    def read(self) -> ModelSpec:
        known = {"name", "description", "licence", "source", "upstream_sha256", "sha256", "input", "output", "steps"}
        for key in self.root.keys() - known:
            raise self.error(key, f"unknown key; expected one of {', '.join(sorted(known))}")
        output = self.value(self.root, "output", dict)
        labels = tuple(self.value(output, "labels", list, "output."))
        if not labels or not all(isinstance(label, str) for label in labels) or len(set(labels)) < len(labels):
            raise self.error("output.labels", f"expected different names in quotes, found {list(labels)}")
        name = self.value(self.root, "name", str)
        if name in {*Category, ""}:
            raise self.error("name", f"expected a name that is not a category's, found {name!r}")
        return ModelSpec(
            name=name,
            description=self.value(self.root, "description", str),
            licence=self.value(self.root, "licence", str),
            source=self.value(self.root, "source", str),
            weights=self.path.with_suffix(".onnx"),
            sha256=self.hash("sha256"),
            input_name=self.value(self.value(self.root, "input", dict), "name", str, "input."),
            output_name=self.value(output, "name", str, "output."),
            labels=labels,
            categories=self.categories(output, labels),
            witness_label=self.witness_label(output, labels),
            steps=self.steps(),
        )

    def value(self, table: dict[str, Any], key: str, kind: type, prefix: str = "") -> Any:
        value = table.get(key)
        if type(value) is not kind:
            words = {
                str: "text in quotes",
                dict: "a table",
                list: "a list",
                int: "a whole number",
                bool: "true or false",
            }
            raise self.error(f"{prefix}{key}", f"expected {words[kind]}, found {value!r}")
        return value

    def hash(self, key: str) -> str:
        value = str(self.value(self.root, key, str)).lower()
        if len(value) != 64 or set(value) - set("0123456789abcdef"):
            raise self.error(key, f"expected 64 hexadecimal digits, found {value!r}")
        return value

    def categories(self, output: dict[str, Any], labels: tuple[str, ...]) -> dict[str, Category]:
        if "witness" in output:
            return {}
        table = self.value(output, "categories", dict, "output.")
        for label in {*labels} ^ table.keys():
            raise self.error(f"output.categories.{label}", "expected one category for each of output.labels")
        for label, category in table.items():
            if category not in list(Category):
                raise self.error(
                    f"output.categories.{label}", f"expected one of {', '.join(Category)}, found {category!r}"
                )
        for category in set(Category) - set(table.values()):
            raise self.error(
                "output.categories", f"no label for {category}; a model without it can be a witness instead"
            )
        return {label: Category(table[label]) for label in labels}

    def witness_label(self, output: dict[str, Any], labels: tuple[str, ...]) -> str:
        if "witness" not in output:
            return ""
        if "categories" in output:
            raise self.error("output", "expected either categories or witness, found both")
        label = str(self.value(output, "witness", str, "output."))
        if label not in labels:
            raise self.error("output.witness", f"expected one of {', '.join(labels)}, found {label!r}")
        return label

    def steps(self) -> tuple[Step, ...]:
        tables = self.value(self.root, "steps", list)
        steps = tuple(self.step(table, f"steps[{i}]") for i, table in enumerate(tables))
        pixel_steps = [isinstance(step, PixelStep) for step in steps]
        if not steps or not isinstance(steps[0], Resize):
            raise self.error("steps[0]", "expected a resize: models take one size")
        if pixel_steps != sorted(pixel_steps, reverse=True):
            raise self.error("steps", "expected resize, crop and jpeg before bgr, subtract and divide")
        if any(isinstance(step, Resize) for step in steps[1:]):
            raise self.error("steps", "expected one resize")
        size = (steps[0].width, steps[0].height)
        for i, step in enumerate(steps):
            if isinstance(step, Crop):
                if step.width > size[0] or step.height > size[1]:
                    raise self.error(
                        f"steps[{i}].crop", f"expected no more than the {size[0]} x {size[1]} pixels that are there"
                    )
                size = (step.width, step.height)
        return steps

    def step(self, table: object, key: str) -> Step:
        if not isinstance(table, dict) or len(table) != 1:
            raise self.error(key, "expected a table with one key, such as { resize = { … } }")
        ((kind, options),) = table.items()
        key = f"{key}.{kind}"
        match kind, options:
            case "resize", {"width": width, "height": height, "antialias": bool(antialias)} if len(options) == 3:
                return Resize(self.side(width, key), self.side(height, key), antialias)
            case "crop", {"width": width, "height": height} if len(options) == 2:
                return Crop(self.side(width, key), self.side(height, key))
            case "jpeg", {"quality": int(quality)} if len(options) == 1 and _is_number(quality) and 1 <= quality <= 95:
                return Jpeg(quality)
            case "bgr", True:
                return Bgr()
            case "subtract", [r, g, b] if _is_number(r) and _is_number(g) and _is_number(b):
                return Subtract((float(r), float(g), float(b)))
            case "divide", by if _is_number(by) and by > 0:
                return Divide(float(by))
        raise self.error(key, f"found {str(options)[:80]}; expected {_STEP_FORMS}")

    def side(self, value: object, key: str) -> int:
        if type(value) is not int or not 1 <= value <= MAX_SIDE:
            raise self.error(key, f"expected sides of 1 to {MAX_SIDE} pixels, found {value!r}")
        return value


def _is_number(value: object) -> bool:
    return type(value) in (int, float) and abs(cast("float", value)) <= _LARGEST


_LARGEST = 1e6  # of what is subtracted or divided by; also keeps out what is no number
_STEP_FORMS = (
    "resize = { width, height, antialias }, crop = { width, height }, jpeg = { quality }, bgr = true, "
    "subtract = [a, b, c] or divide = n"
)
