"""Models: flax linen modules that turn images into logits. To add one, write its file and add it to `MODELS`.

A model with several inputs or outputs receives or returns dicts of arrays. Its attribute `views` lists the views that
it accepts.
"""

import dataclasses
from collections.abc import Mapping

import jax.numpy as jnp
from flax import linen as nn

from cnn_jax.config import FIELDS, Config
from cnn_jax.errors import InputError, unknown_name
from cnn_jax.models.cnn import CNN
from cnn_jax.models.dense import DenseNetwork, LogisticRegression
from cnn_jax.models.two_inputs_two_outputs import TwoInputTwoOutputCNN

MODELS: Mapping[str, type[nn.Module]] = {
    "cnn": CNN,
    "dense": DenseNetwork,
    "logistic": LogisticRegression,
    "graph": TwoInputTwoOutputCNN,
}


def build(config: Config, classes: int, *, fused: bool = False) -> nn.Module:
    """Builds the config's model: a field that both the module and the config have is set from the config.

    fused: compute neighbouring layers together where the module can do so, which is faster; for training. Without it
    every layer runs by itself, so that its output can be inspected. Raises InputError for an unknown model and for a
    setting that the model does not have. Images that are too small for the layers raise InputError at the first call.
    """
    if config.model not in MODELS:
        raise unknown_name("--model", config.model, "model", MODELS)
    module_class = MODELS[config.model]
    _require_view(config, module_class)
    own = {field.name for field in dataclasses.fields(module_class)}
    for name, field in FIELDS.items():
        if field.metadata.get("part") == "model" and name not in own and getattr(config, name) != field.default:
            raise InputError(f"--{name}: the model {config.model} has no such setting.")
    settings = {name: getattr(config, name) for name in FIELDS if name in own and getattr(config, name) is not None}
    settings |= {"classes": classes, "dtype": jnp.dtype(config.dtype)} | ({"fused": fused} if "fused" in own else {})
    return module_class(**settings)


def _require_view(config: Config, module_class: type[nn.Module]) -> None:
    views = getattr(module_class, "views", ("plain", "permuted"))
    if config.view not in views:
        raise InputError(f"--view={config.view}: the model {config.model} needs --view={' or --view='.join(views)}.")
