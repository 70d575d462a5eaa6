"""The picture of a confusion matrix shows it for any number of classes and any names, in a bounded size."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnn_jax.report import confusion
from cnn_jax.report.confusion import picture


def cells(pixels: np.ndarray, classes: int, cell: int) -> np.ndarray:
    """The colour of each cell, near its corner: uint8 [classes, classes, 3]. They end at bottom and right."""
    bottom, right = (side - 6 for side in pixels.shape[:2])
    return pixels[bottom - classes * cell + 3 : bottom : cell, right - classes * cell + 3 : right : cell]


def test_shades_are_the_square_roots_of_shares_and_empty_cells_are_grey() -> None:
    matrix = np.diag(np.full(12, 100))
    matrix[0, 1], matrix[0, 0] = 25, 75
    colours = cells(picture(matrix, [f"class {n}" for n in range(12)]), 12, 48).astype(int)
    assert (colours[2, 2] == (0, 114, 178)).all()
    assert (colours[3, 2] == 242).all()
    np.testing.assert_allclose(colours[0, 1], 255 - 0.5 * (255 - np.array([0, 114, 178])), atol=1)


@settings(max_examples=8)
@given(st.integers(1, confusion.MOST_CLASSES).flatmap(lambda n: st.lists(st.text(max_size=40), min_size=n, max_size=n)))
def test_any_classes_give_a_picture_of_a_bounded_size(names: list[str]) -> None:
    pixels = picture(np.eye(len(names), dtype=np.int64), names)
    assert pixels.dtype == np.uint8 and pixels.shape[2] == 3
    assert max(pixels.shape) < 2000


@pytest.mark.parametrize("name", ["漢字", "a\nb", "\ud800", " ", ""])
def test_name_that_the_font_cannot_show_is_replaced_by_its_number(name: str) -> None:
    matrix = np.array([[3, 1], [0, 2]])
    assert (picture(matrix, ["X", name]) == picture(matrix, ["X", "(1)"])).all()
    assert not np.array_equal(picture(matrix, ["X", "été"]), picture(matrix, ["X", "(1)"]))


def test_class_without_images_and_long_names_are_drawn() -> None:
    matrix = np.array([[0, 0], [7, 123456]])
    assert picture(matrix, ["x" * 500, "y"]).shape == picture(matrix, [f"{'x' * 19}…", "y"]).shape
