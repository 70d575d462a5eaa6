"""Experiment: a Config and the tables that say what its names mean. `build` makes the functions of a run from it.

The project's tables are below; an experiment may add entries of its own. Nothing is registered anywhere else.
"""

import contextlib
import dataclasses
import functools
import hashlib
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax.numpy as jnp
from flax import linen as nn

from cnn_jax import data
from cnn_jax.config import FIELDS, PART_FIELDS, Config, Part, config_differences
from cnn_jax.data import augmentations
from cnn_jax.data.dataset import Dataset, Spec, check
from cnn_jax.data.source import Source
from cnn_jax.data.tasks import TASKS, Task
from cnn_jax.display import Displayed
from cnn_jax.errors import InputError, unknown_name
from cnn_jax.models import MODELS
from cnn_jax.models.table import Summary, summarize
from cnn_jax.settings import REQUIRED, Setting, as_text, settings_of, takes
from cnn_jax.synonyms import meant, own_part
from cnn_jax.training import checks, initial
from cnn_jax.training.initial import InitialVariables
from cnn_jax.training.learner import Learner
from cnn_jax.training.losses import LOSSES, METRICS
from cnn_jax.training.metrics import Measures
from cnn_jax.training.optimizers import AVERAGES, OPTIMIZERS, clipping
from cnn_jax.training.schedules import SCHEDULES
from cnn_jax.user_code import UserCode, code_of, defined_at, load_module, noted_imports, source_of, user_errors

ALWAYS_REPORTED = ("loss", "accuracy", "cross_entropy")

Entries = Mapping[str, Callable[..., Any]]


@dataclass(frozen=True)
class Table:
    """A table of functions by name. field: of Config, which names one or several. word: for one of them.

    leading, supplied: the parameters that the program provides, which are therefore no settings.
    """

    field: str
    word: str
    shipped: Entries
    leading: int = 0
    supplied: frozenset[str] = frozenset()


TABLES: Mapping[str, Table] = {
    "datasets": Table("dataset", "dataset", data.DATASETS, supplied=frozenset(("dataset_dir",))),
    "augmentations": Table("augment", "augmentation", augmentations.AUGMENTATIONS, leading=2),
    "tasks": Table("task", "task", TASKS),
    "models": Table("model", "model", MODELS, supplied=frozenset(("classes", "dtype", "fused", "parent", "name"))),
    "losses": Table("loss", "loss", LOSSES, leading=2),
    "metrics": Table("metrics", "metric", METRICS, leading=2),
    "optimizers": Table("optimizer", "optimizer", OPTIMIZERS, leading=1),
    "schedules": Table("schedule", "schedule", SCHEDULES, supplied=frozenset(("steps",))),
    "averages": Table("average", "average", AVERAGES, supplied=frozenset(("steps",))),
}
_TABLE_OF = {table.field: name for name, table in TABLES.items()}


@dataclass(frozen=True, eq=False, repr=False)
class Experiment(Displayed):
    """A Config, and the user's own entries of the tables by name. Its config names every setting, with its default.

    datasets: (**settings) -> Dataset, or Source; one that takes `dataset_dir` gets the field of this name.
    augmentations: (key, images, **settings) -> images, or Mixed. tasks: (**settings) -> Task. models: a linen module
    class; its fields are its settings. losses, metrics: (logits, labels, **settings) -> float32 [N]. optimizers:
    (learning_rate, **settings) -> an optax optimizer; the rate is a function of the step. schedules: (**settings) ->
    (step -> factor of the rate); `steps`, where it is taken, is the number of all steps. averages: (**settings) -> how
    the parameters are averaged. dataset_dir: a folder or file with the user's data; it does not identify them. code:
    the file that the experiment comes from. init: the variables that training starts from; `init_from`
    makes it. Where the Config says another hash, it is None.

    Raises InputError on a name in no table, and on a setting that a part does not have or that is not allowed.
    """

    config: Config = field(default_factory=Config)
    _: dataclasses.KW_ONLY
    datasets: Entries = field(default_factory=dict)
    augmentations: Entries = field(default_factory=dict)
    tasks: Entries = field(default_factory=dict)
    models: Entries = field(default_factory=dict)
    losses: Entries = field(default_factory=dict)
    metrics: Entries = field(default_factory=dict)
    optimizers: Entries = field(default_factory=dict)
    schedules: Entries = field(default_factory=dict)
    averages: Entries = field(default_factory=dict)
    dataset_dir: Path | None = None
    code: UserCode | None = None
    init: InitialVariables | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.config, Config):
            given = type(self.config).__name__
            raise InputError(f"Experiment: {given} is no Config. Give one, as in Experiment(Config(epochs=3)).")
        for name in TABLES:
            _require_own(name, getattr(self, name))
        object.__setattr__(self, "config", self._resolved(self.config))
        if self.dataset_dir is not None:
            object.__setattr__(self, "dataset_dir", Path(self.dataset_dir).expanduser())
        if self.dataset_dir is not None and not self.takes_dataset_dir:
            readers = ", ".join(f"--dataset={name}" for name in self._dataset_dir_readers())
            raise InputError(
                f"--dataset_dir: has no meaning with --dataset={self.config.dataset}. These read it: {readers}."
            )
        if self.init and self.init.digest != self.config.init_hash:
            object.__setattr__(self, "init", None)

    def __reduce__(self) -> tuple[Callable, tuple]:
        """For other processes: they load the user's file again."""
        if self.has_own_parts and self.code is None:
            raise InputError("This experiment's parts are in no file, so another process cannot load them.")
        return _reloaded, (self.code.path if self.code else None, self.config, self.dataset_dir, self.init)

    def __repr__(self) -> str:
        return f"Experiment({', '.join(f'{name}={as_text(value)}' for name, value in self.changes.items())})"

    def _facts(self) -> Mapping[str, str]:
        return self.config._facts()

    @property
    def changes(self) -> dict[str, Any]:
        """What is another than in `Experiment()`, or no default of a chosen part, by the names that `vary` takes."""
        found = {name: value for name, (_, value) in config_differences(Experiment().config, self.config).items()}
        with_defaults = _with_parts(self.config, {name: Part(part.name) for name, part in self.config.parts().items()})
        settings = config_differences(self._resolved(with_defaults), self.config)
        return found | {name: value for name, (_, value) in settings.items() if name not in found}

    @property
    def has_own_parts(self) -> bool:
        """Whether a table has an entry of the user's."""
        return any(getattr(self, name) for name in TABLES)

    @property
    def digest(self) -> str | None:
        """What identifies the user's code: the hash of the file, or of the sources of entries that are in no file."""
        if self.code or not self.has_own_parts:
            return self.code.digest if self.code else None
        sources = [(table, name, source_of(entry)) for table in TABLES for name, entry in getattr(self, table).items()]
        return hashlib.sha256(repr(sorted(sources)).encode()).hexdigest()

    def entries(self, table: str) -> Entries:
        """The project's entries and the user's."""
        return {**TABLES[table].shipped, **getattr(self, table)}

    def with_config(self, config: Config) -> "Experiment":
        """The same tables with another Config. A dataset that the user's function has made is not made again."""
        is_same = config.dataset.name == self.config.dataset.name
        changed = dataclasses.replace(self, config=config, dataset_dir=self.dataset_dir if is_same else None)
        if changed.config.dataset == self.config.dataset:
            vars(changed).update({name: vars(self)[name] for name in ("data", "spec") if name in vars(self)})
        return changed

    def with_dataset_dir(self, dataset_dir: Path | None) -> "Experiment":
        """The experiment whose dataset is in this folder or file. Raises InputError where the dataset takes none."""
        return dataclasses.replace(self, dataset_dir=dataset_dir)

    @property
    def takes_dataset_dir(self) -> bool:
        """Whether the dataset is in a folder or file that the user names."""
        return takes(self._entry("dataset", self.config.dataset), "dataset_dir")

    def _dataset_dir_readers(self) -> list[str]:
        return sorted(name for name, entry in self.entries("datasets").items() if takes(entry, "dataset_dir"))

    def with_spec(self, spec: Spec) -> "Experiment":
        """The experiment with its dataset's description, which is known already: no file is looked at for it."""
        changed = dataclasses.replace(self)
        vars(changed).update({name: vars(self)[name] for name in ("data",) if name in vars(self)}, spec=spec)
        return changed

    def replace(self, **fields: Any) -> "Experiment":
        """The same tables with other fields of the Config, by Config's rules."""
        return self.with_config(dataclasses.replace(self.config, **fields))

    def vary(self, changes: Mapping[str, Any] | None = None, /, **more: Any) -> "Experiment":
        """The experiment with other settings, by the rules of flags: `vary(pooling=False, epochs=3)`.

        A name is a field of Config, a part's setting such as `model.width`, or the setting alone where exactly one of
        the chosen parts has it. A part that is named anew has its defaults. Raises InputError.
        """
        return self._varied({**(changes or {}), **more}, _checked)

    def vary_text(self, changes: Mapping[str, str], flags: Iterable[str] = ()) -> "Experiment":
        """The same for values as they are typed on the command line. flags: other names that may be meant."""
        return self._varied(changes, _read, flags)

    def init_from(
        self,
        variables: Mapping[str, Any],
        *,
        prefix: str | Iterable[str] = (),
        skip: str | Iterable[str] = (),
        source: str = "the given variables",
    ) -> "Experiment":
        """The experiment whose training starts from these variables, such as `load_run("runs/pretrained").variables`.

        prefix: take only what is under these names, as in `("Conv_0", "Dense_0/bias")`. skip: take nothing under these.
        What is not taken starts from the seed. source: where they come from, for people. Raises InputError where there
        are no such names, or where the Config already says the hash of other variables.
        """
        prefix, skip = ((names,) if isinstance(names, str) else names for names in (prefix, skip))
        init, before = initial.choose(dict(variables), prefix, skip, source), self.config.init_hash
        if before not in (None, init.digest):
            raise InputError(
                f"--init_from={source}: these are not the parameters that the config starts from (their hash is "
                f"{init.digest}, not {before}). Give the same run, --init_prefix and --init_skip as then, or add "
                "--init_hash=none to start from these."
            )
        return dataclasses.replace(self, init=init, config=dataclasses.replace(self.config, init_hash=init.digest))

    def _varied(
        self, changes: Mapping[str, Any], read: Callable[[Setting, Any, str], Any], flags: Iterable[str] = ()
    ) -> "Experiment":
        fields = {
            name: value if name in PART_FIELDS and not isinstance(value, str) else read(FIELDS[name], value, name)
            for name, value in changes.items()
            if name in FIELDS
        }
        chosen = self.replace(**fields) if fields else self
        settings: dict[str, dict[str, Any]] = {}
        for name in changes:
            if name not in FIELDS:
                part, _, setting = chosen.full_name(name, flags).rpartition(".")
                value = read(chosen.settings[f"{part}.{setting}"], changes[name], name)
                settings.setdefault(part, {})[setting] = value
        return chosen.with_config(_with_settings(chosen.config, settings)) if settings else chosen

    @functools.cached_property
    def settings(self) -> dict[str, Setting]:
        """The settings of the chosen parts by their full names, as in `model.width`."""
        return {
            f"{name}.{setting.name}": setting
            for name, part in self.config.parts().items()
            for setting in self._settings_of(name.partition(".")[0], part).values()
        }

    def full_name(self, name: str, others: Iterable[str] = ()) -> str:
        """The full name of a part's setting. others: names that may be meant too.

        Raises InputError where there is none, or several.
        """
        if name in self.settings:
            return name
        found = [full for full in self.settings if full.rpartition(".")[2] == name]
        if len(found) > 1:
            raise InputError(f"--{name}: several parts have this setting. Name one: --{', --'.join(found)}.")
        if found:
            return found[0]
        raise self._no_setting(name, others)

    def _no_setting(self, name: str, others: Iterable[str]) -> InputError:
        part, dot, setting = name.rpartition(".")
        if dot and part in self.config.parts():
            chosen = self.config.parts()[part]
            return self._unknown_setting(part, chosen, setting)
        hint = self._setting_elsewhere(name, others)
        return InputError(f"--{name}: no such flag, and no chosen part has such a setting.{hint} See --help.")

    def _setting_elsewhere(self, name: str, others: Iterable[str]) -> str:
        """A sentence on what an unknown name may mean; empty where nothing is near."""
        known = [*others, *FIELDS, *self.settings, *(full.rpartition(".")[2] for full in self.settings)]
        if part := own_part(name):
            return f" A {part} of your own may have such a setting: see --mode=new."
        near = name if self._parts_with(name) else meant(name, known)
        if near is None:
            return ""
        setting = near.rpartition(".")[2]
        if near in self.settings or (near in known and "." not in near):
            return f" Did you mean --{near}?"
        having = " or ".join(self._parts_with(setting)[:3])
        if setting == name:
            return f" It is a setting of {having}."
        return f" Did you mean --{setting} of {having}?" if having else f" Did you mean --{near}?"

    def _parts_with(self, setting: str) -> list[str]:
        """The parts that have a setting of this name, as they are chosen: `--optimizer=adamw`."""
        return [
            f"--{table.field}={entry}"
            for name, table in TABLES.items()
            for entry, function in self.entries(name).items()
            if setting in settings_of(function, leading=table.leading, supplied=table.supplied)
        ]

    def _settings_of(self, config_field: str, part: Part) -> dict[str, Setting]:
        table = TABLES[_TABLE_OF[config_field]]
        return settings_of(self._entry(config_field, part), leading=table.leading, supplied=table.supplied)

    def _entry(self, config_field: str, part: Part) -> Callable[..., Any]:
        """The function that a part names. Raises InputError on an unknown name."""
        name = _TABLE_OF[config_field]
        entries = self.entries(name)
        if part.name not in entries:
            raise unknown_name(f"--{config_field}", part.name, TABLES[name].word, entries)
        return entries[part.name]

    def _resolved(self, config: Config) -> Config:
        """The Config with every setting of its parts. Raises InputError."""
        metrics = config.metrics if config.metrics is not None else tuple(map(Part, self.metrics))
        metrics = tuple(part for part in metrics if part.name not in ALWAYS_REPORTED)
        config = dataclasses.replace(config, metrics=metrics)
        parts = {name: self._resolved_part(name, part) for name, part in config.parts().items()}
        return _with_parts(config, parts)

    def _resolved_part(self, name: str, part: Part) -> Part:
        settings = self._settings_of(name.partition(".")[0], part)
        for given in part.settings:
            if given not in settings:
                raise self._unknown_setting(name, part, given)
        defaults = {setting.name: setting.default for setting in settings.values() if setting.default is not REQUIRED}
        values = {**defaults, **part.settings}
        return Part(part.name, **{key: settings[key].check(value, f"{name}.{key}") for key, value in values.items()})

    def _unknown_setting(self, name: str, part: Part, setting: str) -> InputError:
        config_field = name.partition(".")[0]
        has = ", ".join(self._settings_of(config_field, part)) or "none"
        hint = ""
        if setting in _untyped(TABLES[_TABLE_OF[config_field]], self._entry(config_field, part)):
            hint = f" It takes {setting}, but a setting needs a type or a default."
        elif near := self._near_setting(name, part, setting):
            hint = f" Did you mean --{near}?"
        return InputError(f"--{name}.{setting}: the {_word(name)} {part} has no setting {setting}. It has {has}.{hint}")

    def _near_setting(self, name: str, part: Part, setting: str) -> str | None:
        """The setting or the field of Config that an unknown setting of a part may mean."""
        own = self._settings_of(name.partition(".")[0], part)
        near = meant(setting, [*FIELDS, *own]) or ""
        last = near.rpartition(".")[2]
        return f"{name}.{last}" if last in own else near if near in FIELDS else None

    def differences(self, before: Config) -> dict[str, tuple[Any, Any]]:
        """The settings in which an earlier Config and this experiment's differ, with both values.

        A setting that the earlier version of the program did not have counts with its default.
        """
        with contextlib.suppress(InputError):  # of a part that is not in the tables: it is one of the differences
            before = self.with_config(before).config
        return config_differences(before, self.config)

    def make(self, name: str) -> functools.partial[Any]:
        """The function that a part names, with its settings. name: as in `Config.parts`.

        Raises InputError where a setting that has no default is missing.
        """
        part = self.config.parts()[name]
        for setting in self._settings_of(name.partition(".")[0], part).values():
            if setting.default is REQUIRED and setting.name not in part.settings:
                raise InputError(f"--{name}.{setting.name}: the {_word(name)} {part} needs this setting.")
        return functools.partial(self._entry(name.partition(".")[0], part), **part.settings)

    @functools.cached_property
    def data(self) -> Source | Dataset:
        """The dataset, or where it comes from. Raises InputError where the user's function gives none."""
        make = self.make("dataset")
        if self.takes_dataset_dir:
            if self.dataset_dir is None:
                raise InputError(f"--dataset={self.config.dataset}: name its folder or file with --dataset_dir=PATH.")
            make = functools.partial(make, dataset_dir=self.dataset_dir)
        with user_errors(f"the dataset {self.config.dataset}", make):
            found = make()
        if not isinstance(found, Source | Dataset):
            raise InputError(
                f"{defined_at(make)}--dataset={self.config.dataset}: gives {type(found).__name__}, not a Dataset. "
                "Make one with Dataset.from_arrays."
            )
        if isinstance(found, Dataset):
            _require_sound(found, f"{defined_at(make)}--dataset={self.config.dataset}")
            return dataclasses.replace(found, spec=dataclasses.replace(found.spec, name=self.config.dataset.name))
        return found

    @functools.cached_property
    def spec(self) -> Spec:
        """The dataset's description."""
        return self.data.spec

    @functools.cached_property
    def task(self) -> Task:
        """The task. Raises InputError where the user's function gives none."""
        make = self.make("task")
        with user_errors(f"the task {self.config.task}", make):
            task = make()
        if not isinstance(task, Task):
            raise InputError(f"{defined_at(make)}--task={self.config.task}: gives {type(task).__name__}, not a Task.")
        return task

    @functools.cached_property
    def module(self) -> nn.Module:
        """The model as a linen module, whose layers are computed one by one, so that each can be looked at."""
        return build(self, fused=False).module

    def summary(self) -> Summary:
        """The model's layers, the operations between them, and what each reads. Nothing is trained."""
        learner = build(self, fused=False)
        return summarize(learner.module, learner.input_shapes)

    @property
    def planned_parts(self) -> list[str]:
        """The parts that depend on the number of all steps, as in `cosine schedule`: epochs cannot be added to them."""
        parts = {name: self.config.parts()[name] for name in ("schedule", "average")}
        return [f"{part} {name}" for name, part in parts.items() if takes(self._entry(name, part), "steps")]


def _word(name: str) -> str:
    """The word for a part. name: as in `Config.parts`."""
    return TABLES[_TABLE_OF[name.partition(".")[0]]].word


def _untyped(table: Table, entry: Callable[..., Any]) -> list[str]:
    """The parameters that would be settings if they had a type or a default."""
    parameters = list(inspect.signature(entry).parameters.values())[table.leading :]
    named = [p for p in parameters if p.name not in table.supplied and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    return [p.name for p in named if p.annotation is p.empty and p.default is p.empty]


def _checked(setting: Setting, value: Any, flag: str) -> Any:
    """The value, checked. Names of parts may be one text, as on the command line."""
    is_names = setting.name in PART_FIELDS and setting.is_tuple and isinstance(value, str)
    return setting.check(setting.read(value) if is_names else value, flag)


def _read(setting: Setting, text: str, flag: str) -> Any:
    """The value from text, checked."""
    try:
        return setting.check(setting.read(text), flag)
    except ValueError as error:
        raise InputError(f"--{flag}={text}: {error}.") from None


def _with_settings(config: Config, settings: Mapping[str, Mapping[str, Any]]) -> Config:
    """The Config with some settings of its parts changed. settings: by the names of `Config.parts`."""
    return _with_parts(config, {name: config.parts()[name].with_settings(**given) for name, given in settings.items()})


def _with_parts(config: Config, parts: Mapping[str, Part]) -> Config:
    """The Config with some of its parts replaced by parts of the same names."""
    fields: dict[str, Any] = {}
    for name, kind in PART_FIELDS.items():
        if kind is Part:
            fields[name] = parts.get(name, getattr(config, name))
        else:
            fields[name] = tuple(parts.get(f"{name}.{part}", part) for part in getattr(config, name) or ())
    return dataclasses.replace(config, **fields)


def _require_own(table: str, entries: Any) -> None:
    """Raises InputError where the user's entries cannot be added to a table."""
    if not isinstance(entries, Mapping):
        raise InputError(f"{table}: {type(entries).__name__} is no dict of functions by name.")
    for name, entry in entries.items():
        Part(name)
        if name in TABLES[table].shipped or (table == "metrics" and name in ALWAYS_REPORTED):
            raise InputError(f"{table}: {name} is an entry of this project. Give yours another name.")
        if isinstance(entry, nn.Module):
            raise InputError(f"{table}: {name} is a module; give its class, {type(entry).__name__}.")
        if not callable(entry):
            raise InputError(f"{table}: {name} is {type(entry).__name__}, not a function.")
        try:
            settings = settings_of(entry, leading=TABLES[table].leading, supplied=TABLES[table].supplied)
        except (ValueError, TypeError):  # of built-in functions
            raise InputError(f"{table}: the parameters of {name} cannot be read. Give a function around it.") from None
        if "name" in settings:
            raise InputError(f"{table}: {name} has a parameter called name, which is reserved. Rename the parameter.")


def _require_sound(dataset: Dataset, subject: str) -> None:
    """Raises InputError where the arrays of a user's dataset do not agree with its description."""
    try:
        check(dataset.spec, dataset.train, dataset.test)
    except ValueError as error:
        raise InputError(f"{subject}: not a dataset: {error}. Dataset.from_arrays makes one.") from None


def _reloaded(path: Path | None, config: Config, dataset_dir: Path | None, init: InitialVariables | None) -> Experiment:
    experiment = load_experiment(path) if path else Experiment()
    return dataclasses.replace(experiment, config=config, dataset_dir=dataset_dir, init=init)


def load_experiment(path: Path) -> Experiment:
    """The Experiment that a user's file makes in its function `experiment()`.

    Raises InputError when there is no such file or function, or when the file fails; the error names the line.
    """
    if not path.is_file():
        raise InputError(f"--experiment={path}: no such file.")
    module = load_module(path)
    make = getattr(module, "experiment", None)
    if not callable(make):
        raise InputError(f"--experiment={path}: has no function experiment().")
    with user_errors(of=make), noted_imports(module):
        experiment = make()
    if not isinstance(experiment, Experiment):
        where = defined_at(make) or f"--experiment={path}: "
        raise InputError(f"{where}experiment() returns {type(experiment).__name__}, not an Experiment.")
    name = "".join(c if c.isalnum() or c in "_ .+-" else "_" for c in path.stem)
    return dataclasses.replace(
        experiment,
        code=code_of(module),
        config=dataclasses.replace(experiment.config, experiment=name.lstrip(" .+-") or "_"),
    )


def build(experiment: Experiment, spec: Spec | None = None, *, fused: bool = True) -> Learner:
    """The learner of an Experiment. It makes no array and compiles nothing.

    spec: of other images than its dataset's. fused: as in `build_module`. Raises InputError, with file and line where
    the fault is in the user's code, when the parts do not fit each other or the images.
    """
    config, spec = experiment.config, spec or experiment.spec
    _require_held_out(config)
    metrics = {part.name: experiment.make(f"metrics.{part}") for part in config.metrics or ()}
    learner = Learner(
        module=build_module(experiment, len(spec.classes), fused=fused),
        task=experiment.task,
        spec=spec,
        measures=Measures(experiment.make("loss"), metrics, experiment.task.main_output),
        optimizer=experiment.make("optimizer"),
        schedule=_of_steps("schedule", experiment.make("schedule")),
        averaging=_of_steps("average", experiment.make("average")) if config.average.name != "none" else None,
        augmentations={part.name: experiment.make(f"augment.{part}") for part in config.augment},
        learning_rate=config.learning_rate,
        epochs=config.epochs,
        batch_size=config.batch_size,
        matmul_precision=config.matmul_precision,
        initial=experiment.init.variables if experiment.init else None if config.init_hash else {},
        frozen=config.freeze,
        warmup_steps=config.warmup_steps,
        clip=clipping(config.clip_norm, config.clip_value),
        microbatches=config.microbatches,
    )
    _require_inputs(experiment, learner)
    checks.require_augmentations(learner)  # the model in training receives what they give
    if experiment.has_own_parts:
        checks.require_fitting(learner)
    else:
        checks.require_fitting_images(learner)
        if learner.measures.adds_cross_entropy:
            checks.require_fitting_loss(learner)
    if experiment.init:
        checks.require_initial_fits(learner, experiment.init)
    return learner


def _require_held_out(config: Config) -> None:
    """Raises InputError where epochs are to be chosen without held-out images: the test images must not choose."""
    if config.chooses_epochs and not config.validation_examples:
        flag = f"--keep={config.keep}" if config.keep == "best" else f"--patience={config.patience}"
        raise InputError(f"{flag}: held-out images decide. Hold out some with --validation_examples=N.")


def remarks(config: Config, classes: Sequence[str]) -> list[str]:
    """What a user should know of these settings before training on images of these classes, a line each."""
    found = augmentations.remarks(config.augment, classes)
    if config.monitor != Config.monitor and not config.chooses_epochs:
        found.append(f"--monitor={config.monitor}: changes nothing without --keep=best or --patience")
    return found


def _require_inputs(experiment: Experiment, learner: Learner) -> None:
    """Raises InputError where a task gives several inputs to one of the project's models that takes images alone."""
    model = MODELS.get(experiment.config.model.name)
    with user_errors("the task"):
        inputs = learner.input_shapes
    if model and not getattr(model, "tasks", ()) and isinstance(inputs, dict):
        name, task = experiment.config.model, experiment.config.task
        raise InputError(
            f"--task={task}: the model {name} takes one array of images, but this task gives {', '.join(inputs)}."
        )


def _of_steps(what: str, function: Callable[..., Any]) -> Callable[[int], Any]:
    """The function with the number of all steps as its argument, whether it takes it or not. Raises InputError."""
    parameters, is_asked = inspect.signature(function).parameters.values(), takes(function, "steps")
    kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    needed = [each.name for each in parameters if each.default is each.empty and each.kind not in kinds]
    if missing := [name for name in needed if name != "steps"]:
        raise InputError(
            f"{defined_at(function)}the {what} must be made by a function of the number of steps, as in lambda steps: "
            f"...; this one needs {', '.join(missing)}."
        )

    @functools.wraps(function)
    def of_steps(steps: int) -> Any:
        return function(steps=steps) if is_asked else function()

    return of_steps


def build_module(experiment: Experiment, classes: int, *, fused: bool = False) -> nn.Module:
    """The linen module of an Experiment, with what it takes of classes, dtype and fused.

    fused: the module may compute several layers together, which is fast; otherwise it computes them one by one, so that
    each can be looked at. Raises InputError where the module cannot be made, or not for this task or dtype.
    """
    config, make = experiment.config, experiment.make("model")
    tasks = getattr(make.func, "tasks", ())
    if tasks and config.task.name not in tasks:
        raise InputError(f"--task={config.task}: the model {config.model} needs --task={' or --task='.join(tasks)}.")
    supplied = {"classes": classes, "dtype": jnp.dtype(config.dtype), "fused": fused}
    if config.dtype != "float32" and not takes(make.func, "dtype"):
        raise InputError(f"--dtype={config.dtype}: the model {config.model} has no field dtype.")
    with user_errors(f"the model {config.model}", make):
        module = make(**{name: value for name, value in supplied.items() if takes(make.func, name)})
    if not isinstance(module, nn.Module):
        raise InputError(
            f"{defined_at(make)}--model={config.model}: gives {type(module).__name__}, not a linen module."
        )
    return module
