"""Models: flax linen modules that turn images into logits. To add one, write its file and name it in `MODELS`.

A model of several inputs or outputs takes or gives dicts of arrays, and names the views that it takes in `views`.
"""

import dataclasses
from collections.abc import Mapping

import jax.numpy as jnp
from flax import linen as nn

from cnn_jax.config import FIELDS, Config
from cnn_jax.errors import InputError, unknown_name
from cnn_jax.models.cnn import CNN
from cnn_jax.models.dense import DenseNetwork, LogisticRegression
from cnn_jax.models.two_inputs_two_outputs import Graph

MODELS: Mapping[str, type[nn.Module]] = {
    "cnn": CNN,
    "dense": DenseNetwork,
    "logistic": LogisticRegression,
    "graph": Graph,
}


def build(config: Config, classes: int, *, fused: bool = False) -> nn.Module:
    """The config's model: each field of the module that the config has too is set from it.

    fused: layers may be computed together where the module can; to train with. Otherwise one by one: to look at.
    Raises InputError where there is no such model, or where the config sets what the model does not have; images that
    are too small for the layers are an InputError where the model first meets them.
    """
    if config.model not in MODELS:
        raise unknown_name("--model", config.model, "model", MODELS)
    kind = MODELS[config.model]
    _require_view(config, kind)
    own = {field.name for field in dataclasses.fields(kind)}
    for name, field in FIELDS.items():
        if field.metadata.get("part") == "model" and name not in own and getattr(config, name) != field.default:
            raise InputError(f"--{name}: the model {config.model} has no such setting.")
    settings = {name: getattr(config, name) for name in FIELDS if name in own and getattr(config, name) is not None}
    settings |= {"classes": classes, "dtype": jnp.dtype(config.dtype)} | ({"fused": fused} if "fused" in own else {})
    return kind(**settings)


def _require_view(config: Config, kind: type[nn.Module]) -> None:
    views = getattr(kind, "views", ("plain", "permuted"))
    if config.view not in views:
        raise InputError(f"--view={config.view}: the model {config.model} needs --view={' or --view='.join(views)}.")
