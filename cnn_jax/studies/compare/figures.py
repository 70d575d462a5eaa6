"""The figures of a comparison's page. Each model has the same colour and marker in all of them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from cnn_jax.report import figures, pictures
from cnn_jax.report.figures import line_style

Model = Mapping[str, Any]


def accuracy_by_seed(models: Sequence[Model], alt: str) -> Markup:
    """A row for each model: every seed's test accuracy as a mark, and below the marks the mean and its interval."""

    def paint(axes: Axes) -> None:
        for index, model in enumerate(models):
            accuracy, height = model["test_accuracy"], len(models) - 1 - index
            offsets = np.resize([0.08, 0.18, 0.28], len(accuracy["values"]))  # keep equal accuracies apart
            axes.plot(
                100 * np.array(accuracy["values"]),
                height + offsets,
                linestyle="none",
                alpha=0.6,
                markersize=5,
                **line_style(index),
            )
            _mean_and_interval(axes, accuracy, height - 0.1, line_style(index)["color"])
        axes.set_yticks(range(len(models)), [model["name"] for model in reversed(models)])
        axes.set_ylim(-0.5, len(models) - 0.5)
        axes.set_xlabel("test accuracy, %")
        figures.grid(axes, "x")

    return figures.draw(alt, paint, size=(7.0, 1.2 + 0.7 * len(models)))


def _mean_and_interval(axes: Axes, estimate: Mapping[str, Any], height: float, colour: str) -> None:
    """The mean as a vertical stroke on a horizontal bar, which is its interval."""
    if estimate["interval"]:
        low, high = estimate["interval"]
        axes.plot([100 * low, 100 * high], [height, height], color=colour, linewidth=2.5)
    axes.plot([100 * estimate["mean"]], [height], marker="|", markersize=13, markeredgewidth=2.5, color=colour)


def accuracy_against(models: Sequence[Model], alt: str, cost_name: str, axis_label: str) -> Markup:
    """Test accuracy against a cost of each model, with intervals where there are some.

    cost_name: the key of a number or of an estimate of each model.
    """

    def paint(axes: Axes) -> None:
        for index, model in enumerate(models):
            cost, accuracy = model[cost_name], model["test_accuracy"]
            cost = cost if isinstance(cost, Mapping) else {"mean": cost, "interval": None}
            axes.errorbar(
                cost["mean"],
                100 * accuracy["mean"],
                xerr=_error_bar(cost, 1.0),
                yerr=_error_bar(accuracy, 100.0),
                markersize=8,
                capsize=3,
                linestyle="none",
                label=model["name"],
                **line_style(index),
            )
        axes.set_xscale("log")
        figures.plain_logarithmic(axes.xaxis)
        axes.set_xlabel(axis_label)
        axes.set_ylabel("test accuracy, %")
        figures.grid(axes)
        axes.legend(loc="best", fontsize=10)

    return figures.draw(alt, paint, size=(7.0, 4.0))


def _error_bar(estimate: Mapping[str, Any], scale: float) -> list[list[float]] | None:
    if not estimate["interval"]:
        return None
    low, high = estimate["interval"]
    return [[scale * (estimate["mean"] - low)], [scale * (high - estimate["mean"])]]


def curves(models: Sequence[Model], alt: str, measure: str, axis_label: str) -> Markup:
    """A measure by epoch: for each model the mean over the seeds, in a band from the lowest to the highest seed."""

    def paint(axes: Axes) -> None:
        scale = 100 if measure.endswith("accuracy") else 1
        for index, model in enumerate(models):
            band = model["curves"].get(measure, [])
            epochs = np.arange(1, len(band) + 1)
            low, mean, high = (scale * np.array([row[part] for row in band]) for part in ("low", "mean", "high"))
            axes.fill_between(epochs, low, high, color=line_style(index)["color"], alpha=0.2, linewidth=0)
            axes.plot(epochs, mean, markersize=5, label=model["name"], **line_style(index))
        if scale == 1:
            axes.set_yscale("log")
            figures.plain_logarithmic(axes.yaxis)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel("epoch")
        axes.set_ylabel(axis_label)
        figures.grid(axes)
        axes.legend(loc="best", fontsize=10)

    return figures.draw(alt, paint, size=(7.0, 4.0))


def gallery(
    items: Sequence[Mapping[str, Any]], images: Mapping[int, np.ndarray], titles: Sequence[str], alt: str
) -> Markup:
    """Test images with a title each. items: each with the index of an image. images: uint8 [H, W, C] by index."""
    paints = [
        lambda axes, image=images[item["index"]], title=title: pictures.image(axes, image, title)
        for item, title in zip(items, titles, strict=True)
    ]
    return figures.panels(alt, paints, columns=4, cell=(1.5, 1.9))
