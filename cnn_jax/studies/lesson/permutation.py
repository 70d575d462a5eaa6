"""Part 4, only where near things belong together: a CNN and a dense network, on images and on permuted images."""

import dataclasses
from collections.abc import Mapping
from typing import Any, TypeVar

import jax
import numpy as np

from cnn_jax.config import Config
from cnn_jax.data import tasks
from cnn_jax.data.dataset import Dataset
from cnn_jax.report import statistics
from cnn_jax.training import mesh as meshes
from cnn_jax.training import optimizer, programs
from cnn_jax.training.fit import begin, fit
from cnn_jax.training.programs import Inference, Training

ARRAYS: Mapping[str, str] = {
    "images": "uint8 [4, H, W, C]: test images",
    "permuted_images": "uint8 [4, H, W, C]: the same with their pixels permuted",
    "accuracies": "float64 [2, 2, seeds]: test accuracy of the CNN and the dense network, on images and permuted ones",
    "means": "float64 [2, 2]: means over the seeds",
    "margins": "float64 [2, 2]: half the width of the mean's 95 % interval, by Student's t",
    "leads": "float64 [2]: how far the CNN is ahead of the dense network, on images and on permuted ones",
    "lead_margins": "float64 [2]: the same half width for the leads, paired by seed",
}

MODELS = ("cnn", "dense")
TRAIN_EXAMPLES, TEST_EXAMPLES, EPOCHS, SEEDS = 3_000, 2_000, 5, 5
# Small and with large steps, so that twenty trainings take seconds; chosen on training images that are held out here.
_SETTINGS: Mapping[str, Mapping[str, Any]] = {"cnn": {"widths": (8, 16, 32)}, "dense": {"widths": (128,)}}
_STEP: Mapping[str, Any] = {"batch_size": 32, "learning_rate": 2e-3}

_Program = TypeVar("_Program", Training, Inference)


def compute(dataset: Dataset, *, seeds: int = SEEDS) -> dict[str, Any]:
    """Trains both models on the first images of a dataset, as they are and permuted, with so many seeds each.

    The training images of all seeds are the same, and so are the test images. Both are smaller than the
    lecture's.
    """
    accuracies = np.stack([_accuracies(model, dataset, seeds) for model in MODELS])
    leads = accuracies[0] - accuracies[1]
    shown = dataset.test.images[:4]
    return {
        "dataset": dataset.spec.name,
        "models": MODELS,
        "train_examples": min(TRAIN_EXAMPLES, len(dataset.train)),
        "test_examples": min(TEST_EXAMPLES, len(dataset.test)),
        "epochs": EPOCHS,
        "seeds": seeds,
        "images": shown,
        "permuted_images": tasks.permuted(shown),
        "accuracies": accuracies,
        "means": accuracies.mean(axis=-1),
        "margins": statistics.margins(accuracies),
        "leads": leads.mean(axis=-1),
        "lead_margins": statistics.margins(leads),
    }


def _accuracies(model: str, dataset: Dataset, seeds: int) -> np.ndarray:
    """Test accuracies [2, seeds]: on images and on permuted ones."""
    config = Config(dataset=dataset.spec.name, model=model, epochs=EPOCHS, **_SETTINGS[model], **_STEP)
    mesh = meshes.over_all_devices()
    training = programs.compile_training(config, dataset.spec, dataset.train[:TRAIN_EXAMPLES], mesh)
    test = programs.compile_inference(config, dataset.spec, dataset.test[:TEST_EXAMPLES], mesh)
    return np.array(
        [
            [on_test.score(_trained(config, on_train, seed)).accuracy for seed in range(seeds)]
            for on_train, on_test in ((training, test), (_permuted(training), _permuted(test)))
        ]
    )


def _permuted(program: _Program) -> _Program:
    """The same compiled program with permuted images: what `--view=permuted` does in the step, done once."""
    images = tasks.permuted(np.asarray(program.images))
    return dataclasses.replace(program, images=jax.device_put(images, program.images.sharding))


def _trained(config: Config, training: Training, seed: int) -> dict:
    rate = optimizer.schedule(config, config.epochs * training.epoch_steps)
    *_, last = fit(training, begin(training, seed), epochs=config.epochs, learning_rate=rate)
    return last.state.params
