"""Make the lesson: the lecture as one page whose results are computed on the spot."""

import csv
import io
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
from cnn_jax.runs.finished import experiment_of
from cnn_jax.runs.options import RUNS, RunOptions
from cnn_jax.runs.session import load_dataset
from cnn_jax.studies.lesson.followed import Followed, of_a_picture, of_test_images
from cnn_jax.studies.lesson.formats import by
from cnn_jax.studies.lesson.live import exploration, payload
from cnn_jax.studies.lesson.networks import (
    Network,
    finished_networks,
    fit_the_shipped,
    shipped_networks,
    short_network,
)
from cnn_jax.studies.lesson.page import lesson_page
from cnn_jax.studies.lesson.parts import PARTS, compute_parts, described

PAGE, ARRAYS, NAMES = "lesson.html", "lesson.npz", "lesson_arrays.csv"


def run(
    options: RunOptions,
    *,
    experiment: Experiment | None = None,
    runs: Sequence[Path] = (),
    dataset: str | None = None,
    test_image: int | None = None,
    images: Path | None = None,
) -> dict[str, Any]:
    """Computes all parts, writes the page, its arrays and their names, and returns the parts' records by name.

    The folder is by default a new numbered one in `runs`. runs: finished runs on one dataset, whose networks are shown
    instead of the shipped ones. experiment: whose parts they need, if any are a user's. dataset: by default that of the
    runs, else MNIST, or glyphs where MNIST is out of reach; on other images than digits, a network is trained for a
    short time. The first network follows a test image, by its index, or the picture in the file `images`. Raises
    InputError before anything is written.
    """
    folder, console = options.workdir or numbered(RUNS, "lesson"), Console()
    require_free(folder, PAGE, overwrite=options.overwrite)
    if images and test_image is not None:
        raise InputError(f"--images={images} and --test_image={test_image}: the lesson follows one of them. Name one.")
    compilation.start(persistent_cache=options.compilation_cache)
    finished = [RunDirectory(path) for path in runs]
    experiments = [experiment_of(each, experiment, console, options.dataset_dir) for each in finished]
    digits = _dataset(finished, experiments, dataset, options, console)
    if len(digits.spec.classes) != 10:  # the model with two outputs answers whether a digit is 5 or more
        raise InputError(f"--dataset={digits.spec.name}: the lesson needs images of ten classes, as mnist has.")
    followed = of_a_picture(images, digits.spec) if images else of_test_images(digits, test_image or 0)
    networks = _networks(finished, experiments, digits, console)
    live = _live(networks, digits, followed)
    letters = load_dataset(Experiment().vary(dataset="x_and_o"), options, console)
    records, start = dict[str, Any](), time.perf_counter()
    for name, record in compute_parts(digits, letters, networks, followed):
        records[name] = record
        console.note(f"part {len(records)} of {len(PARTS)}, {name}: {time.perf_counter() - start:.1f} s")
        start = time.perf_counter()
    _write(folder, records, lesson_page(records, live, " ".join(options.command_line)))
    console.line(f"{folder / PAGE}, {folder / ARRAYS} and {folder / NAMES} written")
    return records


def _networks(
    finished: Sequence[RunDirectory], experiments: Sequence[Experiment], digits: Dataset, console: Console
) -> list[Network]:
    """The networks of the finished runs; without any the shipped ones, or a short run where these know other images."""
    if finished:
        return finished_networks(finished, experiments, digits)
    if not fit_the_shipped(digits.spec):
        return [short_network(digits)]
    console.line("the networks are those that ship with this project; --runs=RUN,RUN shows your own")
    return shipped_networks(digits)


def _dataset(
    finished: Sequence[RunDirectory],
    experiments: Sequence[Experiment],
    name: str | None,
    options: RunOptions,
    console: Console,
) -> Dataset:
    """The dataset that was named, or that of the finished runs, or MNIST, or glyphs where MNIST is out of reach.

    experiments: those of the finished runs.
    """
    run_of = {run.config().dataset: run for run in finished}
    if len(run_of) > 1:
        pairs = ", ".join(f"{run.path} on {dataset}" for dataset, run in run_of.items())
        raise InputError(f"--runs: the runs were trained on different datasets ({pairs}). Name runs on one dataset.")
    for dataset, run in run_of.items():
        if name not in (None, dataset.name):
            raise InputError(f"--dataset={name}: {run.path} was trained on {dataset}.")
    experiment = experiments[0] if experiments else Experiment().vary(dataset=name or Config.dataset.name)
    if not experiments and options.dataset_dir is not None:
        experiment = experiment.with_dataset_dir(options.dataset_dir)
    try:
        return load_dataset(experiment, options, console)
    except OutOfReachError as error:
        if name or experiments:
            raise
        console.note(str(error))
        console.line(f"NOT ON {Config.dataset.name.upper()}: it is out of reach; the lesson shows glyphs, drawn digits")
        return load_dataset(Experiment().vary(dataset="glyphs"), options, console)


def _live(networks: Sequence[Network], digits: Dataset, followed: Followed) -> dict[str, Any]:
    """What the page's scripts know, as JSON has it."""
    trained = [payload.Trained(each.name, f"{each.origin}.", each.experiment, each.variables) for each in networks]
    live = payload.compute(trained, digits.spec, digits.test, followed.image)
    return live | exploration.compute(trained, [each.run.logits for each in networks], live, digits)


def _write(folder: Path, records: Mapping[str, Any], page: str) -> None:
    arrays = dict(_arrays(records))
    with machine_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with atomic_file(folder / ARRAYS) as stream:
            np.savez_compressed(stream, allow_pickle=False, **arrays)
        write_atomic(folder / NAMES, _as_csv(arrays))
        write_atomic(folder / PAGE, page)


def _as_csv(arrays: Mapping[str, np.ndarray]) -> str:
    """A line for each array: its name in the file of arrays, dtype, shape, and what it holds."""
    stream = io.StringIO()
    lines = csv.writer(stream, lineterminator="\n")
    lines.writerow(["name", "dtype", "shape", "content"])
    for name, array in arrays.items():
        lines.writerow([name, array.dtype, by(array.shape), described(name)])
    return stream.getvalue()


def _arrays(record: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, np.ndarray]]:
    """Every array of a record under its path, such as `templates/x_maps`; in a list, the path has the index."""
    for name, value in record.items():
        if isinstance(value, np.ndarray):
            yield f"{path}{name}", value
        elif isinstance(value, Mapping):
            yield from _arrays(value, f"{path}{name}/")
        elif isinstance(value, list):
            yield from _arrays({str(index): item for index, item in enumerate(value)}, f"{path}{name}/")
