"""The lecture as one page with live results: every part of it is computed, drawn and said."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from cnn_jax import compilation, data
from cnn_jax.config import Config
from cnn_jax.data.dataset import Dataset
from cnn_jax.errors import InputError, MachineError, OutOfReachError
from cnn_jax.report.console import Console
from cnn_jax.runs import directory, trained
from cnn_jax.runs.directory import RunDirectory
from cnn_jax.studies.lesson import (
    features,
    functional,
    images,
    learned,
    permutation,
    pooling,
    results,
    short_run,
    templates,
)
from cnn_jax.studies.lesson import page as report

RUNS = Path("runs")
PAGE, ARRAYS = "lesson.html", "lesson.npz"
PARTS: Mapping[str, ModuleType] = {
    "images": images,
    "templates": templates,
    "learned": learned,
    "permutation": permutation,
    "functional": functional,
    "features": features,
    "pooling": pooling,
    "results": results,
}


def run(
    *,
    workdir: Path | None = None,
    runs: Sequence[Path] = (),
    dataset: str | None = None,
    test_image: int = 0,
    data_dir: Path | None = None,
    manual_dir: Path | None = None,
    overwrite: bool = False,
    compilation_cache: bool = True,
    command_line: tuple[str, ...] = (),
) -> dict[str, Any]:
    """Computes all parts, writes `lesson.html` and `lesson.npz`, and returns the parts' records by name.

    workdir: default a new numbered folder in `runs`. runs: finished runs of one dataset, whose results are shown; the
    first one's network is looked into. Without them, a short training on the spot stands in. dataset: default the
    runs', else MNIST, or glyphs where MNIST is out of reach. test_image: the number of the image that is followed
    through the network. Raises InputError before anything is written.
    """
    folder, console = workdir or directory.numbered(RUNS, "lesson"), Console()
    directory.require_free(folder, PAGE, overwrite=overwrite)
    compilation.start(persistent_cache=compilation_cache)
    given = [RunDirectory(path) for path in runs]
    place = {"data_dir": data_dir, "manual_dir": manual_dir, "warn": console.note}
    digits = _dataset(given, dataset, place, console)
    if len(digits.spec.classes) != 10:  # one of the questions to the functional model is whether a digit is 5 or more
        raise InputError(f"--dataset={digits.spec.name}: the lesson needs images of ten classes, as mnist has.")
    if not 0 <= test_image < len(digits.test):
        raise InputError(f"--test_image={test_image}: {digits.spec.name} has {len(digits.test):,} test images, from 0.")
    seen = _given(given, digits) if given else short_run.trained(digits)
    records = dict(_computed(_parts(digits, seen, test_image, place), console))
    _write(folder, records, report.page(records, _meanings(), " ".join(command_line)))
    console.line(f"{folder / PAGE} and {folder / ARRAYS} written")
    return records


def _dataset(given: Sequence[RunDirectory], name: str | None, place: Mapping[str, Any], console: Console) -> Dataset:
    """The images of digits, or of whatever the runs were trained on."""
    trained_on = {one.config().dataset: one for one in given}
    if len(trained_on) > 1:
        said = ", ".join(f"{one.path} of {dataset}" for dataset, one in trained_on.items())
        raise InputError(f"--runs: are of different datasets ({said}). Name runs of one.")
    for dataset, one in trained_on.items():
        if name not in (None, dataset):
            raise InputError(f"--dataset={name}: {one.path} was trained on {dataset}.")
    glyph_seed = given[0].config().glyph_seed if given else 0
    try:
        return data.load(name or next(iter(trained_on), Config.dataset), glyph_seed=glyph_seed, **place)
    except OutOfReachError as error:
        if name or trained_on:
            raise
        console.note(str(error))
        console.line(f"NOT ON {Config.dataset.upper()}: it is out of reach; the lesson shows glyphs, drawn digits")
        return data.load("glyphs", **place)


def _finished(directory: RunDirectory, name: str, dataset: Dataset) -> results.Run:
    """What a finished run came to, under this name. Raises InputError where it was scored on other images."""
    result, (logits, labels) = directory.finished_result(), directory.predictions()
    if not np.array_equal(labels, dataset.test.labels):
        raise InputError(f"--runs={directory.path}: was scored on other test images than {dataset.spec.name} has now.")
    assert result.test_loss is not None and result.test_accuracy is not None, "a finished run has scored its test set"
    return results.Run(
        name=name,
        rows=directory.rows(),
        test_loss=result.test_loss,
        test_accuracy=result.test_accuracy,
        parameters=result.parameters,
        logits=logits,
        labels=labels,
    )


def _given(given: Sequence[RunDirectory], dataset: Dataset) -> tuple[Config, Any, Sequence[results.Run]]:
    """Config and parameters of the first run, and what all of them came to."""
    names = [one.path.name for one in given]
    if len(set(names)) < len(names):  # as of the first seeds of two models
        names = [str(one.path) for one in given]
    first, finished = given[0], [_finished(one, name, dataset) for one, name in zip(given, names, strict=True)]
    return first.config(), trained.params(first), finished


def _parts(
    digits: Dataset, seen: tuple[Config, Any, Sequence[results.Run]], test_image: int, place: Mapping[str, Any]
) -> Iterator[tuple[str, Callable[[], dict[str, Any]]]]:
    """Each part's name and what computes it, in the lecture's order."""
    x_and_o = data.load("x_and_o", **place)
    yield "images", images.compute
    yield "templates", lambda: templates.compute(x_and_o)
    yield "learned", lambda: learned.compute(x_and_o)
    yield "permutation", lambda: permutation.compute(digits)
    yield "functional", lambda: functional.compute(digits)
    config, params, finished = seen
    image, label = digits.test.images[test_image], int(digits.test.labels[test_image])
    yield "features", lambda: features.compute(config, digits.spec, params, image, label)
    yield "pooling", lambda: pooling.compute(digits.spec, image)
    yield "results", lambda: results.compute(finished, digits.test.images, digits.spec.classes)


def _computed(
    parts: Iterator[tuple[str, Callable[[], dict[str, Any]]]], console: Console
) -> Iterator[tuple[str, dict[str, Any]]]:
    start = time.perf_counter()
    for number, (name, compute) in enumerate(parts, start=1):
        record = compute()
        now = time.perf_counter()
        console.note(f"part {number} of {len(PARTS)}, {name}: {now - start:.1f} s")
        start = now
        yield name, record


def _meanings() -> dict[str, str]:
    """What the arrays of all parts are, by their names in `lesson.npz`."""
    return {f"{name}/{array}": text for name, part in PARTS.items() for array, text in part.ARRAYS.items()}


def _write(folder: Path, records: Mapping[str, Any], page: str) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / ARRAYS).open("wb") as stream:
            np.savez_compressed(stream, allow_pickle=False, **dict(_arrays(records)))
        directory.write_at_once(folder / PAGE, page)
    except OSError as error:
        raise MachineError(f"{folder}: cannot be written: {error.strerror}.") from None


def _arrays(record: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, np.ndarray]]:
    """Every array of a record under its path, as in `templates/canonical_x`; those of lists under their places."""
    for name, value in record.items():
        if isinstance(value, np.ndarray):
            yield f"{path}{name}", value
        elif isinstance(value, Mapping):
            yield from _arrays(value, f"{path}{name}/")
        elif isinstance(value, list):
            yield from _arrays({str(place): part for place, part in enumerate(value)}, f"{path}{name}/")
