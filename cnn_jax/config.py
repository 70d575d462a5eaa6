"""Config: the settings of a training, as one frozen, validated record that is stored as JSON.

Where and how to run (folders, caches, progress) is in RunOptions, so that a `config.json` from elsewhere can be run
safely and two of them can be compared. `run.py` makes a flag of each field.
"""

import dataclasses
import hashlib
import json
import re
import types
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cnn_jax.display import Displayed
from cnn_jax.errors import InputError, printable, unknown_name
from cnn_jax.files import read_json
from cnn_jax.settings import About, Setting, as_text, plain, setting_from, shown

LARGEST_SEED = 2**32 - 1
LARGEST_FILE = 1 << 20  # bytes; a config has under two kilobytes
LONGEST_SETTINGS = 200  # bytes of the settings in a run's default name
LONGEST_NAME = 235  # bytes of the whole; file systems allow 255, with what commands put before and behind it
_SHOWN_ALWAYS = ("dataset", "model", "loss", "optimizer", "learning_rate", "epochs", "batch_size", "seed")
_NAME = r"[A-Za-z_][A-Za-z0-9_]*"


@dataclass(frozen=True, init=False, repr=False)
class Part:
    """A name in a table of functions, with settings for the function: `Part("cnn", pooling=False)`.

    Hashable; equal where name and settings are equal. Experiment adds the settings that are left out, with their
    defaults. Raises InputError on a name or value that cannot be stored as JSON.
    """

    name: str
    items: tuple[tuple[str, Any], ...]  # the settings in alphabetical order

    def __init__(self, name: str, /, **settings: Any):
        if not isinstance(name, str) or not re.fullmatch(_NAME, name):
            raise InputError(f"{shown(name)}: is not a name.")
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "items", tuple((key, _stored(key, settings[key])) for key in sorted(settings)))

    @property
    def settings(self) -> dict[str, Any]:
        """The settings by name."""
        return dict(self.items)

    def __getitem__(self, setting: str) -> Any:
        return self.settings[setting]

    def with_settings(self, **settings: Any) -> "Part":
        """The same name with these settings changed or added."""
        return Part(self.name, **{**self.settings, **settings})

    def __str__(self) -> str:
        return self.name

    def __repr__(self) -> str:
        return f"Part({', '.join([repr(self.name), *(f'{name}={value!r}' for name, value in self.items)])})"

    def as_mapping(self) -> dict[str, Any]:
        """The part as JSON has it: `{"name": "cnn", "pooling": false}`."""
        return {"name": self.name, **self.settings}


def _stored(name: str, value: Any) -> Any:
    value = plain(value)
    if name == "name":
        raise InputError("name: is reserved for the name of the part. Rename the parameter.")
    members = value if isinstance(value, tuple | list) else (value,)
    if not all(member is None or type(member) in (bool, int, float, str) for member in members):
        raise InputError(f"{name}={shown(value)}: is no setting: it must be a number, text, true, false, or several.")
    return tuple(value) if isinstance(value, list) else value


def _field(default: Any, help: str, **limits: Any) -> Any:
    """A field with its help text and limits, as `About` takes them. choices: the values that are allowed."""
    return dataclasses.field(default=default, metadata={"choices": limits.pop("choices", ()), "help": help, **limits})


@dataclass(frozen=True, kw_only=True, repr=False)
class Config(Displayed):
    """The settings of one training run. Raises InputError on a value of the wrong type or out of range.

    A part may be given by its name alone. What a name means is decided by the tables of an Experiment.
    """

    experiment: str = _field(
        "lecture_cnn", "a shipped experiment, or the path of your own file", pattern=r"\w[\w .+-]*"
    )

    dataset: Part = _field(Part("mnist"), "the images and labels")
    train_examples: int | None = _field(None, "train on the first N training images; none means all", at_least=1)
    validation_examples: int = _field(0, "hold out the last N training images and report them each epoch", at_least=0)
    keep: str = _field(
        "last",
        "score the parameters after the last epoch, or those of the best epoch on held-out images",
        choices=("last", "best"),
    )
    monitor: str = _field(
        "accuracy", "the number on held-out images by which an epoch is the best", choices=("accuracy", "loss")
    )
    patience: int | None = _field(
        None, "end training after N epochs that are no better on held-out images; none means never", at_least=1
    )
    augment: tuple[Part, ...] = _field((), "change the training images at random in these ways, in this order")
    task: Part = _field(Part("plain"), "how images are given to the model, and what it is asked")

    model: Part = _field(Part("cnn"), "the network")
    init_hash: str | None = _field(
        None, "what training starts from: the hash of a run's parameters, which --init_from sets"
    )
    freeze: tuple[str, ...] = _field(
        (),
        "keep what is under these names as it is, as in Conv_0,Dense_0/bias; a frozen BatchNorm uses its statistics",
        pattern=r"[^\s/,]+(/[^\s/,]+)*",
    )
    loss: Part = _field(Part("cross_entropy"), "what training reduces")
    metrics: tuple[Part, ...] | None = _field(
        None, "report these beside loss and accuracy; none means all of the experiment's own"
    )

    optimizer: Part = _field(Part("rmsprop"), "the optimizer")
    learning_rate: float = _field(1e-3, "step size; with a schedule its largest value", above=0.0)
    schedule: Part = _field(Part("constant"), "how the learning rate changes over the steps")
    warmup_steps: int = _field(
        0, "raise the learning rate from 0 over the first N steps, before the schedule", at_least=0
    )
    clip_norm: float | None = _field(None, "scale gradients down to this L2 norm where theirs is larger", above=0.0)
    clip_value: float | None = _field(
        None, "clip each number of the gradients to this size, before clip_norm", above=0.0
    )
    average: Part = _field(Part("none"), "score an average of the parameters: ema, swa, or none")
    epochs: int = _field(5, "passes over the training images", at_least=1, at_most=1_000_000)
    batch_size: int = _field(
        64, "images in a step; the last batch of an epoch may be smaller", at_least=1, at_most=1 << 24
    )
    microbatches: int = _field(
        1, "compute each batch in N equal parts, one after the other, which needs less memory", at_least=1
    )

    dtype: str = _field(
        "float32", "the type that layers compute in; parameters are always float32", choices=("float32", "bfloat16")
    )
    matmul_precision: str = _field(
        "float32",
        "the precision of float32 matrix products on GPU and TPU",
        choices=("float32", "tensorfloat32", "bfloat16"),
    )
    seed: int = _field(0, "the random seed of all that is random in training", at_least=0, at_most=LARGEST_SEED)

    def __post_init__(self) -> None:
        for name in FIELDS:
            object.__setattr__(self, name, _checked(name, getattr(self, name)))

    def __repr__(self) -> str:
        changed = (f"{name}={getattr(self, name)!r}" for name in FIELDS if getattr(self, name) != getattr(Config, name))
        return f"Config({', '.join(changed)})"

    def _facts(self) -> dict[str, str]:
        """The settings that one asks for first, and those that are not the default."""
        values = {name: getattr(self, name) for name in FIELDS}
        changed = [name for name, value in values.items() if value not in (getattr(Config, name), ())]
        return {name: _in_words(value) for name, value in values.items() if name in (*_SHOWN_ALWAYS, *changed)}

    @property
    def chooses_epochs(self) -> bool:
        """Whether held-out images decide which epoch's parameters are scored, or when training ends."""
        return self.keep == "best" or self.patience is not None

    def parts(self) -> dict[str, Part]:
        """All parts by the names that flags have for them: `model`, `optimizer`, `augment.shift`, and so on."""
        found: dict[str, Part] = {}
        for name, kind in PART_FIELDS.items():
            value = getattr(self, name)
            found |= {name: value} if kind is Part else {f"{name}.{part.name}": part for part in value or ()}
        return found

    def value(self, name: str) -> Any:
        """The value of a field, or of a part's setting by its full name, as in `model.width`."""
        part, _, setting = name.rpartition(".")
        return self.parts()[part][setting] if part else getattr(self, name)

    def as_mapping(self) -> dict[str, Any]:
        """The config as JSON has it."""
        return {name: _as_json(getattr(self, name)) for name in FIELDS}

    def to_json(self) -> str:
        """The config as JSON text, one field a line."""
        lines = [f"  {json.dumps(name)}: {json.dumps(value)}" for name, value in self.as_mapping().items()]
        return "{\n" + ",\n".join(lines) + "\n}\n"


def _in_words(value: Any) -> str:
    """A field's value for people: `cnn (pooling=true, widths=32,64)`."""
    if isinstance(value, tuple) and any(isinstance(member, Part) for member in value):
        return ", ".join(map(_in_words, value))
    if isinstance(value, Part) and value.items:
        return f"{value} ({', '.join(f'{name}={as_text(setting)}' for name, setting in value.items)})"
    return as_text(value)


def _as_json(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_as_json(member) for member in value]
    return value.as_mapping() if isinstance(value, Part) else value


# The fields that hold a part, or several.
PART_FIELDS: Mapping[str, Any] = types.MappingProxyType(
    {
        field.name: Part if field.type is Part else tuple
        for field in dataclasses.fields(Config)
        if field.type in (Part, tuple[Part, ...], tuple[Part, ...] | None)
    }
)


def _as_setting(field: dataclasses.Field) -> Setting:
    about = {name: value for name, value in field.metadata.items() if name != "choices"}
    if field.name in PART_FIELDS:
        is_tuple, is_optional = PART_FIELDS[field.name] is tuple, field.default is None
        return Setting(field.name, str, field.default, is_tuple, is_optional=is_optional, about=About(**about))
    setting = setting_from(field.name, field.type, field.default)
    assert setting is not None, f"{field.name} is a setting or a part"
    return dataclasses.replace(setting, choices=field.metadata["choices"], about=About(**about))


FIELDS: Mapping[str, Setting] = types.MappingProxyType(
    {field.name: _as_setting(field) for field in dataclasses.fields(Config)}
)


def _checked(name: str, value: Any) -> Any:
    """The value of a field, normalized: names become parts. Raises InputError if it is not allowed."""
    if name not in PART_FIELDS:
        return FIELDS[name].check(value)
    if PART_FIELDS[name] is Part:
        return _part(name, value)
    if value is None and name == "metrics":
        return None
    if not isinstance(value, tuple | list):
        raise InputError(f"--{name}={shown(value)}: must be names, as in ({as_text(value)!r},).")
    parts = tuple(_part(name, member) for member in value)
    for part in parts:
        if [other.name for other in parts].count(part.name) > 1:
            raise InputError(f"--{name}: {part.name} is named twice.")
    return parts


def _part(field: str, value: Any) -> Part:
    if isinstance(value, Part):
        return value
    settings = dict(value) if isinstance(value, Mapping) else {"name": value}
    name = settings.get("name")
    if isinstance(name, str) and not re.fullmatch(_NAME, name):
        is_path = field == "dataset" and ("/" in name or "\\" in name or name.startswith("."))
        hint = f" For your own data: --dataset=images --dataset_dir={name}, or --dataset=arrays." if is_path else ""
        raise InputError(f"--{field}={shown(name)}: is not a name.{hint}")
    try:
        if all(isinstance(key, str) for key in settings):
            return Part(settings.pop("name", None), **settings)
    except InputError as error:
        raise InputError(f"--{field}: {error}") from None
    raise InputError(f"--{field}={shown(value)}: must be a name.")


def config_from_mapping(values: Any, source: str) -> Config:
    """A Config from decoded JSON, of this version or of an earlier one.

    Raises InputError, which names `source` and the unknown field or bad value.
    """
    if not isinstance(values, dict):
        raise InputError(f"{source}: not a config: a JSON object of fields is expected.")
    if {"status", "steps"} <= values.keys():
        raise InputError(f"{source}: is no config, but the result of a run. Name the config.json beside it.")
    values = _translated(values)
    for name in values:
        if name not in FIELDS:
            raise unknown_name(f"{source}: field", name, "field of a config", FIELDS)
    try:
        return Config(**values)
    except InputError as error:
        raise InputError(f"{source}: {error}") from None


def _translated(values: dict[str, Any]) -> dict[str, Any]:
    """Fields of this version from those of earlier ones."""
    values = _without_parts(values) if "view" in values else values
    optimizer = values.get("optimizer")
    optimizer = {"name": optimizer} if isinstance(optimizer, str) else optimizer
    if isinstance(optimizer, dict) and optimizer.get("name") == "adamw":
        # Before there was a mask, adamw decayed all parameters.
        values = {**values, "optimizer": {"weight_decay_mask": ["all"], **optimizer}}
    return values


def _without_parts(values: dict[str, Any]) -> dict[str, Any]:
    """Fields with parts from those of the first version, which had none."""
    values = dict(values)
    settings = {name: values.pop(name, None) for name in ("widths", "kernel_size", "pooling")}
    model = str(values.get("model", "cnn"))
    model = {"graph": "two_inputs_two_outputs"}.get(model, model)
    own = {"cnn": settings, "two_inputs_two_outputs": {n: settings[n] for n in ("widths", "kernel_size")}}
    used = own.get(model, {"widths": settings["widths"]})
    values["model"] = {"name": model, **{name: value for name, value in used.items() if value is not None}}
    values["task"] = values.pop("view")
    glyph_seed = values.pop("glyph_seed", 0)
    if values.get("dataset") == "glyphs":
        values["dataset"] = {"name": "glyphs", "seed": glyph_seed}
    return values


def read_config(path: Path) -> Config:
    """A Config from a `config.json`. Raises InputError if it cannot be read, is not JSON, or is no config."""
    try:
        return config_from_mapping(read_json(path, LARGEST_FILE), str(path))
    except IsADirectoryError:
        raise InputError(f"--config={path}: is a folder. Name the file: {path / 'config.json'}.") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read as a config: {error.strerror}.") from None
    except ValueError as error:
        raise InputError(f"{path}: not a config in JSON: {error}.") from None


def config_differences(one: Config, other: Config) -> dict[str, tuple[Any, Any]]:
    """The fields in which two configs differ, with both values; of parts with the same name, their settings."""
    found: dict[str, tuple[Any, Any]] = {}
    for name in FIELDS:
        pair = getattr(one, name), getattr(other, name)
        if pair[0] == pair[1]:
            continue
        parts = [{part.name: part for part in (_several(value))} for value in pair if name in PART_FIELDS]
        if parts and list(parts[0]) == list(parts[1]):
            for part in parts[0]:
                prefix = name if PART_FIELDS[name] is Part else f"{name}.{part}"
                found |= _setting_differences(prefix, parts[0][part].settings, parts[1][part].settings)
        else:
            found[name] = pair
    return found


def _several(value: Any) -> tuple[Part, ...]:
    return (value,) if isinstance(value, Part) else tuple(value or ())


def _setting_differences(prefix: str, one: dict[str, Any], other: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    names = dict.fromkeys([*one, *other])
    pairs = {f"{prefix}.{name}": (one.get(name), other.get(name)) for name in names}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def differences_in_words(differences: Mapping[str, tuple[Any, Any]]) -> str:
    """Differences as an error names them: `epochs: 5 there, 3 now`."""
    return "; ".join(f"{name}: {as_text(old)} there, {as_text(new)} now" for name, (old, new) in differences.items())


def run_name(config: Config, changed: Iterable[str] = (), *, many_seeds: bool = False) -> str:
    """The default name of a run directory: experiment, dataset and seed, then the `changed` settings with their values.

    many_seeds: the seed is the first of several. Their number may grow, so it is not part of the name. Where the
    settings or the name take more bytes than there is room for, a hash stands for the rest.
    """
    seed = f"seeds-from-{config.seed}" if many_seeds else f"seed{config.seed}"
    named = [name for name in dict.fromkeys(changed) if name not in ("experiment", "dataset", "seed")]
    ordered = sorted(named, key=lambda name: list(FIELDS).index(name.partition(".")[0]))
    settings = "-".join(printable(f"{name}={as_text(config.value(name))}") for name in ordered)
    settings = re.sub(r'[\\/:*?"<>|]', "_", settings)  # no file name on Windows may hold these
    if len(settings.encode()) > LONGEST_SETTINGS:
        settings = _hashed(settings)
    return short_name("-".join(filter(None, [config.experiment, config.dataset.name, seed, settings])))


def short_name(name: str) -> str:
    """The name, or its beginning and a hash of it, where file systems could not hold it."""
    if len(name.encode()) <= LONGEST_NAME:
        return name
    beginning = name.encode()[: LONGEST_NAME - 17].decode(errors="ignore")
    return f"{beginning}-{_hashed(name)}"


def _hashed(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
