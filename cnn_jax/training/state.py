"""What training changes: step, parameters, optimizer state and key. Arrays only, so that it can be saved and mapped."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax
from flax import struct
from jax.typing import ArrayLike


class TrainState(struct.PyTreeNode):
    """step: int32 [], the number of steps taken. params: the module's. key: the run's random key, never changed."""

    step: jax.Array
    params: dict
    opt_state: optax.OptState
    key: jax.Array


def create(init: Callable[[jax.Array], dict], optimizer: optax.GradientTransformation, seed: ArrayLike) -> TrainState:
    """The state before the first step, a pure function of the seed. init: key -> params."""
    key = jax.random.key(seed)
    # Epochs fold 1, 2, ... into the key for their order of images. 0 is left for the weights.
    params = init(jax.random.fold_in(key, 0))
    return TrainState(step=jnp.zeros((), jnp.int32), params=params, opt_state=optimizer.init(params), key=key)
