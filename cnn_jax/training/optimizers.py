"""Optimizers from optax, learning-rate schedules, and averages of the parameters, each by a name."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import optax
from jax import Array

from cnn_jax.settings import About

Share = Annotated[float, About(at_least=0.0, at_most=1.0)]
Positive = Annotated[float, About(above=0.0)]
AtLeast0 = Annotated[float, About(at_least=0.0)]

# average, parameters after a step, number of the step from 1 -> the next average
Averaging = Callable[[Any, Any, Array], Any]


def rmsprop(
    learning_rate: optax.Schedule, decay: Share = 0.9, epsilon: Positive = 1e-7
) -> optax.GradientTransformation:
    """Keras's RMSprop: epsilon inside the root, moments that start at zero."""
    return optax.rmsprop(learning_rate, decay=decay, eps=epsilon, eps_in_sqrt=True, initial_scale=0.0)


def sgd(learning_rate: optax.Schedule) -> optax.GradientTransformation:
    """Stochastic gradient descent."""
    return optax.sgd(learning_rate)


def momentum(
    learning_rate: optax.Schedule, momentum: Share = 0.9, nesterov: bool = False
) -> optax.GradientTransformation:
    """Stochastic gradient descent with momentum."""
    return optax.sgd(learning_rate, momentum=momentum, nesterov=nesterov)


def adam(
    learning_rate: optax.Schedule, b1: Share = 0.9, b2: Share = 0.999, eps: Positive = 1e-8
) -> optax.GradientTransformation:
    """Adam, with optax's defaults."""
    return optax.adam(learning_rate, b1=b1, b2=b2, eps=eps)


def adamw(
    learning_rate: optax.Schedule,
    b1: Share = 0.9,
    b2: Share = 0.999,
    eps: Positive = 1e-8,
    weight_decay: AtLeast0 = 1e-4,
) -> optax.GradientTransformation:
    """Adam with decoupled weight decay, with optax's defaults."""
    return optax.adamw(learning_rate, b1=b1, b2=b2, eps=eps, weight_decay=weight_decay)


# (learning rate as a function of the step, **settings) -> optimizer
OPTIMIZERS: Mapping[str, Callable[..., optax.GradientTransformation]] = {
    "rmsprop": rmsprop,
    "sgd": sgd,
    "momentum": momentum,
    "adam": adam,
    "adamw": adamw,
}


def constant() -> optax.Schedule:
    """The same learning rate at every step."""
    return optax.constant_schedule(1.0)


def cosine(steps: int) -> optax.Schedule:
    """From the learning rate to zero along a cosine."""
    return optax.cosine_decay_schedule(1.0, steps)


def onecycle(steps: int) -> optax.Schedule:
    """A cosine up to the learning rate over the first 30 % of the steps, and down again.

    Smith and Topin, "Super-Convergence" (2018); optax.cosine_onecycle_schedule.
    """
    return optax.cosine_onecycle_schedule(steps, 1.0)


# (all steps of the run, only where it is taken, **settings) -> (steps taken -> factor of the learning rate)
SCHEDULES: Mapping[str, Callable[..., optax.Schedule]] = {
    "constant": constant,
    "cosine": cosine,
    "onecycle": onecycle,
}


def none() -> None:
    """No average: the parameters after the last step are scored."""


def ema(decay: Share = 0.999) -> Averaging:
    """The exponential moving average. In the first steps the decay is smaller, (1 + step) / (10 + step)."""

    def update(average: Any, params: Any, step: Array) -> Any:
        kept = jnp.minimum(decay, (1 + step) / (10 + step))
        return jax.tree.map(lambda old, new: kept * old + (1 - kept) * new, average, params)

    return update


def swa(steps: int, start: Share = 0.75) -> Averaging:
    """The mean of the parameters after each step, from this share of all steps on.

    After Izmailov et al., "Averaging Weights Leads to Wider Optima and Better Generalization" (2018), who average the
    parameters after each epoch.
    """
    first = int(start * steps)

    def update(average: Any, params: Any, step: Array) -> Any:
        count = jnp.maximum(step - first, 1)
        return jax.tree.map(lambda old, new: old + (new - old) / count, average, params)

    return update


# (all steps of the run, only where it is taken, **settings) -> averaging; None: no average is kept
AVERAGES: Mapping[str, Callable[..., Averaging | None]] = {"none": none, "ema": ema, "swa": swa}
