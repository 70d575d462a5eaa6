"""Models: flax linen modules that turn images into logits. To add one, write its file and name it in `MODELS`."""

import dataclasses
from collections.abc import Mapping

import jax.numpy as jnp
from flax import linen as nn

from cnn_jax.config import FIELDS, Config
from cnn_jax.errors import InputError, unknown_name
from cnn_jax.models.cnn import CNN
from cnn_jax.models.dense import DenseNetwork, LogisticRegression

MODELS: Mapping[str, type[nn.Module]] = {
    "cnn": CNN,
    "dense": DenseNetwork,
    "logistic": LogisticRegression,
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
    own = {field.name for field in dataclasses.fields(kind)}
    for name, field in FIELDS.items():
        if field.metadata.get("part") == "model" and name not in own and getattr(config, name) != field.default:
            raise InputError(f"--{name}: the model {config.model} has no such setting.")
    settings = {name: getattr(config, name) for name in FIELDS if name in own and getattr(config, name) is not None}
    settings |= {"classes": classes, "dtype": jnp.dtype(config.dtype)} | ({"fused": fused} if "fused" in own else {})
    return kind(**settings)
