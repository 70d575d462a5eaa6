"""The output of every layer of a model: its feature maps."""

from collections import OrderedDict
from typing import Any

import jax
from flax import linen as nn

from cnn_jax import compilation
from cnn_jax.models import summary
from cnn_jax.models.graph import call_name
from cnn_jax.models.summary import subtree


def feature_maps(module: nn.Module, params: Any, inputs: Any) -> "OrderedDict[str, jax.Array]":
    """The outputs of the module's innermost layers for a batch of inputs, in the order of the layers' first calls.

    inputs: an array [N, ...] or a dict of such arrays. Returns name -> array [N, ...]: the output of the layer, before
    any ReLU that the model applies to it. The second call of a layer is named `Conv_0 (call 2)`.
    """
    return compilation.jit(lambda params, inputs: layer_outputs(module, params, inputs), runs_once=True)(params, inputs)


def layer_outputs(module: nn.Module, params: Any, inputs: Any) -> "OrderedDict[str, jax.Array]":
    """The same as `feature_maps`, for use inside a compiled or differentiated function."""
    _, state = module.apply({"params": params}, inputs, capture_intermediates=True, mutable=["intermediates"])
    outputs = OrderedDict()
    for layer in summary.layers(module, inputs):
        path = layer.name.split("/")
        for call, output in enumerate(subtree(state["intermediates"], path)["__call__"], start=1):
            outputs[call_name(path, call)] = output
    return outputs
