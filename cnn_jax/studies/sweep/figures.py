"""The figures of a sweep's page: how validation accuracy depends on a field."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.ticker import NullLocator

from cnn_jax.report import figures
from cnn_jax.report.figures import INK, line_style
from cnn_jax.report.tables import setting_text

Line = Mapping[str, Any]

_MOST_LINES = 6  # with a colour each; more are dots of one colour
_WIDE_RANGE = 300  # a ratio of ends; a wider logarithmic axis shows powers of ten only
_MOST_TICKS = 8  # with more values, the axis shows round numbers instead of the values


def by_number(
    lines: Sequence[Line], names: Sequence[str], axis_label: str, best: Any, alt: str, *, is_logarithmic: bool
) -> Markup:
    """Accuracy by a number: a line for each combination of the other fields, or dots when there are many of them.

    names: of the lines. best: the winner's value and mean accuracy, or None.
    """

    def paint(axes: Axes) -> None:
        is_few = len(lines) <= _MOST_LINES
        for index, line in enumerate(lines):
            style = line_style(index) | {"linestyle": "-"} if is_few else line_style(0) | {"linestyle": "none"}
            label = names[index] if is_few and len(lines) > 1 else None
            _points_with_bars(axes, line["points"], label, style)
        if is_logarithmic:
            axes.set_xscale("log")
        values = sorted({point["value"] for line in lines for point in line["points"]})
        _set_ticks(axes, values, is_logarithmic=is_logarithmic)
        if best:
            _ring(axes, best[0], 100 * best[1])
        axes.set_xlabel(axis_label)
        axes.set_ylabel("validation accuracy, %")
        figures.grid(axes)
        if axes.get_legend_handles_labels()[1]:
            axes.legend(loc="best", fontsize=10)

    return figures.draw(alt, paint, size=(7.0, 4.0))


def _points_with_bars(
    axes: Axes, points: Sequence[Mapping[str, Any]], label: str | None, style: Mapping[str, Any]
) -> None:
    """Means with bars from the lowest to the highest seed, and crosses at the bottom where all seeds diverged."""
    done = [point for point in points if point["mean"] is not None]
    values, low, mean, high = ([point[name] for point in done] for name in ("value", "low", "mean", "high"))
    spread = 100 * np.array([np.subtract(mean, low), np.subtract(high, mean)])
    axes.errorbar(values, 100 * np.array(mean), yerr=spread, capsize=3, markersize=6, label=label, **style)
    diverged = [point["value"] for point in points if point["mean"] is None]
    bottom = axes.get_xaxis_transform()
    axes.plot(diverged, [0.03] * len(diverged), "x", color=INK, markersize=8, transform=bottom, clip_on=False)


def _set_ticks(axes: Axes, values: Sequence[float], *, is_logarithmic: bool) -> None:
    if len(values) <= _MOST_TICKS:
        axes.set_xticks(values, [f"{value:,.4g}" if value < 1e4 else f"{value:,.0f}" for value in values])
        axes.xaxis.set_minor_locator(NullLocator())
    elif is_logarithmic:
        is_wide = values[-1] > _WIDE_RANGE * values[0]
        figures.plain_logarithmic(axes.xaxis, digits=(1,) if is_wide else (1, 2, 5))


def _ring(axes: Axes, x: float, y: float) -> None:
    """Marks the winner."""
    axes.plot(
        [x], [y], "o", markersize=15, markerfacecolor="none", markeredgecolor=INK, markeredgewidth=1.5, label="winner"
    )


def by_name(lines: Sequence[Line], names: Sequence[str], axis_label: str, best: Any, alt: str) -> Markup:
    """Accuracy by a field that is not a number: a row for each of its values, with a mark for each setting.

    names: of the values. best: the winner's value and mean accuracy, or None.
    """
    points = [point for line in lines for point in line["points"]]
    settings = [[point for point in points if setting_text(point["value"]) == name] for name in names]

    def paint(axes: Axes) -> None:
        for index, points in enumerate(settings):
            heights = len(names) - 1 - index + np.linspace(0.25, -0.25, len(points) + 2)[1:-1]
            for point, height in zip(points, heights, strict=True):
                _point_in_row(axes, point, height, line_style(index))
                if best and (point["value"], point["mean"]) == best:
                    _ring(axes, 100 * point["mean"], height)
        axes.set_yticks(range(len(names)), list(reversed(names)))
        axes.set_ylim(-0.5, len(names) - 0.5)
        axes.set_xlabel("validation accuracy, %")
        axes.set_ylabel(axis_label)
        figures.grid(axes, "x")
        if best:
            axes.legend(loc="best", fontsize=10)

    return figures.draw(alt, paint, size=(7.0, 1.2 + 0.9 * len(names)))


def _point_in_row(axes: Axes, point: Mapping[str, Any], height: float, style: Mapping[str, Any]) -> None:
    """A mean with a bar from the lowest to the highest seed, or a cross at the left where all seeds diverged."""
    if point["mean"] is None:
        left = axes.get_yaxis_transform()
        axes.plot([0.02], [height], "x", color=INK, markersize=8, transform=left, clip_on=False)
        return
    axes.plot([100 * point["low"], 100 * point["high"]], [height, height], color=style["color"], linewidth=1.5)
    axes.plot([100 * point["mean"]], [height], markersize=6, **style)
