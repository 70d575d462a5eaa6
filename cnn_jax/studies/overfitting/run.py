"""Train models on more and more images, and compare their accuracy on the training images and on the test images."""

import dataclasses
import datetime
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cnn_jax import compilation
from cnn_jax.config import run_name
from cnn_jax.data.dataset import Dataset
from cnn_jax.errors import InputError
from cnn_jax.experiment import Experiment, build
from cnn_jax.files import require_writable, write_files
from cnn_jax.report.console import Console
from cnn_jax.report.format import counted
from cnn_jax.runs import machine
from cnn_jax.runs.comparable import require_comparable, trained_seeds
from cnn_jax.runs.finished import load_variables
from cnn_jax.runs.options import RUNS, RunOptions
from cnn_jax.runs.session import load_dataset
from cnn_jax.studies.overfitting.numbers import DataSizeResult, compare, epochs_for
from cnn_jax.studies.overfitting.page import console_tables, render_page, sentences
from cnn_jax.training.compiled import compile_inference
from cnn_jax.training.mesh import make_mesh

FORMAT = 1
SEEDS = 3
SIZES = (100, 300, 1_000, 3_000, 10_000, 30_000, 100_000, 300_000, 1_000_000)  # and all images
LEAST_STEPS = 500  # so that a model has time to learn few images too


def run(experiments: Sequence[Experiment], options: RunOptions, *, sizes: Sequence[int] = ()) -> dict[str, Any]:
    """Trains experiments on the first N training images, for several N and seeds; prints, writes, returns the record.

    sizes: the values of N; none means 100, 300, 1,000 and so on, and all images. options.seeds: how many for each N;
    None means 3. Each run takes the epochs of its Config, or as many more as `LEAST_STEPS` steps take. The runs are
    folders of several seeds in the working folder; the same command resumes them. Raises InputError, and writes
    nothing, when something cannot be trained.
    """
    compilation.start(persistent_cache=options.compilation_cache)
    console = Console(progress=options.progress, rows=False)  # runs on few images have hundreds of epochs
    _require_models(experiments, options)
    wanted_sizes = _sizes(experiments, sizes)
    names = "-".join(experiment.config.experiment for experiment in experiments)
    label = dataclasses.replace(experiments[0].config, experiment=names[:100])
    folder = options.workdir or RUNS / f"overfitting-{run_name(label, options.changed, many_seeds=True)}"
    require_writable(folder, flag="workdir")
    seeds = SEEDS if options.seeds is None else options.seeds
    options = dataclasses.replace(options, workdir=folder, seeds=seeds)
    dataset = load_dataset(experiments[0], options, console)
    results = [
        _result(_with_size(experiment, size), size, dataset, options, console)
        for experiment in experiments
        for size in wanted_sizes
    ]
    record = overfitting_record(experiments, results, dataset, machine.describe(list(options.command_line)))
    files = {"overfitting.html": render_page(record)}
    files["overfitting.json"] = json.dumps(record, indent=1, allow_nan=False) + "\n"
    write_files(folder, files)
    console.report(console_tables(record), sentences(record))
    console.line(f"{folder}: overfitting.json and overfitting.html written")
    return record


def _require_models(experiments: Sequence[Experiment], options: RunOptions) -> None:
    """Raises InputError when these models cannot be compared."""
    if not experiments:
        raise InputError("--mode=overfitting: name the models with --experiments=NAME,NAME.")
    if "train_examples" in options.changed:
        raise InputError("--train_examples: --mode=overfitting varies it. Give the numbers of images with --sizes=N,N.")
    for config in (experiment.config for experiment in experiments):
        if config.patience is not None:
            raise InputError(
                f"--patience={config.patience}: --mode=overfitting compares runs of fixed lengths. Use --patience=none."
            )
    require_comparable(experiments)


def _sizes(experiments: Sequence[Experiment], asked: Sequence[int]) -> list[int]:
    """The numbers of images to train on, in ascending order. Raises InputError when there are fewer images."""
    available = min(map(_available, experiments))
    if available < 1:
        raise InputError("--validation_examples: leaves no image to train on.")
    for size in asked:
        if not 1 <= size <= available:
            raise InputError(f"--sizes: {size} is not between 1 and the {available:,} training images.")
    return sorted(set(asked or (*(size for size in SIZES if size < available), available)))


def _available(experiment: Experiment) -> int:
    return experiment.spec.train_examples - experiment.config.validation_examples


def _with_size(experiment: Experiment, size: int) -> Experiment:
    """The experiment of a run on the first `size` images."""
    epochs = epochs_for(size, experiment.config.batch_size, experiment.config.epochs, LEAST_STEPS)
    return experiment.replace(train_examples=None if size == _available(experiment) else size, epochs=epochs)


def _result(
    experiment: Experiment, size: int, dataset: Dataset, options: RunOptions, console: Console
) -> DataSizeResult:
    """Trains the seeds of a config that are not finished, and scores each on the images that it was trained on.

    Raises DivergedError when all seeds diverge.
    """
    config, main = experiment.config, experiment.task.main_output
    folder = options.folder / config.experiment / f"train_examples={size}"
    runs = trained_seeds(experiment, dataclasses.replace(options, workdir=folder), console, dataset)
    results = [run.finished_result() for run in runs.values()]
    inference = compile_inference(build(experiment, dataset.spec), dataset.train[:size], make_mesh())
    train_scores = [inference.score(load_variables(run, experiment)).of_output(main) for run in runs.values()]
    console.line(f"{folder}: {counted(len(runs), 'seed')} of {counted(config.epochs, 'epoch')} done")
    scores = {
        "train_accuracy": [score.accuracy for score in train_scores],
        "test_accuracy": [result.main[1] for result in results],
        "train_loss": [score.cross_entropy for score in train_scores],
        "test_loss": [result.main[0] for result in results],
    }
    return DataSizeResult(
        name=config.experiment,
        parameters=results[0].parameters,
        train_examples=size,
        epochs=config.epochs,
        steps=results[0].steps,
        seeds=tuple(runs),
        scores={name: np.array(values, np.float64) for name, values in scores.items()},
    )


def overfitting_record(
    experiments: Sequence[Experiment],
    results: Sequence[DataSizeResult],
    dataset: Dataset,
    on_machine: Mapping[str, Any],
) -> dict[str, Any]:
    """The content of `overfitting.json`. on_machine: as in `machine.json`."""
    varied = ("seed", "epochs", "train_examples")
    record = {
        "format": FORMAT,
        "date": datetime.date.today().isoformat(),
        "dataset": dataset.spec.name,
        "data_fingerprint": dataset.fingerprint,
        "test_examples": len(dataset.test),
        "least_steps": LEAST_STEPS,
        "machine": {name: value for name, value in on_machine.items() if name != "command_line"},  # may name folders
        "configs": [
            {k: v for k, v in experiment.config.as_mapping().items() if k not in varied} for experiment in experiments
        ],
        **compare(results),
    }
    plain: dict[str, Any] = json.loads(json.dumps(record, allow_nan=False))  # exactly what a reader of the file gets
    return plain
