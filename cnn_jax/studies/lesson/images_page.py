"""Part 1, the problem with images, said and drawn."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.patches import ConnectionPatch, Rectangle

from cnn_jax.report import figures, pictures
from cnn_jax.report.page import Figure, Section, Table

Record = Mapping[str, Any]


def section(record: Record) -> Section:
    """What images cost, as text, a table and two figures. record: of `lesson/images.py`."""
    shapes = tuple("{} x {} x {}".format(*shape) for shape in record["shapes"])
    return Section(
        "The problem with images",
        [
            _dense_words(record, *shapes),
            _convolution_words(record),
            _table(record, shapes),
            Figure(_areas(record, shapes), _areas_caption(record)),
            _network_words(record, *shapes),
            Figure(_scenes(record), _SCENES_CAPTION),
            "To run the claim: python run.py --experiment=rgb200 trains a narrower network of this kind on 1,000 such "
            "scenes, and tells its parameters, its time and its accuracy.",
        ],
    )


_SCENES_CAPTION = (
    "The first training images of rgb200, generated: a letter of any size, place and colour, and strokes and blots "
    "that belong to none."
)


def _dense_words(record: Record, small: str, large: str) -> str:
    inputs, dense = record["inputs"], record["dense_parameters"]
    return (
        "To a dense layer an image is a row of numbers, and every unit has a weight for each of them. A grey image of "
        f"{small} has {inputs[0]:,} numbers, a colour image of {large} has {inputs[1]:,}. A dense layer of "
        f"{record['units']} units learns {dense[0]:,} parameters on the first and {dense[1]:,} on the second: it grows "
        "with the image."
    )


def _convolution_words(record: Record) -> str:
    parameters = record["convolution_parameters"]
    return (
        f"A convolution does not. Its {record['filters']} filters look at 3 x 3 pixels at a time and are the same "
        f"everywhere, so that it learns {parameters[0]:,} parameters on the first image and {parameters[1]:,} on the "
        "second, which has three channels instead of one. What grows with the image is its work, not what it learns."
    )


def _network_words(record: Record, small: str, large: str) -> str:
    head, whole = record["network_head_parameters"], record["network_parameters"]
    return (
        f"The network of the lecture ends in a dense layer too. On {small} that layer learns {head[0]:,} of "
        f"{whole[0]:,} parameters; on {large}, with two classes instead of ten, it learns {head[1]:,} of {whole[1]:,}: "
        "two poolings leave much of a large image over."
    )


def _areas_caption(record: Record) -> str:
    return (
        f"Each area is in proportion to the parameters of one layer: a dense layer of {record['units']} units, or a "
        f"convolution of {record['filters']} filters. The right half magnifies the corner of the left."
    )


def _table(record: Record, shapes: Sequence[str]) -> Table:
    columns = [
        ("numbers in an image", record["inputs"]),
        (f"parameters, dense layer of {record['units']}", record["dense_parameters"]),
        (f"parameters, {record['filters']} filters of 3 x 3", record["convolution_parameters"]),
        ("multiply-adds of those filters", record["convolution_multiply_adds"]),
        ("parameters, the lecture's network", record["network_parameters"]),
    ]
    rows = [[what, *(f"{int(number):,}" for number in numbers)] for what, numbers in columns]
    return Table("What an image costs", ["", *shapes], rows)


def _areas(record: Record, shapes: Sequence[str]) -> Markup:
    """Squares in one corner whose areas are numbers of parameters: the large ones, and the small ones magnified."""
    dense = _squares("dense layer", shapes, record["dense_parameters"], figures.COLOURS[:2])
    convolutions = _squares("convolution", shapes, record["convolution_parameters"], figures.COLOURS[2:4])

    def paint(drawing: Drawing) -> None:
        left, right = drawing.subplots(1, 2)
        _nest(left, dense)
        _nest(right, [dense[1], *convolutions])
        corner = dense[1].side
        for height, magnified in ((0.0, 0.0), (corner, corner)):
            line = ConnectionPatch((corner, height), (0, magnified), "data", "data", axesA=left, axesB=right)
            line.set(color=figures.INK, linewidth=0.8, linestyle=":")
            drawing.add_artist(line)

    said = "; ".join(square.name for square in (*dense, *convolutions))
    return figures.compose(f"Squares whose areas are the layers' parameters. {said}", paint, size=(6.0, 3.2))


class _Square(NamedTuple):
    name: str
    side: float
    colour: str


def _squares(layer: str, shapes: Sequence[str], counts: np.ndarray, colours: Sequence[str]) -> list[_Square]:
    """The larger first."""
    found = zip(shapes, counts, colours, strict=True)
    return [_Square(f"{layer}, {shape}: {int(n):,}", float(np.sqrt(n)), colour) for shape, n, colour in found][::-1]


def _nest(axes: Axes, squares: Sequence[_Square]) -> None:
    """Squares in the lower left corner, the first as large as the diagram, the others with their names beside them."""
    whole, *inner = squares
    axes.add_patch(Rectangle((0, 0), whole.side, whole.side, facecolor=whole.colour, alpha=0.35, linewidth=0))
    axes.text(0.04, 0.92, _folded(whole.name), transform=axes.transAxes, va="top", fontsize=10)
    for index, square in enumerate(inner):
        axes.add_patch(Rectangle((0, 0), square.side, square.side, facecolor=square.colour, linewidth=0))
        axes.annotate(
            _folded(square.name),
            (0.9 * square.side, (0.9 if index + 1 < len(inner) else 0.5) * square.side),
            (0.25, 0.06 + 0.2 * (len(inner) - 1 - index)),
            textcoords="axes fraction",
            va="center",
            fontsize=10,
            arrowprops={"arrowstyle": "-", "relpos": (0, 0.5), "color": figures.INK, "linewidth": 0.8},
        )
    axes.set(xlim=(0, whole.side), ylim=(0, whole.side), aspect="equal")
    axes.axis("off")


def _folded(name: str) -> str:
    return name.replace(": ", "\n")


def _scenes(record: Record) -> Markup:
    names = [record["classes"][label] for label in record["scene_labels"]]
    paints: list[Callable[[Axes], None]] = [
        partial(pictures.image, pixels=scene, title=name) for scene, name in zip(record["scenes"], names, strict=True)
    ]
    alt = f"{len(names)} coloured scenes, in each a letter among strokes and blots: {', '.join(names)}"
    return figures.panels(alt, paints, columns=4)
