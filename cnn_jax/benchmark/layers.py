"""A model's layers by themselves, in the form in which training runs them: forward and backward, in a loop."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from cnn_jax import compilation
from cnn_jax.analysis.summary import Layer
from cnn_jax.benchmark import timing
from cnn_jax.benchmark.roofline import Work
from cnn_jax.models.layers import Flatten

_REPEATS = 5


@dataclass(frozen=True)
class LayerWork:
    """A layer's training work on one batch. operations, operations_by_xla: of the forward pass; None: XLA is silent."""

    name: str
    work: Work
    operations: float
    operations_by_xla: float | None


def measure(
    layers: list[Layer], batch_size: int, dtype: str, matmul_precision: str, *, seconds: float
) -> list[LayerWork]:
    """Times every layer but `Flatten`, which does nothing, for about so many seconds each.

    The first layer needs no gradient for its images.
    """
    with jax.default_matmul_precision(matmul_precision):
        return [
            _measure(layer, batch_size, jnp.dtype(dtype), is_first=index == 0, seconds=seconds)
            for index, layer in enumerate(layer for layer in layers if not isinstance(layer.module, Flatten))
        ]


def _measure(layer: Layer, batch_size: int, dtype: jnp.dtype, *, is_first: bool, seconds: float) -> LayerWork:
    work = Work(
        multiply_adds=training_multiply_adds(layer, is_first=is_first) * batch_size,
        moved_bytes=moved_bytes(layer, batch_size, dtype, is_first=is_first),
        seconds=_time(layer, batch_size, dtype, is_first=is_first, seconds=seconds),
    )
    return LayerWork(layer.name, work, operations(layer, batch_size), operations_by_xla(layer, batch_size))


def training_multiply_adds(layer: Layer, *, is_first: bool) -> int:
    """Of an image in a training step: outputs, the kernel's gradient and, but for the first layer, the images'."""
    return (2 if is_first else 3) * layer.multiply_adds


def moved_bytes(layer: Layer, batch_size: int, dtype: jnp.dtype, *, is_first: bool) -> int:
    """Bytes that a training step must read and write for a layer, each array once a pass.

    Forward: images, parameters, outputs. Backward: images, parameters, the outputs' gradient, the parameters' gradient
    and, but for the first layer, the images'.
    """
    images, outputs = (batch_size * math.prod(s) * dtype.itemsize for s in (layer.input_shape, layer.output_shape))
    return (2 if is_first else 3) * images + 3 * 4 * layer.parameters + 2 * outputs


def operations(layer: Layer, batch_size: int) -> float:
    """Floating-point operations of a forward pass: two a multiply-add and one a bias; three comparisons a maximum."""
    outputs = batch_size * math.prod(layer.output_shape)
    return 2 * batch_size * layer.multiply_adds + (1 if layer.parameters else 3) * outputs


def operations_by_xla(layer: Layer, batch_size: int) -> float | None:
    """XLA's own count of the same, for its stock operators: those that the layer lowers to on a GPU."""
    images = jax.ShapeDtypeStruct((batch_size, *layer.input_shape), jnp.float32)
    lowered = jax.jit(_forward(layer)).trace(layer.params, images).lower(lowering_platforms=("cuda",))
    return (lowered.cost_analysis() or {}).get("flops")


def _forward(layer: Layer) -> Callable[[Any, jax.Array], Any]:
    return lambda params, images: layer.module.apply({"params": params}, images)


def _time(layer: Layer, batch_size: int, dtype: jnp.dtype, *, is_first: bool, seconds: float) -> float:
    """Median seconds of forward and backward pass together."""
    params = jax.tree.map(lambda leaf: jnp.full(leaf.shape, 0.01, leaf.dtype), layer.params)

    def drawn() -> tuple[jax.Array, jax.Array]:
        images_key, gradient_key = jax.random.split(jax.random.key(0))
        images = jax.random.uniform(images_key, (batch_size, *layer.input_shape)).astype(dtype)
        output = jax.eval_shape(_forward(layer), params, images)
        return images, jax.random.normal(gradient_key, output.shape).astype(output.dtype)

    operands = (params, *compilation.jit(drawn, runs_once=True)())
    passes = _both_passes(layer, is_first=is_first)
    program, _ = compilation.compiled(compilation.jit(_loop(passes)), operands, 1)
    parts = timing.fitting(lambda n: program(operands, n), seconds=seconds / _REPEATS, at_most=10_000)
    return timing.repeated(lambda: program(operands, parts), repeats=_REPEATS, seconds=2 * seconds).median / parts


def _both_passes(layer: Layer, *, is_first: bool) -> Callable[[Any, jax.Array, jax.Array], Any]:
    """(params, images, outputs' gradient) -> outputs and the gradients that a training step needs."""
    forward = _forward(layer)

    def passes(params: Any, images: jax.Array, gradient: jax.Array) -> Any:
        if is_first:
            outputs, backward = jax.vjp(lambda params: forward(params, images), params)
        else:
            outputs, backward = jax.vjp(forward, params, images)
        return outputs, backward(gradient)

    return passes


def _loop(function: Callable) -> Callable[[Any, jax.Array], Any]:
    """Calls a function again and again on the same operands, and keeps the last results."""

    def loop(operands: Any, count: jax.Array) -> Any:
        def again(index: jax.Array, _: Any) -> Any:
            # The barrier ties the operands to the index, and the index is kept: nothing is computed once for all calls.
            tied, index = lax.optimization_barrier((operands, index))
            return function(*tied), index

        shapes = jax.eval_shape(again, jax.ShapeDtypeStruct((), jnp.int32), None)
        return lax.fori_loop(0, count, again, jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes))

    return loop
