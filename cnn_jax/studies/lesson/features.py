"""Part 6, feature maps: what a trained network makes of one image, and the filters that its first layer has learned."""

import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from cnn_jax import models
from cnn_jax.config import Config
from cnn_jax.data.dataset import Spec
from cnn_jax.data.tasks import TASKS
from cnn_jax.models import summary
from cnn_jax.models.feature_maps import feature_maps
from cnn_jax.training import programs

ARRAYS: Mapping[str, str] = {
    "image": "uint8 [H, W, C]: the image that the network is shown",
    "maps/LAYER": "float32 [H, W, filters] or [units]: what a layer gives for the image, before any ReLU",
    "filters": "float32 [height, width, channels, filters]: what the first layer has learned",
    "probabilities": "float32 [classes]: the network's probability of each class",
}


def compute(config: Config, spec: Spec, params: Any, image: np.ndarray, label: int) -> dict[str, Any]:
    """The part's record, for the parameters of a run of `config`.

    image: uint8 [H, W, C] of the spec's shape. label: its class. `filters` is left out where the first layer that
    learns has no weight for each pixel and channel of a window or of the image.
    """
    module, inputs = models.build(config, len(spec.classes)), TASKS[config.view].inputs(spec.inputs(image[None]))
    maps = {name: np.asarray(output[0], np.float32) for name, output in feature_maps(module, params, inputs).items()}
    logits = programs.apply_function(config, spec, fused=False)(params, jnp.asarray(image[None]))
    of_classes = next(leaf[0] for leaf in jax.tree.leaves(logits) if leaf.shape[-1] == len(spec.classes))
    probabilities = np.asarray(jax.nn.softmax(of_classes), np.float32)
    record = {
        "experiment": config.experiment,
        "dataset": spec.name,
        "classes": spec.classes,
        "label": spec.classes[label],
        "guess": spec.classes[int(np.argmax(probabilities))],
        "image": image,
        "maps": maps,
        "layers": [_facts(name, output) for name, output in maps.items()],
        "probabilities": probabilities,
    }
    first = next(layer for layer in summary.layers(module, inputs) if layer.parameters)
    filters = _filters(_at(params, first.name), spec.image_shape)
    return record | ({"filters": filters, "filters_of": first.name} if filters is not None else {})


def _facts(name: str, output: np.ndarray) -> dict[str, Any]:
    return {
        "name": name,
        "shape": output.shape,
        "values": output.size,
        "smallest": float(output.min()),
        "largest": float(output.max()),
        "negative_share": float(np.mean(output < 0)),
    }


def _at(params: Any, name: str) -> Any:
    for part in name.split("/"):
        params = params[part]
    return params


def _filters(params: Any, image_shape: tuple[int, ...]) -> np.ndarray | None:
    """A kernel as pictures; that of a dense layer behind the image's pixels has the image's form."""
    kernel = np.asarray(params["kernel"], np.float32) if "kernel" in params else None
    if kernel is not None and kernel.ndim == 2 and kernel.shape[0] == math.prod(image_shape):
        return kernel.reshape(*image_shape, kernel.shape[1])
    return kernel if kernel is not None and kernel.ndim == 4 else None
