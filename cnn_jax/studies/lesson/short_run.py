"""A short training on the spot, for what the lesson shows of a trained network where no finished run is given."""

from typing import Any

import jax

from cnn_jax.config import Config
from cnn_jax.data.dataset import Dataset
from cnn_jax.studies.lesson.results import Run
from cnn_jax.training import mesh as meshes
from cnn_jax.training import optimizer, programs
from cnn_jax.training.fit import begin, fit
from cnn_jax.training.metrics import score

TRAIN_EXAMPLES, EPOCHS = 6_000, 3


def trained(dataset: Dataset) -> tuple[Config, Any, list[Run]]:
    """The lecture's network, trained on the dataset's first images: its config, its parameters and what it came to."""
    config = Config(dataset=dataset.spec.name, train_examples=min(TRAIN_EXAMPLES, len(dataset.train)), epochs=EPOCHS)
    mesh = meshes.over_all_devices()
    training = programs.compile_training(config, dataset.spec, dataset.train[: config.train_examples], mesh)
    rate = optimizer.schedule(config, config.epochs * training.epoch_steps)
    steps = list(fit(training, begin(training, config.seed), epochs=config.epochs, learning_rate=rate))
    params = steps[-1].state.params
    logits = programs.compile_inference(config, dataset.spec, dataset.test, mesh).logits(params)
    test = score(logits, dataset.test.labels)
    run = Run(
        name=f"short run, {config.train_examples:,} images",
        rows=[step.row for step in steps if step.row],
        test_loss=test.loss,
        test_accuracy=test.accuracy,
        parameters=sum(leaf.size for leaf in jax.tree.leaves(params)),
        logits=logits,
        labels=dataset.test.labels,
    )
    return config, jax.device_get(params), [run]
