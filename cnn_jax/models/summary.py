"""The layers of a model, found by tracing the module, so that none is listed by hand; and their outputs."""

import functools
import inspect
import math
from collections import OrderedDict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import jax
from flax import linen as nn

from cnn_jax import compilation


@dataclass(frozen=True)
class Layer:
    """One layer. Shapes: without the batch. multiply_adds: those of matrix products and convolutions, for one image.

    module: the layer by itself. params: the shapes of its parameters, as `module.apply` takes them. state: those of its
    other collections. arguments, keywords: what it was called with beside its input. stands_alone: whether it is called
    as a function of one array; of others, shapes are those of the first array, and nothing of the call is kept.
    """

    name: str
    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    parameters: int
    multiply_adds: int
    module: nn.Module
    params: dict
    state: dict
    arguments: tuple[Any, ...]
    keywords: dict[str, Any]
    stands_alone: bool


def train_argument(module: nn.Module, *, is_training: bool) -> dict[str, Any]:
    """The argument `train`, for modules that take it."""
    return {"train": is_training} if "train" in inspect.signature(type(module).__call__).parameters else {}


def layers(module: nn.Module, inputs: Any, *, is_training: bool = False) -> list[Layer]:
    """The module's innermost layers in the order of their first call. No layer is run.

    inputs: shapes and dtypes of the module's inputs for one example, as jax.ShapeDtypeStruct [1, ...]. is_training:
    call the module as in training; a BatchNorm, for example, is then another function.

    A kernel [..., in, out] is applied once at each position of the output. The multiply-adds of a layer are therefore
    the size of its kernel times the number of positions: one for a dense layer, height times width for a convolution.
    """
    calls: dict[tuple[str, ...], tuple[nn.Module, tuple[Any, ...], dict[str, Any], Any]] = {}

    def note_call(next_function: Any, args: Any, kwargs: Any, context: nn.module.InterceptorContext) -> Any:
        output = next_function(*args, **kwargs)
        if context.method_name == "__call__" and context.module.path:
            layer = context.module.clone(parent=None, name=None)
            calls.setdefault(context.module.path, (layer, args, kwargs, output))
        return output

    with nn.intercept_methods(note_call):
        init = functools.partial(module.init, **train_argument(module, is_training=is_training))
        variables = jax.eval_shape(init, jax.random.key(0), inputs)
    return [
        _layer(path, *calls[path], {name: subtree(variables[name], path) for name in variables})
        for path in innermost(calls)
    ]


def feature_maps(module: nn.Module, variables: Any, inputs: Any) -> "OrderedDict[str, jax.Array]":
    """The outputs of the module's innermost layers for a batch of inputs, in the order of the layers' first calls.

    variables: as `module.apply` takes them. inputs: an array [N, ...] or a dict of such arrays. Returns name -> array
    [N, ...]: the output of the layer, before any ReLU that the model applies to it. The second call of a layer is named
    `Conv_0 (call 2)`.
    """
    return compilation.jit(functools.partial(layer_outputs, module), runs_once=True)(variables, inputs)


def layer_outputs(module: nn.Module, variables: Any, inputs: Any) -> "OrderedDict[str, jax.Array]":
    """The same as `feature_maps`, for use inside a compiled or differentiated function."""
    _, state = module.apply(
        variables,
        inputs,
        capture_intermediates=True,
        mutable=["intermediates"],
        **train_argument(module, is_training=False),
    )
    outputs = OrderedDict()
    for layer in layers(module, inputs):
        path = layer.name.split("/")
        for call, output in enumerate(subtree(state["intermediates"], path)["__call__"], start=1):
            outputs[call_name(path, call)] = output
    return outputs


def call_name(path: Sequence[str], call: int) -> str:
    """The name of a layer's call. call: counted from 1."""
    return "/".join(path) + (f" (call {call})" if call > 1 else "")


def innermost(paths: Collection[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """The paths of the modules that call no other module, each once, in the order of the first call."""
    callers = {path[:-1] for path in paths}
    return [path for path in dict.fromkeys(paths) if path not in callers]


def subtree(tree: Any, path: Sequence[str]) -> Any:
    """The part of a nested dict that belongs to a module; an empty dict where it has none."""
    for name in path:
        tree = tree.get(name, {})
    return tree


def _layer(
    path: tuple[str, ...], module: nn.Module, args: tuple[Any, ...], kwargs: Any, output: Any, variables: dict
) -> Layer:
    arrays = [leaf for leaf in jax.tree.leaves((args, kwargs)) if hasattr(leaf, "shape")]
    params = variables.get("params", {})
    output_shape = next((leaf.shape[1:] for leaf in jax.tree.leaves(output) if hasattr(leaf, "shape")), ())
    kernel = params.get("kernel")
    stands_alone = len(arrays) == 1 and bool(args) and args[0] is arrays[0] and hasattr(output, "shape")
    return Layer(
        name="/".join(path),
        input_shape=arrays[0].shape[1:] if arrays else (),
        output_shape=output_shape,
        parameters=sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(params)),
        multiply_adds=math.prod(kernel.shape) * math.prod(output_shape[:-1]) if kernel is not None else 0,
        module=module,
        params=params,
        state={name: part for name, part in variables.items() if name != "params" and part},
        arguments=args[1:] if stands_alone else (),
        keywords=kwargs if stands_alone else {},
        stands_alone=stands_alone,
    )
