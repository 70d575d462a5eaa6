"""A model's layers, read off the module itself while it is traced: no layer is run and none is listed by hand."""

import math
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import jax
from flax import linen as nn


@dataclass(frozen=True)
class Layer:
    """One layer. Shapes: without the batch. multiply_adds: of matrix products and convolutions, an image.

    module: the layer by itself. params: shapes of what it learns, as `module.apply` takes them.
    """

    name: str
    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    parameters: int
    multiply_adds: int
    module: nn.Module
    params: dict


def layers(module: nn.Module, inputs: Any) -> list[Layer]:
    """The module's innermost layers in the order of their first call.

    inputs: shapes and dtypes of what the module receives for one example, as jax.ShapeDtypeStruct [1, ...].

    A kernel [..., in, out] is applied once at each position of the output, so that the multiply-adds of a layer are
    the size of its kernel times the output's positions: for a dense layer one, for a convolution height times width.
    """
    calls: dict[tuple[str, ...], tuple[nn.Module, Any, Any]] = {}

    def note_call(next_function: Any, args: Any, kwargs: Any, context: nn.module.InterceptorContext) -> Any:
        output = next_function(*args, **kwargs)
        if context.method_name == "__call__" and context.module.path:
            alone = context.module.clone(parent=None, name=None)
            calls.setdefault(context.module.path, (alone, args[0], output))
        return output

    with nn.intercept_methods(note_call):
        params = jax.eval_shape(module.init, jax.random.key(0), inputs).get("params", {})
    return [_layer(path, *calls[path], _subtree(params, path)) for path in innermost(calls)]


def innermost(paths: Collection[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """The modules among these that call no other, each once, in the order of the first."""
    callers = {path[:-1] for path in paths}
    return [path for path in dict.fromkeys(paths) if path not in callers]


def _subtree(params: Any, path: tuple[str, ...]) -> dict:
    for name in path:
        params = params.get(name, {})
    return params


def _layer(path: tuple[str, ...], module: nn.Module, inputs: Any, output: Any, params: dict) -> Layer:
    kernel, output_shape = params.get("kernel"), output.shape[1:]
    return Layer(
        name="/".join(path),
        input_shape=inputs.shape[1:],
        output_shape=output_shape,
        parameters=sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(params)),
        multiply_adds=math.prod(kernel.shape) * math.prod(output_shape[:-1]) if kernel is not None else 0,
        module=module,
        params=params,
    )
