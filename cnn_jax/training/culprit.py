"""Which operation of a training step first gave a number that is not finite: the step again, operation by operation."""

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend import core

from cnn_jax.config import Config
from cnn_jax.data.dataset import Spec
from cnn_jax.training import programs
from cnn_jax.training import step as steps
from cnn_jax.training.programs import Training
from cnn_jax.training.state import TrainState


def of_step(config: Config, spec: Spec, training: Training, before: TrainState, step: int) -> str:
    """The operation in words, as in `log in CNN/Conv_0`. before: a state of the same epoch, some steps earlier.

    Takes the steps until then again, which gives the same bits, and then `step` by itself.
    """
    finished_epochs, index = divmod(step - 1, training.epoch_steps)
    order = training.order(before.key, finished_epochs + 1)
    first = int(before.step) - finished_epochs * training.epoch_steps
    state, _ = training.chunk(before, training.zeros(), order, first, index)
    batch = steps.batch(training.images, training.targets, order[index])
    return first_not_finite(programs.step_function(config, spec, training.epoch_steps), state, *batch)


def first_not_finite(function: Callable, *arguments: Any) -> str:
    """The first operation of a function whose results are not finite although its operands are."""
    closed = jax.make_jaxpr(function)(*arguments)
    values = dict(zip(closed.jaxpr.constvars, closed.consts, strict=True))
    values |= zip(closed.jaxpr.invars, jax.tree.leaves(arguments), strict=True)
    if not _are_finite(values.values()):
        return "what it started from was not finite already"
    for equation in closed.jaxpr.eqns:
        operands = list(dict.fromkeys(v for v in equation.invars if not isinstance(v, core.Literal)))
        alone = closed.jaxpr.replace(constvars=[], invars=operands, outvars=equation.outvars, eqns=[equation])
        results = core.jaxpr_as_fun(core.ClosedJaxpr(alone, []))(*(values[v] for v in operands))
        if not _are_finite(results):
            where = str(equation.source_info.name_stack)
            return f"{equation.primitive} in {where}" if where else str(equation.primitive)
        values |= zip(equation.outvars, results, strict=True)
    return "no operation, when each is computed by itself"


def _are_finite(arrays: Any) -> bool:
    return all(bool(jnp.all(jnp.isfinite(array))) for array in _floats(arrays))


def _floats(arrays: Any) -> Iterator[jax.Array]:
    return (array for array in arrays if jnp.issubdtype(jnp.result_type(array), jnp.floating))
