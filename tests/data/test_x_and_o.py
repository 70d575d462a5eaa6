"""X and O: canonical letters as the lecture has them, random ones that are the same from the same seed."""

from pathlib import Path

import jax
import numpy as np
import pytest

from cnn_jax import data
from cnn_jax.data import x_and_o

PICTURES = {
    "x": """
.........
.#.....#.
..#...#..
...#.#...
....#....
...#.#...
..#...#..
.#.....#.
.........""",
    "o": """
.........
..#####..
.#.....#.
.#.....#.
.#.....#.
.#.....#.
.#.....#.
..#####..
.........""",
}


@pytest.mark.parametrize("letter", PICTURES)
def test_canonical_letters_are_these(letter: str) -> None:
    found = x_and_o.canonical({"x": x_and_o.LABEL_X, "o": x_and_o.LABEL_O}[letter])
    assert found.dtype == np.uint8
    expected = [[255 if cell == "#" else 0 for cell in row] for row in PICTURES[letter].split()]
    np.testing.assert_array_equal(found, expected)


def test_canonical_x_is_both_diagonals_of_the_cells_1_to_7() -> None:
    expected = np.zeros((9, 9), np.uint8)
    for cell in range(1, 8):
        expected[cell, cell] = expected[cell, 8 - cell] = 255
    np.testing.assert_array_equal(x_and_o.canonical(x_and_o.LABEL_X), expected)


def test_the_networks_inputs_are_plus_and_minus_one(tmp_path: Path) -> None:
    dataset = data.load("x_and_o", data_dir=tmp_path)
    assert set(np.unique(dataset.train.images)) == {0, 255}
    assert set(np.unique(dataset.spec.inputs(dataset.train.images))) == {-1.0, 1.0}
    on_device = jax.jit(dataset.spec.inputs)(dataset.train.images)
    np.testing.assert_allclose(abs(on_device), 1, rtol=2e-7)


def test_every_part_has_as_many_of_each_letter(tmp_path: Path) -> None:
    dataset = data.load("x_and_o", data_dir=tmp_path)
    assert dataset.spec.classes == ("X", "O")
    for part in (dataset.train, dataset.test, dataset.train[:50], dataset.train[-1_000:]):
        assert np.bincount(part.labels).tolist() == [len(part) // 2] * 2


def test_a_seed_draws_the_same_again_and_another_seed_something_else() -> None:
    labels = np.arange(500) % 2
    first = x_and_o.draw(labels, seed=3)
    assert (first.shape, first.dtype) == ((500, 9, 9, 1), np.uint8)
    np.testing.assert_array_equal(first, x_and_o.draw(labels, seed=3))
    assert (first != x_and_o.draw(labels, seed=4)).any(axis=(1, 2, 3)).mean() > 0.99


def test_letters_are_shifted_resized_turned_thickened_and_noisy() -> None:
    ink = x_and_o.draw(np.arange(4_000) % 2, seed=0)[..., 0] > 0
    rows = (ink.sum(axis=2) @ np.arange(9)) / ink.sum(axis=(1, 2))
    assert rows.std() > 0.5  # pixels
    amounts = ink.sum(axis=(1, 2))
    assert np.percentile(amounts, 95) > 1.8 * np.percentile(amounts, 5)
    assert 0.1 < (amounts > 30).mean() < 0.3  # the canonical O, the larger letter, has 20 and about 2 by noise
    assert 0.01 < ink[:, 0, 0].mean() < 0.2  # a corner is paper but for noise and the ends of large X
    assert len(np.unique(ink.reshape(len(ink), -1), axis=0)) > 0.99 * len(ink)


def test_test_images_are_no_training_images(tmp_path: Path) -> None:
    dataset = data.load("x_and_o", data_dir=tmp_path)
    seen = {bytes(image) for image in dataset.train.images}
    assert np.mean([bytes(image) in seen for image in dataset.test.images]) < 0.001
