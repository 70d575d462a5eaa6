"""Experiments that are trained with several seeds each, to be compared with one another."""

from collections.abc import Sequence

from cnn_jax import data
from cnn_jax.config import Config
from cnn_jax.data.dataset import Dataset
from cnn_jax.data.tasks import TASKS
from cnn_jax.errors import DivergedError, InputError
from cnn_jax.experiment import build
from cnn_jax.report.console import Console
from cnn_jax.runs.directory import RunDirectory
from cnn_jax.runs.finished import finished_seeds
from cnn_jax.runs.options import RunOptions
from cnn_jax.runs.seeds import execute_seeds


def require_comparable(configs: Sequence[Config]) -> None:
    """Raises InputError if these Configs cannot be trained, or cannot be compared with one another."""
    first, names = configs[0], [config.experiment for config in configs]
    for config in configs:
        if names.count(config.experiment) > 1:
            raise InputError(
                f"--experiments: {config.experiment} is named twice. An experiment cannot be compared with itself."
            )
        if config.dataset != first.dataset:
            raise InputError(
                f"--experiments: {config.experiment} is of {config.dataset}, but {names[0]} of {first.dataset}. "
                "Train all on one with --dataset=NAME."
            )
        if config.glyph_seed != first.glyph_seed:
            raise InputError(
                f"--experiments: {config.experiment} and {names[0]} are of glyphs drawn with different seeds. "
                "Train all on one with --glyph_seed=N."
            )
        if TASKS[config.view].main_output is not None:
            raise InputError(
                f"--experiments: {config.experiment} has several outputs. Only models of one can be compared."
            )
        build(config, data.spec(config.dataset))


def trained_seeds(
    config: Config, options: RunOptions, console: Console, dataset: Dataset | None = None
) -> dict[int, RunDirectory]:
    """The finished runs of `options.seeds` seeds, which are trained unless they are there.

    Seeds that diverge are left out. Raises DivergedError if none is left, and what `execute_seeds` raises.
    """
    result, number = execute_seeds(config, options, console, dataset), options.seeds or 0
    if not result.n:
        raise DivergedError(
            f"{options.folder}: every seed has diverged. Try a smaller --learning_rate.", result.seeds[0].steps
        )
    if result.n < number:
        console.note(f"{options.folder}: {number - result.n} of {number} seeds diverged. They are left out.")
    return finished_seeds(options.folder)
