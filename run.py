#!/usr/bin/env python3
"""Trains and examines small convolutional networks: `python run.py` trains the lecture's CNN on MNIST.

Flags become a Config, and the Config goes to one command. `python run.py --help` shows every flag.
"""

import difflib
import importlib
import inspect
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from absl import flags

import experiments
from cnn_jax import config as configs
from cnn_jax.config import FIELDS, Config
from cnn_jax.errors import InputError, ProjectError, unknown_name

MODES: Mapping[str, str] = {
    "train": "train a model and score it on the test set (the default)",
    "evaluate": "score finished runs, --workdir or --runs, again: calibration, ensembles, --corruptions",
    "compare": "compare models, --experiments, or finished runs, --runs, with intervals and tests",
    "sweep": "try many settings, --sweep, on held-out images, and score the best one on test images",
    "overfitting": "train --experiments on few images, more, and all: training against test accuracy",
    "benchmark": "measure training and inference on this machine; writes benchmark.json and benchmark.html",
    "export": "write a finished run's model, --workdir, as parameters for numpy or as a program for jax",
    "lesson": "the lecture as a page with live results; writes lesson.html and lesson.npz",
    "predict": "name the digits in pictures of your own, --images, by a finished run, --workdir",
    "summary": "print a model's layers, parameters and multiply-adds; draw its graph",
}

# The module of each mode, whose `run(...)` names the flags that it takes.
COMMANDS: Mapping[str, str] = {
    "train": "cnn_jax.runs.train",
    **{
        mode: f"cnn_jax.studies.{mode}.run"
        for mode in ("compare", "sweep", "overfitting", "benchmark", "lesson", "predict")
    },
    "evaluate": "cnn_jax.studies.evaluation.run",
    "export": "cnn_jax.studies.export",
    "summary": "cnn_jax.studies.summary",
}

PLACES: Mapping[str, tuple[Callable[[str], Any], str]] = {
    "config": (Path, "start from a run's config.json instead of an experiment"),
    "workdir": (Path, "the run's folder; default runs/EXPERIMENT-DATASET-seedSEED and what the command line changed"),
    "data_dir": (Path, "where prepared datasets are; default $TFDS_DATA_DIR, else ~/tensorflow_datasets"),
    "manual_dir": (Path, "a folder with the dataset's original files, to use instead of a download"),
}


def _listed(read: Callable[[str], Any]) -> Callable[[str], tuple]:
    """Reads values with commas between them."""
    return lambda text: tuple(read(part.strip()) for part in text.removesuffix(",").split(","))


def _folders(text: str) -> tuple[Path, ...]:
    """Reads folders with commas between them. Their names may hold some, as in widths=4,8: what is there counts."""
    folders, rest = [], text.removesuffix(",").split(",")
    while rest:
        if not rest[0].strip():
            raise ValueError("no name beside a comma")
        joined = (",".join(rest[:count]) for count in range(1, len(rest) + 1))
        name = next((name for name in joined if os.path.isdir(name.strip())), rest[0])
        folders.append(Path(name.strip()))
        rest = rest[name.count(",") + 1 :]
    return tuple(folders)


def _space(text: str) -> str:
    """Reads what to sweep over, which the command takes apart."""
    return text.strip()


def _seconds(text: str) -> float:
    """Reads a time as in 30s, 5m or 2h; a plain number is seconds."""
    factor = {"s": 1, "m": 60, "h": 3600}.get(text[-1:])
    return float(text) if factor is None else factor * float(text[:-1])


# What single modes take: how a text is read (ValueError: it cannot be), what is expected, and the help text.
OPTIONS: Mapping[str, tuple[Callable[[str], Any], str, str]] = {
    "checkpoint_every": (
        _seconds,
        "seconds",
        "train: seconds between checkpoints, 0: at ends of epochs; default 60",
    ),
    "keep_checkpoints": (int, "a whole number", "train: how many of the newest checkpoints stay; default 3"),
    "max_time": (_seconds, "a time as in 30s, 5m or 2h", "train: stop after it with a checkpoint and an evaluation"),
    "resume_from": (int, "a whole number", "train: go back to the checkpoint of this step, and on from there"),
    "experiments": (
        _listed(str),
        "names",
        "compare, overfitting: train these experiments, or go on with them, and compare them",
    ),
    "sizes": (_listed(int), "whole numbers", "overfitting: training images; default 100,300,1000,... and all"),
    "seeds": (
        int,
        "a whole number",
        "train, compare, overfitting, sweep: so many seeds, from --seed on; more may be added later; default 10 to "
        "compare, 3 for overfitting and sweep",
    ),
    "seed_strategy": (
        str,
        "a name",
        "loop, one seed after the other; vmap, together in one program; shard, the devices share them out; "
        "auto, by platform (the default)",
    ),
    "sweep": (
        _space,
        "text",
        "sweep: fields with values, as in learning_rate=1e-4:1e-2:log5; pooling=true,false; widths=4,8|16,32",
    ),
    "samples": (int, "a whole number", "sweep: try so many settings, drawn at random, instead of all combinations"),
    "jobs": (int, "a whole number", "sweep: so many processes, on a CPU; default 1"),
    "format": (str, "a name", "export: npz, the parameters (the default), or stablehlo, the whole model"),
    "output": (
        Path,
        "a path",
        "export: a file; predict: a folder; default for both in the run's. evaluate: a folder for record and page",
    ),
    "runs": (
        _folders,
        "folders with commas between them",
        "compare, evaluate: runs' folders, or folders with seed-N; lesson: finished runs to show",
    ),
    "test_image": (int, "a whole number", "lesson: the test image that is followed through the network; default 0"),
    "corruptions": (
        _listed(str),
        "names",
        "evaluate: corrupt the test images, by all or these; writes record and page",
    ),
    "images": (Path, "a path", "predict: a PNG or JPEG file, or a folder of them (without the folders in it)"),
    "graph": (Path, "a file", "summary: draw the model's graph into this new SVG file"),
    "batch_sizes": (_listed(int), "whole numbers", "benchmark: batch sizes; default 64,256,1024"),
    "dtypes": (_listed(str), "names", "benchmark: float32, tensorfloat32, bfloat16; default: all that the device has"),
    "repeats": (int, "a whole number", "benchmark: how often each is timed; default 7"),
    "seconds": (float, "a number", "benchmark: what all repeats of one may take, but for the first; default 20"),
    "baseline": (Path, "a file", "benchmark: an earlier benchmark.json to compare with"),
    "tolerance": (float, "a number", "benchmark: exit 1 where a case is slower by more than this share; default 0.1"),
}

SWITCHES: Mapping[str, tuple[bool | None, str]] = {
    "overwrite": (False, "delete the run that is in the folder, and train anew"),
    "profile": (False, "benchmark: trace training steps, and list the most expensive operations"),
    "debug_nans": (False, "train: where training diverges, name the operation"),
    "deterministic": (False, "train, benchmark: the same bits every time on accelerators too, at some cost in speed"),
    "progress": (None, "show a progress bar; default: on a terminal"),
    "compilation_cache": (True, "keep compiled programs on disk for the next start"),
    "list": (False, "list experiments, datasets and models"),
    "help": (False, "show this"),
    "helpfull": (False, "show this and every --jax_* flag"),
}


_GENERAL_SWITCHES, _MODES_SWITCHES = (
    ("overwrite", "progress", "compilation_cache"),
    ("profile", "debug_nans", "deterministic"),
)


class _FieldParser(flags.ArgumentParser):
    """Reads a Config field as typed on the command line."""

    def __init__(self, name: str):
        self.field = FIELDS[name]

    def parse(self, argument: Any) -> Any:
        """The typed value; ValueError says what is expected."""
        return configs.from_text(self.field, argument)


class _SwitchParser(flags.BooleanParser):
    """Reads true or false."""

    def parse(self, argument: str | int | bool) -> bool:
        """The truth; ValueError says what is expected."""
        try:
            return super().parse(argument)
        except ValueError:
            raise ValueError("must be true or false") from None


def define_flags() -> flags.FlagValues:
    """All flags, none of them set: one for each field of Config, and those that say where and how to run."""
    values = flags.FlagValues()
    flags.DEFINE_string("mode", "train", "what to do", flag_values=values)
    for name, field in FIELDS.items():
        if field.type is bool:
            _define_switch(name, None, field.metadata["help"], values)
        else:
            flags.DEFINE(_FieldParser(name), name, None, field.metadata["help"], flag_values=values)
    for name, (_, help_text) in PLACES.items():
        flags.DEFINE_string(name, None, help_text, flag_values=values)
    for name, (_, _, help_text) in OPTIONS.items():
        flags.DEFINE_string(name, None, help_text, flag_values=values)
    for name, (default, help_text) in SWITCHES.items():
        _define_switch(name, default, help_text, values)
    return values


def _define_switch(name: str, default: bool | None, help_text: str, values: flags.FlagValues) -> None:
    flags.DEFINE_boolean(name, default, help_text, flag_values=values)
    values[name].parser = _SwitchParser()


def parse(arguments: list[str], values: flags.FlagValues) -> None:
    """Sets the flags. Raises InputError for what is no flag, no value of it, or no flag at all."""
    with_jax = any(word.lstrip("-").startswith(("jax_", "nojax_", "helpfull")) for word in arguments)
    if with_jax:
        _add_jax_flags(values)
    try:
        stray = values(["run.py", *arguments])[1:]
    except flags.UnrecognizedFlagError as error:
        near = difflib.get_close_matches(error.flagname, list(values), n=1)
        raise InputError(
            f"--{error.flagname}: no such flag.{f' Did you mean --{near[0]}?' if near else ''} See --help."
        ) from None
    except flags.Error as error:
        raise InputError(f"{str(error).removeprefix('flag ')}.") from None
    if stray:
        raise InputError(f"{stray[0]!r} is no flag: flags look like --epochs=3. See --help.")
    if with_jax:
        _set_jax_flags(values)


def _add_jax_flags(values: flags.FlagValues) -> None:
    import jax

    jax.config.config_with_absl()
    for name in flags.FLAGS:
        if name.startswith("jax_"):
            values[name] = flags.FLAGS[name]


def _set_jax_flags(values: flags.FlagValues) -> None:
    import jax

    for name in values:
        if name.startswith("jax_") and values[name].present:
            jax.config.update(name, values[name].value)


def resolve(values: flags.FlagValues, experiment: str | None = None) -> Config:
    """The Config: of the experiment or the `--config` file, with the fields that the command line gives."""
    if experiment is None and values.config is not None:
        if values["experiment"].present:
            raise InputError("--config and --experiment: name one of them to start from.")
        base = configs.from_file(Path(values.config))
    else:
        base = experiments.load(experiment or values.experiment or Config.experiment)
    given = {name: values[name].value for name in FIELDS if values[name].present and name != "experiment"}
    return Config(**{**{name: getattr(base, name) for name in FIELDS}, **given})


def call(command: Callable[..., Any], values: flags.FlagValues, command_line: list[str]) -> Any:
    """Calls a command with the flags that it names. Raises InputError where a flag was given that it does not take."""
    wanted = inspect.signature(command).parameters
    given = [name for name in values if values[name].present and not name.startswith("jax_")]
    taken = {*wanted, "mode", "list"}
    if "config" in wanted:
        taken |= {"config", *FIELDS}
    if "configs" in wanted:
        taken |= {"experiments", *FIELDS} - {"experiment"}
    for name in given:
        if name not in taken:
            raise InputError(f"--{name}: has no meaning with {'--list' if values.list else f'--mode={values.mode}'}.")
    arguments: dict[str, Any] = {name: values[name].value for name in SWITCHES}
    arguments |= {name: read(str(values[name].value)) for name, (read, _) in PLACES.items() if values[name].present}
    arguments |= {name: _read_option(name, str(values[name].value)) for name in OPTIONS if values[name].present}
    arguments |= {name: values[name].value for name in FIELDS if values[name].present}
    arguments |= {
        "config_file": arguments.pop("config", None),
        "changed": [name for name in given if name in FIELDS],
        "command_line": tuple(command_line),
        "program": Path(__file__).resolve(),
    }
    if "descriptions" in wanted:
        arguments["descriptions"] = experiments.descriptions()
    if "config" in wanted:
        arguments["config"] = resolve(values)
    if "configs" in wanted:
        arguments["configs"] = [resolve(values, name) for name in arguments.get("experiments", ())]
    return command(**{name: arguments[name] for name in wanted if name in arguments})


def _read_option(name: str, text: str) -> Any:
    read, expected, _ = OPTIONS[name]
    try:
        return read(text)
    except ValueError:
        raise InputError(f"--{name}={text}: must be {expected}.") from None


def help_text(values: flags.FlagValues, *, full: bool) -> str:
    """What `--help` prints; with `full` the flags of jax too."""
    groups = {
        "What to do:": ["mode", *(f"  {mode}" for mode in MODES), "experiment", "config", "list", "help", "helpfull"],
        "Where and how (nothing here changes a number):": [*list(PLACES)[1:], *_GENERAL_SWITCHES],
        "For one mode:": [*OPTIONS, *_MODES_SWITCHES],
        "Settings (the experiment gives them; a flag given here wins):": [n for n in FIELDS if n != "experiment"],
    }
    if full:
        groups["jax:"] = [name for name in values if name.startswith("jax_")]
    lines = [__doc__ or "", "python run.py [--flag=value ...]"]
    for title, names in groups.items():
        lines += ["", title, *(_help_line(name, values) for name in names)]
    return "\n".join(lines)


def _help_line(name: str, values: flags.FlagValues) -> str:
    if name.startswith(" "):  # a mode: --sweep is a flag too
        return f"      {name.strip():<24}{MODES[name.strip()]}"
    text = " ".join((values[name].help or "").split())
    if name in FIELDS:
        choices = FIELDS[name].metadata.get("choices")
        text += f": {', '.join(choices)}" if choices else ""
        return f"  --{name + '=' + configs.as_text(FIELDS[name].default):<26}{text}"
    switch = isinstance(values[name], flags.BooleanFlag)
    shown = f"[no]{name}" if switch and name in ("progress", "compilation_cache") else name
    return f"  --{shown if switch else f'{name}={_placeholder(name)}':<26}{text}"


def _placeholder(name: str) -> str:
    if name not in OPTIONS and name not in PLACES:
        return "train" if name == "mode" else name.upper()  # in capitals: those of jax
    read = (OPTIONS[name] if name in OPTIONS else PLACES[name])[0]
    return {
        int: "N",
        float: "X",
        Path: "PATH",
        _seconds: "TIME",
        _folders: "DIR,DIR",
        _space: "'FIELD=A,B'",
        str: "NAME",
    }.get(read, "A,B")


def main(command_line: list[str]) -> int:
    """Runs one command line; returns the exit code. Whatever a user did wrong is one line on standard error."""
    values = define_flags()
    try:
        parse(command_line, values)
        if values.help or values.helpfull:
            print(help_text(values, full=values.helpfull))
            return 0
        mode = str(values["mode"].value)
        if mode not in MODES:
            raise unknown_name("--mode", mode, "mode", MODES)
        command = importlib.import_module("cnn_jax.studies.catalog" if values.list else COMMANDS[mode])
        call(command.run, values, command_line)
    except ProjectError as error:
        print(f"run.py: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("run.py: Interrupted.", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # Whoever read our output has enough of it; what Python would still flush at exit goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
