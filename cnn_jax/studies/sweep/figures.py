"""The drawings of a sweep's page: how validation accuracy responds to a field."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullLocator

from cnn_jax.report import figures
from cnn_jax.report.figures import COLOURS, INK, MARKERS

Line = Mapping[str, Any]

MOST_LINES = 6  # a colour each
_MANY_TIMES = 300  # from here on, powers of ten alone are written below a logarithmic axis
_MOST_TICKS = 8  # values that are written below the axis; of more, round numbers are


def numbers(
    lines: Sequence[Line], names: Sequence[str], words: str, best: Any, alt: str, *, logarithmic: bool
) -> Markup:
    """Accuracy against a number: a line for each of a few combinations of the other fields, dots for many.

    names: of the lines. best: the winner's (value, mean), or None.
    """

    def paint(axes: Axes) -> None:
        few = len(lines) <= MOST_LINES
        for index, line in enumerate(lines):
            style = {"color": COLOURS[index], "marker": MARKERS[index]} if few else {"color": COLOURS[0], "marker": "o"}
            label = names[index] if few and len(lines) > 1 else None
            _upright(axes, line["points"], label, {**style, "linestyle": "-" if few else "none"})
        if logarithmic:
            axes.set_xscale("log")
        _ticks(axes, sorted({point["value"] for line in lines for point in line["points"]}), logarithmic=logarithmic)
        if best:
            _ring(axes, best[0], 100 * best[1])
        axes.set_xlabel(words)
        axes.set_ylabel("validation accuracy, %")
        axes.grid(color=INK, alpha=0.15)
        if axes.get_legend_handles_labels()[1]:
            axes.legend(loc="best", fontsize=10)

    return figures.draw(alt, paint, size=(7.0, 4.0))


def _upright(axes: Axes, points: Sequence[Mapping[str, Any]], label: str | None, style: Mapping[str, Any]) -> None:
    """Means with bars from the lowest to the highest seed; crosses at the bottom where all have diverged."""
    done = [point for point in points if point["mean"] is not None]
    values, low, mean, high = ([point[name] for point in done] for name in ("value", "low", "mean", "high"))
    spread = 100 * np.array([np.subtract(mean, low), np.subtract(high, mean)])
    axes.errorbar(values, 100 * np.array(mean), yerr=spread, capsize=3, markersize=6, label=label, **style)
    bad = [point["value"] for point in points if point["mean"] is None]
    bottom = axes.get_xaxis_transform()
    axes.plot(bad, [0.03] * len(bad), "x", color=INK, markersize=8, transform=bottom, clip_on=False)


def _ticks(axes: Axes, values: Sequence[float], *, logarithmic: bool) -> None:
    if len(values) <= _MOST_TICKS:
        axes.set_xticks(values, [f"{value:,.4g}" if value < 1e4 else f"{value:,.0f}" for value in values])
        axes.xaxis.set_minor_locator(NullLocator())
    elif logarithmic:
        figures.plain_logarithmic(axes.xaxis)
        if values[-1] > _MANY_TIMES * values[0]:
            axes.xaxis.set_major_locator(LogLocator())


def _ring(axes: Axes, x: float, y: float) -> None:
    """What tells the winner from the others."""
    axes.plot(
        [x], [y], "o", markersize=15, markerfacecolor="none", markeredgecolor=INK, markeredgewidth=1.5, label="winner"
    )


def words(lines: Sequence[Line], names: Sequence[str], title: str, best: Any, alt: str) -> Markup:
    """Accuracy by a field that is no number: a row for each of its values, in it a mark for each setting that has it.

    names: of the values, as the points have them. best: the winner's (value, mean), or None.
    """
    settings = {name: [p for line in lines for p in line["points"] if p["value"] == name] for name in names}

    def paint(axes: Axes) -> None:
        for index, (name, points) in enumerate(settings.items()):
            style = {"color": COLOURS[index % len(COLOURS)], "marker": MARKERS[index % len(MARKERS)]}
            heights = len(names) - 1 - index + np.linspace(0.25, -0.25, len(points) + 2)[1:-1]
            for point, height in zip(points, heights, strict=True):
                _level(axes, point, height, style)
                if best and (name, point["mean"]) == tuple(best):
                    _ring(axes, 100 * point["mean"], height)
        axes.set_yticks(range(len(names)), list(reversed(names)))
        axes.set_ylim(-0.5, len(names) - 0.5)
        axes.set_xlabel("validation accuracy, %")
        axes.set_ylabel(title)
        axes.grid(axis="x", color=INK, alpha=0.15)
        if best:
            axes.legend(loc="best", fontsize=10)

    return figures.draw(alt, paint, size=(7.0, 1.2 + 0.9 * len(names)))


def _level(axes: Axes, point: Mapping[str, Any], height: float, style: Mapping[str, Any]) -> None:
    if point["mean"] is None:
        left = axes.get_yaxis_transform()
        axes.plot([0.02], [height], "x", color=INK, markersize=8, transform=left, clip_on=False)
        return
    axes.plot([100 * point["low"], 100 * point["high"]], [height, height], color=style["color"], linewidth=1.5)
    axes.plot([100 * point["mean"]], [height], markersize=6, **style)
