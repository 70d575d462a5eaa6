"""The settings that a sweep tries, from text such as `learning_rate=1e-4:1e-2:log5; pooling=true,false`.

The dimensions are separated by semicolons, each `field=values`. Values are a list, `64,128` (for fields that hold
several numbers `4,8|8,16`), or a range of numbers, `low:high:logN` or `low:high:linN`, with N points that include both
ends. For a random search, the number of points may be left out.
"""

import itertools
import math
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cnn_jax.config import FIELDS, PART_FIELDS, Part
from cnn_jax.errors import InputError
from cnn_jax.experiment import Experiment
from cnn_jax.report.tables import setting_text
from cnn_jax.settings import Setting as Kind
from cnn_jax.settings import as_text

Setting = Mapping[str, Any]  # the value of each swept field

MOST_TRIALS = 10_000
_MOST_REPEATS = 100_000  # random settings in a row that are known: the ranges hold no more
_OTHER_IMAGES = "its values would be scored on different images"
_NOT_SWEPT: Mapping[str, str] = {
    "seed": "use --seeds for several of them",
    "experiment": "all settings start from it; --mode=compare compares experiments",
    "init_hash": "all settings start from the same parameters, those of --init_from",
    **dict.fromkeys(("dataset", "task", "validation_examples"), _OTHER_IMAGES),
    **dict.fromkeys(("keep", "monitor", "patience"), "it chooses epochs by the images that score the settings"),
}


@dataclass(frozen=True)
class Choice:
    """A field with a list of values."""

    field: str
    values: tuple[Any, ...]

    @property
    def is_numeric(self) -> bool:
        """Whether all values are numbers."""
        return all(type(value) in (int, float) for value in self.values)

    @property
    def is_logarithmic(self) -> bool:
        """Whether the values are positive numbers that span a factor of 10 or more."""
        numbers = [value for value in self.values if type(value) in (int, float)]
        return len(numbers) == len(self.values) and min(numbers) > 0 and max(numbers) >= 10 * min(numbers)

    def random_value(self, rng: np.random.Generator) -> Any:
        """One of the values."""
        return self.values[rng.integers(len(self.values))]


@dataclass(frozen=True)
class Range:
    """A field with numbers from low to high. points: how many of them a grid has; None for a random search only."""

    field: str
    low: float
    high: float
    is_logarithmic: bool
    points: int | None = None

    @property
    def is_numeric(self) -> bool:
        """Whether all values are numbers."""
        return True

    @property
    def values(self) -> tuple[float, ...]:
        """The points of a grid, including both ends. Whole numbers that are equal after rounding count once.

        Raises InputError when the number of points is not known.
        """
        if self.points is None:
            raise InputError(
                f"--sweep: {self.field}: give the number of points as in {self.low}:{self.high}:log5, or --samples."
            )
        spaced = np.geomspace if self.is_logarithmic else np.linspace
        inner = spaced(self.low, self.high, self.points)[1:-1]
        return tuple(dict.fromkeys([self.low, *map(self._typed, inner), self.high]))

    def random_value(self, rng: np.random.Generator) -> float:
        """A number of the range, uniform or uniform in its logarithm."""
        if self.is_logarithmic:
            return self._typed(math.exp(rng.uniform(math.log(self.low), math.log(self.high))))
        return self._typed(rng.uniform(self.low, self.high))

    def _typed(self, number: float) -> float:
        """The number as a person types it: a whole number or four digits, and never outside the range."""
        rounded = round(number) if isinstance(self.low, int) else float(f"{number:.4g}")
        return min(max(rounded, self.low), self.high)


Dimension = Choice | Range


def parse_dimensions(text: str, experiment: Experiment) -> list[Dimension]:
    """The dimensions of a sweep that starts from an experiment.

    Raises InputError when the text does not follow the grammar above, or names no setting.
    """
    parts = [part.strip() for part in text.split(";") if part.strip()]
    if not parts:
        raise InputError(
            '--sweep: names no field. Example: --sweep="learning_rate=1e-4:1e-2:log5; pooling=true,false".'
        )
    dimensions: list[Dimension] = []
    for part in parts:
        dimensions.append(_dimension(part, experiment))
        if dimensions[-1].field in PART_FIELDS:  # settings that follow may be those of the new part
            experiment = _with_first(dimensions[-1], experiment)
    names = [dimension.field for dimension in dimensions]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"--sweep: {name} is named twice.")
    return dimensions


def _with_first(dimension: Dimension, experiment: Experiment) -> Experiment:
    """The experiment with the first of some parts. Raises InputError where one of them is in no table."""
    try:
        first, *_ = [experiment.vary({dimension.field: value}) for value in dimension.values]
    except InputError as error:
        raise InputError(f"--sweep: {error}") from None
    return first


def grid(dimensions: Sequence[Dimension]) -> list[Setting]:
    """Every combination of the dimensions' values."""
    count = math.prod(len(dimension.values) for dimension in dimensions)
    if count > MOST_TRIALS:
        raise InputError(
            f"--sweep: {count:,} combinations. At most {MOST_TRIALS:,} can be tried; try some of them with --samples."
        )
    fields = [dimension.field for dimension in dimensions]
    return [
        dict(zip(fields, values, strict=True))
        for values in itertools.product(*(dimension.values for dimension in dimensions))
    ]


def random_search(dimensions: Sequence[Dimension], samples: int, seed: int) -> list[Setting]:
    """Different random settings; their number is `samples`, and `seed` decides them.

    A larger number of samples begins with the settings of a smaller one.
    """
    if not 1 <= samples <= MOST_TRIALS:
        raise InputError(f"--samples={samples}: must be between 1 and {MOST_TRIALS:,}.")
    count = math.prod(len(dimension.values) for dimension in dimensions if isinstance(dimension, Choice))
    if samples > count and not any(isinstance(dimension, Range) for dimension in dimensions):
        raise InputError(f"--samples={samples}: there are only {count:,} combinations. Leave it out to try all.")
    rng, settings, repeats = np.random.default_rng(seed), dict[tuple, Setting](), 0
    while len(settings) < samples:
        values = tuple(dimension.random_value(rng) for dimension in dimensions)
        repeats = repeats + 1 if values in settings else 0
        if repeats > _MOST_REPEATS:
            raise InputError(
                f"--samples={samples}: in these ranges only {len(settings):,} different settings were found."
            )
        settings.setdefault(values, {d.field: value for d, value in zip(dimensions, values, strict=True)})
    return list(settings.values())


def setting_words(setting: Setting) -> str:
    """A setting as one types it: `learning_rate=0.001, pooling=true`. Values may also be as JSON has them."""
    return ", ".join(f"{name}={setting_text(value)}" for name, value in setting.items())


def _dimension(part: str, experiment: Experiment) -> Dimension:
    name, equals, values = (word.strip() for word in part.partition("="))
    if not equals:
        raise InputError(f"--sweep: {part}: must be FIELD=VALUES, as in batch_size=64,128.")
    try:
        name = name if name in FIELDS else experiment.full_name(name)
    except InputError as error:
        raise InputError(f"--sweep: {error}") from None
    reason = _NOT_SWEPT.get(name) or (_OTHER_IMAGES if name.startswith(("dataset.", "task.")) else None)
    if reason:
        raise InputError(f"--sweep: {name} cannot be swept: {reason}.")
    if not values:
        raise InputError(f"--sweep: {name}: names no value.")
    kind = FIELDS.get(name) or experiment.settings[name]
    return _range(name, kind, values) if ":" in values else _choice(name, kind, values)


def _choice(name: str, kind: Kind, text: str) -> Choice:
    separator = "|" if "|" in text or kind.is_tuple else ","
    values = tuple(_value(name, kind, part) for part in text.removesuffix(separator).split(separator))
    for value in values:
        if values.count(value) > 1:
            raise InputError(f"--sweep: {name}: {as_text(value)} is named twice.")
    return Choice(name, values)


def _range(name: str, kind: Kind, text: str) -> Range:
    if kind.type not in (int, float) or kind.is_tuple:
        raise InputError(f"--sweep: {name}={text}: only numbers have ranges. List values: {name}=A,B.")
    match = re.fullmatch(r"([^:]+):([^:]+):\s*(log|lin)\s*(\d{0,9})", text)
    if not match:
        raise InputError(f"--sweep: {name}={text}: a range is LOW:HIGH:logN or LOW:HIGH:linN, as in 1e-4:1e-2:log5.")
    low, high = (_value(name, kind, end) for end in match.groups()[:2])
    if any(end is None or end > sys.float_info.max for end in (low, high)):
        raise InputError(f"--sweep: {name}={text[:60]}: an end of a range must be a finite number.")
    if low >= high:
        raise InputError(f"--sweep: {name}={text}: the range is empty: {low} is not below {high}.")
    if match[3] == "log" and low <= 0:
        raise InputError(f"--sweep: {name}={text}: a logarithmic range must begin above 0.")
    points = int(match[4]) if match[4] else None
    if points is not None and not 2 <= points <= MOST_TRIALS:
        raise InputError(f"--sweep: {name}={text}: must have between 2 and {MOST_TRIALS:,} points.")
    return Range(name, low, high, match[3] == "log", points)


def _value(name: str, kind: Kind, text: str) -> Any:
    """The value of a field or setting, checked as on the command line. A part is a name."""
    try:
        value = kind.check(kind.read(text), name)
        if name in PART_FIELDS:
            [Part(part) for part in (value if kind.is_tuple else (value,))]
        return value
    except ValueError as error:
        raise InputError(f"--sweep: {name}={text.strip()[:60]}: {error}.") from None
    except InputError as error:
        raise InputError(f"--sweep: {error}") from None
