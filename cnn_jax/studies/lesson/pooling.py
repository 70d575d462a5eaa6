"""Part 7, why pooling: receptive fields and costs with pooling, without pooling, and with convolutions alone."""

from collections.abc import Mapping
from functools import partial
from math import prod
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from cnn_jax.data.dataset import Spec
from cnn_jax.experiment import Experiment, build
from cnn_jax.models import receptive_field, summary
from cnn_jax.models.layers import MaxPool
from cnn_jax.report import figures, pictures
from cnn_jax.report.page import Block, Figure, Row, Section, Table
from cnn_jax.studies.lesson.formats import Record, by
from cnn_jax.training.learner import Learner

ARRAYS: Mapping[str, str] = {
    "example": "float32 [4, 4]: a map with numbers to follow",
    "pooled_example": "float32 [2, 2]: the largest number of each of its windows of 2 x 2",
    "image": "uint8 [H, W, C]: the image that the receptive fields are drawn on",
    "with_pooling/measured/LAYER": "bool [H, W]: where a layer's central unit has a gradient; of a flat layer, any "
    "unit",
    "without_pooling/measured/LAYER": "bool [H, W]: the same for the network without pooling",
}

DEEP_WIDTHS = (32, 64, 128)  # filters of every layer of the network of convolutions alone: the lecture's three
SMALLEST_MAP = 2  # its last map's height and width

_EXAMPLE = ((0.1, 0.7, 0.0, 0.2), (0.3, 0.4, 0.9, 0.5), (0.0, 0.0, 0.6, 0.1), (0.8, 0.2, 0.3, 0.4))
_TITLES = {"with_pooling": "with pooling", "without_pooling": "without pooling"}
_COSTS = ("parameters", "multiply_adds", "activations")


def compute(spec: Spec, image: np.ndarray, *, seed: int = 0) -> dict[str, Any]:
    """Receptive fields and costs of the lecture's network on images of this spec. image: uint8 [H, W, C], to draw on.

    seed: of the parameters and inputs that fields are measured with. Raises InputError where images are too small.
    """
    lecture, example = Experiment(), np.array(_EXAMPLE, np.float32)
    return {
        "example": example,
        "pooled_example": np.asarray(MaxPool().apply({}, example[None, ..., None]))[0, ..., 0],
        "image": image,
        "image_shape": spec.image_shape,
        "probes": receptive_field.PROBES,
        "with_pooling": _with_fields(lecture, spec, seed),
        "without_pooling": _with_fields(lecture.vary(pooling=False), spec, seed),
        "deep": _deep(lecture, spec),
    }


def _with_fields(experiment: Experiment, spec: Spec, seed: int) -> dict[str, Any]:
    """The costs and the receptive fields of a network. measured: bool [H, W] of each layer, by its name."""
    learner = build(experiment, spec, fused=False)
    network = _costs(learner)
    computed = receptive_field.computed(learner.module, learner.input_shapes)
    measured = receptive_field.measured(learner.module, learner.input_shapes, seed=seed)
    for layer in network["layers"]:
        layer |= _field(computed[layer["name"]], measured[layer["name"]])
    return network | {"last_map": _maps(network)[-1], "measured": measured}


def _costs(learner: Learner) -> dict[str, Any]:
    """The shape and the costs of each layer for one image, and the costs of all layers together."""
    layers = [
        {
            "name": layer.name,
            "shape": layer.output_shape,
            "parameters": layer.parameters,
            "multiply_adds": layer.multiply_adds,
            "activations": prod(layer.output_shape),
        }
        for layer in summary.layers(learner.module, learner.input_shapes)
    ]
    return {"layers": layers, **{name: sum(layer[name] for layer in layers) for name in _COSTS}}


def _maps(network: Record) -> list[Record]:
    """The layers whose outputs are maps."""
    return [layer for layer in network["layers"] if len(layer["shape"]) == 3]


def _field(field: receptive_field.Field, mask: np.ndarray) -> dict[str, Any]:
    """A layer's computed and measured field, each as (height, width). box: (top, left, bottom, right), computed."""
    rows, columns = field.box(mask.shape)
    expected = np.zeros_like(mask)
    expected[rows, columns] = True
    return {
        "field": field.size,
        "box": (rows.start, columns.start, rows.stop, columns.stop),
        "measured_field": (int(mask.any(1).sum()), int(mask.any(0).sum())),
        "agrees": bool((mask == expected).all()),
    }


def _deep(experiment: Experiment, spec: Spec) -> dict[str, Any]:
    """Networks that reduce the image to a map of 2 x 2 by unpadded convolutions alone."""
    kernel_size = experiment.config.value("model.kernel_size")
    count = (min(spec.image_shape[:2]) - SMALLEST_MAP) // (kernel_size - 1)
    variants = [
        _costs(build(experiment.vary(widths=(width,) * count, pooling=False), spec, fused=False)) | {"width": width}
        for width in DEEP_WIDTHS
    ]
    return {
        "count": count,
        "kernel_size": kernel_size,
        "last_map": _maps(variants[0])[-1],
        "variants": variants,
    }


def section(record: Record) -> Section:
    """The part as a section of the page. record: from `compute`."""
    blocks = [*_worked(record), *_fields(record), *_costs_of_two(record), *_convolutions_alone(record)]
    return Section("Why pooling", blocks)


def _worked(record: Record) -> list[Block]:
    """An example in numbers."""
    before, after = record["example"], record["pooled_example"]
    windows = [before[2 * row : 2 * row + 2, 2 * column : 2 * column + 2] for row, column in np.ndindex(after.shape)]
    lists = "; ".join(
        f"{', '.join(f'{value:.1f}' for value in window.ravel())} gives {window.max():.1f}" for window in windows
    )
    captions = "Before: a map of 4 x 4, in four windows of 2 x 2.", "After: a map of 2 x 2, the largest of each window."
    return [
        "A 2 x 2 max-pooling cuts a map into windows of 2 x 2 numbers, and keeps the largest number of each. It has no "
        f"parameters. An example, window by window: {lists}. Sixteen numbers became four. If the "
        f"{windows[0].max():.1f} stood at another place of its window, the result would be the same.",
        Row(
            [
                Figure(figures.draw(captions[0], partial(_map, values=before), size=(2.6, 2.6)), captions[0]),
                Figure(figures.draw(captions[1], partial(_map, values=after), size=(2.6, 2.6)), captions[1]),
            ]
        ),
    ]


def _map(axes: Axes, values: np.ndarray) -> None:
    """A map with its numbers, and lines between the windows of 2 x 2 where it has several."""
    pictures.heat_map(axes, values, form="{:.1f}")
    for between in range(2, len(values), 2):
        axes.axhline(between - 0.5, color="black")
        axes.axvline(between - 0.5, color="black")


def _fields(record: Record) -> list[Block]:
    pooled, plain = (record[name]["last_map"]["field"] for name in _TITLES)
    layers = [layer for name in _TITLES for layer in record[name]["layers"]]
    agreeing = sum(layer["agrees"] for layer in layers)
    seen_by_all, image = record["with_pooling"]["layers"][-1]["field"], record["image_shape"][:2]
    unseen = (
        f" With pooling, all units together see only {by(seen_by_all)} of the {by(image)} pixels: where the height or "
        "width of a map is odd, pooling drops its last row or column."
    )
    return [
        "A unit of a feature map sees only a part of the image. This part is called its receptive field. A 3 x 3 "
        "filter on the image sees 3 x 3 pixels, and each further convolution adds 2 to the height and the width. After "
        "a 2 x 2 pooling, neighbouring units are 2 pixels of the image apart, so that the next convolution adds 4; "
        "after two poolings it adds 8. The poolings themselves add 1 and 2. Three convolutions therefore see "
        f"{by(plain)} pixels without pooling and {by(pooled)} with pooling, of the {by(image)} pixels of the image.",
        _squares(record),
        "These squares are computed from the sizes and strides of the layers. They can be checked with the network "
        "itself: compute the gradient of a layer's central unit with respect to every pixel of the image, and mark the "
        f"pixels where it is not zero for at least one of {record['probes']} random images. For a layer without "
        f"positions, take all units. For {agreeing} of {len(layers)} layers, the computed and the measured receptive "
        f"field are the same, pixel for pixel.{unseen if tuple(seen_by_all) != tuple(image) else ''}",
        _measured(record),
    ]


def _costs_of_two(record: Record) -> list[Block]:
    """With pooling and without."""
    pooled, plain = record["with_pooling"], record["without_pooling"]
    parameters, products = (plain[name] / pooled[name] for name in ("parameters", "multiply_adds"))
    return [
        *(_cost_table(record[name], title) for name, title in _TITLES.items()),
        f"With pooling, the network has {parameters:.1f} times fewer parameters ({pooled['parameters']:,} instead of "
        f"{plain['parameters']:,}), and an image needs {products:.1f} times fewer multiply-adds "
        f"({pooled['multiply_adds'] / 1e6:.2f} million instead of {plain['multiply_adds'] / 1e6:.1f} million). The "
        "convolutions have the same number of weights in both networks. The difference is how often these weights are "
        f"used, and how many values the dense layer reads: {pooled['last_map']['activations']:,} with pooling and "
        f"{plain['last_map']['activations']:,} without. Without pooling, the dense layer has "
        f"{plain['layers'][-1]['parameters']:,} of the {plain['parameters']:,} parameters.",
    ]


def _convolutions_alone(record: Record) -> list[Block]:
    pooled, deep = record["with_pooling"], record["deep"]
    size, last_map = deep["kernel_size"], deep["last_map"]["shape"][:2]
    least, most = (deep["variants"][index]["multiply_adds"] / pooled["multiply_adds"] for index in (0, -1))
    return [
        f"Why not just more convolutions? Each unpadded {size} x {size} convolution makes the map {size - 1} pixels "
        f"smaller in height and width, so that {deep['count']} of them reduce {by(record['image_shape'][:2])} to "
        f"{by(last_map)}. The table shows such networks. All layers of a network have the same number of filters, and "
        "a dense layer follows at the end.",
        _deep_table(pooled, deep),
        f"Convolutions alone also lead to a small map, but they need {least:.1f} to {most:.0f} times as many "
        "multiply-adds. Most of these are in the first layers, where the maps are large. Pooling is a cheap way to let "
        "a few layers see a large part of the image. It forgets where in a 2 x 2 window something was found, but keeps "
        "that it was found. Whether the network also makes fewer errors is another question, which only training can "
        "answer.",
    ]


def _deep_table(pooled: Record, deep: Record) -> Table:
    count = len([layer for layer in _maps(pooled) if layer["parameters"]])
    networks = {f"with pooling, {count} convolutions": pooled}
    for variant in deep["variants"]:
        networks[f"without pooling, {deep['count']} convolutions of {variant['width']} filters"] = variant
    rows = [
        [
            name,
            f"{network['parameters']:,}",
            f"{network['multiply_adds'] / 1e6:,.1f}",
            f"{network['multiply_adds'] / pooled['multiply_adds']:,.1f}",
            f"{network['activations']:,}",
        ]
        for name, network in networks.items()
    ]
    headings = ["network", "parameters", "million multiply-adds", "times as many", "activations"]
    return Table("Convolutions alone, compared with the network with pooling (first row)", headings, rows)


def _cost_table(model: Record, title: str) -> Table:
    rows = [
        [
            layer["name"],
            *(by(layer[name]) for name in ("shape", "field", "measured_field")),
            *(f"{layer[name]:,}" for name in _COSTS),
        ]
        for layer in model["layers"]
    ]
    total = ["total", "", "", "", *(f"{model[name]:,}" for name in _COSTS)]
    headings = ["layer", "output shape", "receptive field", "measured", "parameters", "multiply-adds", "activations"]
    return Table(f"The lecture's network {title}, for one image", headings, [*rows, total])


def _squares(record: Record) -> Figure:
    paints, fields = [], []
    for name, title in _TITLES.items():
        boxes = [(f"{layer['name']}: {by(layer['field'])}", layer["box"]) for layer in _maps(record[name])]
        paints.append(partial(pictures.squares, pixels=record["image"], boxes=boxes[::-1], title=title))
        fields.append(f"{title} {', '.join(words for words, _ in boxes)}")
    caption = "The part of the image that the central unit of each layer sees."
    return Figure(figures.panels(f"{caption} {'; '.join(fields)}.", paints, columns=2, cell=(2.6, 4.3)), caption)


def _measured(record: Record) -> Figure:
    masks = {
        f"{layer['name']}\n{_TITLES[name]}": record[name]["measured"][layer["name"]].astype(np.uint8)
        for name in ("without_pooling", "with_pooling")
        for layer in _maps(record[name])
    }
    caption = "Measured receptive fields. Dark: the pixels where the central unit of a layer has a gradient."
    images, titles = list(masks.values()), list(masks)
    return Figure(pictures.gallery(caption, images, titles, columns=4, cell=(1.4, 1.75), low=0, high=1), caption)
