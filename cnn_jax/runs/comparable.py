"""Experiments that are trained with several seeds each, to be compared with one another."""

from collections.abc import Sequence

from cnn_jax.data.dataset import Dataset
from cnn_jax.data.source import Source
from cnn_jax.errors import DivergedError, InputError
from cnn_jax.experiment import Experiment, build
from cnn_jax.report.console import Console
from cnn_jax.runs.directory import RunDirectory
from cnn_jax.runs.finished import finished_seeds
from cnn_jax.runs.options import RunOptions
from cnn_jax.runs.seeds import execute_seeds


def require_comparable(experiments: Sequence[Experiment]) -> None:
    """Raises InputError if these experiments cannot be trained, or cannot be compared with one another."""
    configs = [experiment.config for experiment in experiments]
    first, names = configs[0], [config.experiment for config in configs]
    for config in configs:
        if names.count(config.experiment) > 1:
            raise InputError(
                f"--experiments: {config.experiment} is named twice. An experiment cannot be compared with itself."
            )
        if config.dataset.name != first.dataset.name:
            raise InputError(
                f"--experiments: {config.experiment} is of {config.dataset}, but {names[0]} of {first.dataset}. "
                "Train all on one with --dataset=NAME."
            )
        if config.dataset != first.dataset:
            setting = next(name for name in config.dataset.settings if config.dataset[name] != first.dataset[name])
            raise InputError(
                f"--experiments: {config.experiment} and {names[0]} have different settings of {config.dataset}. "
                f"Train all on one with --dataset.{setting}=VALUE."
            )
    if len({_identity(experiment.data) for experiment in experiments}) > 1:
        raise InputError(f"--experiments: their datasets {first.dataset} differ: each file has images of its own.")
    for experiment in experiments:
        build(experiment)


def _identity(data: Source | Dataset) -> str:
    """What two datasets with the same name and settings differ in."""
    return data.fingerprint if isinstance(data, Dataset) else data.version


def trained_seeds(
    experiment: Experiment, options: RunOptions, console: Console, dataset: Dataset | None = None
) -> dict[int, RunDirectory]:
    """The finished runs of `options.seeds` seeds, which are trained unless they are there.

    Seeds that diverge are left out. Raises DivergedError if none is left, and what `execute_seeds` raises.
    """
    result, number = execute_seeds(experiment, options, console, dataset), options.seeds or 0
    if not result.n:
        raise DivergedError(
            f"{options.folder}: every seed has diverged. Try a smaller --learning_rate.", result.seeds[0].steps
        )
    if result.n < number:
        console.note(f"{options.folder}: {number - result.n} of {number} seeds diverged. They are left out.")
    return finished_seeds(options.folder)
