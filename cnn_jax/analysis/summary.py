"""A model's layers, read off the module itself while it is traced: no layer is run and none is listed by hand."""

import math
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn


@dataclass(frozen=True)
class Layer:
    """One layer. output_shape: without the batch. multiply_adds: of matrix products and convolutions, an image."""

    name: str
    output_shape: tuple[int, ...]
    parameters: int
    multiply_adds: int


def layers(module: nn.Module, image_shape: tuple[int, ...]) -> list[Layer]:
    """The module's innermost layers in the order of their first call, for images of this shape.

    A kernel [..., in, out] is applied once at each position of the output, so that the multiply-adds of a layer are
    the size of its kernel times the output's positions: for a dense layer one, for a convolution height times width.
    """
    outputs: dict[tuple[str, ...], tuple[nn.Module, Any]] = {}

    def note_output(next_function: Any, args: Any, kwargs: Any, context: nn.module.InterceptorContext) -> Any:
        output = next_function(*args, **kwargs)
        if context.method_name == "__call__" and context.module.path:
            outputs.setdefault(context.module.path, (context.module, output))
        return output

    images = jax.ShapeDtypeStruct((1, *image_shape), jnp.float32)
    with nn.intercept_methods(note_output):
        params = jax.eval_shape(module.init, jax.random.key(0), images)["params"]
    inner = [path for path in outputs if not any(other[:-1] == path for other in outputs)]
    return [_layer(path, outputs[path][1].shape[1:], _subtree(params, path)) for path in inner]


def _subtree(params: Any, path: tuple[str, ...]) -> dict:
    for name in path:
        params = params.get(name, {})
    return params


def _layer(path: tuple[str, ...], output_shape: tuple[int, ...], params: dict) -> Layer:
    kernel = params.get("kernel")
    return Layer(
        name="/".join(path),
        output_shape=output_shape,
        parameters=sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(params)),
        multiply_adds=math.prod(kernel.shape) * math.prod(output_shape[:-1]) if kernel is not None else 0,
    )
