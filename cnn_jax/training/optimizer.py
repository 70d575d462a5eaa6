"""Optimizers and learning-rate schedules by name, from optax."""

from collections.abc import Callable, Mapping

import optax
from jax.typing import ArrayLike

from cnn_jax.config import Config

OPTIMIZERS: Mapping[str, Callable[[optax.Schedule], optax.GradientTransformation]] = {
    # Keras's RMSprop: epsilon inside the root, moments that start at zero.
    "rmsprop": lambda rate: optax.rmsprop(rate, decay=0.9, eps=1e-7, eps_in_sqrt=True, initial_scale=0.0),
    "sgd": optax.sgd,
    "momentum": lambda rate: optax.sgd(rate, momentum=0.9),
    "adam": optax.adam,
    "adamw": optax.adamw,
}


def build(config: Config, steps: int, learning_rate: ArrayLike | None = None) -> optax.GradientTransformation:
    """The config's optimizer for a run of so many steps; defaults are optax's, but RMSprop is Keras's.

    learning_rate: instead of the config's; it may be traced, so that one program serves all of them.
    """
    return OPTIMIZERS[config.optimizer](schedule(config, steps, learning_rate))


def schedule(config: Config, steps: int, learning_rate: ArrayLike | None = None) -> optax.Schedule:
    """Learning rate as a function of the steps taken. learning_rate: as in `build`.

    constant; cosine: from the learning rate to zero; onecycle: cosine up to it over the first 30 % of the steps and
    down again (Smith and Topin, "Super-Convergence", 2018; optax.cosine_onecycle_schedule).
    """
    peak = config.learning_rate if learning_rate is None else learning_rate
    if config.schedule == "cosine":
        return optax.cosine_decay_schedule(peak, steps)
    if config.schedule == "onecycle":
        return optax.cosine_onecycle_schedule(steps, peak)
    return optax.constant_schedule(peak)
