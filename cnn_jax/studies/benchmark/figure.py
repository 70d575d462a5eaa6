"""The drawing of a benchmark's page: the roofline."""

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup
from matplotlib.axes import Axes

from cnn_jax.report.figures import COLOURS, INK, MARKERS, draw, plain_logarithmic
from cnn_jax.report.format import percent


def roofline(title: str, peaks: Mapping[str, float], works: Sequence[Mapping[str, Any]]) -> Markup:
    """The device's peaks as a line, and a marker for each piece of work that multiplies.

    peaks, works: parts of a record, as `record.roofline` makes them.
    """
    peak, bandwidth = peaks["multiply_adds_per_second"], peaks["bytes_per_second"]
    points = [work for work in works if work["multiply_adds"]]
    ridge = peak / bandwidth
    intensities = [ridge, *(point["multiply_adds_per_byte"] for point in points)]
    low, high = min(intensities) / 4, max(intensities) * 4

    def paint(axes: Axes) -> None:
        axes.loglog([low, ridge, high], [low * bandwidth / 1e9, peak / 1e9, peak / 1e9], color=INK, linewidth=1.5)
        axes.axvline(ridge, color=INK, linewidth=0.8, linestyle=":")
        for index, point in enumerate(points):
            axes.plot(
                point["multiply_adds_per_byte"],
                point["multiply_adds_per_second"] / 1e9,
                marker=MARKERS[index % len(MARKERS)],
                color=COLOURS[index % len(COLOURS)],
                markersize=9,
                linestyle="none",
                label=f"{point['name']}, {percent(point['share'], 0)} of its bound",
            )
        axes.set_xlabel("multiply-adds per byte moved")
        axes.set_ylabel("10⁹ multiply-adds/s")
        for axis in (axes.xaxis, axes.yaxis):
            plain_logarithmic(axis)
        axes.grid(which="major", color=INK, alpha=0.15)
        axes.legend(loc="lower right", fontsize=10)

    shares = "; ".join(f"{p['name']} reaches {percent(p['share'], 0)} of its {p['bound']} bound" for p in points)
    return draw(f"{title}: {shares}.", paint)
