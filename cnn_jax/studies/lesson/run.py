"""Make the lesson: the lecture as one page whose results are computed on the spot."""

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cnn_jax import compilation
from cnn_jax.config import Config
from cnn_jax.data.dataset import Dataset
from cnn_jax.errors import InputError, OutOfReachError
from cnn_jax.experiment import Experiment
from cnn_jax.files import atomic_file, machine_errors, numbered, require_free, write_atomic
from cnn_jax.report.console import Console
from cnn_jax.runs.directory import RunDirectory
from cnn_jax.runs.finished import experiment_of, load_variables
from cnn_jax.runs.options import RUNS, RunOptions
from cnn_jax.runs.session import load_dataset
from cnn_jax.studies.lesson.page import lesson_page
from cnn_jax.studies.lesson.parts import PARTS, compute_parts
from cnn_jax.studies.lesson.results import Run
from cnn_jax.studies.lesson.short_run import Network, trained_network

PAGE, ARRAYS = "lesson.html", "lesson.npz"


def run(
    options: RunOptions,
    *,
    experiment: Experiment | None = None,
    runs: Sequence[Path] = (),
    dataset: str | None = None,
    test_image: int = 0,
) -> dict[str, Any]:
    """Computes all parts, writes `lesson.html` and `lesson.npz`, and returns the parts' records by name.

    The folder is by default a new numbered one in `runs`. runs: finished runs on one dataset, whose results are shown;
    the layers of the first one's network are shown too. experiment: whose parts it needs, if any are a user's. Without
    runs, a network is trained for a short time. dataset: by default that of the runs, else MNIST, or glyphs where MNIST
    is out of reach. test_image: the index of the test image that is followed through the network. Raises InputError
    before anything is written.
    """
    folder, console = options.workdir or numbered(RUNS, "lesson"), Console()
    require_free(folder, PAGE, overwrite=options.overwrite)
    compilation.start(persistent_cache=options.compilation_cache)
    finished = [RunDirectory(path) for path in runs]
    of_first = experiment_of(finished[0], experiment, console, options.dataset_dir) if finished else None
    digits = _dataset(finished, of_first, dataset, options, console)
    if len(digits.spec.classes) != 10:  # the model with two outputs answers whether a digit is 5 or more
        raise InputError(f"--dataset={digits.spec.name}: the lesson needs images of ten classes, as mnist has.")
    if not 0 <= test_image < len(digits.test):
        raise InputError(f"--test_image={test_image}: {digits.spec.name} has {len(digits.test):,} test images, from 0.")
    network = _finished_network(finished, of_first, digits) if of_first else trained_network(digits)
    letters = load_dataset(Experiment().vary(dataset="x_and_o"), options, console)
    records, start = dict[str, Any](), time.perf_counter()
    for name, record in compute_parts(digits, letters, network, test_image):
        records[name] = record
        console.note(f"part {len(records)} of {len(PARTS)}, {name}: {time.perf_counter() - start:.1f} s")
        start = time.perf_counter()
    _write(folder, records, lesson_page(records, " ".join(options.command_line)))
    console.line(f"{folder / PAGE} and {folder / ARRAYS} written")
    return records


def _dataset(
    finished: Sequence[RunDirectory],
    of_first: Experiment | None,
    name: str | None,
    options: RunOptions,
    console: Console,
) -> Dataset:
    """The dataset that was named, or that of the finished runs, or MNIST, or glyphs where MNIST is out of reach.

    of_first: the experiment of the first finished run, if there are any.
    """
    run_of = {run.config().dataset: run for run in finished}
    if len(run_of) > 1:
        pairs = ", ".join(f"{run.path} on {dataset}" for dataset, run in run_of.items())
        raise InputError(f"--runs: the runs were trained on different datasets ({pairs}). Name runs on one dataset.")
    for dataset, run in run_of.items():
        if name not in (None, dataset.name):
            raise InputError(f"--dataset={name}: {run.path} was trained on {dataset}.")
    experiment = of_first or Experiment().vary(dataset=name or Config.dataset.name)
    if of_first is None and options.dataset_dir is not None:
        experiment = experiment.with_dataset_dir(options.dataset_dir)
    try:
        return load_dataset(experiment, options, console)
    except OutOfReachError as error:
        if name or of_first:
            raise
        console.note(str(error))
        console.line(f"NOT ON {Config.dataset.name.upper()}: it is out of reach; the lesson shows glyphs, drawn digits")
        return load_dataset(Experiment().vary(dataset="glyphs"), options, console)


def _finished_network(finished: Sequence[RunDirectory], experiment: Experiment, dataset: Dataset) -> Network:
    """The network of the first finished run, and the results of all of them."""
    names = [run.path.name for run in finished]
    if len(set(names)) < len(names):  # such as two folders `seed-0` of two models
        names = [str(run.path) for run in finished]
    runs = [_finished_run(run, name, dataset) for run, name in zip(finished, names, strict=True)]
    return Network(experiment, load_variables(finished[0], experiment), runs)


def _finished_run(directory: RunDirectory, name: str, dataset: Dataset) -> Run:
    """The results of a finished run. Raises InputError where it was scored on other images."""
    result, (logits, labels) = directory.finished_result(), directory.predictions()
    if not np.array_equal(labels, dataset.test.labels):
        raise InputError(f"--runs={directory.path}: was scored on other test images than {dataset.spec.name} has now.")
    rows = directory.rows()
    return Run(name, rows, *result.main, result.parameters, logits, labels, result.best_epoch)


def _write(folder: Path, records: Mapping[str, Any], page: str) -> None:
    with machine_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with atomic_file(folder / ARRAYS) as stream:
            np.savez_compressed(stream, allow_pickle=False, **dict(_arrays(records)))
        write_atomic(folder / PAGE, page)


def _arrays(record: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, np.ndarray]]:
    """Every array of a record under its path, such as `templates/x_maps`; in a list, the path has the index."""
    for name, value in record.items():
        if isinstance(value, np.ndarray):
            yield f"{path}{name}", value
        elif isinstance(value, Mapping):
            yield from _arrays(value, f"{path}{name}/")
        elif isinstance(value, list):
            yield from _arrays({str(index): item for index, item in enumerate(value)}, f"{path}{name}/")
