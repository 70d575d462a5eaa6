"""Short trainings for the lesson, and the network that it shows where no finished run is given."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import jax

from cnn_jax.config import Config
from cnn_jax.data.dataset import Dataset
from cnn_jax.studies.lesson.results import Run
from cnn_jax.training import mesh as meshes
from cnn_jax.training import optimizer, programs
from cnn_jax.training.fit import begin, fit
from cnn_jax.training.metrics import score
from cnn_jax.training.programs import Training

TRAIN_EXAMPLES, EPOCHS = 6_000, 3


class Network(NamedTuple):
    """A trained network, by its config and its parameters, and the runs whose results are shown; it is the first."""

    config: Config
    params: dict
    runs: Sequence[Run]


def train(config: Config, training: Training, seed: int) -> tuple[dict, list[Mapping[str, float]]]:
    """Trains for all epochs of the config. Returns the parameters, on the device, and the metrics of each epoch."""
    schedule = optimizer.schedule(config, config.epochs * training.epoch_steps)
    steps = list(fit(training, begin(training, seed), epochs=config.epochs, learning_rate=schedule))
    return steps[-1].state.params, [step.row for step in steps if step.row]


def trained_network(dataset: Dataset) -> Network:
    """The lecture's network, trained for a short time on the first images of the dataset."""
    config = Config(dataset=dataset.spec.name, train_examples=min(TRAIN_EXAMPLES, len(dataset.train)), epochs=EPOCHS)
    mesh = meshes.over_all_devices()
    training = programs.compile_training(config, dataset.spec, dataset.train[: config.train_examples], mesh)
    params, rows = train(config, training, config.seed)
    logits = programs.compile_inference(config, dataset.spec, dataset.test, mesh).logits(params)
    test = score(logits, dataset.test.labels)
    run = Run(
        name=f"short run, {config.train_examples:,} images",
        rows=rows,
        test_loss=test.loss,
        test_accuracy=test.accuracy,
        parameters=sum(leaf.size for leaf in jax.tree.leaves(params)),
        logits=logits,
        labels=dataset.test.labels,
    )
    return Network(config, jax.device_get(params), [run])
