"""Compare models seed by seed, by finished runs or by runs trained now: is one better, by more than chance?"""

import csv
import dataclasses
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cnn_jax import compilation
from cnn_jax.config import Config, run_name, short_name
from cnn_jax.errors import InputError
from cnn_jax.experiment import Experiment, build
from cnn_jax.files import numbered, require_free, write_files
from cnn_jax.models import summary
from cnn_jax.report.console import Console
from cnn_jax.report.format import counted
from cnn_jax.runs.comparable import require_comparable, trained_seeds
from cnn_jax.runs.directory import RunDirectory
from cnn_jax.runs.finished import experiment_of, finished_seeds
from cnn_jax.runs.options import RUNS, RunOptions
from cnn_jax.runs.result import Result
from cnn_jax.runs.seeds import seed_range
from cnn_jax.runs.seeds_directory import SeedsDirectory
from cnn_jax.runs.session import load_dataset
from cnn_jax.studies.compare.numbers import NUMBERS, Variant, comparison_record, variant_names
from cnn_jax.studies.compare.page import console_tables, images_shown, remarks, render_page, sentences, timing_note

SEEDS = 10  # of each experiment, by default
_LARGEST_NUMBER = 1e15  # squares of larger ones lose all digits

Seeds = Mapping[int, RunDirectory]  # the finished runs of a model, by seed


@dataclass(frozen=True)
class Model:
    """An experiment with its finished runs."""

    experiment: Experiment
    runs: Seeds


def run(
    experiments: Sequence[Experiment],
    options: RunOptions,
    *,
    runs: Sequence[Path] = (),
    experiment: Experiment | None = None,
) -> dict[str, Any]:
    """Compares finished runs, or experiments, which are trained first; prints, writes and returns the record.

    experiments: train these or resume them, in the same folders as `--mode=train --seeds`; finished seeds are kept.
    runs: folders with one run each, or with a run for each seed. experiment: whose parts these runs need, if any are a
    user's. options.seeds: how many for each experiment; None means 10. options.overwrite: replace an earlier
    comparison, but no run. Raises InputError, and writes nothing, when these
    cannot be compared.
    """
    if options.workdir:
        require_free(options.workdir, "compare.json", overwrite=options.overwrite)
    _require_one_kind(experiments, runs, experiment)
    return compare(_trained(experiments, options) if experiments else _finished(runs, experiment, options), options)


def commands(
    experiments: Sequence[Experiment],
    options: RunOptions,
    *,
    runs: Sequence[Path] = (),
    experiment: Experiment | None = None,
) -> list[dict[str, Any]]:
    """The flags that a command for each unfinished seed has instead of those given; writes nothing.

    Each command trains one seed, in the folder where `run` looks for it. Notes how many are finished. The arguments are
    those of `run`. Raises InputError.
    """
    _require_one_kind(experiments, runs, experiment)
    if runs:
        raise InputError("--print_commands: finished runs need no command. Name experiments with --experiments.")
    if options.seed_strategy == "vmap":
        raise InputError("--print_commands: each command trains one seed. Leave out --seed_strategy=vmap.")
    compilation.start(persistent_cache=False)
    _require_experiments(experiments)
    return [changes for one in experiments for changes in _commands_of(one, _of_model(one, options))]


def _commands_of(experiment: Experiment, options: RunOptions) -> list[dict[str, Any]]:
    """The same of one experiment. options: of its seeds."""
    seeds, directory, config = seed_range(experiment.config, options), SeedsDirectory(options.folder), experiment.config
    known = directory.completed(experiment, seeds)
    Console().note(f"{directory.path}: {len(known):,} of {counted(len(seeds), 'seed')} finished")
    changes = {"mode": "train", **dict.fromkeys(("experiments", "seeds", "seed_strategy", "overwrite"))}
    changes["experiment"] = experiment.code.path if experiment.code else config.experiment
    if config.dataset.name == Config.dataset.name and "dataset" not in options.changed:
        changes["dataset"] = config.dataset.name  # else training would turn to glyphs where it is out of reach
    folders = {seed: directory.run(seed).path.absolute() for seed in seeds if seed not in known}
    return [changes | {"seed": seed, "workdir": folder} for seed, folder in folders.items()]


def _require_one_kind(experiments: Sequence[Experiment], runs: Sequence[Path], experiment: Experiment | None) -> None:
    """Raises InputError when both experiments and finished runs are named."""
    if experiments and runs:
        raise InputError("--mode=compare: name experiments to train, or finished runs, not both.")
    if experiments and experiment:
        raise InputError("--experiment: can only be used with --runs, for their parts, not with --experiments.")


def _require_experiments(experiments: Sequence[Experiment]) -> None:
    """Raises InputError when these experiments cannot be trained to be compared."""
    if len(experiments) < 2:
        raise InputError("--mode=compare: name two experiments or more with --experiments=NAME,NAME.")
    require_comparable(experiments)


def _of_model(experiment: Experiment, options: RunOptions) -> RunOptions:
    """The options for the seeds of one experiment."""
    folder = RUNS / run_name(experiment.config, options.changed, many_seeds=True)
    seeds = SEEDS if options.seeds is None else options.seeds
    return dataclasses.replace(options, workdir=folder, seeds=seeds, overwrite=False)


def _trained(experiments: Sequence[Experiment], options: RunOptions) -> list[Model]:
    """The experiments with their runs, which are trained. Raises InputError when they cannot be compared."""
    compilation.start(persistent_cache=options.compilation_cache)
    _require_experiments(experiments)
    console = Console(progress=options.progress)
    return [Model(one, trained_seeds(one, _of_model(one, options), console)) for one in experiments]


def _finished(folders: Sequence[Path], experiment: Experiment | None, options: RunOptions) -> list[Model]:
    """The finished runs in the folders.

    Raises InputError for fewer than two folders, a folder named twice, or flags that are only for training.
    """
    if len(folders) < 2:
        raise InputError("--mode=compare: name two runs or more, --runs=DIR,DIR, or --experiments=NAME,NAME to train.")
    training_flags = {"seeds": options.seeds, "seed_strategy": options.seed_strategy}
    given = [*options.changed, *(name for name, value in training_flags.items() if value is not None)]
    if given:
        raise InputError(f"--{given[0]}: can only be used with --experiments, not with --runs.")
    resolved = [folder.resolve() for folder in folders]
    for folder in folders:
        if resolved.count(folder.resolve()) > 1:
            raise InputError(f"--runs: {folder} is named twice. A run cannot be compared with itself.")
    compilation.start(persistent_cache=False)
    found, console = [finished_seeds(folder) for folder in folders], Console()
    first = [next(iter(runs.values())) for runs in found]
    experiments = [experiment_of(run, experiment, console, options.dataset_dir) for run in first]
    return [Model(*parts) for parts in zip(experiments, found, strict=True)]


def compare(models: Sequence[Model], options: RunOptions) -> dict[str, Any]:
    """Compares models by their finished runs; prints, writes and returns the record."""
    console, configs = Console(), [model.experiment.config for model in models]
    names = "-".join(dict.fromkeys(config.experiment for config in configs))
    name = f"compare-{names}" if len(names) <= 100 else f"compare-{len(configs)}-models"
    folder = options.workdir or numbered(RUNS, short_name(name))
    require_free(folder, "compare.json", overwrite=options.overwrite)
    record = comparison_record(*read_variants(models))
    files = {
        "compare.html": render_page(record, _images(record, models[0], options, console)),
        "compare.csv": _as_csv(record),
        "compare.json": json.dumps(record, indent=1, allow_nan=False) + "\n",
    }
    write_files(folder, files)
    console.report(console_tables(record), [*sentences(record), *remarks(record), timing_note(record)])
    console.line(f"{folder}: compare.json, compare.csv and compare.html written")
    return record


def read_variants(models: Sequence[Model]) -> tuple[list[Variant], np.ndarray]:
    """The models' numbers and the test labels. Raises InputError when the runs cannot be compared."""
    runs = [model.runs for model in models]
    _require_same_data(runs)
    _require_common_seeds(runs)
    _, labels = next(iter(runs[0].values())).predictions()
    names = variant_names([model.experiment.config for model in models])
    return [_variant(*model, labels) for model in zip(names, models, strict=True)], labels


def _require_same_data(runs: Sequence[Seeds]) -> None:
    """Raises InputError when the runs did not use the same data, byte by byte."""
    first, *others = (run for model in runs for run in model.values())
    dataset, fingerprint = first.config().dataset, first.machine().get("data_fingerprint")
    for run in (first, *others):
        if run.config().dataset.name != dataset.name:
            raise InputError(
                f"{run.path}: trained on {run.config().dataset}, but {first.path} on {dataset}. "
                "Only runs on the same dataset can be compared."
            )
        mine = run.machine().get("data_fingerprint")
        if not isinstance(mine, str):
            raise InputError(f"{run.path}: its machine.json does not say which data it used.")
        if mine != fingerprint:
            raise InputError(
                f"{run.path}: used other data than {first.path} (their fingerprints in machine.json differ)."
            )


def _require_common_seeds(runs: Sequence[Seeds]) -> None:
    """Raises InputError when a model has no seed in common with any other."""
    for model in runs:
        others = {seed for other in runs if other is not model for seed in other}
        if not others & set(model):
            path, mine = next(iter(model.values())).path, ", ".join(map(str, model))
            theirs = ", ".join(map(str, sorted(others)))
            raise InputError(f"{path}: no seed in common with another run ({mine} here, {theirs} there).")


def _variant(name: str, model: Model, labels: np.ndarray) -> Variant:
    """A model's numbers. Raises InputError when files of its runs are damaged or contradict each other."""
    runs, spec = model.runs, model.experiment.spec
    learner = build(model.experiment, fused=False)
    layers = summary.layers(learner.module, learner.input_shapes)
    results = [run.finished_result() for run in runs.values()]
    metrics = [
        part.name
        for part in model.experiment.config.metrics or ()
        if all(part.name in (result.test_metrics or {}) for result in results)
    ]
    numbers = {number: np.array([_number(result, number) for result in results], float) for number in NUMBERS}
    for number, values in numbers.items():
        _require_plausible(number, values, runs)
    return Variant(
        name=name,
        config=model.experiment.config,
        classes=spec.classes,
        parameters=sum(layer.parameters for layer in layers),
        multiply_adds=sum(layer.multiply_adds for layer in layers),
        seeds=tuple(runs),
        numbers=numbers,
        metrics={name: np.array([(result.test_metrics or {})[name] for result in results]) for name in metrics},
        predicted=np.stack([_predicted(run, len(spec.classes), labels) for run in runs.values()]),
        rows=[run.rows() for run in runs.values()],
        machines=[run.machine() for run in runs.values()],
    )


def _number(result: Result, number: str) -> float:
    """A number of a result; the loss is the cross-entropy, so that runs of different losses compare."""
    if number.startswith("test_"):
        return result.main[("test_loss", "test_accuracy").index(number)]
    return float(getattr(result, number))


def _require_plausible(number: str, values: np.ndarray, runs: Seeds) -> None:
    """Raises InputError on a number that no run gives: a time of 0, or a number too large for statistics."""
    for run, value in zip(runs.values(), values, strict=True):
        if not (value > 0 or number.startswith("test_")) or not abs(value) < _LARGEST_NUMBER:
            raise InputError(f"{run.path}: result.json: {number} cannot be {value:g}.")


def _predicted(run: RunDirectory, classes: int, labels: np.ndarray) -> np.ndarray:
    """The classes that a run predicted for the test images, int [N]."""
    logits, theirs = run.predictions()
    if logits.shape[1] != classes or not np.all((theirs >= 0) & (theirs < classes)):
        raise InputError(f"{run.path}: its predictions do not match the dataset's {classes} classes.")
    if not np.array_equal(theirs, labels):
        raise InputError(f"{run.path}: was scored on other test images than the first run.")
    predicted = np.argmax(logits, axis=1)
    if not math.isclose(np.mean(predicted == labels), run.finished_result().main[1], abs_tol=1e-6):
        raise InputError(f"{run.path}: predictions.npz and result.json contradict each other.")
    return predicted


def _images(
    record: Mapping[str, Any], model: Model, options: RunOptions, console: Console
) -> dict[int, np.ndarray] | None:
    """The test images that the page shows, uint8 [H, W, C], by index; None where they are not available."""
    try:
        dataset = load_dataset(model.experiment, options, console)
    except InputError as error:  # the files are out of reach, or no longer where they were
        console.note(f"The page has no pictures. {error}")
        return None
    if dataset.fingerprint != next(iter(model.runs.values())).machine()["data_fingerprint"]:
        console.note(
            f"The page has no pictures: the runs used other images of {dataset.spec.name} than those found here."
        )
        return None
    return {index: dataset.test.images[index] for index in images_shown(record)}


def _as_csv(record: Mapping[str, Any]) -> str:
    """A line for each run, from which all statistics can be computed again. A metric that it lacks is empty."""
    stream = io.StringIO()
    lines = csv.writer(stream, lineterminator="\n")
    metrics = list(dict.fromkeys(name for model in record["models"] for name in model["metrics"]))
    headings = ["model", "parameters", "multiply_adds", "seed", *NUMBERS, *(f"metrics.{name}" for name in metrics)]
    lines.writerow(headings)
    for model in record["models"]:
        columns = [model["seeds"], *(model[number]["values"] for number in NUMBERS)]
        nothing = {"values": [""] * len(model["seeds"])}
        columns += [model["metrics"].get(name, nothing)["values"] for name in metrics]
        for values in zip(*columns, strict=True):
            lines.writerow([model["name"], model["parameters"], model["multiply_adds"], *values])
    return stream.getvalue()
