"""Experiments that are trained with many seeds each, to be set beside one another."""

from collections.abc import Sequence

import numpy as np

from cnn_jax import data
from cnn_jax.config import Config
from cnn_jax.data import views
from cnn_jax.errors import DivergedError, InputError
from cnn_jax.report.console import Console
from cnn_jax.runs import many, seeds
from cnn_jax.runs.directory import RunDirectory
from cnn_jax.runs.execute import Place
from cnn_jax.training import mesh as meshes
from cnn_jax.training import programs


def require_comparable(configs: Sequence[Config]) -> None:
    """Raises InputError where these cannot be trained, or not be set beside one another."""
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
        if isinstance(views.VIEWS[config.view].targets(np.zeros(1, np.int32)), dict):
            raise InputError(
                f"--experiments: {config.experiment} has several outputs. Only models of one can be compared."
            )
        programs.state_shapes(config, data.spec(config.dataset), meshes.over_all_devices())  # raises where it has none


def trained(config: Config, number: int, place: Place, strategy: str, console: Console) -> dict[int, RunDirectory]:
    """The finished runs of so many seeds, which are trained where they are not. Those that diverge are left out.

    Raises DivergedError where none is left, and what `many.execute` raises.
    """
    result = many.execute(config, number, place, strategy, console)
    if not result.n:
        raise DivergedError(
            f"{place.workdir}: every seed has diverged. Try a smaller --learning_rate.", result.seeds[0].steps
        )
    if result.n < number:
        console.note(f"{place.workdir}: {number - result.n} of {number} seeds diverged. They are left out.")
    return seeds.finished(place.workdir)
