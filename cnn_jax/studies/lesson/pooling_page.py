"""Part 7 of the lesson's page, pooling: what a unit sees, and what the layers cost, with it and without."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from cnn_jax.report import figures, pictures
from cnn_jax.report.page import Figure, Section, Table

Record = Mapping[str, Any]

_TITLES = {"with_pooling": "with pooling", "without_pooling": "without pooling"}


def section(record: Record) -> Section:
    """Why pooling helps, in words, squares and numbers."""
    pooled, plain, deep = record["with_pooling"], record["without_pooling"], record["deep"]
    blocks: list[str | Table | Figure] = [
        _seen_words(record),
        _squares(record),
        _measured_words(record),
        _measured(record),
        *(_costs(record[name], title) for name, title in _TITLES.items()),
        _cost_words(pooled, plain),
        _deep_words(record, deep),
        _deep_table(pooled, deep),
        _closing(pooled, deep),
    ]
    return Section("Why pool", blocks)


def _closing(pooled: Record, deep: Record) -> str:
    least, most = (
        variant["multiply_adds"] / pooled["multiply_adds"] for variant in (deep["variants"][0], deep["variants"][-1])
    )
    return (
        f"Convolutions alone come to a small map too, for {least:.1f} to {most:.0f} times the products, most of them "
        "in the first layers, where maps are large. Pooling is the cheap way to let few layers see much: it forgets "
        "where exactly in a 2 x 2 window something was found, and keeps that it was found. Whether the network then "
        "also errs less is another question, which only training can answer."
    )


def _seen_words(record: Record) -> str:
    pooled, plain = (_spatial(record[name])[-1]["field"][0] for name in _TITLES)
    height, width = record["image_shape"][:2]
    return (
        "A unit of a feature map sees only a part of the image: its receptive field. A 3 x 3 filter on the image sees "
        "3 pixels in each direction, and every further convolution adds 2, or rather 2 steps of the map that it reads. "
        "After a 2 x 2 pooling a step is twice as long on the image, so that the same filter reaches twice as far. "
        f"Three convolutions see {plain} x {plain} pixels without pooling and {pooled} x {pooled} with it, of "
        f"{height} x {width}."
    )


def _measured_words(record: Record) -> str:
    layers = [layer for name in _TITLES for layer in record[name]["layers"]]
    agreeing = sum(layer["agrees"] for layer in layers)
    return (
        "These squares are computed from filter sizes and strides. To see whether they are true, ask the network "
        "itself: take the gradient of a layer's central unit for every pixel of the image, and mark the pixels where "
        "it is not zero for at least one of 64 random images. Of a layer without positions, take all units. "
        f"Computed and measured fields are the same, pixel for pixel, for {agreeing} of {len(layers)} layers."
        + _unseen(record)
    )


def _unseen(record: Record) -> str:
    """What pooling cuts off at the border, where it does."""
    (rows, columns), (height, width) = record["with_pooling"]["layers"][-1]["field"], record["image_shape"][:2]
    if (rows, columns) == (height, width):
        return ""
    return (
        f" With pooling all units together see {rows} x {columns} of the {height} x {width} pixels: a map with an odd "
        "side loses its last row or column when it is pooled."
    )


def _cost_words(pooled: Record, plain: Record) -> str:
    parameters, products = (plain[name] / pooled[name] for name in ("parameters", "multiply_adds"))
    read, read_plain = (model["last_map"]["activations"] for model in (pooled, plain))
    return (
        f"Pooling makes the network {parameters:.1f} times smaller and {products:.1f} times cheaper: "
        f"{pooled['parameters']:,} parameters instead of {plain['parameters']:,}, {pooled['multiply_adds'] / 1e6:.2f} "
        f"million multiply-adds an image instead of {plain['multiply_adds'] / 1e6:.1f} million. The convolutions have "
        "as many weights in both. What differs is how often they are applied, and what the dense layer has to read: "
        f"{read:,} values or {read_plain:,}, which takes {plain['dense_parameters']:,} of the "
        f"{plain['parameters']:,} parameters."
    )


def _deep_words(record: Record, deep: Record) -> str:
    height, width = record["image_shape"][:2]
    size, final = deep["kernel_size"], deep["last_map"]["shape"]
    return (
        f"Why not just enough convolution layers? Each unpadded {size} x {size} convolution takes {size - 1} pixels "
        f"off height and width, so that {deep['count']} of them shrink {height} x {width} to {final[0]} x {final[1]}. "
        "Here they are, with the same number of filters in every layer, and one dense layer behind."
    )


def _deep_table(pooled: Record, deep: Record) -> Table:
    count = len([layer for layer in pooled["layers"] if len(layer["shape"]) == 3 and layer["parameters"]])
    rows = [[f"with pooling, {count} convolutions", *_totals(pooled, pooled)]] + [
        [f"without, {deep['count']} convolutions of {variant['width']} filters", *_totals(variant, pooled)]
        for variant in deep["variants"]
    ]
    headings = ["network", "parameters", "million multiply-adds", "times as many", "activations"]
    return Table("Convolutions alone, beside the network with pooling", headings, rows)


def _totals(model: Record, pooled: Record) -> list[str]:
    return [
        f"{model['parameters']:,}",
        f"{model['multiply_adds'] / 1e6:,.1f}",
        f"{model['multiply_adds'] / pooled['multiply_adds']:,.1f}",
        f"{model['activations']:,}",
    ]


def _costs(model: Record, title: str) -> Table:
    rows = [
        [
            layer["name"],
            " x ".join(map(str, layer["shape"])),
            *(" x ".join(map(str, layer[name])) for name in ("field", "measured_field")),
            *(f"{layer[name]:,}" for name in ("parameters", "multiply_adds", "activations")),
        ]
        for layer in model["layers"]
    ]
    total = ["total", "", "", "", *(f"{model[name]:,}" for name in ("parameters", "multiply_adds", "activations"))]
    headings = ["layer", "output", "sees", "measured", "parameters", "multiply-adds", "activations"]
    return Table(f"The lecture's network {title}, for one image", headings, [*rows, total])


def _spatial(model: Record) -> list[Record]:
    return [layer for layer in model["layers"] if len(layer["shape"]) == 3]


def _squares(record: Record) -> Figure:
    pixels = record["image"]
    shown = pixels[..., 0] if pixels.shape[-1] == 1 else pixels / 255

    def paint(axes: Axes, name: str) -> None:
        boxes = [(_named(layer), layer["box"]) for layer in reversed(_spatial(record[name]))]
        pictures.squares(axes, shown, boxes, _TITLES[name])

    said = "; ".join(f"{_TITLES[name]} {', '.join(map(_named, _spatial(record[name])))}" for name in _TITLES)
    paints = [lambda axes, name=name: paint(axes, name) for name in _TITLES]
    caption = "What the unit in the middle of each layer sees of a digit."
    return Figure(figures.panels(f"{caption} {said}.", paints, columns=2, cell=(2.6, 4.0)), caption)


def _named(layer: Record) -> str:
    return f"{layer['name']}: {' x '.join(map(str, layer['field']))}"


def _measured(record: Record) -> Figure:
    masks = [
        (f"{layer['name']}\n{_TITLES[name]}", record[name]["measured"][layer["name"]])
        for name in ("without_pooling", "with_pooling")
        for layer in _spatial(record[name])
    ]
    paints = [
        lambda axes, title=title, mask=mask: pictures.image(axes, mask.astype(np.uint8), title, low=0, high=1)
        for title, mask in masks
    ]
    caption = "Measured: dark where the central unit of a layer has a gradient."
    return Figure(figures.panels(caption, paints, columns=4, cell=(1.4, 1.75)), caption)
