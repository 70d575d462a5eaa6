"""Scenes: the same from the same seed, each a function of its own number, and of every colour."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from cnn_jax import data
from cnn_jax.data import scenes

LABELS = np.arange(40) % 2


@pytest.fixture(scope="module")
def drawn() -> np.ndarray:
    return scenes.draw(LABELS, seed=0)


def test_a_seed_draws_the_same_again_and_another_seed_something_else(drawn: np.ndarray) -> None:
    assert (drawn.shape, drawn.dtype) == ((40, 200, 200, 3), np.uint8)
    np.testing.assert_array_equal(scenes.draw(LABELS[:5], seed=0), drawn[:5])
    assert (scenes.draw(LABELS[:5], seed=1) != drawn[:5]).any(axis=(1, 2, 3)).all()


@pytest.fixture(scope="module")
def colours(drawn: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """The colours of each scene, uint8 [C, 3], the most frequent one first, and their numbers of pixels."""
    return [colours_of(scene) for scene in drawn]


def colours_of(scene: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    packed, counts = np.unique(scene.astype(int) @ (1 << 16, 1 << 8, 1), return_counts=True)
    order = np.argsort(counts)[::-1]
    return packed[order, None] >> (16, 8, 0) & 255, counts[order]


@pytest.fixture(scope="module")
def letters(drawn: np.ndarray, colours: list[tuple[np.ndarray, np.ndarray]]) -> list[np.ndarray]:
    """Where each scene has its second most frequent colour, the letter's: bool [200, 200]."""
    return [(scene == second).all(axis=-1) for scene, ((_, second, *_), _) in zip(drawn, colours, strict=True)]


def test_a_scene_has_a_background_and_a_letter_that_can_be_told_from_it(colours: list) -> None:
    for (background, letter, *_), counts in colours:
        assert counts[0] > 0.4 * 200 * 200  # pixels of the background
        assert np.linalg.norm(background - letter) >= 90


def test_letters_are_of_all_sizes_places_and_colours(drawn: np.ndarray, letters: list[np.ndarray]) -> None:
    assert len({bytes(scene[0, 0]) for scene in drawn}) > 30
    assert drawn.mean(axis=(0, 1, 2)) == pytest.approx([128, 128, 128], abs=40)
    assert np.std([letter.sum() for letter in letters]) > 1_000
    assert np.std([np.argwhere(letter).mean(axis=0) for letter in letters], axis=0).min() > 10


def test_an_x_has_ink_in_its_middle_and_an_o_has_none(letters: list[np.ndarray]) -> None:
    for label, letter in zip(LABELS, letters, strict=True):
        row, column = np.argwhere(letter).mean(axis=0).round().astype(int)
        assert letter[row - 2 : row + 3, column - 2 : column + 3].any() == (label == scenes.LABEL_X)


def test_the_dataset_is_drawn_once_and_then_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = dataclasses.replace(scenes.RGB200.spec, train_examples=8, test_examples=4)
    monkeypatch.setattr(data, "DATASETS", {"rgb200": lambda: dataclasses.replace(scenes.RGB200, spec=spec)})
    notes: list[str] = []
    first, second = (data.load("rgb200", data_dir=tmp_path, warn=notes.append) for _ in range(2))
    assert notes == ["rgb200: drawing 12 images. This is done once and takes some seconds"]
    assert first.fingerprint == second.fingerprint
    assert first.train.labels.tolist() == [0, 1] * 4
    np.testing.assert_array_equal(first.test.images, scenes.draw(np.arange(12) % 2, seed=0)[8:])


def test_up_to_a_thousand_images_to_train_on() -> None:
    assert data.spec("rgb200").train_examples == 1_000
    assert np.prod(data.spec("rgb200").image_shape) == 120_000
