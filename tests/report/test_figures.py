"""Axes have numbers, whatever they span."""

from xml.etree import ElementTree

import pytest
from matplotlib.axes import Axes

from cnn_jax.report import figures


@pytest.mark.parametrize(("low", "high"), [(1, 900), (20, 50_000), (7e-7, 2e3), (1e-20, 1e20)])
def test_logarithmic_axis_has_between_3_and_15_numbers(low: float, high: float) -> None:
    def paint(axes: Axes) -> None:
        axes.plot([low, high], [1, 2])
        axes.set_xscale("log")
        figures.plain_logarithmic(axes.xaxis)

    svg = figures.draw("a line that rises", paint, size=(7.0, 4.0))
    ticks = [group for group in ElementTree.fromstring(svg).iter() if group.get("id", "").startswith("xtick_")]
    assert 3 <= sum(any(part.tag.endswith("}text") for part in tick.iter()) for tick in ticks) <= 15
