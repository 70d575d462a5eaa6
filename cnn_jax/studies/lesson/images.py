"""Part 1, the problem with images: the parameters of a dense layer and of a convolution on small and large images."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.patches import ConnectionPatch, Rectangle

from cnn_jax import data, program
from cnn_jax.data import scenes
from cnn_jax.data.dataset import Spec
from cnn_jax.experiment import Experiment, build
from cnn_jax.models.summary import Layer, layers
from cnn_jax.report import figures, pictures
from cnn_jax.report.page import Figure, Section, Table
from cnn_jax.studies.lesson.formats import Record, by

ARRAYS: Mapping[str, str] = {
    "inputs": "int64 [2]: numbers in an image of each of the two shapes, 28 x 28 x 1 and 200 x 200 x 3",
    "dense_parameters": "int64 [2]: parameters of a dense layer of `units` units on each of them",
    "convolution_parameters": "int64 [2]: parameters of a convolution of `filters` filters of 3 x 3 pixels",
    "convolution_multiply_adds": "int64 [2]: multiply-adds of that convolution for one image",
    "network_parameters": "int64 [2]: parameters of the lecture's network",
    "network_head_parameters": "int64 [2]: parameters of the last, dense layer of that network",
    "scenes": "uint8 [8, 200, 200, 3]: the first training images of rgb200",
    "scene_labels": "int32 [8]: their labels, 0 for X, 1 for O",
}

_DATASETS = ("mnist", "rgb200")
_SCENES = 8


def compute() -> dict[str, Any]:
    """Counts the parameters of the real modules, and draws scenes of `rgb200`. Runs no layer and reads no dataset."""
    specs = [data.spec(name) for name in _DATASETS]
    dense = [_layers(Experiment().vary(model="dense"), spec)[1] for spec in specs]
    networks = [_layers(Experiment(), spec) for spec in specs]
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


def _layers(experiment: Experiment, spec: Spec) -> list[Layer]:
    learner = build(experiment, spec, fused=False)
    return layers(learner.module, learner.input_shapes)


def section(record: Record) -> Section:
    """The part as a section of the page. record: from `compute`."""
    shapes = [by(shape) for shape in record["shapes"]]
    small, large = shapes
    inputs, dense, convolution = (record[n] for n in ("inputs", "dense_parameters", "convolution_parameters"))
    head, total = record["network_head_parameters"], record["network_parameters"]
    return Section(
        "The problem with images",
        [
            "A dense layer reads an image as one long row of numbers, and each unit has one weight for every number. A "
            f"grey image of {small} has {inputs[0]:,} numbers, and a colour image of {large} has {inputs[1]:,}. A "
            f"dense layer of {record['units']} units has {dense[0]:,} parameters on the first image and {dense[1]:,} "
            "on the second: the number of parameters grows with the image.",
            f"A convolution is different. Each of its {record['filters']} filters looks at 3 x 3 pixels at a time, and "
            f"uses the same weights at every position. It has {convolution[0]:,} parameters on the first image. On the "
            f"second image it has {convolution[1]:,}, only because that image has three channels instead of one. A "
            "larger image means more computation for a convolution, but not more parameters.",
            _table(record, shapes),
            _areas(record, shapes),
            f"The network of the lecture also ends in a dense layer. On images of {small} this layer has {head[0]:,} "
            f"of the {total[0]:,} parameters. On images of {large}, with two classes instead of ten, it has "
            f"{head[1]:,} of {total[1]:,}: the two pooling layers of the network are too few to make a large image "
            "small.",
            _scenes(record),
            f"To train on such images, run: {program.command()} --experiment=rgb200. It trains a narrower network of "
            "the same kind on 1,000 of them, and reports its parameters, its time and its accuracy.",
        ],
    )


def _table(record: Record, shapes: Sequence[str]) -> Table:
    quantities = [
        ("numbers in the image", record["inputs"]),
        ("dense layer: parameters", record["dense_parameters"]),
        ("convolution: parameters", record["convolution_parameters"]),
        ("convolution: multiply-adds", record["convolution_multiply_adds"]),
        ("lecture's network: parameters", record["network_parameters"]),
    ]
    rows = [[name, *(f"{int(number):,}" for number in numbers)] for name, numbers in quantities]
    return Table("Two image sizes compared", ["", *shapes], rows)


_Square = tuple[str, float, str]  # the lines beside it, the length of its side, its colour


def _areas(record: Record, shapes: Sequence[str]) -> Figure:
    """Squares in one corner whose areas are numbers of parameters: the large ones, and the small ones enlarged."""
    small, large = _squares("dense layer", shapes, record["dense_parameters"], figures.COLOURS[:2])
    convolutions = _squares("convolution", shapes, record["convolution_parameters"], figures.COLOURS[2:4])

    def paint(drawing: Drawing) -> None:
        left, right = drawing.subplots(1, 2)
        _nest(left, [large, small])
        _nest(right, [small, *reversed(convolutions)])
        corner = small[1]
        for height, enlarged in ((0.0, 0.0), (corner, corner)):
            line = ConnectionPatch((corner, height), (0, enlarged), "data", "data", axesA=left, axesB=right)
            line.set(color=figures.INK, linewidth=0.8, linestyle=":")
            drawing.add_artist(line)

    names = "; ".join(name.replace("\n", ": ") for name, _, _ in (large, small, *reversed(convolutions)))
    alt = f"Squares whose areas are proportional to numbers of parameters. {names}"
    return Figure(
        figures.compose(alt, paint, size=(6.0, 3.2)),
        "The area of each square is proportional to the number of parameters of one layer: a dense layer of "
        f"{record['units']} units, or a convolution of {record['filters']} filters. The right picture enlarges the "
        "lower left corner of the left picture.",
    )


def _squares(layer: str, shapes: Sequence[str], counts: np.ndarray, colours: Sequence[str]) -> list[_Square]:
    """One square for each shape."""
    triples = zip(shapes, counts, colours, strict=True)
    return [(f"{layer}, {shape}\n{n:,} parameters", math.sqrt(n), colour) for shape, n, colour in triples]


def _nest(axes: Axes, squares: Sequence[_Square]) -> None:
    """Squares in the lower left corner: the first fills the diagram, and the names of the others stand beside them."""
    (name, largest, colour), *inner = squares
    axes.add_patch(Rectangle((0, 0), largest, largest, facecolor=colour, alpha=0.35, linewidth=0))
    axes.text(0.04, 0.92, name, transform=axes.transAxes, va="top", fontsize=10)
    for index, (name, side, colour) in enumerate(inner):
        axes.add_patch(Rectangle((0, 0), side, side, facecolor=colour, linewidth=0))
        axes.annotate(
            name,
            (0.9 * side, (0.9 if index + 1 < len(inner) else 0.5) * side),
            (0.25, 0.06 + 0.2 * (len(inner) - 1 - index)),
            textcoords="axes fraction",
            va="center",
            fontsize=10,
            arrowprops={"arrowstyle": "-", "relpos": (0, 0.5), "color": figures.INK, "linewidth": 0.8},
        )
    axes.set(xlim=(0, largest), ylim=(0, largest), aspect="equal")
    axes.axis("off")


def _scenes(record: Record) -> Figure:
    names = [record["classes"][label] for label in record["scene_labels"]]
    alt = f"{len(names)} coloured images, each with one letter among strokes and blots: {', '.join(names)}"
    return Figure(
        pictures.gallery(alt, record["scenes"], names, columns=4),
        "The first training images of the dataset rgb200. They are generated: each has one letter of any size, "
        "position and colour, among strokes and blots that do not belong to the letter.",
    )
