"""Part 6 of the lesson's page, feature maps: an image, and what the layers make of it."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes

from cnn_jax.report import figures, pictures
from cnn_jax.report.page import Figure, Section, Table

Record = Mapping[str, Any]


def section(record: Record) -> Section:
    """What the network sees of the record's image, layer by layer."""
    maps = [layer for layer in record["layers"] if len(layer["shape"]) == 3]
    blocks: list[str | Table | Figure] = [_opening(record), _shown(record), _shapes(record)]
    if "filters" in record:
        blocks += [_FILTER_WORDS, _filters(record)]
    if maps:
        blocks += [_MAP_WORDS, *(_maps(layer, record["maps"][layer["name"]]) for layer in maps), _CLOSING]
    return Section("What the layers see", blocks)


_FILTER_WORDS = (
    "Nobody wrote these filters. They began as random numbers, and training moved each weight to where the loss was "
    "smaller. Red weights add, blue ones subtract: a filter that is red on one side and blue on the other answers to "
    "an edge between dark and light."
)

_MAP_WORDS = (
    "Each filter of a convolution gives one map: large where the image, or the maps before, look like the filter. "
    "Below are all maps of every layer, as the layer gives them. Red is positive, blue is negative, white is zero. "
    "The ReLU behind a convolution sets all that is blue to zero; pooling, where there is some, then keeps the largest "
    "of each 2 x 2."
)

_CLOSING = (
    "In the first maps one still reads the image. Later ones are smaller, and there are more of them: they say less "
    "and less where something is, and more and more what it is. The last layer has no positions left, one number a "
    "class."
)


def _opening(record: Record) -> str:
    return (
        f"A test image of {record['dataset']}, of class {record['label']}, goes through the network of "
        f"{record['experiment']}, which takes it for {record['guess']} with a probability of "
        f"{float(np.max(record['probabilities'])):.1%}. Every layer turns a block of numbers into another one: height, "
        "width, and the number of maps."
    )


def _shown(record: Record) -> Figure:
    pixels, classes = record["image"], record["classes"]
    shown = pixels[..., 0] if pixels.shape[-1] == 1 else pixels / 255

    def bars(axes: Axes) -> None:
        axes.barh(range(len(classes)), record["probabilities"], color=figures.COLOURS[0])
        axes.set_yticks(range(len(classes)), classes, fontsize=9)
        axes.invert_yaxis()
        axes.set_xlim(0, 1)
        axes.set_xlabel("probability")

    paints = [lambda axes: pictures.image(axes, shown, low=0), bars]
    alt = f"The image, of class {record['label']}, and the network's probability of each class."
    return Figure(figures.panels(alt, paints, columns=2, cell=(2.6, 2.5)), "The image, and what the network says.")


def _shapes(record: Record) -> Table:
    rows = [
        [
            layer["name"],
            shape(layer),
            f"{layer['values']:,}",
            f"{layer['smallest']:.2f}".replace("-", "\u2212"),
            f"{layer['largest']:.2f}",
            f"{layer['negative_share']:.0%}",
        ]
        for layer in record["layers"]
    ]
    headings = ["layer", "shape", "values", "smallest", "largest", "below zero"]
    return Table("What each layer gives for this image", headings, rows)


def shape(layer: Record) -> str:
    """As in `26 x 26 x 32`."""
    return " x ".join(map(str, layer["shape"]))


def _filters(record: Record) -> Figure:
    kernel = record["filters"]
    height, width, channels, count = kernel.shape
    of_channels = f", for each of {channels} channels" if channels > 1 else ""
    caption = f"{count} filters of {height} x {width} that {record['filters_of']} has learned{of_channels}."
    return Figure(_mosaic(caption, kernel.reshape(height, width, channels * count)), caption)


def _maps(layer: Record, maps: np.ndarray) -> Figure:
    caption = f"{layer['name']}: {shape(layer)}. The darkest colour is {max(-layer['smallest'], layer['largest']):.2f}."
    alt = f"{layer['shape'][2]} maps of {layer['name']}, each {layer['shape'][0]} x {layer['shape'][1]}."
    return Figure(_mosaic(alt, maps), caption)


def _mosaic(alt: str, maps: np.ndarray) -> Markup:
    """All maps as one picture, about twice as wide as high, and at most as wide as a page."""
    height, width, count = maps.shape
    columns = min(count, 8 if count <= 32 else 16)
    size = 7 * (-(-count // columns) * (height + 1)) / (columns * (width + 1))
    largest = float(np.abs(maps).max()) or 1.0
    return figures.draw(alt, lambda axes: pictures.mosaic(axes, maps, columns=columns, largest=largest), size=(7, size))
