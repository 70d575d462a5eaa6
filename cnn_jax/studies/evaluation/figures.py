"""The figures of an evaluation's page."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cnn_jax.report import figures, pictures
from cnn_jax.report.figures import INK, line_style
from cnn_jax.report.format import percent

Record = Mapping[str, Any]

_FEW_PREDICTIONS = 10  # a share of fewer is mostly chance
_GAP = 4  # pixels between the strengths of a corruption


def reliability(record: Record) -> Markup:
    """The reliability diagram of all runs, above the number of predictions in each bin."""
    lines = [(f"{run['name']}, {who}", bins) for run in record["runs"] for who, bins in run["reliability"].items()]

    def paint(figure: Figure) -> None:
        above, below = figure.subplots(2, sharex=True, height_ratios=(3, 1.2))
        above.plot([0, 1], [0, 1], color=INK, linestyle=":", linewidth=1)
        for index, (name, bins) in enumerate(lines):
            look = {**line_style(index), "markersize": 5}
            filled = [bin for bin in bins if bin["count"] >= _FEW_PREDICTIONS]
            above.plot([b["confidence"] for b in filled], [b["accuracy"] for b in filled], label=name, **look)
            below.plot([b["confidence"] for b in filled], [b["count"] for b in filled], **look)
        above.set(ylabel="accuracy", ylim=(-0.03, 1.03), xlim=(-0.03, 1.03))
        below.set(xlabel="confidence: the largest probability", ylabel="predictions", yscale="log")
        figures.plain_logarithmic(below.yaxis, digits=(1,))
        above.legend(loc="lower right", fontsize=9)
        for axes in (above, below):
            figures.grid(axes)

    errors = "; ".join(
        f"{run['name']}: {percent(run['mean']['calibration_error']['mean'])} calibration error"
        for run in record["runs"]
    )
    return figures.compose(f"Reliability diagram. {errors}.", paint, size=(6.0, 6.0))


def accuracy_by_strength(corruptions: Record) -> Markup:
    """Accuracy by strength: a diagram for each corruption, a line for each run."""
    in_words = "; ".join(
        f"{run['name']} falls from {percent(run['mean'][name][0]['mean'], 0)} to "
        f"{percent(run['mean'][name][-1]['mean'], 0)} by {name}"
        for name in corruptions["kinds"]
        for run in corruptions["runs"]
    )
    paints = [_curves(corruptions, name) for name in corruptions["kinds"]]
    columns = min(2, len(paints))
    return figures.panels(f"Accuracy by strength: {in_words}.", paints, columns=columns, cell=(2.9, 2.6))


def _curves(corruptions: Record, name: str) -> Callable[[Axes], None]:
    """Paints the curves of one corruption."""
    kind = corruptions["kinds"][name]

    def paint(axes: Axes) -> None:
        for index, run in enumerate(corruptions["runs"]):
            means = [100 * estimate["mean"] for estimate in run["mean"][name]]
            bounds = [estimate["interval"] or (estimate["mean"], estimate["mean"]) for estimate in run["mean"][name]]
            low, high = (100 * np.array(side) for side in zip(*bounds, strict=True))
            axes.fill_between(range(len(means)), low, high, color=line_style(index)["color"], alpha=0.2, linewidth=0)
            axes.plot(means, markersize=4, label=run["name"], **line_style(index))
        axes.set(title=name, xlabel=kind["unit"], ylabel="accuracy, %", ylim=(0, 103))
        axes.set_xticks(range(len(kind["amounts"])), [f"{amount:g}" for amount in kind["amounts"]])
        figures.grid(axes)
        axes.legend(loc="lower left", fontsize=9)

    return paint


def corrupted_images(samples: Mapping[str, np.ndarray]) -> Markup:
    """A row for each corruption: the strengths from left to right, each with all images.

    samples: uint8 [6, N, H, W, C] for each corruption.
    """

    def paint(figure: Figure) -> None:
        rows = figure.subplots(len(samples), 1, squeeze=False)[:, 0]
        for axes, (name, images) in zip(rows, samples.items(), strict=True):
            strengths = [np.pad(np.concatenate(strength, 1), ((0, 0), (0, _GAP), (0, 0))) for strength in images]
            pictures.image(axes, np.concatenate(strengths, axis=1), low=0, high=255)
            axes.set_title(name, loc="left", fontsize=10)
            axes.set_axis_off()

    alt = f"Test images with {', '.join(samples)}, each from strength 0 on the left to 5 on the right."
    return figures.compose(alt, paint, size=(6.5, 0.75 * len(samples)))
