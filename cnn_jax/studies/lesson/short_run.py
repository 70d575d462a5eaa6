"""Short trainings for the lesson, and the network that it shows where no finished run is given."""

from collections.abc import Sequence
from typing import NamedTuple

import jax

from cnn_jax.config import Config
from cnn_jax.data.dataset import Dataset, Spec, Split
from cnn_jax.experiment import build
from cnn_jax.studies.lesson.results import Run
from cnn_jax.training.compiled import Inference, Training, compile_inference, compile_training
from cnn_jax.training.loop import Row, train
from cnn_jax.training.mesh import make_mesh
from cnn_jax.training.metrics import Score, score

TRAIN_EXAMPLES, EPOCHS = 6_000, 3


class Network(NamedTuple):
    """A trained network, by its config and its parameters, and the runs whose results are shown; it is the first."""

    config: Config
    params: dict
    runs: Sequence[Run]


def compiled(config: Config, spec: Spec, train: Split, test: Split) -> tuple[Training, Inference]:
    """Training and inference of a config, compiled for these images."""
    learner, mesh = build(config, spec), make_mesh()
    return compile_training(learner, train, mesh), compile_inference(learner, test, mesh)


def train_and_score(training: Training, inference: Inference, seed: int) -> tuple[dict, list[Row], Score]:
    """Trains one seed. Returns the parameters on the host, a row for each epoch, and the score of the test images."""
    last, rows = train(training, seed)
    params = jax.device_get(last.state.params)
    return params, rows, inference.score(params)


def trained_network(dataset: Dataset) -> Network:
    """The lecture's network, trained for a short time on the first images of the dataset."""
    config = Config(dataset=dataset.spec.name, train_examples=min(TRAIN_EXAMPLES, len(dataset.train)), epochs=EPOCHS)
    training, inference = compiled(config, dataset.spec, dataset.train[: config.train_examples], dataset.test)
    last, rows = train(training, config.seed)
    logits = inference.logits(last.state.params)
    test = score(logits, dataset.test.labels)
    name, parameters = f"short run, {config.train_examples:,} images", training.learner.parameters
    run = Run(name, rows, test.loss, test.accuracy, parameters, logits, dataset.test.labels)
    return Network(config, jax.device_get(last.state.params), [run])
