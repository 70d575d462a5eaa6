"""Try many settings on held-out images, train the best one again on all training images, and score it on test."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

import jax

from cnn_jax import compilation
from cnn_jax.config import LARGEST_SEED, run_name
from cnn_jax.data.dataset import Dataset, split_training_images
from cnn_jax.errors import DivergedError, InputError
from cnn_jax.experiment import Experiment, build
from cnn_jax.report.console import Console
from cnn_jax.report.format import counted
from cnn_jax.runs import machine
from cnn_jax.runs.options import RUNS, RunOptions
from cnn_jax.runs.seeds import execute_seeds, require_number_of_seeds
from cnn_jax.runs.session import code_record, load_dataset
from cnn_jax.studies.sweep.directory import Row, SweepDirectory
from cnn_jax.studies.sweep.numbers import sweep_record, with_test_scores
from cnn_jax.studies.sweep.page import render_page, sentences, settings_ranking
from cnn_jax.studies.sweep.space import MOST_TRIALS, Setting, grid, parse_dimensions, random_search, setting_words
from cnn_jax.studies.sweep.trials import Trial, Workload, all_trials, compiled_config, run_trials
from cnn_jax.training.checks import require_numbers, require_warmup

SEEDS = 3
HELD_OUT = 6  # one sixth of the training images by default: 10,000 of MNIST's 60,000
_MOST_PRINTED = 20


def run(
    experiment: Experiment, options: RunOptions, *, sweep: str | None = None, samples: int | None = None, jobs: int = 1
) -> dict[str, Any]:
    """Runs a sweep, trains and scores its winner; prints, writes and returns the record.

    sweep: the settings, as `space.parse_dimensions` reads them. samples: how many random settings to try; None means
    all combinations. options.seeds: of each setting; None means 3. jobs: number of processes. The same command resumes
    an interrupted sweep, and values, samples or seeds may be added to it. Raises InputError before anything is written,
    Interrupted after finished trials are stored, and DivergedError at the end when no setting can win or when the
    winner diverges with its new seeds.
    """
    console, seeds = Console(progress=options.progress), SEEDS if options.seeds is None else options.seeds
    config, dimensions = experiment.config, parse_dimensions(sweep or "", experiment)
    settings = grid(dimensions) if samples is None else random_search(dimensions, samples, config.seed)
    held_out = config.validation_examples or experiment.spec.train_examples // HELD_OUT
    base = experiment.replace(validation_examples=held_out)
    trials = _trials(base, settings, seeds)
    compilation.start(persistent_cache=options.compilation_cache)
    _require_jobs(jobs)
    directory = SweepDirectory(options.workdir or RUNS / f"sweep-{run_name(config, options.changed)}")
    if directory.exists() and not options.overwrite:
        directory.finished_rows(base)  # raises InputError when another sweep is there
    dataset = _load(base, trials, options, console)
    with directory.locked(console.note):
        about = machine.describe(list(options.command_line)) | {"data_fingerprint": dataset.fingerprint}
        about |= code_record(experiment)
        directory.begin(base, about, console.note, overwrite=options.overwrite)
        rows = _rows(base, trials, dataset, directory, options, jobs, console)
        search = {"sweep": sweep, "samples": samples, "seeds": [*range(config.seed, config.seed + seeds)]}
        record = sweep_record(base.config, dimensions, rows, search, about)
        if record["winner"]:
            record = _with_tested_winner(record, base, seeds, dataset, directory, options, console)
        record = json.loads(json.dumps(record, allow_nan=False))  # exactly what a reader of the file gets
        directory.write(record, render_page(record))
    console.report([settings_ranking(record, _MOST_PRINTED)], sentences(record))
    console.line(f"{directory.path}: sweep.jsonl, sweep.json and sweep.html written")
    _require_converged(record, rows)
    return record


def _trials(base: Experiment, settings: Sequence[Setting], seeds: int) -> list[Trial]:
    """All trials. Raises InputError when there are too many, or when seeds are too large."""
    largest = LARGEST_SEED
    require_number_of_seeds(seeds)
    if base.config.seed + 2 * seeds - 1 > largest:
        raise InputError(
            f"--seeds={seeds}: the trials and the winner need {2 * seeds:,} seeds from --seed={base.config.seed} on. "
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


def _load(base: Experiment, trials: Sequence[Trial], options: RunOptions, console: Console) -> Dataset:
    """The dataset. Raises InputError when a trial's model cannot be built or cannot be trained on it."""
    different = {compiled_config(base.with_config(trial.config)): trial.config for trial in trials}
    learners = {config: build(base.with_config(config)) for config in different.values()}
    dataset = load_dataset(base, options, console)
    for config, learner in learners.items():
        learner.require_initial()
        train, _ = split_training_images(dataset, config.train_examples, config.validation_examples)
        require_numbers(learner, train)
    for trial in trials:  # those that share a learner may differ in their epochs
        config = trial.config
        learner = learners[different[compiled_config(base.with_config(config))]]
        train, _ = split_training_images(dataset, config.train_examples, config.validation_examples)
        require_warmup(dataclasses.replace(learner, epochs=config.epochs), len(train))
    return dataset


def _rows(
    base: Experiment,
    trials: Sequence[Trial],
    dataset: Dataset,
    directory: SweepDirectory,
    options: RunOptions,
    jobs: int,
    console: Console,
) -> list[Row]:
    """A row for each trial, in the order of the trials. Trials without a row are run first."""
    known = directory.finished_rows(base)
    left = [trial for trial in trials if trial.config not in known]
    console.line(
        f"{counted(len(trials), 'trial')} of {base.config.experiment} on {base.config.dataset}, "
        f"{base.config.validation_examples:,} "
        f"training images held out, {machine.device()}, {directory.path}"
    )
    if len(left) < len(trials):
        console.line(f"{counted(len(trials) - len(left), 'trial')} already finished")
    if left:
        workload = Workload(base, left, len(trials), directory, options)
        run_trials(workload, dataset, jobs, console)
        known = directory.finished_rows(base)
    return [known[trial.config] for trial in trials]


def _with_tested_winner(
    record: Mapping[str, Any],
    base: Experiment,
    seeds: int,
    dataset: Dataset,
    directory: SweepDirectory,
    options: RunOptions,
    console: Console,
) -> dict[str, Any]:
    """Trains the winner again with seeds that no trial had, and adds its test scores.

    It is trained on all training images, unless some must be held out to choose its epochs.
    """
    settings, held_out = record["winner"]["settings"], base.config.validation_examples
    winner = base.vary(settings).replace(
        validation_examples=held_out if base.config.chooses_epochs else 0, seed=base.config.seed + seeds
    )
    folder = directory.winner(winner)
    console.line(f"training the winner again: {setting_words(settings)}")
    options = dataclasses.replace(options, workdir=folder, seeds=seeds, overwrite=False)
    return with_test_scores(record, folder.name, execute_seeds(winner, options, console, dataset))


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
