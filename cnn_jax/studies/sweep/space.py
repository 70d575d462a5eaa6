"""The settings that a sweep tries, from text such as `learning_rate=1e-4:1e-2:log5; pooling=true,false`.

Factors stand between semicolons, `field=values` each. Values are a list, `64,128` (of fields that hold several numbers:
`4,8|8,16`), or a range of numbers, `low:high:logN` or `low:high:linN`: N points, both ends among them. Where settings
are drawn at random, the number of points may be left out.
"""

import itertools
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cnn_jax import config as configs
from cnn_jax.config import FIELDS, Config, as_text
from cnn_jax.errors import InputError, unknown_name

Setting = Mapping[str, Any]  # the value of each swept field

MOST_TRIALS = 10_000
_MOST_MISSES = 100_000  # draws in a row that only repeat: the ranges hold no more
_OTHER_IMAGES = "the scores of its values would not be on the same images"
_UNSWEPT: Mapping[str, str] = {
    "seed": "use --seeds for several of them",
    "experiment": "it is where the other settings start from; --mode=compare compares experiments",
    **dict.fromkeys(("dataset", "view", "glyph_seed", "validation_examples"), _OTHER_IMAGES),
}


@dataclass(frozen=True)
class Listed:
    """A field with a list of values."""

    field: str
    values: tuple[Any, ...]

    @property
    def is_logarithmic(self) -> bool:
        """Whether the values are numbers that span a factor of ten or more."""
        numbers = [value for value in self.values if type(value) in (int, float)]
        return len(numbers) == len(self.values) and min(numbers) > 0 and max(numbers) >= 10 * min(numbers)

    def draw(self, rng: np.random.Generator) -> Any:
        return self.values[rng.integers(len(self.values))]


@dataclass(frozen=True)
class Range:
    """A field with numbers from low to high. points: how many of them a grid has; None: for drawing alone."""

    field: str
    low: float
    high: float
    is_logarithmic: bool
    points: int | None = None

    @property
    def values(self) -> tuple[float, ...]:
        """The points of a grid, both ends among them. Whole numbers that are equal after rounding count once.

        Raises InputError where it is not said how many.
        """
        if self.points is None:
            raise InputError(
                f"--sweep: {self.field}: how many points? As in {self.low}:{self.high}:log5; or draw, with --samples."
            )
        spaced = np.geomspace if self.is_logarithmic else np.linspace
        inner = spaced(self.low, self.high, self.points)[1:-1]
        return tuple(dict.fromkeys([self.low, *map(self._typed, inner), self.high]))

    def draw(self, rng: np.random.Generator) -> float:
        if self.is_logarithmic:
            return self._typed(math.exp(rng.uniform(math.log(self.low), math.log(self.high))))
        return self._typed(rng.uniform(self.low, self.high))

    def _typed(self, number: float) -> float:
        """The number as one would type it: whole where the field is, else of four digits; never out of the range."""
        rounded = round(number) if isinstance(self.low, int) else float(f"{number:.4g}")
        return min(max(rounded, self.low), self.high)


Factor = Listed | Range


def factors(text: str) -> list[Factor]:
    """What is to be varied. Raises InputError on anything that is not as the grammar has it."""
    parts = [part.strip() for part in text.split(";") if part.strip()]
    if not parts:
        raise InputError('--sweep: names no field. As in --sweep="learning_rate=1e-4:1e-2:log5; pooling=true,false".')
    found = [_factor(part) for part in parts]
    names = [factor.field for factor in found]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"--sweep: {name} is named twice.")
    return found


def grid(of: Sequence[Factor]) -> list[Setting]:
    """Every combination of the factors' values."""
    count = math.prod(len(factor.values) for factor in of)
    if count > MOST_TRIALS:
        raise InputError(f"--sweep: {count:,} combinations. At most {MOST_TRIALS:,} can be tried; draw with --samples.")
    return [
        dict(zip([factor.field for factor in of], values, strict=True))
        for values in itertools.product(*(factor.values for factor in of))
    ]


def drawn(of: Sequence[Factor], samples: int, seed: int) -> list[Setting]:
    """So many different settings, at random by the seed: lists and ranges evenly, or evenly in the logarithm.

    More samples go on where fewer ended.
    """
    if not 1 <= samples <= MOST_TRIALS:
        raise InputError(f"--samples={samples}: must be between 1 and {MOST_TRIALS:,}.")
    count = math.prod(len(factor.values) for factor in of if isinstance(factor, Listed))
    if samples > count and not any(isinstance(factor, Range) for factor in of):
        raise InputError(f"--samples={samples}: there are only {count:,} combinations. Omit it, and all are tried.")
    rng, found, misses = np.random.default_rng(seed), dict[tuple, Setting](), 0
    while len(found) < samples:
        values = tuple(factor.draw(rng) for factor in of)
        misses = misses + 1 if values in found else 0
        if misses > _MOST_MISSES:
            raise InputError(f"--samples={samples}: in these ranges only {len(found):,} different settings were found.")
        found.setdefault(values, dict(zip([factor.field for factor in of], values, strict=True)))
    return list(found.values())


def as_words(setting: Setting) -> str:
    """A setting as one types it."""
    return " ".join(f"{name}={as_text(value)}" for name, value in setting.items())


def _factor(part: str) -> Factor:
    name, equals, values = (word.strip() for word in part.partition("="))
    if not equals:
        raise InputError(f"--sweep: {part}: must be FIELD=VALUES, as in batch_size=64,128.")
    if name not in FIELDS:
        raise unknown_name("--sweep: field", name, "field of a config", set(FIELDS) - set(_UNSWEPT))
    if name in _UNSWEPT:
        raise InputError(f"--sweep: {name} cannot be swept: {_UNSWEPT[name]}.")
    if not values:
        raise InputError(f"--sweep: {name}: names no value.")
    return _range(name, values) if ":" in values else _listed(name, values)


def _listed(name: str, text: str) -> Listed:
    kind, _ = configs.kind_of(FIELDS[name])
    separator = "|" if "|" in text or kind is tuple else ","
    values = tuple(_value(name, part) for part in text.removesuffix(separator).split(separator))
    for value in values:
        if values.count(value) > 1:
            raise InputError(f"--sweep: {name}: {as_text(value)} is named twice.")
    return Listed(name, values)


def _range(name: str, text: str) -> Range:
    kind, _ = configs.kind_of(FIELDS[name])
    if kind not in (int, float):
        raise InputError(f"--sweep: {name}={text}: only numbers have ranges. List values: {name}=A,B.")
    match = re.fullmatch(r"([^:]+):([^:]+):\s*(log|lin)\s*(\d{0,9})", text)
    if not match:
        raise InputError(f"--sweep: {name}={text}: a range is LOW:HIGH:logN or LOW:HIGH:linN, as in 1e-4:1e-2:log5.")
    low, high = (_bound(name, bound) for bound in match.groups()[:2])
    if low >= high:
        raise InputError(f"--sweep: {name}={text}: is empty: {low} is not below {high}.")
    points = int(match[4]) if match[4] else None
    if points is not None and not 2 <= points <= MOST_TRIALS:
        raise InputError(f"--sweep: {name}={text}: must have between 2 and {MOST_TRIALS:,} points.")
    return Range(name, low, high, match[3] == "log", points)


def _bound(name: str, text: str) -> float:
    value = _value(name, text)
    try:
        if value is None or not math.isfinite(value):
            raise OverflowError
    except OverflowError:  # of whole numbers too, which have no largest
        raise InputError(f"--sweep: {name}={text.strip()[:60]}: an end of a range must be a finite number.") from None
    return value


def _value(name: str, text: str) -> Any:
    """The value of a field, as the command line and Config take it."""
    try:
        value = configs.from_text(FIELDS[name], text)
    except ValueError as error:
        raise InputError(f"--sweep: {name}={text.strip()[:60]}: {error}.") from None
    try:
        return getattr(Config(**{name: value}), name)
    except InputError as error:
        raise InputError(f"--sweep: {error}") from None
