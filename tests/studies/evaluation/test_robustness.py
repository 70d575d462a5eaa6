"""Every corruption lowers the accuracy of a model that has learned something."""

import numpy as np
import pytest

from cnn_jax.data.dataset import Split
from cnn_jax.studies.evaluation import corruptions
from cnn_jax.studies.evaluation.corruptions import CORRUPTIONS


def patterns(examples: int, seed: int) -> Split:
    """Ten fine patterns of blocks of two pixels, under noise."""
    blocks = np.random.default_rng(0).integers(0, 2, (10, 14, 14))
    rng = np.random.default_rng([1, seed])
    labels = rng.integers(0, 10, examples, dtype=np.int32)
    images = 24 * np.kron(blocks, np.ones((2, 2), int))[labels] + rng.integers(0, 232, (examples, 28, 28))
    return Split(images.astype(np.uint8)[..., None], labels)


def nearest_means(train: Split) -> corruptions.Infer:
    """Two models, each of one half of the images: the class whose mean image is nearest."""

    def flat(images: np.ndarray) -> np.ndarray:
        return images.reshape(len(images), -1).astype(np.float64)

    halves = (train[::2], train[1::2])
    means = [np.stack([flat(half.images[half.labels == k]).mean(0) for k in range(10)]) for half in halves]
    return lambda images: np.stack([flat(images) @ mean.T - (mean**2).sum(1)[None] / 2 for mean in means])


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_accuracy_at_strength_5_is_below_that_at_0(name: str) -> None:
    infer, test = nearest_means(patterns(2_000, seed=0)), patterns(400, seed=1)
    notes: list[str] = []
    table = corruptions.accuracies({"means": infer}, test, [name], notes.append)["means"][name]
    clean = (infer(test.images).argmax(-1) == test.labels).mean(-1)
    assert table.shape == (6, 2)
    assert (table[0] == clean).all()
    assert clean.min() > 0.9
    assert table[5].mean() < clean.mean()
    assert notes == [f"scoring images with {name}"]


def test_samples_show_every_strength() -> None:
    images = patterns(2, seed=0).images
    sheet = corruptions.samples(images, "contrast")
    assert sheet.shape == (6, *images.shape)
    assert (sheet[0] == images).all()
    assert (np.diff(sheet.std(axis=(1, 2, 3, 4))) < 0).all()
