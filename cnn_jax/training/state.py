"""What training changes: step, parameters, optimizer state, key. Arrays only, so that it can be saved and mapped."""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from flax import struct
from jax.typing import ArrayLike


class TrainState(struct.PyTreeNode):
    """step: int32 [], steps taken. params: the module's. key: the run's random key; it never changes."""

    step: jax.Array
    params: dict
    opt_state: optax.OptState
    key: jax.Array


def create(module: nn.Module, optimizer: optax.GradientTransformation, inputs: Any, seed: ArrayLike) -> TrainState:
    """The state before the first step, a pure function of the seed. inputs: of one example, for their shapes."""
    key = jax.random.key(seed)
    # Epochs fold 1, 2, ... into the key for their order of images: 0 is left for the weights.
    params = module.init(jax.random.fold_in(key, 0), inputs)["params"]
    return TrainState(step=jnp.zeros((), jnp.int32), params=params, opt_state=optimizer.init(params), key=key)
