"""Part 1, the problem with images, said and drawn."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from cnn_jax.reporting import figures, pictures
from cnn_jax.reporting.page import Figure, Section, Table

Record = Mapping[str, Any]


def section(record: Record) -> Section:
    """What images cost, as text, a table and two figures. record: of `lesson/images.py`."""
    small, large = ("{} x {} x {}".format(*shape) for shape in record["shapes"])
    inputs, dense, convolution = (record[name] for name in ("inputs", "dense_parameters", "convolution_parameters"))
    units, filters = record["units"], record["filters"]
    head, whole = int(record["network_head_parameters"][1]), int(record["network_parameters"][1])
    return Section(
        "The problem with images",
        [
            f"To a dense layer an image is a row of numbers, and every unit has a weight for each of them. A grey image "
            f"of {small} has {inputs[0]:,} numbers; a colour image of {large} has {inputs[1]:,}. "
            f"A dense layer of {units} units learns {dense[0]:,} parameters on the first, and {dense[1]:,} on the "
            f"second: it grows with the image.",
            f"A convolution does not. Its {filters} filters look at 3 x 3 pixels at a time and are the same everywhere, "
            f"so that it learns {convolution[0]:,} parameters on the first and {convolution[1]:,} on the second, three "
            f"channels instead of one. What grows with the image is its work, not what it has to learn.",
            _table(record, (small, large)),
            Figure(_areas(record, (small, large)), _AREAS.format(units=units, filters=filters)),
            f"The network of the lecture ends in a dense layer too. On {small} that layer learns "
            f"{record['network_head_parameters'][0]:,} of {record['network_parameters'][0]:,} parameters; on {large} "
            f"and two classes it learns {head:,} of {whole:,}, {head / whole:.0%}, because two poolings leave much of a "
            f"large image over.",
            _scenes(record),
            "To run the claim: python run.py --experiment=rgb200 trains a network of this kind on 1,000 such scenes.",
        ],
    )


_AREAS = (
    "Each area is in proportion to the parameters of one layer: a dense layer of {units} units, and a convolution of "
    "{filters} filters. The convolutions are the dots on the right."
)


def _table(record: Record, shapes: tuple[str, str]) -> Table:
    columns = [
        ("numbers in an image", record["inputs"]),
        (f"parameters of a dense layer, {record['units']} units", record["dense_parameters"]),
        (f"parameters of a convolution, {record['filters']} filters of 3 x 3", record["convolution_parameters"]),
        ("multiply-adds of that convolution", record["convolution_multiply_adds"]),
        ("parameters of the lecture's network", record["network_parameters"]),
    ]
    rows = [[what, *(f"{int(number):,}" for number in numbers)] for what, numbers in columns]
    return Table("What an image costs", ["", *shapes], rows)


def _areas(record: Record, shapes: tuple[str, str]) -> Markup:
    """Squares side by side whose areas are numbers of parameters."""
    counts = [
        *zip([f"dense on {shape}" for shape in reversed(shapes)], record["dense_parameters"][::-1], strict=True),
        *zip([f"convolution on {shape}" for shape in shapes[::-1]], record["convolution_parameters"][::-1], strict=True),
    ]
    sides = [float(np.sqrt(count)) for _, count in counts]
    gap = 0.28 * sides[0]

    def paint(axes: Axes) -> None:
        left = 0.0
        for index, ((name, count), side) in enumerate(zip(counts, sides, strict=True)):
            axes.add_patch(Rectangle((left, 0), side, side, color=figures.COLOURS[index // 2], linewidth=0))
            axes.text(
                left,
                -0.05 * sides[0] * (1 if index == 0 else 1 + 2.4 * ((index - 1) % 3)),
                f"{name}\n{int(count):,}",
                va="top",
                color=figures.INK,
                fontsize=10,
            )
            left += side + gap
        axes.set_xlim(0, left + gap)
        axes.set_ylim(-0.5 * sides[0], sides[0])
        axes.set_aspect("equal")
        axes.axis("off")

    said = "; ".join(f"{name}: {int(count):,}" for name, count in counts)
    return figures.draw(f"Squares whose areas are the layers' parameters. {said}.", paint, size=(7.0, 4.6))


def _scenes(record: Record) -> Figure:
    names = [("X", "O")[label] for label in record["scene_labels"]]
    paints = [
        lambda axes, scene=scene, name=name: pictures.image(axes, scene, name)
        for scene, name in zip(record["scenes"], names, strict=True)
    ]
    drawing = figures.panels(f"{len(names)} coloured scenes with one large letter each: {', '.join(names)}", paints, columns=4)
    return Figure(
        drawing,
        "The first training images of rgb200, generated: a letter of any size, place and colour, and strokes and blots "
        "that belong to none.",
    )
