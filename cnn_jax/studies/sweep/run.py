"""Try many settings on held-out images, train the best one again on all training images, and score it on test."""

import dataclasses
import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax

from cnn_jax import compilation, data
from cnn_jax.config import FIELDS, Config, run_name
from cnn_jax.data.dataset import Dataset, split_training_images
from cnn_jax.errors import DivergedError, InputError
from cnn_jax.report.console import Console
from cnn_jax.report.format import counted
from cnn_jax.runs import machine, many
from cnn_jax.runs.execute import Place
from cnn_jax.runs.seeds_result import SeedsResult
from cnn_jax.studies.sweep.directory import Row, SweepDirectory
from cnn_jax.studies.sweep.numbers import sweep_record, with_test_scores
from cnn_jax.studies.sweep.page import render_page, sentences, settings_ranking
from cnn_jax.studies.sweep.space import MOST_TRIALS, Setting, grid, parse_dimensions, random_search, setting_words
from cnn_jax.studies.sweep.trials import Trial, Workload, all_trials, compiled_config, run_trials
from cnn_jax.training import programs
from cnn_jax.training.mesh import over_all_devices

RUNS = Path("runs")
SEEDS = 3
HELD_OUT = 6  # one sixth of the training images by default: 10,000 of MNIST's 60,000
_MOST_PRINTED = 20


def run(
    config: Config,
    *,
    changed: Collection[str] = (),
    sweep: str | None = None,
    samples: int | None = None,
    seeds: int = SEEDS,
    jobs: int = 1,
    workdir: Path | None = None,
    data_dir: Path | None = None,
    manual_dir: Path | None = None,
    overwrite: bool = False,
    progress: bool | None = None,
    compilation_cache: bool = True,
    command_line: tuple[str, ...] = (),
) -> dict[str, Any]:
    """Runs a sweep, trains and scores its winner; prints, writes and returns the record.

    sweep: the settings, as `space.parse_dimensions` reads them. samples: how many random settings to try; None means
    all combinations. seeds: of each setting. jobs: number of processes. The same command resumes an interrupted sweep,
    and values, samples or seeds may be added to it. Raises InputError before anything is written, Interrupted after
    finished trials are stored, and DivergedError at the end when no setting can win or when the winner diverges with
    its new seeds.
    """
    console = Console(progress=progress)
    dimensions = parse_dimensions(sweep or "")
    settings = grid(dimensions) if samples is None else random_search(dimensions, samples, config.seed)
    base = dataclasses.replace(config, validation_examples=_held_out(config))
    trials = _trials(base, settings, seeds)
    compilation.start(persistent_cache=compilation_cache)
    _require_jobs(jobs)
    directory = SweepDirectory(workdir or RUNS / f"sweep-{run_name(config, changed)}")
    if not overwrite:
        directory.finished_rows(base)  # raises InputError when another sweep is there
    dataset = _load(trials, data_dir, manual_dir, console)
    place = Place(workdir=directory.path, data_dir=data_dir, manual_dir=manual_dir, command_line=command_line)
    with directory.locked():
        about = machine.describe(list(command_line)) | {"data_fingerprint": dataset.fingerprint}
        directory.begin(base, about, overwrite=overwrite)
        rows = _rows(base, trials, dataset, place, jobs, console)
        search = {"sweep": sweep, "samples": samples, "seeds": [*range(config.seed, config.seed + seeds)]}
        record = sweep_record(base, dimensions, rows, search, about)
        if record["winner"]:
            record = with_test_scores(record, *_test(base, record, seeds, place, console))
        record = json.loads(json.dumps(record, allow_nan=False))  # exactly what a reader of the file gets
        directory.write(record, render_page(record))
    console.table(settings_ranking(record, _MOST_PRINTED))
    for sentence in sentences(record):
        console.line(sentence)
    console.line(f"{directory.path}: sweep.jsonl, sweep.json and sweep.html written")
    _require_converged(record, rows)
    return record


def _held_out(config: Config) -> int:
    return config.validation_examples or data.spec(config.dataset).train_examples // HELD_OUT


def _trials(base: Config, settings: Sequence[Setting], seeds: int) -> list[Trial]:
    """All trials. Raises InputError when there are too many, or when seeds are too large."""
    largest = FIELDS["seed"].metadata["at_most"]
    if not 1 <= seeds <= many.MOST_SEEDS:
        raise InputError(f"--seeds={seeds}: must be between 1 and {many.MOST_SEEDS:,}.")
    if base.seed + 2 * seeds - 1 > largest:
        raise InputError(
            f"--seeds={seeds}: the trials and the winner need {2 * seeds:,} seeds from --seed={base.seed} on. "
            f"The largest possible seed is {largest:,}."
        )
    count = len(settings) * seeds
    if count > MOST_TRIALS:
        raise InputError(
            f"--sweep: {count:,} trials, {len(settings):,} settings with {counted(seeds, 'seed')} each. At most "
            f"{MOST_TRIALS:,} trials are possible."
        )
    return all_trials(base, settings, seeds)


def _require_jobs(jobs: int) -> None:
    if jobs < 1:
        raise InputError(f"--jobs={jobs}: must be at least 1.")
    if jobs > 1 and jax.default_backend() != "cpu":
        device = jax.default_backend()
        raise InputError(f"--jobs={jobs}: only on a CPU: several processes cannot share the memory of a {device}.")


def _load(trials: Sequence[Trial], data_dir: Path | None, manual_dir: Path | None, console: Console) -> Dataset:
    """The dataset. Raises InputError when a trial's model cannot be built or cannot be trained on it."""
    different = {compiled_config(trial.config): trial.config for trial in trials}
    first = trials[0].config
    for config in different.values():
        programs.state_shapes(config, data.spec(config.dataset), over_all_devices())
    dataset = data.load(
        first.dataset, data_dir=data_dir, manual_dir=manual_dir, glyph_seed=first.glyph_seed, warn=console.note
    )
    for config in different.values():
        split_training_images(dataset, config.train_examples, config.validation_examples)
    return dataset


def _rows(
    base: Config, trials: Sequence[Trial], dataset: Dataset, place: Place, jobs: int, console: Console
) -> list[Row]:
    """A row for each trial, in the order of the trials. Trials without a row are run first."""
    directory = SweepDirectory(place.workdir)
    known = directory.finished_rows(base)
    left = [trial for trial in trials if trial.config not in known]
    console.line(
        f"{counted(len(trials), 'trial')} of {base.experiment} on {base.dataset}, {base.validation_examples:,} "
        f"training images held out, {machine.device()}, {place.workdir}"
    )
    if len(left) < len(trials):
        console.line(f"{counted(len(trials) - len(left), 'trial')} already finished")
    if left:
        workload = Workload(left, len(trials), directory, place.data_dir, place.manual_dir, compilation.settings())
        run_trials(workload, dataset, jobs, console)
        known = directory.finished_rows(base)
    return [known[trial.config] for trial in trials]


def _test(
    base: Config, record: Mapping[str, Any], seeds: int, place: Place, console: Console
) -> tuple[str, SeedsResult]:
    """Trains the winner on all training images with new seeds and scores it on the test images.

    Returns the name of its folder and its result.
    """
    best = record["winner"]
    config = dataclasses.replace(base, **best["settings"], validation_examples=0, seed=base.seed + seeds)
    folder = SweepDirectory(place.workdir).winner(config)
    console.line(f"training the winner again: {setting_words(best['settings'])}")
    return folder.name, many.execute(config, seeds, dataclasses.replace(place, workdir=folder), "auto", console)


def _require_converged(record: Mapping[str, Any], rows: Sequence[Row]) -> None:
    """Raises DivergedError when there is no winner, or when the winner diverged with a new seed."""
    best = record["winner"]
    if best is None:
        first = min(row["steps"] for row in rows if row["status"] == "diverged")
        raise DivergedError("Every setting has a seed that diverged. Try smaller learning rates.", first)
    diverged = [seed for seed in best["test"]["seeds"] if seed["status"] == "diverged"]
    if diverged:
        names = ", ".join(str(seed["seed"]) for seed in diverged)
        raise DivergedError(f"The winner diverged with seed {names}.", diverged[0]["steps"])
