"""Finished runs: the seeds of a model that have scored their test set, and what they have learned."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cnn_jax.config import Config
from cnn_jax.data.dataset import Spec
from cnn_jax.errors import InputError
from cnn_jax.experiment import Experiment, build
from cnn_jax.report.console import Console
from cnn_jax.runs import checkpoint
from cnn_jax.runs.directory import RunDirectory, seed_folders


def finished_seeds(path: Path) -> dict[int, RunDirectory]:
    """The finished runs in `path` by their seeds, in ascending order. `path` holds several seeds, or one run.

    Seeds that are still training are left out. Raises InputError if none is finished, if a folder's seed is not that of
    its run, or if two runs differ in more than the seed.
    """
    if not path.is_dir():
        raise InputError(f"{path}: {'is a file' if path.exists() else 'there is no such folder'}. Name a run's folder.")
    folders = seed_folders(path)
    if not folders and not (path / "config.json").is_file():
        raise InputError(f"{path}: holds no run (there is neither config.json nor seed-0). Name a run's folder.")
    runs = {seed: RunDirectory(folder) for seed, folder in folders.items()} or {-1: RunDirectory(path)}
    finished = {seed: run for seed, run in runs.items() if _is_finished(run)}
    if not finished:
        raise InputError(f"{path}: no run in it is finished. Run it to its end first.")
    _require_one_config(finished)
    return {run.config().seed: run for run in finished.values()}


def experiment_of(
    run: RunDirectory, given: Experiment | None, console: Console, dataset_dir: Path | None = None
) -> Experiment:
    """The experiment of a run: its Config, its images' description, and the tables of the experiment that was named.

    dataset_dir: of its dataset, if it takes one; by default where it was when the run was trained.

    Raises InputError if the run needs parts that are not there. A user's file that has changed since is noted. It need
    not be named for a run that has none of its parts.
    """
    experiment, machine, config = given or Experiment(), run.machine(), run.config()
    before, now = machine.get("experiment_hash"), experiment.digest
    if before and given and now != before:
        console.note(f"{run.path}: {experiment.config.experiment} has changed since this run was trained.")
    try:
        return _with_data(experiment.with_config(config), machine, dataset_dir)
    except InputError as error:
        if before and given is None:
            file = machine.get("experiment_file")
            where = f"in a file of its own. Name it: --experiment={file}" if file else "in no file. Give the Experiment"
            raise InputError(f"{run.path}: its experiment is {where}.") from None
        raise InputError(f"{run.path}: {error}") from None


def _with_data(experiment: Experiment, machine: Mapping[str, Any], dataset_dir: Path | None) -> Experiment:
    """The experiment with what `machine.json` says of its dataset. Raises InputError."""
    if dataset_dir is None and experiment.takes_dataset_dir and isinstance(machine.get("dataset_dir"), str):
        dataset_dir = Path(machine["dataset_dir"])
    if dataset_dir is not None:
        experiment = experiment.with_dataset_dir(dataset_dir)
    try:
        return experiment.with_spec(Spec.from_mapping(machine["data"])) if "data" in machine else experiment
    except ValueError as error:
        raise InputError(f"machine.json: {error}.") from None


def load_variables(run: RunDirectory, experiment: Experiment) -> dict:
    """The variables that a finished run has scored, as `module.apply` takes them; the average where one is kept.

    Raises InputError if it is not finished or its checkpoint is missing, MachineError if the checkpoint is damaged.
    """
    step = run.finished_result().scored_step
    return checkpoint.load_step(run.checkpoints, step, build(experiment).abstract_state).state.variables


def _is_finished(run: RunDirectory) -> bool:
    """Whether it has scored its test set."""
    result = run.result()
    return result is not None and result.status in ("done", "stopped")


def _require_one_config(runs: dict[int, RunDirectory]) -> None:
    configs: dict[int, Config] = {seed: run.config() for seed, run in runs.items()}
    first = next(iter(configs.values()))
    for seed, config in configs.items():
        if seed not in (-1, config.seed):
            raise InputError(f"{runs[seed].path}: holds a run of seed {config.seed}, not of {seed}.")
        if dataclasses.replace(config, seed=first.seed) != first:
            raise InputError(f"{runs[seed].path}: differs from the first seed in more than the seed.")
