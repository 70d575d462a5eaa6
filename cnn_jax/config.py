"""Config: everything that changes the numbers of a run, as one frozen, validated record that is stored as JSON.

Where and how to run (folders, caches, progress) is in RunOptions, so that a `config.json` from elsewhere can be run
safely and two of them can be compared. `run.py` makes a flag of each field.
"""

import dataclasses
import json
import math
import re
import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cnn_jax.errors import InputError, unknown_name
from cnn_jax.files import read_json

LARGEST_FILE = 1 << 20  # bytes; a config has under one kilobyte


def _setting(default: Any, help: str, **limits: Any) -> Any:
    """A field with its help text and its limits: `at_least`, `at_most`, `above`, `choices`, `pattern`, `part`."""
    return dataclasses.field(default=default, metadata={"help": help, **limits})


@dataclass(frozen=True, kw_only=True)
class Config:
    """The settings of one training run. Raises InputError on a value of the wrong type or out of range."""

    experiment: str = _setting(
        "lecture_cnn",
        "the name of a file in experiments/, or the path of your own file; it gives the other settings",
        pattern=r"[A-Za-z0-9_][A-Za-z0-9_.+-]*",
    )

    dataset: str = _setting("mnist", "the dataset's name; --list shows them", pattern=r"[a-z0-9_]+")
    train_examples: int | None = _setting(None, "train on the first N training images; none means all", at_least=1)
    validation_examples: int = _setting(0, "hold out the last N training images and report them each epoch", at_least=0)

    view: str = _setting(
        "plain",
        "how images are given to the model",
        choices=("plain", "permuted", "with_metadata"),
    )
    glyph_seed: int = _setting(
        0, "the random seed of the glyphs; other datasets have none", at_least=0, at_most=2**32 - 1
    )

    model: str = _setting("cnn", "the model's name; --list shows them", pattern=r"[a-z0-9_]+")
    widths: tuple[int, ...] | None = _setting(
        None,
        "filters of each convolution or units of each hidden layer, as in 32,64,128; none means the model's own",
        at_least=1,
        at_most=65_536,
        part="model",
    )
    kernel_size: int = _setting(3, "height and width of the filters, in pixels", at_least=1, at_most=255, part="model")
    pooling: bool = _setting(True, "2 x 2 max-pooling after every convolution but the last", part="model")

    optimizer: str = _setting("rmsprop", "the optimizer", choices=("rmsprop", "sgd", "momentum", "adam", "adamw"))
    learning_rate: float = _setting(1e-3, "step size; with a schedule its largest value", above=0.0)
    schedule: str = _setting(
        "constant", "how the learning rate changes over the steps", choices=("constant", "cosine", "onecycle")
    )
    epochs: int = _setting(5, "passes over the training images", at_least=1, at_most=1_000_000)
    batch_size: int = _setting(
        64, "images in a step; the last batch of an epoch may be smaller", at_least=1, at_most=1 << 24
    )

    dtype: str = _setting(
        "float32", "the type that layers compute in; parameters are always float32", choices=("float32", "bfloat16")
    )
    matmul_precision: str = _setting(
        "float32",
        "the precision of float32 matrix products on GPU and TPU",
        choices=("float32", "tensorfloat32", "bfloat16"),
    )
    seed: int = _setting(
        0, "the random seed of the initial weights and the order of images", at_least=0, at_most=2**32 - 1
    )

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            object.__setattr__(self, field.name, _checked(field, getattr(self, field.name)))
        if self.glyph_seed != Config.glyph_seed and self.dataset != "glyphs":
            raise InputError(
                f"--glyph_seed={self.glyph_seed}: has no meaning with --dataset={self.dataset}, only with glyphs."
            )

    def to_json(self) -> str:
        """The config as JSON text, one field a line."""
        return json.dumps(dataclasses.asdict(self), indent=2) + "\n"


FIELDS: Mapping[str, dataclasses.Field] = types.MappingProxyType({f.name: f for f in dataclasses.fields(Config)})


def config_from_mapping(values: Any, source: str) -> Config:
    """A Config from decoded JSON. Raises InputError, which names `source` and the unknown field or bad value."""
    if not isinstance(values, dict):
        raise InputError(f"{source}: not a config: a JSON object of fields is expected.")
    for name in values:
        if name not in FIELDS:
            raise unknown_name(f"{source}: field", name, "field of a config", FIELDS)
    try:
        return Config(**values)
    except InputError as error:
        raise InputError(f"{source}: {error}") from None


def read_config(path: Path) -> Config:
    """A Config from a `config.json`. Raises InputError if it cannot be read, is not JSON, or is no config."""
    try:
        return config_from_mapping(read_json(path, LARGEST_FILE), str(path))
    except OSError as error:
        raise InputError(f"{path}: cannot be read as a config: {error.strerror}.") from None
    except ValueError as error:
        raise InputError(f"{path}: not a config in JSON: {error}.") from None


def config_differences(one: Config, other: Config) -> dict[str, tuple[Any, Any]]:
    """The fields in which two configs differ, with both values."""
    pairs = {name: (getattr(one, name), getattr(other, name)) for name in FIELDS}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def run_name(config: Config, changed: Iterable[str] = (), *, many_seeds: bool = False) -> str:
    """The default name of a run directory: experiment, dataset and seed, then the `changed` fields with their values.

    many_seeds: the seed is the first of several. Their number may grow, so it is not part of the name.
    """
    seed = f"seeds-from-{config.seed}" if many_seeds else f"seed{config.seed}"
    in_name = ("experiment", "dataset", "seed")
    extras = [f"{name}={as_text(getattr(config, name))}" for name in FIELDS if name in set(changed) - set(in_name)]
    return "-".join([config.experiment, config.dataset, seed, *extras])


def as_text(value: Any) -> str:
    """The value of a field as it is typed on the command line."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ",".join(map(str, value)) or "()"
    return str(value)


def from_text(field: dataclasses.Field, text: str) -> Any:
    """The value of a field from the typed text. Raises ValueError, which says what is expected."""
    kind, optional = kind_of(field)
    text = text.strip()
    if optional and text.lower() == "none":
        return None
    if kind is tuple:
        parts = [] if text == "()" else text.removesuffix(",").split(",")
        return tuple(_number(int, part) for part in parts)
    if kind is bool:
        words = {"true": True, "1": True, "false": False, "0": False}
        if text.lower() not in words:
            raise ValueError("must be true or false")
        return words[text.lower()]
    return text if kind is str else _number(kind, text)


def _number(kind: type, text: str) -> Any:
    try:
        return kind(text)
    except ValueError:
        raise ValueError("must be a whole number" if kind is int else "must be a number") from None


def kind_of(field: dataclasses.Field) -> tuple[type, bool]:
    """The field's plain type (int, float, bool, str or tuple) and whether None is allowed."""
    members = [m for m in (typing.get_args(field.type) or (field.type,)) if m not in (types.NoneType, Ellipsis)]
    union = isinstance(field.type, types.UnionType)
    kind: Any = members[0]
    return (typing.get_origin(kind) or kind), union


def _checked(field: dataclasses.Field, value: Any) -> Any:
    """The value, normalized (whole number to float, list to tuple). Raises InputError if it is not allowed."""
    kind, optional = kind_of(field)
    if value is None and optional:
        return None
    if kind is float and type(value) is int:
        value = float(value) if abs(value) < 1 << 64 else math.inf
    if kind is tuple and isinstance(value, list):
        value = tuple(value)
    complaint = _type_complaint(kind, value) or _limit_complaint(field.metadata, value)
    if complaint:
        raise InputError(f"--{field.name}={_shown(value)}: {complaint}.")
    return value


def _type_complaint(kind: type, value: Any) -> str | None:
    names: dict[type, str] = {
        int: "a whole number",
        float: "a number",
        bool: "true or false",
        str: "text",
        tuple: "whole numbers",
    }
    right = type(value) is kind and (type(value) is not tuple or all(type(member) is int for member in value))
    return None if right else f"must be {names[kind]}"


def _limit_complaint(limits: Mapping[str, Any], value: Any) -> str | None:
    if isinstance(value, float) and not math.isfinite(value):
        return "must be a finite number"
    if "choices" in limits and value not in limits["choices"]:
        return f"must be one of {', '.join(limits['choices'])}"
    if "pattern" in limits and not re.fullmatch(limits["pattern"], value):
        return "is not a name"
    members: tuple[Any, ...] = value if isinstance(value, tuple) else (value,)
    for member in members:
        if "at_least" in limits and member < limits["at_least"]:
            return f"must be at least {limits['at_least']}"
        if "at_most" in limits and member > limits["at_most"]:
            return f"must be at most {limits['at_most']:,}"
        if "above" in limits and not member > limits["above"]:
            return f"must be above {limits['above']:g}"
    return None


def _shown(value: Any) -> str:
    """The value as it is typed, shortened if it is too long for one line."""
    text = as_text(value) if isinstance(value, (tuple, bool, int, float, str)) else json.dumps(value, default=str)
    return text if len(text) <= 60 else text[:57] + "..."
