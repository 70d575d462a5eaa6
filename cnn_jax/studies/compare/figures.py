"""The drawings of a comparison's page. Each model has a colour and a marker of its own, the same in all of them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from cnn_jax.report import figures, pictures
from cnn_jax.report.figures import COLOURS, INK, MARKERS

Model = Mapping[str, Any]


def _style(index: int) -> dict[str, Any]:
    return {"color": COLOURS[index % len(COLOURS)], "marker": MARKERS[index % len(MARKERS)]}


def strips(models: Sequence[Model], alt: str) -> Markup:
    """Every seed's test accuracy as a mark, a line for each model, with the mean and its interval below the marks."""

    def paint(axes: Axes) -> None:
        for index, model in enumerate(models):
            found, height = model["test_accuracy"], len(models) - 1 - index
            offsets = np.resize([0.08, 0.18, 0.28], len(found["values"]))  # so that equal ones stay apart
            axes.plot(
                _percent(found["values"]), height + offsets, linestyle="none", alpha=0.6, markersize=5, **_style(index)
            )
            _with_interval(axes, found, height - 0.1, index)
        axes.set_yticks(range(len(models)), [model["name"] for model in reversed(models)])
        axes.set_ylim(-0.5, len(models) - 0.5)
        axes.set_xlabel("test accuracy, %")
        axes.grid(axis="x", color=INK, alpha=0.15)

    return figures.draw(alt, paint, size=(7.0, 1.2 + 0.7 * len(models)))


def _with_interval(axes: Axes, found: Mapping[str, Any], height: float, index: int) -> None:
    """A mean as an upright stroke, on a bar that is its interval."""
    colour = COLOURS[index % len(COLOURS)]
    if found["interval"]:
        axes.plot(_percent(found["interval"]), [height, height], color=colour, linewidth=2.5)
    axes.plot(_percent([found["mean"]]), [height], marker="|", markersize=13, markeredgewidth=2.5, color=colour)


def accuracy_against(models: Sequence[Model], alt: str, name: str, words: str) -> Markup:
    """Test accuracy against what a model costs, with intervals where there are some. name: a number of each model."""

    def paint(axes: Axes) -> None:
        for index, model in enumerate(models):
            cost, accuracy = model[name], model["test_accuracy"]
            cost = cost if isinstance(cost, Mapping) else {"mean": cost, "interval": None}
            axes.errorbar(
                cost["mean"],
                100 * accuracy["mean"],
                xerr=_whiskers(cost, 1.0),
                yerr=_whiskers(accuracy, 100.0),
                markersize=8,
                capsize=3,
                linestyle="none",
                label=model["name"],
                **_style(index),
            )
        axes.set_xscale("log")
        figures.plain_logarithmic(axes.xaxis)
        axes.set_xlabel(words)
        axes.set_ylabel("test accuracy, %")
        axes.grid(color=INK, alpha=0.15)
        axes.legend(loc="best", fontsize=10)

    return figures.draw(alt, paint, size=(7.0, 4.0))


def _whiskers(found: Mapping[str, Any], factor: float) -> list[list[float]] | None:
    if not found["interval"]:
        return None
    low, high = found["interval"]
    return [[factor * (found["mean"] - low)], [factor * (high - found["mean"])]]


def curves(models: Sequence[Model], alt: str, name: str, words: str) -> Markup:
    """A measure of training over the epochs: the mean of the seeds in a band from the lowest to the highest."""

    def paint(axes: Axes) -> None:
        factor = 100 if name.endswith("accuracy") else 1
        for index, model in enumerate(models):
            band = model["curves"].get(name, [])
            epochs = np.arange(1, len(band) + 1)
            low, mean, high = (factor * np.array([row[part] for row in band]) for part in ("low", "mean", "high"))
            axes.fill_between(epochs, low, high, color=COLOURS[index % len(COLOURS)], alpha=0.2, linewidth=0)
            axes.plot(epochs, mean, markersize=5, label=model["name"], **_style(index))
        if factor == 1:
            axes.set_yscale("log")
            figures.plain_logarithmic(axes.yaxis)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel("epoch")
        axes.set_ylabel(words)
        axes.grid(color=INK, alpha=0.15)
        axes.legend(loc="best", fontsize=10)

    return figures.draw(alt, paint, size=(7.0, 4.0))


def gallery(
    found: Sequence[Mapping[str, Any]], images: Mapping[int, np.ndarray], titles: Sequence[str], alt: str
) -> Markup:
    """Test images with a title each. images: uint8 [H, W, C] by their index."""
    paints = [
        lambda axes, image=images[item["index"]], title=title: pictures.image(axes, _pixels(image), title)
        for item, title in zip(found, titles, strict=True)
    ]
    return figures.panels(alt, paints, columns=4, cell=(1.5, 1.9))


def _pixels(image: np.ndarray) -> np.ndarray:
    return image[..., 0] if image.shape[-1] == 1 else image / 255


def _percent(values: Sequence[float]) -> np.ndarray:
    return 100 * np.asarray(values)
