"""Part 2, convolution filters on X and O, said and drawn."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes

from cnn_jax.report import figures, pictures
from cnn_jax.report.page import Figure, Row, Section, Table

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
            Row([*_letters(record), Figure(_templates(record), "The templates: three of X, six of O.")]),
            _STEPS,
            Row(_step_by_step(record)),
            _NAME,
            "The X under its three templates. A number's row and column are those of its window.",
            Row(_maps(record, "x")),
            "The O under its six templates.",
            Row(_maps(record, "o")),
            _CLASSIFIER + _outcome(record),
            _table(record),
            Figure(_told(record), "The first test images, and what the templates say of them."),
        ],
    )


def _outcome(record: Record) -> str:
    return (
        f"Of {record['examples']:,} test images, letters of random size, place, rotation and thickness with noise, "
        f"they tell {record['right']:,} right: {_percent(record['accuracy'])}."
    )


def _table(record: Record) -> Table:
    accuracies = {**record["accuracy_of"], "both": record["accuracy"]}
    rows = [[name, _percent(accuracy)] for name, accuracy in accuracies.items()]
    return Table("Told right by templates alone", ["letter", "accuracy"], rows)


def _percent(share: float) -> str:
    return f"{100 * share:.2f} %"


def _letters(record: Record) -> list[Figure]:
    described = (("x", "The canonical X, two diagonals"), ("o", "The canonical O, four strokes without corners"))
    return [
        Figure(figures.draw(words, _bitmap(record[name], ""), size=(3.0, 3.0)), f"{words}.")
        for name, words in described
    ]


def _templates(record: Record) -> Markup:
    names = [*record["x_template_names"], *record["o_template_names"]]
    patterns = [*record["x_templates"], *record["o_templates"]]
    paints = [_bitmap(pattern, _folded(name)) for pattern, name in zip(patterns, names, strict=True)]
    return figures.panels(f"Nine templates of 3 x 3 pixels: {', '.join(names)}", paints, columns=3, cell=(1.6, 1.9))


def _step_by_step(record: Record) -> list[Figure]:
    """A figure for each window: the window, the template, their products."""
    steps = zip(*(record[f"step_{name}"] for name in ("places", "windows", "products", "responses")), strict=True)
    return [_step(place, window, record["x_templates"][0], products, mean) for place, window, products, mean in steps]


def _step(place: np.ndarray, window: np.ndarray, template: np.ndarray, products: np.ndarray, mean: float) -> Figure:
    row, column = (int(number) for number in place)
    words = (
        f"Window at row {row}, column {column}: the products' mean is {products.sum():.0f}/{products.size} = {mean:.2f}"
    )
    paints = [_signs(window, "window"), _signs(template, "template"), _signs(products, "products")]
    return Figure(figures.panels(words, paints, columns=3, cell=(1.1, 1.3)), f"{words}.")


def _maps(record: Record, letter: str) -> list[Figure]:
    """A figure for each template of a letter."""
    return [
        Figure(
            figures.draw(
                f"Responses of the {name} on the canonical {letter.upper()}, from {values.min():.2f} to "
                f"{values.max():.2f}, 7 x 7 numbers",
                partial(pictures.heat_map, values=values),
                size=(3.0, 3.0),
            ),
            name,
        )
        for name, values in zip(record[f"{letter}_template_names"], record[f"{letter}_maps"], strict=True)
    ]


def _told(record: Record) -> Markup:
    letters = record["classes"]
    paints, said = [], []
    for bitmap, label, answer in zip(*(record[f"told_{n}"] for n in ("bitmaps", "labels", "answers")), strict=True):
        words = f"{letters[label]}, told right" if label == answer else f"{letters[label]}, told as {letters[answer]}"
        paints.append(_bitmap(bitmap, words))
        said.append(words)
    return figures.panels("; ".join(said), paints, columns=4, cell=(1.4, 1.6))


def _bitmap(pixels: np.ndarray, title: str) -> Paint:
    """Ink and paper, with the pixels' edges."""

    def paint(axes: Axes) -> None:
        pictures.image(axes, pixels, title, low=-1.0, high=1.5)  # ink is dark, and not as dark as the edges
        height, width = pixels.shape
        axes.hlines(np.arange(height + 1) - 0.5, -0.5, width - 0.5, color="black", linewidth=0.3)
        axes.vlines(np.arange(width + 1) - 0.5, -0.5, height - 0.5, color="black", linewidth=0.3)

    return paint


def _signs(values: np.ndarray, title: str) -> Paint:
    """Numbers that are +1 or -1."""
    return lambda axes: pictures.heat_map(axes, values, title, largest=2.0, form="{:+.0f}")


def _folded(name: str) -> str:
    """A name on two lines, for a narrow picture."""
    first, _, last = name.rpartition(" ")
    return f"{first}\n{last}" if first else f"\n{name}"
