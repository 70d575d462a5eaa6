"""The time to an accuracy is that of the epoch that reached it, for each seed, or said not to have been reached."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from cnn_jax.data.dataset import Dataset
from cnn_jax.errors import DivergedError
from cnn_jax.experiment import Experiment
from cnn_jax.report.console import Console
from cnn_jax.studies.benchmark import target


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    """Bright and dark images, which are told apart in the first epoch."""
    labels = np.resize([0, 1], 64)
    images = np.broadcast_to(np.where(labels, 250, 5).astype(np.uint8)[:, None, None], (64, 8, 8))
    return Dataset.from_arrays(images, labels, images, labels)


def measured(dataset: Dataset, accuracy: float, **settings: object) -> dict:
    experiment = Experiment().vary(model="logistic", dataset="arrays", batch_size=8, epochs=3, **settings)
    return target.measure(experiment.with_spec(dataset.spec), dataset, accuracy, [4, 5], lambda: 0.5, Console())


@pytest.mark.slow
def test_each_seed_trains_to_the_first_epoch_that_reaches_the_accuracy(dataset: Dataset) -> None:
    found = measured(dataset, 0.99, learning_rate=0.05)
    assert [one["seed"] for one in found["seeds"]] == [4, 5]
    for one in found["seeds"]:
        *before, last = one["test_accuracies"]
        assert last >= 0.99 and all(accuracy < 0.99 for accuracy in before)
        assert (one["epochs"], one["reference_seconds"]) == (len(one["test_accuracies"]), 0.5)
    seconds = [one["seconds"] for one in found["seeds"]]
    assert found["seconds"]["mean"] == pytest.approx(np.mean(seconds)) and min(seconds) > 0


def test_seed_that_does_not_get_there_has_no_time(dataset: Dataset) -> None:
    slow = measured(dataset, 1.0, learning_rate=1e-9)
    assert slow["seconds"] is None
    assert {(one["epochs"], one["seconds"], len(one["test_accuracies"])) for one in slow["seeds"]} == {(None, None, 3)}


def test_seed_that_diverges_has_no_time(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    def diverge(*arguments: Any) -> Iterator[Any]:
        raise DivergedError("it diverges", 1)
        yield

    monkeypatch.setattr(target, "fit", diverge)
    found = measured(dataset, 0.99)
    assert found["seconds"] is None
    assert [(one["seed"], one["seconds"], one["test_accuracies"]) for one in found["seeds"]] == [
        (4, None, []),
        (5, None, []),
    ]
