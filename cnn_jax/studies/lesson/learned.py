"""Part 3, learned, not prescribed: logistic regression and a small CNN on X and O, and the filters that it finds."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from cnn_jax.config import Config
from cnn_jax.data.dataset import Dataset, Split
from cnn_jax.report import statistics
from cnn_jax.studies.lesson import template
from cnn_jax.training import mesh as meshes
from cnn_jax.training import optimizer, programs
from cnn_jax.training.fit import begin, fit
from cnn_jax.training.programs import Training

ARRAYS: Mapping[str, str] = {
    "sizes": "int64 [S]: numbers of training images",
    "logistic_accuracies": "float64 [S, seeds]: test accuracy of logistic regression",
    "cnn_accuracies": "float64 [S, seeds]: test accuracy of the CNN",
    "logistic_means": "float64 [S]: means over the seeds",
    "cnn_means": "float64 [S]: means over the seeds",
    "logistic_margins": "float64 [S]: half the width of the mean's 95 % interval, by Student's t",
    "cnn_margins": "float64 [S]: the same of the CNN",
    "filters": "float32 [seeds, 8, 3, 3]: the CNN's first layer after training on the most images",
    "first_filters": "float32 [seeds, 8, 3, 3]: the same before training",
    "similarities": "float64 [seeds, 8]: cosine similarity of each filter with the nearest template, both centred",
    "first_similarities": "float64 [seeds, 8]: the same before training",
    "nearest": "int64 [seeds, 8]: the nearest template of each filter, counted in `template_names`",
    "templates": "float64 [9, 3, 3]: the templates of X and of O",
}

SIZES = (50, 200, 1_000)  # training images
SEEDS = 5
_EPOCHS, _BATCH = 20, 32  # 640 steps of so many images, whatever their number
_MODELS: Mapping[str, Config] = {
    "logistic": Config(dataset="x_and_o", model="logistic", epochs=_EPOCHS, batch_size=_BATCH),
    "cnn": Config(dataset="x_and_o", model="cnn", widths=(8, 16), epochs=_EPOCHS, batch_size=_BATCH),
}
_TEMPLATES = {**template.OF_X, **template.OF_O}


def compute(dataset: Dataset, *, sizes: Sequence[int] = SIZES, seeds: int = SEEDS) -> dict[str, Any]:
    """Trains both models on so many images, with so many seeds each, and looks at what they learned.

    dataset: `x_and_o`. Each seed has images of its own, so that the spread over seeds is that of another start and of
    other images; it needs seeds * max(sizes) training images. All are scored on the same test images.
    """
    found = {name: _curve(config, dataset, sizes, seeds) for name, config in _MODELS.items()}
    record: dict[str, Any] = {"sizes": np.array(sizes), "seeds": seeds, "batch_size": _BATCH}
    record["steps"] = _EPOCHS * math.ceil(max(sizes) / _BATCH)
    for name, (accuracies, _) in found.items():
        record |= {
            f"{name}_accuracies": accuracies,
            f"{name}_means": accuracies.mean(axis=1),
            f"{name}_margins": statistics.margins(accuracies),
        }
    bitmaps = dataset.spec.inputs(dataset.test.images[..., 0])
    is_right = template.looks_like_x(bitmaps) == (dataset.test.labels == dataset.spec.classes.index("X"))
    return record | {"template_accuracy": float(is_right.mean()), **_filters(found["cnn"][1])}


def _curve(config: Config, dataset: Dataset, sizes: Sequence[int], seeds: int) -> tuple[np.ndarray, list]:
    """Test accuracies [sizes, seeds], and for each seed the parameters before and after training on the last size."""
    mesh = meshes.over_all_devices()
    test = programs.compile_inference(config, dataset.spec, dataset.test, mesh)
    training = programs.compile_training(config, dataset.spec, dataset.train[: max(sizes)], mesh)
    accuracies = np.zeros((len(sizes), seeds))
    for row, size in enumerate(sizes):
        pairs = []
        for seed in range(seeds):
            own = dataset.train[seed * size : (seed + 1) * size]
            pairs.append(_trained(config, _on(training, own), seed))
            accuracies[row, seed] = test.score(pairs[-1][1]).accuracy
    return accuracies, pairs


def _on(training: Training, split: Split) -> Training:
    """The same compiled programs with other images, repeated until there are as many: one program for all sizes."""
    repeated = np.resize(np.arange(len(split)), training.examples)
    images, targets = jax.device_put((split.images[repeated], split.labels[repeated]), training.images.sharding)
    return dataclasses.replace(training, images=images, targets=targets)


def _trained(config: Config, training: Training, seed: int) -> tuple[dict, dict]:
    """Parameters on the host, before training and after it."""
    start = begin(training, seed)
    before = jax.device_get(start.state.params)
    rate = optimizer.schedule(config, config.epochs * training.epoch_steps)
    *_, last = fit(training, start, epochs=config.epochs, learning_rate=rate)
    return before, jax.device_get(last.state.params)


def _filters(pairs: Sequence[tuple[dict, dict]]) -> dict[str, Any]:
    """The first layer's filters, and the templates that they are nearest to."""
    before, after = (np.stack([_first_layer(pair[index]) for pair in pairs]) for index in (0, 1))
    learned, drawn = (np.stack([template.cosine_similarities(f, _TEMPLATES) for f in fs]) for fs in (after, before))
    return {
        "filters": after,
        "first_filters": before,
        "similarities": learned.max(axis=-1),
        "first_similarities": drawn.max(axis=-1),
        "nearest": learned.argmax(axis=-1),
        "template_names": list(_TEMPLATES),
        "templates": np.stack(list(_TEMPLATES.values())),
    }


def _first_layer(params: dict) -> np.ndarray:
    """The filters of a first layer on one channel: [features, 3, 3]."""
    return np.moveaxis(params["Conv_0"]["kernel"][:, :, 0, :], -1, 0)
