"""Many seeds of one model: a directory with an ordinary run directory, `seed-0`, `seed-1`, ..., for each."""

import dataclasses
from pathlib import Path

from cnn_jax.errors import InputError
from cnn_jax.runs.directory import RunDirectory, seed_folders


def finished(path: Path) -> dict[int, RunDirectory]:
    """The finished runs under `path` by their seeds, in ascending order: of a many-seed run, or one ordinary run.

    Seeds that are still training are left out. Raises InputError where there is no finished one, where a folder's
    seed is not that of its run, or where two of them differ in more than the seed.
    """
    if not path.is_dir():
        raise InputError(f"{path}: {'is a file' if path.exists() else 'there is no such folder'}. Name a run's folder.")
    folders = seed_folders(path)
    if not folders and not (path / "config.json").is_file():
        raise InputError(f"{path}: holds no run (there is neither config.json nor seed-0). Name a run's folder.")
    runs = {seed: RunDirectory(folder) for seed, folder in folders.items()} or {-1: RunDirectory(path)}
    found = {seed: run for seed, run in runs.items() if _is_finished(run)}
    if not found:
        raise InputError(f"{path}: no run in it is finished. Run it to its end first.")
    _require_one_config(found)
    return {run.config().seed: run for run in found.values()}


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
