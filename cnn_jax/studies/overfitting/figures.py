"""The figure of an overfitting study."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cnn_jax.report import figures
from cnn_jax.report.figures import INK, line_style
from cnn_jax.report.format import percent

Record = Mapping[str, Any]


def accuracy_and_gap(record: Record, names: Sequence[str]) -> Markup:
    """Training and test accuracy by the number of training images, and below it the gap. names: of the models."""
    in_words = "; ".join(
        f"{result['name']} with {result['train_examples']:,} images {percent(result['train_accuracy']['mean'])} and "
        f"{percent(result['test_accuracy']['mean'])}"
        for result in record["learners"]
    )

    def paint(figure: Figure) -> None:
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
        for index, name in enumerate(names):
            results = [result for result in record["learners"] if result["name"] == name]
            _curve(above, results, "train_accuracy", index, linestyle="--", label=f"{name}, training images")
            _curve(above, results, "test_accuracy", index, linestyle="-", label=f"{name}, test images")
            _curve(below, results, "gap", index, linestyle="-", label=name)
        above.set_ylabel("accuracy, %")
        above.legend(loc="lower right", fontsize=10)
        below.set_ylabel("gap, percentage points")
        below.axhline(0, color=INK, linewidth=0.8)
        below.set_xlabel("number of training images")
        below.set_xscale("log")
        figures.plain_logarithmic(below.xaxis)
        for axes in (above, below):
            figures.grid(axes)

    alt = f"Training and test accuracy by the number of training images: {in_words}."
    return figures.compose(alt, paint, size=(7.0, 6.5))


def _curve(axes: Axes, results: Sequence[Record], measure: str, index: int, **style: Any) -> None:
    sizes = [result["train_examples"] for result in results]
    values = [100 * np.array(result[measure]["values"]) for result in results]
    low, mean, high = ([part(of_size) for of_size in values] for part in (np.min, np.mean, np.max))
    axes.fill_between(sizes, low, high, color=line_style(index)["color"], alpha=0.2, linewidth=0)
    axes.plot(sizes, mean, markersize=5, **line_style(index), **style)
