"""Pictures show the array that they are given, with its numbers."""

import base64
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


def test_scale_of_colours_has_its_ends_and_zero_labelled() -> None:
    drawing = pictures.scale_alone("a scale of colours", 2.5)
    assert re.findall(r">([+\u2212]?\d[.\d]*)<", drawing) == ["\u22122.50", "0", "+2.50"]


def test_frames_around_parts_are_seen_on_the_darkest_ink() -> None:
    drawing = figures.draw(
        "a box",
        lambda axes: pictures.squares(axes, np.full((9, 9, 1), 255, np.uint8), [("box", (2, 2, 5, 5))], "title"),
    )
    [encoded] = re.findall(r"data:image/png;base64,([^\"]+)", drawing)
    colours = np.asarray(Image.open(io.BytesIO(base64.b64decode(encoded))).convert("L"))
    assert colours.min() >= 180, "the ink is pale"


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


def test_sheet_shows_every_image_in_its_place_on_a_transparent_ground() -> None:
    rows = np.arange(2 * 3 * 8 * 4, dtype=np.uint8).reshape(2, 3, 8, 4, 1)
    [encoded] = re.findall(r"data:image/png;base64,([^\"]+)", pictures.sheet("a sheet", rows))
    picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(encoded))))
    tops, lefts = (1, 12), (1, 14, 21)  # frames of 1 pixel, gaps of 1, and 6 more after the first column
    for row, column in np.ndindex(2, 3):
        top, left = tops[row], lefts[column]
        tile = picture[top : top + 8, left : left + 4]
        np.testing.assert_array_equal(tile[..., 0], 255 - rows[row, column, ..., 0])
        assert (tile[..., 3] == 255).all()
    assert (picture[..., 3] == 255).sum() == rows.size, "all else lets the page through"


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_image_with_any_number_of_channels_is_drawn(channels: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (8, 6, channels), dtype=np.uint8)
    drawing = pictures.gallery("an image", [pixels], ["image"], columns=1)
    mean = pictures.gallery("an image", [pixels.mean(axis=2)], ["image"], columns=1)
    assert (drawing == mean) == (channels != 3)
