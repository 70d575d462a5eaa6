"""Part 5, the functional model: two inputs, a branch around layers and two outputs, trained by the same loop."""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from cnn_jax import models
from cnn_jax.config import Config
from cnn_jax.data import tasks
from cnn_jax.data.dataset import Dataset
from cnn_jax.models import graph
from cnn_jax.training import mesh as meshes
from cnn_jax.training import optimizer, programs
from cnn_jax.training.fit import begin, fit

ARRAYS: Mapping[str, str] = {
    "images": "uint8 [10, H, W, C]: the first training image of each class",
    "metadata": "float32 [10, 3]: total ink, aspect ratio and slant of each of them",
    "class_means": "float64 [10, 3]: means of the three numbers over the training images of each class",
}

NUMBERS = ("total ink", "aspect ratio", "slant")
TRAIN_EXAMPLES, TEST_EXAMPLES, EPOCHS = 6_000, 2_000, 2


def compute(dataset: Dataset) -> dict[str, Any]:
    """Trains the model briefly on the first images of a dataset of ten classes, and looks at its second input."""
    config = Config(
        experiment="two_inputs_two_outputs",
        dataset=dataset.spec.name,
        model="graph",
        view="with_metadata",
        widths=(16, 64),
        epochs=EPOCHS,
    )
    train, test = dataset.train[:TRAIN_EXAMPLES], dataset.test[:TEST_EXAMPLES]
    module = models.build(config, len(dataset.spec.classes))
    classes = range(len(dataset.spec.classes))
    metadata = _metadata(dataset.spec.inputs(train.images))
    first = [int(np.argmax(train.labels == label)) for label in classes]
    return {
        "dataset": dataset.spec.name,
        "classes": dataset.spec.classes,
        "train_examples": len(train),
        "test_examples": len(test),
        "numbers": NUMBERS,
        "images": train.images[first],
        "metadata": metadata[first],
        "class_means": np.stack([metadata[train.labels == label].mean(axis=0, dtype=float) for label in classes]),
        "graph": graph.graph(module, programs.input_shapes(config, dataset.spec)).record(),
        **_trained(config, dataset, train, test),
    }


def _metadata(inputs: np.ndarray) -> np.ndarray:
    return np.asarray(tasks.with_metadata(inputs)["metadata"])


def _trained(config: Config, dataset: Dataset, train: Any, test: Any) -> dict[str, Any]:
    """Rows of the epochs, and the score of each output on test images."""
    mesh = meshes.over_all_devices()
    training = programs.compile_training(config, dataset.spec, train, mesh)
    rate = optimizer.schedule(config, config.epochs * training.epoch_steps)
    steps = list(fit(training, begin(training, config.seed), epochs=config.epochs, learning_rate=rate))
    score = programs.compile_inference(config, dataset.spec, test, mesh).score(steps[-1].state.params)
    return {
        "parameters": sum(leaf.size for leaf in jax.tree.leaves(steps[-1].state.params)),
        "rows": [step.row for step in steps if step.row],
        "outputs": {name: {"loss": part.loss, "accuracy": part.accuracy} for name, part in score.outputs.items()},
    }
