"""Optimizers and learning-rate schedules by name, from optax."""

from collections.abc import Callable, Mapping

import optax

from cnn_jax.config import Config

OPTIMIZERS: Mapping[str, Callable[[optax.Schedule], optax.GradientTransformation]] = {
    # Keras's RMSprop: epsilon inside the root, moments that start at zero.
    "rmsprop": lambda rate: optax.rmsprop(rate, decay=0.9, eps=1e-7, eps_in_sqrt=True, initial_scale=0.0),
    "sgd": optax.sgd,
    "momentum": lambda rate: optax.sgd(rate, momentum=0.9),
    "adam": optax.adam,
    "adamw": optax.adamw,
}


def build(config: Config, steps: int) -> optax.GradientTransformation:
    """The config's optimizer for a run of so many steps; defaults are optax's, but RMSprop is Keras's."""
    return OPTIMIZERS[config.optimizer](schedule(config, steps))


def schedule(config: Config, steps: int) -> optax.Schedule:
    """Learning rate as a function of the steps taken.

    constant; cosine: from the learning rate to zero; onecycle: cosine up to it over the first 30 % of the steps and
    down again (Smith and Topin, "Super-Convergence", 2018; optax.cosine_onecycle_schedule).
    """
    if config.schedule == "cosine":
        return optax.cosine_decay_schedule(config.learning_rate, steps)
    if config.schedule == "onecycle":
        return optax.cosine_onecycle_schedule(steps, config.learning_rate)
    return optax.constant_schedule(config.learning_rate)
