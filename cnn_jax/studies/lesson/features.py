"""Part 6, feature maps: the output of every layer of a trained network for one image, and the filters of its first."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from cnn_jax.data.dataset import Spec
from cnn_jax.experiment import Experiment, build
from cnn_jax.models import summary
from cnn_jax.models.summary import feature_maps
from cnn_jax.report import pictures
from cnn_jax.report.format import percent
from cnn_jax.report.page import Block, Card, Figure, Picture, Section, Table
from cnn_jax.studies.lesson.followed import Followed
from cnn_jax.studies.lesson.formats import Record, by

ARRAYS: Mapping[str, str] = {
    "image": "uint8 [H, W, C]: the image that the network receives",
    "maps/LAYER": "float32 [H, W, filters] or [units]: the output of a layer for the image, before any ReLU",
    "filters": "float32 [height, width, channels, filters]: the learned filters of the first layer",
    "probabilities": "float32 [classes]: the network's probability of each class",
}


def compute(experiment: Experiment, spec: Spec, variables: Any, followed: Followed) -> dict[str, Any]:
    """The output of every layer for one image, for the variables of a run of an experiment.

    The record has no `filters` where the weights of the first layer cannot be shown as pictures.
    """
    image, learner = followed.image, build(experiment, spec, fused=False)
    module, inputs = learner.module, learner.inputs(image[None])
    maps = {name: np.asarray(output[0], np.float32) for name, output in feature_maps(module, variables, inputs).items()}
    logits = learner.measures.main(learner.apply(variables, jnp.asarray(image[None])))
    probabilities = np.asarray(jax.nn.softmax(logits[0]), np.float32)
    record = {
        "experiment": experiment.config.experiment,
        "classes": spec.classes,
        "words": followed.words,
        "original": followed.original,
        "guess": spec.classes[int(np.argmax(probabilities))],
        "image": image,
        "maps": maps,
        "layers": [
            {
                "name": name,
                "shape": output.shape,
                "values": output.size,
                "smallest": float(output.min()),
                "largest": float(output.max()),
                "negative_share": float(np.mean(output < 0)),
            }
            for name, output in maps.items()
        ],
        "probabilities": probabilities,
    }
    first = next(layer for layer in summary.layers(module, inputs) if layer.parameters)
    filters = _filters(summary.subtree(variables["params"], first.name.split("/")), spec.image_shape)
    return record | ({"filters": filters, "filters_of": first.name} if filters is not None else {})


def _filters(params: Mapping[str, Any], image_shape: tuple[int, ...]) -> np.ndarray | None:
    """A layer's kernel as pictures [height, width, channels, filters]; None where it has no such form.

    A dense layer that reads the pixels of an image has one picture of the image's shape for each of its units.
    """
    if "kernel" not in params:
        return None
    kernel = np.asarray(params["kernel"], np.float32)
    if kernel.ndim == 2 and kernel.shape[0] == math.prod(image_shape):
        return kernel.reshape(*image_shape, kernel.shape[1])
    return kernel if kernel.ndim == 4 else None


def section(record: Record) -> Section:
    """The part as a section of the page. record: from `compute`."""
    maps = [layer for layer in record["layers"] if len(layer["shape"]) == 3]
    blocks: list[Block] = [
        f"We follow {record['words']}, through the network of the experiment {record['experiment']}. Every layer "
        "receives a block of numbers and gives another one. Its shape is height x width x number of maps.",
        _shown(record),
        _outputs(record["layers"]),
    ]
    if "filters" in record:
        blocks += [
            "Nobody designed these filters. They began as random numbers, and training changed each weight so that the "
            "loss became smaller. Red weights are positive, blue weights are negative. A filter that is red on one "
            "side and blue on the other responds to an edge between dark and light.",
            _filter_figure(record),
        ]
    if maps:
        blocks += [
            "Each filter of a convolution gives one map. Its values are large where the image, or the maps before, "
            "look like the filter. The pictures below show all maps of every layer: red is positive, blue is negative, "
            "white is zero, and the scale below the maps says how much. The ReLU after a convolution then sets all "
            "negative values (blue) to zero. A pooling layer keeps the largest value of each 2 x 2 window.",
            *(_maps(layer, record["maps"][layer["name"]]) for layer in maps),
            "The first maps still look like the image. Later maps are smaller, and there are more of them: they say "
            "less about where something is, and more about what it is. The last layer has no positions at all, only "
            "one number for each class.",
        ]
    return Section("Feature maps: the outputs of the layers", blocks)


def _shown(record: Record) -> Card:
    image, guess = record["image"], record["guess"]
    alt = f"the image for which the answer is {guess}"
    seen = Picture(*pictures.tile(image, side=240), alt, "what the network sees")
    original = record["original"]
    before = [Picture(original, "image/jpeg", record["words"], "your picture")] if original else []
    return Card(
        title=f"{record['words'][:1].upper()}{record['words'][1:]}",
        words=f"The network answers {guess}, with a probability of {percent(np.max(record['probabilities']), 1)}.",
        pictures=[*before, seen],
        shares=dict(zip(record["classes"], map(float, record["probabilities"]), strict=True)),
    )


def _outputs(layers: Sequence[Record]) -> Table:
    rows = [
        [
            layer["name"],
            by(layer["shape"]),
            f"{layer['values']:,}",
            f"{layer['smallest']:.2f}".replace("-", "\u2212"),
            f"{layer['largest']:.2f}",
            percent(layer["negative_share"], 0),
        ]
        for layer in layers
    ]
    headings = ["layer", "output shape", "values", "smallest", "largest", "negative values"]
    return Table("The output of each layer for this image", headings, rows)


def _filter_figure(record: Record) -> Figure:
    kernel = record["filters"]
    height, width, channels, count = kernel.shape
    each = f", each with {channels} channels side by side" if channels > 1 else ""
    caption = f"The {count} learned filters of {record['filters_of']}: {height} x {width} weights{each}."
    return Figure(pictures.mosaic(caption, np.moveaxis(kernel, 2, 3).reshape(height, width, -1)), caption)


def _maps(layer: Record, maps: np.ndarray) -> Figure:
    height, width, count = layer["shape"]
    alt = f"{layer['name']}: {count} maps of {height} x {width}."
    largest = max(-layer["smallest"], layer["largest"])
    return Figure(pictures.mosaic(f"{alt} The scale of colours ends at {largest:.2f} below and above zero.", maps), alt)
