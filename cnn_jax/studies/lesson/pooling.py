"""Part 7, why pool: what a unit sees and what the layers cost, with pooling, without, and with convolutions alone."""

from collections.abc import Mapping
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np

from cnn_jax import models
from cnn_jax.config import Config
from cnn_jax.data.dataset import Spec
from cnn_jax.models import receptive_field, summary
from cnn_jax.training import programs

ARRAYS: Mapping[str, str] = {
    "image": "uint8 [H, W, C]: the image that the fields are drawn on",
    "with_pooling/measured/LAYER": "bool [H, W]: where a layer's central unit has a gradient; of a flat layer: any",
    "without_pooling/measured/LAYER": "bool [H, W]: the same for the network without pooling",
}

DEEP_WIDTHS = (32, 64, 128)  # filters of every layer of the network of convolutions alone: the lecture's three
SMALLEST_MAP = 2  # its last map's height and width


def compute(spec: Spec, image: np.ndarray, *, seed: int = 0) -> dict[str, Any]:
    """The part's record, of the lecture's network on images of this spec. image: uint8 [H, W, C], to draw on.

    seed: of the parameters and inputs that fields are measured with. Raises InputError where images are too small.
    """
    lecture = Config(dataset=spec.name)
    return {
        "image": image,
        "image_shape": spec.image_shape,
        "with_pooling": _model(lecture, spec, seed),
        "without_pooling": _model(replace(lecture, pooling=False), spec, seed),
        "deep": _deep(lecture, spec),
    }


def _model(config: Config, spec: Spec, seed: int) -> dict[str, Any]:
    module, inputs = models.build(config, len(spec.classes)), programs.input_shapes(config, spec)
    fields = receptive_field.computed(module, inputs)
    measured = receptive_field.measured(module, inputs, seed=seed)
    rows = [
        _costs(layer) | _field(fields[layer.name], measured[layer.name]) for layer in summary.layers(module, inputs)
    ]
    last_map = [layer for layer in rows if len(layer["shape"]) == 3][-1]
    return {
        "layers": rows,
        **_totals(rows),
        "last_map": last_map,
        "dense_parameters": rows[-1]["parameters"],
        "measured": measured,
    }


def _costs(layer: summary.Layer) -> dict[str, Any]:
    return {
        "name": layer.name,
        "shape": layer.output_shape,
        "parameters": layer.parameters,
        "multiply_adds": layer.multiply_adds,
        "activations": prod(layer.output_shape),
    }


def _totals(rows: list[dict[str, Any]]) -> dict[str, int]:
    return {name: sum(row[name] for row in rows) for name in ("parameters", "multiply_adds", "activations")}


def _field(field: receptive_field.Field, mask: np.ndarray) -> dict[str, Any]:
    """Both fields of a layer, each as (height, width) and, computed, as (top, left, bottom, right)."""
    rows, columns = field.box(mask.shape)
    expected = np.zeros_like(mask)
    expected[rows, columns] = True
    return {
        "field": field.size,
        "box": (rows.start, columns.start, rows.stop, columns.stop),
        "measured_field": (int(mask.any(1).sum()), int(mask.any(0).sum())),
        "agrees": bool((mask == expected).all()),
    }


def _deep(config: Config, spec: Spec) -> dict[str, Any]:
    """The network that shrinks the image by unpadded convolutions alone, to a map of 2 x 2."""
    count = (min(spec.image_shape[:2]) - SMALLEST_MAP) // (config.kernel_size - 1)
    inputs, variants = programs.input_shapes(config, spec), list[dict[str, Any]]()
    for width in DEEP_WIDTHS:
        module = models.build(replace(config, widths=(width,) * count, pooling=False), len(spec.classes))
        rows = [_costs(layer) for layer in summary.layers(module, inputs)]
        variants.append({"width": width, "layers": rows, **_totals(rows)})
    return {
        "count": count,
        "kernel_size": config.kernel_size,
        "last_map": variants[0]["layers"][count - 1],
        "variants": variants,
    }
