"""Pictures show the array that they are given, with its numbers."""

import io
import re

import numpy as np
import pytest
from PIL import Image

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


@pytest.mark.parametrize(
    ("shape", "size", "media_type"),
    [
        ((28, 28, 1), (28, 28), "image/png"),
        ((32, 20, 3), (20, 32), "image/png"),
        ((9, 9, 2), (9, 9), "image/png"),
        ((9, 9, 4), (9, 9), "image/png"),
        ((300, 200, 3), (64, 96), "image/jpeg"),
        ((10, 480, 1), (96, 2), "image/jpeg"),
    ],
)
def test_tile_of_any_image_is_small_and_keeps_its_form(
    shape: tuple[int, ...], size: tuple[int, int], media_type: str
) -> None:
    content, found = pictures.tile(np.full(shape, 200, np.uint8))
    picture = Image.open(io.BytesIO(content))
    assert (picture.size, found) == (size, media_type)
    assert picture.getextrema() == (((200, 200),) * 3 if shape[2] == 3 else (55, 55))  # ink is dark


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_image_with_any_number_of_channels_is_drawn(channels: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (8, 6, channels), dtype=np.uint8)
    drawing = pictures.gallery("an image", [pixels], ["image"], columns=1)
    mean = pictures.gallery("an image", [pixels.mean(axis=2)], ["image"], columns=1)
    assert (drawing == mean) == (channels != 3)
