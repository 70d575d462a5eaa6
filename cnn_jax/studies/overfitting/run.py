"""Train models on more and more images, and see how far what they learned holds for images they have not seen."""

import dataclasses
import datetime
import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cnn_jax import compilation, data
from cnn_jax.config import Config, run_name
from cnn_jax.data.dataset import Dataset
from cnn_jax.errors import InputError
from cnn_jax.report.console import Console
from cnn_jax.runs import directory, experiments, machine, trained
from cnn_jax.runs.execute import Place
from cnn_jax.studies.overfitting import numbers as overfitting
from cnn_jax.studies.overfitting import page as report
from cnn_jax.studies.overfitting.numbers import Learner
from cnn_jax.training import mesh as meshes
from cnn_jax.training import programs

RUNS = Path("runs")
FORMAT = 1
SEEDS = 3
SIZES = (100, 300, 1_000, 3_000, 10_000, 30_000, 100_000, 300_000, 1_000_000)  # and all images
LEAST_STEPS = 500  # also of few images, so that a model has the time to learn them


def run(
    configs: Sequence[Config],
    *,
    changed: Collection[str] = (),
    sizes: Sequence[int] = (),
    seeds: int | None = None,
    seed_strategy: str | None = None,
    workdir: Path | None = None,
    data_dir: Path | None = None,
    manual_dir: Path | None = None,
    overwrite: bool = False,
    progress: bool | None = None,
    compilation_cache: bool = True,
    command_line: tuple[str, ...] = (),
) -> dict[str, Any]:
    """Trains each config on the first N training images for several N and seeds; prints, writes and returns the record.

    sizes: the Ns; none: 100, 300, 1,000 and so on, and all. seeds: for each; None: 3. Each config takes its own epochs,
    and so many more that there are `LEAST_STEPS` steps. Runs are folders of many seeds in `workdir`; the same command
    goes on with them. Raises InputError, and writes nothing, where something cannot be trained.
    """
    compilation.start(persistent_cache=compilation_cache)
    console = Console(progress=progress, rows=False)  # few images make hundreds of epochs
    _require_models(configs, changed)
    chosen = _sizes(configs, sizes)
    folder = workdir or RUNS / _name(configs, changed)
    directory.require_writable(folder, flag="workdir")
    place = Place(
        workdir=folder, data_dir=data_dir, manual_dir=manual_dir, overwrite=overwrite, command_line=command_line
    )
    images = data.load(
        configs[0].dataset,
        data_dir=data_dir,
        manual_dir=manual_dir,
        glyph_seed=configs[0].glyph_seed,
        warn=console.note,
    )
    number, strategy = SEEDS if seeds is None else seeds, seed_strategy or "auto"
    learners = [
        _learner(_of_size(config, size), size, images, number, place, strategy, console)
        for config in configs
        for size in chosen
    ]
    content = _record(configs, learners, images, command_line)
    _write(folder, content)
    _print(console, content)
    console.line(f"{folder}: overfitting.json and overfitting.html written")
    return content


def _require_models(configs: Sequence[Config], changed: Collection[str]) -> None:
    """Raises InputError where these cannot be trained and set beside one another."""
    if not configs:
        raise InputError("--mode=overfitting: name the models with --experiments=NAME,NAME.")
    if "train_examples" in changed:
        raise InputError("--train_examples: is what --mode=overfitting varies. Name the numbers with --sizes=N,N.")
    experiments.require_comparable(configs)


def _sizes(configs: Sequence[Config], asked: Sequence[int]) -> list[int]:
    """How many images to train on, in ascending order. Raises InputError where there are not so many."""
    available = min(_available(config) for config in configs)
    if available < 1:
        raise InputError("--validation_examples: leaves no image to train on.")
    for size in asked:
        if not 1 <= size <= available:
            raise InputError(f"--sizes: {size} is not between 1 and the {available:,} training images.")
    return sorted(set(asked or (*(size for size in SIZES if size < available), available)))


def _available(config: Config) -> int:
    return data.spec(config.dataset).train_examples - config.validation_examples


def _of_size(config: Config, size: int) -> Config:
    """The config of a run on so many images."""
    epochs = overfitting.epochs_for(size, config.batch_size, config.epochs, LEAST_STEPS)
    return dataclasses.replace(config, train_examples=None if size == _available(config) else size, epochs=epochs)


def _name(configs: Sequence[Config], changed: Collection[str]) -> str:
    names = "-".join(config.experiment for config in configs)
    label = dataclasses.replace(configs[0], experiment=names[:100])
    return f"overfitting-{run_name(label, changed, many_seeds=True)}"


def _learner(
    config: Config, size: int, images: Dataset, seeds: int, place: Place, strategy: str, console: Console
) -> Learner:
    """Trains a config's seeds, where they are not, and scores what they ended with on what they learned from.

    Raises DivergedError where none of them came to an end.
    """
    folder = place.workdir / config.experiment / f"train_examples={size}"
    runs = experiments.trained(config, seeds, dataclasses.replace(place, workdir=folder), strategy, console)
    ends = [run.finished_result() for run in runs.values()]
    inference = programs.compile_inference(config, images.spec, images.train[:size], meshes.over_all_devices())
    learned = [inference.score(trained.params(run)) for run in runs.values()]
    console.line(f"{folder}: {len(runs)} seeds of {config.epochs:,} epochs are done")
    scores = {
        "train_accuracy": [score.accuracy for score in learned],
        "test_accuracy": [end.test_accuracy for end in ends],
        "train_loss": [score.loss for score in learned],
        "test_loss": [end.test_loss for end in ends],
    }
    return Learner(
        name=config.experiment,
        parameters=ends[0].parameters,
        train_examples=size,
        epochs=config.epochs,
        steps=ends[0].steps,
        seeds=tuple(runs),
        scores={name: np.array(values, np.float64) for name, values in scores.items()},
    )


def _record(
    configs: Sequence[Config], learners: Sequence[Learner], images: Dataset, command_line: Sequence[str]
) -> dict[str, Any]:
    """The content of `overfitting.json`."""
    varied = ("seed", "epochs", "train_examples")
    content = {
        "format": FORMAT,
        "date": datetime.date.today().isoformat(),
        "dataset": images.spec.name,
        "data_fingerprint": images.fingerprint,
        "test_examples": len(images.test),
        "least_steps": LEAST_STEPS,
        "machine": {k: v for k, v in machine.describe(list(command_line)).items() if k != "command_line"},
        "configs": [{k: v for k, v in dataclasses.asdict(c).items() if k not in varied} for c in configs],
        **overfitting.compare(learners),
    }
    plain: dict[str, Any] = json.loads(json.dumps(content, allow_nan=False))  # what a reader of the file will find
    return plain


def _write(folder: Path, content: Mapping[str, Any]) -> None:
    files = {
        "overfitting.html": report.page(content),
        "overfitting.json": json.dumps(content, indent=1, allow_nan=False) + "\n",
    }
    directory.write_files(folder, files)


def _print(console: Console, content: Mapping[str, Any]) -> None:
    for table in (report.scores(content), *([report.differences(content)] if content["pairs"] else [])):
        console.table(table.title, list(table.headings), [list(row) for row in table.rows])
    for sentence in report.sentences(content):
        console.line(sentence)
