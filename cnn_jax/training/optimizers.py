"""Optimizers and learning-rate schedules from optax, each by a name."""

from collections.abc import Callable, Mapping

import optax

# learning rate, a number or a schedule -> optimizer. The defaults are optax's, except for RMSprop.
OPTIMIZERS: Mapping[str, Callable[[optax.ScalarOrSchedule], optax.GradientTransformation]] = {
    # Keras's RMSprop: epsilon inside the root, moments that start at zero.
    "rmsprop": lambda rate: optax.rmsprop(rate, decay=0.9, eps=1e-7, eps_in_sqrt=True, initial_scale=0.0),
    "sgd": optax.sgd,
    "momentum": lambda rate: optax.sgd(rate, momentum=0.9),
    "adam": optax.adam,
    "adamw": optax.adamw,
}

# peak learning rate, all steps of the run -> (steps taken -> learning rate)
SCHEDULES: Mapping[str, Callable[..., optax.Schedule]] = {
    "constant": lambda peak, steps: optax.constant_schedule(peak),
    # From the learning rate to zero along a cosine.
    "cosine": lambda peak, steps: optax.cosine_decay_schedule(peak, steps),
    # A cosine up to the learning rate over the first 30 % of the steps, and down again:
    # Smith and Topin, "Super-Convergence" (2018); optax.cosine_onecycle_schedule.
    "onecycle": lambda peak, steps: optax.cosine_onecycle_schedule(steps, peak),
}
