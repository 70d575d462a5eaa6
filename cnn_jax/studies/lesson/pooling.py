"""Part 7, why pooling: receptive fields and costs with pooling, without pooling, and with convolutions alone."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from cnn_jax.config import Config
from cnn_jax.data.dataset import Spec
from cnn_jax.experiment import build
from cnn_jax.models import receptive_field, summary
from cnn_jax.report import figures, pictures
from cnn_jax.report.page import Figure, Section, Table
from cnn_jax.studies.lesson.formats import by, drawable

ARRAYS: Mapping[str, str] = {
    "image": "uint8 [H, W, C]: the image that the receptive fields are drawn on",
    "with_pooling/measured/LAYER": "bool [H, W]: where a layer's central unit has a gradient; of a flat layer, any "
    "unit",
    "without_pooling/measured/LAYER": "bool [H, W]: the same for the network without pooling",
}

DEEP_WIDTHS = (32, 64, 128)  # filters of every layer of the network of convolutions alone: the lecture's three
SMALLEST_MAP = 2  # its last map's height and width

Record = Mapping[str, Any]
_TITLES = {"with_pooling": "with pooling", "without_pooling": "without pooling"}
_COSTS = ("parameters", "multiply_adds", "activations")


def compute(spec: Spec, image: np.ndarray, *, seed: int = 0) -> dict[str, Any]:
    """Receptive fields and costs of the lecture's network on images of this spec. image: uint8 [H, W, C], to draw on.

    seed: of the parameters and inputs that fields are measured with. Raises InputError where images are too small.
    """
    lecture = Config(dataset=spec.name)
    return {
        "image": image,
        "image_shape": spec.image_shape,
        "probes": receptive_field.PROBES,
        "with_pooling": _network(lecture, spec, seed),
        "without_pooling": _network(replace(lecture, pooling=False), spec, seed),
        "deep": _deep(lecture, spec),
    }


def _network(config: Config, spec: Spec, seed: int) -> dict[str, Any]:
    learner = build(config, spec, fused=False)
    module, inputs = learner.module, learner.input_shapes
    fields = receptive_field.computed(module, inputs)
    measured = receptive_field.measured(module, inputs, seed=seed)
    rows = [
        _costs(layer) | _field(fields[layer.name], measured[layer.name]) for layer in summary.layers(module, inputs)
    ]
    return {
        "layers": rows,
        **_totals(rows),
        "last_map": _with_positions(rows)[-1],
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


def _totals(rows: Sequence[Record]) -> dict[str, int]:
    return {name: sum(row[name] for row in rows) for name in _COSTS}


def _with_positions(rows: Sequence[Record]) -> list[Record]:
    """The layers whose outputs are maps."""
    return [row for row in rows if len(row["shape"]) == 3]


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


def _deep(config: Config, spec: Spec) -> dict[str, Any]:
    """Networks that reduce the image to a map of 2 x 2 by unpadded convolutions alone."""
    count = (min(spec.image_shape[:2]) - SMALLEST_MAP) // (config.kernel_size - 1)
    variants = list[dict[str, Any]]()
    for width in DEEP_WIDTHS:
        learner = build(replace(config, widths=(width,) * count, pooling=False), spec, fused=False)
        rows = [_costs(layer) for layer in summary.layers(learner.module, learner.input_shapes)]
        variants.append({"width": width, "layers": rows, **_totals(rows)})
    return {
        "count": count,
        "kernel_size": config.kernel_size,
        "last_map": variants[0]["layers"][count - 1],
        "variants": variants,
    }


def section(record: Record) -> Section:
    """The part as a section of the page. record: from `compute`."""
    pooled, plain, deep = record["with_pooling"], record["without_pooling"], record["deep"]
    return Section(
        "Why pooling",
        [
            _field_words(record),
            _squares(record),
            _measured_words(record),
            _measured(record),
            *(_cost_table(record[name], title) for name, title in _TITLES.items()),
            _cost_words(pooled, plain),
            _deep_words(record),
            _deep_table(pooled, deep),
            _closing(pooled, deep),
        ],
    )


def _field_words(record: Record) -> str:
    pooled, plain = (_with_positions(record[name]["layers"])[-1]["field"] for name in _TITLES)
    return (
        "A unit of a feature map sees only a part of the image. This part is called its receptive field. A 3 x 3 "
        "filter on the image sees 3 x 3 pixels, and each further convolution adds 2 to the height and the width. After "
        "a 2 x 2 pooling, neighbouring units are 2 pixels of the image apart, so that the next convolution adds 4; "
        "after two poolings it adds 8. The poolings themselves add 1 and 2. Three convolutions therefore see "
        f"{by(plain)} pixels without pooling and {by(pooled)} with pooling, of the "
        f"{by(record['image_shape'][:2])} pixels of the image."
    )


def _measured_words(record: Record) -> str:
    layers = [layer for name in _TITLES for layer in record[name]["layers"]]
    agreeing = sum(layer["agrees"] for layer in layers)
    return (
        "These squares are computed from the sizes and strides of the layers. They can be checked with the network "
        "itself: compute the gradient of a layer's central unit with respect to every pixel of the image, and mark the "
        f"pixels where it is not zero for at least one of {record['probes']} random images. For a layer without "
        f"positions, take all units. For {agreeing} of {len(layers)} layers, the computed and the measured receptive "
        "field are the same, pixel for pixel." + _unseen(record)
    )


def _unseen(record: Record) -> str:
    """The rows and columns that pooling drops at the border; empty where it drops none."""
    field, image = record["with_pooling"]["layers"][-1]["field"], record["image_shape"][:2]
    if tuple(field) == tuple(image):
        return ""
    return (
        f" With pooling, all units together see only {by(field)} of the {by(image)} pixels: where the height or width "
        "of a map is odd, pooling drops its last row or column."
    )


def _cost_words(pooled: Record, plain: Record) -> str:
    parameters, products = (plain[name] / pooled[name] for name in ("parameters", "multiply_adds"))
    read, read_plain = (model["last_map"]["activations"] for model in (pooled, plain))
    return (
        f"With pooling, the network has {parameters:.1f} times fewer parameters ({pooled['parameters']:,} instead of "
        f"{plain['parameters']:,}), and an image needs {products:.1f} times fewer multiply-adds "
        f"({pooled['multiply_adds'] / 1e6:.2f} million instead of {plain['multiply_adds'] / 1e6:.1f} million). The "
        "convolutions have the same number of weights in both networks. The difference is how often these weights are "
        f"used, and how many values the dense layer reads: {read:,} with pooling and {read_plain:,} without. Without "
        f"pooling, the dense layer has {plain['dense_parameters']:,} of the {plain['parameters']:,} parameters."
    )


def _deep_words(record: Record) -> str:
    deep = record["deep"]
    size = deep["kernel_size"]
    return (
        f"Why not just more convolutions? Each unpadded {size} x {size} convolution makes the map {size - 1} pixels "
        f"smaller in height and width, so that {deep['count']} of them reduce {by(record['image_shape'][:2])} to "
        f"{by(deep['last_map']['shape'][:2])}. The table shows such networks. All layers of a network have the same "
        "number of filters, and a dense layer follows at the end."
    )


def _deep_table(pooled: Record, deep: Record) -> Table:
    count = len([layer for layer in _with_positions(pooled["layers"]) if layer["parameters"]])
    networks = [(f"with pooling, {count} convolutions", pooled)] + [
        (f"without pooling, {deep['count']} convolutions of {variant['width']} filters", variant)
        for variant in deep["variants"]
    ]
    rows = [
        [
            name,
            f"{network['parameters']:,}",
            f"{network['multiply_adds'] / 1e6:,.1f}",
            f"{network['multiply_adds'] / pooled['multiply_adds']:,.1f}",
            f"{network['activations']:,}",
        ]
        for name, network in networks
    ]
    headings = ["network", "parameters", "million multiply-adds", "times as many", "activations"]
    return Table("Convolutions alone, compared with the network with pooling (first row)", headings, rows)


def _closing(pooled: Record, deep: Record) -> str:
    least, most = (deep["variants"][index]["multiply_adds"] / pooled["multiply_adds"] for index in (0, -1))
    return (
        f"Convolutions alone also lead to a small map, but they need {least:.1f} to {most:.0f} times as many "
        "multiply-adds. Most of these are in the first layers, where the maps are large. Pooling is a cheap way to let "
        "a few layers see a large part of the image. It forgets where in a 2 x 2 window something was found, but keeps "
        "that it was found. Whether the network also makes fewer errors is another question, which only training can "
        "answer."
    )


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
    def paint(axes: Axes, name: str) -> None:
        layers = reversed(_with_positions(record[name]["layers"]))
        pictures.squares(
            axes, drawable(record["image"]), [(_named(layer), layer["box"]) for layer in layers], _TITLES[name]
        )

    fields = "; ".join(
        f"{title} {', '.join(map(_named, _with_positions(record[name]['layers'])))}" for name, title in _TITLES.items()
    )
    paints = [lambda axes, name=name: paint(axes, name) for name in _TITLES]
    caption = "The part of the image that the central unit of each layer sees."
    return Figure(figures.panels(f"{caption} {fields}.", paints, columns=2, cell=(2.6, 4.3)), caption)


def _named(layer: Record) -> str:
    return f"{layer['name']}: {by(layer['field'])}"


def _measured(record: Record) -> Figure:
    masks = [
        (f"{layer['name']}\n{_TITLES[name]}", record[name]["measured"][layer["name"]])
        for name in ("without_pooling", "with_pooling")
        for layer in _with_positions(record[name]["layers"])
    ]
    paints = [
        lambda axes, title=title, mask=mask: pictures.image(axes, mask.astype(np.uint8), title, low=0, high=1)
        for title, mask in masks
    ]
    caption = "Measured receptive fields. Dark: the pixels where the central unit of a layer has a gradient."
    return Figure(figures.panels(caption, paints, columns=4, cell=(1.4, 1.75)), caption)
