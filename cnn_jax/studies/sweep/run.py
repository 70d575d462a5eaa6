"""Try many settings on held-out images, train the best one again with new seeds, and score it on the test images."""

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax

from cnn_jax import compilation
from cnn_jax.config import LARGEST_SEED, Config, run_name
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
from cnn_jax.studies.sweep.space import (
    MOST_TRIALS,
    Dimension,
    Setting,
    grid,
    parse_dimensions,
    random_search,
    setting_words,
)
from cnn_jax.studies.sweep.trials import Trial, Workload, all_trials, compiled_config, run_trials
from cnn_jax.training.checks import require_numbers, require_warmup
from cnn_jax.training.learner import Learner

SEEDS = 3
HELD_OUT = 6  # one sixth of the training images by default: 10,000 of MNIST's 60,000
CLAIM_TIMEOUT = 120.0  # seconds; above the time for which file servers may be out of reach or answer with old times
_MOST_PRINTED = 20


@dataclass(frozen=True)
class Sweep:
    """What a command line asks for. trials: all of them, in the order of their numbers. search: for the record."""

    base: Experiment
    dimensions: Sequence[Dimension]
    trials: Sequence[Trial]
    seeds: int
    directory: SweepDirectory
    search: Mapping[str, Any]


def run(
    experiment: Experiment,
    options: RunOptions,
    *,
    sweep: str | None = None,
    samples: int | None = None,
    jobs: int = 1,
    trials: Sequence[range] | None = None,
    claim_timeout: float = CLAIM_TIMEOUT,
) -> dict[str, Any] | None:
    """Runs a sweep, trains and scores its winner; prints, writes and returns the record.

    sweep: the settings, as `space.parse_dimensions` reads them. samples: how many random settings to try; None means
    all combinations. options.seeds: of each setting; None means 3. jobs: number of processes. trials: run those with
    these numbers alone, and no winner. claim_timeout: seconds without a sign of life after which a trial of another
    process is taken over.

    The same command resumes an interrupted sweep, and values, samples or seeds may be added to it. Commands on several
    machines may work on one folder at once. Returns None where this command writes no record: for some trials, or when
    another process trains the winner. Raises InputError before anything is written, Interrupted after finished trials
    are stored, and DivergedError at the end when no setting can win or when the winner diverges with its new seeds.
    """
    console, asked = Console(progress=options.progress), _asked(experiment, options, sweep, samples)
    chosen, directory = _chosen(asked.trials, trials, options), asked.directory
    compilation.start(persistent_cache=options.compilation_cache)
    _require_jobs(jobs)
    _require_claim_timeout(claim_timeout)
    if directory.exists() and not options.overwrite:
        directory.finished_rows(asked.base)  # raises InputError when another sweep is there
    dataset = _load(asked.base, chosen, options, console)
    about = machine.describe(list(options.command_line)) | {"data_fingerprint": dataset.fingerprint}
    about |= code_record(experiment)
    is_worker = trials is not None
    directory.begin(
        asked.base, about, console.note, overwrite=options.overwrite, is_worker=is_worker, claim_timeout=claim_timeout
    )
    workload = Workload(asked.base, chosen, len(asked.trials), directory, options, claim_timeout)
    known = _run(workload, dataset, jobs, console)
    if is_worker:
        rest = "without --trials, the command runs what is missing and trains the winner"
        console.line(f"{directory.path}: {_progress(asked, known)}; {rest}")
        return None
    with directory.winner_claimed(claim_timeout) as claim:
        if claim:
            console.line(f"{directory.path}: {claim.holder} trains the winner and writes the record")
            return None
        return _recorded(asked, known, about, dataset, options, console)


def commands(
    experiment: Experiment,
    options: RunOptions,
    *,
    sweep: str | None = None,
    samples: int | None = None,
    jobs: int = 1,
    trials: Sequence[range] | None = None,
    claim_timeout: float = CLAIM_TIMEOUT,
) -> list[dict[str, Any]]:
    """The flags that a command for each unfinished trial has instead of those given; writes nothing.

    Notes how many trials are finished, and which are claimed. The arguments are those of `run`. Raises InputError.
    """
    console, asked = Console(), _asked(experiment, options, sweep, samples)
    chosen, directory = _chosen(asked.trials, trials, options), asked.directory
    _require_claim_timeout(claim_timeout)
    if options.overwrite:
        raise InputError("--print_commands: --overwrite would be in every command. Leave it out.")
    compilation.start(persistent_cache=False)
    _learners(asked.base, chosen)  # raises InputError when one of the commands would
    known = directory.finished_rows(asked.base)
    left = [trial for trial in chosen if trial.config not in known]
    claimed = [(trial.number, directory.holder(trial.config, claim_timeout)) for trial in left]
    holders = "".join(f"; {holder} runs trial {number}" for number, holder in claimed if holder)
    console.note(f"{directory.path}: {_progress(asked, known)}{holders}")
    changes = {"workdir": directory.path.absolute(), "jobs": None}
    return [changes | {"trials": trial.number} for trial in left]


def _asked(experiment: Experiment, options: RunOptions, sweep: str | None, samples: int | None) -> Sweep:
    """What the arguments of `run` ask for. Raises InputError."""
    config, dimensions = experiment.config, parse_dimensions(sweep or "", experiment)
    settings = grid(dimensions) if samples is None else random_search(dimensions, samples, config.seed)
    held_out = config.validation_examples or experiment.spec.train_examples // HELD_OUT
    base, seeds = experiment.replace(validation_examples=held_out), SEEDS if options.seeds is None else options.seeds
    trials = _trials(base, settings, seeds)
    directory = SweepDirectory(options.workdir or RUNS / f"sweep-{run_name(config, options.changed)}")
    search = {"sweep": sweep, "samples": samples, "seeds": [*range(config.seed, config.seed + seeds)]}
    return Sweep(base, dimensions, trials, seeds, directory, search)


def _chosen(all_of_them: Sequence[Trial], numbers: Sequence[range] | None, options: RunOptions) -> Sequence[Trial]:
    """The trials with these numbers, or all. Raises InputError."""
    if numbers is None:
        return all_of_them
    if options.overwrite:
        raise InputError("--trials: cannot be used with --overwrite, which deletes the other trials.")
    for part in numbers:
        for number in (part.start, part.stop - 1):
            if not 1 <= number <= len(all_of_them):
                raise InputError(f"--trials={number}: this sweep has {counted(len(all_of_them), 'trial')}, from 1 on.")
    return [trial for trial in all_of_them if any(trial.number in part for part in numbers)]


def _progress(asked: Sweep, known: Mapping[Config, Row]) -> str:
    """How many trials are finished, in words."""
    finished = sum(trial.config in known for trial in asked.trials)
    return f"{finished:,} of {counted(len(asked.trials), 'trial')} finished"


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


def _require_claim_timeout(seconds: float) -> None:
    if not 1 <= seconds < math.inf:
        raise InputError(f"--claim_timeout={seconds:g}: must be at least 1 second, as in 30s, 5m or 2h.")


def _learners(base: Experiment, trials: Sequence[Trial]) -> dict[Config, Learner]:
    """The learners of trials by `compiled_config`. Raises InputError when one cannot be built."""
    different = {compiled_config(base.with_config(trial.config)): trial.config for trial in trials}
    return {compiled: build(base.with_config(config)) for compiled, config in different.items()}


def _load(base: Experiment, trials: Sequence[Trial], options: RunOptions, console: Console) -> Dataset:
    """The dataset. Raises InputError when a trial's model cannot be built or cannot be trained on it."""
    learners, dataset = _learners(base, trials), load_dataset(base, options, console)
    for config, learner in learners.items():
        learner.require_initial()
        train, _ = split_training_images(dataset, config.train_examples, config.validation_examples)
        require_numbers(learner, train)
    for trial in trials:  # those that share a learner may differ in their epochs
        config = trial.config
        learner = learners[compiled_config(base.with_config(config))]
        train, _ = split_training_images(dataset, config.train_examples, config.validation_examples)
        require_warmup(dataclasses.replace(learner, epochs=config.epochs), len(train))
    return dataset


def _run(workload: Workload, dataset: Dataset, jobs: int, console: Console) -> dict[Config, Row]:
    """Runs the trials without a row; gives the rows of all finished trials that are in the directory."""
    base, directory = workload.experiment, workload.directory
    known = directory.finished_rows(base)
    left = [trial for trial in workload.trials if trial.config not in known]
    console.line(
        f"{counted(workload.total, 'trial')} of {base.config.experiment} on {base.config.dataset}, "
        f"{base.config.validation_examples:,} "
        f"training images held out, {machine.device()}, {directory.path}"
    )
    if len(left) < len(workload.trials):
        console.line(f"{counted(len(workload.trials) - len(left), 'trial')} already finished")
    if not left:
        return known
    run_trials(dataclasses.replace(workload, trials=left), dataset, jobs, console)
    known = directory.finished_rows(base)
    for trial in left:
        if trial.config not in known:
            raise InputError(f"{directory.row_file(trial.config)}: holds the row of another trial. Delete it.")
    return known


def _recorded(
    asked: Sweep,
    known: dict[Config, Row],
    about: Mapping[str, Any],
    dataset: Dataset,
    options: RunOptions,
    console: Console,
) -> dict[str, Any]:
    """The record of all trials, after the winner is trained; it is written and printed. Raises DivergedError."""
    directory, rows = asked.directory, {trial.config: known[trial.config] for trial in asked.trials}
    directory.write_rows((rows | known).values())
    record = sweep_record(asked.base.config, asked.dimensions, list(rows.values()), asked.search, about)
    if record["winner"]:
        record = _with_tested_winner(record, asked, dataset, options, console)
    record = json.loads(json.dumps(record, allow_nan=False))  # exactly what a reader of the file gets
    directory.write(record, render_page(record))
    console.report([settings_ranking(record, _MOST_PRINTED)], sentences(record))
    console.line(f"{directory.path}: sweep.jsonl, sweep.json and sweep.html written")
    _require_converged(record, list(rows.values()))
    return record


def _with_tested_winner(
    record: Mapping[str, Any], asked: Sweep, dataset: Dataset, options: RunOptions, console: Console
) -> dict[str, Any]:
    """Trains the winner again with seeds that no trial had, and adds its test scores.

    It is trained on all training images, unless some must be held out to choose its epochs.
    """
    settings, base, seeds = record["winner"]["settings"], asked.base, asked.seeds
    held_out = base.config.validation_examples if base.config.chooses_epochs else 0
    winner = base.vary(settings).replace(validation_examples=held_out, seed=base.config.seed + seeds)
    folder = asked.directory.winner(winner)
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
