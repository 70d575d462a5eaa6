"""Each layer of a model by itself, run as in training: forward and backward pass, in a compiled loop."""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from cnn_jax import compilation
from cnn_jax.models.layers import Flatten
from cnn_jax.models.summary import Layer
from cnn_jax.ops.interception import stock_layers
from cnn_jax.studies.benchmark import timing
from cnn_jax.studies.benchmark.roofline import Work
from cnn_jax.training.mesh import by_data, make_mesh, padded, place, replicated

_REPEATS = 5


def measure(
    layers: Sequence[Layer], batch_size: int, dtype: str, matmul_precision: str, *, seconds: float
) -> list[Work]:
    """What each layer does in training on one batch, timed for about `seconds` each. layers: as for `timed_layers`."""
    with jax.default_matmul_precision(matmul_precision):
        return [
            Work(
                name=layer.name,
                multiply_adds=training_multiply_adds(layer, is_first=is_first) * batch_size,
                moved_bytes=moved_bytes(layer, batch_size, jnp.dtype(dtype), is_first=is_first),
                seconds=_time(layer, batch_size, jnp.dtype(dtype), is_first=is_first, seconds=seconds),
            )
            for layer, is_first in timed_layers(layers)
        ]


def working_layers(layers: Sequence[Layer]) -> Iterator[tuple[Layer, bool]]:
    """Every layer except `Flatten`, which computes nothing, and whether it is the first of them.

    The first layer receives the images themselves, and training needs no gradient for them.
    """
    working = [layer for layer in layers if not isinstance(layer.module, Flatten)]
    return ((layer, index == 0) for index, layer in enumerate(working))


def timed_layers(layers: Sequence[Layer]) -> Iterator[tuple[Layer, bool]]:
    """Those of `working_layers` that can be run by themselves on one array."""
    return ((layer, is_first) for layer, is_first in working_layers(layers) if layer.stands_alone)


def training_multiply_adds(layer: Layer, *, is_first: bool) -> int:
    """Multiply-adds of one image in a training step: outputs, the kernel's gradient, and the inputs' gradient.

    The first layer computes no gradient for its inputs.
    """
    return (2 if is_first else 3) * layer.multiply_adds


def moved_bytes(layer: Layer, batch_size: int, dtype: jnp.dtype, *, is_first: bool) -> int:
    """The fewest bytes that a training step reads and writes for a layer: each array once in each pass.

    Forward: inputs, parameters, outputs. Backward: inputs, parameters, and the gradients of outputs, parameters and
    inputs; the first layer computes no gradient for its inputs.
    """
    inputs, outputs = (batch_size * math.prod(s) * dtype.itemsize for s in (layer.input_shape, layer.output_shape))
    return (2 if is_first else 3) * inputs + 3 * 4 * layer.parameters + 2 * outputs


def operations(layer: Layer, batch_size: int) -> float:
    """Floating-point operations of a forward pass: 2 per multiply-add, 1 per bias, 3 comparisons per maximum."""
    outputs = batch_size * math.prod(layer.output_shape)
    return 2 * batch_size * layer.multiply_adds + (1 if layer.parameters else 3) * outputs


def operations_by_xla(layer: Layer, batch_size: int) -> float | None:
    """XLA's count of the same operations, for XLA's own operators, which the layer uses on a GPU. None if unknown."""
    images = jax.ShapeDtypeStruct((batch_size, *layer.input_shape), jnp.float32)
    lowered = jax.jit(_forward(layer)).trace(layer.params, images).lower(lowering_platforms=("cuda",))
    return (lowered.cost_analysis() or {}).get("flops")


def _forward(layer: Layer) -> Callable[[Any, jax.Array], Any]:
    """The layer as a function of its parameters and its input; what it keeps beside them is zero."""

    def forward(params: Any, images: jax.Array) -> Any:
        state = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), layer.state)
        variables, rngs = {"params": params, **state}, {"params": jax.random.key(0)}
        with stock_layers():
            outputs, _ = layer.module.apply(
                variables, images, *layer.arguments, rngs=rngs, mutable=list(state), **layer.keywords
            )
        return outputs

    return forward


def _time(layer: Layer, batch_size: int, dtype: jnp.dtype, *, is_first: bool, seconds: float) -> float:
    """Median seconds of one forward and backward pass, which computes the gradients that training needs.

    All devices share the batch, as in training.
    """
    forward, mesh = _forward(layer), make_mesh()
    rows = padded(batch_size, mesh)

    def passes(params: Any, images: jax.Array, gradient: jax.Array) -> Any:
        if is_first:
            outputs, backward = jax.vjp(lambda params: forward(params, images), params)
        else:
            outputs, backward = jax.vjp(forward, params, images)
        return outputs, backward(gradient)

    params = jax.tree.map(lambda leaf: jnp.full(leaf.shape, 0.01, leaf.dtype), layer.params)

    def random_arrays() -> tuple[jax.Array, jax.Array]:
        images_key, gradient_key = jax.random.split(jax.random.key(0))
        images = jax.random.uniform(images_key, (rows, *layer.input_shape)).astype(dtype)
        output = jax.eval_shape(forward, params, images)
        return images, jax.random.normal(gradient_key, output.shape).astype(output.dtype)

    images, gradient = compilation.jit(random_arrays, runs_once=True, out_shardings=by_data(mesh))()
    operands = (place(params, replicated(mesh)), images, gradient)
    program, _ = compilation.compiled(compilation.jit(_loop(passes)), operands, 1)
    parts = timing.calibrate(lambda n: program(operands, n), seconds=seconds / _REPEATS, at_most=10_000)
    return timing.median_of(lambda: program(operands, parts), repeats=_REPEATS) / parts


def _loop(function: Callable) -> Callable[[Any, jax.Array], Any]:
    """A function of operands and a count that calls `function` count times and returns the last results."""

    def loop(operands: Any, count: jax.Array) -> Any:
        def again(index: jax.Array, _: Any) -> Any:
            # The barrier makes the operands depend on the index, so that XLA cannot share results between calls.
            tied, index = lax.optimization_barrier((operands, index))
            return function(*tied), index

        shapes = jax.eval_shape(again, jax.ShapeDtypeStruct((), jnp.int32), None)
        return lax.fori_loop(0, count, again, jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes))

    return loop
