"""Part 2, convolution filters on X and O, said and drawn."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes

from cnn_jax.reporting import figures, pictures
from cnn_jax.reporting.page import Figure, Section, Table

Record = Mapping[str, Any]
Paint = Callable[[Axes], None]

_BITMAPS = (
    "An X and an O of 9 x 9 pixels. Ink is +1 and paper is -1, so that a product of two pixels is +1 where they agree "
    "and -1 where they do not. The templates are small bitmaps of the same kind: two diagonals and a crossing for X, "
    "two straight strokes and four corners for O."
)
_STEPS = (
    "To ask where the X has a piece of a diagonal, lay the template on a window of 3 x 3 pixels, multiply pixel by "
    "pixel, and take the mean. It is 1 where all nine agree and -1 where none does; each wrong pixel costs 2/9. Then "
    "move on by one pixel. A 9 x 9 bitmap has 7 x 7 windows, so that the result is a map of 7 x 7 numbers."
)
_NAME = (
    "What networks call convolution is cross-correlation: the filter is laid on the window as it is, whereas the "
    "convolution of mathematics turns it by 180 degrees first. A network that learns its filters does not care. Up to "
    "the division by nine, the maps below are what a convolution layer with these filters computes."
)
_CLASSIFIER = (
    "The maps are enough to tell X from O without any learning. Let windows vote: for X where at most one pixel "
    "differs from one of its three templates, for O where at most one differs from a straight stroke; where there are "
    "as many of both, the larger mean of the best responses decides. The O's corners have no vote, because in small "
    "and turned letters they are as near to a diagonal of the X. "
)


def section(record: Record) -> Section:
    """Bitmaps, templates, single windows, maps, and what they can tell. record: of `lesson/templates.py`."""
    return Section(
        "Convolution filters on X and O",
        [
            _BITMAPS,
            Figure(_bitmaps(record), "The canonical letters. Each grey square is a pixel with ink."),
            Figure(_templates(record), "The templates: three of X, six of O."),
            _STEPS,
            Figure(_step_by_step(record), "Three windows of the X under the left-to-right diagonal, worked out."),
            _NAME,
            Figure(_maps(record, "x"), "The X under its three templates. Row and column of a number are the window's."),
            Figure(_maps(record, "o"), "The O under its six templates."),
            _CLASSIFIER + _outcome(record),
            _table(record),
            Figure(_told(record), "The first test images, and what the templates say of them."),
        ],
    )


def _outcome(record: Record) -> str:
    return (
        f"Of {record['examples']:,} test images, letters of random size, place, rotation and thickness with noise, "
        f"it tells {record['right']:,} right: {record['accuracy']:.2%}."
    )


def _table(record: Record) -> Table:
    rows = [[name, f"{accuracy:.2%}"] for name, accuracy in record["accuracy_of"].items()]
    return Table("Told right by templates alone", ["letter", "accuracy"], [*rows, ["both", f"{record['accuracy']:.2%}"]])


def _bitmaps(record: Record) -> Markup:
    paints = [_bitmap(record["x"], "X"), _bitmap(record["o"], "O")]
    return figures.panels("The canonical X, two diagonals, and the canonical O, a ring", paints, columns=2, cell=(2.2, 2.4))


def _templates(record: Record) -> Markup:
    names = [*record["x_template_names"], *record["o_template_names"]]
    patterns = [*record["x_templates"], *record["o_templates"]]
    paints = [_bitmap(pattern, _folded(name)) for pattern, name in zip(patterns, names, strict=True)]
    return figures.panels(f"Nine templates of 3 x 3 pixels: {', '.join(names)}", paints, columns=5, cell=(1.4, 1.7))


def _step_by_step(record: Record) -> Markup:
    """A row for each window: the window, the template, their products."""
    paints: list[Paint] = []
    said = []
    template = record["x_templates"][0]
    for place, window, products, response in zip(
        *(record[f"step_{name}"] for name in ("places", "windows", "products", "responses")), strict=True
    ):
        row, column = (int(number) for number in place)
        total = f"{products.sum():.0f}/{products.size}"
        paints += [
            _signs(window, f"window at ({row}, {column})"),
            _signs(template, "times the template"),
            _signs(products, f"products: mean {total} = {response:.2f}"),
        ]
        said.append(f"at ({row}, {column}) the products sum to {products.sum():.0f} and their mean is {response:.2f}")
    return figures.panels(f"Windows of the X: {'; '.join(said)}", paints, columns=3, cell=(2.3, 2.2))


def _maps(record: Record, letter: str) -> Markup:
    names, maps = record[f"{letter}_template_names"], record[f"{letter}_maps"]
    paints: list[Paint] = [
        lambda axes, values=values, name=name: pictures.heat_map(axes, values, name)
        for values, name in zip(maps, names, strict=True)
    ]
    said = "; ".join(f"{name} from {values.min():.2f} to {values.max():.2f}" for name, values in zip(names, maps, strict=True))
    return figures.panels(
        f"Maps of 7 x 7 responses on the canonical {letter.upper()}: {said}", paints, columns=3, cell=(3.0, 3.2)
    )


def _told(record: Record) -> Markup:
    letters = ("X", "O")
    paints, said = [], []
    for bitmap, label, answer in zip(*(record[f"told_{n}"] for n in ("bitmaps", "labels", "answers")), strict=True):
        words = f"{letters[label]}, told right" if label == answer else f"{letters[label]}, told as {letters[answer]}"
        paints.append(_bitmap(bitmap, words))
        said.append(words)
    return figures.panels("; ".join(said), paints, columns=6, cell=(1.3, 1.5))


def _bitmap(pixels: np.ndarray, title: str) -> Paint:
    """Ink and paper, with the pixels' edges."""

    def paint(axes: Axes) -> None:
        pictures.image(axes, pixels, title, low=-1.0, high=1.6)  # ink is a dark grey, seen on any ground
        height, width = pixels.shape
        axes.hlines(np.arange(height + 1) - 0.5, -0.5, width - 0.5, color=figures.INK, linewidth=0.3)
        axes.vlines(np.arange(width + 1) - 0.5, -0.5, height - 0.5, color=figures.INK, linewidth=0.3)

    return paint


def _signs(values: np.ndarray, title: str) -> Paint:
    """Numbers that are +1 or -1."""
    return lambda axes: pictures.heat_map(axes, values, title, form="{:+.0f}")


def _folded(name: str) -> str:
    """A name on two lines, for a narrow picture."""
    first, _, last = name.rpartition(" ")
    return f"{first}\n{last}" if first else f"\n{name}"
