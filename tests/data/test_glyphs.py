"""Glyphs: the same from the same seed, balanced, in MNIST's form, none of them twice, cached under their seed."""

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import run
from cnn_jax import data
from cnn_jax.data import glyphs
from cnn_jax.data.dataset import Dataset


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes the dataset a small one: quick to draw."""
    monkeypatch.setattr(glyphs, "SPEC", dataclasses.replace(glyphs.SPEC, train_examples=400, test_examples=100))


@pytest.mark.slow
def test_every_part_has_as_many_of_each_digit(glyphs_dataset: Dataset) -> None:
    assert (len(glyphs_dataset.train), len(glyphs_dataset.test)) == (60_000, 10_000)
    for part in (glyphs_dataset.train, glyphs_dataset.test, glyphs_dataset.train[:640], glyphs_dataset.train[-5_000:]):
        np.testing.assert_array_equal(np.bincount(part.labels), len(part) // 10)


def test_no_image_is_there_twice(glyphs_dataset: Dataset) -> None:
    images = {bytes(image) for split in (glyphs_dataset.train, glyphs_dataset.test) for image in split.images}
    assert len(images) == 70_000


@pytest.mark.slow
def test_a_seed_draws_the_same_again_and_another_seed_something_else(glyphs_dataset: Dataset) -> None:
    first = glyphs_dataset.train[:500]
    np.testing.assert_array_equal(glyphs.draw(first.labels, seed=0), first.images)
    other = glyphs.draw(first.labels, seed=1)
    assert (other != first.images).any(axis=(1, 2, 3)).all()


def ink_statistics(images: np.ndarray) -> dict[str, np.ndarray]:
    """Of each image: mean (of 1), the ink's centre in pixels, and the strokes' width in pixels.

    A stroke's edge is twice as long as the stroke, and a grey level's gradient summed over the image is its length.
    """
    ink = images[..., 0].astype(np.float32) / 255
    mass, pixels = ink.sum(axis=(1, 2)), np.arange(28, dtype=np.float32)
    padded = np.pad(ink, ((0, 0), (1, 1), (1, 1)))
    edge = np.hypot(np.diff(padded, axis=1)[:, :, :-1], np.diff(padded, axis=2)[:, :-1]).sum(axis=(1, 2))
    return {
        "mean": ink.mean(axis=(1, 2)),
        "row": ink.sum(axis=2) @ pixels / mass,
        "column": ink.sum(axis=1) @ pixels / mass,
        "width": 2 * mass / edge,
    }


# Mean and standard deviation over MNIST's first 10,000 training images (tfds 3.0.1), and the band around both.
@pytest.mark.slow
@pytest.mark.parametrize(
    ("what", "mean", "deviation", "band"),
    [
        ("mean", 0.1312, 0.0434, 0.02),
        ("row", 14.00, 0.29, 0.05),
        ("column", 14.00, 0.29, 0.05),
        ("width", 2.46, 0.63, 0.3),
    ],
)
def test_the_ink_is_like_mnists(glyphs_dataset: Dataset, what: str, mean: float, deviation: float, band: float) -> None:
    found = ink_statistics(glyphs_dataset.train.images[:10_000])[what]
    assert found.mean() == pytest.approx(mean, abs=band)
    assert found.std() == pytest.approx(deviation, abs=band)


def test_each_seed_has_a_cache_of_its_own_and_none_is_taken_for_another(few: None, tmp_path: Path) -> None:
    notes: list[str] = []
    prints = [data.load("glyphs", data_dir=tmp_path, seed=seed, warn=notes.append).fingerprint for seed in (0, 3)]
    assert prints[0] != prints[1]
    assert len(notes) == 2
    assert data.load("glyphs", data_dir=tmp_path, seed=3, warn=notes.append).fingerprint == prints[1]
    assert len(notes) == 2
    first, second = sorted((tmp_path / "cnn_jax/glyphs").iterdir())
    assert (first.name, second.name) == ("glyphs-1-seed0.npz", "glyphs-1-seed3.npz")
    shutil.copy(second, first)
    assert data.load("glyphs", data_dir=tmp_path, warn=notes.append).fingerprint == prints[0]
    assert "written again" in notes[2]


@pytest.mark.slow
def test_the_command_line_trains_on_the_glyphs_of_a_seed(
    glyphs_dataset: Dataset, glyphs_data_dir: Path, tmp_path: Path
) -> None:
    folders = (f"--data_dir={glyphs_data_dir}", f"--workdir={tmp_path / 'run'}")
    assert run.main(["--dataset=glyphs", *folders, "--model=logistic", "--epochs=1", "--train_examples=640"]) == 0
    assert json.loads((tmp_path / "run/config.json").read_text())["dataset"] == {
        "name": "glyphs",
        "normalize": "unit",
        "seed": 0,
    }
    assert json.loads((tmp_path / "run/machine.json").read_text())["data_fingerprint"] == glyphs_dataset.fingerprint
