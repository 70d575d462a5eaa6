"""What each layer of a model makes of its inputs."""

from collections import OrderedDict
from typing import Any

import jax
from flax import linen as nn

from cnn_jax import compilation
from cnn_jax.models import summary
from cnn_jax.models.graph import call_name


def feature_maps(module: nn.Module, params: Any, inputs: Any) -> "OrderedDict[str, jax.Array]":
    """The outputs of the module's innermost layers, for a batch of inputs, in the order of the layers' first calls.

    inputs: an array [N, ...] or a dict of such. Returns name -> array [N, ...]: what the layer gives, before any ReLU
    that the model puts behind it. The second call of a layer is named as in `Conv_0 (call 2)`.
    """
    return compilation.jit(lambda params, inputs: layer_outputs(module, params, inputs), runs_once=True)(params, inputs)


def layer_outputs(module: nn.Module, params: Any, inputs: Any) -> "OrderedDict[str, jax.Array]":
    """As `feature_maps`, for use inside of a compiled or differentiated function."""
    _, found = module.apply({"params": params}, inputs, capture_intermediates=True, mutable=["intermediates"])
    outputs = OrderedDict()
    for layer in summary.layers(module, inputs):
        path = layer.name.split("/")
        for call, output in enumerate(_at(found["intermediates"], path)["__call__"], start=1):
            outputs[call_name(path, call)] = output
    return outputs


def _at(tree: Any, path: list[str]) -> Any:
    for name in path:
        tree = tree[name]
    return tree
