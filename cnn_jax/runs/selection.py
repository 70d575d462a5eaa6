"""Which epoch's parameters a run keeps, and when its patience is over: functions of its rows alone.

The rows are those of `metrics.jsonl`. A run that is resumed has the same ones, so it chooses the same.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp

from cnn_jax.config import Config
from cnn_jax.training import loop
from cnn_jax.training.compiled import Inference, Training
from cnn_jax.training.loop import Progress, fit, initial_progress

Row = Mapping[str, float]


def best_row(config: Config, rows: Sequence[Row]) -> Row | None:
    """The epoch with the best held-out number, the first of equal ones. None where no epoch has one.

    Loss and accuracy are those of the rows: of a model with several outputs, the means over them.
    """
    name = f"validation_{config.monitor}"
    scored = [row for row in rows if name in row]
    choose = max if config.monitor == "accuracy" else min  # of equal ones, both give the first
    return choose(scored, key=lambda row: row[name], default=None)


def kept_row(config: Config, rows: Sequence[Row]) -> Row | None:
    """The epoch whose parameters are scored on the test images. None where these are the newest parameters."""
    return best_row(config, rows) if config.keep == "best" else None


def is_patience_over(config: Config, rows: Sequence[Row]) -> bool:
    """Whether the last `patience` epochs were no better than the best one before them."""
    best = best_row(config, rows)
    return config.patience is not None and best is not None and rows[-1]["epoch"] - best["epoch"] >= config.patience


@dataclass(frozen=True)
class Trained:
    """Training in memory at its end. kept: where it stood when the parameters were those that are scored."""

    rows: list[loop.Row]
    last: Progress
    kept: Progress


def train(
    config: Config,
    training: Training,
    validation: Inference | None,
    is_enough: Callable[[Progress], bool],
    start: Progress | None = None,
) -> Trained:
    """Trains from the beginning, or from `start`, until the epochs or the patience are over, in memory.

    is_enough: called after each chunk of steps; whether training ends there. Raises DivergedError.
    """
    rows, kept = list[loop.Row](), None
    for last in fit(training, start or initial_progress(training, config.seed), validation):
        rows += last.rows
        if last.rows and kept_row(config, rows) is rows[-1]:
            kept = dataclasses.replace(last, state=jax.tree.map(jnp.copy, last.state))  # the next chunk donates it
        if is_enough(last) or is_patience_over(config, rows):
            break
    return Trained(rows, last, kept or dataclasses.replace(last, state=training.settled(last.state)))
