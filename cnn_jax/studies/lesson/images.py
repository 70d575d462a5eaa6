"""Part 1, the problem with images: what an image's numbers cost a dense layer, and what they cost a convolution."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from cnn_jax import data, models
from cnn_jax.config import Config
from cnn_jax.data import scenes
from cnn_jax.data.dataset import Spec
from cnn_jax.models.summary import Layer, layers
from cnn_jax.training import programs

ARRAYS: Mapping[str, str] = {
    "inputs": "int64 [2]: numbers in an image of each of the two shapes, 28 x 28 x 1 and 200 x 200 x 3",
    "dense_parameters": "int64 [2]: parameters of a dense layer of `units` units on them",
    "convolution_parameters": "int64 [2]: parameters of a convolution of `filters` filters of 3 x 3 pixels on them",
    "convolution_multiply_adds": "int64 [2]: multiply-adds of that convolution, an image",
    "network_parameters": "int64 [2]: parameters of the whole network of the lecture on them",
    "network_head_parameters": "int64 [2]: those of its last, dense layer alone",
    "scenes": "uint8 [8, 200, 200, 3]: the first training images of rgb200",
    "scene_labels": "int32 [8]: 0 for X, 1 for O",
}

_DATASETS = ("mnist", "rgb200")
_SCENES = 8


def compute() -> dict[str, Any]:
    """Counts of real modules' parameters, and scenes of `rgb200`. No layer is run and no data are read."""
    specs = [data.spec(name) for name in _DATASETS]
    dense = [_layers(Config(model="dense"), spec)[1] for spec in specs]
    networks = [_layers(Config(), spec) for spec in specs]
    labels = np.arange(_SCENES, dtype=np.int32) % len(specs[1].classes)
    return {
        "classes": list(specs[1].classes),
        "shapes": [list(spec.image_shape) for spec in specs],
        "units": dense[0].output_shape[-1],
        "filters": networks[0][0].output_shape[-1],
        "inputs": np.array([math.prod(spec.image_shape) for spec in specs]),
        "dense_parameters": np.array([layer.parameters for layer in dense]),
        "convolution_parameters": np.array([network[0].parameters for network in networks]),
        "convolution_multiply_adds": np.array([network[0].multiply_adds for network in networks]),
        "network_parameters": np.array([sum(layer.parameters for layer in network) for network in networks]),
        "network_head_parameters": np.array([network[-1].parameters for network in networks]),
        "scenes": scenes.draw(labels, seed=0),
        "scene_labels": labels,
    }


def _layers(config: Config, spec: Spec) -> list[Layer]:
    return layers(models.build(config, len(spec.classes)), programs.input_shapes(config, spec))
