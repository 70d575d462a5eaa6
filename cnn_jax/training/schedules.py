"""Learning-rate schedules from optax, each by a name, and the warm-up that may come before any of them."""

from collections.abc import Callable, Mapping
from typing import Annotated

import jax.numpy as jnp
import optax
from jax.typing import ArrayLike

from cnn_jax.settings import About

Share = Annotated[float, About(at_least=0.0, at_most=1.0)]
Positive = Annotated[float, About(above=0.0)]
End = Annotated[float, About("the factor at the end", at_least=0.0, at_most=1.0)]


def constant() -> optax.Schedule:
    """The same learning rate at every step."""
    return optax.constant_schedule(1.0)


def cosine(steps: int, end: End = 0.0) -> optax.Schedule:
    """From the learning rate to its `end` along a cosine.

    Loshchilov and Hutter, "SGDR" (2017), without restarts; optax.cosine_decay_schedule.
    """
    return optax.cosine_decay_schedule(1.0, steps, alpha=end)


def polynomial(steps: int, power: Positive = 1.0, end: End = 0.0) -> optax.Schedule:
    """From the learning rate to its `end` along a polynomial: a line where the power is 1."""
    return optax.polynomial_schedule(1.0, end, power, steps)


def multistep(
    steps: int,
    boundaries: Annotated[tuple[float, ...], About("shares of all steps", at_least=0.0, at_most=1.0)] = (0.5, 0.75),
    factor: Annotated[float, About("at each of them", above=0.0, at_most=1.0)] = 0.1,
) -> optax.Schedule:
    """The learning rate times `factor` from each boundary on, as He et al. (2016) train residual networks."""
    at = [round(share * steps) for share in boundaries]
    return optax.piecewise_constant_schedule(1.0, {step: factor ** at.count(step) for step in at})


def onecycle(
    steps: int,
    # optax leaves the way up where it leaves no step for the way down
    pct_start: Annotated[float, About("the share of steps on the way up", at_least=0.0, at_most=0.99)] = 0.3,
    div_factor: Annotated[float, About("the peak divided by the start", above=0.0)] = 25.0,
    final_div_factor: Annotated[float, About("the start divided by the end", above=0.0)] = 1e4,
) -> optax.Schedule:
    """A cosine up to the learning rate over the first steps, by default 30 % of all, and down again.

    Smith and Topin, "Super-Convergence" (2018); optax.cosine_onecycle_schedule.
    """
    return optax.cosine_onecycle_schedule(steps, 1.0, pct_start, div_factor, final_div_factor)


# (all steps of the run, only where it is taken, **settings) -> (steps taken -> factor of the learning rate)
SCHEDULES: Mapping[str, Callable[..., optax.Schedule]] = {
    "constant": constant,
    "cosine": cosine,
    "polynomial": polynomial,
    "multistep": multistep,
    "onecycle": onecycle,
}


def warmed_up(schedule: Callable[[int], optax.Schedule], warmup_steps: int, steps: int) -> optax.Schedule:
    """The schedule of a run of so many steps, after a warm-up that takes the first of them.

    The warm-up is a line from 0 to the factor that the schedule begins with; the schedule has the steps that are left.
    Goyal et al., "Accurate, Large Minibatch SGD" (2017).
    """
    if not warmup_steps:
        return schedule(steps)
    factor = schedule(max(1, steps - warmup_steps))
    return lambda step: jnp.minimum(step / warmup_steps, 1.0) * factor(_left(step, warmup_steps))


def _left(step: ArrayLike, warmup_steps: int) -> ArrayLike:
    """The steps taken since the warm-up; 0 in it."""
    return jnp.maximum(step - warmup_steps, 0)
