"""What training changes, as arrays only, so that it can be saved and mapped."""

from collections.abc import Callable, Collection
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import struct
from jax.typing import ArrayLike

from cnn_jax.training.prefixes import merged, partition


class TrainState(struct.PyTreeNode):
    """step: int32 [], the number of steps taken. params: the module's. key: the run's random key, never changed.

    model_state: the module's other collections, such as `batch_stats`; empty where it has none. average: where an
    average of the parameters is kept, `params` and `model_state` to score with; else empty.
    """

    step: jax.Array
    params: dict
    model_state: dict
    average: dict
    opt_state: optax.OptState
    key: jax.Array

    def __repr__(self) -> str:
        parameters = sum(leaf.size for leaf in jax.tree.leaves(self.params))
        return f"TrainState(step: {self.step}, parameters: {parameters:,})"

    @property
    def variables(self) -> dict[str, Any]:
        """The variables that are scored, as `module.apply` takes them."""
        params, model_state = self.params, self.model_state
        if self.average:
            params, model_state = self.average["params"], self.average["model_state"]
        return {"params": params, **model_state}


def create(
    init: Callable[[jax.Array], dict],
    optimizer: optax.GradientTransformation,
    seed: ArrayLike,
    initial: dict,
    *,
    averages: bool,
    frozen: Collection[str] = (),
) -> TrainState:
    """The state before the first step, a pure function of the seed and of `initial`.

    init: key -> the module's variables. initial: those that are given instead. frozen: prefixes of what is not trained:
    the optimizer does not know it.
    """
    key = jax.random.key(seed)
    # Epochs fold 1, 2, ... into the key for their order of images. 0 is left for the weights.
    variables = merged(dict(init(jax.random.fold_in(key, 0))), initial)
    params = variables.pop("params", {})
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        model_state=variables,
        average={"params": jax.tree.map(jnp.copy, params), "model_state": jax.tree.map(jnp.copy, variables)}
        if averages
        else {},
        opt_state=optimizer.init(partition(params, frozen)[0]),
        key=key,
    )
