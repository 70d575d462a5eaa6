"""Finished runs: the seeds of a model that have scored their test set, and the parameters that they have learned."""

import dataclasses
from pathlib import Path

from cnn_jax import data
from cnn_jax.errors import InputError
from cnn_jax.experiment import build
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


def load_params(run: RunDirectory) -> dict:
    """The parameters at the end of a finished run.

    Raises InputError if it is not finished or its checkpoint is missing, MachineError if the checkpoint is damaged.
    """
    config, steps = run.config(), run.finished_result().steps
    learner = build(config, data.spec(config.dataset))
    return checkpoint.load_step(run.checkpoints, steps, learner.abstract_state).state.params


def _is_finished(run: RunDirectory) -> bool:
    """Whether it has scored its test set."""
    result = run.result()
    return result is not None and result.status in ("done", "stopped")


def _require_one_config(runs: dict[int, RunDirectory]) -> None:
    configs = {seed: run.config() for seed, run in runs.items()}
    first = next(iter(configs.values()))
    for seed, config in configs.items():
        if seed not in (-1, config.seed):
            raise InputError(f"{runs[seed].path}: holds a run of seed {config.seed}, not of {seed}.")
        if dataclasses.replace(config, seed=first.seed) != first:
            raise InputError(f"{runs[seed].path}: differs from the first seed in more than the seed.")
