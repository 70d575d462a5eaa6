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


def test_a_scene_has_a_ground_and_a_letter_that_can_be_told_from_it(drawn: np.ndarray) -> None:
    for scene in drawn:
        colours, counts = np.unique(scene.reshape(-1, 3), axis=0, return_counts=True)
        ground, letter = colours[np.argsort(counts)[::-1][:2]].astype(int)
        assert counts.max() > 0.4 * 200 * 200  # pixels of the ground
        assert np.linalg.norm(ground - letter) >= 90


def test_letters_are_of_all_sizes_places_and_colours(drawn: np.ndarray) -> None:
    assert len({bytes(scene[0, 0]) for scene in drawn}) > 30
    assert drawn.mean(axis=(0, 1, 2)) == pytest.approx([128, 128, 128], abs=40)
    letters = [_second_colour(scene) for scene in drawn]
    assert np.std([mask.sum() for mask in letters]) > 1_000
    assert np.std([np.argwhere(mask).mean(axis=0) for mask in letters], axis=0).min() > 10


def test_an_x_has_ink_in_its_middle_and_an_o_has_none(drawn: np.ndarray) -> None:
    for label, scene in zip(LABELS, drawn, strict=True):
        mask = _second_colour(scene)
        row, column = np.argwhere(mask).mean(axis=0).round().astype(int)
        assert mask[row - 2 : row + 3, column - 2 : column + 3].any() == (label == scenes.LABEL_X)


def _second_colour(scene: np.ndarray) -> np.ndarray:
    """Where the second most frequent colour is, the letter's: bool [200, 200]."""
    colours, counts = np.unique(scene.reshape(-1, 3), axis=0, return_counts=True)
    return (scene == colours[np.argsort(counts)[-2]]).all(axis=-1)


def test_the_dataset_is_drawn_once_and_then_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = dataclasses.replace(scenes.RGB200.spec, train_examples=8, test_examples=4)
    monkeypatch.setattr(data, "SOURCES", (dataclasses.replace(scenes.RGB200, spec=spec),))
    notes: list[str] = []
    first, second = (data.load("rgb200", data_dir=tmp_path, warn=notes.append) for _ in range(2))
    assert notes == ["rgb200: drawing 12 images. This is done once and takes some seconds"]
    assert first.fingerprint == second.fingerprint
    assert first.train.labels.tolist() == [0, 1] * 4
    np.testing.assert_array_equal(first.test.images, scenes.draw(np.arange(12) % 2, seed=0)[8:])


def test_up_to_a_thousand_images_to_train_on() -> None:
    assert data.spec("rgb200").train_examples == 1_000
    assert np.prod(data.spec("rgb200").image_shape) == 120_000
