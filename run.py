#!/usr/bin/env python3
"""Trains and examines small convolutional networks. `python run.py` trains the lecture's CNN on MNIST.

The flags become a Config and RunOptions, which go to one command. `python run.py --help` shows every flag.
"""

import dataclasses
import importlib
import itertools
import os
import shlex
import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if not __package__ and (_FOLDER := os.path.dirname(os.path.abspath(__file__))) not in sys.path:
    sys.path.insert(0, _FOLDER)  # `python -P` leaves it out

from absl import flags

from cnn_jax import program
from cnn_jax.config import FIELDS, PART_FIELDS, Config, read_config
from cnn_jax.errors import InputError, MachineError, ProjectError, unknown_name
from cnn_jax.files import local_path
from cnn_jax.output import lasting_output
from cnn_jax.runs.options import RunOptions
from cnn_jax.runs.processes import ALONE, Processes
from cnn_jax.settings import as_text
from cnn_jax.synonyms import meant

if TYPE_CHECKING or not __package__:
    import experiments
else:  # installed, this file is cnn_jax_command/run.py
    from . import experiments

if TYPE_CHECKING:
    from cnn_jax import Experiment

# One of these is there where a cluster has started this process; jax knows how to read the others.
_SIGNS_OF_A_CLUSTER = ("SLURM_STEP_NODELIST", "OMPI_MCA_orte_hnp_uri", "JOB_COMPLETION_INDEX", "TPU_WORKER_HOSTNAMES")

Typed = dict[str, str | None]  # settings of parts as typed, by their names; None: without a value

_INIT = ("init_from", "init_prefix", "init_skip")  # what training starts from: a part of the Experiment


@dataclass(frozen=True)
class Mode:
    """A value of `--mode`. module: its `run` is called. flags: those that it takes beside the fields of Config.

    takes: what its `run` takes first: one Experiment, a list of them (`--experiments`), or none. trains: whether what
    training starts from has a meaning. only_prints: whether its result is in no file.
    """

    module: str
    help: str
    flags: tuple[str, ...]
    takes: str = "one"
    trains: bool = False
    only_prints: bool = False

    @property
    def all_flags(self) -> set[str]:
        """All flags that have a meaning with this mode."""
        fields = {"one": {"config", *FIELDS}, "list": {"experiments", *FIELDS} - {"experiment"}, "none": set[str]()}
        return {"mode", "list", *self.flags, *fields[self.takes], *(_INIT if self.trains else ())}


_DATA = ("dataset_dir", "data_dir", "manual_dir", "compilation_cache")
_WRITES = ("workdir", "overwrite")
_SEEDS = ("seeds", "seed_strategy", "progress")
_PROCESSES = ("coordinator", "num_processes", "process_id", "join_timeout")
_SWEEP = ("sweep", "samples", "jobs", "trials", "claim_timeout")
_MEASURES = ("batch_sizes", "dtypes", "repeats", "seconds", "baseline", "tolerance", "profile")
_TARGET = ("target_accuracy", "seeds", "data_dir", "manual_dir")

MODES: Mapping[str, Mode] = {
    "train": Mode(
        "cnn_jax.runs.train",
        "train a model and score it on the test set (the default)",
        (
            *(*_WRITES, *_DATA, *_SEEDS, "checkpoint_every", "keep_checkpoints", "max_time", "resume_from"),
            *("deterministic", "mesh", *_PROCESSES),
        ),
        trains=True,
    ),
    "evaluate": Mode(
        "cnn_jax.studies.evaluation.run",
        "score finished runs again (--workdir or --runs): calibration, ensembles, --corruptions, --test_augment",
        (
            *(*_WRITES, *_DATA, "experiment", "runs", "dataset", "held_out", "output"),
            *("corruptions", "test_augment", "shift_pixels"),
        ),
        takes="none",
        only_prints=True,
    ),
    "compare": Mode(
        "cnn_jax.studies.compare.run",
        "compare models (--experiments) or finished runs (--runs), with intervals and tests",
        (*_WRITES, *_DATA, *_SEEDS, "experiment", "runs", "print_commands"),
        takes="list",
        trains=True,
    ),
    "sweep": Mode(
        "cnn_jax.studies.sweep.run",
        "try many settings (--sweep) on held-out images, and score the best one on the test images",
        (*_WRITES, *_DATA, "seeds", "progress", *_SWEEP, "print_commands"),
        trains=True,
    ),
    "overfitting": Mode(
        "cnn_jax.studies.overfitting.run",
        "train --experiments on few images, on more, and on all: training against test accuracy",
        (*_WRITES, *_DATA, *_SEEDS, "sizes"),
        takes="list",
        trains=True,
    ),
    "benchmark": Mode(
        "cnn_jax.studies.benchmark.run",
        "measure training and inference on this machine, or compare two such records (--runs=A,B)",
        (*_WRITES, "dataset_dir", *_MEASURES, *_TARGET, "deterministic", "runs"),
    ),
    "export": Mode(
        "cnn_jax.studies.export",
        "write a finished run's model (--workdir) as parameters for numpy or as a program for jax",
        (*_WRITES, "experiment", "format", "output"),
        takes="none",
    ),
    "lesson": Mode(
        "cnn_jax.studies.lesson.run",
        "the lecture as a page with live results; writes lesson.html and lesson.npz",
        (*_WRITES, *_DATA, "experiment", "runs", "dataset", "test_image", "images"),
        takes="none",
    ),
    "predict": Mode(
        "cnn_jax.studies.predict.run",
        "say what your own pictures (--images) show, with a shipped network or a finished run (--workdir)",
        ("workdir", "compilation_cache", "experiment", "images", "output"),
        takes="none",
    ),
    "summary": Mode(
        "cnn_jax.studies.summary.run",
        "print a model's layers, parameters and multiply-adds; draw its graph; show its --augmentations",
        ("dataset_dir", "data_dir", "manual_dir", "graph", "augmentations"),
        only_prints=True,
    ),
    "check": Mode(
        "cnn_jax.studies.check",
        "one batch forwards and backwards, with shapes and costs; writes nothing",
        _DATA,
        trains=True,
        only_prints=True,
    ),
    "new": Mode("cnn_jax.studies.new", "write a starter file for an experiment of your own", ("output",), takes="none"),
}
# What other flags make of a mode.
_TWO_BENCHMARKS = Mode(
    "cnn_jax.studies.benchmark.compare", "compare two benchmarks", (*_WRITES, "runs", "tolerance"), takes="none"
)
_CATALOG = Mode("cnn_jax.studies.catalog", "list every table", ("experiment",), takes="none", only_prints=True)


@dataclass(frozen=True)
class Flag:
    """A flag that is no field of Config. read: text -> value; ValueError means that the text is no such value.

    placeholder: stands for the value in the help text; none for switches, whose `read` is their default.
    """

    read: Callable[[str], Any] | bool | None
    placeholder: str
    help: str
    expected: str = ""


def _listed(read: Callable[[str], Any]) -> Callable[[str], tuple]:
    """Reads values with commas between them."""
    return lambda text: tuple(read(part.strip()) for part in text.removesuffix(",").split(","))


def _listed_paths(is_there: Callable[[str], bool], read: Callable[[str], Any]) -> Callable[[str], tuple]:
    """Reads paths with commas between them. A path may hold commas and spaces too: those that exist decide."""

    def read_all(text: str) -> tuple:
        found, rest = list[Any](), text.split(",")
        while rest and not (found and rest == [""]):
            joined = [",".join(rest[:count]) for count in range(1, len(rest) + 1)]
            choices = [*joined, *(name.strip() for name in joined)]
            there = (index for index, name in enumerate(choices) if is_there(os.path.expanduser(name)))
            chosen = next(there, len(joined))  # the first name, stripped, where none exists
            if not choices[chosen].strip():
                raise ValueError("no name beside a comma")
            found.append(read(choices[chosen]))
            rest = rest[chosen % len(joined) + 1 :]
        return tuple(found)

    return read_all


def _sizes(text: str) -> dict[str, int]:
    """Reads sizes of a mesh's axes, as in data:4,seed:2."""
    pairs = [part.split(":") for part in text.split(",")]
    sizes = {name.strip(): int(size) for name, size in pairs}
    if len(sizes) < len(pairs):
        raise ValueError("an axis is named twice")
    return sizes


def _seconds(text: str) -> float:
    """Reads a time as in 30s, 5m or 2h; a plain number is seconds."""
    factor = {"s": 1, "m": 60, "h": 3600}.get(text[-1:])
    return float(text) if factor is None else factor * float(text[:-1])


def _address(text: str) -> Any:
    """Reads HOST:PORT."""
    from cnn_jax.runs.rendezvous import Address

    return Address.read(text)


def _ranges(text: str) -> tuple[range, ...]:
    """Reads whole numbers and ranges of them, which include both ends, as in 1-4,7."""
    parts = [part.partition("-") for part in text.removesuffix(",").split(",")]
    ranges = tuple(range(int(low), int(high if dash else low) + 1) for low, dash, high in parts)
    if not all(ranges):
        raise ValueError("the second number is below the first")
    return ranges


def _integer(help: str) -> Flag:
    return Flag(int, "N", help, "a whole number")


def _number(help: str) -> Flag:
    return Flag(float, "X", help, "a number")


def _time(help: str) -> Flag:
    return Flag(_seconds, "TIME", help, "a time as in 30s, 5m or 2h")


def _path(help: str) -> Flag:
    return Flag(local_path, "PATH", help, "a path")


def _names(help: str) -> Flag:
    return Flag(_listed(str), "A,B", help, "names")


def _integers(help: str) -> Flag:
    return Flag(_listed(int), "A,B", help, "whole numbers")


def _switch(default: bool | None, help: str) -> Flag:
    return Flag(default, "", help)


GENERAL_FLAGS: Mapping[str, Flag] = {
    "config": _path("start from the config.json of a run instead of an experiment"),
    "workdir": _path(
        "the folder: of the run to train (default runs/EXPERIMENT-DATASET-seedSEED and what the command line changed), "
        "of the finished run to read, or of the record to write"
    ),
    "dataset_dir": _path("your own data: the folder of --dataset=images, the file or folder of --dataset=arrays"),
    "data_dir": _path("the folder of prepared datasets; default $TFDS_DATA_DIR, else ~/tensorflow_datasets"),
    "manual_dir": _path("a folder with the dataset's original files, to use instead of a download"),
    "overwrite": _switch(
        False,
        "train, sweep, overfitting: delete what was trained in the folder, and start again; other modes: replace their "
        "earlier files, and no run",
    ),
    "progress": _switch(None, "show a progress bar; default: on a terminal"),
    "compilation_cache": _switch(True, "keep compiled programs on disk for the next start"),
}

# The help text puts the modes that take a flag in front.
MODE_FLAGS: Mapping[str, Flag] = {
    "init_from": _path("start from the parameters of this finished run, instead of random ones; all seeds start there"),
    "init_prefix": _names("of these parameters take only what is under these names, as in Conv_0,Dense_0/bias"),
    "init_skip": _names("take nothing under these names: it starts at random, as the last layer for other classes"),
    "checkpoint_every": _time("time between checkpoints; 0 means at the end of each epoch; default 60s"),
    "keep_checkpoints": _integer("how many of the newest checkpoints are kept; default 3"),
    "max_time": _time("stop after this time, save a checkpoint and score the test set"),
    "resume_from": _integer("go back to the checkpoint of this step and resume from there"),
    "experiments": Flag(
        _listed_paths(os.path.isfile, str), "A,B", "train these experiments, or resume them, and compare them", "names"
    ),
    "sizes": _integers("numbers of training images; default 100,300,1000,... and all"),
    "seeds": _integer(
        "train this many seeds, from --seed on; more may be added later; default 10 to compare, 3 for overfitting, "
        "sweep and --target_accuracy"
    ),
    "seed_strategy": Flag(
        str,
        "NAME",
        "loop: one seed after the other; vmap: together in one program; auto (default): by platform",
        "a name",
    ),
    "mesh": Flag(
        _sizes,
        "AXES",
        "how many devices share a batch (data) and the seeds (seed), as in data:4,seed:2; default: all devices",
        "sizes of the axes data and seed, as in data:4,seed:2",
    ),
    "coordinator": Flag(
        _address,
        "HOST:PORT",
        "train with several processes, on one machine or many: where process 0 waits for the others; Slurm and "
        "Open MPI 4 say it themselves",
        "an address, as in 10.0.0.1:1234",
    ),
    "num_processes": _integer("how many processes train together; 1: this one alone, whatever a cluster says"),
    "process_id": _integer("which of them this is, from 0 on"),
    "join_timeout": _time("how long they wait for one another at the start; default 60s"),
    "sweep": Flag(
        str.strip,
        "'FIELD=A,B'",
        "settings with values, as in learning_rate=1e-4:1e-2:log5; model.pooling=true,false; model.widths=4,8|16,32",
        "text",
    ),
    "samples": _integer("try this many random settings instead of all combinations"),
    "jobs": _integer("use this many processes, on a CPU; default 1"),
    "trials": Flag(_ranges, "N,N-M", "run these trials alone, by their numbers", "numbers and ranges, as in 1-4,7"),
    "claim_timeout": _time("take over a trial whose process gave no sign of life for so long; default 2m"),
    "print_commands": _switch(False, "print a command for each trial or seed that is not finished, and end"),
    "format": Flag(str, "NAME", "npz: the parameters (default); stablehlo: the whole model", "a name"),
    "output": _path(
        "the file (export, new) or folder (predict, evaluate) to write; new needs it; export and predict: default in "
        "the run's folder; evaluate: without it and --corruptions only printed"
    ),
    "runs": Flag(
        _listed_paths(os.path.exists, local_path),
        "DIR,DIR",
        "folders of finished runs, or folders with seed-N; two benchmark.json to compare, the baseline first",
        "folders with commas between them",
    ),
    "test_image": _integer("follow this test image through the network, ordered as in tensorflow_datasets; default 0"),
    "held_out": _switch(False, "score the images that the runs held out from training, instead of test images"),
    "corruptions": _names("corrupt the test images in these ways, or in all; writes record and page"),
    "test_augment": _names("test-time augmentation by shift, flip or both: also average over variants of the images"),
    "shift_pixels": _integer("how far --test_augment=shift goes along rows and columns; default 1, so 9 variants"),
    "images": _path("a picture file; predict takes a folder of them too, without folders in it"),
    "graph": _path("draw the model's graph into this new SVG file"),
    "augmentations": _path("show what each augmentation does to training images, in this new HTML file"),
    "batch_sizes": _integers("batch sizes to measure; default 64,256,1024"),
    "dtypes": _names("float32, tensorfloat32, bfloat16; default: all that the device has"),
    "repeats": _integer("how often each case is timed; default 11"),
    "seconds": _number("the most that all repeats of a case may take, except for the first; default 20"),
    "baseline": _path("an earlier benchmark.json to compare with"),
    "tolerance": _number("exit with code 1 if a case is slower by more than this share, beyond doubt; default 0.1"),
    "target_accuracy": _number("also measure the time to this test accuracy, as in 0.99, with the real images"),
    "profile": _switch(False, "trace training steps, and list the most expensive operations"),
    "deterministic": _switch(False, "the same bits every time on accelerators too, at some cost in speed"),
}

INFORMATION: Mapping[str, str] = {
    "list": "list all names that can be chosen, a line each",
    "help": "show this, and the settings of the experiment or parts that are named beside it",
    "helpfull": "show this and every --jax_* flag",
}
_FLAGS: Mapping[str, Flag] = {**GENERAL_FLAGS, **MODE_FLAGS}
_OFTEN_MEANT = ("model.widths", "model.kernel_size", "model.pooling", "dataset.seed")  # what an unknown flag may mean


class _FieldParser(flags.ArgumentParser):
    """Reads a Config field as typed on the command line."""

    def __init__(self, name: str):
        self.field = FIELDS[name]  # no field is a switch

    def parse(self, argument: Any) -> Any:
        """The text, if it can be read. ValueError says what is expected."""
        self.field.read(str(argument))
        return str(argument)


class _SwitchParser(flags.BooleanParser):
    """Reads true or false."""

    def parse(self, argument: str | int | bool) -> bool:
        """The value. ValueError says what is expected."""
        try:
            return super().parse(argument)
        except ValueError:
            raise ValueError("must be true or false") from None


def define_flags() -> flags.FlagValues:
    """All flags, none of them set: one for each field of Config, and those of GENERAL_FLAGS and MODE_FLAGS."""
    values = flags.FlagValues()
    flags.DEFINE_string("mode", "train", "what to do", flag_values=values)
    for name, field in FIELDS.items():
        flags.DEFINE(_FieldParser(name), name, None, field.about.help, values, flags.ArgumentSerializer())
    for name, flag in _FLAGS.items():
        if callable(flag.read):
            flags.DEFINE_string(name, None, flag.help, flag_values=values)
        else:
            _define_switch(name, flag.read, flag.help, values)
    for name, help_text in INFORMATION.items():
        _define_switch(name, False, help_text, values)
    values["h"] = values["help"]
    return values


def _define_switch(name: str, default: bool | None, help_text: str, values: flags.FlagValues) -> None:
    flags.DEFINE_boolean(name, default, help_text, flag_values=values)
    values[name].parser = _SwitchParser()


def parse(arguments: list[str], values: flags.FlagValues) -> Typed:
    """Sets the flags, and returns all others as typed: only an experiment knows the settings of its parts.

    Raises InputError on a value that cannot be read, and on words that are no flags.
    """
    if "=" in arguments:
        raise InputError("'=' is no value: there are no spaces around the equals sign, as in --epochs=3.")
    with_jax = any(word.lstrip("-").startswith(("jax_", "nojax_", "helpfull")) for word in arguments)
    if with_jax:
        _add_jax_flags(values)
    try:
        known, typed = _separated(_with_flagfiles(arguments, values), values)
        stray = values([program.name(), *known])[1:]
    except flags.Error as error:
        raise InputError(f"{str(error).removeprefix('flag ')}.") from None
    if stray:
        raise _no_flag(stray[0], arguments, values)
    if with_jax:
        _set_jax_flags(values)
    return typed


def _with_flagfiles(arguments: list[str], values: flags.FlagValues) -> list[str]:
    """The words, with those of a `--flagfile` in its place. Raises InputError."""
    try:
        words = values.read_flags_from_files(arguments)
    except UnicodeDecodeError as error:
        raise InputError(f"--flagfile: not text in {error.encoding}: {error.reason}.") from None
    return [word.removeprefix("\ufeff") for word in words]  # a byte order mark


def _separated(arguments: list[str], values: flags.FlagValues) -> tuple[list[str], Typed]:
    """The words that set known flags, and the other flags as typed."""
    known: list[str] = []
    typed: Typed = {}
    words = list(reversed(arguments))
    while words:
        word = words.pop()
        name, equals, text = word.lstrip("-").partition("=")
        if not word.startswith("-") or not name:
            known.append(word)
        elif (flag := _known(name, values)) is not None:
            known.append(word)
            if words and not equals and not isinstance(flag, flags.BooleanFlag):
                known.append(words.pop())
        elif equals or not words or words[-1].startswith("-"):
            typed[name] = text if equals else None
        else:
            typed[name] = words.pop()
    return known, typed


def _no_flag(word: str, arguments: list[str], values: flags.FlagValues) -> InputError:
    """The error for a word that belongs to no flag, because a value with spaces has several words."""
    first = _flag_before(word, arguments)
    said = f"{word!r} is no flag: "
    if first is None:
        return InputError(f"{said}flags look like --epochs=3. See --help.")
    name, equals, text = arguments[first].lstrip("-").partition("=")
    rest = list(itertools.takewhile(lambda other: not other.startswith("-"), arguments[first + 1 :]))
    words = [part for other in (text, *rest) for part in other.strip("[]()=").split(",") if part]
    flag = _known(name, values)
    if isinstance(flag, flags.BooleanFlag):
        return InputError(f"{said}--{name} takes no value beside it. Use --{name} or --no{name}.")
    is_list = flag is None or (FIELDS[name].is_tuple if name in FIELDS else "," in _placeholder(name))
    if is_list and len(words) > 1:
        return InputError(f"{said}several values have commas and no spaces between them: --{name}={','.join(words)}.")
    if equals and not text:
        return InputError(f"{said}there are no spaces around the equals sign: --{name}={words[0]}.")
    return InputError(f"{said}--{name} takes one value. If it has spaces, put it in quotes.")


def _flag_before(word: str, arguments: list[str]) -> int | None:
    """Where the flag is that a stray word follows; None where there is none, or where a --flagfile has the word."""
    places = [place for place, other in enumerate(arguments) if other == word]
    after_value = [place for place in places if place and not arguments[place - 1].startswith("-")]
    after_equals = [place for place in places if place and "=" in arguments[place - 1]]
    end = min(after_value + after_equals or places, default=0)
    named = [place for place in range(end) if arguments[place].startswith("-") and arguments[place].strip("-")]
    return named[-1] if named else None


def _placeholder(name: str) -> str:
    return _FLAGS[name].placeholder if name in _FLAGS else name.upper()  # in capitals: those of jax


def _known(name: str, values: flags.FlagValues) -> flags.Flag | None:
    """The flag of this name; also of a switch with `no` in front."""
    if name in values:
        return values[name]
    switch = values[name[2:]] if name.startswith("no") and name[2:] in values else None
    return switch if isinstance(switch, flags.BooleanFlag) else None


def _add_jax_flags(values: flags.FlagValues) -> None:
    import jax

    if "jax_platforms" not in flags.FLAGS:  # a command before this one, in the same process, may have added them
        jax.config.config_with_absl()
    for name in flags.FLAGS:
        if name.startswith("jax_"):
            flags.FLAGS[name].unparse()
            values[name] = flags.FLAGS[name]


def _set_jax_flags(values: flags.FlagValues) -> None:
    import jax

    from cnn_jax.numerics import FIXED

    for name in values:
        if name.startswith("jax_") and values[name].present:
            jax.config.update(name, values[name].value)
            if name in FIXED and jax.config.values[name] != FIXED[name]:
                raise InputError(f"--{name}: this program sets it itself, because it changes the results.")


def resolve(values: flags.FlagValues, typed: Typed) -> tuple["Experiment", tuple[str, ...]]:
    """The experiment with the settings that the command line changes, and the full names of these.

    It is that of `--experiment`; with `--config` its Config is that of the file.
    """
    named = values.experiment
    experiment = experiments.load(Config().experiment if named is None else named)
    if values.config is not None:
        experiment = _configured(experiment, _read("config", values), named)
    return _initialized(*_varied(experiment, values, typed), values)


def _configured(experiment: "Experiment", file: Path, named: str | None) -> "Experiment":
    """The experiment with the Config of a file. named: the value of `--experiment`, if it was given."""
    if named is not None and not named.endswith(".py"):
        raise InputError(
            f"--experiment={named}: has no meaning with --config, which says the experiment. Leave it out; only your "
            "own file is named beside --config."
        )
    config = read_config(file)
    try:
        return experiment.with_config(config)
    except InputError as error:
        hint = "" if named else " For parts of your own, name their file too: --experiment=FILE.py."
        raise InputError(f"{file}: {error}{hint}") from None


def resolve_named(name: str, values: flags.FlagValues, typed: Typed) -> tuple["Experiment", tuple[str, ...]]:
    """The same for one of several experiments, whose name is in front of an error in its settings."""
    experiment = experiments.load(name)
    try:
        return _initialized(*_varied(experiment, values, typed), values)
    except InputError as error:
        raise InputError(f"{name}: {error}") from None


def _initialized(
    experiment: "Experiment", changed: tuple[str, ...], values: flags.FlagValues
) -> tuple["Experiment", tuple[str, ...]]:
    """The same with the parameters of `--init_from`; their hash is then one of the changes."""
    given = {name: _read(name, values) for name in _INIT if values[name].present}
    if not given:
        return experiment, changed
    if "init_from" not in given:
        raise InputError(f"--{next(iter(given))}: has no meaning without --init_from.")
    from cnn_jax.runs import initial

    run = given.pop("init_from")
    return initial.init_from(experiment, run, **given), tuple(dict.fromkeys((*changed, "init_hash")))


def _varied(experiment: "Experiment", values: flags.FlagValues, typed: Typed) -> tuple["Experiment", tuple[str, ...]]:
    """The experiment with the changes of the command line, and their full names."""
    fields = {field: str(values[field].value) for field in FIELDS if values[field].present and field != "experiment"}
    chosen = experiment.vary_text(fields)
    if values["dataset_dir"].present:
        chosen = chosen.with_dataset_dir(_read("dataset_dir", values))
    settings = dict(_switched(name, text, chosen.settings) for name, text in typed.items())
    varied = chosen.vary_text(settings, [*values, *_OFTEN_MEANT])
    return varied, (*fields, *map(varied.full_name, settings))


def _switched(name: str, text: str | None, settings: Mapping[str, Any]) -> tuple[str, str]:
    """A setting and its text. `--pooling` alone means true, and `--nopooling` false. settings: by their full names."""
    if text is not None:
        return name, text
    known = {full.rpartition(".")[2] for full in settings} | settings.keys()
    return (name[2:], "false") if name not in known and name.startswith("no") and name[2:] in known else (name, "true")


def call(mode: Mode, values: flags.FlagValues, typed: Typed, command_line: list[str]) -> Any:
    """Calls the command of a mode. Raises InputError if a flag was given that the mode does not take."""
    given = [name for name in values if values[name].present and not name.startswith("jax_")]
    for name in given:
        if name not in mode.all_flags:
            flag = f"no{name}" if values[name].value is False else name
            raise InputError(f"--{flag}: has no meaning with {_words(mode, values)}.")
    if typed and mode.takes == "none":
        raise _unknown_flag(next(iter(typed)), values)
    _import_jax()
    with _processes(mode, values) as processes:
        return _called(mode, values, typed, command_line, given, processes)


def _words(mode: Mode, values: flags.FlagValues) -> str:
    """What has chosen a mode."""
    others = {_CATALOG.module: "--list", _TWO_BENCHMARKS.module: f"--mode={values.mode} --runs"}
    return others.get(mode.module, f"--mode={values.mode}")


def _processes(mode: Mode, values: flags.FlagValues) -> AbstractContextManager[Processes]:
    """The processes that run this command. They meet before jax is used."""
    given = [name for name in _PROCESSES if values[name].present]
    is_several = given or any(name in os.environ for name in _SIGNS_OF_A_CLUSTER)
    if not is_several or not set(_PROCESSES) <= set(mode.flags):
        return nullcontext(ALONE)
    from cnn_jax.runs.distributed import joined

    return joined(**{name: _read(name, values) for name in given})


def _called(
    mode: Mode,
    values: flags.FlagValues,
    typed: Typed,
    command_line: list[str],
    given: list[str],
    processes: Processes,
) -> Any:
    """Calls the command with the experiments and options that the flags name. given: the flags that were given."""
    module = importlib.import_module(mode.module)
    if mode is _CATALOG:
        return module.run(experiments.descriptions(), resolve(values, {})[0])
    others = [name for name in (*mode.flags, "config") if name not in _PROCESSES]
    arguments = {name: _read(name, values) for name in others if values[name].present}
    if "experiment" in arguments:  # the parts of finished runs
        arguments["experiment"] = experiments.load(arguments["experiment"])
    if mode.takes == "none":
        return module.run(_options(arguments, (), command_line, processes), **arguments)
    names = _read("experiments", values) if mode.takes == "list" and values["experiments"].present else ()
    if mode.takes == "one" or names:
        resolved = [resolve_named(name, values, typed) for name in names] or [resolve(values, typed)]
        chosen, changed = [experiment for experiment, _ in resolved], resolved[0][1]
    else:
        own = [name for name in given if name in _INIT or (name in FIELDS and name not in mode.flags)]
        chosen, changed = [], (*own, *typed)
    options = _options(arguments, changed, command_line, processes)
    prints_commands = arguments.pop("print_commands", False)
    first = chosen[0] if mode.takes == "one" else chosen
    if not prints_commands:
        return module.run(first, options, **arguments)
    for changes in module.commands(first, options, **arguments):
        print(shlex.join(_command(values, typed, changes)))
    return None


def _command(values: flags.FlagValues, typed: Typed, changes: Mapping[str, Any]) -> list[str]:
    """The words of a command like this one, with other flags: those of `changes`, of which None stands for no flag."""
    changes = {"print_commands": None, **changes}
    kept = [values[name].serialize() for name in values if values[name].present and name not in changes]
    settings = [f"--{name}" if text is None else f"--{name}={text}" for name, text in typed.items()]
    changed = [f"--{name}={value}" for name, value in changes.items() if value is not None]
    return [*program.words(), *kept, *settings, *changed]


def _import_jax() -> None:
    """Raises InputError where jax cannot be imported, as with a value in the environment that it does not know."""
    try:
        importlib.import_module("jax")
    except (ImportError, RuntimeError, ValueError) as error:
        raise InputError(f"jax cannot be imported: {error}.") from None


def _unknown_flag(name: str, values: flags.FlagValues) -> InputError:
    near = meant(name, [*values, *_OFTEN_MEANT])
    return InputError(f"--{name}: no such flag.{f' Did you mean --{near}?' if near else ''} See --help.")


def _options(
    arguments: dict[str, Any], changed: tuple[str, ...], command_line: list[str], processes: Processes
) -> RunOptions:
    """RunOptions from those of the arguments that belong to it, which are taken out."""
    config_file = arguments.pop("config", None)
    names = [field.name for field in dataclasses.fields(RunOptions) if field.name in arguments]
    return RunOptions(
        **{name: arguments.pop(name) for name in names},
        config_file=config_file,
        changed=changed,
        command_line=tuple(command_line),
        processes=processes,
    )


def _read(name: str, values: flags.FlagValues) -> Any:
    """The value of a flag. Raises InputError if its text cannot be read."""
    flag, value = _FLAGS.get(name), values[name].value
    if flag is None or not callable(flag.read):
        return value
    try:
        return flag.read(str(value))
    except InputError as error:  # of a path
        raise InputError(f"--{name}={error}") from None
    except ValueError:
        raise InputError(f"--{name}={value}: must be {flag.expected}.") from None


def help_text(values: flags.FlagValues, *, full: bool) -> str:
    """The text of `--help`; with `full` the flags of jax too."""
    modes = [f"      {name:<24}{mode.help}" for name, mode in MODES.items()]
    general = [name for name in GENERAL_FLAGS if name != "config"]
    settings = [name for name in FIELDS if name != "experiment"]
    groups = {
        "What to do:": [
            "  --mode=train                what to do",
            *modes,
            *(_help_line(name, values) for name in ("experiment", "config", *INFORMATION)),
        ],
        "Where and how:": [_help_line(name, values) for name in general],
        "For some modes (TIME is as in 30s, 5m or 2h):": [_help_line(name, values) for name in MODE_FLAGS],
        "Settings (the experiment gives them; a flag given here wins):": [
            _help_line(name, values) for name in settings
        ],
    }
    if full:
        groups["jax:"] = [_help_line(name, values) for name in values if name.startswith("jax_")]
    about = (__doc__ or "").replace("python run.py", program.command())
    lines = [about, f"{program.command()} [--flag=value ...]"]
    for title, group in groups.items():
        lines += ["", title, *group]
    return "\n".join(lines)


def settings_help(values: flags.FlagValues, typed: Typed) -> str:
    """The settings of the chosen parts, where an experiment or a part is named beside `--help`."""
    if not any(values[name].present for name in ("experiment", "config", *PART_FIELDS)):
        return ""
    experiment, _ = resolve(values, typed)
    lines = ["", "", f"Settings of the parts of {experiment.config.experiment}:"]
    for name, setting in experiment.settings.items():
        about = f"{setting.about.help} ({setting.expected})" if setting.about.help else setting.expected
        part, _, own = name.rpartition(".")
        given = experiment.config.parts()[part].settings
        shown = as_text(given[own]) if own in given else ""
        lines.append(f"  --{f'{name}={shown}':<34}{about}{'' if shown else '; must be given'}")
    return "\n".join(lines)


def _help_line(name: str, values: flags.FlagValues) -> str:
    text = " ".join((values[name].help or "").split())
    if name in FIELDS:
        choices = FIELDS[name].choices
        text += f": {', '.join(choices)}" if choices else ""
        return f"  --{name + '=' + as_text(FIELDS[name].default):<26}{text}"
    if name in MODE_FLAGS:
        takers = [mode for mode, definition in MODES.items() if name in definition.all_flags]
        text = f"{', '.join(takers)}: {text}"
    if isinstance(values[name], flags.BooleanFlag):
        return f"  --{f'[no]{name}' if name in ('progress', 'compilation_cache') else name:<26}{text}"
    return f"  --{f'{name}={_placeholder(name)}':<26}{text}"


def main(command_line: list[str]) -> int:
    """Runs one command line and returns the exit code. An error of the user is one line on standard error."""
    with lasting_output() as output:
        try:
            mode = _run(command_line)
        except ProjectError as error:
            print(f"{program.name()}: {error}", file=sys.stderr)
            return error.exit_code
        except KeyboardInterrupt:
            print(f"{program.name()}: Interrupted.", file=sys.stderr)
            return 130
        output.flush()
        return _unwritten(output.error, mode) if output.error else 0


def _run(command_line: list[str]) -> Mode | None:
    """Runs one command line. Gives its mode; None for help."""
    values = define_flags()
    typed = parse(command_line, values)
    if values.help or values.helpfull:
        print(help_text(values, full=values.helpfull) + settings_help(values, typed))
        return None
    name = str(values["mode"].value)
    if name not in MODES:
        raise unknown_name("--mode", name, "mode", MODES)
    mode = _CATALOG if values.list else _chosen(name, values)
    call(mode, values, typed, command_line)
    return dataclasses.replace(mode, only_prints=True) if values.print_commands else mode


def _chosen(name: str, values: flags.FlagValues) -> Mode:
    """The mode of this name, or what another flag makes of it."""
    return _TWO_BENCHMARKS if name == "benchmark" and values["runs"].present else MODES[name]


def _unwritten(error: OSError, mode: Mode | None) -> int:
    """Says that standard output could not be written, and returns the exit code: results in files are not lost."""
    is_closed = isinstance(error, BrokenPipeError)  # by a reader that has seen enough
    if not is_closed:
        print(f"{program.name()}: standard output could not be written: {error.strerror}.", file=sys.stderr)
    if mode and not mode.only_prints:
        return 0
    return 141 if is_closed else MachineError.exit_code


def command() -> int:
    """Runs the command line of this process: what the installed `cnn-jax` calls."""
    return main(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(command())
