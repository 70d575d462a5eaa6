"""Pictures show the array that they are given, with its numbers."""

import re

import numpy as np

from cnn_jax.report import figures, pictures


def test_heat_map_writes_every_number() -> None:
    values = np.array([[7 / 9, -1 / 9], [0.0, 1.0]])
    drawing = figures.panels("a map", [lambda axes: pictures.heat_map(axes, values, "map")], columns=1)
    assert re.findall(r">(-?\d\.\d\d)<", drawing) == ["0.78", "-0.11", "0.00", "1.00"]


def test_every_panel_is_drawn() -> None:
    pixels = np.arange(6.0).reshape(2, 3)
    titles = ["one", "two", "three"]
    paints = [lambda axes, title=title: pictures.image(axes, pixels, title) for title in titles]
    drawing = figures.panels("three images", paints, columns=2)
    assert all(f">{title}<" in drawing for title in titles)
    assert drawing.count("<image") == 3
