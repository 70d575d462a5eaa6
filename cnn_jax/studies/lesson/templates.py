"""Part 2, convolution filters on X and O: templates, their maps, and a classifier made of them without learning."""

import textwrap
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from cnn_jax.data import x_and_o
from cnn_jax.data.dataset import Dataset
from cnn_jax.report import figures, pictures
from cnn_jax.report.format import percent
from cnn_jax.report.page import Figure, Row, Section, Table
from cnn_jax.studies.lesson import template_matching
from cnn_jax.studies.lesson.formats import Record

ARRAYS: Mapping[str, str] = {
    "x": "float32 [9, 9]: the canonical X, ink +1 and paper -1",
    "o": "float32 [9, 9]: the canonical O",
    "x_templates": "float64 [3, 3, 3]: the templates of X, named in `x_template_names`",
    "x_maps": "float64 [3, 7, 7]: their responses on the canonical X",
    "o_templates": "float64 [6, 3, 3]: the templates of O, named in `o_template_names`",
    "o_maps": "float64 [6, 7, 7]: their responses on the canonical O",
    "step_places": "int64 [3, 2]: row and column of the windows that are shown step by step",
    "step_windows": "float64 [3, 3, 3]: those windows of the canonical X",
    "step_products": "float64 [3, 3, 3]: their products with the first template",
    "step_responses": "float64 [3]: the means of the products",
    "test_bitmaps": "float32 [12, 9, 9]: the first test images of x_and_o",
    "test_labels": "int32 [12]: their labels, 0 for X, 1 for O",
    "test_answers": "int32 [12]: the answers of the templates",
}

_STEPS = ((0, 0), (1, 1), (0, 1))  # one wrong pixel; a match; five wrong pixels
_SHOWN = 12


def compute(dataset: Dataset) -> dict[str, Any]:
    """Applies the templates to the canonical letters, and classifies test images with them. dataset: `x_and_o`."""
    x, o = (dataset.spec.inputs(x_and_o.canonical(label)) for label in (x_and_o.LABEL_X, x_and_o.LABEL_O))
    bitmaps, labels = dataset.spec.inputs(dataset.test.images[..., 0]), dataset.test.labels
    answers = np.where(template_matching.looks_like_x(bitmaps), x_and_o.LABEL_X, x_and_o.LABEL_O).astype(np.int32)
    is_right = answers == labels
    return {
        "x": x,
        "o": o,
        **_responses("x", x, template_matching.OF_X),
        **_responses("o", o, template_matching.OF_O),
        **_step_by_step(x, next(iter(template_matching.OF_X.values()))),
        "classes": list(dataset.spec.classes),
        "test_bitmaps": bitmaps[:_SHOWN],
        "test_labels": labels[:_SHOWN],
        "test_answers": answers[:_SHOWN],
        "accuracy": float(np.mean(is_right)),
        "right": int(np.sum(is_right)),
        "examples": len(labels),
        "accuracy_of": {
            name: float(np.mean(is_right[labels == label])) for label, name in enumerate(dataset.spec.classes)
        },
    }


def _responses(letter: str, bitmap: np.ndarray, templates: Mapping[str, np.ndarray]) -> dict[str, Any]:
    return {
        f"{letter}_template_names": list(templates),
        f"{letter}_templates": np.stack(list(templates.values())),
        f"{letter}_maps": np.stack([template_matching.response(bitmap, pattern) for pattern in templates.values()]),
    }


def _step_by_step(bitmap: np.ndarray, pattern: np.ndarray) -> dict[str, np.ndarray]:
    """Some windows, with their products and means."""
    height, width = pattern.shape
    windows = np.stack([bitmap[row : row + height, column : column + width] for row, column in _STEPS])
    products = windows * pattern
    return {
        "step_places": np.array(_STEPS),
        "step_windows": windows.astype(np.float64),
        "step_products": products,
        "step_responses": products.mean(axis=(1, 2)),
    }


_STEPS_WORDS = (
    "Where does the X contain a piece of a diagonal? Lay the template over a window of 3 x 3 pixels, multiply pixel by "
    "pixel, and take the mean of the nine products. The mean is 1 where all nine pixels agree and -1 where none "
    "agrees; each wrong pixel lowers it by 2/9. Then move the template by one pixel and repeat. A picture of 9 x 9 "
    "pixels has 7 x 7 windows, so that the result is a map of 7 x 7 numbers."
)
_CLASSIFIER_WORDS = (
    "The maps are enough to tell X from O without any learning, by a vote of the windows. A window votes for X where "
    "at most one pixel differs from one of the three X templates, and for O where at most one pixel differs from a "
    "straight stroke. If both letters have the same number of votes, the letter with the larger mean of the best "
    "responses wins. The corners of the O do not vote: in small and rotated letters they look like a piece of an X."
)


def section(record: Record) -> Section:
    """The part as a section of the page. record: from `compute`."""
    accuracies = {name: percent(accuracy) for name, accuracy in record["accuracy_of"].items()}
    accuracies["both"] = percent(record["accuracy"])
    return Section(
        "Convolution filters on X and O",
        [
            "The pictures show an X and an O of 9 x 9 pixels. Ink has the value +1 and paper has the value -1, so that "
            "the product of two pixels is +1 where they agree and -1 where they differ. The templates are small "
            "pictures of the same kind: two diagonals and a crossing for the X, two straight strokes and four corners "
            "for the O.",
            _letters_and_templates(record),
            _STEPS_WORDS,
            _steps(record),
            "In neural networks this operation is called convolution. Its exact name is cross-correlation: the "
            "convolution of mathematics turns the filter by 180 degrees first. For a network this makes no difference, "
            "because it learns its filters. A convolution layer with these filters computes the maps below, multiplied "
            "by nine.",
            "The maps of the three X templates on the X. Each number stands at the row and column of its window, and "
            "its colour is that of the scale.",
            _scale(),
            _maps(record, "x"),
            "The maps of the six O templates on the O.",
            _maps(record, "o"),
            _CLASSIFIER_WORDS,
            f"The templates classify {record['right']:,} of {record['examples']:,} test images correctly: "
            f"{accuracies['both']}. The test images are letters of random size, position, rotation and "
            "thickness, with noise.",
            Table("Accuracy of the templates", ["letter", "accuracy"], list(accuracies.items())),
            _answers(record),
        ],
    )


def _letters_and_templates(record: Record) -> Row:
    x, o = "The X: two diagonals", "The O: four strokes without corners"
    names = [*record["x_template_names"], *record["o_template_names"]]
    patterns = [*record["x_templates"], *record["o_templates"]]
    paints = [_bitmap(pattern, textwrap.fill(name, 14)) for pattern, name in zip(patterns, names, strict=True)]
    alt = f"Nine templates of 3 x 3 pixels: {', '.join(names)}"
    return Row(
        [
            Figure(figures.draw(x, _bitmap(record["x"], ""), size=(3.0, 3.0)), f"{x}."),
            Figure(figures.draw(o, _bitmap(record["o"], ""), size=(3.0, 3.0)), f"{o}."),
            Figure(figures.panels(alt, paints, columns=3, cell=(1.6, 1.9)), "The templates: three for X, six for O."),
        ]
    )


def _steps(record: Record) -> Row:
    """A figure for each window that is shown step by step: the window, the template and their products."""
    found, signs = [], partial(pictures.heat_map, largest=2.0, form="{:+.0f}")
    for index, (row, column) in enumerate(record["step_places"]):
        window, products = record["step_windows"][index], record["step_products"][index]
        words = (
            f"Window at row {row}, column {column}: the mean of the products is {products.sum():.0f}/{products.size} = "
            f"{record['step_responses'][index]:.2f}"
        )
        arrays = {"window": window, "template": record["x_templates"][0], "products": products}
        paints = [partial(signs, values=values, title=title) for title, values in arrays.items()]
        found.append(Figure(figures.panels(words, paints, columns=3, cell=(1.1, 1.3)), f"{words}."))
    return Row(found)


def _maps(record: Record, letter: str) -> Row:
    """A figure for each template of a letter."""
    found = []
    for name, values in zip(record[f"{letter}_template_names"], record[f"{letter}_maps"], strict=True):
        alt = f"Map of the {name} on the {letter.upper()}: 7 x 7 numbers from {values.min():.2f} to {values.max():.2f}"
        drawing = figures.draw(alt, partial(pictures.heat_map, values=values), size=(3.0, 3.0))
        found.append(Figure(drawing, f"{name[:1].upper()}{name[1:]}."))
    return Row(found)


def _scale() -> Figure:
    alt = "The scale of colours: dark blue is \u22121, no pixel agrees; white is 0; dark red is +1, all pixels agree."
    return Figure(pictures.scale_alone(alt, 1.0), "The scale of the maps: at \u22121 no pixel agrees, at +1 all do.")


def _answers(record: Record) -> Figure:
    classes, titles, paints = record["classes"], [], []
    for bitmap, label, answer in zip(*(record[f"test_{n}"] for n in ("bitmaps", "labels", "answers")), strict=True):
        verdict = "correct" if label == answer else f"answer {classes[answer]}"
        titles.append(f"{classes[label]}: {verdict}")
        paints.append(_bitmap(bitmap, titles[-1]))
    drawing = figures.panels("; ".join(titles), paints, columns=4, cell=(1.4, 1.6))
    return Figure(drawing, "The first test images. Above each: its letter and the answer of the templates.")


def _bitmap(pixels: np.ndarray, title: str) -> Callable[[Axes], None]:
    """Ink and paper, with the edges of the pixels."""

    def paint(axes: Axes) -> None:
        pictures.image(axes, pixels, title, low=-1.0, high=1.5)  # ink is dark, but lighter than the edges
        height, width = pixels.shape
        axes.hlines(np.arange(height + 1) - 0.5, -0.5, width - 0.5, color="black", linewidth=0.3)
        axes.vlines(np.arange(width + 1) - 0.5, -0.5, height - 0.5, color="black", linewidth=0.3)

    return paint
